-- $1 what the name must hold or '', $2 the system's and the extensions' own too, $3 the only one wanted or 0.
-- prokind came with PostgreSQL 11: by way of jsonb 10 does too.
select p.oid, n.nspname::text, p.proname::text,
       case j.j->>'prokind' when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window' else 'function' end,
       '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' || coalesce(' returns ' || pg_catalog.pg_get_function_result(p.oid), ''),
       pg_catalog.pg_get_userbyid(p.proowner)::text, coalesce(pg_catalog.obj_description(p.oid, 'pg_proc'), ''),
       array_remove(array[l.lanname::text, case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
                    case when p.proisstrict then 'strict' end, case when p.prosecdef then 'security definer' end], null),
       case when $3 <> 0 and coalesce(j.j->>'prokind', 'f') in ('f', 'p') and not coalesce((j.j->>'proisagg')::bool, false)
            then pg_catalog.pg_get_functiondef(p.oid) else '' end
from pg_catalog.pg_proc p
cross join lateral (select pg_catalog.to_jsonb(p) - 'prosrc' - 'proargdefaults' as j) j
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
where ($3::oid = 0 or p.oid = $3)
  and ($1::text = '' or pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || p.proname), pg_catalog.lower($1)) > 0)
  and ($2 or (n.nspname not in ('pg_catalog', 'information_schema')
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')))
order by n.nspname, p.proname, p.oid
limit 5001
