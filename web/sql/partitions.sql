-- $1 the parent's OID
select c.oid, n.nspname::text, c.relname::text,
       case c.relkind when 'p' then 'partitioned-table' when 'f' then 'foreign-table' else case when c.relispartition then 'partition' else 'table' end end,
       c.reltuples::int8, c.relpages::int8 * pg_catalog.current_setting('block_size')::int8,
       coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''), i.inhparent, c.relrowsecurity, c.relpersistence = 'u', 0::int8
from pg_catalog.pg_inherits i
join pg_catalog.pg_class c on c.oid = i.inhrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where i.inhparent = $1
order by n.nspname, c.relname
limit 1000
