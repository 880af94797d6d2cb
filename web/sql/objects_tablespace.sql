-- $1 what the name must hold or '', $2 the system's own too, $3 the only one wanted or 0.
select t.oid, '', t.spcname::text, 'tablespace', '', pg_catalog.pg_get_userbyid(t.spcowner)::text,
       coalesce(pg_catalog.shobj_description(t.oid, 'pg_tablespace'), ''), coalesce(t.spcoptions, array[]::text[]), ''
from pg_catalog.pg_tablespace t
where ($3::oid = 0 or t.oid = $3)
  and ($1::text = '' or pg_catalog.strpos(pg_catalog.lower(t.spcname), pg_catalog.lower($1)) > 0)
  and ($2 or t.spcname !~ '^pg_')
order by t.spcname
limit 5001
