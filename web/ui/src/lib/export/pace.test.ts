import { expect, it } from 'vitest';
import { pace } from './pace';

it('follows how fast a download is', () => {
  let p = pace(undefined, 0, 0);
  expect(p.rate).toBe(0);
  p = pace(p, 1000, 5000);
  expect(p.rate).toBe(5000);
  expect(pace(p, 1000, 9000)).toBe(p); // no time has gone by
  p = pace(p, 2500, 5000); // nothing came: half of the three seconds
  expect(p.rate).toBe(2500);
  expect(pace(p, 5500, 5000).rate).toBe(0);
});
