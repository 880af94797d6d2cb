-- $1 a relation's OID: what CREATE says of it besides its columns. What came after PostgreSQL 10 is read by way of jsonb.
select coalesce(case when c.reloftype <> 0 then pg_catalog.format_type(c.reloftype, null) end, ''),
       coalesce((select pg_catalog.quote_ident(am.amname) from pg_catalog.pg_am am where am.oid = c.relam and c.relkind in ('r', 'm') and am.amname <> 'heap'), ''),
       coalesce((select pg_catalog.string_agg(pg_catalog.format('%s%s=%L', o.prefix, pg_catalog.quote_ident(pg_catalog.split_part(o.option, '=', 1)), pg_catalog.substr(o.option, pg_catalog.strpos(o.option, '=') + 1)), ', ')
                 from (select '' as prefix, option from pg_catalog.unnest(c.reloptions) option
                       union all select 'toast.', option from pg_catalog.pg_class t, pg_catalog.unnest(t.reloptions) option where t.oid = c.reltoastrelid) o), ''),
       c.relispopulated
from pg_catalog.pg_class c
where c.oid = $1
