// The rows of a result, whatever their number, in memory that does not grow
// with it. The first ones stay arrays of texts, so a small result is there at
// once. Those behind are kept as they came (pieces.ts) and read when they come
// into sight: at() says that a row is not there yet, and `changed` is called
// when it is. Pieces beside those in sight are read ahead, two in the direction
// of scrolling. Two are read at a time; what went out of sight before its turn
// is not read at all.
import type { Line } from '../api/ndjson';
import type { Cell } from '../grid/model';
import { Lru } from './lru';
import { Pieces, rowsOf } from './pieces';

/** The rows that stay: until there are so many, or so many bytes of them. */
export const headRows = 5000;
const headBytes = 4 << 20;
/** Bytes of the pieces that are kept read; what is in sight is kept in any case. */
const mostRead = 2 << 20;
const atATime = 2;

const head = -1; // stands for the rows that stay, as if they were a piece

export class Rows {
  readonly head: Cell[][] = [];
  #headBytes = 0;
  #pieces = new Pieces();
  #read = new Lru<number, Cell[][]>(mostRead);
  #reading = new Set<number>();
  #lost = new Set<number>();
  /** Pieces asked for since the last look at them, and those of them that are not there. */
  #asked = new Set<number>();
  #missing = new Set<number>();
  #seen = new Set<number>();
  #wanted: number[] = [];
  #top = head;
  #down = true;

  /** changed is called when rows that were asked for have come, and lost when they never will. */
  constructor(
    private readonly changed: () => void = () => undefined,
    private readonly lost: () => void = () => undefined,
  ) {}

  get count(): number {
    return this.head.length + this.#pieces.rows;
  }

  /** Puts the rows of a line behind the others; they, or their number, are what the caller knows of them. */
  add(line: Line, rows: number | Cell[][]) {
    if (this.#pieces.length === 0 && this.head.length < headRows && this.#headBytes < headBytes) {
      for (const row of typeof rows === 'number' ? rowsOf(line) : rows) this.head.push(row);
      for (const part of line) this.#headBytes += part.length;
    } else this.#pieces.add(line, typeof rows === 'number' ? rows : rows.length);
  }

  /** No more rows come. */
  end() {
    this.#pieces.close();
  }

  /** A row, or undefined while it is not in memory: then it is on its way. */
  at(row: number): Cell[] | undefined {
    if (this.#asked.size === 0) queueMicrotask(() => this.#look());
    if (row < this.head.length || row >= this.count) {
      this.#asked.add(head);
      return this.head[row];
    }
    const piece = this.#piece(row);
    this.#asked.add(piece);
    const cells = this.#read.get(piece)?.[row - this.#first(piece)];
    if (!cells) this.#missing.add(piece);
    return cells;
  }

  /** A row, from wherever it is. */
  async get(row: number): Promise<Cell[] | undefined> {
    for await (const rows of this.read(row, row + 1)) return rows[0];
    return undefined;
  }

  /** Rows in order, some at a time, of which none is kept here. */
  async *read(from = 0, to = this.count): AsyncGenerator<Cell[][], void, void> {
    if (from < Math.min(to, this.head.length)) yield this.head.slice(from, to);
    if (to <= this.head.length || from >= this.count) return;
    for (let piece = this.#piece(Math.max(from, this.head.length)); piece < this.#pieces.length; piece++) {
      const first = this.#first(piece);
      if (first >= to) return;
      const rows = await this.#load(piece);
      yield first < from || first + rows.length > to ? rows.slice(Math.max(0, from - first), to - first) : rows;
    }
  }

  #piece(row: number): number {
    return this.#pieces.find(row - this.head.length);
  }
  #first(piece: number): number {
    return this.head.length + this.#pieces.first(piece);
  }

  async #load(piece: number): Promise<Cell[][]> {
    try {
      return await this.#pieces.read(piece);
    } catch (cause) {
      this.#lost.add(piece);
      this.lost();
      throw cause;
    }
  }

  // All rows in sight were asked for: what else will be wanted?
  #look() {
    const first = Math.min(...this.#asked);
    const last = Math.max(...this.#asked);
    if (first !== this.#top) [this.#down, this.#top] = [first > this.#top, first];
    const beside = this.#down ? [last + 1, last + 2, first - 1] : [first - 1, first - 2, last + 1];
    this.#wanted = [...this.#missing, ...beside.filter((p) => p >= 0 && p < this.#pieces.length && !this.#read.has(p))];
    [this.#seen, this.#asked] = [this.#asked, new Set()];
    this.#missing.clear();
    this.#next();
  }

  #next() {
    while (this.#reading.size < atATime) {
      const piece = this.#wanted.shift();
      if (piece === undefined) return;
      if (!this.#reading.has(piece) && !this.#lost.has(piece)) void this.#keep(piece);
    }
  }

  async #keep(piece: number) {
    this.#reading.add(piece);
    const rows = await this.#load(piece).catch(() => undefined);
    this.#reading.delete(piece);
    if (rows) {
      this.#read.set(piece, rows, this.#pieces.bytes(piece), (p) => this.#seen.has(p));
      if (this.#seen.has(piece)) this.changed();
    }
    this.#next();
  }
}
