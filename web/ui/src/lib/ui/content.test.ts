import { expect, test } from 'vitest';
import { decodePage, fromHex, hexLines, parseOffset, textMore, textPage } from './content';

test('hex of a bytea', () => {
  expect([...fromHex('\\x00ff10')]).toEqual([0, 255, 16]);
  expect(fromHex('\\x')).toHaveLength(0);
});

test('a dump has offset, bytes and text', () => {
  const bytes = new Uint8Array(Array.from({ length: 20 }, (_, i) => i + 60));
  const lines = hexLines(bytes, 4096, 16, 1 << 20);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toEqual({ offset: '00001000', hex: '3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b', text: '<=>?@ABCDEFGHIJK' });
  expect(lines[1]!.hex).toBe('4c 4d 4e 4f');
  expect(hexLines(new Uint8Array([0, 10, 127, 200]), 0, 16, 4)[0]!.text).toBe('....');
});

test('pages of text put together are the text, whatever lies across their ends', () => {
  const text = 'aé漢😀'.repeat(20_000);
  for (const charset of ['utf-8', 'utf-16le']) {
    const all = charset === 'utf-8' ? new TextEncoder().encode(text) : new Uint8Array(new Uint16Array([...Array(text.length).keys()].map((i) => text.charCodeAt(i))).buffer);
    for (const shift of [0, 1, 2, 3]) {
      if (charset !== 'utf-8' && shift % 2) continue;
      const bytes = new Uint8Array(shift + all.length).fill(charset === 'utf-8' ? 32 : 0);
      bytes.set(all, shift);
      let out = '';
      for (let at = 0; at < bytes.length; at += textPage) out += decodePage(bytes.slice(at, at + textPage + textMore), at, charset);
      expect(out.replace(/^[ \0]+/, '') === text).toBe(true);
    }
  }
});

test('offsets as they are typed', () => {
  expect(['4096', '0x1000', '1000h', '4,096', 'x', '', '-1'].map(parseOffset)).toEqual([4096, 4096, 4096, 4096, undefined, undefined, undefined]);
});
