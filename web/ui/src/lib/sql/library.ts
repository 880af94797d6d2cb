// Saved statements as a file of SQL that psql, an editor and git can hold: each
// under a head of comments. Pure.
//
//	-- name: Orders by month
//	-- description: for the board
//	-- tags: sales, monthly
//	-- database: shop
//	select ...;
import type { SavedQuery, SavedQueryInput } from '../api/client';

const head = /^--\s*(name|description|tags|database|chart):[ \t]*(.*)$/i;

/** Statements as the text of a file. */
export function writeSql(queries: (SavedQuery | SavedQueryInput)[]): string {
  return queries
    .map((q) => {
      const lines = [`-- name: ${oneLine(q.name)}`];
      for (const line of (q.description ?? '').split('\n')) if (line.trim()) lines.push(`-- description: ${line.trim()}`);
      if (q.tags?.length) lines.push(`-- tags: ${q.tags.map(oneLine).join(', ')}`);
      if (q.database) lines.push(`-- database: ${oneLine(q.database)}`);
      if (q.chart) lines.push(`-- chart: ${JSON.stringify(q.chart)}`);
      const sql = q.sql.trim();
      return lines.join('\n') + '\n' + sql + (/;\s*$/.test(sql) ? '' : ';') + '\n';
    })
    .join('\n');
}

/**
 * The statements of a file: one for each `-- name:` at the beginning of a line;
 * a file without any is one statement, called as the file is.
 */
export function readSql(text: string, file: string): SavedQueryInput[] {
  const found: SavedQueryInput[] = [];
  let current: (SavedQueryInput & { lines: string[]; began: boolean }) | undefined;
  const finish = () => {
    if (!current) return;
    const { lines, began: _, ...rest } = current;
    const sql = lines.join('\n').trim();
    if (sql) found.push({ ...rest, sql });
  };
  for (const line of text.replace(/^\ufeff/, '').split(/\r?\n/)) {
    const [, key, value = ''] = head.exec(line) ?? [];
    if (key?.toLowerCase() === 'name' && value.trim()) {
      finish();
      current = { name: clip(value.trim(), 200), sql: '', lines: [], began: false };
    } else if (current && key && !current.began) {
      note(current, key.toLowerCase(), value.trim());
    } else {
      current ??= { name: clip(file.replace(/\.sql$/i, '') || 'Imported', 200), sql: '', lines: [], began: false };
      current.began ||= line.trim() !== '';
      current.lines.push(line);
    }
  }
  finish();
  return found;
}

function note(query: SavedQueryInput, key: string, value: string) {
  if (!value) return;
  if (key === 'description') query.description = clip(query.description ? query.description + '\n' + value : value, 4000);
  else if (key === 'database') query.database = clip(value, 200);
  else if (key === 'tags') query.tags = tagsOf(value);
  else if (key === 'chart') {
    try {
      const { on, kind, x, y, by, fold } = JSON.parse(value) as NonNullable<SavedQueryInput['chart']>;
      query.chart = { on: on === true, kind, x, y, by, fold };
    } catch {
      // A comment that only looks like ours.
    }
  }
}

/** Tags as people write them, between commas. */
export function tagsOf(text: string): string[] {
  return [...new Set(text.split(',').map((t) => clip(t.trim(), 50)).filter(Boolean))].slice(0, 20);
}

/** Whether a saved statement holds every word, in any of what is shown of it. */
export function matchesQuery(query: SavedQuery, wanted: string): boolean {
  const text = [query.name, query.description, query.database, query.sql, ...(query.tags ?? []).map((t) => '#' + t)].join('\n').toLowerCase();
  return wanted.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const oneLine = (text: string) => text.replace(/\s+/g, ' ').trim();
const clip = (text: string, most: number) => text.slice(0, most);
