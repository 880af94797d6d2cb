// The names that the editor completes, of the database that it asks.
import { api, ok, type Completion } from '../api/client';

export class Names {
  completion: Completion | undefined;
  functions: string[] = [];
  #db: string | undefined;
  #loading: Promise<void> | undefined;
  // What was asked by its beginning; every letter may ask again.
  #asked = new Map<string, Promise<Completion['relations']>>();

  constructor(private readonly session: string) {}

  /** Fetches the names of a database, once. Without them completion knows SQL only. */
  load(db: string): Promise<void> {
    if (this.#db !== db || !this.#loading) {
      this.#db = db;
      this.completion = undefined;
      this.functions = [];
      this.#asked.clear();
      this.#loading = this.#fetch(db);
    }
    return this.#loading;
  }

  async #fetch(db: string) {
    const path = { id: this.session, db };
    try {
      const [completion, functions] = await Promise.all([
        ok(api.GET('/sessions/{id}/databases/{db}/completion', { params: { path } })),
        ok(api.GET('/sessions/{id}/databases/{db}/objects', { params: { path, query: { kind: 'function' } } })).catch(() => ({ items: [] })),
      ]);
      if (this.#db !== db) return;
      this.completion = completion;
      this.functions = [...new Set(functions.items.map((f) => f.name))];
    } catch {
      this.#loading = undefined; // the next tab asks again
    }
  }

  /** Relations whose name begins so, asked of the server once. */
  relations(db: string, prefix: string): Promise<Completion['relations']> {
    const key = JSON.stringify([db, prefix]);
    let answer = this.#asked.get(key);
    if (!answer) {
      if (this.#asked.size > 200) this.#asked.clear();
      const path = { id: this.session, db };
      answer = ok(api.GET('/sessions/{id}/databases/{db}/completion', { params: { path, query: { q: prefix, limit: 50 } } })).then(
        (found) => found.relations,
        () => (this.#asked.delete(key), []),
      );
      this.#asked.set(key, answer);
    }
    return answer;
  }
}
