import { expect, it } from 'vitest';
import { href, parse, type Route } from './route';

const routes: Route[] = [
  { view: 'sessions' },
  { view: 'sessions', q: '15 full', open: '/backups/a&b#main/2026?=', sort: 'largest' },
  { view: 'home', session: 'a1' },
  { view: 'database', session: 'a1', db: 'shop', schema: 'public', q: 'ord' },
  { view: 'database', session: 'a1', db: 'shop', kind: 'function', q: 'vat', system: true, oid: 4_294_967_295 },
  { view: 'database', session: 'a1', db: 'shop', kind: 'large-object', ask: 'dump' },
  { view: 'table', session: 'a1', db: 'my db/2', schema: 'Sch"ema', table: 'ta.ble?#%', tab: 'rows', filters: [], orders: [] },
  {
    view: 'table',
    session: 'a1',
    db: 'shop',
    schema: 'public',
    table: 'orders',
    tab: 'columns',
    filters: [
      { column: 3, op: 'eq', value: 'a.b&c=1\n' },
      { column: 2, op: 'notnull', value: '' },
    ],
    orders: [{ column: 1, desc: true }],
    columns: [1, 2, 3, 7, 1600],
    skip: true,
    row: 'k=1/2',
    column: 3,
    peek: 'by.16400.a&b',
    filter: 1600,
    ask: 'row-home',
  },
  { view: 'sql', session: 'a1', db: 'shop', q: "select '#?&'\nfrom t" },
  { view: 'sql', session: 'a1', db: 'shop', tab: 'k7', show: 'history', find: 'from orders' },
  { view: 'sql', session: 'a1', saved: 'x1', show: 'saved' },
  { view: 'sql', session: 'a1', entry: '18f' },
  { view: 'sql', session: 'a1', q: '', rows: 1000, chart: { on: true } },
  { view: 'sql', session: 'a1', q: 'select 1; select 2', act: 'all', at: 2 },
  { view: 'sql', session: 'a1', q: 'select 1', act: 'analyze' },
  { view: 'sql', session: 'a1', q: 'select 1', chart: { on: true, kind: 'line', x: 'a&b', y: ['c', '*'], by: '#', fold: 'sum' } },
  { view: 'overlay', session: 'a1', by: 'file' },
  { view: 'overlay', session: 'a1', since: '01J&=', until: '01K', ask: 'limit' },
  { view: 'layers', session: 'a1' },
  { view: 'layers', session: 'a1', layer: '01J', ask: 'merge' },
  { view: 'end', session: 'a1' },
];

it.each(routes)('$view goes into an address and back', (route) => {
  const url = new URL(href(route), 'http://x');
  expect(parse(url.pathname, url.search, url.hash)).toEqual(route);
});

it.each(['/x', '/s', '/s/a/nothing', '/s/a/db', '/s/a/db/b/t/public', '/s/a/db/b/t/public/x/y'])('%s is unknown', (path) => {
  expect(parse(path).view).toBe('unknown');
});

it('ignores what it cannot read', () => {
  expect(parse('/s/a/db/b/t/public/x', '?f=nonsense&f=1.drop.x&o=1.up&tab=zz&col=0&filter=x&ask=all&peek=&skip=1')).toEqual({ view: 'table', session: 'a', db: 'b', schema: 'public', table: 'x', tab: 'rows', filters: [], orders: [] });
  expect(parse('/s/a/db/b', '?kind=spell&system=2&oid=-1&ask=more')).toEqual({ view: 'database', session: 'a', db: 'b' });
  expect(parse('/s/a/db/b', '?oid=4294967296')).toEqual({ view: 'database', session: 'a', db: 'b' });
  expect(parse('/s/a/sql', '?show=all&tab=&find=', '#rows=-1&kind=line&run=drop&at=0')).toEqual({ view: 'sql', session: 'a' });
  expect(parse('/s/%E0%A4%A/sql')).toMatchObject({ view: 'sql', session: '%E0%A4%A' });
});
