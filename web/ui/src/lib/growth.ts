// What the overlay's bytes are called, and how they become the boxes of the
// treemap. Pure functions.
import type { Growth } from './api/client';

/** Names and reasons of the causes that the API gives; others are shown by their own name. */
export const causes: Record<string, { name: string; why: string }> = {
  data: { name: 'Table data', why: 'Pages of tables that were written: by you, or by recovery.' },
  index: { name: 'Index data', why: 'Pages of indexes that were written.' },
  catalog: { name: 'System catalogues', why: 'What the server knows about its own objects; hint bits on its rows.' },
  'visibility-map': { name: 'Visibility maps', why: 'Which pages hold only rows that everybody sees.' },
  'free-space-map': { name: 'Free space maps', why: 'Where tables have room.' },
  wal: { name: 'Write-ahead log', why: 'Segments that recovery and the server wrote.' },
  transaction: { name: 'Transaction status', why: 'Commit status and subtransactions.' },
  temporary: { name: 'Temporary files', why: 'Sorts and hashes that did not fit in memory; they go away with their query.' },
  statistics: { name: 'Statistics', why: 'What the server counts about its tables.' },
  control: { name: 'Control files', why: 'pg_control and maps of files: the state of the cluster.' },
  configuration: { name: 'Configuration', why: 'Our own settings instead of those of the source host.' },
  directories: { name: 'Directories', why: 'Lists of files of the virtual disk.' },
  metadata: { name: 'File-system metadata', why: 'Inodes, bitmaps and extent trees of the virtual disk.' },
  log: { name: 'Server log', why: "PostgreSQL's own log." },
  'hint-bits': { name: 'Hint bits', why: 'Marks that reading leaves on rows.' },
  free: { name: 'Files that are gone', why: 'Still held, although no file uses it any more.' },
  other: { name: 'Other', why: 'Everything else.' },
};

export function causeName(cause: string): string {
  return causes[cause]?.name ?? (cause.charAt(0).toUpperCase() + cause.slice(1)).replaceAll('-', ' ');
}

// The colours by cause, fixed so that each keeps its own.
const hues: Record<string, number> = {
  data: 0, index: 1, wal: 2, metadata: 3, directories: 3, other: 3, 'visibility-map': 4, 'free-space-map': 4, catalog: 5, temporary: 6, free: 6, 'hint-bits': 6,
  control: 7, configuration: 7, transaction: 7, statistics: 7, log: 7,
};

/** Number of the colour of a cause: the classes h0 to h7 of app.css. */
export function hue(cause: string): number {
  return hues[cause] ?? 3;
}

export interface Item {
  name: string;
  /** What it belongs to: a schema, a folder. */
  context: string;
  bytes: number;
  cause: string;
  kind: string;
  database?: string;
  schema?: string;
  table?: string;
}

/** One entry per relation, and one per cause for all that belongs to none. */
export function byRelation(growth: Growth): Item[] {
  const items: Item[] = growth.relations.map((r) => ({
    name: r.name,
    context: [r.database || 'shared', r.schema].filter(Boolean).join('.'),
    bytes: r.bytes,
    cause: r.cause ?? (/index/.test(r.kind) ? 'index' : 'data'),
    kind: r.kind + (r.table ? ` of ${r.table}` : ''),
    database: r.database,
    schema: r.schema,
    table: r.table ?? r.name,
  }));
  const rest = new Map<string, number>();
  for (const f of growth.files) if (!f.relation) rest.set(f.cause, (rest.get(f.cause) ?? 0) + f.bytes);
  for (const [cause, bytes] of rest) items.push({ name: causeName(cause), context: '', bytes, cause, kind: 'files' });
  return system(items, growth);
}

export function byFile(growth: Growth): Item[] {
  const items: Item[] = growth.files.map((f) => {
    const slash = f.path.lastIndexOf('/');
    return { name: f.path.slice(slash + 1), context: slash < 0 ? '' : f.path.slice(0, slash), bytes: f.bytes, cause: f.cause, kind: f.relation ?? '' };
  });
  return system(items, growth);
}

// system adds what no file holds, and what the lists left off.
function system(items: Item[], growth: Growth): Item[] {
  if (growth.metadataBytes > 0) items.push({ name: 'File-system metadata', context: '', bytes: growth.metadataBytes, cause: 'metadata', kind: 'inodes, bitmaps, extent trees' });
  if (growth.freeBytes > 0) items.push({ name: 'Files that are gone', context: '', bytes: growth.freeBytes, cause: 'free', kind: 'held, in no file any more' });
  const missing = growth.totalBytes - items.reduce((sum, item) => sum + item.bytes, 0);
  if (missing > 0) items.push({ name: 'Smaller ones', context: '', bytes: missing, cause: 'other', kind: 'left off the list' });
  return items.filter((item) => item.bytes > 0).sort((a, b) => b.bytes - a.bytes);
}
