// Files that the server prepares and streams, and the browser saves: the page
// never holds their rows.
import { mount } from 'svelte';
import { api, ok, write, type ExportRequest } from './api/client';
import { downloads } from './state/downloads.svelte';

let shown = false;

/** Shows the downloads of this tab, whatever view is shown and comes next. */
function show() {
  if (shown) return;
  shown = true;
  import('./ui/Downloads.svelte').then(
    ({ default: Downloads }) => mount(Downloads, { target: document.body }),
    () => (shown = false),
  );
}
downloads.resume();
if (downloads.list.length) show();

function save(session: string, ready: { id: string; url: string; fileName: string }) {
  start(ready.url);
  downloads.follow(session, ready);
  show();
}

// name is for what the page itself has made; the server gives its files their own.
function start(url: string, name = '') {
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

/** Prepares an export; what is wrong with it is thrown before anything is downloaded. */
export async function exportFile(session: string, db: string, body: ExportRequest) {
  save(session, await ok(api.POST('/sessions/{id}/databases/{db}/exports', { params: { path: { id: session, db }, header: write }, body })));
}

/** Prepares a dump by pg_dump. */
export async function dumpFile(session: string, db: string, body: { relations?: number[]; schemaOnly?: boolean; dataOnly?: boolean; inserts?: boolean }) {
  save(session, await ok(api.POST('/sessions/{id}/databases/{db}/dumps', { params: { path: { id: session, db }, header: write }, body: { schemaOnly: false, dataOnly: false, inserts: false, ...body } })));
}

/** Saves what the page itself has made. */
export function saveBlob(blob: Blob, name: string) {
  const url = URL.createObjectURL(blob);
  start(url, name);
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
