-- $1 what the name must hold or '', $2 the system's own too, $3 the only one wanted or 0. Passwords are not shown.
select r.oid, '', r.rolname::text, case when r.rolcanlogin then 'login' else 'group' end,
       coalesce((select 'member of ' || pg_catalog.string_agg(g.rolname::text, ', ' order by g.rolname)
                 from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid where m.member = r.oid), ''),
       '', coalesce(pg_catalog.shobj_description(r.oid, 'pg_authid'), ''),
       array_remove(array[case when r.rolsuper then 'superuser' end, case when r.rolcreatedb then 'createdb' end,
                          case when r.rolcreaterole then 'createrole' end, case when r.rolreplication then 'replication' end,
                          case when r.rolbypassrls then 'bypassrls' end, case when not r.rolinherit then 'noinherit' end,
                          case when r.rolconnlimit >= 0 then 'at most ' || r.rolconnlimit || ' connections' end,
                          'valid until ' || r.rolvaliduntil::text], null),
       case when $3::oid = 0 then '' else
         pg_catalog.format('CREATE ROLE %I WITH %s;', r.rolname, pg_catalog.concat_ws(' ',
           case when r.rolsuper then 'SUPERUSER' else 'NOSUPERUSER' end, case when r.rolinherit then 'INHERIT' else 'NOINHERIT' end,
           case when r.rolcreaterole then 'CREATEROLE' else 'NOCREATEROLE' end, case when r.rolcreatedb then 'CREATEDB' else 'NOCREATEDB' end,
           case when r.rolcanlogin then 'LOGIN' else 'NOLOGIN' end, case when r.rolreplication then 'REPLICATION' else 'NOREPLICATION' end,
           case when r.rolbypassrls then 'BYPASSRLS' else 'NOBYPASSRLS' end,
           case when r.rolconnlimit <> -1 then 'CONNECTION LIMIT ' || r.rolconnlimit end,
           'VALID UNTIL ' || pg_catalog.quote_literal(r.rolvaliduntil))) || E'\n' ||
         coalesce((select pg_catalog.string_agg(pg_catalog.format('GRANT %I TO %I%s;', g.rolname, r.rolname, case when m.admin_option then ' WITH ADMIN OPTION' else '' end), E'\n' order by g.rolname) || E'\n'
                   from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid where m.member = r.oid), '')
       end
from pg_catalog.pg_roles r
where ($3::oid = 0 or r.oid = $3)
  and ($1::text = '' or pg_catalog.strpos(pg_catalog.lower(r.rolname), pg_catalog.lower($1)) > 0)
  and ($2 or r.rolname !~ '^(pg_|snapview_)')
order by r.rolname
limit 5001
