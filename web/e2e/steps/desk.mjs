// What the editor keeps: tabs, saved queries, history; and what it draws.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe, gridRows, run, send, text, theme, until } from '../page.mjs';

const tabs = (page) => page.getByRole('tablist', { name: 'Queries' }).getByRole('tab');
const names = async (page) => (await tabs(page).allInnerTexts()).map((name) => name.trim());
const chosen = (page) => page.getByRole('tab', { selected: true });

// closes every tab of the session's backup, so that a step may be run again
async function clear(page, world) {
  await page.goto(world.base);
  await page.evaluate(() => sessionStorage.clear()); // what was on its way when the last page went
  for (const tab of (await world.get(`${world.root}/tabs`)).items) await send(page, world, 'DELETE', `${world.root}/tabs/${tab.id}`);
  await page.goto('about:blank');
}

async function write(page, sql) {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(sql);
}

const kept = (page, world, what, is) => until(what, async () => is((await world.get(`${world.root}/tabs`)).items));

export const desk = [
  {
    name: 'tabs are made, named, moved and closed, and outlive a reload',
    async run(page, world) {
      await clear(page, world);
      await page.goto(world.base + '/sql');
      await tabs(page).first().waitFor();
      assert.deepEqual(await names(page), ['New query']);
      await write(page, 'select 1 as one');
      await until('the tab to be named', async () => (await names(page))[0] === 'select 1 as one');
      await page.keyboard.press('Alt+t');
      await until('a second tab', async () => (await names(page)).length === 2);
      await page.keyboard.type('-- second\nselect 2 as two');
      await page.getByRole('button', { name: 'New tab' }).click();
      await write(page, 'select 3 as three');
      await until('three tabs', async () => (await names(page)).join('|') === 'select 1 as one|second|select 3 as three');

      // Each has a result of its own.
      await page.keyboard.press('Control+Enter');
      await page.locator('[data-done]').waitFor();
      await page.keyboard.press('Alt+1');
      await page.getByText('Ask the backup something').waitFor();
      assert.match(await page.locator('.cm-content').innerText(), /one/);
      await page.keyboard.press('Alt+3');
      await page.getByRole('gridcell', { name: '3', exact: true }).waitFor();

      // By the keyboard alone: along the tabs, renamed, moved.
      await chosen(page).focus();
      await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('F2');
      await page.getByRole('textbox', { name: 'Name of the tab' }).fill('the middle');
      await page.keyboard.press('Enter');
      await until('the new name', async () => (await names(page))[1] === 'the middle');
      await page.keyboard.press('Alt+ArrowLeft');
      await until('the new order', async () => (await names(page)).join('|') === 'the middle|select 1 as one|select 3 as three');
      // By the pointer.
      const from = await tabs(page).nth(2).boundingBox();
      const to = await tabs(page).nth(0).boundingBox();
      await page.mouse.move(from.x + 30, from.y + 15);
      await page.mouse.down();
      await page.mouse.move(to.x + to.width / 2, to.y + 15, { steps: 8 });
      await page.mouse.move(to.x + 10, to.y + 15, { steps: 3 });
      await page.mouse.up();
      await until('the order by the pointer', async () => (await names(page)).join('|') === 'select 3 as three|the middle|select 1 as one');

      await kept(page, world, 'the tabs to be kept', (items) => items.map((t) => t.title ?? t.sql).join('|') === 'select 3 as three|the middle|select 1 as one');
      const address = page.url();
      assert.match(address, /tab=/);
      await page.reload();
      await tabs(page).nth(2).waitFor();
      assert.deepEqual(await names(page), ['select 3 as three', 'the middle', 'select 1 as one']);
      assert.equal((await chosen(page).innerText()).trim(), 'select 3 as three');

      // What was typed is there though the page went at once.
      await write(page, 'select 33');
      await page.reload();
      await until('the last letters', async () => (await page.locator('.cm-content').innerText()) === 'select 33');

      await page.keyboard.press('Alt+w');
      await until('two tabs', async () => (await names(page)).length === 2);
      await page.getByRole('status').getByRole('button', { name: /Undo/ }).click();
      await until('it is back, where it was', async () => (await names(page)).join('|') === 'select 33|the middle|select 1 as one');
      await chosen(page).focus();
      await page.keyboard.press('Delete');
      await page.keyboard.press('Alt+Shift+T');
      await until('it is back again', async () => (await names(page)).length === 3);
      await page.getByRole('button', { name: 'Tabs', exact: true }).click();
      await page.getByRole('menuitem', { name: 'Close the others' }).click();
      await until('one tab', async () => (await names(page)).join('|') === 'select 33');
      await kept(page, world, 'one tab to be kept', (items) => items.length === 1);
    },
  },
  {
    name: 'two windows share the tabs and do not undo each other',
    async run(page, world) {
      await clear(page, world);
      await page.goto(world.base + '/sql');
      // What is kept is what was typed last, though the way of what was typed before took longer.
      let [asked, answered] = [0, 0];
      await page.route('**/tabs/*', async (route) => {
        if (route.request().method() !== 'PUT') return route.continue();
        if (++asked === 1) await new Promise((resolve) => setTimeout(resolve, 1000));
        await route.fulfill({ response: await route.fetch() });
        answered++;
      });
      try {
        await write(page, 'select 0');
        await until('it to be on its way', () => asked === 1);
        await page.keyboard.type(' + 1');
        await until('both to be kept', () => answered === 2);
        assert.equal((await world.get(`${world.root}/tabs`)).items[0].sql, 'select 0 + 1');
      } finally {
        await page.unroute('**/tabs/*');
      }
      await write(page, 'select 1');
      await kept(page, world, 'the first tab', (items) => items.length === 1 && items[0].sql === 'select 1');
      const other = await page.context().newPage();
      try {
        await other.goto(world.base + '/sql');
        await until('the tab in the other window', async () => (await names(other)).join() === 'select 1');
        await other.getByRole('button', { name: 'New tab' }).click();
        await write(other, 'select 2');
        await page.bringToFront();
        await page.locator('.cm-content').click();
        await page.keyboard.press('Control+End');
        await page.keyboard.type(' + 1');
        await kept(page, world, 'both changes', (items) => items.map((t) => t.sql).join('|') === 'select 1 + 1|select 2');
        // All of them closed elsewhere: there is one to write in still.
        for (const tab of (await world.get(`${world.root}/tabs`)).items) await send(page, world, 'DELETE', `${world.root}/tabs/${tab.id}`);
        await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
        await until('an empty tab', async () => (await names(page)).join() === 'New query');
      } finally {
        await other.close();
      }
    },
  },
  {
    name: 'a query is saved with its tags, found, changed, exported and imported',
    async run(page, world) {
      for (const q of (await world.get('/queries')).items.filter((q) => q.name.startsWith('e2e'))) await send(page, world, 'DELETE', `/queries/${q.id}`);
      await clear(page, world);
      await page.goto(world.base + '/sql');
      await write(page, "select 'saved' as word");
      await page.keyboard.press('Control+s');
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Name').fill('e2e words');
      await dialog.getByLabel('What it is for').fill('to be found');
      await dialog.getByLabel('Tags').fill('e2etag, other');
      await dialog.getByRole('button', { name: 'Save', exact: true }).click();
      await until('the tab to have its name', async () => (await names(page)).join() === 'e2e words');
      // From now on it is saved under its name.
      await write(page, "select 'changed' as word");
      await page.keyboard.press('Control+s');
      await until('the change', async () => (await world.get('/queries')).items.some((q) => q.name === 'e2e words' && q.sql.includes('changed') && q.description === 'to be found'));

      const id = (await world.get('/queries')).items.find((q) => q.name === 'e2e words').id;
      await clear(page, world);
      await page.goto(`${world.base}/sql?show=saved&find=${encodeURIComponent('#e2etag')}`);
      await dialog.getByRole('listitem').first().waitFor();
      assert.equal(await dialog.getByRole('listitem').count(), 1);
      await dialog.getByRole('searchbox').fill('no such thing');
      await dialog.getByText('No saved query matches').waitFor();
      await page.waitForURL(/find=no/);
      await dialog.getByRole('searchbox').fill('e2e');
      await dialog.getByRole('button', { name: 'Change e2e words' }).click();
      const change = page.getByRole('dialog', { name: 'Change a saved query' });
      await change.getByLabel('What it is for').fill('to be found again');
      await change.getByRole('button', { name: 'Save', exact: true }).click();
      const library = page.getByRole('dialog', { name: 'Saved queries' });
      await library.getByText('to be found again').waitFor();
      const [file] = await Promise.all([page.waitForEvent('download'), library.getByRole('button', { name: 'Export' }).click()]);
      const sql = readFileSync(await file.path(), 'utf8');
      assert.match(sql, /^-- name: e2e words$/m);
      assert.match(sql, /^-- tags: e2etag, other$/m);
      await library.getByRole('button', { name: 'Remove e2e words' }).click();
      await until('it is gone', async () => !(await world.get('/queries')).items.some((q) => q.id === id));
      await library.getByLabel('Files to import').setInputFiles([
        { name: 'queries.sql', mimeType: 'application/sql', buffer: Buffer.from(sql) },
        { name: 'e2e plain.sql', mimeType: 'application/sql', buffer: Buffer.from('select 5;') },
      ]);
      await until('both are there', async () => (await world.get('/queries')).items.filter((q) => q.name.startsWith('e2e')).length === 2);
      // It opens at its own address, as a tab that is not kept until it is changed.
      await library.getByRole('link', { name: /e2e words/ }).click();
      await until('the statement', async () => /changed/.test(await page.locator('.cm-content').innerText()));
      assert.equal((await world.get(`${world.root}/tabs`)).items.length, 0);
    },
  },
  {
    name: 'the history finds what was run, and forgets it',
    async run(page, world) {
      const word = 'e2e' + Date.now();
      await run(page, world, `select '${word}' as found`);
      await run(page, world, `select 1 / (length('${word}') - length('${word}'))`);
      await page.getByRole('button', { name: 'History', exact: true }).click();
      const dialog = page.getByRole('dialog', { name: 'History' });
      await dialog.getByRole('searchbox').fill(word.toUpperCase());
      await until('two of them', async () => (await dialog.getByRole('listitem').count()) === 2);
      await dialog.getByText('division by zero').waitFor();
      await page.waitForURL(/show=history/);
      await dialog.getByLabel('This backup only').check();
      await until('still two', async () => (await dialog.getByRole('listitem').count()) === 2);
      await page.reload(); // every state has its address
      await until('two after a reload', async () => (await dialog.getByRole('listitem').count()) === 2);
      await dialog.getByRole('listitem').filter({ hasText: 'division' }).getByRole('button', { name: 'Forget this statement' }).click();
      await until('one of them', async () => (await dialog.getByRole('listitem').count()) === 1);
      // What was closed with something just typed stays closed.
      await dialog.getByRole('searchbox').press('End');
      await page.keyboard.type('9');
      await page.keyboard.press('Escape'); // which empties the field
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      await page.waitForTimeout(250);
      assert.equal(await dialog.count(), 0);
      await page.getByRole('button', { name: 'History', exact: true }).click();
      await dialog.getByRole('link', { name: text(word) }).first().click();
      await dialog.waitFor({ state: 'hidden' });
      await until('the statement', async () => (await page.locator('.cm-content').innerText()).includes(word));
    },
  },
  {
    name: 'a script gives one result for each statement',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select 1 as a;\nselect 2 as b, null as c, \'\' as d;\nselect * from generate_series(1, 7);'));
      await page.getByText('From a link: not run yet').waitFor();
      await page.locator('.cm-content').click();
      await page.keyboard.press('Control+Shift+Enter');
      const sets = page.getByRole('group', { name: 'Results of the statements' }).getByRole('button');
      await until('three results', async () => (await sets.count()) === 3 && (await gridRows(page, 'Result')) === 7);
      await sets.nth(1).click();
      await page.getByRole('gridcell', { name: 'NULL' }).waitFor();
      await page.getByRole('button', { name: 'Copy the rows' }).click();
      await page.getByRole('menuitem', { name: /with column names/ }).click();
      await until('the clipboard', async () => (await page.evaluate(() => navigator.clipboard.readText())) === 'b\tc\td\n2\t\t""');
      // By the keys: what is selected, without and with names.
      await page.getByRole('gridcell', { name: '2', exact: true }).click();
      await page.keyboard.press('Shift+End');
      for (const [keys, wants] of [['Control+c', '2\t\t""'], ['Control+Shift+c', 'b\tc\td\n2\t\t""']]) {
        await page.keyboard.press(keys);
        await until(`${keys} on the clipboard`, async () => (await page.evaluate(() => navigator.clipboard.readText())) === wants);
      }
      // The selection alone.
      await page.locator('.cm-content').click();
      await page.keyboard.press('Control+Home');
      await page.keyboard.press('Shift+End');
      await page.keyboard.press('Control+Enter');
      await until('one result', async () => (await page.getByRole('gridcell', { name: '1', exact: true }).count()) === 1);
    },
  },
  {
    name: 'completion knows the catalogue, and Enter stays a new line',
    async run(page, world) {
      const t = world.table;
      await clear(page, world);
      await page.goto(`${world.base}/sql?db=${encodeURIComponent(world.db)}`);
      await page.locator('.cm-content').click();
      await page.keyboard.type(`select x. from ${world.name(t)} x`);
      for (let i = 0; i < ` from ${world.name(t)} x`.length; i++) await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('Backspace');
      await page.keyboard.type('.');
      const list = page.locator('.cm-tooltip-autocomplete');
      await list.getByText(t.columns[0].name, { exact: true }).first().waitFor();
      await page.keyboard.press('Enter');
      await until('a new line', async () => /x\.\n/.test(await page.locator('.cm-content').innerText()));
      await page.keyboard.press('Control+z');
      await page.keyboard.press('Control+ ');
      await list.waitFor();
      await page.waitForTimeout(120); // the editor takes no key for so long, lest one typed ahead picks an option
      await page.keyboard.press('Tab');
      await until('a column', async () => /x\.[^\s]+ from/.test((await page.locator('.cm-content').innerText()).replaceAll('\u00a0', ' ')));
      // What the statement itself names: WITH, a subquery, a table under its own name, columns without one.
      for (const [before, after, wants] of [
        [`with recent as (select 1 as first_one, ${world.name(t)}.* from ${world.name(t)}) select * from rec`, '', 'recent'],
        [`with recent as (select 1 as first_one) select r.`, ' from recent r', 'first_one'],
        [`select inside.`, ` from (select * from ${world.name(t)}) inside`, t.columns[0].name],
        [`select `, ` from ${world.name(t)} where true`, t.columns[0].name],
        [`select * from ${world.name(t)} where "${t.name.replaceAll('"', '""')}".`, '', t.columns[0].name],
        // Types beside columns, behind a FROM that begins no list, and those of the system's tables.
        [`select extract(day from `, `) from ${world.name(t)}`, t.columns[0].type],
        [`select reltu`, ' from pg_class where true', 'real'],
      ]) {
        await page.keyboard.press('Escape');
        await page.keyboard.press('Control+a');
        await page.keyboard.press('Delete');
        await page.keyboard.insertText(before + after);
        for (let i = 0; i < after.length; i++) await page.keyboard.press('ArrowLeft');
        await page.keyboard.press('Control+ ');
        await list.getByText(wants, { exact: true }).first().waitFor();
      }
    },
  },
  {
    name: 'a result is drawn, kept with its tab, and saved as a picture',
    async run(page, world) {
      await clear(page, world);
      await page.goto(world.base + '/sql');
      const sql = "select d::date as day, region, round(extract(doy from d) * length(region)) as total from generate_series('2026-01-01'::timestamp, '2026-03-31', '1 day') d, unnest(array['north', 'islands']) region";
      await write(page, sql);
      await page.keyboard.press('Control+Enter');
      await page.locator('[data-done]').waitFor();
      await page.getByRole('button', { name: 'Chart', exact: true }).click();
      const chart = page.getByRole('img', { name: /chart of total by day/ });
      await chart.waitFor();
      assert.match(await chart.getAttribute('aria-label'), /^Line chart of total by day: 2 series of 90 points/);
      const inked = () => chart.locator('canvas').evaluate((c) => {
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60) n++;
        return n;
      });
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        await until(`coloured lines, ${scheme}`, async () => (await inked()) > 300);
      }
      await theme(page, 'light');
      // By the keyboard, point by point.
      await chart.focus();
      await page.keyboard.press('End');
      await until('the last day', async () => /2026-03-31: north 450, islands 630/.test(await page.locator('.chart-view [role=status]').innerText()));
      const controls = page.getByRole('group', { name: 'What the chart shows' });
      await controls.getByRole('button', { name: 'Bars' }).click();
      await controls.getByLabel('Across').selectOption('region');
      await controls.getByLabel(/Same region/).selectOption('max');
      await page.getByRole('img', { name: /^Bar chart of total by region: 1 series of 2 points/ }).waitFor();
      const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download the chart as PNG' }).click()]);
      const png = readFileSync(await file.path());
      assert.equal(png.subarray(1, 4).toString(), 'PNG');
      assert.ok(png.length > 3000, `a picture of ${png.length} bytes`);

      await kept(page, world, 'the chart to be kept', (items) => items[0]?.chart?.kind === 'bars' && items[0].chart.x === 'region' && items[0].chart.fold === 'max');
      await page.reload();
      await page.getByRole('button', { name: 'Run', exact: true }).click();
      await page.getByRole('img', { name: /^Bar chart of total by region/ }).waitFor();

      // A link has all of it, for who has nothing kept.
      await page.evaluate(() => navigator.clipboard.writeText(''));
      await page.getByRole('button', { name: 'Copy a link' }).click();
      const link = await until('the link', () => page.evaluate(() => navigator.clipboard.readText()));
      await clear(page, world);
      await page.goto(link);
      await page.getByRole('button', { name: 'Run', exact: true }).click();
      await page.getByRole('img', { name: /^Bar chart of total by region/ }).waitFor();
    },
  },
  {
    name: 'a chart says when it was drawn from a part',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL('select i, i * 2 as twice from generate_series(1, 5000) i') + '&rows=1000&chart=line');
      await page.getByRole('button', { name: 'Run', exact: true }).click();
      await page.getByText('Drawn from the first 1,000 rows; the result has more.').waitFor();
    },
  },
  {
    name: 'a measured plan has times and rows, and folds',
    async run(page, world) {
      await page.goto('about:blank');
      await page.goto(world.sqlURL(`select count(*) from ${world.name(world.table)} a join generate_series(1, 3) g on true`));
      await page.getByRole('button', { name: 'Analyze' }).click();
      const plan = page.getByRole('region', { name: 'Query plan' });
      await plan.getByRole('columnheader', { name: 'Own time' }).waitFor();
      await plan.getByText('With those below').waitFor();
      const rows = await plan.getByRole('row').count();
      assert.ok(rows > 3, `${rows} rows`);
      await plan.getByRole('button', { name: /Steps below/ }).first().click();
      await until('a folded plan', async () => (await plan.getByRole('row').count()) === 2);
      await plan.getByRole('button', { name: 'JSON', exact: true }).click();
      await plan.getByText('"Execution Time"').waitFor();
    },
  },
  {
    name: 'axe finds nothing in what the editor keeps and draws; it fits 360 pixels',
    on: 'devserver',
    async run(page, world) {
      const was = page.viewportSize();
      const found = [];
      const chart = world.sqlURL("select d::date as day, extract(doy from d) as n, 'x' as word from generate_series('2026-01-01'::timestamp, '2026-01-20', '1 day') d") + '&chart=';
      if (!(await world.get('/queries')).items.length) await send(page, world, 'POST', '/queries', { items: [{ name: 'e2e axe', sql: 'select 1', tags: ['e2etag'] }] });
      const views = [
        ['chart', chart, async () => { await page.getByRole('button', { name: 'Run', exact: true }).click(); await page.locator('.chart canvas').waitFor(); }],
        ['saved', `${world.base}/sql?show=saved`, () => page.getByRole('dialog').getByRole('listitem').first().waitFor()],
        ['history', `${world.base}/sql?show=history`, () => page.getByRole('dialog').getByRole('listitem').first().waitFor()],
        ['saving', chart, async () => { await page.getByRole('button', { name: 'Save the query' }).click(); await page.getByRole('dialog').waitFor(); }],
        ['menu of runs', chart, async () => { await page.getByRole('button', { name: 'More ways to run' }).click(); await page.getByRole('menuitem').first().waitFor(); }],
        ['plan', chart, async () => { await page.getByRole('button', { name: 'More ways to run' }).click(); await page.getByRole('menuitem', { name: 'Explain and run' }).click(); await page.getByRole('region', { name: 'Query plan' }).waitFor(); }],
      ];
      try {
        for (const [scheme, width] of [['light', 1360], ['dark', 1360], ['light', 360]]) {
          await theme(page, scheme);
          await page.setViewportSize({ width, height: width === 360 ? 740 : was.height });
          for (const [name, url, ready] of views) {
            await page.goto('about:blank');
            await page.goto(url);
            await ready();
            found.push(...(await axe(page, `${name}, ${scheme}, ${width}`)));
            const over = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth, document.querySelector('.plan')?.scrollWidth ?? 0) - innerWidth);
            if (over > 0) found.push(`${name} is ${over} px too wide at ${width}`);
          }
        }
        assert.deepEqual(found, []);
      } finally {
        await page.setViewportSize(was);
        await theme(page, 'light');
      }
    },
  },
];
