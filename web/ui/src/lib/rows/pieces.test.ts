import { expect, it } from 'vitest';
import { blobBytes, pieceBytes, pieceRows, Pieces } from './pieces';

const bytes = (text: string) => new TextEncoder().encode(text);
const frame = (from: number, rows: number, pad = '') => bytes(JSON.stringify({ count: rows, rows: Array.from({ length: rows }, (_, i) => [`${from + i} ä😀${pad}`, null]) }));

it('finds and reads any row', async () => {
  const pieces = new Pieces();
  const sizes = [1, 700, 299, 1, 1000, 400]; // the first three make 1000 rows
  let n = 0;
  for (const size of sizes) {
    const line = frame(n, size);
    pieces.add([line.subarray(0, 7), line.subarray(7)], size);
    n += size;
  }
  expect([pieces.rows, pieces.length]).toEqual([n, 3]);
  expect([0, 999, 1000, 2000, 2001, n - 1].map((row) => pieces.find(row))).toEqual([0, 0, 1, 1, 2, 2]);
  for (const row of [0, 1, 999, 1000, 1001, 2000, 2001, n - 1]) {
    const piece = pieces.find(row);
    const rows = await pieces.read(piece);
    expect(rows[row - pieces.first(piece)]).toEqual([`${row} ä😀`, null]);
  }
});

it('ends a piece that has many bytes, also of a single row', async () => {
  const pieces = new Pieces();
  for (let i = 0; i < 5; i++) pieces.add([frame(i, 1, 'x'.repeat(pieceBytes))], 1);
  expect([pieces.length, pieces.first(4)]).toEqual([5, 4]);
  expect(pieces.bytes(0)).toBeGreaterThan(pieceBytes);
  for (let i = 0; i < 5; i++) expect((await pieces.read(i))[0]![0]).toMatch(new RegExp(`^${i} ä😀x+$`));
});

it('hands bytes over, some pieces at a time', async () => {
  const was = globalThis.Blob;
  const sizes: number[] = [];
  globalThis.Blob = class extends was {
    constructor(parts?: BlobPart[], options?: BlobPropertyBag) {
      super(parts, options);
      sizes.push(this.size);
    }
  };
  try {
    const pieces = new Pieces();
    let sent = 0;
    for (let n = 0; n < 100_000; n += 500) {
      const line = frame(n, 500, 'x'.repeat(80));
      sent += line.length + 1;
      pieces.add([line], 500);
    }
    pieces.close();
    expect(pieces.length).toBeGreaterThan(95);
    expect(sizes.slice(0, -1).filter((size) => size < blobBytes || size > 2 * blobBytes)).toEqual([]);
    expect(sizes.length).toBeGreaterThan(1);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(sent);
    for (const row of [0, 33_333, 99_999]) {
      const piece = pieces.find(row);
      expect((await pieces.read(piece))[row - pieces.first(piece)]![0]).toMatch(new RegExp(`^${row} ä😀x+$`));
    }
  } finally {
    globalThis.Blob = was;
  }
});

it('reads what is there of the last piece while more comes', async () => {
  const pieces = new Pieces();
  pieces.add([frame(0, 2)], 2);
  const reading = pieces.read(0);
  pieces.add([frame(2, 3)], 3);
  expect((await reading).length).toBe(2);
  expect((await pieces.read(0)).length).toBe(5);
  pieces.close();
  expect((await pieces.read(0)).at(-1)).toEqual(['4 ä😀', null]);
  pieces.add([frame(5, pieceRows)], pieceRows);
  expect([pieces.length, pieces.first(1)]).toEqual([2, 5]);
});

it('fails when a line has not the rows that it says', async () => {
  const pieces = new Pieces();
  pieces.add([frame(0, 2)], 3);
  await expect(pieces.read(0)).rejects.toThrow('2 rows instead of 3');
});
