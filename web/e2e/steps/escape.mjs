// Nothing that is typed into the page writes, or gets out of the database: the
// list of web/webtest/attempts.json, each refused by what it says. A few go
// through the editor, all through the request that the editor makes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { run } from '../page.mjs';

const attempts = JSON.parse(readFileSync(new URL('../../webtest/attempts.json', import.meta.url), 'utf8'));
const typed = [/^delete/, /^with gone/, /to program/, /pg_read_file/, /^set role/, /^do /];

export const escape = [
  {
    name: 'nothing that is asked for writes or escapes',
    async run(page, world) {
      await page.goto(world.sqlURL('select 1'));
      await page.locator('.cm-content').waitFor();
      const query = (sql) => page.evaluate(async ([url, sql]) => {
        const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Snapview': '1' }, body: JSON.stringify({ sql, timeoutSeconds: 60 }) });
        const lines = (await answer.text()).trim().split('\n');
        return { rows: lines.flatMap((l) => JSON.parse(l).rows ?? []), end: JSON.parse(lines.at(-1)).end };
      }, [`/api/v1${world.root}/databases/${encodeURIComponent(world.db)}/query`, sql]);
      const one = async (sql) => {
        const { rows, end } = await query(sql);
        assert.equal(end.error, undefined, `${sql}: ${JSON.stringify(end.error)}`);
        return rows[0]?.[0];
      };
      const table = world.name(world.table);
      const column = '"' + world.table.columns.at(-1).name.replaceAll('"', '""') + '"';
      const sequence = await one("select format('%I.%I', schemaname, sequencename) from pg_sequences limit 1");
      const state = () => one(`select concat_ws(' ', (select count(*) from ${table}), (select sum(hashtext(t::text)) from ${table} t),
        (select count(*) from pg_class), (select count(*) from pg_roles), (select count(*) from pg_largeobject_metadata), (select last_value from ${sequence ?? '(select 0 as last_value) s'}))`);
      const before = await state();
      // Which of the list's columns holds is seen from the server itself.
      const recovering = (await one('select pg_is_in_recovery()')) === 't';
      const superuser = (await one("select current_setting('is_superuser')")) === 'on';
      const where = superuser ? 'scratch' : recovering ? 'standby' : 'refused';
      const wrong = [];
      let tried = 0;
      for (const a of attempts) {
        if (a.demo || (!sequence && a.sql.includes('SEQUENCE'))) continue;
        const sql = a.sql.replaceAll('TABLE', table).replaceAll('COLUMN', column).replaceAll('SEQUENCE', sequence).replaceAll('FILE', '/tmp/escaped-by-the-browser');
        const want = (a[where] ?? a.refused ?? '-').replace(/^-$/, '');
        const { end } = await query(sql);
        const got = end.error ? end.error.sqlstate ?? end.error.code : '';
        if (got !== want) wrong.push(`${sql}: refused by "${got}", want "${want}"`);
        tried++;
      }
      assert.deepEqual(wrong, []);
      assert.ok(tried >= 32, `only ${tried} were tried`);
      // As a person would: each says why on the page, and the page goes on.
      for (const pattern of typed) {
        const { sql } = attempts.find((a) => pattern.test(a.sql));
        assert.equal(await run(page, world, sql.replaceAll('TABLE', table).replaceAll('FILE', '/tmp/escaped-by-the-browser')), superuser && /pg_read_file/.test(sql) ? '1 row' : 'Failed', sql);
      }
      assert.equal(await state(), before);
    },
  },
  {
    name: 'a page of another site has no hold on the window that it opens',
    on: 'devserver',
    async run(page, world) {
      const other = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<button>Open</button>'));
      await new Promise((listens) => other.listen(0, '127.0.0.1', listens));
      try {
        await page.goto(`http://localhost:${other.address().port}/`);
        const open = async (url) => {
          await page.evaluate((url) => (document.querySelector('button').onclick = () => (globalThis.opened = window.open(url))), url);
          const [popup] = await Promise.all([page.waitForEvent('popup'), page.getByRole('button').click()]);
          await popup.waitForLoadState();
          return popup;
        };
        // Its own, to see that one can be held.
        const own = await open('/');
        assert.equal(await page.evaluate(() => globalThis.opened.closed), false);
        await own.close();
        const ours = await open(world.base);
        assert.equal(await page.evaluate(() => globalThis.opened.closed), true);
        assert.equal(await ours.evaluate(() => window.opener), null);
        await ours.close();
      } finally {
        other.close();
      }
    },
  },
];
