// What names mean where the cursor stands: the tables after FROM, JOIN, UPDATE
// and INTO with their aliases, the subqueries among them, and the names that
// WITH gives. It reads unfinished statements, so it guesses where PostgreSQL
// would refuse; it only decides what is offered.
// Source: PostgreSQL manual, SELECT; 7.2 "Table Expressions"; 7.8 "WITH Queries".
import { tokens, type Token } from './tokens';

export interface Column {
  name: string;
  /** As PostgreSQL writes it; undefined where only the server could tell. */
  type?: string;
}

/** What a column can be taken from. */
export interface Source {
  /** What qualifies its columns: the alias, else the table's own name. */
  name: string;
  /** A table or view that is looked up for its columns. */
  table?: { schema?: string; name: string };
  /** Columns that the statement itself gives. */
  columns?: Column[];
}

export interface Scope {
  sources: Source[];
  /** Names of WITH. */
  with: Source[];
  /** The word before stands where the name of a table is due. */
  table: boolean;
}

/** Columns of a table, where they are known. */
export type Lookup = (schema: string | undefined, name: string) => Column[] | undefined;

const ends = new Set('where group having order limit offset fetch for union intersect except window returning set values on using select'.split(' '));
const between = new Set('join left right full inner cross natural outer on using tablesample as lateral only with ordinality'.split(' '));
const tableDue = new Set(['from', 'join', 'into', 'update', 'table', 'only']);
const setOperations = new Set(['union', 'intersect', 'except']);

/** The scope at an offset of a statement. */
export function scopeAt(statement: string, at: number, lookup: Lookup): Scope {
  const scope: Scope = { sources: [], with: [], table: false };
  let level = tokens(statement);
  for (;;) {
    const given = readWith(level, scope.with, lookup);
    scope.with = [...given, ...scope.with];
    const part = partAt(level, at);
    scope.sources.push(...readSources(part, scope.with, lookup));
    scope.table = due(part, at);
    const inside = level.find((t) => t.kind === 'group' && t.from < at && (at < t.to || t.open));
    if (!inside) return scope;
    level = inside.inner;
  }
}

// due says whether the word at offset follows one that a table's name follows.
function due(part: Token[], at: number): boolean {
  const before = part.filter((t) => t.to < at || (t.to === at && t.kind !== 'word' && t.kind !== 'quoted'));
  let i = before.length - 1;
  while (before[i]?.value === '.') i -= 2; // the schema and its dot
  if (before[i]?.value !== ',') return before[i]?.kind === 'word' && tableDue.has(before[i]!.value);
  // A comma in a list after FROM, not in one of expressions.
  const words = before.slice(0, i).filter((t) => t.kind === 'word' && t.value !== 'on' && t.value !== 'using');
  return words.findLast((t) => ends.has(t.value) || t.value === 'from')?.value === 'from';
}

// partAt gives the part of a UNION that the cursor is in.
function partAt(level: Token[], at: number): Token[] {
  let part: Token[] = [];
  for (const token of level) {
    if (token.kind === 'word' && setOperations.has(token.value)) {
      if (token.to >= at) break;
      part = [];
    } else part.push(token);
  }
  return part;
}

const isName = (t: Token | undefined): t is Token => t?.kind === 'quoted' || (t?.kind === 'word' && !ends.has(t.value) && !between.has(t.value));

function readWith(level: Token[], outer: Source[], lookup: Lookup): Source[] {
  const found: Source[] = [];
  let i = level.findIndex((t) => t.value === 'with' && t.kind === 'word');
  if (i < 0 || level.slice(0, i).some((t) => t.value === 'select' || t.value === 'from')) return found;
  i++;
  if (level[i]?.value === 'recursive') i++;
  while (level[i]?.kind === 'word' || level[i]?.kind === 'quoted') {
    const source: Source = { name: level[i++]!.value };
    if (level[i]?.kind === 'group') source.columns = names(level[i++]!.inner);
    if (level[i]?.value !== 'as') break;
    i++;
    while (level[i]?.value === 'not' || level[i]?.value === 'materialized') i++;
    if (level[i]?.kind !== 'group') break;
    source.columns ??= outputOf(level[i]!.inner, [...found, ...outer], lookup);
    i++;
    found.push(source);
    if (level[i]?.value !== ',') break;
    i++;
  }
  return found;
}

const names = (list: Token[]) => list.filter((t) => t.kind === 'word' || t.kind === 'quoted').map((t): Column => ({ name: t.value }));

function readSources(part: Token[], given: Source[], lookup: Lookup): Source[] {
  const found: Source[] = [];
  let list = false; // in the list after FROM, where a comma goes on
  for (let i = 0; i < part.length; i++) {
    const t = part[i]!;
    if (t.kind === 'word' && tableDue.has(t.value)) list = t.value === 'from' || (list && t.value === 'join');
    else if (t.kind === 'mark' && t.value === ',' && list) list = true;
    else {
      if (t.kind === 'word' && ends.has(t.value) && t.value !== 'on' && t.value !== 'using') list = false;
      continue;
    }
    i = readSource(part, i + 1, given, lookup, found) - 1;
  }
  return found;
}

// readSource reads one table or subquery with its alias, and tells where it ends.
function readSource(part: Token[], at: number, given: Source[], lookup: Lookup, found: Source[]): number {
  let i = at;
  while (part[i]?.value === 'only' || part[i]?.value === 'lateral') i++;
  const source: Source = { name: '' };
  const first = part[i];
  if (first?.kind === 'group') {
    const head = first.inner[0]?.value;
    if (head === 'select' || head === 'with' || head === 'values') source.columns = outputOf(first.inner, given, lookup);
    else found.push(...readSources([{ kind: 'word', value: 'from', from: first.from, to: first.from, inner: [] }, ...first.inner], given, lookup));
    i++;
  } else if (isName(first)) {
    const path = [first.value];
    i++;
    while (part[i]?.value === '.' && (part[i + 1]?.kind === 'word' || part[i + 1]?.kind === 'quoted')) {
      path.push(part[i + 1]!.value);
      i += 2;
    }
    source.name = path.at(-1)!;
    const known = path.length === 1 ? given.find((s) => s.name === source.name) : undefined;
    const columns = part[at - 1]?.value === 'into'; // which an INSERT names in parentheses
    if (part[i]?.kind === 'group' && !columns) i++; // of a function
    else if (known) source.columns = known.columns;
    else source.table = { schema: path.at(-2), name: source.name };
  } else return i;
  if (part[i]?.value === '*') i++;
  if (part[i]?.value === 'as') i++;
  if (isName(part[i])) {
    source.name = part[i++]!.value;
    if (part[i]?.kind === 'group') source.columns = names(part[i++]!.inner);
  }
  if (source.name) found.push(source);
  return i;
}

/** The columns of a source, as far as they are known. */
export const columnsOf = (s: Source, lookup: Lookup): Column[] => s.columns ?? (s.table && lookup(s.table.schema, s.table.name)) ?? [];

// outputOf gives the columns that a subquery returns, as far as they can be told.
function outputOf(inner: Token[], outer: Source[], lookup: Lookup): Column[] {
  const given = [...readWith(inner, outer, lookup), ...outer];
  const start = inner.findIndex((t) => t.kind === 'word' && (t.value === 'select' || t.value === 'returning'));
  if (start < 0) return [];
  const stop = inner.findIndex((t, i) => i > start && t.kind === 'word' && (ends.has(t.value) || t.value === 'from') && t.value !== 'on');
  const sources = readSources(partAt(inner, inner[start]!.to), given, lookup);
  const found: Column[] = [];
  let item: Token[] = [];
  const finish = () => {
    if (item.at(-1)?.value === '*' && (item.length === 1 || item.at(-2)?.value === '.')) {
      const of = item.at(-3)?.value;
      for (const s of sources) if (of === undefined || s.name === of) found.push(...columnsOf(s, lookup));
    } else {
      const column = itemOf(item, sources, lookup);
      if (column) found.push(column);
    }
    item = [];
  };
  for (const t of inner.slice(start + 1, stop < 0 ? undefined : stop)) {
    if (t.kind === 'mark' && t.value === ',') finish();
    else if (item.length > 0 || (t.value !== 'distinct' && t.value !== 'all')) item.push(t);
  }
  finish();
  const seen = new Set<string>();
  return found.filter((c) => !seen.has(c.name) && seen.add(c.name));
}

// itemOf gives the column that an item of a list after SELECT makes, if it has a
// name: its alias, else that of the column or the function; a cast keeps it.
function itemOf(item: Token[], sources: Source[], lookup: Lookup): Column | undefined {
  const isWord = (t: Token | undefined) => t?.kind === 'word' || t?.kind === 'quoted';
  const cast = item.findLastIndex((t, i) => t.value === ':' && item[i - 1]?.value === ':');
  if (cast > 1 && cast === item.length - 2 && isWord(item.at(-1))) {
    const type = item.at(-1)!.value;
    const name = itemOf(item.slice(0, cast - 1), sources, lookup)?.name;
    return { name: name ?? type, type };
  }
  const last = item.at(-1);
  if (last?.kind === 'group') return item.at(-2)?.kind === 'word' && item.length <= 4 ? { name: item.at(-2)!.value } : undefined;
  if (!isWord(last) || last!.value === 'end' || (item.at(-2)?.kind === 'mark' && item.at(-2)!.value !== '.')) return undefined;
  const column = (of: string | undefined, name: string) => sources.filter((s) => of === undefined || s.name === of).flatMap((s) => columnsOf(s, lookup)).find((c) => c.name === name);
  // A column and nothing else, under its own name or another.
  const path = item.at(-2)?.value === 'as' ? item.slice(0, -2) : item.at(-2)?.value === '.' ? item : item.slice(0, Math.max(1, item.length - 1));
  const plain = path.length === 1 ? column(undefined, path[0]!.value) : path.length === 3 && path[1]!.value === '.' ? column(path[0]!.value, path[2]!.value) : undefined;
  return { name: last!.value, type: plain?.type };
}
