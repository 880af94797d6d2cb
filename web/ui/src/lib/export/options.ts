// What can be chosen of an export, and the request that it makes. Pure: a
// choice that the format does not have, or that is the server's own, is left
// out of the request, which refuses what it cannot use.
import type { ExportRequest } from '../api/client';

export type Format = Exclude<ExportRequest['format'], 'put-back'>;
export const formats: { format: Format; name: string }[] = [
  { format: 'csv', name: 'CSV' },
  { format: 'json', name: 'JSON' },
  { format: 'ndjson', name: 'NDJSON' },
  { format: 'sql', name: 'SQL' },
  { format: 'parquet', name: 'Parquet' },
];

/** What is remembered in this browser, for every format its own. */
export interface Choices {
  format: Format;
  csv: { delimiter: string; quote: ExportRequest['quote']; null: string; lineEnd: ExportRequest['lineEnd']; header: boolean; bom: boolean; escapeFormulas: boolean };
  json: { shape: ExportRequest['shape']; header: boolean };
  ndjson: { shape: ExportRequest['shape']; header: boolean };
  sql: { rowsPerStatement: number; nothing: boolean; columnNames: boolean; createTable: boolean };
  parquet: { codec: ExportRequest['parquetCompression'] };
  compression: ExportRequest['compression'];
}

export const defaults: Choices = {
  format: 'csv',
  csv: { delimiter: ',', quote: 'needed', null: '', lineEnd: 'lf', header: true, bom: false, escapeFormulas: false },
  json: { shape: 'objects', header: true },
  ndjson: { shape: 'objects', header: true },
  sql: { rowsPerStatement: 200, nothing: true, columnNames: true, createTable: false },
  parquet: { codec: 'zstd' },
  compression: 'none',
};

/** What was remembered, made whole: an older page may have known less. */
export function revive(kept: unknown): Choices {
  const out = structuredClone(defaults);
  if (!kept || typeof kept !== 'object') return out;
  const from = kept as Record<string, unknown>;
  const into = out as unknown as Record<string, unknown>;
  for (const [name, value] of Object.entries(out)) {
    const have = from[name];
    if (typeof have !== typeof value) continue;
    if (typeof value !== 'object') into[name] = have;
    else if (have) for (const [key, old] of Object.entries(value)) if (typeof (have as Record<string, unknown>)[key] === typeof old) (value as Record<string, unknown>)[key] = (have as Record<string, unknown>)[key];
  }
  if (!formats.some((f) => f.format === out.format)) out.format = defaults.format;
  return out;
}

/** Rows that an export is of. */
export type Rows = Pick<Partial<ExportRequest>, 'sql' | 'relation' | 'filter' | 'order' | 'keys'>;

/** What is chosen for one export alone. */
export interface Once {
  /** Numbers of columns in their order; undefined for all. */
  columns?: number[];
  limit?: number;
  target?: string;
  fileName?: string;
}

export function toRequest(rows: Rows, c: Choices, once: Once): ExportRequest {
  const out: Partial<ExportRequest> = { ...rows, format: c.format };
  for (const list of ['filter', 'order', 'keys'] as const) if (!out[list]?.length) delete out[list];
  const say = <K extends keyof ExportRequest>(name: K, value: ExportRequest[K], otherwise: unknown) => {
    if (value !== otherwise) out[name] = value;
  };
  switch (c.format) {
    case 'csv':
      say('delimiter', c.csv.delimiter, ',');
      say('quote', c.csv.quote, 'needed');
      say('null', c.csv.null, '');
      say('lineEnd', c.csv.lineEnd, 'lf');
      say('header', c.csv.header, true);
      say('bom', c.csv.bom, false);
      say('escapeFormulas', c.csv.escapeFormulas, false);
      break;
    case 'json':
    case 'ndjson':
      say('shape', c[c.format].shape, 'objects');
      if (c[c.format].shape === 'arrays') say('header', c[c.format].header, true);
      break;
    case 'sql':
      say('rowsPerStatement', c.sql.rowsPerStatement, 200);
      say('onConflict', c.sql.nothing ? 'nothing' : 'error', 'error');
      say('columnNames', c.sql.columnNames, true);
      say('createTable', c.sql.createTable, false);
      if (once.target?.trim()) out.target = once.target.trim();
      break;
    case 'parquet':
      say('parquetCompression', c.parquet.codec, 'zstd');
  }
  if (c.format !== 'parquet') say('compression', c.compression, 'none');
  if (once.columns) out.columns = once.columns;
  if (once.limit) out.limit = once.limit;
  const name = once.fileName && bare(once.fileName);
  if (name) out.fileName = name;
  return out as ExportRequest;
}

/** A file's name without the endings that the server gives it. */
export function bare(name: string): string {
  return name.trim().replace(/\.(gz|zst)$/i, '').replace(/\.(csv|json|ndjson|sql|parquet)$/i, '');
}
