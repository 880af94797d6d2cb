// The server is killed and started again under open pages:
//   node web/e2e/restart.mjs DEVSERVER
//
// DEVSERVER is the program of web/devserver. Once with people who have tokens,
// whose cookies go on working, and once with the one-time link, whose do not:
// then the page says what to do, and goes on by itself after it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { until } from './page.mjs';

const [program] = process.argv.slice(2);
if (!program) {
  console.error('usage: node web/e2e/restart.mjs DEVSERVER');
  process.exit(2);
}
const token = 'a-token-of-ada-that-is-long';
// A server that is killed leaves its PostgreSQL's folder; that user has to get in.
const work = mkdtempSync(join(tmpdir(), 'sv-'));
chmodSync(work, 0o755);
let server;

// start runs the program on a port and returns the link that it prints.
async function start(port, ...args) {
  server = spawn(program, ['-listen', `127.0.0.1:${port}`, '-quiet', ...args], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, TMPDIR: work } });
  server.gone = new Promise((done) => server.once('exit', done));
  return new Promise((done, fail) => {
    let text = '';
    server.stdout.on('data', (data) => {
      text += data;
      if (text.includes('\n')) done(text.trim());
    });
    server.once('exit', (code) => fail(new Error(`the server ended with ${code} before it said where it is`)));
  });
}

async function kill(signal = 'SIGKILL') {
  server.kill(signal);
  await server.gone;
}

async function freePort() {
  const listener = createServer();
  await new Promise((done) => listener.listen(0, '127.0.0.1', done));
  const { port } = listener.address();
  await new Promise((done) => listener.close(done));
  return port;
}

const steps = {
  'a page goes on when its server is back, its login with a token still good': async (browser) => {
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    await start(port, '-token', token);
    const page = await browser.context.newPage();
    await page.goto(base);
    await page.getByLabel('Your token').fill(token);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('heading', { level: 1, name: /Sessions|Backups/ }).waitFor();
    await page.goto(`${base}/s/demo/sql?db=shop#${new URLSearchParams({ q: "select 'whole', pg_sleep(300)" })}`);
    await page.locator('.cm-content').waitFor();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await until('the statement to run', async () => (await (await page.request.get(`${base}/api/v1/sessions/demo/queries`)).json()).items.length === 1);
    await kill();
    // What is lost is said: the connection, and the statement that ran.
    await page.getByRole('alert').getByText('Connection lost').waitFor();
    await page.getByRole('alert').getByText(/Interrupted|broke off/).waitFor();
    await start(port, '-token', token);
    // Nothing is touched: the page finds the server by itself.
    await page.getByText('Connection lost').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Run', exact: true }).waitFor();
    await page.goto('about:blank');
    await page.goto(`${base}/s/demo/sql?db=shop#${new URLSearchParams({ q: 'select 42 as answer' })}`);
    await page.locator('.cm-content').waitFor();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.locator('[data-done]').getByText('1 row').waitFor();
    const { items } = await (await page.request.get(`${base}/api/v1/sessions`)).json();
    assert.deepEqual(items.map((s) => `${s.id} ${s.state}`).sort(), ['closed-1 closed', 'demo ready']);
    assert.deepEqual((await (await page.request.get(`${base}/api/v1/sessions/demo/queries`)).json()).items, []);
    await kill('SIGTERM');
    await page.close();
  },

  'with a one-time link the page says to take a new one, and goes on after it': async (browser) => {
    const port = await freePort();
    const page = await browser.context.newPage();
    await page.goto(await start(port));
    await page.goto(`http://127.0.0.1:${port}/s/demo`);
    await page.getByRole('heading', { name: 'The snapshot' }).waitFor();
    await kill();
    await page.getByRole('alert').getByText('Connection lost').waitFor();
    const link = await start(port);
    await page.getByRole('heading', { name: 'This browser has not been let in' }).waitFor();
    await page.getByText('snapview link', { exact: true }).waitFor();
    const other = await browser.context.newPage();
    await other.goto(link);
    await page.getByRole('heading', { name: 'The snapshot' }).waitFor();
    await page.getByText('Connection lost').waitFor({ state: 'detached' });
    await kill('SIGTERM');
    await other.close();
    await page.close();
  },
};

let failed = 0;
const browser = await launch();
browser.context.setDefaultTimeout(60_000);
try {
  for (const [name, run] of Object.entries(steps)) {
    const began = Date.now();
    const said = await run(browser).then(() => 'ok  ', (error) => {
      failed++;
      return `FAIL ${error.stack}\n    `;
    });
    if (server.exitCode === null && server.signalCode === null) await kill('SIGTERM');
    console.log(`${said} ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }
} finally {
  await browser.close();
  rmSync(work, { recursive: true, force: true, maxRetries: 10, retryDelay: 500 });
}
process.exit(failed ? 1 : 0);
