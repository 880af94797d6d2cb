// The rows of a result as the lines that they came in, unread. Lines are
// gathered into pieces, and pieces into Blobs: the browser keeps their bytes
// outside of the page, and on disk when there are many. What the page holds of
// a million rows is where each piece begins. A Blob lives as long as something
// refers to it: letting go of the pieces lets go of the bytes.
import { parseLine, type Line } from '../api/ndjson';
import type { Cell } from '../grid/model';

/** A piece ends with the line that makes it this large, whichever comes first: reading one must fit into a frame of the screen. */
export const pieceRows = 1000;
export const pieceBytes = 512 << 10;
/** So does a Blob: making one has the page wait for a millisecond or more beside the copying. */
export const blobBytes = 4 << 20;

interface Piece {
  first: number;
  rows: number;
  in: Store;
  /** Its bytes in there. */
  from: number;
  bytes: number;
}

// Bytes on their way into a Blob, or there.
interface Store {
  parts: BlobPart[];
  bytes: number;
  blob?: Blob;
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
    const last = this.#list.at(-1);
    const store = last && !last.in.blob ? last.in : { parts: [], bytes: 0 };
    let piece = last;
    if (!piece || piece.in !== store || piece.rows >= pieceRows || piece.bytes >= pieceBytes)
      this.#list.push((piece = { first: this.#rows, rows: 0, in: store, from: store.bytes, bytes: 0 }));
    store.parts.push(...line, newline);
    for (const part of line) piece.bytes += part.length;
    piece.bytes += newline.length;
    piece.rows += rows;
    this.#rows += rows;
    store.bytes = piece.from + piece.bytes;
    if (store.bytes >= blobBytes) this.close();
  }

  /** Hands what has come to the browser. */
  close() {
    const store = this.#list.at(-1)?.in;
    if (!store || store.blob) return;
    store.blob = new Blob(store.parts);
    store.parts = [];
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
    const { in: store, from, bytes, rows } = this.#list[piece]!;
    const text = await (store.blob ?? new Blob(store.parts)).slice(from, from + bytes).text();
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
