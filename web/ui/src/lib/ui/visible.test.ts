import { expect, test } from 'vitest';
import { pieces } from './visible';

const shown = (text: string, line = true) => pieces(text, line)?.map((p) => (p.code ? `[${p.text} ${p.code}]` : p.text)).join('') ?? text;

test('what can be seen stays one piece', () => {
  for (const text of ['', 'plain', 'מחר יגיע המשלוח', 'Z\u0351\u036b\u0343algo', '👨‍👩‍👧', 'می\u200cخواهم']) expect(pieces(text, true)).toBeUndefined();
});

test('what cannot is named', () => {
  expect(shown('a\u202etxt.exe')).toBe('a[RLO U+202E]txt.exe');
  expect(shown('a\nb\tc\rd')).toBe('a[↵ U+000A]b[⇥ U+0009]c[CR U+000D]d');
  expect(shown('\u0001\u001b[31m\u007f\u0090')).toBe('[SOH U+0001][ESC U+001B][31m[DEL U+007F][90 U+0090]');
  expect(shown('x\u{e0041}y')).toBe('x[E0041 U+E0041]y');
});

test('a text of many lines keeps them', () => {
  expect(pieces('a\nb\tc\r\nd', false)?.map((p) => p.text).join('')).toBe('a\nb\tc\r\nd');
  expect(shown('a\rb', false)).toBe('a[CR U+000D]b');
});
