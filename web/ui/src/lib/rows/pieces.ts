// The rows of a result as the lines that they came in, unread. Lines are
// gathered into pieces, each a Blob: the browser keeps its bytes outside of the
// page, and on disk when there are many. What the page holds of a million rows
// is where each piece begins. A Blob lives as long as something refers to it:
// letting go of the pieces lets go of the bytes.
import { parseLine, type Line } from '../api/ndjson';
import type { Cell } from '../grid/model';

/** A piece is closed with the line that makes it this large, whichever comes first: reading one must fit into a frame of the screen. */
export const pieceRows = 1000;
export const pieceBytes = 512 << 10;

interface Piece {
  first: number;
  rows: number;
  bytes: number;
  /** Of the last piece while lines still come. */
  open: BlobPart[] | undefined;
  blob: Blob | undefined;
}

const newline = new Uint8Array([10]);

export class Pieces {
  #list: Piece[] = [];
  #rows = 0;

  /** Rows in all pieces. */
  get rows(): number {
    return this.#rows;
  }
  get length(): number {
    return this.#list.length;
  }

  /** Puts a line with so many rows behind the others. */
  add(line: Line, rows: number) {
    let last = this.#list.at(-1);
    if (!last?.open) this.#list.push((last = { first: this.#rows, rows: 0, bytes: 0, open: [], blob: undefined }));
    for (const part of line) last.bytes += part.length;
    last.open!.push(...line, newline);
    last.rows += rows;
    this.#rows += rows;
    if (last.rows >= pieceRows || last.bytes >= pieceBytes) this.close();
  }

  /** Hands the last piece to the browser. */
  close() {
    const last = this.#list.at(-1);
    if (!last?.open) return;
    last.blob = new Blob(last.open);
    last.open = undefined;
  }

  /** The place of the piece that has a row, which must be there. */
  find(row: number): number {
    let low = 0;
    let high = this.#list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#list[middle]!.first <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The number of a piece's first row. */
  first(piece: number): number {
    return this.#list[piece]!.first;
  }
  bytes(piece: number): number {
    return this.#list[piece]!.bytes;
  }

  /** The rows of a piece, as many as it has now; fails if the browser has lost them. */
  async read(piece: number): Promise<Cell[][]> {
    const { blob, open, rows } = this.#list[piece]!;
    const text = await (blob ?? new Blob(open)).text();
    const out: Cell[][] = [];
    for (const line of text.split('\n')) if (line) for (const row of (JSON.parse(line) as { rows: Cell[][] }).rows) out.push(row);
    if (out.length !== rows) throw new Error(`a piece has ${out.length} rows instead of ${rows}`);
    return out;
  }
}

/** The rows of one line. */
export function rowsOf(line: Line): Cell[][] {
  return parseLine<{ rows: Cell[][] }>(line).rows;
}
