// Rows of a result to the clipboard: all of them, or a range of cells, as far
// as they fit (grid/copy.ts). What is not in memory is read first.
import { count } from '../format';
import { copyRows, type CopyFormat } from '../grid/copy';
import { toClipboard, type GridColumn } from '../grid/model';
import { toasts } from '../state/toast.svelte';
import type { Rows } from './rows';

/** Rows and columns from one to the other, both included. */
export interface Range {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

interface Made {
  text: string;
  /** What is said when it is done. */
  what: string;
}

export function copyAll(format: CopyFormat, columns: GridColumn[], rows: Rows): Promise<void> {
  const all = rows.count;
  return toClipboardLater(copyRows(format, columns, rows.read(0, all)).then(({ text, rows: n }) => ({ text, what: n < all ? `The first ${count(n)} rows copied` : `${count(n)} rows copied` })));
}

export function copyRange(range: Range, header: boolean, columns: GridColumn[], rows: Rows): Promise<void> {
  return toClipboardLater(rangeText(range, header, columns, rows));
}

export async function rangeText({ top, bottom, left, right }: Range, header: boolean, columns: GridColumn[], rows: Rows): Promise<Made> {
  const cut = async function* () {
    for await (const some of rows.read(top, bottom + 1)) yield some.map((row) => row.slice(left, right + 1));
  };
  const [high, wide] = [bottom - top + 1, right - left + 1];
  if (high * wide === 1 && !header) {
    for await (const cell of cut()) return { text: toClipboard(cell), what: 'Value copied' };
  }
  const { text, rows: n } = await copyRows(header ? 'header' : 'rows', columns.slice(left, right + 1), cut());
  const cells = `${n} × ${wide} cells`;
  return { text, what: high === 1 && wide === 1 ? 'Value copied' : n < high ? `The first ${cells} of ${high} × ${wide} copied` : `${cells} copied` };
}

// A browser lets a page copy while it answers a press: what is promised then
// may come later.
async function toClipboardLater(made: Promise<Made>): Promise<void> {
  try {
    const item = typeof ClipboardItem === 'undefined' ? undefined : new ClipboardItem({ 'text/plain': made.then((m) => new Blob([m.text], { type: 'text/plain' })) });
    if (item) await navigator.clipboard.write([item]);
    else await navigator.clipboard.writeText((await made).text);
    toasts.show((await made).what);
  } catch {
    const read = await made.then(() => true, () => false);
    toasts.show(read ? 'The browser does not let this page copy' : 'Not copied: the browser has lost a part of the result', 'danger');
  }
}
