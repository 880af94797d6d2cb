// Looking around: databases, tables, rows, objects.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe, gridRows, text, theme, until } from '../page.mjs';

export const browse = [
  {
    name: 'home tells what is open',
    async run(page, world) {
      const asked = [];
      page.on('request', (request) => asked.push(request.url()));
      await page.goto(world.base);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.getByText(world.session.writable ? 'Scratch' : 'Read-only', { exact: true }).first().waitFor();
      await page.getByText('Read from the backup').first().waitFor();
      await page.getByRole('region', { name: 'Databases' }).or(page.locator('section', { has: page.getByRole('heading', { name: 'Databases' }) })).getByRole('link', { name: world.db }).first().waitFor();
      await page.getByRole('heading', { name: 'The snapshot' }).waitFor();
      if (world.session.psql) await page.getByText(text(`psql -h ${world.session.psql.host} -p ${world.session.psql.port}`)).waitFor();
      // What came with the page is not asked for again; but for the session, of which events may tell something newer.
      const came = Object.keys(JSON.parse(await page.locator('#first-answers').textContent()));
      assert.deepEqual(came.filter((path) => !path.endsWith(world.root) && asked.some((url) => url.endsWith(path))), []);
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
      await page.waitForURL((u) => u.searchParams.get('filter') === String(column.number));
      await page.reload(); // every state is an address
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
    name: 'Ctrl+K finds what has a name, of every kind',
    async run(page, world) {
      const db = `${world.root}/databases/${encodeURIComponent(world.db)}`;
      const find = (q) => world.get(`${db}/search?q=${encodeURIComponent(q)}`);
      const wanted = [[world.table.indexes[0].name, 'Index', /tab=indexes/], [world.table.columns[0].name, 'Column', /tab=columns/], [world.table.schema, 'Schema', /schema=/]];
      for (const [kind, name, address] of [['function', 'Function', /kind=function/], ['type', 'Type', /kind=type/], ['extension', 'Extension', /kind=extension/]]) {
        const [one] = (await world.get(`${db}/objects?kind=${kind}`)).items;
        if (one && (await find(one.name)).items.some((f) => f.kind === kind)) wanted.push([one.name, name, address]);
      }
      await page.goto(world.base);
      await page.getByRole('heading', { level: 1 }).waitFor();
      for (const [name, kind, address] of wanted) {
        await page.keyboard.press('Control+k');
        await page.getByRole('combobox', { name: 'Search tables and commands' }).fill(name);
        const option = page.getByRole('option', { name: new RegExp(`${text(name).source}.*${kind}$`) }).first();
        await option.waitFor();
        await option.click();
        await page.waitForURL(address);
        if (/oid=/.test(page.url())) { // its definition
          await page.getByRole('dialog').waitFor();
          await page.keyboard.press('Escape');
          await page.waitForURL((u) => !u.searchParams.has('oid'));
        }
      }
    },
  },
  {
    name: 'the other end of a foreign key is peeked at',
    async run(page, world) {
      if (!world.linked) return console.log('     (no table with a foreign key here)');
      const t = world.linked;
      const fk = t.references.find((f) => f.columns.length === 1 && t.columns.find((c) => c.number === f.columns[0])?.notNull);
      await page.goto(world.tableURL(t));
      await page.getByRole('gridcell').first().dblclick();
      const panel = page.getByRole('complementary');
      await panel.getByRole('button', { name: `Peek at ${fk.schema}.${fk.relation} (${fk.name})` }).click();
      const peek = panel.getByRole('region', { name: `Rows of ${fk.schema}.${fk.relation}` });
      const column = fk.otherColumns[0];
      const other = await world.get(`${world.root}/databases/${encodeURIComponent(world.db)}/relations/${fk.oid}`);
      await peek.getByText(other.columns.find((c) => c.number === column).name, { exact: true }).waitFor();
      // Who gets the link sees the same; Back closes the row, Forward opens it again, and closing it is a step back.
      await page.reload();
      await peek.waitFor();
      await page.goBack();
      await panel.waitFor({ state: 'detached' });
      await page.goForward();
      await peek.waitFor();
      await panel.getByRole('button', { name: 'Close the row' }).click();
      await page.waitForURL((u) => !u.searchParams.has('row'));
      await page.goForward();
      await page.waitForURL(/[?&]row=/);
      await peek.waitFor();
      assert.deepEqual(await axe(page, 'peek'), []);
    },
  },
];
