import { expect, it } from 'vitest';
import type { Layer } from './api/client';
import { choices, nameOf, rows } from './layers';

const layer = (id: string, parent?: string, more: Partial<Layer> = {}): Layer => ({
  id, parent, sealed: true, current: false, createdAt: '2026-11-20T00:00:00Z', overlayBytes: 10, ...more,
});
// a - b - top of mine
//   \ c - d            left by a fork that is closed
//   \ e                top of another
const layers: Layer[] = [
  layer('a', undefined, { current: true, name: 'first' }),
  layer('b', 'a', { current: true }),
  layer('mine', 'b', { current: true, sealed: false, session: 's1' }),
  layer('c', 'a'),
  layer('d', 'c'),
  layer('e', 'a', { sealed: false, session: 's2' }),
];

it('draws one disk in one column and forks beside it', () => {
  expect(rows(layers).map((r) => [r.layer.id, r.depth, r.from, r.up, r.down])).toEqual([
    ['a', 0, 0, [0], [0]],
    ['c', 2, 0, [0], [2, 0]],
    ['d', 2, 2, [2, 0], [0]],
    ['e', 1, 0, [0], [0]],
    ['b', 0, 0, [0], [0]],
    ['mine', 0, 0, [0], []],
  ]);
});

it('knows what can be done', () => {
  const by = new Map(rows(layers).map((r) => [r.layer.id, r]));
  expect(by.get('a')!.noMerge).toMatch(/no layer below/);
  expect(by.get('b')!.noMerge).toMatch(/Other layers lie over first/);
  expect(by.get('d')!.noMerge).toBeUndefined();
  expect(by.get('mine')!.noMerge).toMatch(/being written/);
  expect(by.get('a')!.noDiscard).toMatch(/2 sessions/);
  expect(by.get('b')!.noDiscard).toMatch(/A session writes over/);
  expect(by.get('mine')!.noDiscard).toMatch(/goes when/);
  expect(by.get('c')!.noDiscard).toBeUndefined();
  expect(by.get('c')!.branch.map((l) => l.id)).toEqual(['c', 'd']);
});

it('offers only growth that there is', () => {
  const ids = (list: Layer[]) => list.map((l) => l.id);
  expect(ids(choices(layers, undefined).since)).toEqual(['a', 'b', 'c']);
  expect(ids(choices(layers, 'a').until)).toEqual(['b', 'c', 'd']);
  expect(choices(layers, 'a').now).toBe(true);
  expect(choices(layers, 'c')).toMatchObject({ now: false });
  expect(ids(choices(layers, 'c').until)).toEqual(['d']);
});

it('survives what is not a tree', () => {
  expect(rows([layer('x', 'gone')]).length).toBe(1);
  expect(choices([layer('x', 'y'), layer('y', 'x')], 'x').until.length).toBe(2);
  expect(nameOf(layer('01ARZ3NDEKTSV4RRFFQ69G5FAV'))).toBe('…9G5FAV');
});
