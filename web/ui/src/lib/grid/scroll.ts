// The arithmetic of scrolling through more rows than an element can be high.
// A place in the rows has two measures: where the scroll bar stands, and how
// many pixels of rows lie above. They are the same as long as the element can
// be as high as the rows. Beyond that the bar stands for the part of the way
// that was gone, and a drag of it goes far; but what moves by little moves by
// as much as in a short list, and the bar is put right when it rests.

/** Browsers cap the height of an element; Chromium's cap is near 33 million pixels, Firefox's near 17. */
export const maxHeight = 8_000_000;

/** Pixels at both ends in which the two measures are the same, so that one arrives there as in a short list. */
const near = 100_000;

/** Rows of one height, and the height in which they are seen, in pixels. */
export interface List {
  rows: number;
  rowHeight: number;
  view: number;
}

export interface Place {
  /** Where the scroll bar stands, the element's scrollTop. */
  bar: number;
  /** Pixels of rows above what is in sight. */
  at: number;
}

/** Height of the scrolled content in pixels. */
export function contentHeight(rows: number, rowHeight: number): number {
  return Math.min(rows * rowHeight, maxHeight);
}

/** The last place of both measures. */
function end({ rows, rowHeight, view }: List): Place {
  return { bar: Math.max(0, contentHeight(rows, rowHeight) - view), at: Math.max(0, rows * rowHeight - view) };
}

const between = (low: number, n: number, high: number) => Math.max(low, Math.min(n, high));

/** Where the bar belongs when `at` pixels of rows are above. */
export function barOf(at: number, list: List): number {
  const last = end(list);
  if (last.bar === last.at || at <= near) return between(0, at, last.bar);
  if (at >= last.at - near) return between(0, last.bar - (last.at - at), last.bar);
  return near + ((at - near) * (last.bar - 2 * near)) / (last.at - 2 * near);
}

/** The pixels of rows above, where the bar was put by hand; whole ones. */
export function atOf(bar: number, list: List): number {
  const last = end(list);
  if (last.bar === last.at || bar <= near) return between(0, bar, last.at);
  if (bar >= last.bar - near) return between(0, last.at - (last.bar - bar), last.at);
  return Math.round(near + ((bar - near) * (last.at - 2 * near)) / (last.bar - 2 * near));
}

/**
 * The place after the element was scrolled to `bar`: by hand, if that is more
 * than a third of a pixel of the scroll bar is worth, or by a wheel, finger or key.
 */
export function moved(from: Place, bar: number, list: List): Place {
  const last = end(list);
  const drag = contentHeight(list.rows, list.rowHeight) / list.view / 3;
  if (last.bar === last.at || Math.abs(bar - from.bar) > drag) return { bar, at: atOf(bar, list) };
  return { bar, at: between(0, from.at + bar - from.bar, last.at) };
}

/**
 * Whether the bar is to be put right now: as far off as it must not get while
 * one scrolls on, which is nothing at the ends, or at all when it rests.
 */
export function strayed({ bar, at }: Place, list: List, resting: boolean): boolean {
  const last = end(list);
  const room = Math.min(bar, last.bar - bar) - 2 * list.view;
  const allowed = resting ? 1 : between(1, room, near / 2);
  return last.bar !== last.at && Math.abs(bar - barOf(at, list)) >= allowed;
}

/** The pixels above that bring a row into sight, or the present ones if it is. */
export function reveal(row: number, at: number, { rowHeight, view }: List): number {
  const want = row * rowHeight;
  if (want < at) return want;
  if (want + rowHeight > at + view) return want + rowHeight - view;
  return at;
}

/** The rows in sight as [first, last), with some more on either side. */
export function rowsInSight(at: number, { rows, rowHeight, view }: List, overscan: number): { first: number; last: number } {
  return {
    first: between(0, Math.floor(at / rowHeight) - overscan, rows),
    last: between(0, Math.ceil((at + view) / rowHeight) + overscan, rows),
  };
}

/** Which rows are drawn, and where. */
export interface Frame {
  /** Rows [first, last), as many whatever the place. */
  first: number;
  last: number;
  /** The row from which the places of the drawn ones are counted. */
  base: number;
  /** Pixels from the top of the scrolled content to row `base`, whole ones. */
  shift: number;
  /** Rows from the base that may be drawn over it. */
  reach: number;
}

/** Rows between two bases; their places stay small numbers, which elements keep exactly. */
const stride = 4096;

/**
 * The rows to draw at a place. Their number does not change while one scrolls,
 * and neither do their places as long as the base is the same, so that a row
 * which is drawn already is left alone.
 */
export function frameAt({ bar, at }: Place, list: List, overscan: number): Frame {
  const { rows, rowHeight, view } = list;
  const above = Math.min(at, end(list).at); // there may be fewer rows than before
  const drawn = Math.min(rows, Math.ceil(view / rowHeight) + 1 + 2 * overscan);
  const first = Math.min(rowsInSight(above, list, overscan).first, rows - drawn);
  const base = first - (first % stride);
  return { first, last: first + drawn, base, shift: Math.round(bar - above) + base * rowHeight, reach: Math.min(stride + drawn, rows - base) };
}
