// How fast a download is. Pure.

export interface Pace {
  ms: number;
  bytes: number;
  /** Bytes a second, of the last seconds more than of the first. */
  rate: number;
}

/** What was known, and how far it is now. */
export function pace(was: Pace | undefined, ms: number, bytes: number): Pace {
  if (!was || ms <= was.ms) return was ?? { ms, bytes, rate: ms > 0 ? (bytes / ms) * 1000 : 0 };
  const now = ((bytes - was.bytes) / (ms - was.ms)) * 1000;
  const weight = Math.min(1, (ms - was.ms) / 3000);
  return { ms, bytes, rate: was.rate + (now - was.rate) * (was.rate ? weight : 1) };
}
