import { expect, it } from 'vitest';
import { explainOf } from './explain';

it.each<[string, string, boolean, boolean]>([
  ['explain select 1', 'select 1', false, true],
  ['EXPLAIN ANALYZE verbose select 1', 'select 1', true, true],
  ['explain (analyze, buffers) (select 1)', '(select 1)', true, true],
  ['explain (analyze off, format json) select 1', 'select 1', false, false],
  ['explain (select 1) union select 2', '(select 1) union select 2', false, true],
  ['explain /* why */ verbose\n table x', 'table x', false, true],
])('%s', (text, rest, analyze, asText) => {
  const found = explainOf(text)!;
  expect([text.slice(found.at), found.analyze, found.text]).toEqual([rest, analyze, asText]);
});

it.each(['select 1', 'explained', 'explain', ''])('%j is none', (text) => expect(explainOf(text)).toBeUndefined());
