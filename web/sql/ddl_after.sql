-- $1 a relation's OID: the statements that follow the one that makes it, in three lots: before its indexes (1), behind them (2),
-- and behind everything (3), in the order in which they can run. What came after PostgreSQL 10 is read by way of jsonb.
with c as (
  select c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
         case c.relkind when 'v' then 'VIEW' when 'm' then 'MATERIALIZED VIEW' when 'f' then 'FOREIGN TABLE' when 'S' then 'SEQUENCE' else 'TABLE' end as what
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid = $1
), a as (
  select a.*, pg_catalog.quote_ident(a.attname) as col, t.typstorage, pg_catalog.to_jsonb(a) - 'attmissingval' as j,
         pg_catalog.pg_get_expr(d.adbin, d.adrelid) as def
  from c
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
), up as (
  -- The same columns of the tables that it inherits from.
  select p.attname, pg_catalog.bool_or(p.attnotnull) as notnull, pg_catalog.array_agg(coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')) as defs
  from c
  join pg_catalog.pg_inherits i on i.inhrelid = c.oid
  join pg_catalog.pg_attribute p on p.attrelid = i.inhparent and p.attnum > 0 and not p.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = p.attrelid and d.adnum = p.attnum
  where c.relkind in ('r', 'f') and not c.relispartition
  group by p.attname
), t as (
  select t.*, pg_catalog.quote_ident(t.tgname) as trg from c join pg_catalog.pg_trigger t on t.tgrelid = c.oid
  where not t.tgisinternal and coalesce(pg_catalog.to_jsonb(t)->>'tgparentid', '0') = '0'
), r as (
  select r.*, pg_catalog.quote_ident(r.rulename) as rule from c join pg_catalog.pg_rewrite r on r.ev_class = c.oid where r.rulename <> '_RETURN'
), statements as (
  select 1 as lot, 10 as step, a.attnum::text as at, case
      when not a.attislocal and up.attname is not null and a.def is not null and a.def <> all (up.defs) and coalesce(a.j->>'attgenerated', '') = ''
        then pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s SET DEFAULT %s', c.name, a.col, a.def)
      when c.relkind = 'v' and a.def is not null then pg_catalog.format('ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s', c.name, a.col, a.def)
    end as sql
  from c, a left join up on up.attname = a.attname
  union all
  select 1, 11, a.attnum::text, pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s SET NOT NULL', c.name, a.col)
  from c, a join up on up.attname = a.attname where not a.attislocal and a.attnotnull and not up.notnull
  union all
  select 1, 12, a.attnum::text, pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s SET STORAGE %s', c.name, a.col,
      case a.attstorage when 'p' then 'PLAIN' when 'e' then 'EXTERNAL' when 'm' then 'MAIN' else 'EXTENDED' end)
  from c, a where c.relkind in ('r', 'p', 'm', 'f') and a.attstorage <> a.typstorage
  union all
  select 1, 13, a.attnum::text, pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s SET COMPRESSION %s', c.name, a.col, case a.j->>'attcompression' when 'l' then 'lz4' else 'pglz' end)
  from c, a where c.relkind in ('r', 'p', 'm') and coalesce(a.j->>'attcompression', '') <> ''
  union all
  select 1, 14, a.attnum::text, pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s SET STATISTICS %s', c.name, a.col, a.j->>'attstattarget')
  from c, a where c.relkind in ('r', 'p', 'm', 'f') and coalesce((a.j->>'attstattarget')::int, -1) >= 0
  union all
  select 1, 15, a.attnum::text, pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s SET (%s)', c.name, a.col, o.list)
  from c, a, lateral (select pg_catalog.string_agg(option, ', ') as list from pg_catalog.unnest(a.attoptions) option
    where option !~ '^pg_') o -- some builds keep notes of their own there
  where o.list is not null
  union all
  select 1, 16, i.relname, pg_catalog.format('ALTER INDEX %I.%I SET (%s)', n.nspname, i.relname, pg_catalog.array_to_string(i.reloptions, ', '))
  from pg_catalog.pg_constraint k join pg_catalog.pg_class i on i.oid = k.conindid join pg_catalog.pg_namespace n on n.oid = i.relnamespace
  where k.conrelid = $1 and k.contype in ('p', 'u', 'x') and i.reloptions is not null
  union all
  select 2, 20, i.relname, pg_catalog.format('ALTER TABLE %s CLUSTER ON %I', c.name, i.relname)
  from c join pg_catalog.pg_index x on x.indrelid = c.oid and x.indisclustered join pg_catalog.pg_class i on i.oid = x.indexrelid
  union all
  select 2, 21, '', pg_catalog.format('ALTER TABLE ONLY %s REPLICA IDENTITY %s', c.name, case c.relreplident when 'n' then 'NOTHING' when 'f' then 'FULL'
      else (select pg_catalog.format('USING INDEX %I', i.relname) from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid where x.indrelid = c.oid and x.indisreplident) end)
  from c where c.relkind in ('r', 'p', 'm') and c.relreplident not in ('d', case when c.relkind = 'm' then 'n' else 'd' end)
  union all
  select 2, 22, s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid) from c join pg_catalog.pg_statistic_ext s on s.stxrelid = c.oid
  union all
  select 2, 23, r.rulename, pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid), ';') from r
  union all
  select 2, 24, r.rulename, pg_catalog.format('ALTER TABLE %s %s RULE %s', c.name, case r.ev_enabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' else 'ENABLE ALWAYS' end, r.rule)
  from c, r where r.ev_enabled <> 'O'
  union all
  select 2, 25, t.tgname, pg_catalog.pg_get_triggerdef(t.oid) from t
  union all
  select 2, 26, t.tgname, pg_catalog.format('ALTER TABLE %s %s TRIGGER %s', c.name, case t.tgenabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' else 'ENABLE ALWAYS' end, t.trg)
  from c, t where t.tgenabled <> 'O'
  union all
  select 2, 27, '', pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c.name) from c where c.relrowsecurity
  union all
  select 2, 28, '', pg_catalog.format('ALTER TABLE ONLY %s FORCE ROW LEVEL SECURITY', c.name) from c where c.relforcerowsecurity
  union all
  select 2, 29, p.polname, pg_catalog.format('CREATE POLICY %I ON %s%s%s%s%s%s', p.polname, c.name, case when p.polpermissive then '' else ' AS RESTRICTIVE' end,
      case p.polcmd when 'r' then ' FOR SELECT' when 'a' then ' FOR INSERT' when 'w' then ' FOR UPDATE' when 'd' then ' FOR DELETE' else '' end,
      case when p.polroles <> '{0}' then ' TO ' || (select pg_catalog.string_agg(pg_catalog.quote_ident(o.rolname), ', ' order by o.rolname) from pg_catalog.pg_roles o where o.oid = any (p.polroles)) else '' end,
      ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
  from c join pg_catalog.pg_policy p on p.polrelid = c.oid
  union all
  select 3, 30, '', pg_catalog.format('COMMENT ON %s %s IS %L', c.what, c.name, d.description)
  from c join pg_catalog.pg_description d on d.objoid = c.oid and d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objsubid = 0
  union all
  select 3, 31, pg_catalog.lpad(a.attnum::text, 5, '0'), pg_catalog.format('COMMENT ON COLUMN %s.%s IS %L', c.name, a.col, d.description)
  from c, a join pg_catalog.pg_description d on d.objoid = a.attrelid and d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objsubid = a.attnum
  union all
  select 3, 32, o.name, pg_catalog.format('COMMENT ON %s%s IS %L', o.name, case when o.own then ' ON ' || c.name else '' end, d.description)
  from c join (
    select 'pg_catalog.pg_class'::pg_catalog.regclass as class, x.indexrelid as oid, pg_catalog.format('INDEX %I.%I', n.nspname, i.relname) as name, false as own
    from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid join pg_catalog.pg_namespace n on n.oid = i.relnamespace where x.indrelid = $1
    union all select 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, pg_catalog.format('CONSTRAINT %I', k.conname), true from pg_catalog.pg_constraint k where k.conrelid = $1
    union all select 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 'TRIGGER ' || t.trg, true from t
    union all select 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, 'RULE ' || r.rule, true from r
    union all select 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, pg_catalog.format('POLICY %I', p.polname), true from pg_catalog.pg_policy p where p.polrelid = $1
    union all select 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, pg_catalog.format('STATISTICS %I.%I', n.nspname, s.stxname), false
    from pg_catalog.pg_statistic_ext s join pg_catalog.pg_namespace n on n.oid = s.stxnamespace where s.stxrelid = $1
  ) o on true
  join pg_catalog.pg_description d on d.objoid = o.oid and d.classoid = o.class and d.objsubid = 0
  union all
  select case c.relkind when 'S' then 2 else 3 end, 33, '', pg_catalog.format('ALTER %s %s OWNER TO %I', c.what, c.name, pg_catalog.pg_get_userbyid(c.relowner))
  from c where not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and c.relkind = 'S' and d.deptype = 'i')
  union all
  select 3, 34, pg_catalog.lpad(g.attnum::text, 5, '0') || coalesce(o.rolname, ''), pg_catalog.format('GRANT %s ON %s%s TO %s%s', pg_catalog.string_agg(g.privilege_type || g.col, ', ' order by g.privilege_type),
      case when c.relkind = 'S' then 'SEQUENCE ' else 'TABLE ' end, c.name, case when g.grantee = 0 then 'PUBLIC' else pg_catalog.quote_ident(o.rolname) end, case when g.is_grantable then ' WITH GRANT OPTION' else '' end)
  from c
  join (select 0 as attnum, '' as col, x.* from c, pg_catalog.aclexplode(c.relacl) x
        union all select a.attnum, ' (' || a.col || ')', x.* from a, pg_catalog.aclexplode(a.attacl) x) g on g.grantee <> c.relowner
  left join pg_catalog.pg_roles o on o.oid = g.grantee
  where g.grantee = 0 or o.oid is not null
  group by g.attnum, g.grantee, g.is_grantable, o.rolname, c.relkind, c.name
)
select lot, sql from statements where sql is not null order by lot, step, at
