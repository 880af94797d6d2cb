// Reads what EXPLAIN (FORMAT JSON) prints into a tree for showing. Times of a
// node are its own: without those of the nodes below it.
// Source: PostgreSQL manual, EXPLAIN; src/backend/commands/explain.c.

export interface PlanNode {
  title: string;
  target: string;
  /** Lines such as "Filter: (a = 1)". */
  details: [string, string][];
  cost: number;
  estimatedRows: number;
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
}

type Raw = Record<string, unknown>;

const shown = [
  'Index Cond', 'Recheck Cond', 'Hash Cond', 'Merge Cond', 'Join Filter', 'Filter', 'Rows Removed by Filter', 'Rows Removed by Index Recheck',
  'Sort Key', 'Sort Method', 'Group Key', 'Presorted Key', 'TID Cond', 'Order By', 'Cache Key', 'Function Name', 'CTE Name', 'Subplan Name',
  'Workers Planned', 'Workers Launched', 'Hash Batches', 'Peak Memory Usage', 'Heap Fetches', 'Shared Hit Blocks', 'Shared Read Blocks', 'Temp Written Blocks', 'I/O Read Time',
];

export function readPlan(text: string): Plan | undefined {
  let top: Raw;
  try {
    const all = JSON.parse(text) as unknown;
    top = (Array.isArray(all) ? all[0] : all) as Raw;
  } catch {
    return undefined;
  }
  if (!top || typeof top !== 'object' || typeof top['Plan'] !== 'object') return undefined;
  const nodes: PlanNode[] = [];
  visit(top['Plan'] as Raw, 0, 1, nodes);
  return {
    nodes,
    planningMs: number(top['Planning Time']),
    executionMs: number(top['Execution Time']),
    settings: Object.entries((top['Settings'] as Raw | undefined) ?? {}).map(([k, v]) => [k, String(v)]),
  };
}

// processes is how many ran a node side by side: their loops are added up, and
// the time is the mean of a loop.
function visit(raw: Raw, depth: number, processes: number, out: PlanNode[]) {
  const loops = number(raw['Actual Loops']);
  const actual = number(raw['Actual Rows']);
  const estimated = number(raw['Plan Rows']) ?? 0;
  const total = number(raw['Actual Total Time']);
  const parallel = raw['Parallel Aware'] === true ? 'Parallel ' : '';
  const join = typeof raw['Join Type'] === 'string' && raw['Join Type'] !== 'Inner' ? ` ${raw['Join Type']}` : '';
  const ms = total === undefined ? undefined : (total * (loops ?? 1)) / Math.max(1, Math.min(processes, loops ?? 1));
  const node: PlanNode = {
    title: parallel + String(raw['Node Type'] ?? 'Node') + join,
    target: [raw['Index Name'] && `using ${raw['Index Name']}`, raw['Relation Name'] && `on ${raw['Schema'] ? raw['Schema'] + '.' : ''}${raw['Relation Name']}`, raw['Alias'] && raw['Alias'] !== raw['Relation Name'] && `as ${raw['Alias']}`]
      .filter(Boolean)
      .join(' '),
    details: shown.flatMap((key): [string, string][] => {
      const value = raw[key];
      if (value === undefined || value === null || value === 0) return [];
      return [[key, Array.isArray(value) ? value.join(', ') : String(value)]];
    }),
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
  out.push(node);
  const own = out.length;
  const launched = number(raw['Workers Launched']);
  for (const child of (raw['Plans'] as Raw[] | undefined) ?? []) {
    const at = out.length;
    visit(child, depth + 1, launched === undefined ? processes : launched + 1, out);
    const below = out[at]!;
    if (node.selfMs !== undefined && below.ms !== undefined) node.selfMs = Math.max(0, node.selfMs - below.ms);
    node.selfCost = Math.max(0, node.selfCost - below.cost);
  }
  node.below = out.length - own;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
