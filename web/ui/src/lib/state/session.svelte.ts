// The session that the page shows: its state, figures and databases, kept
// live by its events.
import { api, base, ok, toProblem, type Database, type Problem, type Sample, type Session, type SessionEvent } from '../api/client';
import { firstAnswer } from '../api/first';
import { afterPaint } from '../paint';
import { Feed, type Connection } from './feed';

const keptSamples = 5000;
const order: Record<Session['state'], number> = { opening: 0, ready: 1, closing: 2, closed: 3, failed: 3 };

class Current {
  id: string | undefined = $state();
  info: Session | undefined = $state.raw();
  problem: Problem | undefined = $state.raw();
  databases: Database[] | undefined = $state.raw();
  /** Why they are not there. */
  databasesProblem: Problem | undefined = $state.raw();
  samples: Sample[] = $state.raw([]);
  connection: Connection = $state('connecting');
  closing: string | undefined = $state();
  #feed: Feed | undefined;
  #naming: Promise<void> | undefined;
  #later: (() => void) | undefined;

  open(id: string) {
    if (this.id === id) return;
    this.leave();
    this.id = id;
    const path = `${base}/sessions/${encodeURIComponent(id)}`;
    this.info = firstAnswer<Session>(path);
    this.databases = firstAnswer<{ items: Database[] }>(`${path}/databases?sizes=false`)?.items;
    if (!this.databases) void this.#names(); // of a session that is ready, as nearly all are
    if (!this.info) void this.refresh();
    const came = this.info?.state === 'ready';
    this.#later = afterPaint(() => this.#listen(id, came));
  }

  // The first view needs none of it.
  #listen(id: string, cameReady: boolean) {
    if (cameReady) void this.#databases(); // else refresh does
    void this.#history();
    this.#feed = new Feed(
      id,
      (event) => this.id === id && this.#take(event),
      (connection) => {
        const back = this.connection === 'lost' && connection === 'live';
        this.connection = connection;
        if (connection === 'lost' || back) void this.refresh();
      },
    );
  }

  leave() {
    this.#later?.();
    this.#feed?.close();
    this.#later = this.#feed = this.#naming = undefined;
    this.id = this.info = this.problem = this.databases = this.databasesProblem = this.closing = undefined;
    this.samples = [];
    this.connection = 'connecting';
  }

  // An answer may be older than the event that overtook it: a session never
  // goes back to a state that it has left.
  learn(info: Session) {
    const known = this.info?.id === info.id ? this.info.state : undefined;
    this.info = known && order[known] > order[info.state] ? { ...info, state: known } : info;
  }

  async refresh() {
    const id = this.id;
    if (!id) return;
    try {
      const info = await ok(api.GET('/sessions/{id}', { params: { path: { id } } }));
      if (this.id !== id) return;
      const was = this.info?.state;
      this.learn(info);
      this.problem = undefined;
      if (info.state === 'ready' && (was !== 'ready' || !this.databases)) void this.#databases();
    } catch (cause) {
      if (this.id !== id) return;
      const problem = toProblem(cause);
      // The program ends with its last session: nobody is left to say so.
      if (this.info?.state === 'closing' && this.connection === 'lost') this.learn({ ...this.info, state: 'closed' });
      // What was shown stays while the server is away; the banner tells.
      if (!this.info || problem.status === 401 || problem.status === 404) this.problem = problem;
    }
  }

  /** Learns when the session ends, without counting as use of it as refresh does. */
  async peek() {
    const id = this.id;
    if (!id) return;
    try {
      const { items } = await ok(api.GET('/sessions'));
      const info = items.find((s) => s.id === id);
      if (info && this.id === id && this.info) this.info = { ...this.info, expiresAt: info.expiresAt, idleAt: info.idleAt };
    } catch {
      // The banner tells of a server that is away.
    }
  }

  /** The database that views start with. */
  get database(): string | undefined {
    const names = (this.databases ?? []).filter((d) => d.connectable && !d.template).map((d) => d.name);
    const wanted = this.info?.defaultDatabase;
    if (wanted && (names.includes(wanted) || !this.databases)) return wanted;
    return names.find((name) => name !== 'postgres') ?? names[0];
  }

  async #databases() {
    const id = this.id!;
    if (this.#naming || !this.databases) await this.#names();
    // For the sizes PostgreSQL looks at every file: not while the first view
    // waits for its rows.
    await new Promise((later) => setTimeout(later, 400));
    if (this.id === id) await this.#list(true);
  }

  #names(): Promise<void> {
    return (this.#naming ??= this.#list(false).finally(() => (this.#naming = undefined)));
  }

  async #list(sizes: boolean) {
    const id = this.id!;
    try {
      const { items } = await ok(api.GET('/sessions/{id}/databases', { params: { path: { id }, query: { sizes } } }));
      if (this.id === id) [this.databases, this.databasesProblem] = [items, undefined];
    } catch (cause) {
      if (this.id === id) this.databasesProblem = toProblem(cause);
    }
  }

  async #history() {
    const id = this.id!;
    try {
      const overlay = await ok(api.GET('/sessions/{id}/overlay', { params: { path: { id } } }));
      if (this.id === id) this.samples = merge(overlay.samples, [...this.samples, overlay.now]);
    } catch {
      // A chart without its past; the stream brings the rest.
    }
  }

  #take(event: SessionEvent) {
    const info = this.info;
    switch (event.type) {
      case 'overlay':
      case 'hold':
        if (!event.sample) {
          if (event.type === 'hold') void this.refresh();
          break;
        }
        this.samples = merge(this.samples, [event.sample]);
        if (info && (this.samples.at(-1)?.time ?? '') <= event.sample.time) {
          const { overlayBytes, backupBytesRead, holding } = event.sample;
          this.info = { ...info, stats: { ...info.stats, overlayBytes, backupBytesRead, holding } };
        }
        if (event.type === 'hold') void this.refresh(); // why, and under which limit
        break;
      case 'phase':
        if (info && event.phase) {
          const phase = event.phase;
          const known = info.phases.some((p) => p.name === phase.name);
          this.info = { ...info, phases: known ? info.phases.map((p) => (p.name === phase.name ? phase : p)) : [...info.phases, phase] };
        }
        break;
      case 'state':
        if (info && event.state === info.state) break; // told again, to a page that came later
        void this.refresh();
        break;
      case 'warning':
        void this.refresh();
        break;
      case 'closing':
        this.closing = event.message;
        void this.refresh();
        break;
      case 'closed':
        if (info) this.info = { ...info, state: info.state === 'failed' ? 'failed' : 'closed' };
        this.connection = 'over';
        void this.refresh();
    }
  }
}

// merge keeps samples in order of time, each once, and bounded in number.
function merge(old: Sample[], more: Sample[]): Sample[] {
  const last = old.at(-1)?.time ?? '';
  if (more.length === 1 && more[0]!.time > last) return [...old.slice(-keptSamples), more[0]!];
  const byTime = new Map([...old, ...more].map((s) => [s.time, s]));
  return [...byTime.values()].sort((a, b) => (a.time < b.time ? -1 : 1)).slice(-keptSamples);
}

export const session = new Current();
