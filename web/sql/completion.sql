-- $1 how many relations, $2 the beginning of a name or ''. Names of the search path first, then the largest.
with page as (
  select c.oid, n.nspname, c.relname, pg_catalog.array_position(pg_catalog.current_schemas(false), n.nspname) as path, c.relpages
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
    and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
    and ($2 = '' or pg_catalog.starts_with(pg_catalog.lower(c.relname), pg_catalog.lower($2)))
  order by path nulls last, c.relpages desc, n.nspname, c.relname
  limit $1 + 1
)
select p.nspname::text, p.relname::text,
       array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = p.oid and a.attnum > 0 and not a.attisdropped order by a.attnum)
from page p
order by p.path nulls last, p.relpages desc, p.nspname, p.relname
