import { expect, it } from 'vitest';
import { titleOf } from './title';

it.each([
  ['', 'New query'],
  ['  \n/* nothing */', 'New query'],
  ['-- orders by month\nselect 1', 'orders by month'],
  ['--name: Board\nselect 1', 'Board'],
  ['select *\nfrom shop.orders o\njoin x on true', 'orders'],
  ['select * from "My ""shop"""."The Orders"', 'The Orders'],
  ['with a as (select 1 from inner_one) select * from a', 'a'],
  ['select extract(doy from d) from days', 'days'],
  ['select from_here, 1 from (select 1) x', 'select from_here, 1 from (s…'],
  ["select * from generate_series(1, 2) g", 'select * from generate_seri…'],
  ['explain analyze select * from t', 't'],
  ["select ' from x ', a is distinct from b from only t", 't'],
  ['show  work_mem', 'show work_mem'],
  ['select 1', 'select 1'],
  ['values (1), (2)', 'values (1), (2)'],
  ['select aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'select aaaaaaaaaaaaaaaaaaaa…'],
])('%j is called %s', (sql, title) => expect(titleOf(sql)).toBe(title));
