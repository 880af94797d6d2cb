import { describe, expect, it } from 'vitest';
import { columnsInSight, edges, fits, isNumeric, toClipboard, toTSV, widthOf } from './model';

describe('columns', () => {
  it('draws only the ones in sight and their neighbours', () => {
    const edge = edges(Array.from({ length: 2000 }, () => 100));
    expect(columnsInSight(0, 1000, edge)).toEqual([0, 11]);
    expect(columnsInSight(100_050, 1000, edge)).toEqual([999, 1012]);
    expect(columnsInSight(199_500, 1000, edge)).toEqual([1994, 2000]);
    expect(columnsInSight(0, 1000, edges([]))).toEqual([0, 0]);
  });
  it('knows numbers from lists of numbers', () => {
    expect(isNumeric('numeric(12,2)')).toBe(true);
    expect(isNumeric('bigint')).toBe(true);
    expect(isNumeric('integer[]')).toBe(false);
    expect(isNumeric('interval')).toBe(false);
  });
  it('knows what needs no clip', () => {
    expect(fits('shipped', 90)).toBe(true);
    expect(fits('SHIPPED', 90)).toBe(false);
    expect(fits('x'.repeat(100), 380)).toBe(false);
  });
  it('keeps widths within bounds', () => {
    expect(widthOf({ name: 'a', type: 'text' }, ['x'.repeat(5000)])).toBe(380);
    expect(widthOf({ name: 'a', type: 'int' }, [null])).toBeGreaterThanOrEqual(72);
  });
});

describe('copying', () => {
  it('keeps NULL and the empty text apart', () => {
    expect(toTSV([['a', null, '']])).toBe('a\t\t""');
    expect(toClipboard([[null]])).toBe('NULL');
    expect(toClipboard([['']])).toBe('');
  });
  it('quotes what would break a row', () => {
    expect(toTSV([['a\tb', 'c"d', 'e\nf']], ['x', 'y', 'z'])).toBe('x\ty\tz\n"a\tb"\t"c""d"\t"e\nf"');
  });
});
