import { expect, it, vi } from 'vitest';
import { readByteLines, readLines } from './ndjson';

const streamOf = (chunks: Uint8Array<ArrayBuffer>[]) =>
  new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      chunks.forEach((chunk) => controller.enqueue(chunk));
      controller.close();
    },
  });

async function lines(chunks: Uint8Array<ArrayBuffer>[]) {
  const out: unknown[] = [];
  await readLines(streamOf(chunks), (value) => out.push(value));
  return out;
}

it('reads values however the stream is cut', async () => {
  const bytes = new TextEncoder().encode('{"a":"ä😀"}\n\n[1,2]\n{"end":true}');
  for (let size = 1; size <= bytes.length; size++) {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
    expect(await lines(chunks)).toEqual([{ a: 'ä😀' }, [1, 2], { end: true }]);
  }
});

it('fails on a line that is cut off', async () => {
  await expect(lines([new TextEncoder().encode('{"a":1}\n{"b"')])).rejects.toThrow();
});

it('gives lines as they came, and tells one that may be cut off', async () => {
  const chunks = ['{"a', '":1}\n\n[2]\n[', '3'].map((text) => new TextEncoder().encode(text));
  const out: [string, boolean][] = [];
  await readByteLines(streamOf(chunks), (line, ended) => out.push([line.map((part) => new TextDecoder().decode(part)).join('|'), ended]));
  expect(out).toEqual([['{"a|":1}', true], ['[2]', true], ['[|3', false]]);
});

it('hangs up when a line cannot be used', async () => {
  const cancel = vi.fn();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (controller) => controller.enqueue(new TextEncoder().encode('{"a":1}\nno JSON\n')), cancel });
  await expect(readLines(body, () => undefined)).rejects.toThrow(SyntaxError);
  expect(cancel).toHaveBeenCalled();
});
