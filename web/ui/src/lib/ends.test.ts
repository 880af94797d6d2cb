import { expect, it } from 'vitest';
import { endsInWords, nextEnd } from './ends';

const at = (ms: number) => new Date(ms).toISOString();

it('names what comes first', () => {
  expect(nextEnd({})).toBeUndefined();
  expect(nextEnd({ expiresAt: at(2000) })).toEqual({ at: 2000, why: 'lifetime' });
  expect(nextEnd({ expiresAt: at(2000), idleAt: at(1000) })).toEqual({ at: 1000, why: 'idle' });
  expect(nextEnd({ expiresAt: 'soon' })).toBeUndefined();
});

it('says both', () => {
  const span = (ms: number) => `${ms / 1000} s`;
  expect(endsInWords({}, 0, span)).toBe('');
  expect(endsInWords({ expiresAt: at(2000) }, 0, span)).toBe('ends in 2 s, when its time to live is over');
  expect(endsInWords({ idleAt: at(1000) }, 5000, span)).toBe('ends in 0 s if nobody uses it');
  expect(endsInWords({ expiresAt: at(2000), idleAt: at(1000) }, 0, span)).toBe('ends in 2 s, when its time to live is over, or in 1 s if nobody uses it');
});
