// Addresses of the views. Pure: an address becomes a route, a route becomes
// an address, and each is the other's inverse.
import type { ChartChoice } from './api/client';

/** One filter of the rows of a table, as the API takes it: `3.eq.Berlin`. */
export interface Filter {
  column: number;
  op: Op;
  value: string;
}

export const ops = ['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'contains', 'like', 'ilike', 'null', 'notnull'] as const;
export type Op = (typeof ops)[number];

export interface Order {
  column: number;
  desc: boolean;
}

export type TableTab = 'rows' | 'columns' | 'indexes' | 'constraints' | 'ddl';
export const tableTabs: TableTab[] = ['rows', 'columns', 'indexes', 'constraints', 'ddl'];

/** What the view of a table asks about, in a dialog. */
export const tableAsks = ['columns', 'home', 'row-home'] as const;
export type TableAsk = (typeof tableAsks)[number];

/** What a database holds besides relations, by the names that the API has for it. */
export const objectKinds = ['function', 'type', 'extension', 'role', 'tablespace'] as const;
export type ObjectKind = (typeof objectKinds)[number];
export const databaseKinds = ['schema', ...objectKinds, 'large-object'] as const;

/** The kinds of relations, one of which a list may be limited to. */
export const relationKinds = ['table', 'partitioned-table', 'partition', 'view', 'materialized-view', 'sequence', 'foreign-table'] as const;

/** What the page of the layers asks about, in a dialog. */
export const layerAsks = ['checkpoint', 'fork', 'export', 'merge', 'discard'] as const;
export type LayerAsk = (typeof layerAsks)[number];

/** How backups are sorted; without one, the newest first. */
export const backupSorts = ['oldest', 'largest', 'name'] as const;

/** What is done with a statement instead of running it alone. */
export const sqlActs = ['all', 'explain', 'analyze'] as const;
export type SqlAct = (typeof sqlActs)[number];

/** What the SQL editor has lists of. */
export const sqlLists = ['saved', 'history'] as const;

export type Route =
  | { view: 'sessions'; q?: string; open?: string; sort?: (typeof backupSorts)[number] }
  | { view: 'home'; session: string }
  | {
      view: 'database';
      session: string;
      db: string;
      /** Without one, relations. */
      kind?: (typeof databaseKinds)[number];
      schema?: string;
      q?: string;
      /** Only relations of that kind. */
      only?: (typeof relationKinds)[number];
      /** Relations by name; without it, the largest first. */
      sort?: 'name';
      /** The system's own objects too. */
      system?: true;
      /** OID of the object whose definition is shown. */
      oid?: number;
      ask?: 'dump';
    }
  | {
      view: 'table';
      session: string;
      db: string;
      schema: string;
      table: string;
      tab: TableTab;
      filters: Filter[];
      orders: Order[];
      /** Damaged blocks are read around, in the order of the file. */
      skip?: true;
      /** Numbers of the columns that are shown; without them, all. */
      columns?: number[];
      /** Key of the row that is shown in full, as the API has it. */
      row?: string;
      /** Number of the column that is looked at in it. */
      column?: number;
      /** The foreign key whose other end is peeked at: `to.NAME`, or `by.OID.NAME` of the table that refers to this one. */
      peek?: string;
      /** Number of the column whose filter and most frequent values are shown. */
      filter?: number;
      ask?: TableAsk;
    }
  | {
      view: 'sql';
      session: string;
      db?: string;
      /** The statement, if the address holds it; it goes before the tab's own. */
      q?: string;
      tab?: string;
      /** A saved statement, or an entry of the history, that is to be shown. */
      saved?: string;
      entry?: string;
      /** Which list is open, and what is looked for in it. */
      show?: (typeof sqlLists)[number];
      find?: string;
      /** Rows at most, and how the result is drawn. */
      rows?: number;
      chart?: ChartChoice;
      /** What is to be done with it; without one, it is run. */
      act?: SqlAct;
      /** Which statement of the script, from 1; of several that are run, whose result is shown. */
      at?: number;
    }
  | { view: 'overlay'; session: string; by?: 'relation' | 'file'; since?: string; until?: string; ask?: 'limit' }
  | { view: 'layers'; session: string; layer?: string; ask?: LayerAsk }
  | { view: 'end'; session: string }
  | { view: 'unknown'; path: string };

/** What is open where, without the parts that belong to one view alone. */
export function sessionOf(route: Route): string | undefined {
  return 'session' in route ? route.session : undefined;
}

/** A table's rows alone, with nothing open beside or over them. */
export function closed(route: Extract<Route, { view: 'table' }>): Extract<Route, { view: 'table' }> {
  return { ...route, row: undefined, column: undefined, peek: undefined, filter: undefined, ask: undefined };
}

export function parse(path: string, search = '', hash = ''): Route {
  const parts = path.split('/').filter(Boolean).map(decode);
  const query = new URLSearchParams(search);
  if (parts.length === 0) return clean({ view: 'sessions', q: query.get('q') || undefined, open: query.get('open') || undefined, sort: backupSorts.find((sort) => sort === query.get('sort')) });
  const [s, session, view, db, t, schema, table] = parts;
  if (s !== 's' || !session) return { view: 'unknown', path };
  switch (view) {
    case undefined:
      return { view: 'home', session };
    case 'db':
      if (!db) break;
      if (t === undefined)
        return clean({
          view: 'database',
          session,
          db,
          kind: databaseKinds.find((kind) => kind === query.get('kind')),
          schema: query.get('schema') ?? undefined,
          q: query.get('q') ?? undefined,
          only: relationKinds.find((kind) => kind === query.get('only')),
          sort: query.get('sort') === 'name' ? 'name' : undefined,
          system: query.get('system') === '1' || undefined,
          oid: parseOID(query.get('oid')),
          ask: query.get('ask') === 'dump' ? 'dump' : undefined,
        });
      if (t !== 't' || schema === undefined || table === undefined || parts.length > 7) break;
      return clean({
        view: 'table',
        session,
        db,
        schema,
        table,
        tab: tableTabs.find((tab) => tab === query.get('tab')) ?? 'rows',
        filters: query.getAll('f').map(parseFilter).filter((f) => f !== undefined),
        orders: query.getAll('o').map(parseOrder).filter((o) => o !== undefined),
        columns: parseNumbers(query.get('c')),
        skip: query.get('skip') === 'damaged' || undefined,
        row: query.get('row') ?? undefined,
        column: parseNumber(query.get('col')),
        peek: query.get('peek') || undefined,
        filter: parseNumber(query.get('filter')),
        ask: tableAsks.find((ask) => ask === query.get('ask')),
      });
    case 'sql':
      return parseSql(session, query, new URLSearchParams(hash.replace(/^#/, '')));
    case 'overlay':
      return clean({
        view: 'overlay',
        session,
        by: query.get('by') === 'file' ? 'file' : undefined,
        since: query.get('since') || undefined,
        until: query.get('until') || undefined,
        ask: query.get('ask') === 'limit' ? 'limit' : undefined,
      });
    case 'layers':
      return clean({ view: 'layers', session, layer: query.get('layer') || undefined, ask: layerAsks.find((ask) => ask === query.get('ask')) });
    case 'end':
      return { view: 'end', session };
  }
  return { view: 'unknown', path };
}

export function href(route: Route): string {
  const e = encodeURIComponent;
  const query = new URLSearchParams();
  const put = (name: string, value: string | undefined) => value !== undefined && query.append(name, value);
  let path = '/';
  let hash = '';
  switch (route.view) {
    case 'sessions':
      put('q', route.q);
      put('open', route.open);
      put('sort', route.sort);
      break;
    case 'unknown':
      return route.path;
    case 'home':
      path = `/s/${e(route.session)}`;
      break;
    case 'database':
      path = `/s/${e(route.session)}/db/${e(route.db)}`;
      put('kind', route.kind);
      put('schema', route.schema);
      put('q', route.q);
      put('only', route.only);
      put('sort', route.sort);
      put('system', route.system && '1');
      put('oid', route.oid?.toString());
      put('ask', route.ask);
      break;
    case 'table':
      path = `/s/${e(route.session)}/db/${e(route.db)}/t/${e(route.schema)}/${e(route.table)}`;
      if (route.tab !== 'rows') put('tab', route.tab);
      route.filters.forEach((f) => put('f', formatFilter(f)));
      route.orders.forEach((o) => put('o', formatOrder(o)));
      if (route.columns) put('c', formatNumbers(route.columns));
      put('skip', route.skip && 'damaged');
      put('row', route.row);
      put('col', route.column?.toString());
      put('peek', route.peek);
      put('filter', route.filter?.toString());
      put('ask', route.ask);
      break;
    case 'sql':
      path = `/s/${e(route.session)}/sql`;
      put('db', route.db);
      put('tab', route.tab);
      put('saved', route.saved);
      put('entry', route.entry);
      put('show', route.show);
      put('find', route.find);
      hash = sqlFragment(route);
      break;
    case 'overlay':
      path = `/s/${e(route.session)}/overlay`;
      put('by', route.by);
      put('since', route.since);
      put('until', route.until);
      put('ask', route.ask);
      break;
    case 'layers':
      path = `/s/${e(route.session)}/layers`;
      put('layer', route.layer);
      put('ask', route.ask);
      break;
    case 'end':
      path = `/s/${e(route.session)}/end`;
  }
  const search = query.toString();
  return path + (search ? '?' + search : '') + hash;
}

function parseSql(session: string, query: URLSearchParams, fragment: URLSearchParams): Route {
  const text = (name: string) => fragment.get(name) ?? undefined;
  const whole = (name: string) => (/^[1-9]\d{0,8}$/.test(text(name) ?? '') ? Number(text(name)) : undefined);
  const y = fragment.getAll('y');
  return clean({
    view: 'sql',
    session,
    db: query.get('db') ?? undefined,
    q: text('q'),
    tab: query.get('tab') || undefined,
    saved: query.get('saved') || undefined,
    entry: query.get('entry') || undefined,
    show: sqlLists.find((list) => list === query.get('show')),
    find: query.get('find') || undefined,
    rows: whole('rows'),
    act: sqlActs.find((act) => act === text('run')),
    at: whole('at'),
    chart: fragment.has('chart') ? clean({ on: true, kind: text('chart') || undefined, x: text('x'), y: y.length ? y : undefined, by: text('by'), fold: text('fold') }) : undefined,
  });
}

// What belongs to the statement stands in the fragment, which no server and no
// log ever sees.
function sqlFragment(route: Extract<Route, { view: 'sql' }>): string {
  const fragment = new URLSearchParams();
  const put = (name: string, value: string | undefined) => value !== undefined && fragment.append(name, value);
  put('q', route.q);
  put('rows', route.rows?.toString());
  put('run', route.act);
  put('at', route.at?.toString());
  if (route.chart?.on) {
    const { kind, x, y, by, fold } = route.chart;
    put('chart', kind ?? '');
    put('x', x);
    y?.forEach((name) => put('y', name));
    put('by', by);
    put('fold', fold);
  }
  const text = fragment.toString();
  return text && '#' + text;
}

export function parseFilter(text: string): Filter | undefined {
  const match = /^(\d+)\.([a-z]+)(?:\.([\s\S]*))?$/.exec(text);
  const op = ops.find((o) => o === match?.[2]);
  if (!match || !op) return undefined;
  return { column: Number(match[1]), op, value: match[3] ?? '' };
}

export function formatFilter(f: Filter): string {
  return f.op === 'null' || f.op === 'notnull' ? `${f.column}.${f.op}` : `${f.column}.${f.op}.${f.value}`;
}

export function parseOrder(text: string): Order | undefined {
  const match = /^(\d+)\.(asc|desc)$/.exec(text);
  return match ? { column: Number(match[1]), desc: match[2] === 'desc' } : undefined;
}

export function formatOrder(o: Order): string {
  return `${o.column}.${o.desc ? 'desc' : 'asc'}`;
}

// Numbers of columns, in ranges: 1-3.7
function parseNumbers(text: string | null): number[] | undefined {
  const out: number[] = [];
  for (const part of (text ?? '').split('.')) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part);
    if (match) for (let n = Number(match[1]); n <= Number(match[2] ?? match[1]) && out.length < 2000; n++) out.push(n);
  }
  return out.length ? [...new Set(out)].sort((a, b) => a - b) : undefined;
}

function formatNumbers(list: number[]): string {
  const out: string[] = [];
  for (let i = 0; i < list.length; i++) {
    const from = list[i]!;
    while (list[i + 1] === list[i]! + 1) i++;
    out.push(list[i] === from ? String(from) : `${from}-${list[i]}`);
  }
  return out.join('.');
}

function parseNumber(text: string | null): number | undefined {
  return text && /^[1-9]\d{0,4}$/.test(text) ? Number(text) : undefined;
}

function parseOID(text: string | null): number | undefined {
  const oid = Number(text);
  return Number.isInteger(oid) && oid > 0 && oid < 2 ** 32 ? oid : undefined;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// clean drops keys without a value, so that routes can be compared.
function clean<T extends object>(route: T): T {
  return Object.fromEntries(Object.entries(route).filter(([, value]) => value !== undefined)) as T;
}
