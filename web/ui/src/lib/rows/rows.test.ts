import { expect, it, vi } from 'vitest';
import { rangeText } from './clipboard';
import { Pieces } from './pieces';
import { headRows, Rows } from './rows';

const line = (from: number, rows: number) => new TextEncoder().encode(JSON.stringify({ count: rows, rows: Array.from({ length: rows }, (_, i) => [String(from + i), 'b']) }));

function filled(many: number, changed?: () => void, lost?: () => void) {
  const rows = new Rows(changed, lost);
  for (let n = 0; n < many; n += 500) rows.add([line(n, Math.min(500, many - n))], Math.min(500, many - n));
  rows.end();
  return rows;
}

vi.setConfig({ testTimeout: 60_000 }); // machines may be slow
const settled = async (done: () => boolean) => vi.waitFor(() => expect(done()).toBe(true), { timeout: 30_000 });

it('has the rows of a small result at once', () => {
  const rows = filled(headRows);
  expect([rows.count, rows.head.length, rows.at(headRows - 1)]).toEqual([headRows, headRows, [String(headRows - 1), 'b']]);
  expect(rows.at(headRows)).toBeUndefined();
});

it('reads rows of a large one when they are asked for, and says that they are there', async () => {
  const changed = vi.fn();
  const rows = filled(20_000, changed);
  expect([rows.count, rows.head.length]).toEqual([20_000, headRows]);
  expect(rows.at(12_345)).toBeUndefined();
  await settled(() => changed.mock.calls.length > 0);
  expect(rows.at(12_345)).toEqual(['12345', 'b']);
});

it('reads ahead in the direction of scrolling', async () => {
  const read = vi.spyOn(Pieces.prototype, 'read');
  try {
    const changed = vi.fn();
    const rows = filled(20_000, changed);
    const look = async (row: number, reads: number) => {
      rows.at(row);
      await settled(() => rows.at(row) !== undefined);
      const seen = changed.mock.calls.length;
      await settled(() => read.mock.settledResults.length === reads && read.mock.settledResults.every((r) => r.type !== 'incomplete'));
      await new Promise((done) => setTimeout(done, 20));
      expect(changed.mock.calls.length).toBe(seen); // nobody draws what is not in sight
    };
    await look(11_000, 4); // piece 6 of those behind the head
    expect(read.mock.calls.map(([piece]) => piece)).toEqual([6, 7, 8, 5]);
    await look(10_500, 6);
    expect(read.mock.calls.slice(4).map(([piece]) => piece)).toEqual([4, 3]);
  } finally {
    read.mockRestore();
  }
});

it('does not read what went out of sight before its turn', async () => {
  const real = Pieces.prototype.read;
  let go = () => {};
  const scrolled = new Promise<void>((done) => (go = done));
  const read = vi.spyOn(Pieces.prototype, 'read').mockImplementation(async function (this: Pieces, piece) {
    await scrolled;
    return real.call(this, piece);
  });
  try {
    const rows = filled(100_000);
    for (let row = 6000; row < 95_000; row += 1000) {
      rows.at(row);
      await Promise.resolve();
    }
    expect(read.mock.calls.map(([piece]) => piece)).toEqual([1, 2]);
    go();
    await settled(() => rows.at(94_000) !== undefined);
    await settled(() => read.mock.settledResults.length === 6 && read.mock.settledResults.every((r) => r.type !== 'incomplete'));
    expect(read.mock.calls.slice(2).map(([piece]) => piece)).toEqual([89, 90, 91, 88]);
  } finally {
    read.mockRestore();
  }
});

it('keeps what is in sight, however large', async () => {
  const rows = new Rows();
  const big = 'x'.repeat(600_000);
  const wide = (n: number) => new TextEncoder().encode(`{"count":1,"rows":[["${n}${big}"]]}`);
  for (let n = 0; n < 40; n++) rows.add([wide(n)], 1);
  rows.end();
  expect(rows.head.length).toBeLessThan(10);
  const sight = Array.from({ length: 20 }, (_, i) => 15 + i);
  await settled(() => sight.filter((row) => rows.at(row)).length === sight.length);
});

it('gives rows of any range in order', async () => {
  const rows = filled(9_300);
  for (const [from, to] of [[0, 9_300], [10, 20], [4_999, 5_001], [5_000, 9_300], [6_200, 6_201], [7_000, 7_000], [9_299, 9_999]] as const) {
    const got: string[] = [];
    for await (const some of rows.read(from, to)) got.push(...some.map((row) => row[0] as string));
    expect(got).toEqual(Array.from({ length: Math.min(to, 9_300) - from }, (_, i) => String(from + i)));
  }
  expect(await rows.get(8_888)).toEqual(['8888', 'b']);
  expect(await rows.get(9_300)).toBeUndefined();
});

it('takes rows of a server that does not count them', async () => {
  const rows = new Rows();
  for (let n = 0; n < 6_000; n += 500) rows.add([line(n, 500)], Array.from({ length: 500 }, (_, i) => [String(n + i), 'b']));
  expect([rows.count, rows.head.length, (await rows.get(5_999))![0]]).toEqual([6_000, headRows, '5999']);
});

it('says once that the browser has lost rows', async () => {
  const [changed, lost] = [vi.fn(), vi.fn()];
  const rows = new Rows(changed, lost);
  rows.add([line(0, headRows)], headRows);
  rows.add([line(0, 500)], 501);
  rows.end();
  rows.at(headRows);
  await settled(() => lost.mock.calls.length === 1);
  rows.at(headRows);
  await new Promise((done) => setTimeout(done, 20));
  expect([changed.mock.calls.length, lost.mock.calls.length]).toEqual([0, 1]);
  await expect(rows.get(headRows)).rejects.toThrow('500 rows instead of 501');
});

it('copies ranges that are not in memory, and says how much', async () => {
  const rows = filled(200_000);
  const columns = [{ name: 'n', type: 'integer' }, { name: 'b', type: 'text' }];
  const text = (top: number, bottom: number, left: number, right: number, header = false) => rangeText({ top, bottom, left, right }, header, columns, rows);
  expect(await text(7_000, 7_001, 0, 1)).toEqual({ text: '7000\tb\n7001\tb', what: '2 × 2 cells copied' });
  expect(await text(7_000, 7_000, 0, 0)).toEqual({ text: '7000', what: 'Value copied' });
  expect(await text(7_000, 7_000, 1, 1, true)).toEqual({ text: 'b\nb', what: 'Value copied' });
  expect((await text(0, 199_999, 0, 0)).text.split('\n').length).toBe(200_000);
});
