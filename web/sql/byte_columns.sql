-- The columns that hold bytes (bytea, and domains over it), of relations that have rows of their own; $1 at most.
-- Partitions are left out: their rows are their parent's. Long values lie in the TOAST file, of all columns of a table.
with recursive bytes as (
  select 17::oid as oid
  union
  select t.oid from pg_catalog.pg_type t join bytes b on t.typbasetype = b.oid where t.typtype = 'd'
)
select c.oid, n.nspname::text, c.relname::text,
       case c.relkind when 'r' then 'table' when 'p' then 'partitioned-table' when 'm' then 'materialized-view' else 'foreign-table' end,
       a.attnum::int, a.attname::text,
       case when c.reltuples < 0 or c.relpages = 0 and c.relkind <> 'p' then -1 else (c.reltuples * (1 - coalesce(s.null_frac, 0)))::int8 end,
       case when c.reltoastrelid <> 0 then coalesce(pg_catalog.pg_relation_size(c.reltoastrelid), 0) else 0 end
from pg_catalog.pg_attribute a
join bytes b on b.oid = a.atttypid
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join lateral (select s.null_frac from pg_catalog.pg_stats s
                   where s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname order by s.inherited desc limit 1) s on true
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'm', 'f') and not c.relispartition
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by 8 desc, 2, 3, 5
limit $1
