import { describe, expect, it } from 'vitest';
import { offsetOf, split, statementAt, placeOf } from './split';

const texts = (script: string) => split(script).map((s) => s.text);

describe('split', () => {
  it.each<[string, string[]]>([
    ['', []],
    [' ;; -- nothing\n ; /* at all */', []],
    ['select 1', ['select 1']],
    ['select 1;\n\nselect 2 ;', ['select 1', 'select 2']],
    ["select ';'; select 2", ["select ';'", 'select 2']],
    ["select 'it''s; fine'; x", ["select 'it''s; fine'", 'x']],
    ["select E'a\\';b'; x", ["select E'a\\';b'", 'x']],
    ["select 'a\\'; x", ["select 'a\\'", 'x']],
    ["select type'a\\'; x", ["select type'a\\'", 'x']],
    ['select ";"; x', ['select ";"', 'x']],
    ['select $$ ; $$; x', ['select $$ ; $$', 'x']],
    ['select $a$ ; $$ ; $a$; x', ['select $a$ ; $$ ; $a$', 'x']],
    ['select a$b$c; x', ['select a$b$c', 'x']],
    ['select $1; x', ['select $1', 'x']],
    ['select 1 -- ; no\n + 2; x', ['select 1 -- ; no\n + 2', 'x']],
    ['select 1 /* ; /* ; */ ; */ + 2; x', ['select 1 /* ; /* ; */ ; */ + 2', 'x']],
    ['-- before\nselect 1', ['select 1']],
    ['select (1;2); x', ['select (1;2)', 'x']],
    ["select 'open; x", ["select 'open; x"]],
    ['select $q$ open; x', ['select $q$ open; x']],
    ['select /* open; x', ['select']],
    ['\\timing on\nselect 1;\n  \\d a; b  \nselect 2', ['\\timing on', 'select 1', '\\d a; b', 'select 2']],
    ['select 1 \\gx', ['select 1 \\gx']],
  ])('%j', (script, want) => expect(texts(script)).toEqual(want.length ? want : []));

  it('gives offsets of the text', () => {
    const script = '  select 1 ;\n select 2';
    for (const s of split(script)) expect(script.slice(s.from, s.to)).toBe(s.text);
  });

  it('takes a long script in its stride', () => {
    expect(split("select 'a''b', $x$;$x$ from t; ".repeat(20_000))).toHaveLength(20_000);
  });
});

describe('statementAt', () => {
  const script = 'select 1;\nselect 2; \n\n-- then\nselect 3';
  it.each([
    [0, 'select 1'],
    [8, 'select 1'],
    [9, 'select 1'],
    [10, 'select 2'],
    [20, 'select 2'],
    [22, 'select 3'],
    [script.length, 'select 3'],
  ])('cursor at %d', (offset, want) => expect(statementAt(script, offset)?.text).toBe(want));
  it('has none where there is none', () => expect(statementAt(' -- ', 2)).toBeUndefined());
});

it('counts characters as PostgreSQL does', () => {
  expect(offsetOf('select 😀, x', 1)).toBe(0);
  expect(offsetOf('select 😀, x', 9)).toBe(9);
  expect(offsetOf('ab', 99)).toBe(2);
});

it('tells the place of an error as a person counts', () => {
  expect(placeOf('select nope', 8)).toBe('character 8');
  expect(placeOf("select '😀ä',\n  '😀', nope", 21)).toBe('line 2, character 8');
  expect(placeOf('explain select nope', 16, 8)).toBe('character 8');
  expect(placeOf('explain select 1', 3, 8)).toBeUndefined();
});
