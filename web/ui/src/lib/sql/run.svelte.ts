// One run of one statement: its rows as they stream in, its end, its cancel.
import { api, base, failure, toProblem, write, type Frame, type QueryEnd, type QueryError, type ResultColumn } from '../api/client';
import { newId } from '../id';
import { parseLine, readByteLines } from '../api/ndjson';
import { countOf } from '../rows/count';
import type { Cell } from '../grid/model';
import { Rows } from '../rows/rows';

export class Run {
  readonly id = newId();
  /** Rows live outside of what Svelte watches, and those of a large result outside of the page. */
  readonly rows: Rows = new Rows(() => this.read++, () => (this.lost = true));
  columns: ResultColumn[] | undefined = $state.raw();
  count = $state(0);
  /** Changes when rows that were asked for are there. */
  read = $state(0);
  /** The browser could not give back rows that it kept. */
  lost = $state(false);
  notices: { severity: string; message: string; hint?: string }[] = $state.raw([]);
  end: QueryEnd | undefined = $state.raw();
  error: QueryError | undefined = $state.raw();
  /** It waits or runs: its end is still to come. */
  running = $state(true);
  /** It was sent; until then it waits for those before it. */
  started = $state(false);
  cancelling = $state(false);
  /** Milliseconds since it began, while it runs. */
  elapsed = $state(0);
  #abort = new AbortController();

  constructor(
    readonly session: string,
    readonly db: string,
    readonly sql: string,
    readonly maxRows: number,
    /** Where the statement begins in the editor. */
    readonly from = 0,
    /** How much of a value comes; the server's own bound when nothing is said. */
    readonly maxCellBytes?: number,
    /** How many characters of the statement are the page's own, before those of the editor. */
    readonly ahead = 0,
  ) {}

  async start(): Promise<void> {
    if (this.cancelling) return this.refuse({ code: 'cancelled', message: 'Cancelled' });
    this.started = true;
    const began = performance.now();
    const timer = setInterval(() => (this.elapsed = performance.now() - began), 100);
    let pending: number | undefined;
    const show = () => {
      pending = undefined;
      this.count = this.rows.count;
    };
    try {
      const answer = await fetch(`${base}/sessions/${encodeURIComponent(this.session)}/databases/${encodeURIComponent(this.db)}/query`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...write },
        body: JSON.stringify({ sql: this.sql, id: this.id, maxRows: this.maxRows, maxCellBytes: this.maxCellBytes }),
        signal: this.#abort.signal,
      });
      if (!answer.ok || !answer.body) throw await failure(answer);
      await readByteLines(answer.body, (line, ended) => {
        // Most lines are rows, and stay what they are.
        const many = ended ? countOf(line) : undefined;
        const frame: Frame = many === undefined ? parseLine(line) : {};
        if (many !== undefined || frame.rows) {
          this.rows.add(line, many ?? (frame.rows as Cell[][]));
          pending ??= requestAnimationFrame(show);
        } else if (frame.cols) this.columns = frame.cols;
        else if (frame.notice) this.notices = [...this.notices, frame.notice];
        else if (frame.end) this.end = frame.end;
      });
      this.error = this.end?.error;
      if (!this.end) this.error = { code: 'connection-lost', message: 'The answer broke off before its end; the rows shown may not be all.' };
    } catch (cause) {
      const problem = toProblem(cause);
      this.error = this.#abort.signal.aborted
        ? { code: 'cancelled', message: 'Cancelled' }
        : cause instanceof TypeError || cause instanceof SyntaxError // nothing answers, or no more; a line was cut off
          ? { code: 'connection-lost', message: `Interrupted: the server stopped answering${this.rows.count ? '; the rows shown may not be all' : ''}.` }
        : { code: problem.code, message: problem.detail ?? problem.title, hint: problem.hint, sqlstate: problem.sqlstate, position: problem.position };
    } finally {
      clearInterval(timer);
      if (pending !== undefined) cancelAnimationFrame(pending);
      this.rows.end();
      this.count = this.rows.count;
      this.elapsed = performance.now() - began;
      this.running = false;
    }
  }

  /** Ends it with an error before it was sent. */
  refuse(error: QueryError) {
    this.error = error;
    this.running = false;
    this.rows.end();
  }

  /** Asks the server to stop; if it does not within two seconds, hangs up, which stops it too. */
  async cancel() {
    if (!this.running || this.cancelling) return;
    this.cancelling = true;
    if (!this.started) return; // and is not, then
    setTimeout(() => this.running && this.#abort.abort(), 2000);
    await api.DELETE('/sessions/{id}/queries/{qid}', { params: { path: { id: this.session, qid: this.id }, header: write } }).catch(() => undefined);
  }
}
