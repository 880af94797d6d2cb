import { expect, it } from 'vitest';
import { countOf } from './count';

const line = (text: string, cut = text.length) => [text.slice(0, cut), text.slice(cut)].filter(Boolean).map((t) => new TextEncoder().encode(t));

it('reads how many rows a line has, however it was cut', () => {
  const text = '{"count":  500,"rows":[["a"]]}';
  for (let cut = 1; cut <= text.length; cut++) expect(countOf(line(text, cut))).toBe(500);
});

it.each([
  ['{"rows":[["a"]]}', 'of a server that does not say'],
  ['{"cols":[]}', 'of another kind'],
  ['{"notice":{"message":"{\\"count\\":  500,\\"rows\\":["}}', 'that holds the words'],
  ['{"end":{"count": 5,"rows":[]}}', 'that has it further in'],
  ['{"count":500}', 'without rows'],
  ['{"count":-1,"rows":[]}', 'that is less than nothing'],
  ['', 'that is empty'],
])('does not count %s, a line %s', (text) => expect(countOf(line(text))).toBeUndefined());
