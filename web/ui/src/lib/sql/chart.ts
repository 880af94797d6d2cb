// What of a result can be drawn, and how: which column goes along the bottom and
// which are drawn over it. Pure; the points are in points.ts, and the drawing
// itself is in views/sql/ResultChart.svelte.
import type { ChartChoice } from '../api/client';
import { cellText, isNumeric, type Cell } from '../grid/model';

export const kinds = ['line', 'area', 'bars', 'points'] as const;
export type Kind = (typeof kinds)[number];
export const folds = ['sum', 'average', 'min', 'max', 'count'] as const;
export type Fold = (typeof folds)[number];

/** What stands for "the number of the row" as x, and for "how many rows" as y. */
export const rowNumber = '#';
export const rowCount = '*';

export interface Choice {
  kind: Kind;
  x: string;
  y: string[];
  by?: string;
  fold: Fold;
}

export interface Named {
  name: string;
  type: string;
}

/** Most categories along the bottom, and series. */
export const mostCategories = 60;
export const mostSeries = 12;
const sample = 2000;

export type Sort = 'time' | 'number' | 'text';

export function sortOf(type: string): Sort {
  if (/\[\]$/.test(type)) return 'text';
  if (/^(timestamp|date\b|time\b)/.test(type)) return 'time';
  return isNumeric(type) && !/^(oid|xid)/.test(type) ? 'number' : 'text';
}

const keyLike = /(^|_)(id|no|nr|oid|key|pk|zip|year)$/i;

/** How a result of so many rows, of which some are looked at, is drawn when nobody has said how; undefined when there is nothing to draw. */
export function suggest(columns: Named[], rows: Cell[][], many = rows.length): Choice | undefined {
  if (columns.length === 0 || rows.length === 0) return undefined;
  const sorts = columns.map((c) => sortOf(c.type));
  const all = (sort: Sort) => columns.flatMap((c, i) => (sorts[i] === sort ? [{ ...c, i }] : []));
  const numbers = all('number');
  const times = all('time');
  const texts = all('text').map((c) => ({ ...c, values: distinct(rows, c.i) }));
  const measures = (but?: string) => {
    const rest = numbers.filter((c) => c.name !== but);
    const real = rest.filter((c) => !keyLike.test(c.name));
    return (real.length ? real : rest).slice(0, 4).map((c) => c.name);
  };
  if (times.length) {
    const x = times[0]!;
    const y = measures();
    const repeated = distinct(rows, x.i).size < Math.min(rows.length, sample);
    const by = repeated ? texts.find((c) => c.values.size > 1 && c.values.size <= mostSeries) : undefined;
    if (!y.length) return { kind: 'bars', x: x.name, y: [rowCount], by: by?.name, fold: 'count' };
    return { kind: many <= 3 ? 'bars' : 'line', x: x.name, y: by ? y.slice(0, 1) : y, by: by?.name, fold: repeated ? 'sum' : 'average' };
  }
  const few = texts.filter((c) => c.values.size <= mostCategories).sort((a, b) => b.values.size - a.values.size || a.i - b.i)[0];
  const unique = texts.find((c) => c.values.size === Math.min(rows.length, sample));
  if (numbers.length === 0) {
    const x = few ?? texts[0];
    return x && { kind: 'bars', x: x.name, y: [rowCount], fold: 'count' };
  }
  const keys = numbers.filter((c) => keyLike.test(c.name));
  if (few && (many <= mostCategories || few !== unique)) {
    const by = few === unique ? undefined : texts.find((c) => c !== few && c.values.size > 1 && c.values.size <= 6);
    const y = measures();
    return { kind: 'bars', x: few.name, y: by ? y.slice(0, 1) : y, by: by?.name, fold: 'sum' };
  }
  if (numbers.length > 1) {
    const x = keys[0] ?? (rising(rows, numbers[0]!.i) ? numbers[0]! : undefined);
    if (x) return { kind: 'line', x: x.name, y: measures(x.name), fold: 'average' };
    return { kind: 'points', x: numbers[0]!.name, y: measures(numbers[0]!.name).slice(0, 3), fold: 'average' };
  }
  return { kind: many <= mostCategories ? 'bars' : 'line', x: rowNumber, y: [numbers[0]!.name], fold: 'sum' };
}

/** What a person chose, where the result has it, over what is suggested. */
export function choose(columns: Named[], rows: Cell[][], wanted: ChartChoice | undefined, many = rows.length): Choice | undefined {
  const suggested = suggest(columns, rows, many);
  if (!suggested || !wanted) return suggested;
  const has = (name: string | undefined) => name !== undefined && columns.some((c) => c.name === name);
  const y = wanted.y?.filter((name) => name === rowCount || has(name));
  const x = wanted.x === rowNumber || has(wanted.x) ? wanted.x! : suggested.x;
  return {
    kind: kinds.find((k) => k === wanted.kind) ?? suggested.kind,
    x,
    y: y?.length ? y : suggested.y.filter((name) => name !== x).length ? suggested.y.filter((name) => name !== x) : suggested.y,
    by: wanted.by === undefined ? (wanted.x || wanted.y ? undefined : suggested.by) : has(wanted.by) && wanted.by !== x ? wanted.by : undefined,
    fold: folds.find((f) => f === wanted.fold) ?? suggested.fold,
  };
}

const stamp = /^(\d{4,6})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d(?:\.\d+)?))?([+-]\d\d)?(?::(\d\d))?(?::(\d\d))?$/;
const clock = /^(\d\d):(\d\d):(\d\d(?:\.\d+)?)/;

/** Seconds since 1970 of PostgreSQL's text (DateStyle ISO); undefined for infinity, years before Christ and NULL. */
export function seconds(cell: Cell): number | undefined {
  const text = cellText(cell);
  const m = stamp.exec(text);
  if (!m) {
    const t = clock.exec(text);
    return t ? Number(t[1]) * 3600 + Number(t[2]) * 60 + Number(t[3]) : undefined;
  }
  const day = new Date(0);
  day.setUTCFullYear(Number(m[1]), Number(m[2]) - 1, Number(m[3]));
  const zone = m[7] ? Number(m[7]) * 3600 + Math.sign(Number(m[7] + '1')) * (Number(m[8] ?? 0) * 60 + Number(m[9] ?? 0)) : 0;
  const whole = day.getTime() / 1000 + Number(m[4] ?? 0) * 3600 + Number(m[5] ?? 0) * 60 + Number(m[6] ?? 0) - zone;
  return Number.isFinite(whole) ? whole : undefined;
}

/** A number of PostgreSQL's text, money too; undefined for NULL, NaN and infinity. */
export function number(cell: Cell): number | undefined {
  if (cell === null) return undefined;
  const text = cellText(cell);
  let value = Number(text);
  if (Number.isNaN(value) || text === '') {
    if (!/^[(-]?\D{0,3}\d/.test(text)) return undefined;
    value = Number(text.replace(/[^\d.eE-]/g, ''));
  }
  return Number.isFinite(value) ? value : undefined;
}

/** The value as a category or the name of a series. */
export function word(cell: Cell): string {
  return cell === null ? 'NULL' : cellText(cell) === '' ? "''" : cellText(cell).slice(0, 80);
}

function distinct(rows: Cell[][], column: number): Set<string> {
  const found = new Set<string>();
  for (let r = 0; r < Math.min(rows.length, sample); r++) found.add(word(rows[r]![column]!));
  return found;
}

function rising(rows: Cell[][], column: number): boolean {
  let last = -Infinity;
  for (let r = 0; r < Math.min(rows.length, sample); r++) {
    const value = number(rows[r]![column]!);
    if (value === undefined || value <= last) return false;
    last = value;
  }
  return true;
}
