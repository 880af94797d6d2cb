-- $1: whether to ask for sizes too
select d.datname::text, d.oid, pg_catalog.pg_get_userbyid(d.datdba)::text, pg_catalog.pg_encoding_to_char(d.encoding)::text,
       coalesce(d.datcollate::text, ''), d.datistemplate, d.datallowconn,
       coalesce(pg_catalog.shobj_description(d.oid, 'pg_database'), ''),
       case when $1 and pg_catalog.has_database_privilege(d.oid, 'CONNECT') then pg_catalog.pg_database_size(d.oid) end
from pg_catalog.pg_database d
order by 1
