import { expect, it } from 'vitest';
import { matchesQuery, readSql, tagsOf, writeSql } from './library';

const two = [
  { name: 'Orders by month', description: 'for the board\nsecond line', tags: ['sales', 'monthly'], database: 'shop', sql: "-- a note\nselect ';'\nfrom orders", chart: { on: true, kind: 'line', x: 'month', y: ['total'] } },
  { name: 'Other', sql: 'select 1; select 2;' },
];

it('writes what it reads', () => {
  const text = writeSql(two);
  const back = readSql(text, 'ignored.sql');
  expect(back).toMatchObject([{ ...two[0], sql: two[0]!.sql + ';' }, two[1]!]);
  expect(writeSql(back)).toBe(text);
});

it('takes any file of SQL as one statement', () => {
  expect(readSql('\ufeff-- tags: not ours\r\nselect 1;\r\n-- name in a comment\r\n', 'report.sql')).toEqual([{ name: 'report', sql: '-- tags: not ours\nselect 1;\n-- name in a comment' }]);
  expect(readSql('  \n', 'empty.sql')).toEqual([]);
});

it('keeps what only looks like a head below the statement', () => {
  const [one] = readSql('-- name: a\nselect 1\n-- tags: x\n;', 'f.sql');
  expect(one).toEqual({ name: 'a', sql: 'select 1\n-- tags: x\n;' });
});

it('does not believe a chart that is none', () => {
  expect(readSql('-- name: a\n-- chart: {"on":\nselect 1', 'f.sql')[0]!.chart).toBeUndefined();
});

it('reads tags', () => expect(tagsOf(' a, b ,,a')).toEqual(['a', 'b']));

it('finds by words and tags', () => {
  const q = { id: '1', createdAt: '', updatedAt: '', ...two[0]! };
  expect(matchesQuery(q, '')).toBe(true);
  expect(matchesQuery(q, 'ORDERS #sales')).toBe(true);
  expect(matchesQuery(q, '#orders')).toBe(false);
});
