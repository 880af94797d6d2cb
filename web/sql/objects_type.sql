-- $1 what the name must hold or '', $2 the system's and the extensions' own too, $3 the only one wanted or 0.
-- Row types of tables and array types are left out.
select t.oid, n.nspname::text, t.typname::text,
       case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'c' then 'composite' when 'r' then 'range' when 'm' then 'multirange'
                      when 'p' then 'pseudo' else 'base' end,
       case t.typtype
         when 'e' then pg_catalog.array_to_string(array(select e.enumlabel from pg_catalog.pg_enum e where e.enumtypid = t.oid order by e.enumsortorder), ', ')
         when 'd' then pg_catalog.format_type(t.typbasetype, t.typtypmod)
         when 'r' then pg_catalog.format_type((select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid), null)
         else '' end,
       pg_catalog.pg_get_userbyid(t.typowner)::text, coalesce(pg_catalog.obj_description(t.oid, 'pg_type'), ''),
       array[]::text[],
       case when $3 = 0 then '' else case t.typtype
         when 'e' then 'CREATE TYPE ' || pg_catalog.format_type(t.oid, null) || ' AS ENUM (' ||
           pg_catalog.array_to_string(array(select pg_catalog.quote_literal(e.enumlabel) from pg_catalog.pg_enum e where e.enumtypid = t.oid order by e.enumsortorder), ', ') || ');'
         when 'd' then 'CREATE DOMAIN ' || pg_catalog.format_type(t.oid, null) || ' AS ' || pg_catalog.format_type(t.typbasetype, t.typtypmod) ||
           coalesce(' DEFAULT ' || t.typdefault, '') || case when t.typnotnull then ' NOT NULL' else '' end ||
           coalesce((select pg_catalog.string_agg(' CONSTRAINT ' || pg_catalog.quote_ident(k.conname) || ' ' || pg_catalog.pg_get_constraintdef(k.oid), '' order by k.conname)
                     from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c'), '') || ';'
         when 'c' then 'CREATE TYPE ' || pg_catalog.format_type(t.oid, null) || ' AS (' ||
           pg_catalog.array_to_string(array(select pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod)
                                            from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum), ', ') || ');'
         when 'r' then 'CREATE TYPE ' || pg_catalog.format_type(t.oid, null) || ' AS RANGE (subtype = ' ||
           pg_catalog.format_type((select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid), null) || ');'
         else '' end end
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_class c on c.oid = t.typrelid
where ($3::oid = 0 or t.oid = $3)
  and (c.oid is null or c.relkind = 'c') and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)
  and ($1::text = '' or pg_catalog.strpos(pg_catalog.lower(n.nspname || '.' || t.typname), pg_catalog.lower($1)) > 0)
  and ($2 or (n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.objid = t.oid and d.deptype = 'e')))
order by n.nspname, t.typname, t.oid
limit 5001
