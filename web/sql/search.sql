-- $1 what is looked for, in lower case; $2 how many of each kind at most. Names that equal it come first, then those
-- that begin with it. Columns are looked through without order, until enough are found: there may be millions.
with found as (
  (select case when c.relkind in ('i', 'I') then 7 else 0 end as part, case c.relkind when 'r' then case when c.relispartition then 'partition' else 'table' end when 'p' then 'partitioned-table' when 'v' then 'view'
            when 'm' then 'materialized-view' when 'f' then 'foreign-table' when 'S' then 'sequence' else 'index' end as kind,
          case when c.relkind in ('i', 'I') then t.oid else c.oid end as oid, n.nspname as schema, case when c.relkind in ('i', 'I') then t.relname end as relation, c.relname as name,
          case pg_catalog.strpos(pg_catalog.lower(c.relname), $1) when 0 then 3 when 1 then case when pg_catalog.length(c.relname) = pg_catalog.length($1) then 0 else 1 end else 2 end as rank
   from pg_catalog.pg_class c
   join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   left join pg_catalog.pg_index i on i.indexrelid = c.oid
   left join pg_catalog.pg_class t on t.oid = i.indrelid
   where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') and pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || c.relname), $1) > 0
     and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
   order by c.relkind in ('i', 'I'), rank, c.relname, n.nspname limit $2)
  union all
  (select 1, 'schema', n.oid, n.nspname, null, n.nspname, case pg_catalog.strpos(pg_catalog.lower(n.nspname), $1) when 1 then 1 else 2 end
   from pg_catalog.pg_namespace n
   where pg_catalog.strpos(pg_catalog.lower(n.nspname), $1) > 0 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   order by 7, n.nspname limit $2)
  union all
  (select 2, 'function', p.oid, n.nspname, null, p.proname, case pg_catalog.strpos(pg_catalog.lower(p.proname), $1) when 0 then 3 when 1 then 1 else 2 end
   from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
   where pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || p.proname), $1) > 0 and n.nspname not in ('pg_catalog', 'information_schema')
   order by 7, p.proname, p.oid limit $2)
  union all
  (select 3, 'type', t.oid, n.nspname, null, t.typname, case pg_catalog.strpos(pg_catalog.lower(t.typname), $1) when 0 then 3 when 1 then 1 else 2 end
   from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace left join pg_catalog.pg_class c on c.oid = t.typrelid
   where pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || t.typname), $1) > 0 and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
     and (c.oid is null or c.relkind = 'c') and t.typelem = 0
   order by 7, t.typname, t.oid limit $2)
  union all
  (select 4, 'extension', e.oid, n.nspname, null, e.extname, 1 from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
   where pg_catalog.strpos(pg_catalog.lower(e.extname), $1) > 0 order by e.extname limit $2)
  union all
  (select 5, 'role', r.oid, null, null, r.rolname, 1 from pg_catalog.pg_roles r
   where pg_catalog.strpos(pg_catalog.lower(r.rolname), $1) > 0 and r.rolname !~ '^pg_' order by r.rolname limit $2)
  union all
  (select 6, 'column', c.oid, n.nspname, c.relname, a.attname, 2
   from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where pg_catalog.length($1) >= 2 and a.attnum > 0 and not a.attisdropped and pg_catalog.strpos(pg_catalog.lower(a.attname), $1) > 0
     and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
   limit $2)
)
select kind, oid, coalesce(schema::text, ''), coalesce(relation::text, ''), name::text from found order by part, rank, name, schema, relation
