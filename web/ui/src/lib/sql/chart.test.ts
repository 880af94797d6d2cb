import { describe, expect, it } from 'vitest';
import { choose, draw, mostCategories, mostSeries, number, rowCount, rowNumber, seconds, sortOf, suggest } from './chart';

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
  it('nothing is nothing', () => expect([suggest([], []), suggest([c('v', 'real')], [])]).toEqual([undefined, undefined]));
});

it('keeps what a person chose as far as the result has it', () => {
  const columns = [c('city', 'text'), c('n', 'bigint'), c('m', 'bigint')];
  const rows = [['Bonn', '1', '2'], ['Ulm', '2', '3']];
  expect(choose(columns, rows, { on: true, kind: 'area', y: ['m', 'gone'] })).toMatchObject({ kind: 'area', x: 'city', y: ['m'] });
  expect(choose(columns, rows, { on: true, x: 'city', y: ['n'], by: 'city' })!.by).toBeUndefined();
  expect(choose(columns, rows, { on: true, kind: 'pie', x: 'gone', fold: 'median' })).toMatchObject({ kind: 'bars', x: 'city', fold: 'sum' });
});

describe('the points', () => {
  it('stand in the order of time, and gaps stay gaps', () => {
    const d = draw([c('day', 'date'), c('v', 'integer')], [['2026-01-02', '2'], ['2026-01-01', null], ['infinity', '1']], { kind: 'line', x: 'day', y: ['v'], fold: 'sum' });
    expect(d.x).toEqual([Date.UTC(2026, 0, 1) / 1000, Date.UTC(2026, 0, 2) / 1000]);
    expect(d.series).toEqual([{ name: 'v', values: [null, 2] }]);
    expect(d.notes).toEqual(['1 rows whose day is not a time are left out.']);
    expect(d.folded).toBe(false);
  });
  it('of categories stand in the order of the result, and are folded', () => {
    const rows = [['b', '1'], ['a', '2'], ['b', '3'], [null, '4']];
    const by = (fold: 'sum' | 'average' | 'min' | 'max' | 'count') => draw([c('k', 'text'), c('v', 'integer')], rows, { kind: 'bars', x: 'k', y: ['v'], fold });
    expect(by('sum')).toMatchObject({ labels: ['b', 'a', 'NULL'], x: [0, 1, 2], folded: true, series: [{ values: [4, 2, 4] }] });
    expect(by('average').series[0]!.values[0]).toBe(2);
    expect(by('min').series[0]!.values[0]).toBe(1);
    expect(by('max').series[0]!.values[0]).toBe(3);
    expect(by('count').series[0]!.values[0]).toBe(2);
  });
  it('are split into series by a column', () => {
    const rows = [['2026-01-01', '1', 'n'], ['2026-01-01', '2', 's'], ['2026-01-02', '3', 'n']];
    const d = draw([c('day', 'date'), c('v', 'integer'), c('r', 'text')], rows, { kind: 'line', x: 'day', y: ['v'], by: 'r', fold: 'sum' });
    expect(d.series).toEqual([{ name: 'n', values: [1, 3] }, { name: 's', values: [2, null] }]);
    expect(d.folded).toBe(false);
  });
  it('count rows', () => expect(draw([c('k', 'text')], [['a'], ['a'], ['b']], { kind: 'bars', x: 'k', y: [rowCount], fold: 'count' })).toMatchObject({ series: [{ name: 'rows', values: [2, 1] }], folded: false }));
  it('of a cloud are all drawn', () => {
    const d = draw([c('x', 'real'), c('y', 'real')], [['1', '1'], ['1', '2']], { kind: 'points', x: 'x', y: ['y'], fold: 'sum' });
    expect([d.x, d.series[0]!.values]).toEqual([[1, 1], [1, 2]]);
  });
  it('are bounded, and say so', () => {
    const rows = Array.from({ length: 100 }, (_, i) => [`k${i}`, `s${i % 20}`, '1']);
    const d = draw([c('k', 'text'), c('s', 'text'), c('v', 'integer')], rows, { kind: 'bars', x: 'k', y: ['v'], by: 's', fold: 'sum' });
    expect([d.labels.length, d.series.length]).toEqual([mostCategories, mostSeries]);
    expect(d.notes).toEqual([`The first ${mostCategories} of 100 values of k are drawn.`, `The first ${mostSeries} series are drawn.`]);
  });
});
