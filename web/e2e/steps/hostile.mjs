// What a page must withstand: markup and marks that turn writing around in
// values and names, very long values, very many columns and tables. The
// development server has databases of them; elsewhere these steps look away.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe, gridRows, text, theme, until } from '../page.mjs';

// a step that runs where the database is
const within = (db, name, run) => ({
  name,
  async run(page, world) {
    const { items } = await world.get(world.root + '/databases');
    if (!items.some((d) => d.name === db)) return console.log(`     (no database ${db} here)`);
    const url = (table, search = '') => `${world.base}/db/${db}/t/public/${encodeURIComponent(table)}${search}`;
    await run(page, world, url);
    assert.equal(await page.evaluate(() => globalThis.hacked), undefined, 'something of the database ran');
  },
});

// opens a row's panel by its key and waits for it
async function panelOf(page, url) {
  await page.goto(url);
  const panel = page.getByRole('complementary');
  await panel.waitFor();
  return panel;
}

const row = (id) => `?row=${encodeURIComponent(`["${id}"]`)}`;

export const hostile = [
  within('hostile', 'values stay text, and what cannot be seen in them is named', async (page, world, url) => {
    const grid = page.getByRole('grid', { name: 'Rows of public.cells' });
    await page.goto(url('cells'));
    for (const shown of ['<script>window.hacked = 1</script>', 'javascript:alert(1)', "'; drop table cells;", 'מחר יגיע המשלוח']) await grid.getByText(text(shown)).first().waitFor();
    // An override is shown, not obeyed.
    assert.equal(await grid.getByText('RLO', { exact: true }).first().getAttribute('title'), 'U+202E');
    assert.equal(await grid.locator('.value').filter({ hasText: 'invoice' }).innerText(), 'invoiceRLOfdp.exe');
    // No value reaches out of its cell: marks left open in one are closed at its end.
    const leaks = await grid.evaluate((element) => [...element.querySelectorAll('.value')].filter((v) => !['isolate', 'plaintext', 'isolate-override'].includes(getComputedStyle(v).unicodeBidi)).length);
    assert.equal(leaks, 0);
    const complaints = [];
    const { rows } = await world.get(`${world.root}/databases/hostile/relations/${await oid(world, 'cells')}/rows`);
    const panel = await panelOf(page, url('cells', row(1)));
    for (const [i, [id, , cell]] of rows.entries()) {
      await page.getByRole('complementary', { name: `Row ${i + 1}`, exact: true }).waitFor();
      const value = cell?.cut ?? cell;
      const field = panel.locator('[data-field="2"]');
      if (id <= 2) assert.equal(await field.locator('.text').innerText(), value);
      if (id === 5) {
        await panel.getByRole('button', { name: 'Copy value' }).click(); // the truth
        await until('the value on the clipboard', async () => (await page.evaluate(() => navigator.clipboard.readText())) === value);
        complaints.push(...(await axe(page, 'hostile cells')));
      }
      if (id === 8) for (const name of ['BEL', 'ESC', 'DEL']) await field.getByText(name, { exact: true }).waitFor();
      if (id === 10) for (const name of ['ZWSP', 'BOM', 'SHY']) await field.getByText(name, { exact: true }).waitFor();
      if (id === 17) await panel.getByRole('button', { name: 'Show all of it' }).waitFor();
      else await panel.getByRole('button', { name: 'Row after' }).click();
    }
    await theme(page, 'dark');
    complaints.push(...(await axe(page, 'hostile cells, dark')));
    await theme(page, 'light');
    assert.deepEqual(complaints, []);
  }),
  within('hostile', 'names that are hard to quote are found and opened', async (page, world) => {
    await page.goto(`${world.base}/db/hostile`);
    for (const [part, name] of [['"quoted" \'single\'', 'new\nline "quoted" \'single\' <b>\u202eback'], ['%2e%2e', '…/../%2e%2e/?x=1#y']]) {
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox', { name: 'Search tables and commands' }).fill(part);
      await page.getByRole('listbox').getByRole('option').filter({ hasText: part }).first().click();
      await page.getByRole('grid', { name: text(name.slice(0, 3)) }).waitFor();
      assert.equal(decodeURIComponent(new URL(page.url()).pathname.split('/').at(-1)), name);
      await page.reload(); // every state is an address
      await page.getByRole('gridcell').first().waitFor();
      await page.getByRole('tab', { name: 'Definition' }).click();
      await page.getByText(/CREATE TABLE/).waitFor();
    }
  }),
  within('hostile', 'a link to a row holds wherever it stands, and the keyboard does what the help says', async (page, world, url) => {
    const grid = page.getByRole('grid', { name: 'Rows of public.far' });
    // Far behind the first page.
    const panel = await panelOf(page, url('far', row(2345)));
    await page.getByRole('complementary', { name: 'Row 2345', exact: true }).getByText('row 2345', { exact: true }).waitFor();
    await grid.getByRole('gridcell').first().waitFor();
    await grid.focus();
    await page.keyboard.press('Escape');
    await panel.waitFor({ state: 'detached' });
    assert.ok(!page.url().includes('row='));
    // A row that is not there is said not to be.
    await page.goto(url('far', row(9999)));
    await page.getByText('The row that the address names is not in this table.').waitFor();
    // The panel goes along; what a key refers to is peeked at, filtered by, sorted by.
    await grid.getByRole('gridcell').first().waitFor();
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('complementary', { name: 'Row 3', exact: true }).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.getByRole('complementary', { name: 'Row 4', exact: true }).waitFor();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('p');
    await page.getByRole('complementary').getByRole('region', { name: 'Rows of public.far' }).first().getByText('row 2', { exact: true }).waitFor();
    await page.keyboard.press('f');
    await page.getByRole('dialog', { name: 'Filter boss' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await grid.focus();
    await page.keyboard.press('Alt+ArrowDown');
    await page.waitForURL(/[?&]o=\d\.desc/);
    // What is typed before Ctrl+K is there goes into it.
    await page.reload();
    await grid.getByRole('gridcell').first().waitFor();
    await page.keyboard.press('Control+k');
    await page.keyboard.type('a_of_z');
    await page.getByRole('option', { name: /a_of_z.*Partition/ }).waitFor();
    assert.equal(await page.getByRole('combobox', { name: 'Search tables and commands' }).inputValue(), 'a_of_z');
    await page.keyboard.press('Escape');
  }),
  within('hostile', 'what is slow, broken or empty says so, once', async (page, world, url) => {
    // An error on a later page: what came before stays, and nobody asks again.
    let asked = 0;
    const count = (request) => /\/rows\?/.test(request.url()) && asked++;
    page.on('request', count);
    await page.goto(url('breaks_late'));
    const grid = page.getByRole('grid', { name: 'Rows of public.breaks_late' });
    await grid.getByRole('gridcell').first().waitFor();
    await grid.focus();
    await page.keyboard.press('Control+End');
    await page.getByRole('alert').getByText('division by zero').waitFor();
    await page.keyboard.press('Control+Home');
    await page.keyboard.press('Control+End');
    await page.getByText('500 rows before the error').waitFor();
    assert.equal(await page.getByText('no files of its own').count(), 0); // a view
    assert.equal(asked, 2);
    page.off('request', count);
    // A filter that is none: no rows of another filter are shown under it.
    await page.goto(url('far', '?f=1.eq.abc'));
    await page.getByRole('alert').getByText(/invalid input syntax/i).waitFor();
    assert.equal(await page.getByRole('gridcell').count(), 0);
    await page.goto(url('slow'));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: 'Loading was stopped' }).waitFor();
    // A filter whose answer is not waited for leaves no rows of the one before, nor does an answer that comes late.
    const held = [];
    const hold = (route) => held.push(route);
    await page.goto(url('far'));
    await page.getByRole('grid', { name: 'Rows of public.far' }).getByRole('gridcell').first().waitFor();
    await page.route(/\/rows\?.*filter=/, hold);
    await page.getByLabel('Add a filter on').selectOption('1');
    await page.getByRole('dialog').getByRole('textbox', { name: 'Value' }).fill('7');
    await page.getByRole('dialog').getByRole('button', { name: 'Apply' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: 'Loading was stopped' }).waitFor();
    assert.equal(await page.getByRole('gridcell').count(), 0);
    await page.unroute(/\/rows\?.*filter=/, hold);
    await page.getByRole('button', { name: 'Load the rows' }).click();
    await until('the one row', async () => (await gridRows(page, 'Rows of public.far')) === 1);
    for (const route of held.splice(0)) await route.abort().catch(() => {});
    // What is peeked at goes along with the row, whichever answer is the first.
    await page.goto(url('far', row(8)));
    const eighth = page.getByRole('complementary', { name: 'Row 8', exact: true });
    await page.route(/\/rows\?.*limit=5&/, hold);
    await eighth.getByRole('button', { name: /^Peek at public.far/ }).first().click();
    await until('the question', async () => held.length === 1);
    await page.unroute(/\/rows\?.*limit=5&/, hold);
    await eighth.getByRole('button', { name: 'Row after' }).click();
    await page.getByRole('complementary', { name: 'Row 9', exact: true }).getByRole('button', { name: 'Row after' }).click();
    const peek = page.getByRole('complementary', { name: 'Row 10', exact: true }).getByRole('region', { name: 'Rows of public.far' });
    await peek.getByText('row 5', { exact: true }).waitFor();
    for (const route of held.splice(0)) await route.continue().catch(() => {});
    await page.evaluate(() => new Promise((done) => setTimeout(done))); // a late answer would have come by then
    assert.equal(await peek.getByText('row 4', { exact: true }).count(), 0);
    await page.goto(url('no_columns'));
    await page.getByRole('heading', { name: 'A table without columns' }).waitFor();
    await page.goto(url('never_filled'));
    await page.getByRole('heading', { name: 'Not filled yet' }).waitFor();
    // Partitions below partitions, with what each holds; schemas, the empty one too.
    await page.goto(url('parts', '?tab=ddl'));
    const below = page.getByRole('region', { name: 'Partitions' });
    await below.getByText(/FOR VALUES FROM \('2026-01-01'\)/).waitFor();
    assert.equal(await below.getByRole('link').count(), 3);
    const side = page.getByRole('navigation', { name: 'Session' });
    await side.getByRole('link', { name: /a_of_z/ }).waitFor();
    const names = await side.getByRole('link').allInnerTexts();
    assert.equal(names.findIndex((n) => n.includes('a_of_z')), names.findIndex((n) => n.includes('z_of_parts')) + 1);
    await page.goto(url('grandchild', '?tab=ddl'));
    await page.getByText(/INHERITS \(public.family\)/).waitFor();
    await page.goto(`${world.base}/db/hostile?kind=schema`);
    await page.getByRole('region', { name: 'Schemas' }).getByRole('link', { name: 'nothing_in_it' }).click();
    await page.getByText('The schema nothing_in_it has no tables').waitFor();
    await page.getByRole('link', { name: 'Show all of hostile' }).click();
    await page.getByLabel('Kind').selectOption('view');
    await page.waitForURL(/only=view/);
    await page.reload(); // every state is an address
    const list = page.getByRole('region', { name: 'Relations' });
    await list.getByRole('link', { name: /breaks_late/ }).waitFor();
    assert.equal(await list.getByRole('link').count(), 2);
    assert.deepEqual(await axe(page, 'relations'), []);
  }),
  within('hostile', 'a table of 1600 columns is walked through', async (page, world, url) => {
    const label = 'Rows of public.wide';
    await page.goto(url('wide'));
    const grid = page.getByRole('grid', { name: label });
    await grid.getByRole('gridcell').first().waitFor();
    assert.equal(await grid.getAttribute('aria-colcount'), '1601');
    // Only what is in sight is drawn.
    assert.ok((await grid.getByRole('gridcell').count()) < 1500);
    await page.getByRole('button', { name: 'Columns', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: 'Columns' });
    await dialog.getByRole('searchbox').fill('c1234');
    await page.keyboard.press('Enter');
    await grid.getByRole('columnheader', { name: /c1234/ }).waitFor();
    await until('the cell to be the active one', async () => (await grid.evaluate((g) => document.getElementById(g.getAttribute('aria-activedescendant'))?.getAttribute('aria-colindex'))) === '1236');
    // A few of them, in the address.
    await page.getByRole('button', { name: 'Columns', exact: true }).click();
    await dialog.getByRole('searchbox').fill('c77');
    await dialog.getByRole('button', { name: 'Only these' }).click();
    await page.waitForURL(/[?&]c=/);
    assert.deepEqual(await axe(page, 'columns'), []);
    await page.keyboard.press('Escape');
    assert.equal(await grid.getAttribute('aria-colcount'), '12');
    await page.reload();
    await page.getByRole('button', { name: '11 of 1,600 columns' }).waitFor();
    await grid.getByRole('gridcell').nth(4).dblclick();
    const panel = page.getByRole('complementary');
    assert.ok((await panel.locator('[data-field]').count()) <= 100);
    await panel.getByRole('searchbox').fill('c1599');
    await until('the one column', async () => (await panel.locator('[data-field]').count()) === 1);
  }),
  within('hostile', 'values of 10 MB come when they are asked for', async (page, world, url) => {
    await page.goto(url('big'));
    const grid = page.getByRole('grid', { name: 'Rows of public.big' });
    await grid.getByText(/MiB/).first().waitFor();
    const panel = await panelOf(page, url('big', row(2)));
    const story = panel.locator('[data-field="1"]');
    await story.getByRole('button', { name: 'Show all of it' }).click();
    await story.getByText(/Characters 1 to 70,000 of 11,200,000/).waitFor();
    await story.getByRole('button', { name: 'Text after' }).click();
    await story.getByText(/Characters 70,001 to 140,000/).waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), story.getByRole('link', { name: 'Download story' }).click().catch(() => {})]);
    assert.equal(readFileSync(await download.path()).length, 11_200_000);
    // A value that comes late is not shown in another row.
    const held = [];
    const hold = (route) => held.push(route);
    const doc = panel.locator('[data-field="2"]');
    await page.route(/\/cell\?.*as=text/, hold);
    await doc.getByRole('button', { name: 'Show all of it' }).click();
    await until('the question', async () => held.length === 1);
    await panel.getByRole('button', { name: 'Row before' }).click();
    await page.getByRole('complementary', { name: 'Row 1', exact: true }).waitFor();
    await page.unroute(/\/cell\?.*as=text/, hold);
    await held[0].continue().catch(() => {});
    assert.ok(await doc.getByRole('button', { name: 'Show all of it' }).isEnabled());
    await panel.getByRole('button', { name: 'Row after' }).click();
    // The page still answers at once: the other rows are a key away.
    const began = Date.now();
    await panel.getByRole('button', { name: 'Row after' }).click();
    await page.getByRole('complementary', { name: 'Row 3', exact: true }).waitFor();
    assert.ok(Date.now() - began < 10_000);
    const data = page.getByRole('complementary').locator('[data-field="3"]');
    await data.getByText('10.0 MiB').waitFor();
    await data.getByRole('button', { name: 'Last bytes' }).click();
    await data.getByText(/of 10,485,760/).waitFor();
    await data.getByText(/10,485,759 of/).waitFor();
  }),
  within('hostile', 'pictures, texts and bytes are looked into, and nothing of them runs', async (page, world, url) => {
    const complaints = [];
    const { items } = await world.get(`${world.root}/databases/hostile/large-objects`);
    const files = (await world.get(`${world.root}/databases/hostile/relations/${await oid(world, 'files')}/rows`)).rows;
    const look = async (shown, name) => {
      await shown.getByRole('link', { name: /^Download/ }).waitFor();
      const picture = shown.getByRole('img', { name: /Preview/ });
      switch (name) {
        case 'picture.png': case 'photo.jpg': case 'chequers.gif': case 'dot.webp':
          await until(`${name} to be drawn`, () => picture.evaluate((img) => img.complete && img.naturalWidth > 0));
          break;
        case 'damaged.png':
          await shown.getByText('The picture is damaged').waitFor();
          await shown.getByText(/^00000000/).first().waitFor();
          break;
        case 'drawing.svg': await shown.getByText('SVG, as text').waitFor(); break;
        case 'page.html':
          await shown.getByText('HTML, as text').waitFor();
          await shown.getByText('<script>window.hacked = 7</script>').waitFor();
          break;
        case 'order.json': await shown.getByText('12345678901234567890').waitFor(); break;
        case 'letter.txt': await shown.getByText('Dear Müller').waitFor(); break;
        case 'wide.txt': await shown.getByText('wide letters: größe').waitFor(); break;
        case 'long.txt':
          await shown.getByRole('button', { name: 'Page after' }).click();
          await shown.getByText(/^Page 2 of/).waitFor();
          assert.ok(!(await shown.innerText()).includes('�'));
          break;
        case 'report.pdf': case 'archive.zip': await shown.getByText(/^00000000/).first().waitFor(); break;
        case 'nothing': await shown.getByText('It is empty.').waitFor(); break;
        default: assert.fail(`what is ${name}?`);
      }
      assert.equal(await page.locator('iframe, object, embed, svg script').count(), 0);
    };
    await page.goto(`${world.base}/db/hostile?kind=large-object`);
    for (const i of [0, 6]) {
      await page.getByRole('link', { name: `Look at large object ${items[i].oid}` }).click();
      await look(page.getByRole('dialog'), files[i][1]);
      if (i === 0) complaints.push(...(await axe(page, 'large object')));
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await theme(page, 'dark');
    const panel = await panelOf(page, url('files', row(1)));
    for (const [i, [, name]] of files.entries()) {
      await page.getByRole('complementary', { name: `Row ${i + 1}`, exact: true }).waitFor();
      await until('the name', async () => (await panel.locator('[data-field="1"]').innerText()).includes(name));
      const shown = panel.locator('[data-field="2"]');
      await look(shown, name);
      if (name === 'photo.jpg') {
        await shown.getByRole('button', { name: 'Bytes' }).click();
        await shown.getByText(/^00000000/).first().waitFor();
        complaints.push(...(await axe(page, 'bytes of a picture, dark')));
      }
      if (i + 1 < files.length) await panel.getByRole('button', { name: 'Row after' }).click();
    }
    await theme(page, 'light');
    assert.deepEqual(complaints, []);
  }),
  within('many', 'a database of 100,000 tables stays usable', async (page, world) => {
    const first = () => world.get(`${world.root}/databases/many/relations?limit=1`);
    await until('the tables to be made', async () => (await first()).total > 100_000, 120_000);
    await page.goto(`${world.base}/db/many`);
    const side = page.getByRole('navigation', { name: 'Session' });
    await side.getByText(/^100,0\d\d relations/).waitFor();
    assert.ok((await side.getByRole('listitem').count()) < 200);
    // More of them that do not come leave those that are there.
    const list = page.getByRole('region', { name: 'Relations' });
    await list.getByRole('button', { name: /^Show more of/ }).waitFor();
    const before = await list.getByRole('row').count();
    await page.route(/\/relations\?.*cursor=/, (route) => route.abort(), { times: 1 });
    await list.getByRole('button', { name: /^Show more of/ }).click();
    await list.getByRole('alert').waitFor();
    assert.equal(await list.getByRole('row').count(), before);
    await list.getByRole('alert').getByRole('button').first().click();
    await until('more of them', async () => (await list.getByRole('row').count()) > before);
    await side.getByRole('searchbox').fill('table_098765');
    await side.getByRole('link', { name: 'table_098765' }).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Search tables and commands' }).fill('tenant_17.a_real');
    const option = page.getByRole('option', { name: /tenant_17.a_real_one.*Table/ });
    await option.waitFor();
    await option.click();
    await page.getByRole('grid', { name: 'Rows of tenant_17.a_real_one' }).getByRole('gridcell', { name: '17', exact: true }).waitFor();
    assert.equal(await gridRows(page, 'Rows of tenant_17.a_real_one'), 1);
  }),
];

const oids = new Map();
// oid of a table of the database hostile
async function oid(world, table) {
  if (!oids.has(table)) oids.set(table, (await world.get(`${world.root}/databases/hostile/schemas/public/relations/${table}`)).oid);
  return oids.get(table);
}
