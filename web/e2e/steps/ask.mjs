// The SQL editor.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe, run, until } from '../page.mjs';

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
      // Rows that nobody has looked at are copied, and the last one opened.
      await page.evaluate(() => navigator.clipboard.writeText(''));
      await page.keyboard.press('Control+Shift+Home');
      await page.keyboard.press('Control+c');
      await page.getByText('100000 × 4 cells copied').waitFor();
      const lines = (await page.evaluate(() => navigator.clipboard.readText())).split('\n');
      assert.deepEqual([lines.length, lines[0], lines[54_320]], [100_000, '1\t\t""\tv1', '54321\t\t""\tv54321']);
      await page.keyboard.press('Control+End');
      await page.keyboard.press('Enter');
      const last = page.getByRole('complementary', { name: 'Row 100000' });
      await last.getByText('v100000', { exact: true }).waitFor();
      await last.getByRole('button', { name: 'Row before' }).click();
      await page.getByRole('complementary', { name: 'Row 99999' }).getByText('v99999', { exact: true }).waitFor();
      await page.getByRole('button', { name: 'Close the row' }).click();
    },
  },
  {
    name: 'a million rows scroll by the wheel as few do, by the bar far, and by keys to the end',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select i from generate_series(1, 1000000) i'));
      await page.getByLabel('Rows at most').selectOption('1000000');
      await page.getByRole('button', { name: 'Run', exact: true }).click();
      await page.getByText('1,000,000 rows', { exact: true }).waitFor({ timeout: 60_000 });
      const grid = page.getByRole('grid', { name: 'Result' });
      const box = await grid.boundingBox();
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      // The value in the middle of what is in sight, once it is there and stays.
      const value = () => page.evaluate(([x, y]) => Number(document.elementFromPoint(x, y)?.closest('[role="gridcell"]')?.textContent || NaN), [box.x + 110, box.y + box.height / 2]);
      const rests = async () => {
        let before;
        await until('the rows to rest', async () => before === (before = await value()), 20_000);
        return before;
      };
      const bar = () => grid.evaluate((element) => [element.scrollTop, element.scrollHeight - element.clientHeight]);
      const drag = async (part) => {
        await grid.evaluate((element, part) => (element.scrollTop = part * (element.scrollHeight - element.clientHeight)), part);
        return rests();
      };
      const top = await rests();
      await page.mouse.wheel(0, 2900);
      await until('the wheel to have moved the rows', async () => (await rests()) === top + 100);
      const middle = await drag(0.5);
      assert.ok(Math.abs(middle - 500_000) < 5000, `the middle of the bar shows row ${middle}`);
      const [before] = await bar();
      for (let i = 0; i < 10; i++) await page.mouse.wheel(0, 1450);
      await until('the wheel to have moved the rows there', async () => Math.abs((await rests()) - middle - 500) <= 1);
      // The bar has come to rest where it belongs for that.
      await until('the bar to be put right', async () => Math.abs((await bar())[0] - before - (14_500 * 7_800_000) / 28_800_000) < 60);
      assert.ok((await drag(1)) > 999_980);
      const [at, most] = await bar();
      assert.ok(most - at < 2, `the bar ends at ${at} of ${most}`);
      await page.mouse.wheel(0, -290);
      await page.mouse.wheel(0, 400);
      await grid.getByRole('gridcell', { name: '1000000', exact: true }).waitFor();
      await grid.focus();
      await page.keyboard.press('Control+Home');
      await until('the first rows', async () => (await rests()) === top);
      await page.keyboard.press('Control+End');
      await grid.getByRole('gridcell', { name: '1000000', exact: true }).waitFor();
      await page.getByLabel('Rows at most').selectOption('100000');
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
      // In the second of a script's statements, with the third not run.
      await page.goto('about:blank');
      await page.goto(world.sqlURL("select 'ä😀ö';\n-- 😀 ;\nselect 'ü' as \"ß\", $x$;$x$, not_there from pg_class;\nselect 3"));
      await page.locator('.cm-content').click();
      await page.keyboard.press('Control+Shift+Enter');
      await page.getByText('The statement after it was not run.').waitFor();
      assert.equal(await page.locator('.cm-lintRange-error').innerText(), 'not_there');
      const sets = page.getByRole('group', { name: 'Results of the statements' }).getByRole('button');
      assert.equal(await sets.count(), 2);
      await sets.first().click();
      await page.getByRole('gridcell', { name: 'ä😀ö' }).waitFor();
      await until('the address to tell which', () => page.url().endsWith('&run=all&at=1'));
    },
  },
  {
    name: 'what is not run here is told why, and what to do instead',
    async run(page, world) {
      for (const [sql, words] of [
        ['\\d+ pg_class', /command of psql.*sidebar/s],
        ["set work_mem = '1GB'", /connection of its own.*Nothing was changed/s],
        ['copy pg_class to stdout', /Export.*Nothing was changed/s],
      ]) {
        assert.equal(await run(page, world, sql), 'Failed', sql);
        assert.match(await page.getByRole('alert').filter({ hasText: words }).first().innerText(), words);
      }
    },
  },
  {
    name: 'what the server remarks is shown, and leaves room for the rows',
    async run(page, world) {
      assert.equal(await run(page, world, 'select pg_advisory_unlock(i) from generate_series(1, 1500) i'), '1,500 rows');
      const said = page.getByRole('list', { name: 'What the server remarked' });
      assert.equal(await said.getByRole('listitem').count(), 3);
      const grid = await page.getByRole('grid', { name: 'Result' }).boundingBox();
      assert.ok(grid.height > 150, `the rows have ${grid.height} px`);
      await page.getByRole('button', { name: '998 more' }).click();
      await said.getByText('500 more messages of the server are left out').waitFor();
      assert.deepEqual(await axe(page, 'remarks'), []);
    },
  },
  {
    name: 'a running statement is cancelled',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select pg_sleep(600)'));
      await page.locator('.cm-content').waitFor();
      // The button that runs is the one that cancels: the keyboard stays on it.
      await page.getByRole('button', { name: 'Run', exact: true }).press('Enter');
      await until('the statement at the server', async () => (await world.get(world.root + '/queries')).items.length > 0);
      await page.keyboard.press('Enter');
      await page.locator('[data-done]', { hasText: 'Cancelled' }).waitFor();
      await until('the server to be rid of it', async () => (await world.get(world.root + '/queries')).items.length === 0);
      // Of a script: the first result can be looked at meanwhile, and the last is never sent.
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select 1 as one;\nselect pg_sleep(600);\nselect 3'));
      await page.locator('.cm-content').click();
      await page.keyboard.press('Control+Shift+Enter');
      const sets = page.getByRole('group', { name: 'Results of the statements' }).getByRole('button');
      await sets.nth(1).getByText('running').waitFor();
      await sets.nth(2).getByText('waiting').waitFor();
      await sets.nth(1).press('ArrowLeft');
      await page.getByRole('gridcell', { name: '1', exact: true }).waitFor();
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.getByText('The statement after it was not run.').waitFor();
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select pg_sleep(600)'));
      // By the keys, with the clock running; and by closing its tab.
      await page.locator('.cm-content').click();
      await page.keyboard.press('Control+Enter');
      await until('it to run again', async () => (await world.get(world.root + '/queries')).items.length > 0);
      const clock = page.locator('.foot');
      const one = await clock.innerText();
      await until('the clock to go on', async () => (await clock.innerText()) !== one);
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      await page.locator('[data-done]', { hasText: 'Cancelled' }).waitFor();
      await page.keyboard.press('Control+Enter');
      await until('it to run once more', async () => (await world.get(world.root + '/queries')).items.length > 0);
      await page.keyboard.press('Alt+w');
      await until('nothing to run', async () => (await world.get(world.root + '/queries')).items.length === 0);
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
      assert.equal(await run(page, world, `explain delete from ${world.name(world.table)}`), 'Failed');
      await page.getByRole('alert').getByText(/A SELECT with the same FROM and WHERE/).waitFor();
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
      // Its address brings it again, when asked.
      const address = page.url();
      await page.goto('about:blank');
      await page.goto(address);
      await page.getByRole('button', { name: 'Explain it' }).click();
      await page.getByRole('region', { name: 'Query plan' }).getByText('Aggregate').first().waitFor();
      // As typed, it comes as text; from there it is a tree too, with what runs first named.
      await run(page, world, 'explain with first as materialized (select 1 as x) select * from first a, first b where a.x > (select max(x) from first)');
      await page.getByRole('region', { name: 'Query plan as text' }).getByText('CTE first').waitFor();
      await page.getByRole('button', { name: 'Show it as a tree' }).click();
      const plan = page.getByRole('region', { name: 'Query plan', exact: true });
      await plan.getByText('CTE first', { exact: true }).waitFor();
      await plan.getByText(/^InitPlan/).waitFor();
    },
  },
  {
    name: 'an export is downloaded',
    async run(page, world) {
      // Without looking at it first; and from the database that gave it, whichever is chosen then.
      const lines = async (item) => {
        await page.getByRole('button', { name: 'Export' }).click();
        const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: item }).click()]);
        return readFileSync(await download.path(), 'utf8').trim().split(/\r?\n/);
      };
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select current_database() as name'));
      assert.deepEqual(await lines(/^CSV(?! for)/), ['name', world.db]);
      await run(page, world, 'select current_database() as name');
      const other = (await page.locator('#sql-db option').allInnerTexts()).find((name) => name !== world.db);
      if (other) await page.locator('#sql-db').selectOption(other);
      assert.deepEqual(await lines(/^CSV(?! for)/), ['name', world.db]);
      await run(page, world, "select i as n, case when i = 2 then null else 'a,b' || i end as t from generate_series(1, 2500) i");
      const csv = await lines(/^CSV(?! for)/);
      assert.deepEqual([csv[0], csv[2], csv.length], ['n,t', '2,', 2501]);
      assert.equal((await lines(/^NDJSON/)).length, 2500);
    },
  },
  {
    name: "what a query read of the backup is told, and its rows are taken home",
    async run(page, world) {
      // How much that is depends on what was read before: here it is given.
      const { backupBytes } = (await world.get(world.root)).stats;
      const sql = `select * from ${world.name(world.table)} limit 2`;
      const pattern = `**/api/v1${world.root}/databases/*/query`;
      try {
        await page.route(pattern, async (route) => {
          const answer = await route.fetch();
          const lines = (await answer.text()).trim().split('\n');
          const { end } = JSON.parse(lines.pop());
          await route.fulfill({ response: answer, body: [...lines, JSON.stringify({ end: { ...end, backupBytesRead: 14 << 20 } }), ''].join('\n') });
        });
        assert.equal(await run(page, world, sql), '2 rows');
        assert.match(await page.locator('.foot').innerText(), backupBytes ? /read 14\.0 MiB\s*of [\d.]+ [KMGT]?i?B/ : /read 14\.0 MiB/);
      } finally {
        await page.unroute(pattern);
      }
      const home = page.getByRole('dialog', { name: 'Take rows home' });
      const ask = async () => {
        await page.getByRole('button', { name: 'Export' }).click();
        await page.getByRole('menuitem', { name: /Take rows home/ }).click();
        await home.waitFor();
      };
      await ask();
      const [download] = await Promise.all([page.waitForEvent('download'), home.getByRole('button', { name: 'Download' }).click()]);
      const script = readFileSync(await download.path(), 'utf8');
      assert.ok(script.includes(`INSERT INTO ${world.name(world.table)}`), script.slice(0, 1500));
      assert.match(script, /ON CONFLICT DO NOTHING;[\s\S]*COMMIT;\s*$/);
      // Rows that are of no table cannot be put back, which is said.
      await run(page, world, 'select count(*) as n from pg_class');
      await ask();
      await home.getByRole('button', { name: 'Download' }).click();
      await home.getByRole('alert').waitFor();
    },
  },
];
