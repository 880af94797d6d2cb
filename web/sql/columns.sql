-- $1 the relation's OID. The last one is the type that values are compared as: numeric(5,2) would round them,
-- varchar(3) cut them, a domain refuse them. attgenerated came with PostgreSQL 12, attidentity with 10: by way of jsonb older ones do too.
select a.attnum::int, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnotnull,
       coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''),
       case j.j->>'attidentity' when 'a' then 'always' when 'd' then 'by-default' else '' end,
       coalesce(j.j->>'attgenerated', '') <> '',
       coalesce(case when a.attcollation <> t.typcollation then co.collname::text end, ''),
       coalesce(pg_catalog.col_description(a.attrelid, a.attnum), ''),
       coalesce((select pg_catalog.array_position(i.indkey::int2[], a.attnum) + 1 from pg_catalog.pg_index i
                 where i.indrelid = a.attrelid and i.indisprimary), 0)::int,
       coalesce(b.oid, t.oid), coalesce(b.typname, t.typname)::text, coalesce(b.typlen, t.typlen)::int,
       pg_catalog.format_type(coalesce(b.oid, t.oid), -1)
from pg_catalog.pg_attribute a
cross join lateral (select pg_catalog.to_jsonb(a) - 'attmissingval' as j) j
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
left join pg_catalog.pg_collation co on co.oid = a.attcollation
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum
