// A merge of two layers under way: how far it is, and stopping it. It ends
// with the request, so hanging up leaves the layers as they were.
import { base, failure, toProblem, write, type MergeFrame, type Problem } from './api/client';
import { readLines } from './api/ndjson';

export class Merge {
  done = $state(0);
  total = $state(0);
  running = $state(false);
  problem: Problem | undefined = $state.raw();
  #abort: AbortController | undefined;

  /** Whether the layers are one now. */
  async run(session: string, layer: string): Promise<boolean> {
    this.running = true;
    this.problem = undefined;
    this.done = this.total = 0;
    this.#abort = new AbortController();
    let ended = false;
    try {
      const answer = await fetch(`${base}/sessions/${encodeURIComponent(session)}/layers/${encodeURIComponent(layer)}/merge`, {
        method: 'POST',
        headers: { Accept: 'application/x-ndjson', ...write },
        signal: this.#abort.signal,
      });
      if (!answer.ok || !answer.body) throw await failure(answer);
      await readLines<MergeFrame>(answer.body, (frame) => {
        if (frame.progress) [this.done, this.total] = [frame.progress.doneBytes, frame.progress.totalBytes];
        if (frame.end) [ended, this.problem] = [true, frame.end.error];
      });
      if (!ended) throw new Error('The answer broke off before its end. Look at the tree for what became of it.');
      return !this.problem;
    } catch (cause) {
      if (!this.#abort.signal.aborted) this.problem = toProblem(cause);
      return false;
    } finally {
      this.running = false;
    }
  }

  stop() {
    this.#abort?.abort();
  }
}
