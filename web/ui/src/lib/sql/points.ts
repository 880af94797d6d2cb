// The points of what was chosen to be drawn (chart.ts). Rows are taken some at
// a time and not kept; what has the same x in one series is folded at once.
import type { Cell } from '../grid/model';
import { mostCategories, mostSeries, number, rowCount, rowNumber, seconds, sortOf, word, type Choice, type Fold, type Named } from './chart';

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

/** Most rows that are looked at. */
export const mostRows = 500_000;

export class Points {
  /** Rows that were taken. */
  rows = 0;
  readonly #type: string;
  readonly #x: number;
  readonly #by: number;
  readonly #ys: { name: string; at: number }[];
  readonly #scale: Drawing['scale'];
  readonly #loose: boolean;
  #places = new Map<number | string, number>(); // of an x in #points
  #points: (number | string)[] = [];
  #series = new Map<string, Sums>();
  #withoutX = 0;
  #cutSeries = false;
  #cutCategories = 0;
  #folded = false;

  constructor(
    columns: Named[],
    readonly choice: Choice,
  ) {
    const at = (name: string) => columns.findIndex((c) => c.name === name);
    this.#x = choice.x === rowNumber ? -1 : at(choice.x);
    this.#by = choice.by === undefined ? -1 : at(choice.by);
    this.#ys = choice.y.map((name) => ({ name, at: name === rowCount ? -1 : at(name) }));
    this.#type = this.#x < 0 ? '' : columns[this.#x]!.type;
    const sort = this.#x < 0 ? 'number' : sortOf(this.#type);
    // Bars stand beside each other, whatever the distance of their numbers.
    this.#scale = sort === 'text' ? 'category' : sort;
    this.#loose = choice.kind === 'points' && this.#scale !== 'category';
  }

  /** Takes the next rows, as far as they are looked at. */
  add(rows: Cell[][]) {
    for (const row of rows) {
      if (this.rows >= mostRows) return;
      this.rows++;
      const place = this.#place(row);
      if (place !== undefined) for (const y of this.#ys) this.#value(place, y, row);
    }
  }

  // Where the x of a row is among the points, if it is drawn.
  #place(row: Cell[]): number | undefined {
    const x = this.#x < 0 ? this.rows : this.#scale === 'category' ? word(row[this.#x]!) : (this.#scale === 'time' ? seconds : number)(row[this.#x]!);
    if (x === undefined) return void this.#withoutX++;
    let place = this.#loose ? undefined : this.#places.get(x);
    if (place === undefined) {
      if (this.#scale === 'category' && this.#points.length >= mostCategories) {
        this.#places.set(x, -1);
        return void this.#cutCategories++;
      }
      place = this.#points.length;
      if (!this.#loose) this.#places.set(x, place);
      this.#points.push(x);
    }
    return place < 0 ? undefined : place;
  }

  #value(place: number, y: { name: string; at: number }, row: Cell[]) {
    const value = y.at < 0 ? 1 : number(row[y.at]!);
    if (value === undefined) return;
    const own = y.at < 0 ? 'rows' : y.name;
    const group = this.#by < 0 ? undefined : word(row[this.#by]!);
    const name = group === undefined ? own : this.#ys.length === 1 ? group : `${group}, ${own}`;
    let sums = this.#series.get(name);
    if (!sums) {
      if (this.#series.size >= mostSeries) return void (this.#cutSeries = true);
      this.#series.set(name, (sums = new Sums()));
    }
    if (sums.add(place, value)) this.#folded ||= y.at >= 0;
  }

  /** What the rows that were taken come to, of so many in all. */
  drawing(many: number): Drawing {
    const [points, choice, scale] = [this.#points, this.choice, this.#scale];
    const order = points.map((_, i) => i);
    if (scale !== 'category') order.sort((a, b) => (points[a] as number) - (points[b] as number));
    const notes: string[] = [];
    const write = (n: number) => n.toLocaleString('en-US');
    if (many > mostRows) notes.push(`Drawn from the first ${write(mostRows)} of the rows that were fetched.`);
    if (this.#withoutX) notes.push(this.#withoutX === 1 ? `One row whose ${choice.x} is not a ${scale} is left out.` : `${write(this.#withoutX)} rows whose ${choice.x} is not a ${scale} are left out.`);
    if (this.#cutCategories) notes.push(`The first ${mostCategories} of ${write(mostCategories + this.#cutCategories)} values of ${choice.x} are drawn.`);
    if (this.#cutSeries) notes.push(`The first ${mostSeries} series are drawn.`);
    const counted = this.#by < 0 && this.#ys.length === 1 && this.#ys[0]!.at < 0;
    return {
      scale,
      x: order.map((i, place) => (scale === 'category' ? place : (points[i] as number))),
      labels: scale === 'category' ? order.map((i) => points[i] as string) : [],
      series: [...this.#series].map(([name, sums]) => ({ name, values: order.map((i) => sums.fold(i, name === 'rows' && counted ? 'sum' : choice.fold)) })),
      folded: this.#folded,
      notes,
      utc: /with time zone/.test(this.#type) && !/without time zone/.test(this.#type),
    };
  }
}

// What the values at each place of a series come to. Half a million places as
// objects would take three times the memory.
class Sums {
  #sum = new Float64Array(64);
  #min = new Float64Array(64);
  #max = new Float64Array(64);
  #n = new Uint32Array(64);

  /** Whether there was a value at the place. */
  add(place: number, value: number): boolean {
    if (place >= this.#n.length) this.#grow(place);
    const again = this.#n[place]! > 0;
    this.#n[place]!++;
    this.#sum[place]! += value;
    if (!again || value < this.#min[place]!) this.#min[place] = value;
    if (!again || value > this.#max[place]!) this.#max[place] = value;
    return again;
  }

  #grow(place: number) {
    const length = 2 ** Math.ceil(Math.log2(place + 1));
    const longer = <T extends Float64Array | Uint32Array>(made: T, old: T) => (made.set(old), made);
    this.#sum = longer(new Float64Array(length), this.#sum);
    this.#min = longer(new Float64Array(length), this.#min);
    this.#max = longer(new Float64Array(length), this.#max);
    this.#n = longer(new Uint32Array(length), this.#n);
  }

  fold(place: number, how: Fold): number | null {
    const n = this.#n[place];
    if (!n) return null;
    if (how === 'count') return n;
    return how === 'average' ? this.#sum[place]! / n : { sum: this.#sum, min: this.#min, max: this.#max }[how][place]!;
  }
}
