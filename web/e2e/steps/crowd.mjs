// Ten browsers on one session at once, and three tabs of one browser.
import assert from 'node:assert/strict';
import { chromium } from '../browser.mjs';
import { until } from '../page.mjs';

const many = 10;

export const crowd = [
  {
    name: 'ten browsers ask at once, and cancel only what is theirs',
    async run(page, world) {
      const state = { cookies: await page.context().cookies(), origins: [] };
      const browser = await chromium();
      const mine = async () => (await world.get(world.root + '/queries')).items.filter((q) => q.sql.includes('/* crowd'));
      const people = [];
      try {
        for (let i = 0; i < many; i++) {
          const context = await browser.newContext({ storageState: state, viewport: { width: 1100, height: 700 } });
          context.setDefaultTimeout(60_000);
          people.push({ i, context, page: await context.newPage(), problems: [] });
          people[i].page.on('pageerror', (error) => people[i].problems.push(error.message));
        }
        // Everybody waits for a statement of his own.
        await Promise.all(people.map(async ({ i, page }) => {
          await page.goto(world.sqlURL(`select /* crowd ${i} */ ${i} as who, pg_sleep(300)`));
          await page.locator('.cm-content').waitFor();
          await page.getByRole('button', { name: 'Run', exact: true }).click();
        }));
        await until('ten statements to run', async () => (await mine()).length === many, 60_000);
        // One more looks around meanwhile, and is served.
        await page.goto(world.tableURL(world.table));
        await page.getByRole('gridcell').first().waitFor();
        // One cancels: his own ends, and nobody else's.
        for (const i of [3, 7]) {
          await people[i].page.getByRole('button', { name: 'Cancel', exact: true }).click();
          await people[i].page.locator('[data-done]').getByText('Cancelled').waitFor();
        }
        const left = (await mine()).map((q) => Number(/crowd (\d+)/.exec(q.sql)[1])).sort((a, b) => a - b);
        assert.deepEqual(left, [0, 1, 2, 4, 5, 6, 8, 9]);
        for (const { i, page } of people) assert.equal(await page.locator('[data-done]').count(), i === 3 || i === 7 ? 1 : 0, `browser ${i}`);
        // Each gets the rows of his own question, all asked at the same time.
        await Promise.all(people.map(async ({ i, page }) => {
          const cancel = page.getByRole('button', { name: 'Cancel', exact: true });
          if (await cancel.count()) {
            await cancel.click();
            await page.locator('[data-done]').getByText('Cancelled').waitFor();
          }
          await page.goto('about:blank');
          await page.goto(world.sqlURL(`select /* crowd ${i} */ ${i * 1000} + n as mine from generate_series(1, ${5000 + i}) n`));
          await page.locator('.cm-content').waitFor();
          await page.getByRole('button', { name: 'Run', exact: true }).click();
          await page.locator('[data-done]').getByText(new RegExp(`5.?00${i} rows`)).waitFor();
          assert.equal(await page.getByRole('gridcell').first().innerText(), String(i * 1000 + 1));
        }));
        await until('no statement to be left', async () => (await mine()).length === 0, 60_000);
        for (const { i, problems } of people) assert.deepEqual(problems, [], `browser ${i}`);
      } finally {
        await browser.close();
      }
    },
  },
  {
    name: 'three tabs share one stream of events',
    async run(page, world) {
      const state = { cookies: await page.context().cookies(), origins: [] };
      const browser = await chromium();
      try {
        const context = await browser.newContext({ storageState: state });
        const tabs = [];
        const streams = [];
        for (let i = 0; i < 3; i++) {
          const tab = await context.newPage();
          tab.on('request', (request) => /\/events\b/.test(request.url()) && streams.push(i));
          await tab.goto(world.base);
          await tab.getByRole('heading', { level: 1 }).waitFor();
          await tab.getByRole('heading', { name: 'The snapshot' }).waitFor();
          tabs.push(tab);
        }
        const locks = () => tabs.at(-1).evaluate(async () => {
          const { held, pending } = await navigator.locks.query();
          const ours = (list) => list.filter((lock) => lock.name.startsWith('snapview-events-')).length;
          return `${ours(held)} reads, ${ours(pending)} wait`;
        });
        await until('one tab to read for three', async () => (await locks()) === '1 reads, 2 wait');
        assert.deepEqual(streams, [0], 'who opened a stream');
        // The reader goes; the next one takes over.
        await tabs[0].close();
        await until('another tab to read', async () => (await locks()) === '1 reads, 1 wait' && streams.length === 2);
      } finally {
        await browser.close();
      }
    },
  },
];
