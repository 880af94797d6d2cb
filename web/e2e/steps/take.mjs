// Rows are taken home.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe, theme, until } from '../page.mjs';

export const take = [
  {
    name: 'rows are taken home as a script that puts them back, and by pg_dump',
    async run(page, world) {
      const t = world.linked ?? world.table;
      const saved = async (button) => {
        const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
        return readFileSync(await download.path(), 'utf8');
      };
      await page.goto(world.tableURL(t));
      await page.getByRole('button', { name: 'Export' }).click();
      await page.getByRole('menuitem', { name: /Take rows home/ }).click();
      const dialog = page.getByRole('dialog', { name: 'Take rows home' });
      await dialog.getByLabel('The whole table by pg_dump').check();
      await dialog.getByLabel('The definition alone').check();
      const complaints = await axe(page, 'taking rows home');
      assert.deepEqual(complaints, []);
      assert.match(await saved(dialog.getByRole('button', { name: 'Download' })), /CREATE TABLE[\s\S]*dump complete/);

      // One row, with what it refers to, which stands before it.
      await page.getByRole('gridcell').nth(3).dblclick();
      await page.getByRole('button', { name: 'Take this row home' }).click();
      const script = await saved(dialog.getByRole('button', { name: 'Download' }));
      assert.match(script, /^BEGIN;$/m);
      assert.match(script, /ON CONFLICT DO NOTHING;/);
      assert.match(script, /COMMIT;\s*$/);
      const own = script.indexOf(`INSERT INTO ${world.name(t)}`);
      assert.ok(own > 0, script.slice(0, 2000));
      for (const fk of world.linked ? t.references : []) {
        if (fk.oid === t.oid || !t.columns.find((c) => c.number === fk.columns[0])?.notNull) continue;
        const parent = script.indexOf(`INSERT INTO ${world.name({ schema: fk.schema, name: fk.relation })}`);
        assert.ok(parent > 0 && parent < own, `${fk.relation} does not come before ${t.name}`);
      }
    },
  },
  {
    name: 'rows that are marked by hand are put back, copied and saved',
    async run(page, world) {
      const t = world.table;
      const key = t.columns.find((c) => c.key);
      const path = `${world.root}/databases/${encodeURIComponent(world.db)}/relations/${t.oid}/rows`;
      const { keys } = await world.get(`${path}?limit=20`);
      const values = keys.map((k) => JSON.parse(k)[0]);
      await page.goto(world.tableURL(t));
      const grid = page.getByRole('grid', { name: `Rows of ${t.schema}.${t.name}` });
      await grid.getByRole('gridcell').first().waitFor();
      const bar = page.getByRole('region', { name: 'Marked rows' });
      if (await bar.isVisible()) await bar.getByRole('button', { name: 'Clear' }).click();
      // By a click and, with Shift, from there on; by Space on the keyboard.
      await grid.getByRole('rowheader').nth(1).click();
      await grid.getByRole('rowheader').nth(3).click({ modifiers: ['Shift'] });
      await bar.getByText('3 rows marked').waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Space');
      await bar.getByText('4 rows marked').waitFor();
      await page.keyboard.press('Space');
      await bar.getByText('3 rows marked').waitFor();
      // They stay marked under a filter, where another joins them.
      await page.goto(world.tableURL(t, `?f=${encodeURIComponent(`${key.number}.eq.${values[7]}`)}`));
      await grid.getByRole('gridcell').first().waitFor();
      assert.equal(await bar.isVisible(), false, 'a page that is loaded anew knows of no marks');
      await page.goto(world.tableURL(t));
      await grid.getByRole('gridcell').first().waitFor();
      await grid.getByRole('rowheader').nth(1).click();
      await grid.getByRole('rowheader').nth(3).click({ modifiers: ['Shift'] });
      await page.getByLabel('Add a filter on').selectOption(String(key.number));
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Condition').selectOption('eq');
      await dialog.getByRole('textbox', { name: 'Value' }).fill(String(values[7]));
      await dialog.getByRole('button', { name: 'Apply' }).click();
      await bar.getByText('3 not in sight here').waitFor();
      await grid.getByRole('checkbox', { name: 'Mark all rows that are loaded' }).click();
      await bar.getByText('4 rows marked').waitFor();
      const complaints = [];
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        complaints.push(...(await axe(page, `marked rows, ${scheme}`)));
      }
      assert.deepEqual(complaints, []);

      const wanted = [1, 2, 3, 7].map((i) => String(values[i]));
      const copied = async (name) => {
        await page.evaluate(() => navigator.clipboard.writeText('nothing yet'));
        await bar.getByRole('button', { name: 'Copy' }).click();
        await page.getByRole('menuitem', { name: new RegExp(`^${name}`) }).click();
        return until(`${name} on the clipboard`, async () => {
          const text = await page.evaluate(() => navigator.clipboard.readText());
          return text !== 'nothing yet' && text;
        });
      };
      const list = JSON.parse(await copied('JSON'));
      assert.deepEqual(list.map((o) => String(o[key.name])).sort(), [...wanted].sort());
      assert.ok((await copied('CSV')).split('\n')[0].split(',').some((name) => name.replaceAll('"', '') === key.name));
      assert.match(await copied('SQL inserts'), /^INSERT INTO[\s\S]*ON CONFLICT DO NOTHING;/m);

      await bar.getByRole('button', { name: 'Put back…' }).click();
      const home = page.getByRole('dialog', { name: 'Take rows home' });
      await home.getByText('The 4 marked rows').waitFor();
      await home.getByLabel('With the rows that they refer to').uncheck();
      const [download] = await Promise.all([page.waitForEvent('download'), home.getByRole('button', { name: 'Download' }).click()]);
      const script = readFileSync(await download.path(), 'utf8');
      const at = script.indexOf(`INSERT INTO ${world.name(t)}`);
      assert.ok(at > 0 && script.indexOf('INSERT INTO', at + 1) < 0, script.slice(0, 2000));
      assert.match(script, /^BEGIN;[\s\S]*COMMIT;\s*$/m);
      for (const value of wanted) assert.ok(script.slice(at).includes(value), `${value} is not in the script`);
      await bar.getByRole('button', { name: 'Clear' }).click();
      await bar.waitFor({ state: 'hidden' });
    },
  },
];
