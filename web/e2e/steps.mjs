// The steps of the run, in order. Each starts from an address of its own, so
// that it can be run again.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axePath } from './browser.mjs';

const axeSource = readFileSync(axePath, 'utf8');
const text = (value) => new RegExp(value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));

// count of the rows that a grid holds, without its header line
async function gridRows(page, name) {
  return Number(await page.getByRole('grid', { name }).getAttribute('aria-rowcount')) - 1;
}

async function until(what, condition, timeout = 30_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeout / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// runs what the editor holds and waits for its end
async function run(page, world, sql) {
  await page.goto('about:blank'); // so that the page is loaded anew, with nothing run yet
  await page.goto(world.sqlURL(sql));
  await page.locator('.cm-content').waitFor();
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  const done = page.locator('[data-done]');
  await done.waitFor();
  return done.innerText();
}

async function axe(page, where) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.map((v) => `${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? n.all[0]?.message ?? '')).join(' | ')}`);
  return found.map((line) => `${where}: ${line}`);
}

// send asks the server for what a page would have to be told to do.
async function send(page, world, method, path, data) {
  const answer = await page.request.fetch(`${world.origin}/api/v1${path}`, { method, headers: { 'X-Snapview': '1' }, data });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? undefined : answer.json();
}

// layer opens the details of a layer, found by its name.
async function layer(page, world, name) {
  await page.goto(`${world.base}/layers`);
  const button = page.getByRole('button', { name, exact: true });
  await button.click();
  return page.locator('li', { has: page.locator('.line', { has: button }) });
}

// sealed makes sure that a checkpoint of that name is there, and tells its id.
async function sealed(page, world, name) {
  const found = (await world.get(world.root + '/layers')).items.find((l) => l.name === name);
  return found?.id ?? (await send(page, world, 'POST', world.root + '/checkpoints', { name })).id;
}

async function closed(page, world, id) {
  await send(page, world, 'DELETE', `/sessions/${id}`);
  await until(`session ${id} to close`, async () => {
    const { items } = await world.get('/sessions');
    return ['closed', undefined].includes(items.find((s) => s.id === id)?.state);
  }, 60_000);
}

const theme = async (page, to) => {
  await page.emulateMedia({ colorScheme: to });
};

export const steps = [
  {
    name: 'home tells what is open',
    async run(page, world) {
      await page.goto(world.base);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.getByText(world.session.writable ? 'Scratch' : 'Read-only', { exact: true }).first().waitFor();
      await page.getByText('Read from the backup').first().waitFor();
      await page.getByRole('region', { name: 'Databases' }).or(page.locator('section', { has: page.getByRole('heading', { name: 'Databases' }) })).getByRole('link', { name: world.db }).first().waitFor();
      await page.getByRole('heading', { name: 'The snapshot' }).waitFor();
      if (world.session.psql) await page.getByText(text(`psql -h ${world.session.psql.host} -p ${world.session.psql.port}`)).waitFor();
    },
  },
  {
    name: 'the sidebar and Ctrl+K find a table',
    async run(page, world) {
      await page.goto(world.base);
      const find = page.getByRole('searchbox', { name: 'Find a table' });
      await find.fill(world.table.name);
      const link = page.getByRole('navigation').getByRole('link', { name: world.table.name }).first();
      await link.waitFor();
      await page.getByRole('heading', { level: 1 }).click();
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox', { name: 'Search tables and commands' }).fill(world.table.name);
      await page.getByRole('listbox', { name: 'Found' }).getByRole('option', { name: world.table.name }).first().click();
      await page.waitForURL((u) => u.pathname.includes('/t/'));
      await page.getByRole('tab', { name: 'Rows' }).waitFor();
    },
  },
  {
    name: 'rows are paged by key, filtered and shown in full',
    async run(page, world) {
      const t = world.table;
      await page.goto(world.tableURL(t));
      const label = `Rows of ${t.schema}.${t.name}`;
      const grid = page.getByRole('grid', { name: label });
      await grid.getByRole('gridcell').first().waitFor();
      const first = await gridRows(page, label);
      assert.ok(first > 0);
      await grid.focus();
      if (first === 500) {
        // The end of the first page brings the second.
        await page.keyboard.press('Control+End');
        await until('the second page', async () => (await gridRows(page, label)) > first);
        await page.keyboard.press('Control+Home');
      }
      await page.keyboard.press('Enter');
      const panel = page.getByRole('complementary', { name: 'Row 1', exact: true });
      await panel.waitFor();
      assert.equal(await panel.locator('[data-field]').count(), t.columns.length);
      assert.match(page.url(), /[?&]row=/);
      const key = t.columns.find((c) => c.key);
      const { rows, columns } = await world.get(`${world.root}/databases/${encodeURIComponent(world.db)}/relations/${t.oid}/rows?limit=2`);
      const value = rows.at(-1)[columns.findIndex((c) => c.number === key.number)];
      await page.getByLabel('Add a filter on').selectOption(String(key.number));
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Condition').selectOption('eq');
      await dialog.getByRole('textbox', { name: 'Value' }).fill(String(value));
      await dialog.getByRole('button', { name: 'Apply' }).click();
      await page.getByRole('button', { name: `Remove the filter on ${key.name}` }).waitFor();
      await until('the filtered rows', async () => (await gridRows(page, label)) < first || first === 1);
      await page.reload(); // every state is an address
      await until('the filtered rows again', async () => (await gridRows(page, label)) < first || first === 1);
    },
  },
  {
    name: 'the most frequent values of a column become its filter',
    async run(page, world) {
      const t = world.table;
      const facets = (number, exact) => world.get(`${world.root}/databases/${encodeURIComponent(world.db)}/relations/${t.oid}/facets?column=${number}&exact=${exact}`);
      // A column with few values, if there is one; those of a key are all alike.
      let column;
      for (const c of t.columns.slice(0, 40)) {
        const known = await facets(c.number, false);
        if (known.items.length && known.items.length <= 10 && known.items[0].value !== null) column ??= c;
      }
      column ??= t.columns.find((c) => c.key);
      await page.goto(world.tableURL(t));
      await page.getByRole('gridcell').first().waitFor();
      await page.getByLabel('Add a filter on').selectOption(String(column.number));
      const list = page.getByRole('region', { name: 'Most frequent values' });
      await list.getByText(/statistics/).waitFor();
      await list.getByRole('button', { name: 'Count exactly' }).click();
      await list.getByText('Counted in all rows').waitFor();
      const counted = (await facets(column.number, true)).items;
      assert.equal(await list.getByRole('listitem').count(), counted.length);
      const complaints = [];
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        complaints.push(...(await axe(page, `facets, ${scheme}`)));
      }
      assert.deepEqual(complaints, []);
      await list.getByRole('listitem').getByRole('button').first().click();
      await page.waitForURL(/[?&]f=/);
      const [first] = counted;
      assert.equal(new URL(page.url()).searchParams.get('f'), first.value === null ? `${column.number}.null` : `${column.number}.eq.${first.value}`);
      await page.getByRole('button', { name: 'Count matches' }).click();
      await page.getByText(text(`${first.rows.toLocaleString('en-US')} rows match`)).waitFor();
    },
  },
  {
    name: 'sorting goes by the server',
    async run(page, world) {
      const t = world.table;
      const key = t.columns.find((c) => c.key);
      await page.goto(world.tableURL(t, `?o=${key.number}.desc`));
      const header = page.getByRole('columnheader', { name: text(key.name) }).first();
      await until('the sort mark', async () => (await header.getAttribute('aria-sort')) === 'descending');
    },
  },
  {
    name: 'a foreign key leads to its row',
    async run(page, world) {
      if (!world.linked) return console.log('     (no table with a foreign key here)');
      const t = world.linked;
      await page.goto(world.tableURL(t));
      const fk = t.references.find((f) => f.columns.length === 1 && t.columns.find((c) => c.number === f.columns[0])?.notNull);
      const grid = page.getByRole('grid', { name: `Rows of ${t.schema}.${t.name}` });
      await grid.getByRole('gridcell').first().waitFor();
      await grid.focus();
      await page.keyboard.press('Home');
      for (let i = t.columns.findIndex((c) => c.number === fk.columns[0]); i > 0; i--) await page.keyboard.press('ArrowRight');
      await page.keyboard.press('Alt+Enter');
      const label = `Rows of ${fk.schema}.${fk.relation}`;
      await page.getByRole('grid', { name: label }).waitFor();
      assert.equal(await gridRows(page, label), 1);
    },
  },
  {
    name: 'columns, indexes, constraints and definition',
    async run(page, world) {
      const t = world.table;
      await page.goto(world.tableURL(t));
      await page.getByRole('tab', { name: 'Columns' }).click();
      await page.getByRole('tabpanel').getByRole('cell', { name: t.columns[0].name, exact: true }).first().waitFor();
      await page.getByRole('tab', { name: 'Indexes' }).click();
      await page.getByRole('tabpanel').getByText(t.indexes[0].name, { exact: true }).waitFor();
      await page.getByRole('tab', { name: 'Constraints' }).click();
      await page.getByRole('tabpanel').getByText('Primary key').first().waitFor();
      await page.getByRole('tab', { name: 'Definition' }).click();
      await page.getByRole('tabpanel').getByText(/create table/i).first().waitFor();
    },
  },
  {
    name: 'functions, types, extensions and roles have a list and a definition each',
    async run(page, world) {
      const url = `${world.base}/db/${encodeURIComponent(world.db)}`;
      const db = `${world.root}/databases/${encodeURIComponent(world.db)}`;
      await page.goto(url);
      const kinds = page.getByRole('navigation', { name: 'What the database holds' });
      for (const [kind, name] of [['function', 'Functions'], ['type', 'Types'], ['extension', 'Extensions'], ['role', 'Roles']]) {
        const own = (await world.get(`${db}/objects?kind=${kind}`)).items;
        await kinds.getByRole('link', { name }).click();
        await page.waitForURL((u) => u.searchParams.get('kind') === kind);
        const list = page.getByRole('region', { name });
        if (!own.length) {
          await list.getByRole('link', { name: "Look among the system's own" }).click();
          await page.waitForURL(/system=1/);
          await list.getByRole('row').nth(1).waitFor();
          continue;
        }
        await until('all of them', async () => (await list.getByRole('row').count()) === Math.min(own.length, 300) + 1);
        const one = own[0];
        await page.getByRole('searchbox', { name: 'Find by name' }).fill(one.name);
        await page.waitForURL((u) => u.searchParams.get('q') === one.name);
        await list.getByRole('link', { name: text(one.name) }).first().click();
        const dialog = page.getByRole('dialog');
        await page.waitForURL(/oid=/);
        await page.reload(); // every state is an address
        const { definition } = await world.get(`${db}/objects/${kind}/${new URL(page.url()).searchParams.get('oid')}`);
        if (definition) {
          assert.equal(await dialog.locator('pre').innerText(), definition);
          await dialog.getByRole('button', { name: 'Copy the definition' }).click();
          assert.equal(await page.evaluate(() => navigator.clipboard.readText()), definition);
        } else await dialog.getByText('There is no statement').waitFor();
        await page.keyboard.press('Escape');
        await page.waitForURL((u) => !u.searchParams.has('oid'));
      }
      await page.getByLabel("With the system's own").check();
      await page.waitForURL(/system=1/);
      await page.goto(`${url}?kind=function&q=no+such+function+anywhere`);
      await page.getByRole('heading', { name: 'Nothing is called like that' }).waitFor();
    },
  },
  {
    name: 'large objects are listed and downloaded, the database is dumped',
    async run(page, world) {
      const url = `${world.base}/db/${encodeURIComponent(world.db)}`;
      const { items } = await world.get(`${world.root}/databases/${encodeURIComponent(world.db)}/large-objects`);
      await page.goto(`${url}?kind=large-object`);
      const [one] = items;
      if (one) {
        const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: `Download large object ${one.oid}`, exact: true }).click()]);
        assert.equal(readFileSync(await download.path()).length, one.bytes);
      } else await page.getByRole('heading', { name: 'No large objects' }).waitFor();
      await page.getByRole('button', { name: 'Dump database…' }).click();
      const dialog = page.getByRole('dialog', { name: `Dump database ${world.db}` });
      await dialog.getByLabel('The definition alone').check();
      const [dump] = await Promise.all([page.waitForEvent('download'), dialog.getByRole('button', { name: 'Download' }).click()]);
      assert.match(readFileSync(await dump.path(), 'utf8'), /CREATE TABLE[\s\S]*dump complete/);
      await dialog.waitFor({ state: 'hidden' });
    },
  },
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
  {
    name: 'the overlay is drawn by time, relation and file',
    async run(page, world) {
      await page.goto(world.base + '/overlay');
      await page.locator('.chart canvas').waitFor();
      await until('the chart', async () => {
        const box = await page.locator('.chart canvas').boundingBox().catch(() => null);
        return box && box.width > 300 && box.height > 200;
      });
      await page.locator('.map svg rect').first().or(page.getByText('Nothing written yet')).waitFor();
      await page.getByRole('button', { name: 'By file' }).click();
      await page.waitForURL(/by=file/);
      await page.getByRole('columnheader', { name: 'File' }).or(page.getByText('Nothing written yet')).waitFor();
    },
  },
  {
    name: 'checkpoints are made and stand in the tree',
    async run(page, world) {
      for (const name of ['e2e one', 'e2e two']) {
        if ((await world.get(world.root + '/layers')).items.some((l) => l.name === name)) continue;
        await page.goto(`${world.base}/layers`);
        await page.getByRole('button', { name: 'Checkpoint…' }).first().click();
        await page.waitForURL(/ask=checkpoint/);
        const dialog = page.getByRole('dialog', { name: 'Make a checkpoint' });
        await dialog.getByRole('textbox').fill(name);
        await page.keyboard.press('Enter');
        await dialog.waitFor({ state: 'detached' });
        await page.getByRole('button', { name, exact: true }).waitFor();
      }
      const details = await layer(page, world, 'e2e two');
      await page.waitForURL(/layer=/);
      await details.getByText('Lies over').waitFor();
      await details.getByText('It cannot be discarded.').waitFor();
      await page.reload(); // every state is an address
      await details.getByText('Lies over').waitFor();
    },
  },
  {
    name: 'growth between two checkpoints, and over time',
    async run(page, world) {
      const [one, two] = [await sealed(page, world, 'e2e one'), await sealed(page, world, 'e2e two')];
      const details = await layer(page, world, 'e2e two');
      await details.getByRole('link', { name: 'What it holds' }).click();
      await page.waitForURL((u) => u.searchParams.get('since') === one && u.searchParams.get('until') === two);
      await page.locator('.map svg rect').first().or(page.getByText('Nothing was written in between')).waitFor();
      assert.equal(await page.getByRole('combobox', { name: 'From', exact: true }).inputValue(), one);
      await page.getByRole('combobox', { name: 'From', exact: true }).selectOption('');
      await page.waitForURL((u) => !u.searchParams.has('since') && u.searchParams.get('until') === two);
      await page.locator('.map svg rect').first().waitFor();
      await page.getByRole('columnheader', { name: 'Cause' }).waitFor();
      await page.getByText('Checkpoint by checkpoint').click();
      const steps = page.getByRole('region', { name: 'Growth by checkpoint' });
      await steps.getByRole('link', { name: 'e2e one' }).waitFor();
      await steps.getByRole('link', { name: 'e2e two' }).click();
      await page.waitForURL((u) => u.searchParams.get('since') === one);
      await page.getByRole('button', { name: 'All of it' }).click();
      await page.waitForURL((u) => !u.searchParams.has('until'));
    },
  },
  {
    name: 'going back is a fork of an earlier checkpoint',
    async run(page, world) {
      await sealed(page, world, 'e2e one');
      const details = await layer(page, world, 'e2e one');
      await details.getByRole('button', { name: 'Go back to here…' }).click();
      const dialog = page.getByRole('dialog', { name: 'Go back to e2e one' });
      await dialog.getByRole('textbox').fill('e2e fork');
      await dialog.getByRole('button', { name: 'Open the fork' }).click();
      const shown = (u) => decodeURIComponent(u.pathname.split('/')[2] ?? '');
      await page.waitForURL((u) => shown(u) !== world.session.id, { timeout: 90_000 });
      const fork = shown(new URL(page.url()));
      await page.getByRole('heading', { name: 'Databases' }).waitFor({ timeout: 90_000 });
      assert.ok((await world.get('/sessions')).items.some((s) => s.id === fork && s.parent === world.session.id));
      await page.goto(`${world.base}/layers`);
      await page.getByText('Another session', { exact: true }).first().waitFor();
      await closed(page, world, fork);
    },
  },
  {
    name: 'the disk of a checkpoint is downloaded',
    async run(page, world) {
      await sealed(page, world, 'e2e one');
      const details = await layer(page, world, 'e2e one');
      await details.getByRole('button', { name: 'Export its disk…' }).click();
      const dialog = page.getByRole('dialog', { name: 'Export a disk' });
      await dialog.getByText(/at most/).waitFor();
      const waiting = page.waitForEvent('download');
      await dialog.getByRole('button', { name: 'Download' }).click();
      const download = await waiting;
      assert.match(download.suggestedFilename(), /\.qcow2$/);
      assert.equal(readFileSync(await download.path()).subarray(0, 4).toString('latin1'), 'QFI\xfb');
    },
  },
  {
    name: 'layers are merged, and what is left over is discarded',
    async run(page, world) {
      await sealed(page, world, 'e2e two'); // unless a first attempt has merged it with the one below
      let details = await layer(page, world, 'e2e two');
      const merge = details.getByRole('button', { name: 'Merge…' });
      if (await merge.isEnabled()) {
        await merge.click();
        const dialog = page.getByRole('dialog', { name: 'Merge two layers' });
        await dialog.getByText('no longer go back').waitFor();
        if (world.session.id === 'demo') {
          // It takes a while there: long enough to change one's mind.
          await dialog.getByRole('button', { name: 'Merge', exact: true }).click();
          await dialog.getByRole('meter').waitFor();
          await dialog.getByRole('button', { name: 'Stop' }).click();
          await page.getByText('Stopped; the layers are as they were').waitFor();
        }
        await dialog.getByRole('button', { name: 'Merge', exact: true }).click();
        await dialog.waitFor({ state: 'detached' });
        await page.getByRole('button', { name: 'e2e one', exact: true }).waitFor({ state: 'detached' });
      }
      // What a closed fork leaves.
      const checkpoint = await sealed(page, world, 'e2e two');
      if (!(await world.get(world.root + '/layers')).items.some((l) => l.name === 'e2e left')) {
        const fork = await send(page, world, 'POST', world.root + '/forks', { checkpoint });
        await until('the fork to open', async () => (await world.get(`/sessions/${fork.id}`)).state === 'ready', 90_000);
        await send(page, world, 'POST', `/sessions/${fork.id}/checkpoints`, { name: 'e2e left' });
        await closed(page, world, fork.id);
      }
      details = await layer(page, world, 'e2e left');
      await details.getByRole('button', { name: 'Discard…' }).click();
      const dialog = page.getByRole('dialog', { name: 'Discard' });
      await dialog.getByText('gone for good').waitFor();
      await dialog.getByRole('listitem').getByText('e2e left').waitFor();
      await dialog.getByRole('button', { name: 'Discard', exact: true }).click();
      await dialog.waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'e2e left', exact: true }).waitFor({ state: 'detached' });
    },
  },
  {
    name: 'the limit is changed, and held writes are told',
    async run(page, world) {
      const { stats } = await world.get(world.root);
      try {
        if (world.session.id === 'demo') {
          await send(page, world, 'PUT', world.root + '/limit', { limitBytes: 4096 });
          await page.goto(world.base);
          const banner = page.getByRole('alert').filter({ hasText: 'Writes are waiting' });
          await banner.getByRole('link', { name: 'End in order…' }).waitFor();
          await banner.getByRole('link', { name: 'Give it room…' }).click();
        } else {
          await page.goto(`${world.base}/overlay`);
          await page.getByRole('button', { name: 'Limit…' }).click();
        }
        await page.waitForURL(/ask=limit/);
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('It may hold').fill('7');
        await dialog.getByLabel('Unit').selectOption('GiB');
        await dialog.getByRole('button', { name: 'Set the limit' }).click();
        await dialog.waitFor({ state: 'detached' });
        await page.getByText('of 7.00 GiB allowed').waitFor();
        await page.getByText('Writes are waiting').waitFor({ state: 'detached' });
      } finally {
        await send(page, world, 'PUT', world.root + '/limit', { limitBytes: stats.limitBytes });
      }
    },
  },
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
        ['large objects', `${world.base}/db/${encodeURIComponent(world.db)}?kind=large-object`, () => page.getByRole('table').or(page.getByRole('heading', { name: 'No large objects' })).waitFor()],
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
    name: 'choose finds a backup, says what stands against it, and opens it',
    async run(page, world) {
      const found = await page.request.get(`${world.origin}/api/v1/catalogue`);
      if (found.status() === 501) return console.log('     (this server was told of no stores)');
      const { items, stores } = await found.json();
      await page.goto(world.origin + '/');
      await page.getByRole('heading', { name: 'In the stores' }).waitFor();
      const list = page.getByRole('region', { name: 'Backups in the stores' });
      assert.equal(await list.getByRole('listitem').filter({ has: page.getByRole('link') }).count(), items.length);
      for (const s of stores.filter((s) => s.problem)) await list.getByText(s.problem).waitFor();
      const old = await list.getByRole('listitem').count();
      await page.getByRole('searchbox', { name: 'Filter the backups' }).fill(items[1].label);
      await until('the filter to leave few', async () => (await list.getByRole('listitem').count()) < old);
      assert.match(page.url(), /q=/);
      await page.getByRole('searchbox').fill('no such backup anywhere');
      await page.getByRole('button', { name: /^Show all/ }).click();
      await page.getByRole('button', { name: 'Look again' }).click();

      // One that cannot be opened: said before, and after it was tried.
      const broken = items.find((e) => e.problem);
      await page.goto(`${world.origin}/?open=${encodeURIComponent(broken.reference)}`);
      await page.getByRole('dialog').getByText(broken.problem).waitFor();
      await page.getByRole('button', { name: 'Try to open it' }).click();
      await page.getByRole('alert').getByText(broken.problem).waitFor();

      // A good one, with what stands in the form.
      await page.goto(world.origin + '/');
      await list.getByRole('link').first().click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText(/checks and facts/).waitFor();
      await dialog.getByLabel('Time to live').fill('soon');
      assert.equal(await dialog.getByRole('button', { name: 'Open', exact: true }).isDisabled(), true);
      await dialog.getByLabel('Time to live').fill('2h');
      await dialog.getByLabel('Name').fill('chosen');
      const complaints = [];
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        complaints.push(...(await axe(page, `preflight, ${scheme}`)));
      }
      assert.deepEqual(complaints, []);
      await dialog.getByRole('button', { name: 'Open', exact: true }).click();
      await page.waitForURL(/\/s\//);
      await page.getByRole('heading', { name: 'chosen' }).or(page.getByRole('heading', { name: 'Opening the backup' })).first().waitFor();
      await page.getByRole('heading', { name: 'chosen' }).waitFor();
      const id = decodeURIComponent(new URL(page.url()).pathname.split('/')[2]);
      await closed(page, world, id);
      await page.goto(world.origin + '/');
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        complaints.push(...(await axe(page, `backups, ${scheme}`)));
      }
      assert.deepEqual(complaints, []);
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
