-- $1 text searched for or '', $2 schema or '', $3 kinds or '{}', $4 whether system schemas too,
-- $5 the part that this page begins after: name order (schema, name), size order (pages, oid)
-- A relation is as large as its rows and its long values (TOAST) were when it was vacuumed or analyzed last.
-- The page is cut before comments and parents are looked up.
with page as (
  select c.oid, n.nspname, c.relname, c.relpages + coalesce(t.relpages, 0) as pages, c.relpages, c.reltuples, c.relrowsecurity, c.relpersistence, k.kind
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_class t on t.oid = c.reltoastrelid
  cross join lateral (select case c.relkind
    when 'r' then case when c.relispartition then 'partition' else 'table' end
    when 'p' then 'partitioned-table' when 'v' then 'view' when 'm' then 'materialized-view'
    when 'f' then 'foreign-table' else 'sequence' end as kind) k
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and ($1 = '' or pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || c.relname), pg_catalog.lower($1)) > 0)
    and ($2 = '' or n.nspname = $2)
    and (pg_catalog.cardinality($3::text[]) = 0 or k.kind = any ($3::text[]))
    and ($4 or (n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'))
    /*after*/
  /*order*/
)
select p.oid, p.nspname::text, p.relname::text, p.kind,
       -- Before PostgreSQL 14 a table that nobody has looked at has no rows, instead of an unknown number.
       case when p.relpages = 0 and p.reltuples = 0 and pg_catalog.current_setting('server_version_num')::int < 140000 then -1 else p.reltuples end::int8,
       greatest(p.pages, 0)::int8 * pg_catalog.current_setting('block_size')::int8,
       coalesce(pg_catalog.obj_description(p.oid, 'pg_class'), ''),
       coalesce((select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = p.oid and p.kind in ('partition', 'partitioned-table') limit 1), 0::oid),
       p.relrowsecurity, p.relpersistence = 'u', p.pages::int8
from page p
