import { expect, it } from 'vitest';
import { readPlan } from './plan';

const text = JSON.stringify([
  {
    Plan: {
      'Node Type': 'Hash Join', 'Join Type': 'Left', 'Total Cost': 100, 'Plan Rows': 10, 'Actual Total Time': 8, 'Actual Rows': 1000, 'Actual Loops': 1, 'Hash Cond': '(a.id = b.a)',
      Plans: [
        { 'Node Type': 'Seq Scan', 'Relation Name': 'a', Schema: 'public', Alias: 'x', 'Total Cost': 30, 'Plan Rows': 5, 'Actual Total Time': 1, 'Actual Rows': 5, 'Actual Loops': 3 },
        { 'Node Type': 'Hash', 'Total Cost': 40, 'Plan Rows': 1, 'Actual Total Time': 4, 'Actual Rows': 1, 'Actual Loops': 1, 'Sort Key': ['a', 'b'] },
      ],
    },
    'Planning Time': 0.5,
    'Execution Time': 9,
  },
]);

it('reads a plan with own times and wrong estimates', () => {
  const plan = readPlan(text)!;
  expect(plan.nodes.map((n) => [n.title, n.depth])).toEqual([['Hash Left Join', 0], ['Seq Scan', 1], ['Hash', 1]]);
  expect(plan.nodes[0]).toMatchObject({ ms: 8, selfMs: 1, selfCost: 30, off: 100 });
  expect(plan.nodes[1]).toMatchObject({ ms: 3, target: 'on public.a as x' });
  expect(plan.nodes[2]!.details).toEqual([['Sort Key', 'a, b']]);
  expect(plan.executionMs).toBe(9);
});

it.each(['', '[]', 'null', '[{"Plan":1}]', '{"x":{}}'])('refuses %j', (text) => expect(readPlan(text)).toBeUndefined());

it('does not count processes that ran side by side twice', () => {
  const scan = { 'Node Type': 'Seq Scan', 'Parallel Aware': true, 'Total Cost': 30, 'Plan Rows': 5, 'Actual Total Time': 10, 'Actual Rows': 5, 'Actual Loops': 3 };
  const inner = { 'Node Type': 'Index Scan', 'Total Cost': 1, 'Plan Rows': 1, 'Actual Total Time': 0, 'Actual Rows': 0, 'Actual Loops': 0 };
  const gather = { 'Node Type': 'Gather', 'Workers Launched': 2, 'Total Cost': 40, 'Plan Rows': 5, 'Actual Total Time': 12, 'Actual Rows': 15, 'Actual Loops': 1, Plans: [scan, inner] };
  const { nodes } = readPlan(JSON.stringify([{ Plan: gather, 'Execution Time': 13 }]))!;
  expect(nodes.map((n) => [n.title, n.ms, n.selfMs, n.below, n.never])).toEqual([['Gather', 12, 2, 2, false], ['Parallel Seq Scan', 10, 10, 0, false], ['Index Scan', 0, 0, 0, true]]);
});

it('charges a CTE and an InitPlan to nobody twice', () => {
  const leaf = (type: string, ms: number, more: object = {}) => ({ 'Node Type': type, 'Total Cost': 1, 'Plan Rows': 1, 'Actual Total Time': ms, 'Actual Rows': 1, 'Actual Loops': 1, ...more });
  const plan = leaf('Nested Loop', 100, {
    Plans: [
      leaf('Aggregate', 60, { Strategy: 'Hashed', 'Parent Relationship': 'InitPlan', 'Subplan Name': 'CTE big', 'Peak Memory Usage': 2048, Plans: [leaf('Seq Scan', 20, { 'Shared Read Blocks': 128, 'Shared Hit Blocks': 1 })] }),
      leaf('Aggregate', 25, { 'Parent Relationship': 'InitPlan', 'Subplan Name': 'InitPlan 2 (returns $1)' }),
      leaf('CTE Scan', 90, { 'CTE Name': 'big', Alias: 'b', Filter: '(b.n > $1)' }),
      leaf('Index Scan', 8, { Filter: '(x > $10)' }),
    ],
  });
  const { nodes } = readPlan(JSON.stringify([{ Plan: plan, 'Execution Time': 100 }]))!;
  expect(nodes.map((n) => [n.title, n.part, n.selfMs])).toEqual([
    ['Nested Loop', '', 2], ['HashAggregate', 'CTE big', 40], ['Seq Scan', '', 20], ['Aggregate', 'InitPlan 2 (returns $1)', 25], ['CTE Scan', '', 5], ['Index Scan', '', 8],
  ]);
  expect(nodes[4]!.target).toBe('on big as b');
  expect(nodes[1]!.details).toEqual([['Peak Memory Usage', '2.00 MiB']]);
  expect(nodes[2]!.details).toEqual([['Buffers', '1.00 MiB read, 8.00 KiB in memory']]);
  expect(nodes.reduce((sum, n) => sum + n.selfMs!, 0)).toBe(100);
});

it('tells what took time beside the steps', () => {
  const plan = { Plan: { 'Node Type': 'ModifyTable', Operation: 'Insert', 'Total Cost': 1 }, JIT: { Functions: 4, Timing: { Total: 12.5 } }, Triggers: [{ 'Trigger Name': 'check', Time: 3, Calls: 2 }] };
  const read = readPlan(JSON.stringify([plan]))!;
  expect(read.nodes[0]!.title).toBe('Insert');
  expect(read.more).toEqual([['JIT', '4 functions compiled in 13 ms'], ['Trigger check', '3.0 ms, called 2 times']]);
});
