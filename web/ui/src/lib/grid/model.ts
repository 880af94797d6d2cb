// What the grid knows of its cells, apart from their drawing: which columns are
// in sight, how wide one should be, what a copied range looks like.

/** A value as the API sends it: text, NULL, or the beginning of a long text. */
export type Cell = string | null | { cut: string; bytes: number };

export interface GridColumn {
  name: string;
  type: string;
  /** Attribute number in its table, where the column is one of a table. */
  number?: number;
  /** Place in the primary key. */
  key?: number;
  /** Leads to a row of another table. */
  link?: boolean;
}

/** Left edges of columns; one more entry than columns, the last is the whole width. */
export function edges(widths: number[]): number[] {
  const out = [0];
  for (const width of widths) out.push(out[out.length - 1]! + width);
  return out;
}

/** The columns in sight as [first, last). */
export function columnsInSight(left: number, viewWidth: number, edge: number[]): [number, number] {
  const columns = edge.length - 1;
  let first = bisect(edge, left);
  let last = first;
  while (last < columns && edge[last]! < left + viewWidth) last++;
  first = Math.max(0, first - 1);
  return [first, Math.min(columns, last + 1)];
}

function bisect(edge: number[], at: number): number {
  let low = 0;
  let high = edge.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edge[middle]! <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

const numeric = /^(smallint|integer|bigint|numeric|real|double precision|money|oid|xid|xid8)\b(?!.*\[\])/;

/** Whether values of the type are numbers, which stand on the right. */
export function isNumeric(type: string): boolean {
  return numeric.test(type);
}

/** A width in pixels from the name and a sample of the values. */
export function widthOf(column: GridColumn, sample: (Cell | undefined)[]): number {
  let chars = 4;
  for (const cell of sample) {
    const text = cellText(cell ?? null);
    const newline = text.indexOf('\n');
    chars = Math.max(chars, newline < 0 ? text.length : newline + 2);
  }
  const head = Math.max(column.name.length * 7.6, column.type.length * 6.6) + 58;
  const body = chars * (isNumeric(column.type) ? 8.2 : 7.9) + (column.link ? 56 : 28);
  return Math.round(Math.max(72, Math.min(380, Math.max(head, body))));
}

/**
 * Whether a short text of ASCII is sure to fit into a cell, padding included.
 * Cells that need no clip are much cheaper to move: each clip is a node of its
 * own to the browser's compositor. Widths are upper bounds at 13 px.
 */
export function fits(text: string, width: number): boolean {
  let need = text.length * 8.4 + 22;
  for (let i = 0; need <= width && i < text.length; i++) {
    const letter = text.charCodeAt(i);
    if ((letter >= 64 && letter <= 90) || letter === 109 || letter === 119 || letter === 37 || letter === 38) need += 5; // @A-Z m w % &
  }
  return need <= width;
}

/** The text that a cell shows; NULL is the empty text here. */
export function cellText(cell: Cell): string {
  if (cell === null) return '';
  return typeof cell === 'string' ? cell : cell.cut;
}

/** The whole length of a cell that was cut, in bytes. */
export function cutBytes(cell: Cell | undefined): number | undefined {
  return cell !== null && typeof cell === 'object' ? cell.bytes : undefined;
}

/**
 * Rows as tab separated text, as spreadsheets and psql's \copy take it: NULL
 * is the empty field, an empty text is "", and a field with a tab, a newline
 * or a quote is quoted.
 */
export function toTSV(rows: Cell[][], header?: string[]): string {
  const field = (cell: Cell) => {
    if (cell === null) return '';
    const text = cellText(cell);
    return text === '' || /[\t\n\r"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = rows.map((row) => row.map(field).join('\t'));
  if (header) lines.unshift(header.map(field).join('\t'));
  return lines.join('\n');
}

/** What a single cell copies as: the truth, which for NULL is the word. */
export function toClipboard(cells: Cell[][], header?: string[]): string {
  if (cells.length === 1 && cells[0]!.length === 1 && !header) {
    const cell = cells[0]![0]!;
    return cell === null ? 'NULL' : cellText(cell);
  }
  return toTSV(cells, header);
}
