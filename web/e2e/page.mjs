// What the steps share: finding, waiting, asking the server, and axe.
import { readFileSync } from 'node:fs';
import { axePath } from './browser.mjs';

const axeSource = readFileSync(axePath, 'utf8');
export const text = (value) => new RegExp(value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));

/** count of the rows that a grid holds, without its header line */
export async function gridRows(page, name) {
  return Number(await page.getByRole('grid', { name }).getAttribute('aria-rowcount')) - 1;
}

export async function until(what, condition, timeout = 30_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeout / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// runs what the editor holds and waits for its end
export async function run(page, world, sql) {
  await page.goto('about:blank'); // so that the page is loaded anew, with nothing run yet
  await page.goto(world.sqlURL(sql));
  await page.locator('.cm-content').waitFor();
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  const done = page.locator('[data-done]');
  await done.waitFor();
  return done.innerText();
}

export async function axe(page, where) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.map((v) => `${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? n.all[0]?.message ?? '')).join(' | ')}`);
  return found.map((line) => `${where}: ${line}`);
}

// send asks the server for what a page would have to be told to do.
export async function send(page, world, method, path, data) {
  const answer = await page.request.fetch(`${world.origin}/api/v1${path}`, { method, headers: { 'X-Snapview': '1' }, data });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? undefined : answer.json();
}

// layer opens the details of a layer, found by its name.
export async function layer(page, world, name) {
  await page.goto(`${world.base}/layers`);
  const button = page.getByRole('button', { name, exact: true });
  await button.click();
  return page.locator('li', { has: page.locator('.line', { has: button }) });
}

// sealed makes sure that a checkpoint of that name is there, and tells its id.
export async function sealed(page, world, name) {
  const found = (await world.get(world.root + '/layers')).items.find((l) => l.name === name);
  return found?.id ?? (await send(page, world, 'POST', world.root + '/checkpoints', { name })).id;
}

export async function closed(page, world, id) {
  await send(page, world, 'DELETE', `/sessions/${id}`);
  await until(`session ${id} to close`, async () => {
    const { items } = await world.get('/sessions');
    return ['closed', undefined].includes(items.find((s) => s.id === id)?.state);
  }, 60_000);
}

export const theme = async (page, to) => {
  await page.emulateMedia({ colorScheme: to });
};

/** Has the page ask for everything by itself, so that a step can change what it hears. */
export async function withoutFirstAnswers(page) {
  await page.route(
    (url) => url.pathname.startsWith('/s/'),
    async (route) => {
      if (route.request().resourceType() !== 'document') return route.fallback();
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: (await answer.text()).replace(/(id="first-answers">)[^<]*/, '$1{}') });
    },
  );
}
