// Rows are taken home.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe } from '../page.mjs';

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
];
