import { expect, it } from 'vitest';
import { Lru } from './lru';

const nobody = () => false;

it('forgets what was not used for longest', () => {
  const lru = new Lru<string, number>(10);
  lru.set('a', 1, 4, nobody);
  lru.set('b', 2, 4, nobody);
  expect(lru.get('a')).toBe(1);
  lru.set('c', 3, 4, nobody);
  expect(['a', 'b', 'c'].map((k) => lru.has(k))).toEqual([true, false, true]);
  expect(lru.size).toBe(8);
});

it('keeps what is needed, whatever its size, and the newest', () => {
  const lru = new Lru<string, number>(10);
  lru.set('a', 1, 9, nobody);
  lru.set('b', 2, 9, (k) => k === 'a');
  expect([lru.has('a'), lru.has('b'), lru.size]).toEqual([true, true, 18]);
  lru.set('c', 3, 20, nobody);
  expect([lru.has('a'), lru.has('b'), lru.has('c'), lru.size]).toEqual([false, false, true, 20]);
});

it('counts a value that is replaced once', () => {
  const lru = new Lru<string, number>(10);
  lru.set('a', 1, 6, nobody);
  lru.set('a', 2, 7, nobody);
  expect([lru.get('a'), lru.size]).toEqual([2, 7]);
});
