// Reads what EXPLAIN (FORMAT JSON) prints into a tree for showing. Times of a
// node are its own: without those of the nodes below it.
// Source: PostgreSQL manual, EXPLAIN; src/backend/commands/explain.c.
import { bytes, count, duration } from '../format';

export interface PlanNode {
  title: string;
  target: string;
  /** What PostgreSQL calls the part of the plan that begins here: "CTE recent", "InitPlan 1". */
  part: string;
  /** Lines such as "Filter: (a = 1)". */
  details: [string, string][];
  cost: number;
  /** Rows in a loop, as `rows`. */
  estimatedRows: number;
  /** The mean of a loop. */
  rows?: number;
  loops?: number;
  /** Milliseconds of the clock in all loops, with the nodes below; processes that ran side by side count once. */
  ms?: number;
  selfMs?: number;
  selfCost: number;
  depth: number;
  /** Nodes below it; they follow it in the list. */
  below: number;
  /** It was not needed. */
  never: boolean;
  /** Factor by which the estimate was wrong, 1 or more. */
  off?: number;
}

export interface Plan {
  nodes: PlanNode[];
  planningMs?: number;
  executionMs?: number;
  settings: [string, string][];
  /** What took time beside the nodes: triggers and compiling. */
  more: [string, string][];
}

type Raw = Record<string, unknown>;

const shown = [
  'Index Cond', 'Recheck Cond', 'Hash Cond', 'Merge Cond', 'Join Filter', 'One-Time Filter', 'Filter', 'TID Cond', 'Order By', 'Rows Removed by Filter', 'Rows Removed by Join Filter',
  'Rows Removed by Index Recheck', 'Sort Key', 'Presorted Key', 'Sort Method', 'Sort Space Used', 'Group Key', 'Run Condition', 'Cache Key', 'Cache Hits', 'Cache Misses', 'Function Name',
  'Subplans Removed', 'Conflict Resolution', 'Workers Planned', 'Workers Launched', 'Hash Batches', 'Disk Usage', 'Peak Memory Usage', 'Heap Fetches', 'Exact Heap Blocks', 'Lossy Heap Blocks',
];
const kilobytes = new Set(['Sort Space Used', 'Disk Usage', 'Peak Memory Usage']);
// What says something only when it is unusual.
const usual: Record<string, unknown> = { 'Hash Batches': 1 };

export function readPlan(text: string): Plan | undefined {
  let top: Raw;
  try {
    const all = JSON.parse(text) as unknown;
    top = (Array.isArray(all) ? all[0] : all) as Raw;
  } catch {
    return undefined;
  }
  if (!top || typeof top !== 'object' || typeof top['Plan'] !== 'object') return undefined;
  const visited: Visited[] = [];
  visit(top['Plan'] as Raw, 0, 1, visited);
  takeOut(visited);
  const jit = top['JIT'] as { Functions?: number; Timing?: { Total?: number } } | undefined;
  return {
    nodes: visited.map((v) => v.node),
    planningMs: number(top['Planning Time']),
    executionMs: number(top['Execution Time']),
    settings: Object.entries((top['Settings'] as Raw | undefined) ?? {}).map(([k, v]) => [k, String(v)]),
    more: [
      ...(jit?.Timing?.Total === undefined ? [] : [['JIT', `${count(jit.Functions ?? 0)} functions compiled in ${duration(jit.Timing.Total)}`] as [string, string]]),
      ...((top['Triggers'] as Raw[] | undefined) ?? []).map((t): [string, string] => [`Trigger ${String(t['Trigger Name'])}`, `${duration(number(t['Time']) ?? 0)}, called ${count(number(t['Calls']) ?? 0)} times`]),
    ],
  };
}

interface Visited {
  node: PlanNode;
  raw: Raw;
}

// visit reads a node and those below it. processes is how many ran it side by
// side: their loops are added up, and the time is the mean of a loop.
function visit(raw: Raw, depth: number, processes: number, out: Visited[]) {
  const loops = number(raw['Actual Loops']);
  const actual = number(raw['Actual Rows']);
  const estimated = number(raw['Plan Rows']) ?? 0;
  const total = number(raw['Actual Total Time']);
  const ms = total === undefined ? undefined : (total * (loops ?? 1)) / Math.max(1, Math.min(processes, loops ?? 1));
  const node: PlanNode = {
    title: titleOf(raw),
    part: typeof raw['Subplan Name'] === 'string' ? raw['Subplan Name'] : '',
    target: [
      raw['Index Name'] && `using ${raw['Index Name']}`,
      raw['Relation Name'] && `on ${raw['Schema'] ? raw['Schema'] + '.' : ''}${raw['Relation Name']}`,
      raw['CTE Name'] && `on ${raw['CTE Name']}`,
      raw['Function Name'] && `on ${raw['Function Name']}`,
      raw['Alias'] && ![raw['Relation Name'], raw['CTE Name'], raw['Function Name']].includes(raw['Alias']) && `as ${raw['Alias']}`,
    ]
      .filter(Boolean)
      .join(' '),
    details: [...detailsOf(raw), ...buffersOf(raw)],
    cost: number(raw['Total Cost']) ?? 0,
    estimatedRows: estimated,
    rows: actual,
    loops,
    ms,
    selfMs: ms,
    selfCost: number(raw['Total Cost']) ?? 0,
    depth,
    below: 0,
    never: loops === 0,
    off: actual === undefined || loops === 0 ? undefined : Math.max(Math.max(actual, 1) / Math.max(estimated, 1), Math.max(estimated, 1) / Math.max(actual, 1)),
  };
  out.push({ node, raw });
  const own = out.length;
  const launched = number(raw['Workers Launched']);
  for (const child of (raw['Plans'] as Raw[] | undefined) ?? []) {
    const at = out.length;
    visit(child, depth + 1, launched === undefined ? processes : launched + 1, out);
    const below = out[at]!.node;
    if (child['Parent Relationship'] === 'InitPlan') continue; // takeOut finds who ran it
    if (node.selfMs !== undefined && below.ms !== undefined) node.selfMs = Math.max(0, node.selfMs - below.ms);
    node.selfCost = Math.max(0, node.selfCost - below.cost);
  }
  node.below = out.length - own;
}

// takeOut takes the time of the plans that run when they are first asked for
// (InitPlan: CTEs, and subqueries that refer to nothing outside) from the nodes
// that asked, whose time it is part of, wherever in the tree they are.
function takeOut(all: Visited[]) {
  for (const [at, { raw, node }] of all.entries()) {
    if (raw['Parent Relationship'] !== 'InitPlan') continue;
    const inside = (i: number) => i >= at && i <= at + node.below;
    const asks = askerOf(node.part);
    const askers = all.filter((v, i) => !inside(i) && asks(v.raw)).map((v) => v.node);
    const parent = all.findLast((v, i) => i < at && v.node.depth === node.depth - 1)!.node;
    let left = node.ms ?? 0;
    for (const asker of [...askers.sort((a, b) => (b.selfMs ?? 0) - (a.selfMs ?? 0)), parent]) {
      const part = Math.min(left, asker.selfMs ?? 0);
      if (asker.selfMs !== undefined) asker.selfMs -= part;
      left -= part;
    }
    parent.selfCost = Math.max(0, parent.selfCost - node.cost);
  }
}

// askerOf tells from a plan's name how a node is known that needs its rows: by
// the name of the CTE, by "$1" before PostgreSQL 17, by "(InitPlan 1).col1" since.
function askerOf(part: string): (raw: Raw) => boolean {
  if (part.startsWith('CTE ')) return (raw) => raw['Node Type'] === 'CTE Scan' && raw['CTE Name'] === part.slice(4);
  const names = [...part.matchAll(/\$\d+/g)].map((m) => m[0]);
  const pattern = new RegExp(names.length ? names.map((n) => `\\${n}(?!\\d)`).join('|') : `\\(${part.replace(/\W/g, '\\$&')}\\)`);
  return ({ Plans: _, 'Subplan Name': __, ...raw }) => part !== '' && pattern.test(JSON.stringify(raw));
}

// titleOf names a node as EXPLAIN's text does.
function titleOf(raw: Raw): string {
  let title = String(raw['Node Type'] ?? 'Node');
  const strategy = String(raw['Strategy'] ?? '');
  if (title === 'Aggregate') title = ({ Sorted: 'GroupAggregate', Hashed: 'HashAggregate', Mixed: 'MixedAggregate' } as Raw)[strategy] as string ?? title;
  else if (title === 'SetOp' && strategy === 'Hashed') title = 'HashSetOp';
  else if (title === 'ModifyTable' && raw['Operation']) title = String(raw['Operation']);
  const join = raw['Join Type'];
  if (typeof join === 'string' && join !== 'Inner') title = title.endsWith(' Join') ? `${title.slice(0, -4)}${join} Join` : `${title} ${join} Join`;
  if (typeof raw['Partial Mode'] === 'string' && raw['Partial Mode'] !== 'Simple') title = `${raw['Partial Mode']} ${title}`;
  if (raw['Scan Direction'] === 'Backward') title += ' Backward';
  return (raw['Parallel Aware'] === true ? 'Parallel ' : '') + title;
}

function detailsOf(raw: Raw): [string, string][] {
  return shown.flatMap((key): [string, string][] => {
    const value = raw[key];
    if (value === undefined || value === null || value === 0 || value === usual[key] || key === 'Function Name') return [];
    if (typeof value === 'number') return [[key, kilobytes.has(key) ? bytes(value * 1024) : count(value)]];
    return [[key, Array.isArray(value) ? value.join(', ') : value === true ? 'yes' : String(value)]];
  });
}

// buffersOf tells pages as bytes; they are counted with the nodes below.
function buffersOf(raw: Raw): [string, string][] {
  const pages = (name: string, kinds: string[]) => [bytes(8192 * kinds.reduce((sum, kind) => sum + (number(raw[`${kind} ${name}`]) ?? 0), 0)), kinds.some((kind) => number(raw[`${kind} ${name}`])) ] as const;
  const parts = ([
    ['Read Blocks', ['Shared', 'Local'], 'read'],
    ['Hit Blocks', ['Shared', 'Local'], 'in memory'],
    ['Dirtied Blocks', ['Shared', 'Local'], 'changed'],
    ['Written Blocks', ['Shared', 'Local'], 'written'],
    ['Read Blocks', ['Temp'], 'of temporary files read'],
    ['Written Blocks', ['Temp'], 'of temporary files written'],
  ] as const).flatMap(([name, kinds, what]) => {
    const [size, some] = pages(name, [...kinds]);
    return some ? [`${size} ${what}`] : [];
  });
  const waited = number(raw['I/O Read Time']) ?? number(raw['Shared I/O Read Time']);
  if (waited) parts.push(`waited ${duration(waited)}`);
  return parts.length ? [['Buffers', parts.join(', ')]] : [];
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
