import { expect, it } from 'vitest';
import { facts, matches, seconds, size } from './catalogue';

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
