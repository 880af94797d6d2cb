-- $1 the table's OID
select c.oid, c.relname::text, am.amname::text, pg_catalog.pg_get_indexdef(i.indexrelid), i.indisunique, i.indisprimary, i.indisvalid,
       coalesce(pg_catalog.pg_relation_size(i.indexrelid), 0), i.indkey::int2[]::int4[],
       i.indimmediate and i.indpred is null and i.indexprs is null, i.indnatts::int,
       coalesce((pg_catalog.to_jsonb(i)->>'indnkeyatts')::int, i.indnatts::int),
       exists (select 1 from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x') and k.conrelid = i.indrelid)
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_am am on am.oid = c.relam
where i.indrelid = $1
order by i.indisprimary desc, c.relname
