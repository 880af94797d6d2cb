-- $1 how many relations, $2 the beginning of a name or ''. The name itself first, then names of the search path, then
-- the largest, the system's last. Only who asks by name gets partitions and what is the system's: there are many, and few are written.
with page as (
  select c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.relpages,
         case when n.nspname in ('pg_catalog', 'information_schema') then 2000
              else coalesce(pg_catalog.array_position(pg_catalog.current_schemas(false), n.nspname), 1000) end as path
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_(toast|temp)'
    and case when $2 = '' then not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema')
             else pg_catalog.starts_with(pg_catalog.lower(c.relname), pg_catalog.lower($2)) end
  order by c.relname = $2 desc, path, c.relpages desc, n.nspname, c.relname
  limit $1 + 1
)
select p.nspname::text, p.relname::text,
       case p.relkind when 'r' then case when p.relispartition then 'partition' else 'table' end
            when 'p' then 'partitioned-table' when 'v' then 'view' when 'm' then 'materialized-view' else 'foreign-table' end,
       a.names, a.types
from page p
cross join lateral (
  select coalesce(pg_catalog.array_agg(a.attname::text order by a.attnum), '{}') as names,
         coalesce(pg_catalog.array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) order by a.attnum), '{}') as types
  from pg_catalog.pg_attribute a where a.attrelid = p.oid and a.attnum > 0 and not a.attisdropped
) a
order by p.relname = $2 desc, p.path, p.relpages desc, p.nspname, p.relname
