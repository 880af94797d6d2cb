-- $1 the table's OID. Without those that PostgreSQL made of a foreign key for each partition that it refers to.
select k.conname::text,
       case k.contype when 'p' then 'primary-key' when 'u' then 'unique' when 'c' then 'check' when 'x' then 'exclusion'
         when 'n' then 'not-null' when 't' then 'trigger' else 'foreign-key' end,
       pg_catalog.pg_get_constraintdef(k.oid, true), coalesce(k.conkey::int4[], '{}'), k.conislocal
from pg_catalog.pg_constraint k
where k.conrelid = $1
  and not exists (select from pg_catalog.pg_constraint up where up.oid = (pg_catalog.to_jsonb(k)->>'conparentid')::pg_catalog.oid and up.conrelid = k.conrelid)
order by pg_catalog.array_position('{p,u,f,c,x,n,t}', k.contype::text), k.conname
