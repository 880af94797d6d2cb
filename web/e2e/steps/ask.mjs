// The SQL editor.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { run, until } from '../page.mjs';

export const ask = [
  {
    name: 'a query typed in runs with Ctrl+Enter',
    async run(page, world) {
      await page.goto(world.base + '/sql');
      const editor = page.locator('.cm-content');
      await editor.click();
      await page.keyboard.press('Control+a');
      await page.keyboard.insertText("select 1 as one;\nselect i, null as nothing, '' as blank, 'v' || i as v from generate_series(1, 100000) i");
      await page.keyboard.press('Control+Enter');
      await page.getByText('100,000 rows', { exact: true }).waitFor();
      const grid = page.getByRole('grid', { name: 'Result' });
      await grid.getByText('NULL').first().waitFor();
      await grid.focus();
      await page.keyboard.press('Control+End');
      await grid.getByText('v100000', { exact: true }).waitFor();
    },
  },
  {
    name: 'truncation is said plainly',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select generate_series(1, 5000)'));
      await page.getByLabel('Rows at most').selectOption('1000');
      await page.getByRole('button', { name: 'Run', exact: true }).click();
      await page.getByText('Only the first 1,000 rows are shown').waitFor();
      await page.getByLabel('Rows at most').selectOption('100000');
    },
  },
  {
    name: 'an error is underlined where it is',
    async run(page, world) {
      const state = await run(page, world, "select 'ä😀' as text,\n  no_such_column\nfrom pg_class;");
      assert.equal(state, 'Failed');
      await page.getByRole('alert').getByText(/no_such_column/).first().waitFor();
      assert.equal(await page.locator('.cm-lintRange-error').innerText(), 'no_such_column');
    },
  },
  {
    name: 'a running statement is cancelled',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select pg_sleep(600)'));
      await page.locator('.cm-content').waitFor();
      await page.getByRole('button', { name: 'Run', exact: true }).click();
      await until('the statement at the server', async () => (await world.get(world.root + '/queries')).items.length > 0);
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.locator('[data-done]', { hasText: 'Cancelled' }).waitFor();
      await until('the server to be rid of it', async () => (await world.get(world.root + '/queries')).items.length === 0);
    },
  },
  {
    name: 'a write is refused',
    async run(page, world) {
      // Not an identity: PostgreSQL refuses those before it looks at the rest.
      const column = world.table.columns.find((c) => !c.key && !c.identity && !c.generated);
      const name = `"${(column ?? world.table.columns[0]).name.replaceAll('"', '""')}"`;
      for (const sql of [`delete from ${world.name(world.table)}`, 'create table snapview_e2e ()', column ? `update ${world.name(world.table)} set ${name} = ${name} returning 1` : `delete from ${world.name(world.table)} returning 1`, "select setval(oid::regclass, 1) from pg_class where relkind = 'S' limit 1"]) {
        const state = await run(page, world, sql);
        if (state === '0 rows' && sql.includes('setval')) continue; // no sequence here
        assert.equal(state, 'Failed', sql);
        await page.getByText('Nothing was changed').waitFor();
      }
    },
  },
  {
    name: 'a plan is drawn',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL(`select count(*) from ${world.name(world.table)} where true`));
      await page.locator('.cm-content').waitFor();
      await page.getByRole('button', { name: 'Explain', exact: true }).click();
      await page.getByRole('region', { name: 'Query plan' }).getByText('Aggregate').first().waitFor();
    },
  },
  {
    name: 'an export is downloaded',
    async run(page, world) {
      await run(page, world, "select i as n, case when i = 2 then null else 'a,b' || i end as t from generate_series(1, 2500) i");
      for (const [item, check] of [
        ['CSV', (s) => assert.ok(s.startsWith('n,t\n') || s.startsWith('n,t\r\n'), s.slice(0, 60)) || assert.equal(s.trim().split('\n').length, 2501)],
        ['NDJSON', (s) => assert.deepEqual(s.trim().split('\n').length, 2500)],
      ]) {
        await page.getByRole('button', { name: 'Export' }).click();
        const waiting = page.waitForEvent('download');
        await page.getByRole('menuitem', { name: new RegExp(`^${item}(?! for)`) }).click();
        const download = await waiting;
        check(readFileSync(await download.path(), 'utf8'));
      }
    },
  },
];
