// The tabs of the SQL editor over one backup. The server keeps them for the
// person (api: tabs), so they are there after a reload, in another window, on
// another port and when the backup is opened again. A tab that an address, a
// saved statement or the history brought is a preview: it is kept, and its
// place not given to the next one, once somebody changes it.
import { api, base, ok, toProblem, write, type ChartChoice, type EditorTab } from '../api/client';
import { newId } from '../id';
import type { SqlAct } from '../route';
import { toasts } from '../state/toast.svelte';
import type { Run } from './run.svelte';
import { titleOf } from './title';

export class Tab {
  /** Given by a person; empty for none. */
  title = $state('');
  db: string | undefined = $state();
  sql = $state('');
  position = $state(0);
  /** The saved statement that it shows. */
  saved: string | undefined = $state();
  chart: ChartChoice | undefined = $state.raw();
  preview = $state(false);
  /** What was done with the script, or is to be done by the address that brought it. */
  deed: { act?: SqlAct; at?: number } = $state.raw({});
  runs: Run[] = $state.raw([]);
  current = $state(0);
  /** Statements of the script that were not run, because one before them failed. */
  skipped = $state(0);
  /** What the editor needs to go on where it was: undo, selection. */
  editor: unknown;
  /** As of when the server has it. */
  stamp: string | undefined;

  constructor(readonly id: string = newId()) {}

  get name(): string {
    return this.title || titleOf(this.sql);
  }
  get busy(): boolean {
    return this.runs.some((run) => run.running);
  }
  get blank(): boolean {
    return this.sql.trim() === '' && !this.title;
  }
}

type Content = Pick<EditorTab, 'sql'> & Partial<Pick<EditorTab, 'title' | 'database' | 'saved' | 'chart'>>;

const wait = 400; // milliseconds from the last change to its being kept

export class Desk {
  tabs: Tab[] = $state([]);
  active: Tab | undefined = $state.raw();
  loaded = $state(false);
  /** Why the last change is not kept, if it is not. */
  unsaved: string | undefined = $state();
  closed: { tab: Tab; at: number }[] = $state.raw([]);
  #dirty = new Map<string, ReturnType<typeof setTimeout> | undefined>();
  #sending = new WeakMap<Tab, Promise<void>>();
  #loading: Promise<void> | undefined;

  #left = new AbortController();

  constructor(readonly session: string) {
    const { signal } = this.#left;
    addEventListener('pagehide', () => this.#flush(), { signal });
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#flush();
      else if (this.loaded) void this.#load();
    }, { signal });
  }

  /** Ends what runs and keeps what was changed: another session is looked at. */
  leave() {
    this.#left.abort();
    this.#flush();
    this.tabs.forEach((tab) => tab.runs.forEach((run) => void run.cancel()));
  }

  load(): Promise<void> {
    this.#loading ??= this.#load().finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  // Takes what the server has: other windows, and other sessions over the same
  // backup, change it too. What was changed here and is not kept yet wins.
  async #load() {
    try {
      const { items } = await ok(api.GET('/sessions/{id}/tabs', { params: { path: { id: this.session } } }));
      const drafts = this.loaded ? [] : this.#drafts();
      const known = new Map(items.map((item) => [item.id, item]));
      const gone = (tab: Tab) => !tab.preview && tab.stamp !== undefined && !known.has(tab.id) && !this.#dirty.has(tab.id) && !tab.busy;
      this.tabs = this.tabs.filter((tab) => !gone(tab));
      for (const item of [...items, ...drafts]) this.#take(item, drafts.includes(item));
      this.#sort();
      // Another window may have closed it, and all others.
      if (this.active && !this.tabs.includes(this.active)) this.show(this.tabs[0] ?? this.create());
      this.unsaved = undefined;
    } catch (cause) {
      // Without the server's there are the drafts of this window.
      if (!this.loaded) for (const draft of this.#drafts()) this.#take(draft, true);
      this.unsaved = toProblem(cause).title;
    }
    this.loaded = true;
  }

  #take(item: EditorTab, draft: boolean) {
    let tab = this.tabs.find((t) => t.id === item.id);
    if (tab && (this.#dirty.has(tab.id) || tab.stamp === item.updatedAt) && !draft) return;
    if (!tab) this.tabs.push((tab = new Tab(item.id)));
    tab.title = item.title ?? '';
    tab.db = item.database;
    tab.sql = item.sql;
    tab.position = item.position;
    tab.saved = item.saved;
    tab.chart = item.chart;
    tab.stamp = item.updatedAt;
    if (draft) this.keep(tab);
  }

  #sort() {
    this.tabs = [...this.tabs].sort((a, b) => a.position - b.position || (a.id < b.id ? -1 : 1));
  }

  /** The tab that was shown last in this window. */
  get last(): Tab | undefined {
    const id = read<string>('tab.' + this.session);
    return this.tabs.find((tab) => tab.id === id) ?? this.tabs[0];
  }

  show(tab: Tab) {
    this.active = tab;
    store('tab.' + this.session, tab.id);
  }

  /** Opens an empty tab behind the active one. */
  create(content: Content = { sql: '' }): Tab {
    const tab = this.#place(new Tab(), content);
    this.show(tab);
    return tab;
  }

  /** Shows a statement in the tab for previews. */
  preview(content: Content): Tab {
    const old = this.tabs.find((tab) => tab.preview && !tab.busy);
    if (old) this.#drop(old);
    // The empty tab that everybody begins with has served.
    const blank = this.tabs.length === 1 && this.tabs[0]!.blank && this.tabs[0]!.runs.length === 0 ? this.tabs[0]! : undefined;
    if (blank) {
      this.#drop(blank);
      void this.#remove(blank);
    }
    const tab = this.#place(new Tab(), content);
    tab.preview = true;
    this.show(tab);
    return tab;
  }

  #place(tab: Tab, content: Content): Tab {
    tab.sql = content.sql;
    tab.title = content.title ?? '';
    tab.db = content.database;
    tab.saved = content.saved;
    tab.chart = content.chart;
    const at = this.active ? this.tabs.indexOf(this.active) + 1 : this.tabs.length;
    tab.position = this.#between(at);
    this.tabs.splice(at, 0, tab);
    return tab;
  }

  // A position that puts a tab before the one at an index.
  #between(at: number): number {
    const before = this.tabs[at - 1]?.position;
    const after = this.tabs[at]?.position;
    if (before === undefined) return after === undefined ? 1 : after - 1;
    return after === undefined ? before + 1 : (before + after) / 2;
  }

  /** Moves a tab to an index. */
  move(tab: Tab, to: number) {
    const from = this.tabs.indexOf(tab);
    if (from < 0 || to < 0 || to >= this.tabs.length || from === to) return;
    this.tabs.splice(from, 1);
    tab.position = this.#between(to);
    this.tabs.splice(to, 0, tab);
    this.keep(tab);
  }

  close(tab: Tab) {
    const at = this.tabs.indexOf(tab);
    if (at < 0) return;
    tab.runs.forEach((run) => void run.cancel());
    this.#drop(tab);
    void this.#remove(tab);
    if (this.tabs.length === 0) this.create();
    else if (this.active === tab) this.show(this.tabs[Math.min(at, this.tabs.length - 1)]!);
    if (tab.blank) return;
    this.closed = [...this.closed.slice(-19), { tab, at }];
    // Its results go when nobody can be about to take the close back.
    setTimeout(() => this.tabs.includes(tab) || (tab.runs = []), 12_000);
    toasts.show(`“${tab.name}” closed`, 'info', { name: 'Undo', run: () => this.reopen(tab) });
  }

  /** Opens a tab again that was closed, the last one if none is named. */
  reopen(tab?: Tab) {
    const found = tab ? this.closed.find((c) => c.tab === tab) : this.closed.at(-1);
    if (!found) return;
    this.closed = this.closed.filter((c) => c !== found);
    const only = this.tabs.length === 1 && this.tabs[0]!.blank ? this.tabs[0]! : undefined;
    const at = Math.min(found.at, this.tabs.length);
    found.tab.position = this.#between(at);
    this.tabs.splice(at, 0, found.tab);
    if (only) {
      this.#drop(only);
      void this.#remove(only);
    }
    this.show(found.tab);
    if (!found.tab.preview) this.keep(found.tab);
  }

  #drop(tab: Tab) {
    this.tabs = this.tabs.filter((t) => t !== tab);
    clearTimeout(this.#dirty.get(tab.id));
    this.#dirty.delete(tab.id);
    this.#draft();
  }

  async #remove(tab: Tab) {
    if (tab.stamp === undefined) return;
    tab.stamp = undefined;
    const path = { id: this.session, tab: tab.id };
    await api.DELETE('/sessions/{id}/tabs/{tab}', { params: { path, header: write } }).catch(() => undefined);
  }

  /** Has the server keep what a tab holds now, soon. */
  keep(tab: Tab) {
    tab.preview = false;
    clearTimeout(this.#dirty.get(tab.id));
    this.#dirty.set(tab.id, setTimeout(() => { this.#dirty.set(tab.id, undefined); void this.#put(tab); }, wait));
    this.#draft();
  }

  // One after the other, or an answer that took long would leave the older text.
  #put(tab: Tab) {
    const sent = (this.#sending.get(tab) ?? Promise.resolve()).then(() => (this.tabs.includes(tab) ? this.#send(tab) : undefined));
    this.#sending.set(tab, sent);
    return sent;
  }

  async #send(tab: Tab) {
    if (this.#dirty.get(tab.id) === undefined) this.#dirty.set(tab.id, undefined);
    const sent = body(tab);
    try {
      const kept = await ok(api.PUT('/sessions/{id}/tabs/{tab}', { params: { path: { id: this.session, tab: tab.id }, header: write }, body: sent }));
      tab.stamp = kept.updatedAt;
      this.unsaved = undefined;
      // Changed meanwhile: the next one is on its way.
      if (this.#dirty.get(tab.id) === undefined) this.#dirty.delete(tab.id);
      // Closed meanwhile.
      if (!this.tabs.includes(tab)) void this.#remove(tab);
    } catch (cause) {
      const problem = toProblem(cause);
      this.unsaved = problem.detail ?? problem.title;
      if (problem.status === 0) setTimeout(() => this.#dirty.has(tab.id) && this.keep(tab), 5000);
    }
    this.#draft();
  }

  // Drafts bridge a reload while a change is on its way, and a server that is
  // away. They are this window's own.
  #draft() {
    const drafts = this.tabs.filter((tab) => this.#dirty.has(tab.id)).map((tab) => ({ ...body(tab), id: tab.id, updatedAt: tab.stamp ?? '' }));
    store('drafts.' + this.session, drafts.length ? drafts : undefined);
  }

  #drafts(): EditorTab[] {
    return read<EditorTab[]>('drafts.' + this.session) ?? [];
  }

  // What is not on its way yet is sent while the page goes; the browser lets
  // requests of up to 64 KiB outlive it.
  #flush() {
    for (const [id, timer] of this.#dirty) {
      const tab = this.tabs.find((t) => t.id === id);
      if (timer === undefined || !tab) continue;
      clearTimeout(timer);
      this.#dirty.set(id, undefined);
      if (tab.sql.length > 30_000) void this.#put(tab);
      else {
        fetch(`${base}/sessions/${encodeURIComponent(this.session)}/tabs/${id}`, {
          method: 'PUT', keepalive: true, headers: { 'Content-Type': 'application/json', ...write }, body: JSON.stringify(body(tab)),
        }).then(
          async (answer) => {
            if (!answer.ok) return;
            tab.stamp = ((await answer.json()) as EditorTab).updatedAt;
            if (this.#dirty.get(id) === undefined) this.#dirty.delete(id);
            this.#draft();
          },
          () => undefined,
        );
      }
    }
  }
}

function body(tab: Tab) {
  return {
    sql: tab.sql,
    position: tab.position,
    ...(tab.title && { title: tab.title }),
    ...(tab.db !== undefined && { database: tab.db }),
    ...(tab.saved !== undefined && { saved: tab.saved }),
    ...(tab.chart && { chart: tab.chart }),
  };
}

function read<T>(name: string): T | undefined {
  try {
    return JSON.parse(sessionStorage.getItem('snapview.' + name) ?? 'null') ?? undefined;
  } catch {
    return undefined;
  }
}

function store(name: string, value: unknown) {
  try {
    if (value === undefined) sessionStorage.removeItem('snapview.' + name);
    else sessionStorage.setItem('snapview.' + name, JSON.stringify(value));
  } catch {
    // A browser that refuses it, or is full: the server has the tabs.
  }
}

let current: Desk | undefined;

/** The desk of a session; results stay with its tabs while other views are shown. */
export function deskOf(session: string): Desk {
  if (current?.session !== session) {
    current?.leave();
    current = new Desk(session);
  }
  return current;
}
