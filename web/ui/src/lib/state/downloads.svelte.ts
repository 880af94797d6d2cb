// The files that this tab has asked for. A browser tells a page nothing of its
// downloads, so the server is asked how far they are, while any is under way.
import { api, ok, toProblem, write, type Problem } from '../api/client';
import type { components } from '../api/schema';
import { pace, type Pace } from '../export/pace';

type State = components['schemas']['DownloadState'];

export interface Followed {
  session: string;
  id: string;
  fileName: string;
  /** Undefined until the server was asked for the first time. */
  state?: State;
  pace?: Pace;
  cancelling?: boolean;
  problem?: Problem;
}

const often = 500;
const gone = 7000; // how long one that went well stays in sight
const name = 'snapview.downloads';

class Downloads {
  list: Followed[] = $state([]);
  /** The server does not answer. */
  lost = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;

  follow(session: string, { id, fileName }: { id: string; fileName: string }) {
    this.list.push({ session, id, fileName });
    this.#changed();
    this.#later(150);
  }

  /** Those that were under way when the page was loaded anew. */
  resume() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(name) ?? '[]') as Followed[];
      for (const { session, id, fileName } of kept) if (!this.list.some((d) => d.id === id)) this.list.push({ session, id, fileName });
    } catch {
      // Nothing was kept.
    }
    if (this.list.length) this.#later(0);
  }

  async cancel(d: Followed) {
    d.cancelling = true;
    try {
      await ok(api.DELETE('/sessions/{id}/exports/{eid}', { params: { path: { id: d.session, eid: d.id }, header: write } }));
    } catch {
      d.cancelling = false; // It has ended by itself, which asking tells, or it can be tried again.
    }
    this.#later(50);
  }

  drop(d: Followed) {
    this.list = this.list.filter((other) => other.id !== d.id);
    this.#changed();
  }

  #changed() {
    try {
      sessionStorage.setItem(name, JSON.stringify(this.list.filter(underWay).map(({ session, id, fileName }) => ({ session, id, fileName }))));
    } catch {
      // A page that is loaded anew knows nothing of them then.
    }
  }

  #later(ms: number) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), ms);
  }

  async #ask() {
    for (const session of new Set(this.list.filter(underWay).map((d) => d.session))) {
      try {
        const { items } = await ok(api.GET('/sessions/{id}/exports', { params: { path: { id: session } } }));
        this.lost = false;
        for (const d of this.list) if (d.session === session && underWay(d)) this.#learn(d, items.find((i) => i.id === d.id));
      } catch (cause) {
        const problem = toProblem(cause);
        this.lost = problem.status !== 404;
        if (!this.lost) for (const d of this.list) if (d.session === session && underWay(d)) this.#orphan(d, problem);
      }
    }
    this.#changed();
    if (this.list.some(underWay)) this.#later(this.lost ? 4 * often : often);
  }

  // The session is gone, and its downloads with it.
  #orphan(d: Followed, error: Problem) {
    if (d.state?.state === 'running') d.state = { ...d.state, state: 'failed', error };
    else this.drop(d);
  }

  #learn(d: Followed, state: State | undefined) {
    // One that nobody knows any more was withdrawn, or waited for too long.
    if (!state) return this.drop(d);
    d.state = state;
    d.pace = pace(d.pace, state.ms, state.bytes);
    if (state.state === 'done' || (state.state === 'cancelled' && d.cancelling)) setTimeout(() => this.drop(d), gone);
  }
}

export function underWay(d: Followed): boolean {
  return !d.state || d.state.state === 'waiting' || d.state.state === 'running';
}

export const downloads = new Downloads();
