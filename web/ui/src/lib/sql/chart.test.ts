import { describe, expect, it } from 'vitest';
import { choose, number, rowCount, rowNumber, seconds, sortOf, suggest } from './chart';

const c = (name: string, type: string) => ({ name, type });

it.each([
  ['2026-11-20', Date.UTC(2026, 10, 20) / 1000],
  ['2026-11-20 03:00:00', Date.UTC(2026, 10, 20, 3) / 1000],
  ['2026-11-20 03:00:00.25+00', Date.UTC(2026, 10, 20, 3) / 1000 + 0.25],
  ['2026-11-20 03:00:00+05:30', Date.UTC(2026, 10, 19, 21, 30) / 1000],
  ['2026-11-20 03:00:00-00:30', Date.UTC(2026, 10, 20, 3, 30) / 1000],
  ['0044-03-15', -60778598400 - 0],
  ['12:30:00', 45000],
  ['infinity', undefined],
  ['0044-03-15 BC', undefined],
  ['', undefined],
])('reads the time %s', (text, want) => {
  if (text.startsWith('0044-03-15') && want) expect(new Date(seconds(text)! * 1000).toISOString()).toContain('0044-03-15');
  else expect(seconds(text)).toBe(want);
});

it.each([['1', 1], ['-2.5e3', -2500], ['$1,234.50', 1234.5], ['-$3.00', -3], ['NaN', undefined], ['Infinity', undefined], ['', undefined], ['abc', undefined], [null, undefined]] as const)(
  'reads the number %s',
  (text, want) => expect(number(text)).toBe(want),
);

it('tells types apart', () => {
  expect(['timestamp with time zone', 'date', 'numeric(12,2)', 'bigint', 'money', 'text', 'integer[]', 'oid', 'boolean'].map(sortOf)).toEqual(['time', 'time', 'number', 'number', 'number', 'text', 'text', 'text', 'text']);
});

describe('what is suggested', () => {
  const days = (n: number, ...more: string[]) => Array.from({ length: n }, (_, i) => [`2026-01-${String(i + 1).padStart(2, '0')}`, String(i * 2), ...more]);
  it('numbers over time are a line', () =>
    expect(suggest([c('day', 'date'), c('total', 'numeric'), c('customer_id', 'integer')], days(9, '7'))).toMatchObject({ kind: 'line', x: 'day', y: ['total'] }));
  it('times that repeat are told apart by a text with few values', () => {
    const rows = days(5, 'north').concat(days(5, 'south'));
    expect(suggest([c('day', 'date'), c('total', 'numeric'), c('region', 'text')], rows)).toMatchObject({ kind: 'line', x: 'day', y: ['total'], by: 'region' });
  });
  it('times alone are counted', () => expect(suggest([c('at', 'timestamp without time zone')], [['2026-01-01 00:00:00']])).toMatchObject({ kind: 'bars', y: [rowCount] }));
  it('texts with numbers are bars', () => expect(suggest([c('city', 'text'), c('n', 'bigint')], [['Bonn', '1'], ['Ulm', '2']])).toMatchObject({ kind: 'bars', x: 'city', y: ['n'], by: undefined }));
  it('texts alone are counted', () => expect(suggest([c('city', 'text')], [['Bonn'], ['Ulm']])).toMatchObject({ kind: 'bars', x: 'city', y: [rowCount] }));
  it('two numbers are a line when the first rises, else points', () => {
    expect(suggest([c('i', 'integer'), c('v', 'real')], [['1', '5'], ['2', '3']])).toMatchObject({ kind: 'line', x: 'i', y: ['v'] });
    expect(suggest([c('w', 'real'), c('v', 'real')], [['3', '5'], ['2', '3']])).toMatchObject({ kind: 'points', x: 'w', y: ['v'] });
  });
  it('one number goes by its row', () => expect(suggest([c('v', 'real')], [['3']])).toMatchObject({ x: rowNumber, y: ['v'] }));
  it('looks at some rows of many', () => {
    const some = [['Bonn', '1'], ['Bonn', '2']];
    expect([suggest([c('v', 'real')], [['3']])!.kind, suggest([c('v', 'real')], [['3']], 100)!.kind]).toEqual(['bars', 'line']);
    expect(suggest([c('city', 'text'), c('n', 'bigint')], some, 1_000_000)).toMatchObject({ kind: 'bars', x: 'city', y: ['n'] });
  });
  it('nothing is nothing', () => expect([suggest([], []), suggest([c('v', 'real')], [])]).toEqual([undefined, undefined]));
});

it('keeps what a person chose as far as the result has it', () => {
  const columns = [c('city', 'text'), c('n', 'bigint'), c('m', 'bigint')];
  const rows = [['Bonn', '1', '2'], ['Ulm', '2', '3']];
  expect(choose(columns, rows, { on: true, kind: 'area', y: ['m', 'gone'] })).toMatchObject({ kind: 'area', x: 'city', y: ['m'] });
  expect(choose(columns, rows, { on: true, x: 'city', y: ['n'], by: 'city' })!.by).toBeUndefined();
  expect(choose(columns, rows, { on: true, kind: 'pie', x: 'gone', fold: 'median' })).toMatchObject({ kind: 'bars', x: 'city', fold: 'sum' });
});
