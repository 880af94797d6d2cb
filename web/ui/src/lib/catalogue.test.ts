import { expect, it } from 'vitest';
import { chainOf, facts, matches, seconds, size, sorted, toggled, unique, words } from './catalogue';

const entry = { reference: '/backups/2026-11-20', store: '/backups', kind: 'tar folder', label: '2026-11-20', type: 'full', major: 15, bytes: 1 << 30, startLSN: '2/5A000028', stopLSN: '2/5C000100', timeline: 1 };

it('finds every word, wherever it stands', () => {
  expect(matches(entry, '')).toBe(true);
  expect(matches(entry, 'postgresql 15  FULL')).toBe(true);
  expect(matches(entry, '11-20 kloset')).toBe(false);
});

it('tells what an entry is', () => {
  expect(facts(entry)).toBe('PostgreSQL 15 · tar folder, full · 1.00 GiB · timeline 1 · 2/5A000028 – 2/5C000100');
  expect(facts({ reference: 'x', store: 'x', kind: 'compressed tar', label: 'x' })).toBe('compressed tar');
});

it.each([['2h', 7200], ['90m', 5400], ['1d', 86400], ['0.5h', 1800], ['2', undefined], ['', undefined], ['0s', undefined]])('reads %s as a time', (text, want) => {
  expect(seconds(text)).toBe(want);
});

it.each([['5GiB', 5 << 30], ['500 MB', 500 << 20], ['4096', 4096], ['lots', undefined], ['', undefined]])('reads %s as a size', (text, want) => {
  expect(size(text)).toBe(want === 5 << 30 ? 5 * 1024 ** 3 : want);
});

const several = [
  { ...entry, reference: 'b', label: 'b10', kind: 'incremental', startLSN: '3/1', bytes: 5 },
  { ...entry, reference: 'a', label: 'b9', major: 17, bytes: 9 },
  { ...entry, reference: 'c', label: 'c', kind: 'pgbackrest', bytes: 7 },
];

it('offers words where there are several', () => {
  expect(words(several).map((w) => [w.word, w.count])).toEqual([['incremental', 1], ['pgbackrest', 1], ['tar folder', 1], ['pg15', 2], ['pg17', 1]]);
  expect(words([entry])).toEqual([]);
  expect(matches(several[1]!, 'pg17')).toBe(true);
});

it('offers a word once, and lists a backup once', () => {
  const chain = [entry, { ...entry, kind: 'incremental', type: 'incremental' }];
  expect(words(chain).map((w) => w.word)).toEqual(['incremental', 'tar folder', 'full']);
  expect(unique(chain)).toEqual([chain[1]]);
});

it('takes words in and out of a filter', () => {
  expect(toggled('2026', 'tar folder')).toBe('2026 tar folder');
  expect(toggled('2026 Tar folder', 'tar folder')).toBe('2026');
});

it('sorts', () => {
  const order = (by: Parameters<typeof sorted>[1]) => sorted(several, by).map((e) => e.reference).join('');
  expect([order(undefined), order('oldest'), order('largest'), order('name')]).toEqual(['bac', 'cab', 'acb', 'abc']);
});

it('finds what may be of one chain', () => {
  const lost = { ...entry, reference: 'i', kind: '', major: undefined, startLSN: undefined };
  const { candidates, named } = chainOf(lost, [lost, ...several], 'needs a backup that starts at 3/1 on timeline 1');
  expect(candidates.map((e) => e.reference)).toEqual(['b', 'a']);
  expect(named).toEqual(['b']);
  expect(chainOf(entry, several, '').candidates.map((e) => e.reference)).toEqual(['b']);
});
