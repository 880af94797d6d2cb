// The end; last, because nothing is left after it.
import assert from 'node:assert/strict';
import { axe, theme, until } from '../page.mjs';

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
        assert.deepEqual(found, []);
      } finally {
        await page.unroute(`**/api/v1${world.root}`);
        await page.setViewportSize({ width: 1360, height: 860 });
        await theme(page, 'light');
      }
    },
  },
  {
    name: 'sessions of others are seen, with owner, age and size, and are theirs to end',
    async run(page, world) {
      try {
        await page.route('**/api/v1/me', (route) => route.fulfill({ json: { user: 'somebody else', lasting: true } }));
        const owned = async (route) => {
          const answer = await route.fetch();
          const body = await answer.json();
          const own = (s) => ({ ...s, owner: 'the dba' });
          await route.fulfill({ response: answer, json: body.items ? { items: body.items.map(own) } : own(body) });
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
        await page.goto(world.base + '/end');
        await page.getByText("This session is the dba's, who alone may end it").waitFor();
        assert.equal(await page.getByRole('button', { name: 'End the session…' }).isDisabled(), true);
      } finally {
        await page.unrouteAll({ behavior: 'ignoreErrors' });
      }
    },
  },
  {
    name: 'teardown asks first, then ends the session',
    once: true,
    async run(page, world) {
      await page.goto(world.base);
      await page.getByRole('link', { name: 'End session' }).click();
      await page.getByText('What will be gone').waitFor();
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
