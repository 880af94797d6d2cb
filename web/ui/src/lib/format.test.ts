import { describe, expect, it } from 'vitest';
import { ago, basename, bytes, clock, count, duration, estimate, percent, ranges, short, utc } from './format';

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [294_912, '288 KiB'],
    [1_048_575, '1.00 MiB'],
    [1.5 * 2 ** 30, '1.50 GiB'],
    [300 * 2 ** 30, '300 GiB'],
    [-4096, '−4.00 KiB'],
  ])('%d', (n, text) => expect(bytes(n)).toBe(text));
});

it.each([[[], ''], [[5], '5'], [[0, 5, 6, 7, 1200], '0, 5–7, 1,200'], [[1, 3, 5], '1, 3 …', 2]] as [number[], string, number?][])('ranges of %j', (list, text, most) => expect(ranges(list, most)).toBe(text));

describe('numbers', () => {
  it.each([[0, '0'], [999, '999'], [1000, '1 k'], [1234, '1.2 k'], [999_900, '1 M'], [2_500_000, '2.5 M'], [120e9, '120 G']])(
    'short %d',
    (n, text) => expect(short(n)).toBe(text),
  );
  it.each([[0, '0'], [999, '999'], [1000, '1,000'], [1_234_567, '1,234,567'], [-65_432.4, '-65,432'], [9_007_199_254_740_991, '9,007,199,254,740,991']])('count %d', (n, text) => {
    expect(count(n)).toBe(text);
    expect(n.toLocaleString('en-US', { maximumFractionDigits: 0 })).toBe(text);
  });
  it('says when there is no estimate', () => {
    expect(estimate(-1)).toBe('no estimate');
    expect(estimate(0)).toBe('~0');
  });
  it('never rounds a share to nothing', () => {
    expect(percent(1, 1e9)).toBe('<0.1 %');
    expect(percent(0, 10)).toBe('0.0 %');
    expect(percent(1, 0)).toBe('0 %');
    expect(percent(50, 100)).toBe('50 %');
  });
});

describe('times', () => {
  it.each([[0.444, '0.44 ms'], [3.14, '3.1 ms'], [12.4, '12 ms'], [1250, '1.25 s'], [12_340, '12.3 s'], [125_000, '2 min 5 s'], [3_720_000, '1 h 2 min']])(
    'duration %d',
    (ms, text) => expect(duration(ms)).toBe(text),
  );
  it('counts down and stops at zero', () => {
    expect(clock(3_723_000)).toBe('1:02:03');
    expect(clock(249_000)).toBe('4:09');
    expect(clock(-5)).toBe('0:00');
  });
  it('writes UTC and leaves what is no time alone', () => {
    expect(utc('2026-11-20T03:00:00.5Z')).toBe('2026-11-20 03:00:00 UTC');
    expect(utc('end of WAL')).toBe('end of WAL');
  });
  it('says how long ago', () => {
    const now = new Date('2026-11-20T12:00:00Z');
    expect(ago(new Date('2026-11-20T11:59:30Z'), now)).toBe('just now');
    expect(ago(new Date('2026-11-20T11:00:00Z'), now)).toBe('1 h ago');
    expect(ago(new Date('2026-11-10T12:00:00Z'), now)).toBe('10 days ago');
  });
});

it('takes the last part of a path', () => {
  expect(basename('/backups/2026-11-20/')).toBe('2026-11-20');
  expect(basename('base.tar')).toBe('base.tar');
  expect(basename('/')).toBe('/');
});
