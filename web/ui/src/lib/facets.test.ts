import { describe, expect, it } from 'vitest';
import { facetFilter, facetNote } from './facets';

describe('facetFilter', () => {
  it('leaves the rows with a value', () => {
    expect(facetFilter(3, 'Berlin')).toEqual({ column: 3, op: 'eq', value: 'Berlin' });
    expect(facetFilter(3, '')).toEqual({ column: 3, op: 'eq', value: '' });
    expect(facetFilter(3, null)).toEqual({ column: 3, op: 'null', value: '' });
  });
  it('does not compare with the beginning of a value', () => {
    expect(facetFilter(1, 'x'.repeat(500))).toBeUndefined();
    expect(facetFilter(1, '😀'.repeat(499))?.value).toHaveLength(998);
  });
});

describe('facetNote', () => {
  const items = [{ value: 'a', rows: 10, fraction: 0.5 }, { value: null, rows: 2, fraction: 0.1 }];
  it.each([
    [{ source: 'statistics', items, truncated: true, distinct: 1234 }, false, 'Estimated from the statistics in the backup; the 2 most frequent ones, there are others (about 1.2 k different).'],
    [{ source: 'statistics', items, truncated: false }, true, 'Estimated from the statistics in the backup, of all rows whatever the filters; these are all.'],
    [{ source: 'exact', items, truncated: false }, false, 'Counted in all rows; these are all.'],
    [{ source: 'exact', items: items.slice(1), truncated: true }, true, 'Counted in the rows that the other filters leave; the 1 most frequent one, there are others.'],
    [{ source: 'exact', items: [], truncated: false }, true, 'No row passes the other filters.'],
    [{ source: 'statistics', items: [], truncated: true, distinct: 50 }, false, 'The statistics in the backup name no frequent value (about 50 different).'],
  ] as const)('%j', (facets, filtered, want) => {
    expect(facetNote({ ...facets, items: [...facets.items] }, filtered)).toBe(want);
  });
  it('tells that there are no statistics', () => {
    expect(facetNote({ source: 'statistics', items: [], truncated: false }, false)).toMatch(/no statistics/);
  });
});
