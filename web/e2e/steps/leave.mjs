// The end; last, because nothing is left after it.
import assert from 'node:assert/strict';
import { axe, theme, until, withoutFirstAnswers } from '../page.mjs';

const ending = (page, world, end) =>
  page.route(`**/api/v1${world.root}`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), expiresAt: undefined, idleAt: undefined, ...end } });
  });
const inAWhile = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();

export const leave = [
  {
    name: 'what ends the session by itself counts down, and is said before',
    async run(page, world) {
      const found = [];
      try {
        // The answers are changed on their way: no session here ends so soon.
        await withoutFirstAnswers(page);
        await ending(page, world, { expiresAt: inAWhile(3600), idleAt: inAWhile(900) });
        await page.goto('about:blank');
        await page.goto(world.base);
        const clock = page.locator('header .timer');
        await until('a clock that runs', async () => /14:\d\d/.test(await clock.innerText()));
        const one = await clock.innerText();
        await until('the next second', async () => (await clock.innerText()) !== one);
        assert.match(await clock.getAttribute('title'), /ends in 59 min .* time to live is over, or in 14 min .* nobody uses it/);
        await page.unroute(`**/api/v1${world.root}`);
        await ending(page, world, { idleAt: inAWhile(200) });
        await page.goto('about:blank');
        await page.goto(world.base);
        const banner = page.getByRole('alert').filter({ hasText: 'This session ends in' });
        await banner.getByText('because nobody used it').waitFor();
        for (const [scheme, width] of [['light', 1360], ['dark', 360]]) {
          await theme(page, scheme);
          await page.setViewportSize({ width, height: 800 });
          found.push(...(await axe(page, `ending soon, ${scheme}, ${width}`)));
          if (!(await clock.isVisible()) || !(await page.getByRole('img', { name: /^Events/ }).isVisible())) found.push(`no clock or connection at ${width}`);
        }
        await page.unroute(`**/api/v1${world.root}`);
        await banner.getByRole('button', { name: 'Keep it open' }).click();
        await banner.waitFor({ state: 'hidden' });

        // Kept longer: asked for from the clock, and from the banner.
        await ending(page, world, { expiresAt: inAWhile(250) });
        await page.goto('about:blank');
        await page.goto(world.base);
        await page.getByRole('alert').filter({ hasText: 'its time to live is over' }).getByRole('button', { name: 'Keep it open…' }).click();
        const dialog = page.getByRole('dialog', { name: 'Keep the session open' });
        await dialog.getByText(/It ends in .* when its time to live is over/).waitFor();
        await dialog.getByLabel('Keep it for').fill('soon');
        assert.equal(await dialog.getByRole('button', { name: 'Keep it open' }).isDisabled(), true);
        for (const [scheme, width] of [['dark', 360], ['light', 1360]]) {
          await theme(page, scheme);
          await page.setViewportSize({ width, height: 800 });
          found.push(...(await axe(page, `keep it open, ${scheme}, ${width}`)));
        }
        await dialog.getByRole('button', { name: 'Cancel' }).click();
        await clock.click();
        await dialog.getByRole('button', { name: '8h' }).click();
        await dialog.getByText(/From now, that is until/).waitFor();
        await page.unroute(`**/api/v1${world.root}`);
        await dialog.getByRole('button', { name: 'Keep it open' }).click();
        await dialog.waitFor({ state: 'hidden' });
        await until('the clock to tell the new end', async () => /[78]:\d\d:\d\d/.test(await clock.innerText()));
        assert.ok(Math.abs(new Date((await world.get(world.root)).expiresAt) - Date.now() - 8 * 3600_000) < 60_000);
        assert.deepEqual(found, []);
      } finally {
        await page.unrouteAll({ behavior: 'ignoreErrors' });
        await page.setViewportSize({ width: 1360, height: 860 });
        await theme(page, 'light');
      }
    },
  },
  {
    name: 'sessions of others are seen, with owner, age and size, and are theirs to end',
    async run(page, world) {
      try {
        await withoutFirstAnswers(page);
        await page.route('**/api/v1/me', (route) => route.fulfill({ json: { user: 'somebody else', lasting: true } }));
        const GiB = 2 ** 30;
        const totals = { sessions: { used: 3, limit: 8 }, overlayBytes: { used: 20 * GiB, limit: 20 * GiB }, memoryBytes: { used: 6 * GiB } };
        let stats = {};
        const owned = async (route) => {
          const answer = await route.fetch();
          const body = await answer.json();
          const own = (s) => ({ ...s, owner: 'the dba' });
          await route.fulfill({ response: answer, json: body.items ? { ...body, totals, items: body.items.map(own) } : own({ ...body, stats: { ...body.stats, ...stats } }) });
        };
        await page.route('**/api/v1/sessions', owned);
        await page.route(`**/api/v1${world.root}`, owned);
        await page.goto('about:blank');
        await page.goto(world.origin + '/?all');
        const item = page.locator('.item').filter({ hasText: 'ready' }).first();
        await item.getByText("the dba's").waitFor();
        assert.match(await item.innerText(), /opened .* ago|opened just now/);
        assert.match(await item.innerText(), /in the overlay/);
        assert.equal(await item.getByRole('link', { name: /^End / }).count(), 0);
        const all = page.getByRole('group', { name: 'What all sessions hold together' });
        assert.match(await all.innerText(), /Sessions\s+3 of 8\s+In all overlays\s+20(\.0)? GiB of 20(\.0)? GiB\s+Writes wait in every session/);
        assert.equal(await all.getByRole('meter').count(), 2); // the memory has no limit
        const found = await axe(page, 'what all hold');
        await page.goto(world.base + '/end');
        await page.getByText("This session is the dba's, who alone may end it").waitFor();
        assert.equal(await page.getByRole('button', { name: 'End the session…' }).isDisabled(), true);
        await page.goto(world.base + '/layers?ask=fork');
        await page.getByRole('dialog').getByText("This session is the dba's, who alone may seal, fork").waitFor();
        assert.equal(await page.getByRole('button', { name: 'Open the fork' }).count(), 0);
        await page.goto(world.base + '/end');

        // What holds the writes is what all have, and who has most is said.
        stats = { holding: true, holdingReason: 'total-quota', holdingWhy: 'The overlays of all sessions together have reached their limit.' };
        await page.reload();
        await page.getByRole('alert').getByRole('link', { name: 'Give it room…' }).click();
        const dialog = page.getByRole('dialog', { name: 'There is no room left in all' });
        await dialog.getByText(/All overlays together hold 20(\.0)? GiB of 20(\.0)? GiB/).waitFor();
        assert.ok((await dialog.getByRole('listitem').filter({ hasText: "the dba's" }).count()) > 0);
        assert.equal(await dialog.getByLabel('It may hold').count(), 0);
        found.push(...(await axe(page, 'no room in all')));
        await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
        assert.deepEqual(found, []);
      } finally {
        await page.unrouteAll({ behavior: 'ignoreErrors' });
      }
    },
  },
  {
    name: 'teardown asks first, then ends the session',
    on: 'both',
    once: true,
    async run(page, world) {
      await page.goto(world.base);
      await page.getByRole('link', { name: 'End session' }).click();
      await page.getByText('What will be gone').waitFor();
      // What cannot be told is said, not left out.
      const unknown = page.getByText(/Its checkpoints and what runs now, which cannot be told/);
      await page.route('**/api/v1' + world.root + '/layers', (route) => route.abort());
      await page.reload();
      await unknown.waitFor();
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await page.getByRole('button', { name: 'Try again' }).click();
      await unknown.waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'End the session…' }).click();
      const dialog = page.getByRole('dialog');
      if (world.session.writable) {
        const name = await dialog.locator('strong').innerText();
        await dialog.getByRole('textbox').fill(name);
      }
      await dialog.getByRole('button', { name: 'End the session', exact: true }).click();
      await page.getByRole('heading', { name: /Tearing the session down|The session has ended/ }).waitFor();
      await page.getByRole('heading', { name: 'The session has ended' }).waitFor({ timeout: 60_000 });
    },
  },
];
