// Measures the page in Chromium and prints the figures as JSON, a list of one
// number for each run:
//   node scripts/bench/web/page.mjs http://127.0.0.1:PORT COOKIE=VALUE RUNS
//
// Times are the page's own (performance.now() is 0 where the navigation
// begins) and end in the frame after the one that shows what was waited for.
import { createServer } from 'node:http';
import { launch } from '../../../web/e2e/browser.mjs';
import { resident } from './memory.mjs';

const [base, cookie, runs] = process.argv.slice(2);
const databases = 'main a[href$="/db/shop"]:not(.btn)'; // the first view can be used when they can be clicked
const list = ['/s/bench/db/shop?schema=many', 'section[aria-label="Relations"] table.list tbody tr:nth-child(100)'];
const table = ['/s/bench/db/shop/t/many/table_05000', 'main [role="gridcell"]:not(:empty)'];
const many = 1_000_000;
const few = 100_000;
const out = {
  empty: [], firstView: [], warmView: [], scriptBytes: [], allBytes: [], tables: [], tablesLoad: [], tablesAPI: [], table: [], tableLoad: [],
  load: [], heap: [], heapFew: [], buffers: [], renderer: [], rendererFew: [], browser: [], browserFew: [], fps: [], p50: [], p95: [], worst: [], dragFPS: [], dragP95: [],
};

let before; // the metrics of the page, when it began to scroll

// What the browser takes for any page, on this machine at this time: one
// script that makes one link.
const emptyPage = createServer((request, response) => {
  const script = request.url === '/script.js';
  response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html');
  response.end(script ? "document.querySelector('main').innerHTML = '<a href=\"/s/bench/db/shop\">shop</a>';" : '<!doctype html><script type="module" src="/script.js"></script><main></main>');
});
await new Promise((listens) => emptyPage.listen(0, '127.0.0.1', listens));
const emptyBase = `http://127.0.0.1:${emptyPage.address().port}`;

const browser = await launch();
try {
  const [name, value] = cookie.split('=');
  await browser.context.addCookies([{ name, value, url: base }]);
  // The server's own cache of the catalogue and the browser's processes are
  // warmed once; nobody's first view is the machine's first.
  await view(`${base}/s/bench`, databases, { empty: true });
  // Short ones vary most.
  for (let i = 0; i < 3 * runs; i++) {
    out.empty.push((await view(emptyBase, databases, { empty: true })).ms);
    const cold = await view(`${base}/s/bench`, databases, { empty: true });
    out.firstView.push(cold.ms);
    out.scriptBytes.push(cold.script);
    out.allBytes.push(cold.all);
    out.warmView.push((await view(`${base}/s/bench`, databases)).ms);
  }
  for (let i = 0; i < runs; i++) {
    out.tables.push(await click(...list));
    out.tablesLoad.push((await view(base + list[0], list[1])).ms);
    const began = performance.now();
    const answer = await browser.context.request.get(`${base}/api/v1/sessions/bench/databases/shop/relations?schema=many&sort=size&limit=200`);
    await answer.body();
    out.tablesAPI.push(performance.now() - began);
    out.table.push(await click(...table));
    out.tableLoad.push((await view(base + table[0], table[1])).ms);
  }
  for (let i = 0; i < runs; i++) await result();
} finally {
  await browser.close();
  emptyPage.close();
}
console.log(JSON.stringify(out));

// view opens an address in a new tab and waits until an element is on the screen.
async function view(url, selector, { empty = false } = {}) {
  const page = await browser.context.newPage();
  const cdp = await browser.context.newCDPSession(page);
  try {
    if (empty) await cdp.send('Network.clearBrowserCache');
    await page.addInitScript(watch, selector);
    // Nothing is asked of the page before it has said so: Playwright would put
    // its own scripts into it while it loads.
    const said = page.waitForEvent('console', (message) => /^(shown|failed) /.test(message.text()));
    await page.goto(url, { waitUntil: 'commit' });
    const [what, ms] = (await said).text().split(' ');
    if (what === 'failed') throw new Error(`${url}: nothing is shown that is ${selector}`);
    const { script, all } = await page.evaluate(() => {
      const files = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
      const sum = (list) => list.reduce((n, file) => n + file.encodedBodySize, 0);
      return { script: sum(files.filter((file) => file.name.endsWith('.js'))), all: sum(files) };
    });
    return { ms: Number(ms), script, all };
  } finally {
    await page.close();
  }
}

// watch runs in the page: a promise of when an element has been painted, which
// is written to the console as well.
function watch(wanted) {
  globalThis.shown = new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`nothing is shown that is ${wanted}`)), 30_000);
    const look = () => {
      if (!document.querySelector(wanted)) return false;
      // A frame's callbacks run before it is painted, a message after.
      const after = new MessageChannel();
      after.port1.onmessage = () => done(performance.now());
      requestAnimationFrame(() => after.port2.postMessage(0));
      return true;
    };
    if (look()) return;
    const observer = new MutationObserver(() => look() && observer.disconnect());
    observer.observe(document, { subtree: true, childList: true, attributes: true });
  });
  globalThis.shown.then((ms) => console.debug(`shown ${ms}`), () => console.debug('failed -'));
}

// click follows a link from the first view, and waits likewise.
async function click(path, selector) {
  const page = await browser.context.newPage();
  try {
    await page.goto(`${base}/s/bench`);
    await page.locator(databases).waitFor();
    await page.waitForLoadState('networkidle');
    await page.evaluate(watch, selector);
    return await page.evaluate(async (path) => {
      const began = performance.now();
      const link = document.createElement('a');
      link.href = path;
      document.body.append(link);
      link.click();
      return (await globalThis.shown) - began;
    }, path);
  } finally {
    await page.close();
  }
}

// result has the editor read a million rows, and scrolls through them.
async function result() {
  const page = await browser.context.newPage();
  const cdp = await browser.context.newCDPSession(page);
  try {
    await page.addInitScript((n) => localStorage.setItem('snapview.maxRows', String(n)), many);
    const some = await read(page, cdp, few);
    out.heapFew.push(some.heap);
    out.rendererFew.push(some.renderer);
    out.browserFew.push(some.browser);
    const whole = await read(page, cdp, many);
    out.load.push(whole.ms);
    out.heap.push(whole.heap);
    out.buffers.push(whole.buffers);
    out.renderer.push(whole.renderer);
    out.browser.push(whole.browser);
    const grid = page.getByRole('grid');
    const box = await grid.boundingBox();
    const x = box.x + box.width / 2;
    const y = box.y + box.height / 2;
    // A wheel that is turned without a pause, there and back: the browser
    // draws as often as it can.
    if (process.env.BENCH_PROFILE) await begin(cdp);
    const wheel = await pace(page, async () => {
      for (let turn = 0; turn < 4; turn++)
        await cdp.send('Input.synthesizeScrollGesture', {
          x, y, yDistance: turn % 2 ? 9000 : -12000, speed: 8000, gestureSourceType: 'mouse', preventFling: true,
        });
    });
    out.fps.push(wheel.fps);
    out.p50.push(wheel.at(0.5));
    out.p95.push(wheel.at(0.95));
    out.worst.push(wheel.at(1));
    if (process.env.BENCH_PROFILE) await profile(cdp, wheel.frames);
    // The scroll bar dragged through all of them and back: each frame shows
    // other rows.
    if (process.env.BENCH_PROFILE) await begin(cdp);
    const drag = await pace(page, () =>
      page.evaluate(async () => {
        const scroller = document.querySelector('[role="grid"]');
        const frames = 240;
        const most = scroller.scrollHeight - scroller.clientHeight;
        for (let i = 0; i < frames; i++) {
          await new Promise(requestAnimationFrame);
          scroller.scrollTop = most * (1 - Math.abs(1 - (2 * i) / frames));
        }
      }),
    );
    out.dragFPS.push(drag.fps);
    out.dragP95.push(drag.at(0.95));
    if (process.env.BENCH_PROFILE) await profile(cdp, drag.frames);
  } finally {
    await page.close();
  }
}

// pace tells how often the browser draws while something is done.
async function pace(page, act) {
  await page.evaluate(() => {
    const frames = (globalThis.frames_ = []);
    const next = (at) => {
      frames.push(at);
      globalThis.drawing = requestAnimationFrame(next);
    };
    globalThis.drawing = requestAnimationFrame(next);
    const scroller = document.querySelector('[role="grid"]');
    globalThis.moves = 0;
    scroller.addEventListener('scroll', () => globalThis.moves++);
  });
  await act();
  const { gaps, moves } = await page.evaluate(() => {
    cancelAnimationFrame(globalThis.drawing);
    const frames = globalThis.frames_;
    return { gaps: frames.slice(1).map((at, i) => at - frames[i]), moves: globalThis.moves };
  });
  if (moves < gaps.length / 2) throw new Error(`the grid moved in ${moves} of ${gaps.length} frames`);
  gaps.sort((a, b) => a - b);
  return {
    frames: gaps.length,
    fps: (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0),
    at: (part) => gaps[Math.min(gaps.length - 1, Math.floor(gaps.length * part))],
  };
}

async function read(page, cdp, rows) {
  await page.goto('about:blank');
  await page.goto(`${base}/s/bench/sql?db=shop#${new URLSearchParams({ q: `select * from orders limit ${rows}` })}`);
  await page.locator('.cm-content').waitFor();
  await page.evaluate(() => {
    globalThis.done = new Promise((yes) => {
      const observer = new MutationObserver(() => {
        if (!document.querySelector('[data-done]')) return;
        observer.disconnect();
        requestAnimationFrame(() => yes(performance.now()));
      });
      observer.observe(document, { subtree: true, childList: true });
    });
    document.querySelector('button.run').click();
    globalThis.began = performance.now();
  });
  const ms = await page.evaluate(async () => (await globalThis.done) - globalThis.began);
  const got = Number(await page.getByRole('grid').getAttribute('aria-rowcount')) - 1;
  if (got !== rows) throw new Error(`${got} rows in the page, wanted ${rows}`);
  await cdp.send('HeapProfiler.collectGarbage');
  const usage = await cdp.send('Runtime.getHeapUsage');
  return { ms, heap: usage.usedSize, buffers: (usage.backingStorageSize ?? 0) + (usage.embedderHeapUsedSize ?? 0), ...resident() };
}

// With BENCH_PROFILE=1: where the page's time goes while it scrolls, on standard
// error, in milliseconds a frame.
async function begin(cdp) {
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
  before = (await cdp.send('Performance.getMetrics')).metrics;
  await cdp.send('Profiler.enable');
  await cdp.send('Profiler.start');
}

async function profile(cdp, frames) {
  const { profile } = await cdp.send('Profiler.stop');
  const { metrics } = await cdp.send('Performance.getMetrics');
  const line = (ms, name) => console.error(`${(ms / frames).toFixed(2).padStart(7)}  ${name}`);
  console.error(`${frames} frames`);
  for (const { name, value } of metrics) if (/Duration$/.test(name)) line(1000 * (value - before.find((m) => m.name === name).value), name);
  const self = new Map();
  const node = new Map(profile.nodes.map((n) => [n.id, n.callFrame]));
  profile.samples.forEach((id, i) => {
    const { functionName, url, lineNumber, columnNumber } = node.get(id);
    const name = `${functionName || '(anonymous)'} ${url.split('/').pop()}:${lineNumber}:${columnNumber}`;
    self.set(name, (self.get(name) ?? 0) + profile.timeDeltas[i] / 1000);
  });
  for (const [name, ms] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 20)) line(ms, name);
}
