-- $1 what the name must hold or '', $2 the system's own too, $3 the only one wanted or 0. Passwords are not shown.
select r.oid, '', r.rolname::text, case when r.rolcanlogin then 'login' else 'group' end,
       coalesce((select 'member of ' || pg_catalog.string_agg(g.rolname::text, ', ' order by g.rolname)
                 from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid where m.member = r.oid), ''),
       '', coalesce(pg_catalog.shobj_description(r.oid, 'pg_authid'), ''),
       array_remove(array[case when r.rolsuper then 'superuser' end, case when r.rolcreatedb then 'createdb' end,
                          case when r.rolcreaterole then 'createrole' end, case when r.rolreplication then 'replication' end,
                          case when r.rolbypassrls then 'bypassrls' end, case when not r.rolinherit then 'noinherit' end], null),
       ''
from pg_catalog.pg_roles r
where ($3::oid = 0 or r.oid = $3)
  and ($1::text = '' or pg_catalog.strpos(pg_catalog.lower(r.rolname), pg_catalog.lower($1)) > 0)
  and ($2 or r.rolname !~ '^(pg_|snapview_)')
order by r.rolname
limit 5001
