import { describe, expect, it } from 'vitest';
import { atOf, barOf, contentHeight, frameAt, maxHeight, moved, reveal, rowsInSight, strayed, type List, type Place } from './scroll';

const list = (rows: number): List => ({ rows, rowHeight: 29, view: 600 });
const million = list(1_000_000);
const lastAt = (of: List) => of.rows * of.rowHeight - of.view;
const lastBar = (of: List) => contentHeight(of.rows, of.rowHeight) - of.view;

// As the grid does it: the bar is put right when it must be.
function scroll(from: Place, by: number, of: List): Place {
  const bar = Math.max(0, Math.min(from.bar + by, lastBar(of)));
  const to = moved(from, bar, of);
  return strayed(to, of, false) ? { bar: barOf(to.at, of), at: to.at } : to;
}

describe('the scroll bar', () => {
  it('is the place while the content fits', () => {
    for (const at of [0, 1, 5000, lastAt(list(1000))]) {
      expect(barOf(at, list(1000))).toBe(at);
      expect(atOf(at, list(1000))).toBe(at);
    }
    expect(barOf(50, list(3))).toBe(0);
  });

  it('stands for every place of a million rows, there and back', () => {
    expect(contentHeight(1_000_000, 29)).toBe(maxHeight);
    expect(barOf(lastAt(million), million)).toBe(lastBar(million));
    expect(atOf(lastBar(million), million)).toBe(lastAt(million));
    let before = -1;
    for (let bar = 0; bar <= lastBar(million); bar += 9973) {
      const at = atOf(bar, million);
      expect(at).toBeGreaterThan(before);
      expect(barOf(at, million)).toBeCloseTo(bar, 0);
      before = at;
    }
  });

  it('goes far when it is dragged, and as far as the wheel when that is turned', () => {
    const middle = atOf(4_000_000, million);
    const there = { bar: 4_000_000, at: middle };
    expect(moved(there, 4_000_120, million)).toEqual({ bar: 4_000_120, at: middle + 120 });
    expect(moved(there, 3_999_880, million)).toEqual({ bar: 3_999_880, at: middle - 120 });
    expect(moved(there, 4_020_000, million).at).toBe(atOf(4_020_000, million));
  });

  it('is put right where it rests, and what is in sight stays', () => {
    let here: Place = { bar: 4_000_000, at: atOf(4_000_000, million) };
    expect(strayed(here, million, true)).toBe(false);
    for (let i = 0; i < 50; i++) here = scroll(here, 120, million);
    expect(here.bar).toBe(4_006_000);
    expect(strayed(here, million, false)).toBe(false);
    expect(strayed(here, million, true)).toBe(true);
    expect(strayed({ bar: barOf(here.at, million), at: here.at }, million, true)).toBe(false);
    expect(strayed({ bar: 700, at: 700 }, list(1000), true)).toBe(false);
  });

  it('reaches both ends without a rest, by steps of any size, from anywhere', () => {
    for (const rows of [1000, 280_000, 1_000_000, 50_000_000])
      for (const by of [37, 120, 1999])
        for (const at of [0, 3_000, 99_000, 150_000, 600_000, 7_000_000]) {
          const of = list(rows);
          if (at > lastAt(of)) continue;
          let up: Place = { bar: barOf(at, of), at };
          for (let i = 0; i < 10 + at / by; i++) up = scroll(up, -by, of);
          expect(up).toEqual({ bar: 0, at: 0 });
          let down: Place = { bar: barOf(lastAt(of) - at, of), at: lastAt(of) - at };
          for (let i = 0; i < 10 + at / by; i++) down = scroll(down, by, of);
          expect(down).toEqual({ bar: lastBar(of), at: lastAt(of) });
        }
  });
});

describe('rows in sight', () => {
  it('are exact', () => {
    expect(rowsInSight(0, { rows: 1000, rowHeight: 28, view: 280 }, 0)).toEqual({ first: 0, last: 10 });
    expect(rowsInSight(28 * 5 + 1, { rows: 1000, rowHeight: 28, view: 280 }, 0)).toEqual({ first: 5, last: 16 });
    expect(rowsInSight(0, { rows: 3, rowHeight: 28, view: 280 }, 8)).toEqual({ first: 0, last: 3 });
  });
  it('come into sight', () => {
    for (const of of [list(50), million])
      for (const row of [0, 1, 49, of.rows >> 1, of.rows - 1]) {
        const { first, last } = rowsInSight(reveal(row, 300, of), of, 0);
        expect(row).toBeGreaterThanOrEqual(first);
        expect(row).toBeLessThan(last);
      }
    expect(reveal(12, 300, million)).toBe(300);
  });
});

describe('the rows that are drawn', () => {
  it('are as many at every place, and cover what is in sight', () => {
    for (const rows of [3, 21, 5000, 1_000_000]) {
      const of = list(rows);
      for (let bar = 0; bar < contentHeight(rows, 29); bar += 7919)
        for (const astray of [0, 731]) {
          const at = Math.min(atOf(bar, of), Math.max(0, lastAt(of))) - (rows > 5000 && bar > 10_000 ? astray : 0);
          const { first, last, base, shift, reach } = frameAt({ bar, at }, of, 2);
          expect(last - first).toBe(Math.min(rows, 26));
          const sight = rowsInSight(at, of, 0);
          expect(first).toBeLessThanOrEqual(sight.first);
          expect(last).toBeGreaterThanOrEqual(sight.last);
          expect(first - base).toBeLessThan(4096);
          expect(last - base).toBeLessThanOrEqual(reach);
          expect(base + reach).toBeLessThanOrEqual(rows);
          // Each is where it belongs: as far below the bar as below the place.
          expect(shift + (sight.first - base) * 29 - bar).toBe(sight.first * 29 - at);
        }
    }
  });
  it('are the last ones where there were more before', () => {
    const { first, last, base, shift } = frameAt({ bar: 4_000_000, at: 20_000_000 }, list(300_000), 2);
    expect(last).toBe(300_000);
    expect(shift + (first - base) * 29).toBeLessThan(4_000_000);
    expect(shift + (last - base) * 29).toBeGreaterThanOrEqual(4_000_600);
  });
  it('are none of no rows', () => expect(frameAt({ bar: 0, at: 0 }, list(0), 2)).toMatchObject({ first: 0, last: 0 }));
});
