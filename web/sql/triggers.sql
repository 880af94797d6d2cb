-- $1 the table's OID
select t.tgname::text, pg_catalog.pg_get_triggerdef(t.oid, true)
from pg_catalog.pg_trigger t
where t.tgrelid = $1 and not t.tgisinternal
order by t.tgname
