-- $1 the sequence's OID: the statement that makes one like it, and what it feeds.
select pg_catalog.format('CREATE %sSEQUENCE %I.%I AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s;',
         case when c.relpersistence = 'u' then 'UNLOGGED ' else '' end, n.nspname, c.relname, pg_catalog.format_type(s.seqtypid, null), s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, case when s.seqcycle then ' CYCLE' else ' NO CYCLE' end) || E'\n',
       coalesce((select case d.deptype when 'i' then pg_catalog.format('-- It is made with the identity column %I.%I.%I, which needs no other.', tn.nspname, t.relname, a.attname)
                   else pg_catalog.format('ALTER SEQUENCE %I.%I OWNED BY %I.%I.%I;', n.nspname, c.relname, tn.nspname, t.relname, a.attname) end || E'\n'
                 from pg_catalog.pg_depend d
                 join pg_catalog.pg_class t on t.oid = d.refobjid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
                 join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                 where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i') limit 1), '')
from pg_catalog.pg_sequence s
join pg_catalog.pg_class c on c.oid = s.seqrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where s.seqrelid = $1
