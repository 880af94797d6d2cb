// The values that a column has most often, as words and as filters. Pure.
import type { Facets } from './api/client';
import type { Filter } from './route';
import { count, short } from './format';

/** Characters of a value after which the server cuts it (openapi.yaml, Facets). */
const cut = 500;

/** The filter that leaves the rows with that value; none when the value may be cut. */
export function facetFilter(column: number, value: string | null): Filter | undefined {
  if (value === null) return { column, op: 'null', value: '' };
  if ([...value].length >= cut) return undefined;
  return { column, op: 'eq', value };
}

/** Where the figures come from and what they leave out. */
export function facetNote(facets: Facets, filtered: boolean): string {
  const exact = facets.source === 'exact';
  const n = facets.items.length;
  if (n === 0) {
    if (exact) return filtered ? 'No row passes the other filters.' : 'There are no rows.';
    return facets.distinct === undefined
      ? 'The backup has no statistics of this column: nothing ran ANALYZE before it was made, or it is a view.'
      : `The statistics in the backup name no frequent value${about(facets.distinct)}.`;
  }
  const source = exact
    ? filtered ? 'Counted in the rows that the other filters leave' : 'Counted in all rows'
    : `Estimated from the statistics in the backup${filtered ? ', of all rows whatever the filters' : ''}`;
  const rest = facets.truncated ? `the ${count(n)} most frequent ${n === 1 ? 'one' : 'ones'}, there are others` : 'these are all';
  return `${source}; ${rest}${exact ? '' : about(facets.distinct)}.`;
}

function about(distinct: number | undefined): string {
  return distinct === undefined || distinct < 0.5 ? '' : ` (about ${short(distinct)} different)`;
}
