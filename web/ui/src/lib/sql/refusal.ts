// What to do instead of a statement that is not run here. PostgreSQL judges it;
// this only picks the words to say, by how the statement begins.
import type { QueryError } from '../api/client';
import { explainOf } from './explain';

const instead: [RegExp, string][] = [
  [/^copy\b[\s\S]*\bto\b/i, 'To get the rows as a file, run the SELECT and take Export, or pg_dump the table under “Take rows home”.'],
  [/^(set|reset|discard|prepare|deallocate|begin|start|commit|end|rollback|abort|savepoint|release|declare|listen|unlisten|load)\b/i, 'Every statement here runs alone, on a connection of its own, in a transaction of its own: a setting, a transaction or a cursor would not outlast it. psql keeps them.'],
  [/^(create\s+(local\s+|global\s+)?temp|select\b[\s\S]*\binto\b)/i, 'Every statement here runs on a connection of its own, and a temporary table would go with it. WITH … AS MATERIALIZED holds rows for one statement; psql can make tables in a scratch session.'],
  [/^(do|call)\b/i, 'A block of code returns no rows. A function that RETURNS TABLE can be selected from.'],
];

/** What the page adds to PostgreSQL's refusal, or undefined if it is none. */
export function refusal(sql: string, error: QueryError, scratch: boolean): { more?: string; nothing: string } | undefined {
  if (error.code !== 'not-a-query' && error.sqlstate !== '25006' && error.sqlstate !== '42501') return undefined;
  const nothing = scratch ? 'Nothing was changed: this page only reads, in a scratch session too.' : 'Nothing was changed: this page only reads, and so does its role.';
  const found = error.code === 'not-a-query' ? instead.find(([begins]) => begins.test(sql))?.[1] : undefined;
  const denied = deniedHelp(sql, error, scratch);
  if (denied) return { more: denied, nothing };
  const writing = scratch ? 'psql writes to the scratch server; its line is on the overview.' : 'To change data, open the backup as a scratch server (--writable) and use psql.';
  return { more: found ?? (error.sqlstate === '42501' && /^\s*(select|table|with|values|show)\b/i.test(sql) ? undefined : writing), nothing };
}

// What PostgreSQL's own words leave open: why a statement that only reads, or
// is not even run, is taken for one that writes.
function deniedHelp(sql: string, error: QueryError, scratch: boolean): string | undefined {
  const explained = explainOf(sql);
  if (explained && error.sqlstate === '42501' && !/^(select|table|values)\b/i.test(sql.slice(explained.at)))
    return `PostgreSQL asks for the right to write before it plans a statement that does, though EXPLAIN runs nothing. A SELECT with the same FROM and WHERE finds its rows the same way; psql explains the statement itself ${scratch ? 'on the scratch server; its line is on the overview' : 'when the backup is open as a scratch server (--writable)'}.`;
  if (error.sqlstate === '42501' && /\b(nextval|setval)\s*\(/i.test(sql)) return 'nextval and setval change the sequence. SELECT last_value, is_called FROM it tells where it stands.';
  if (error.sqlstate === '25006' && /\bfor\s+(no\s+key\s+update|update|key\s+share|share)\b/i.test(sql)) return 'Rows are locked only for who changes them: without FOR UPDATE or FOR SHARE it runs.';
  return undefined;
}

const here: [RegExp, string][] = [
  [/^\\(d[a-zA-Z+]*|sf|sv|z|dp)\b/, 'Tables, their columns and definitions are in the sidebar; Ctrl+K finds everything.'],
  [/^\\(l|c|connect)\b/, 'The database is chosen above the editor.'],
  [/^\\(copy|o|g|gx|w|out)\b/, 'Export takes the whole result as a file.'],
  [/^\\(x|pset|a|t|H)\b/, 'Enter on a cell shows its row from top to bottom.'],
  [/^\\timing\b/, 'The time stands below every result.'],
  [/^\\(i|ir|e|ef)\b/, 'Paste the script here, or import it under Saved queries.'],
  [/^\\(q|quit)\b/, '“End session” leaves.'],
];

/** Commands that psql carries out itself are not sent. */
export function psqlCommand(statement: string): QueryError | undefined {
  if (!statement.startsWith('\\')) return undefined;
  const name = /^\\\S*/.exec(statement)![0];
  const hint = here.find(([command]) => command.test(statement))?.[1];
  return { code: 'sql-error', message: `${name} is a command of psql, not SQL, so it was not run`, position: 1, ...(hint && { hint }) };
}
