import { expect, it } from 'vitest';
import { exact, figure, moment, timeLabels } from './labels';

it.each([[0, '0'], [1234, '1,234'], [-12_345_678, '−12.3 M'], [0.25, '0.25'], [0.00001, '1.0e−5'], [null, '']] as const)('%s on an axis is %s', (n, text) => expect(figure(n)).toBe(text));
it('writes every digit of a value', () => expect([exact(1234567.891), exact(null)]).toEqual(['1,234,567.891', '–']));
it('writes as much of a time as tells it apart', () => {
  const at = Date.UTC(2026, 10, 20) / 1000;
  expect(moment(at)).toBe('2026-11-20');
  expect(moment(at, [at, at + 3600])).toBe('2026-11-20 00:00');
  expect(moment(at, [at, at + 1])).toBe('2026-11-20 00:00:00');
});
it('labels a time axis', () => {
  const at = Date.UTC(2026, 10, 20) / 1000;
  expect(timeLabels([at, at + 86_400], 86_400)).toEqual(['2026-11-20', '2026-11-21']);
  expect(timeLabels([at, at + 3600], 3600)).toEqual(['2026-11-20', '01:00']);
  expect(timeLabels([at + 1], 1)).toEqual(['00:00:01']);
  expect(timeLabels([at], 31 * 86_400)).toEqual(['2026-11']);
  expect(timeLabels([at], 366 * 86_400)).toEqual(['2026']);
});
