// Rows that were marked by hand, by the key that the server gave each. They
// stay marked while one pages, filters, sorts and looks at other tables.
import { SvelteMap } from 'svelte/reactivity';

/** The server takes so many keys at once. */
export const maxMarks = 10_000;

export class Marks {
  /** In the order in which they were marked. */
  keys = new SvelteMap<string, true>();

  has(key: string | null | undefined): boolean {
    return typeof key === 'string' && this.keys.has(key);
  }

  /** Marks or unmarks; returns how many did not fit. */
  set(keys: (string | null | undefined)[], on: boolean): number {
    let left = 0;
    for (const key of keys) {
      if (typeof key !== 'string') continue;
      if (!on) this.keys.delete(key);
      else if (this.keys.size < maxMarks || this.keys.has(key)) this.keys.set(key, true);
      else left++;
    }
    return left;
  }

  clear() {
    this.keys.clear();
  }
}

const kept = new Map<string, Marks>();

/** The marks of a relation. */
export function marksOf(session: string, db: string, relation: number): Marks {
  const name = [session, db, relation].join('\0');
  let marks = kept.get(name);
  if (!marks) kept.set(name, (marks = new Marks()));
  return marks;
}
