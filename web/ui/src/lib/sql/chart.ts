// What of a result can be drawn, and how: which column goes along the bottom,
// which are drawn over it, and the points of each series. Pure; the drawing
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

interface Named {
  name: string;
  type: string;
}

export interface Series {
  name: string;
  values: (number | null)[];
}

export interface Drawing {
  scale: 'time' | 'number' | 'category';
  /** Seconds since 1970, numbers, or places of the labels; ascending. */
  x: number[];
  labels: string[];
  series: Series[];
  /** Several rows had the same x in one series, and were folded. */
  folded: boolean;
  /** What a reader must know: what was left out. */
  notes: string[];
  /** The times have a zone, and are drawn in UTC. */
  utc: boolean;
}

/** Most rows that are looked at, categories along the bottom, and series. */
export const mostRows = 500_000;
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

/** How a result is drawn when nobody has said how; undefined when there is nothing to draw. */
export function suggest(columns: Named[], rows: Cell[][]): Choice | undefined {
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
    return { kind: rows.length <= 3 ? 'bars' : 'line', x: x.name, y: by ? y.slice(0, 1) : y, by: by?.name, fold: repeated ? 'sum' : 'average' };
  }
  const few = texts.filter((c) => c.values.size <= mostCategories).sort((a, b) => b.values.size - a.values.size || a.i - b.i)[0];
  const unique = texts.find((c) => c.values.size === Math.min(rows.length, sample));
  if (numbers.length === 0) {
    const x = few ?? texts[0];
    return x && { kind: 'bars', x: x.name, y: [rowCount], fold: 'count' };
  }
  const keys = numbers.filter((c) => keyLike.test(c.name));
  if (few && (rows.length <= mostCategories || few !== unique)) {
    const by = few === unique ? undefined : texts.find((c) => c !== few && c.values.size > 1 && c.values.size <= 6);
    const y = measures();
    return { kind: 'bars', x: few.name, y: by ? y.slice(0, 1) : y, by: by?.name, fold: 'sum' };
  }
  if (numbers.length > 1) {
    const x = keys[0] ?? (rising(rows, numbers[0]!.i) ? numbers[0]! : undefined);
    if (x) return { kind: 'line', x: x.name, y: measures(x.name), fold: 'average' };
    return { kind: 'points', x: numbers[0]!.name, y: measures(numbers[0]!.name).slice(0, 3), fold: 'average' };
  }
  return { kind: rows.length <= mostCategories ? 'bars' : 'line', x: rowNumber, y: [numbers[0]!.name], fold: 'sum' };
}

/** What a person chose, where the result has it, over what is suggested. */
export function choose(columns: Named[], rows: Cell[][], wanted: ChartChoice | undefined): Choice | undefined {
  const suggested = suggest(columns, rows);
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

/** The points of what was chosen. */
export function draw(columns: Named[], rows: Cell[][], choice: Choice): Drawing {
  const at = (name: string) => columns.findIndex((c) => c.name === name);
  const xAt = choice.x === rowNumber ? -1 : at(choice.x);
  const byAt = choice.by === undefined ? -1 : at(choice.by);
  const ys = choice.y.map((name) => ({ name, at: name === rowCount ? -1 : at(name) }));
  const sort = xAt < 0 ? 'number' : sortOf(columns[xAt]!.type);
  // Bars stand beside each other, whatever the distance of their numbers.
  const scale = sort === 'text' ? 'category' : sort;
  const notes: string[] = [];
  const places = new Map<number | string, number>(); // of an x in `points`
  const points: (number | string)[] = [];
  const series = new Map<string, Map<number, Sum>>();
  const loose = choice.kind === 'points' && scale !== 'category';
  let withoutX = 0;
  let cutSeries = false;
  let categories = 0;
  let folded = false;
  const many = Math.min(rows.length, mostRows);
  for (let r = 0; r < many; r++) {
    const row = rows[r]!;
    const x = xAt < 0 ? r + 1 : scale === 'category' ? word(row[xAt]!) : (scale === 'time' ? seconds : number)(row[xAt]!);
    if (x === undefined) {
      withoutX++;
      continue;
    }
    let place = loose ? undefined : places.get(x);
    if (place === undefined) {
      if (scale === 'category' && points.length >= mostCategories) {
        if (!places.has(x)) places.set(x, -1), categories++;
        continue;
      }
      place = points.length;
      if (!loose) places.set(x, place);
      points.push(x);
    }
    if (place < 0) continue;
    for (const y of ys) {
      const value = y.at < 0 ? 1 : number(row[y.at]!);
      if (value === undefined) continue;
      const group = byAt < 0 ? undefined : word(row[byAt]!);
      const name = group === undefined ? (y.at < 0 ? 'rows' : y.name) : ys.length === 1 ? group : `${group}, ${y.at < 0 ? 'rows' : y.name}`;
      let line = series.get(name);
      if (!line) {
        if (series.size >= mostSeries) {
          cutSeries = true;
          continue;
        }
        series.set(name, (line = new Map()));
      }
      const sum = line.get(place);
      if (!sum) line.set(place, { sum: value, n: 1, min: value, max: value });
      else {
        folded ||= y.at >= 0;
        sum.sum += value;
        sum.n++;
        if (value < sum.min) sum.min = value;
        if (value > sum.max) sum.max = value;
      }
    }
  }
  const order = points.map((_, i) => i);
  if (scale !== 'category') order.sort((a, b) => (points[a] as number) - (points[b] as number));
  if (rows.length > many) notes.push(`Drawn from the first ${many.toLocaleString('en-US')} of the rows that were fetched.`);
  if (withoutX) notes.push(`${withoutX.toLocaleString('en-US')} rows whose ${choice.x} is not a ${scale} are left out.`);
  if (categories) notes.push(`The first ${mostCategories} of ${(mostCategories + categories).toLocaleString('en-US')} values of ${choice.x} are drawn.`);
  if (cutSeries) notes.push(`The first ${mostSeries} series are drawn.`);
  const type = xAt < 0 ? '' : columns[xAt]!.type;
  return {
    scale,
    x: order.map((i, place) => (scale === 'category' ? place : (points[i] as number))),
    labels: scale === 'category' ? order.map((i) => points[i] as string) : [],
    series: [...series].map(([name, line]) => ({ name, values: order.map((i) => fold(line.get(i), name === 'rows' && byAt < 0 && ys.length === 1 && ys[0]!.at < 0 ? 'sum' : choice.fold)) })),
    folded,
    notes,
    utc: /with time zone/.test(type) && !/without time zone/.test(type),
  };
}

interface Sum {
  sum: number;
  n: number;
  min: number;
  max: number;
}

function fold(sum: Sum | undefined, how: Fold): number | null {
  if (!sum) return null;
  return how === 'average' ? sum.sum / sum.n : how === 'count' ? sum.n : sum[how];
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

function word(cell: Cell): string {
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
