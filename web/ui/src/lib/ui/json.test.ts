import { expect, it } from 'vitest';
import { parseJson, type Json } from './json';

function write(value: Json): string {
  if (value.kind === 'object') return '{' + value.entries.map(([k, v]) => JSON.stringify(k) + ':' + write(v)).join() + '}';
  if (value.kind === 'array') return '[' + value.items.map(write).join() + ']';
  return value.text;
}

it.each(['{}', '[]', 'null', '"a\\"b"', '{"a":[1,{"b":null}],"c":"ä"}', '[12345678901234567890.12345678901234567890]', '[[],[[]],{"":{}}]'])(
  'reads %s and keeps it',
  (text) => expect(write(parseJson(text)!)).toBe(text),
);
it.each(['', '{', '[1,]', '[,1]', '{"a"}', '{,}', '{"a":1,}', '1 2', 'nul', '[1 2]', '[:]', '['.repeat(5000)])('refuses %j', (text) =>
  expect(parseJson(text)).toBeUndefined(),
);
it('allows blanks', () => expect(write(parseJson(' { "a" : [ 1 , 2 ] } \n')!)).toBe('{"a":[1,2]}'));
