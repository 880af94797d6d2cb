select n.nspname::text, n.oid, pg_catalog.pg_get_userbyid(n.nspowner)::text,
       n.nspname in ('pg_catalog', 'information_schema', 'pg_toast') or n.nspname like 'pg\_temp\_%' or n.nspname like 'pg\_toast\_temp\_%',
       coalesce(c.relations, 0)::int, coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '')
from pg_catalog.pg_namespace n
left join (
  select relnamespace, count(*) as relations from pg_catalog.pg_class
  where relkind in ('r', 'p', 'v', 'm', 'f', 'S') group by 1
) c on c.relnamespace = n.oid
order by 1
