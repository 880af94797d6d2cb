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
  expect(plan.nodes.map((n) => [n.title, n.depth])).toEqual([['Hash Join Left', 0], ['Seq Scan', 1], ['Hash', 1]]);
  expect(plan.nodes[0]).toMatchObject({ ms: 8, selfMs: 1, selfCost: 30, off: 100 });
  expect(plan.nodes[1]).toMatchObject({ ms: 3, target: 'on public.a as x' });
  expect(plan.nodes[2]!.details).toEqual([['Sort Key', 'a, b']]);
  expect(plan.executionMs).toBe(9);
});

it.each(['', '[]', 'null', '[{"Plan":1}]', '{"x":{}}'])('refuses %j', (text) => expect(readPlan(text)).toBeUndefined());
