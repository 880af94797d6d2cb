-- $1 a table's OID: its foreign keys (outward), then those that point to it. Those that PostgreSQL made for partitions
-- of the same constraint are left out.
with k as (
  select k.*, k.conrelid = $1 as outward from pg_catalog.pg_constraint k
  where k.contype = 'f' and k.conrelid = $1
    and not exists (select from pg_catalog.pg_constraint up where up.oid::text = pg_catalog.to_jsonb(k)->>'conparentid' and up.conrelid = k.conrelid)
  union all
  select k.*, false from pg_catalog.pg_constraint k
  where k.contype = 'f' and k.confrelid = $1
    and coalesce(pg_catalog.to_jsonb(k)->>'conparentid', '0') = '0'
)
select k.conname::text, case when k.outward then k.conkey else k.confkey end::int4[], c.oid, n.nspname::text, c.relname::text,
       case when k.outward then k.confkey else k.conkey end::int4[],
       case k.confdeltype when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' when 'r' then 'restrict' else 'no action' end,
       case k.confupdtype when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' when 'r' then 'restrict' else 'no action' end,
       k.outward
from k
join pg_catalog.pg_class c on c.oid = case when k.outward then k.confrelid else k.conrelid end
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by k.outward desc, k.conname, n.nspname, c.relname
