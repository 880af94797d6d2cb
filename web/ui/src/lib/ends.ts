// When a session ends by itself. Pure.
import type { Session } from './api/client';

export interface End {
  /** Milliseconds since 1970. */
  at: number;
  /** Its time to live is over, or nobody used it for as long as it may stay unused. */
  why: 'lifetime' | 'idle';
}

/** How long before its end a session says so to everybody. */
export const warnBefore = 5 * 60_000;

/** What ends a session first; undefined for one that stays until it is closed. */
export function nextEnd(info: Pick<Session, 'expiresAt' | 'idleAt'>): End | undefined {
  const ends: End[] = [];
  if (info.expiresAt) ends.push({ at: new Date(info.expiresAt).getTime(), why: 'lifetime' });
  if (info.idleAt) ends.push({ at: new Date(info.idleAt).getTime(), why: 'idle' });
  return ends.filter((end) => !Number.isNaN(end.at)).sort((a, b) => a.at - b.at)[0];
}

/** Both limits in words, for who wants to know which one counts. */
export function endsInWords(info: Pick<Session, 'expiresAt' | 'idleAt'>, now: number, span: (ms: number) => string): string {
  const left = (time: string) => span(Math.max(0, new Date(time).getTime() - now));
  return [info.expiresAt && `ends in ${left(info.expiresAt)}, when its time to live is over`, info.idleAt && `${info.expiresAt ? 'or ' : 'ends '}in ${left(info.idleAt)} if nobody uses it`].filter(Boolean).join(', ');
}
