// Every view: narrow windows and axe.
import assert from 'node:assert/strict';
import { axe, run, sealed, theme } from '../page.mjs';

export const whole = [
  {
    name: 'nothing overflows at 360 pixels',
    async run(page, world) {
      const was = page.viewportSize();
      const found = [];
      await page.setViewportSize({ width: 360, height: 740 });
      try {
        const checkpoint = await sealed(page, world, 'e2e two');
        for (const url of [world.base, world.tableURL(world.table), world.sqlURL('select 1'), world.base + '/overlay', world.base + '/overlay?ask=limit', `${world.base}/layers?layer=${checkpoint}`,
          `${world.base}/layers?layer=${checkpoint}&ask=export`, world.base + '/end']) {
          await page.goto(url);
          await page.getByRole('heading', { level: 1 }).first().waitFor();
          if (url.includes('/layers')) await page.getByText('Lies over').waitFor();
          if (url.includes('ask=')) await page.getByRole('dialog').waitFor();
          const over = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth) - 360);
          assert.ok(over <= 0, `${url} is ${over} px too wide`);
          found.push(...(await axe(page, `${url} at 360 pixels`)));
        }
        assert.deepEqual(found, []);
        await page.getByRole('button', { name: 'Show or hide the sidebar' }).click();
        await page.getByRole('navigation', { name: 'Session' }).getByRole('link', { name: 'Overlay' }).click();
        await page.waitForURL(/overlay/);
      } finally {
        await page.setViewportSize(was);
      }
    },
  },
  ...['light', 'dark'].map((scheme) => ({
    name: `axe finds nothing, ${scheme}`,
    async run(page, world) {
      await theme(page, scheme);
      const found = [];
      const t = world.table;
      const last = await sealed(page, world, 'e2e two');
      const views = [
        ['home', world.base, () => page.getByRole('heading', { name: 'Changed in the overlay' }).waitFor()],
        ['database', `${world.base}/db/${encodeURIComponent(world.db)}`, () => page.getByRole('table').first().waitFor()],
        ['functions', `${world.base}/db/${encodeURIComponent(world.db)}?kind=function&system=1`, async () => { await page.getByRole('table').getByRole('link').first().click(); await page.getByRole('dialog').locator('pre').waitFor(); }],
        ['list of types', `${world.base}/db/${encodeURIComponent(world.db)}?kind=type&system=1`, () => page.getByRole('table').waitFor()],
        ['large objects', `${world.base}/db/${encodeURIComponent(world.db)}?kind=large-object`, () => page.getByRole('region', { name: 'Columns of bytes' }).getByRole('table').or(page.getByRole('heading', { name: 'No columns of bytes' })).waitFor()],
        ['dump', `${world.base}/db/${encodeURIComponent(world.db)}?ask=dump`, () => page.getByRole('dialog').waitFor()],
        ['rows', world.tableURL(t), async () => { await page.getByRole('gridcell').first().waitFor(); await page.getByRole('gridcell').first().dblclick(); await page.getByRole('complementary').waitFor(); }],
        ['columns', world.tableURL(t, '?tab=columns'), () => page.getByRole('tabpanel').getByRole('table').waitFor()],
        ['definition', world.tableURL(t, '?tab=ddl'), () => page.getByText(/create table/i).first().waitFor()],
        ['overlay', world.base + '/overlay', async () => { await page.locator('.chart canvas').waitFor(); await page.locator('.map svg rect').first().or(page.getByText('Nothing written yet')).waitFor(); }],
        ['growth of a span', `${world.base}/overlay?until=${last}`, async () => {
          await page.locator('.map svg rect').first().waitFor();
          await page.getByText('Checkpoint by checkpoint').click();
          await page.getByRole('region', { name: 'Growth by checkpoint' }).waitFor();
        }],
        ['limit', world.base + '/overlay?ask=limit', () => page.getByRole('dialog').waitFor()],
        ['layers', `${world.base}/layers?layer=${last}`, () => page.getByText('Lies over').waitFor()],
        ...(scheme === 'light' ? ['checkpoint', 'fork', 'export', 'merge', 'discard'] : ['merge']).map((ask) => [`layers, ${ask}`, `${world.base}/layers?layer=${last}&ask=${ask}`, () => page.getByRole('dialog').getByRole('button').first().waitFor()]),
        ['end', world.base + '/end', async () => { await page.getByRole('button', { name: 'End the session…' }).click(); await page.getByRole('dialog').waitFor(); }],
        ['sessions', world.origin + '/?all', () => page.getByRole('heading', { level: 1, name: /Sessions|Backups/ }).waitFor()],
      ];
      for (const [name, url, ready] of views) {
        await page.goto(url);
        await ready();
        found.push(...(await axe(page, `${name}, ${scheme}`)));
      }
      await run(page, world, "select i, 'x' || i as text, null as n from generate_series(1, 300) i; ");
      await page.getByRole('grid').focus();
      found.push(...(await axe(page, `sql, ${scheme}`)));
      await run(page, world, 'select nothing_like_that');
      found.push(...(await axe(page, `sql error, ${scheme}`)));
      await page.goto(world.base);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.keyboard.press('Control+k');
      await page.getByRole('listbox').getByRole('option').first().waitFor();
      found.push(...(await axe(page, `palette, ${scheme}`)));
      assert.deepEqual(found, []);
    },
  })),
];
