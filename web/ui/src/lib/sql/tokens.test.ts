import { expect, it } from 'vitest';
import { pathAtEnd, tokens } from './tokens';

it.each<[string, string[], string]>([
  ['select a.b', ['a'], 'b'],
  ['select "A b"."c""d".', ['A b', 'c"d'], ''],
  ['select "x"."y" from (select "a" from rec', [], 'rec'],
  ['select "we', [], '"we'],
  ['select * from ', [], ''],
  ["select 'it''s' || t . co", ['t'], 'co'],
  ['(select x.', ['x'], ''],
  ['', [], ''],
])('%s', (text, qualifiers, word) => expect(pathAtEnd(text)).toMatchObject({ qualifiers, word }));

it.each(["select 'open a.", 'select $$ open', 'select 12', 'select 1.5e'])('%s is no place for a name', (text) => expect(pathAtEnd(text)).toBeUndefined());

it('knows what is not closed', () => {
  expect(tokens("(a, 'b')")[0]).toMatchObject({ kind: 'group', open: false });
  expect(tokens("(a, 'b)")[0]!.inner.at(-1)).toMatchObject({ kind: 'text', open: true });
});
