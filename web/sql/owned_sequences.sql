-- $1 a table's OID: the sequences that feed its columns of numbers, as identity, by ownership or by the default, and
-- which of them count down
select distinct pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(s.relname), pg_catalog.quote_ident(a.attname), q.seqincrement < 0
from (
  select d.objid as sequence, d.refobjsubid as attnum from pg_catalog.pg_depend d
  where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = $1 and d.refobjsubid > 0 and d.deptype in ('a', 'i')
  union
  select d.refobjid, f.adnum from pg_catalog.pg_attrdef f
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_catalog.pg_class'::regclass
  where f.adrelid = $1
) fed
join pg_catalog.pg_class s on s.oid = fed.sequence and s.relkind = 'S'
join pg_catalog.pg_sequence q on q.seqrelid = s.oid
join pg_catalog.pg_namespace n on n.oid = s.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = $1 and a.attnum = fed.attnum and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
where coalesce(nullif(t.typbasetype, 0), t.oid) in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
order by 1, 2
