-- $1 the parent's OID. What is below it, each under its parent: partitions of partitions, children of children.
with recursive below as (
  select i.inhrelid as oid, i.inhparent as parent, 1 as level,
         array[coalesce(n.nspname::text, ''), coalesce(c.relname::text, '')] as path
  from pg_catalog.pg_inherits i
  join pg_catalog.pg_class c on c.oid = i.inhrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where i.inhparent = $1
  union all
  select i.inhrelid, i.inhparent, b.level + 1, b.path || n.nspname::text || c.relname::text
  from below b
  join pg_catalog.pg_inherits i on i.inhparent = b.oid
  join pg_catalog.pg_class c on c.oid = i.inhrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where b.level < 32
)
select c.oid, n.nspname::text, c.relname::text,
       case c.relkind when 'p' then 'partitioned-table' when 'f' then 'foreign-table' else case when c.relispartition then 'partition' else 'table' end end,
       c.reltuples::int8, greatest(c.relpages, 0)::int8 * pg_catalog.current_setting('block_size')::int8,
       coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''), b.parent, c.relrowsecurity, c.relpersistence = 'u', 0::int8,
       coalesce(pg_catalog.pg_get_expr(c.relpartbound, c.oid), ''), b.level
from below b
join pg_catalog.pg_class c on c.oid = b.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by b.path
limit 1000
