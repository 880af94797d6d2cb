-- $1 to $4 as in relations.sql
select count(*)::int
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral (select case c.relkind
  when 'r' then case when c.relispartition then 'partition' else 'table' end
  when 'p' then 'partitioned-table' when 'v' then 'view' when 'm' then 'materialized-view'
  when 'f' then 'foreign-table' else 'sequence' end as kind) k
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  and ($1 = '' or pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || c.relname), pg_catalog.lower($1)) > 0)
  and ($2 = '' or n.nspname = $2)
  and (pg_catalog.cardinality($3::text[]) = 0 or k.kind = any ($3::text[]))
  and ($4 or (n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'))
