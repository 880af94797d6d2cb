import { describe, expect, it } from 'vitest';
import { columnsInSight, contentHeight, edges, fits, frameAt, isNumeric, maxHeight, rowsInSight, scrollTo, toClipboard, toTSV, widthOf } from './model';

describe('rows in sight', () => {
  it('is exact while the content fits', () => {
    expect(rowsInSight(0, 280, 1000, 28, 0)).toEqual({ first: 0, last: 10, offset: 0 });
    expect(rowsInSight(28 * 5 + 1, 280, 1000, 28, 0)).toEqual({ first: 5, last: 16, offset: 140 });
    expect(rowsInSight(0, 280, 3, 28, 8)).toEqual({ first: 0, last: 3, offset: 0 });
  });

  it('reaches the last of a million rows, and shows it at the end', () => {
    const rows = 1_000_000;
    const height = contentHeight(rows, 28);
    expect(height).toBe(maxHeight);
    const end = rowsInSight(height - 600, 600, rows, 28, 4);
    expect(end.last).toBe(rows);
    // The last row's lower edge is the content's.
    expect(end.offset + (end.last - end.first) * 28).toBeCloseTo(height, 3);
  });

  it('moves on with every pixel scrolled', () => {
    let before = -1;
    for (let top = 0; top < maxHeight; top += 9973) {
      const { first } = rowsInSight(top, 600, 1_000_000, 28, 0);
      expect(first).toBeGreaterThanOrEqual(before);
      before = first;
    }
  });

  it('scrolls to where a row is in sight', () => {
    for (const rows of [50, 1_000_000])
      for (const row of [0, 1, 49, rows >> 1, rows - 1].filter((r) => r < rows)) {
        const top = scrollTo(row, 0, 600, rows, 28);
        const { first, last } = rowsInSight(top, 600, rows, 28, 0);
        expect(row).toBeGreaterThanOrEqual(first);
        expect(row).toBeLessThan(last);
      }
  });
});

describe('the rows that are drawn', () => {
  it('are as many at every position, and cover what is in sight', () => {
    for (const rows of [3, 21, 5000, 1_000_000]) {
      const most = Math.min(rows, 26);
      for (let top = 0; top < contentHeight(rows, 29); top += 7919) {
        const { first, last, base, shift, reach } = frameAt(top, 600, rows, 29, 2);
        expect(last - first).toBe(most);
        const sight = rowsInSight(top, 600, rows, 29, 0);
        expect(first).toBeLessThanOrEqual(sight.first);
        expect(last).toBeGreaterThanOrEqual(sight.last);
        expect(first - base).toBeLessThan(4096);
        expect(last - base).toBeLessThanOrEqual(reach);
        expect(base + reach).toBeLessThanOrEqual(rows);
        // Each is where it belongs, to a pixel.
        expect(Math.abs(shift + (sight.first - base) * 29 - sight.offset)).toBeLessThanOrEqual(0.5);
      }
    }
  });
  it('are none of no rows', () => expect(frameAt(0, 600, 0, 29, 2)).toMatchObject({ first: 0, last: 0 }));
});

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
