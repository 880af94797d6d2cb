-- $1 what the name must hold or '', $2 unused, $3 the only one wanted or 0. Whether its files are here is in the attributes.
select e.oid, n.nspname::text, e.extname::text, 'extension',
       'version ' || e.extversion, pg_catalog.pg_get_userbyid(e.extowner)::text, coalesce(pg_catalog.obj_description(e.oid, 'pg_extension'), ''),
       array[case when a.name is null then 'not installed here' else 'installed here' end],
       'CREATE EXTENSION ' || pg_catalog.quote_ident(e.extname) || ' WITH SCHEMA ' || pg_catalog.quote_ident(n.nspname) || ' VERSION ' || pg_catalog.quote_literal(e.extversion) || ';'
from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace
left join pg_catalog.pg_available_extensions() a on a.name = e.extname
where ($3::oid = 0 or e.oid = $3) and ($2::bool or true)
  and ($1::text = '' or pg_catalog.strpos(pg_catalog.lower(e.extname), pg_catalog.lower($1)) > 0)
order by e.extname
limit 5001
