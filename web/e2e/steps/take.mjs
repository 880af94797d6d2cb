// Rows are taken home.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe, run, theme, until } from '../page.mjs';

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
      await grid.locator('.gutter').nth(1).click();
      await grid.locator('.gutter').nth(3).click({ modifiers: ['Shift'] });
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
      await grid.locator('.gutter').nth(1).click();
      await grid.locator('.gutter').nth(3).click({ modifiers: ['Shift'] });
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
  {
    name: 'an export is made to measure, and the file is how it was shown to begin',
    async run(page, world) {
      await run(page, world, `select i as n, case when i % 2 = 0 then null else 'a;"b' || i end as t, i > 3 as b from generate_series(1, 9) i`);
      // By the keyboard alone.
      await page.getByRole('button', { name: 'Export' }).focus();
      await page.keyboard.press('Enter');
      const item = page.getByRole('menuitem', { name: /^Export…/ });
      await item.waitFor();
      for (let n = 0; n < 12 && !(await item.evaluate((e) => e === document.activeElement)); n++) await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: 'Export' });
      const begin = dialog.getByRole('region', { name: 'How the file begins' });
      const seen = (what, text) => until(what, async () => (await begin.isVisible()) && (await begin.textContent()) === text);
      await dialog.getByRole('radio', { name: 'CSV', exact: true }).focus();
      await page.keyboard.press('Space');
      await page.keyboard.press('ArrowRight');
      await until('JSON is chosen by an arrow key', () => dialog.getByRole('radio', { name: 'JSON', exact: true }).isChecked());
      await page.keyboard.press('ArrowLeft');
      await dialog.getByRole('combobox', { name: /^Delimiter/ }).selectOption(';');
      await dialog.getByRole('combobox', { name: /^Quotes/ }).selectOption('text');
      await dialog.getByLabel('NULL as').fill('NULL');
      await dialog.getByLabel('Rows at most').fill('7');
      await dialog.getByLabel('Names in the first line').check();
      await dialog.locator('summary').click();
      await dialog.getByRole('checkbox', { name: /^n / }).uncheck();
      await dialog.getByRole('button', { name: 'Move b up' }).click();
      const lines = Array.from({ length: 7 }, (_, i) => `${i + 1 > 3 ? 't' : 'f'};${(i + 1) % 2 ? `"a;""b${i + 1}"` : 'NULL'}\n`);
      const text = (n) => '"b";"t"\n' + lines.slice(0, n).join('');
      await seen('the first five rows', text(5));
      const complaints = [];
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        complaints.push(...(await axe(page, `the export dialog, ${scheme}`)));
      }
      const size = page.viewportSize();
      await page.setViewportSize({ width: 360, height: 740 });
      complaints.push(...(await axe(page, 'the export dialog, 360 px')));
      assert.ok(await dialog.evaluate((e) => e.scrollWidth <= e.clientWidth), 'the dialog is wider than a phone');
      await page.setViewportSize(size);
      assert.deepEqual(complaints, []);

      await dialog.getByLabel('File name').fill('made to measure');
      const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
      assert.equal(download.suggestedFilename(), 'made to measure.csv');
      assert.equal(readFileSync(await download.path(), 'utf8'), text(7));
      const strip = page.getByRole('region', { name: 'Downloads' });
      await strip.getByText(`Sent whole: 7 rows, ${text(7).length} B`).first().waitFor();

      // What was chosen is there again; what cannot be is refused before a file is made.
      await page.getByRole('button', { name: 'Export' }).click();
      await item.click();
      await until('the delimiter is remembered', async () => (await dialog.getByRole('combobox', { name: /^Delimiter/ }).inputValue()) === ';');
      await dialog.getByRole('radio', { name: 'SQL', exact: true }).check({ force: true });
      await dialog.getByText('name the table in target').waitFor();
      await dialog.getByLabel('Insert into').fill('lost.rows');
      await until('the statement', async () => (await begin.isVisible()) && /INSERT INTO "lost"."rows" \("n", "t", "b"\) VALUES\n {2}\(1, 'a;"b1', 'f'\)/.test(await begin.textContent()));
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
    },
  },
  {
    name: 'an export is cancelled, and one that fails is not kept for a whole one',
    async run(page, world) {
      const csv = async () => {
        await page.getByRole('button', { name: 'Export' }).click();
        const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: /^CSV(?! for)/ }).click()]);
        return download;
      };
      await run(page, world, `select generate_series(1, 100000000) as i, repeat('x', 100) as t`);
      const strip = page.getByRole('region', { name: 'Downloads' });
      const long = await csv();
      // It stays while one goes elsewhere.
      await strip.getByRole('progressbar').waitFor();
      await page.getByRole('link', { name: 'Overlay' }).first().click();
      await page.waitForURL(/overlay/);
      await until('rows are counted', async () => /[1-9][0-9,]* rows · /.test(await strip.innerText()));
      await strip.getByRole('button', { name: 'Cancel' }).click();
      await strip.getByText(/^Cancelled after/).first().waitFor();
      assert.ok(await long.failure(), 'the browser kept what was cancelled');
      await until('nothing runs', async () => (await world.get(world.root + '/queries')).items.length === 0);

      await run(page, world, 'select 1 / (150000 - generate_series(1, 200000)) as x');
      const broken = await csv();
      await strip.getByText(/Failed after 149,999 rows.*: division by zero/).first().waitFor();
      assert.ok(await broken.failure(), 'the browser kept a part for the whole');
      const complaints = [];
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        complaints.push(...(await axe(page, `downloads, ${scheme}`)));
      }
      assert.deepEqual(complaints, []);
      await strip.getByRole('button', { name: /^Close the note/ }).first().click();
    },
  },
];
