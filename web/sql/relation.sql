-- $1 the relation's OID. Sizes look at the files of this relation only.
select c.oid, n.nspname::text, c.relname::text,
       case c.relkind when 'r' then case when c.relispartition then 'partition' else 'table' end
         when 'p' then 'partitioned-table' when 'v' then 'view' when 'm' then 'materialized-view'
         when 'f' then 'foreign-table' when 'S' then 'sequence' when 't' then 'table' else 'other' end,
       pg_catalog.pg_get_userbyid(c.relowner)::text, coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''),
       coalesce(t.spcname::text, ''),
       coalesce(up.oid, 0::oid),
       coalesce(case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end, ''),
       coalesce(pg_catalog.pg_get_expr(c.relpartbound, c.oid), ''),
       c.relrowsecurity, c.relpersistence = 'u', c.reltuples::int8,
       coalesce(pg_catalog.pg_table_size(c.oid), 0), coalesce(pg_catalog.pg_indexes_size(c.oid), 0),
       coalesce(case when c.reltoastrelid <> 0 then pg_catalog.pg_total_relation_size(c.reltoastrelid) end, 0),
       coalesce(case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid, true) end, ''),
       c.relkind::text, c.relhassubclass, coalesce(up.nspname::text, ''), coalesce(up.relname::text, ''),
       coalesce((select pg_catalog.string_agg(pg_catalog.format('%I.%I', pn.nspname, p.relname), ', ' order by i.inhseqno)
                 from pg_catalog.pg_inherits i join pg_catalog.pg_class p on p.oid = i.inhparent join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
                 where i.inhrelid = c.oid), ''),
       coalesce((select pg_catalog.format(' SERVER %I', s.srvname) || coalesce(' OPTIONS (' ||
                   (select pg_catalog.string_agg(pg_catalog.format('%I %L', o.option_name, o.option_value), ', ') from pg_catalog.pg_options_to_table(f.ftoptions) o) || ')', '')
                 from pg_catalog.pg_foreign_table f join pg_catalog.pg_foreign_server s on s.oid = f.ftserver where f.ftrelid = c.oid), '')
from pg_catalog.pg_class c
left join lateral (select p.oid, pn.nspname, p.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class p on p.oid = i.inhparent
                   join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace where i.inhrelid = c.oid order by i.inhseqno limit 1) up on true
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_tablespace t on t.oid = c.reltablespace
where c.oid = $1 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 't')
