// The rows that were fetched as a text for the clipboard. Pure.
import { cellText, toTSV, type Cell, type GridColumn } from './model';

export const copyFormats = [
  { format: 'rows', name: 'Rows', more: 'tabs between' },
  { format: 'header', name: 'Rows with column names', more: 'tabs between' },
  { format: 'markdown', name: 'Markdown table', more: 'for an issue' },
  { format: 'json', name: 'JSON', more: 'objects' },
] as const;

/** A clipboard that is much longer stalls other programs. */
const most = 10 << 20;

export type CopyFormat = (typeof copyFormats)[number]['format'];

/** As many rows as fit, in a format. The rows come some at a time. */
export async function copyRows(format: CopyFormat, columns: GridColumn[], some: AsyncIterable<Cell[][]> | Iterable<Cell[][]>): Promise<{ text: string; rows: number }> {
  const names = columns.map((c) => c.name);
  const line: (row: Cell[]) => string =
    format === 'markdown' ? (row) => `| ${row.map(inMarkdown).join(' | ')} |` : format === 'json' ? (row) => asObject(names, row) : (row) => toTSV([row]);
  const lines: string[] = [];
  let size = 0;
  reading: for await (const rows of some)
    for (const row of rows) {
      const text = line(row);
      size += text.length + 1;
      if (size > most && lines.length) break reading;
      lines.push(text);
    }
  const n = lines.length;
  if (format === 'header') lines.unshift(toTSV([names]));
  if (format === 'markdown') lines.unshift(`| ${names.map(inMarkdown).join(' | ')} |`, `|${names.map(() => ' --- |').join('')}`);
  return { text: format === 'json' ? `[\n${lines.join(',\n')}\n]` : lines.join('\n'), rows: n };
}

function inMarkdown(cell: Cell): string {
  return cell === null ? '_NULL_' : cellText(cell).replace(/[\\|`*_<>[\]]/g, '\\$&').replace(/\r?\n/g, '<br>');
}

// Values stay texts: as numbers JavaScript would round them.
function asObject(names: string[], row: Cell[]): string {
  return `  {${names.map((name, i) => `${JSON.stringify(name)}: ${row[i] === null ? 'null' : JSON.stringify(cellText(row[i]!))}`).join(', ')}}`;
}
