// Drives the page of a running session in a real browser, from the login link
// to the teardown:
//   node web/e2e/run.mjs LOGIN-URL
//
// It knows nothing of the data: databases and tables are asked for first. The
// steps run in order, each once more if it fails, and none sleeps. Environment:
// SNAPVIEW_DB names the database to use, SNAPVIEW_KEEP=1 leaves the session up,
// SNAPVIEW_ONLY runs only the steps whose name matches it, SNAPVIEW_ON=session or
// devserver those that tell something there (steps.mjs), SNAPVIEW_SHOTS names a
// folder for a picture of what failed.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { steps } from './steps.mjs';

const url = process.argv[2] ?? process.env.SNAPVIEW_URL;
if (!url) {
  console.error('usage: node web/e2e/run.mjs LOGIN-URL');
  process.exit(2);
}

const browser = await launch();
const page = browser.context.pages()[0] ?? (await browser.context.newPage());
const complaints = [];
page.on('pageerror', (error) => complaints.push(`error in the page: ${error.message}`));
page.on('console', (message) => {
  if (message.type() !== 'error') return;
  const text = message.text();
  // Answers that a step provokes, and a server that goes away at the end.
  if (/Failed to load resource|ERR_CONNECTION_REFUSED/.test(text)) return;
  complaints.push(`console: ${text.slice(0, 400)}`);
});

let failed = 0;
const began = Date.now();
try {
  const world = await prepare();
  for (const step of steps) {
    if (step.name.startsWith('teardown') && process.env.SNAPVIEW_KEEP) continue;
    if (!new RegExp(process.env.SNAPVIEW_ONLY ?? '').test(step.name)) continue;
    if (process.env.SNAPVIEW_ON && ![undefined, 'both', process.env.SNAPVIEW_ON].includes(step.on)) continue;
    const start = Date.now();
    let problem;
    for (let attempt = 1; attempt <= (step.once ? 1 : 2); attempt++) {
      complaints.length = 0;
      try {
        await step.run(page, world);
        if (complaints.length) throw new Error(complaints.join('\n'));
        problem = undefined;
        break;
      } catch (error) {
        problem = error;
        console.log(`     ${step.name}, attempt ${attempt}: ${error.message}`);
        if (process.env.SNAPVIEW_SHOTS) {
          mkdirSync(process.env.SNAPVIEW_SHOTS, { recursive: true });
          await page.screenshot({ path: join(process.env.SNAPVIEW_SHOTS, `failed-${step.name.replace(/\W+/g, '-')}-${attempt}.png`) }).catch(() => {});
        }
      }
    }
    console.log(`${problem ? 'FAIL' : 'ok  '} ${step.name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
    if (problem) failed++;
  }
} catch (error) {
  console.error(`FAIL before the first step: ${error.stack}`);
  failed++;
} finally {
  await browser.close();
}
console.log(`${failed ? failed + ' failed' : 'all passed'} in ${((Date.now() - began) / 1000).toFixed(1)} s`);
process.exit(failed ? 1 : 0);

// prepare logs in and finds out what there is to look at.
async function prepare() {
  await page.goto(url);
  const origin = new URL(page.url()).origin;
  const get = async (path) => {
    const answer = await page.request.get(`${origin}/api/v1${path}`);
    if (!answer.ok()) throw new Error(`GET ${path}: ${answer.status()} ${await answer.text()}`);
    return answer.json();
  };
  const sessions = (await get('/sessions')).items;
  const session = sessions.find((s) => s.state === 'ready');
  if (!session) throw new Error(`no session is ready: ${JSON.stringify(sessions.map((s) => [s.id, s.state]))}`);
  const root = `/sessions/${session.id}`;
  const databases = (await get(root + '/databases')).items.filter((d) => d.connectable && !d.template);
  let db = process.env.SNAPVIEW_DB ?? session.defaultDatabase;
  if (!databases.some((d) => d.name === db)) db = (databases.find((d) => d.name !== 'postgres') ?? databases[0]).name;
  const list = (await get(`${root}/databases/${encodeURIComponent(db)}/relations?kind=table&sort=size&limit=20`)).items;
  const tables = [];
  for (const item of list) tables.push(await get(`${root}/databases/${encodeURIComponent(db)}/relations/${item.oid}`));
  const keyed = tables.find((t) => t.paging === 'key' && t.columns.filter((c) => c.key).length === 1 && t.estimatedRows > 600) ?? tables.find((t) => t.paging === 'key');
  if (!keyed) throw new Error(`database ${db} has no table with a key among its largest`);
  const linked = tables.find((t) => t.references.some((fk) => fk.columns.length === 1 && t.columns.find((c) => c.number === fk.columns[0])?.notNull) && t.estimatedRows !== 0);
  const base = `${origin}/s/${encodeURIComponent(session.id)}`;
  return {
    origin, base, session, db, table: keyed, linked, get, root,
    tableURL: (t, search = '') => `${base}/db/${encodeURIComponent(db)}/t/${encodeURIComponent(t.schema)}/${encodeURIComponent(t.name)}${search}`,
    name: (t) => `"${t.schema.replaceAll('"', '""')}"."${t.name.replaceAll('"', '""')}"`,
    sqlURL: (sql) => `${base}/sql?db=${encodeURIComponent(db)}#${new URLSearchParams({ q: sql })}`,
  };
}
