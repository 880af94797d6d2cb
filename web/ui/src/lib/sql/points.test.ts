import { describe, expect, it } from 'vitest';
import type { Cell } from '../grid/model';
import { mostCategories, mostSeries, rowCount, type Choice } from './chart';
import { mostRows, Points } from './points';

const c = (name: string, type: string) => ({ name, type });

// Rows come some at a time: here one, then the others.
function draw(columns: { name: string; type: string }[], rows: Cell[][], choice: Choice, many = rows.length) {
  const points = new Points(columns, choice);
  points.add(rows.slice(0, 1));
  points.add(rows.slice(1));
  return points.drawing(many);
}

describe('the points', () => {
  it('stand in the order of time, and gaps stay gaps', () => {
    const d = draw([c('day', 'date'), c('v', 'integer')], [['2026-01-02', '2'], ['2026-01-01', null], ['infinity', '1']], { kind: 'line', x: 'day', y: ['v'], fold: 'sum' });
    expect(d.x).toEqual([Date.UTC(2026, 0, 1) / 1000, Date.UTC(2026, 0, 2) / 1000]);
    expect(d.series).toEqual([{ name: 'v', values: [null, 2] }]);
    expect(d.notes).toEqual(['One row whose day is not a time is left out.']);
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
  it('of many rows are those of the first', () => {
    const points = new Points([c('v', 'integer')], { kind: 'line', x: '#', y: ['v'], fold: 'average' });
    for (let i = 0; i < mostRows + 10; i += 10) points.add(Array.from({ length: 10 }, (_, j) => [String(i + j)]));
    const d = points.drawing(mostRows + 10);
    expect([points.rows, d.x.length, d.x[0], d.x.at(-1), d.series[0]!.values[0], d.series[0]!.values.at(-1)]).toEqual([mostRows, mostRows, 1, mostRows, 0, mostRows - 1]);
    expect(d.notes).toEqual(['Drawn from the first 500,000 of the rows that were fetched.']);
  });
  it('that are far below zero are their own greatest', () => {
    const rows = [['a', '-5'], ['a', '-3'], ['a', null]];
    const by = (fold: 'min' | 'max') => draw([c('k', 'text'), c('v', 'integer')], rows, { kind: 'bars', x: 'k', y: ['v'], fold }).series[0]!.values;
    expect([by('min'), by('max')]).toEqual([[-5], [-3]]);
  });
});
