-- $1 a relation's OID: what CREATE says of its columns that columns.sql does not.
select a.attnum::int, a.attislocal,
       coalesce(case when a.attcollation <> t.typcollation then pg_catalog.format(' COLLATE %I.%I', cn.nspname, co.collname) end, ''),
       coalesce(pg_catalog.to_jsonb(a)->>'attgenerated', '') = 'v',
       coalesce((select ' OPTIONS (' || pg_catalog.string_agg(pg_catalog.format('%I %L', o.option_name, o.option_value), ', ') || ')' from pg_catalog.pg_options_to_table(a.attfdwoptions) o), ''),
       -- The sequence of an identity column, unless it is the one that PostgreSQL makes when it is told nothing.
       coalesce((select pg_catalog.format(' (SEQUENCE NAME %I.%I START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s)', sn.nspname, sc.relname,
                        s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, case when s.seqcycle then ' CYCLE' else '' end)
                 from pg_catalog.pg_depend d
                 join pg_catalog.pg_sequence s on s.seqrelid = d.objid
                 join pg_catalog.pg_class sc on sc.oid = s.seqrelid join pg_catalog.pg_namespace sn on sn.oid = sc.relnamespace
                 where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = d.classid and d.refobjid = a.attrelid and d.refobjsubid = a.attnum and d.deptype = 'i'
                   and ((s.seqstart, s.seqincrement, s.seqmin, s.seqcache, s.seqcycle) <> (1, 1, 1, 1, false)
                     or s.seqmax <> case s.seqtypid when 21 then 32767 when 23 then 2147483647 else 9223372036854775807 end
                     or sc.relname <> c.relname || '_' || a.attname || '_seq')), '')
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_collation co on co.oid = a.attcollation
left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum
