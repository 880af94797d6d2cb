import { expect, it } from 'vitest';
import { scopeAt, type Lookup } from './scope';

const tables: Record<string, string[]> = { 'shop.orders': ['id', 'total'], customers: ['id', 'name'] };
const lookup: Lookup = (schema, name) => tables[schema ? `${schema}.${name}` : name]?.map((column) => ({ name: column, type: 'of ' + column }));

// The cursor is where the bar is.
function at(text: string) {
  const cursor = text.indexOf('|');
  const scope = scopeAt(text.replace('|', ''), cursor, lookup);
  const show = (s: (typeof scope.sources)[number]) => `${s.name}${s.table ? `=${s.table.schema ? s.table.schema + '.' : ''}${s.table.name}` : ''}${s.columns ? `(${s.columns.map((c) => c.name).join(' ')})` : ''}`;
  return [scope.sources.map(show).join(', '), scope.with.map(show).join(', '), scope.table];
}

it.each<[string, string, string, boolean]>([
  ['select | from shop.orders', 'orders=shop.orders', '', false],
  ['select o.| from shop.orders o', 'o=shop.orders', '', false],
  ['select | from shop.orders as o, customers "C" where true', 'o=shop.orders, C=customers', '', false],
  ['select * from a left join b x on a.i = x.| ', 'a=a, x=b', '', false],
  ['select * from a join b using (i) cross join lateral (select 1 as one, y.z from y) s where |', 'a=a, b=b, s(one z)', '', false],
  ['select * from a, |', 'a=a', '', true],
  ['select * from sho|', 'sho=sho', '', true],
  ['select * from shop.|', 'shop=shop', '', true],
  ['select * from a order by x, |', 'a=a', '', false],
  ['with r as (select id, total as t, count(*), c.* from shop.orders, customers c) select | from r', 'r(id t count name)', 'r(id t count name)', false],
  ['with r(a, b) as (select 1, 2), s as materialized (select * from r) select * from |', '', 'r(a b), s(a b)', true],
  ['with recursive r as (select 1 as n union all select n + 1 from |', '', 'r(n)', true],
  ['with r as (select | from shop.orders) select 1', 'orders=shop.orders', 'r()', false],
  ['select (select | from b where b.x = a.y) from a', 'a=a, b=b', '', false],
  ['select * from a union select | from b', 'b=b', '', false],
  ['update shop.orders set |', 'orders=shop.orders', '', false],
  ['insert into shop.orders (|', 'orders=shop.orders', '', false],
  ['select * from generate_series(1, 3) g(i) where |', 'g(i)', '', false],
  ["select ' from x ' || $$ from y $$ -- from z\n, | from a", 'a=a', '', false],
  ['select * from (a join b on true) where |', 'a=a, b=b', '', false],
  ['select * from |', '', '', true],
  ['|', '', '', false],
  // FROM that begins no list of tables.
  ['select extract(year from |', '', '', false],
  ['select extract(epoch from placed_at), trim(both from name), | from shop.orders', 'orders=shop.orders', '', false],
  ['select substring(a from 2 for 3), overlay(b placing c from 4), d is not distinct from e, | from b', 'b=b', '', false],
  ['select * from a where x is distinct from |', 'a=a', '', false],
  ['select * from a where exists (select extract(day from y) from |)', 'a=a', '', true],
  ['with r as (select a is distinct from b as same, id from shop.orders) select | from r', 'r(same id)', 'r(same id)', false],
  ['select * from a fetch first 5 rows only |', 'a=a', '', false],
  ['select * from a for no key update |', 'a=a', '', false],
  ['select * from a join b on a.i = b.i, |', 'a=a, b=b', '', true],
  ['with r as (select id::text, (1)::int, a + b, o.total t from shop.orders o) select | from r', 'r(id int t)', 'r(id int t)', false],
])('%s', (text, sources, given, table) => {
  const found = at(text);
  found[0] = [...new Set(String(found[0]).split(', '))].join(', ');
  expect(found).toEqual([sources, given, table]);
});

it('knows the types of what is passed on', () => {
  const { sources } = scopeAt('select  from (select o.id, total as t, id::text as word, *, 1 as one from shop.orders o) s', 7, lookup);
  expect(sources[0]!.columns).toEqual([{ name: 'id', type: 'of id' }, { name: 't', type: 'of total' }, { name: 'word', type: undefined }, { name: 'total', type: 'of total' }, { name: 'one', type: undefined }]);
});

it('takes what is not SQL in its stride', () => {
  for (const text of ['((((', '"', "'", ')))', 'from from from', 'with with with as (', 'select . . . from . .', '('.repeat(5000), 'with a as (with b as (select * from b) select * from a'])
    expect(() => scopeAt(text, text.length, lookup)).not.toThrow();
});
