-- $1 the table's OID. PostgreSQL says of the index of a partitioned table that it is on it alone (ONLY), which
-- a dump completes by attaching those of the partitions: without the word they are.
select c.oid, c.relname::text, am.amname::text, 
       pg_catalog.replace(pg_catalog.pg_get_indexdef(i.indexrelid), pg_catalog.format(' ON ONLY %I.%I USING ', tn.nspname, t.relname), pg_catalog.format(' ON %I.%I USING ', tn.nspname, t.relname)),
       i.indisunique, i.indisprimary, i.indisvalid,
       coalesce(pg_catalog.pg_relation_size(i.indexrelid), 0), i.indkey::int2[]::int4[],
       i.indimmediate and i.indpred is null and i.indexprs is null, i.indnatts::int,
       coalesce((pg_catalog.to_jsonb(i)->>'indnkeyatts')::int, i.indnatts::int),
       exists (select 1 from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x') and k.conrelid = i.indrelid)
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_am am on am.oid = c.relam
join pg_catalog.pg_class t on t.oid = i.indrelid
join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
where i.indrelid = $1
order by i.indisprimary desc, c.relname
