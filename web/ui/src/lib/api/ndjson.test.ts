import { expect, it } from 'vitest';
import { readLines } from './ndjson';

async function lines(chunks: Uint8Array[]) {
  const out: unknown[] = [];
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      chunks.forEach((chunk) => controller.enqueue(chunk));
      controller.close();
    },
  });
  await readLines(stream, (value) => out.push(value));
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
