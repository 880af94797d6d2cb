// Pictures of every view in both themes and at 360, 1360 and 2560 pixels, for looking
// at; SNAPVIEW_SHOT=dark|light|phone|wide takes only those:
//   node web/e2e/shots.mjs LOGIN-URL FOLDER [database]
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './browser.mjs';

const [url, out, only] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const { context, close } = await launch();
const page = context.pages()[0] ?? (await context.newPage());
page.on('console', (m) => ['error', 'warning'].includes(m.type()) && console.log('console:', m.text().slice(0, 300)));
page.on('pageerror', (e) => console.log('page error:', e.message));
await page.goto(url);
const origin = new URL(page.url()).origin;
const { items } = await (await page.request.get(origin + '/api/v1/sessions')).json();
const session = items.find((s) => s.state === 'ready');
const api = `${origin}/api/v1/sessions/${session.id}`;
const { items: databases } = await (await page.request.get(api + '/databases')).json();
const db = session.defaultDatabase ?? databases.find((d) => !d.template && d.name !== 'postgres').name;
const { items: relations } = await (await page.request.get(`${api}/databases/${db}/relations?kind=table&sort=size&limit=3`)).json();
const big = relations[0];
const base = `${origin}/s/${session.id}`;
const table = `${base}/db/${db}/t/${big.schema}/${big.name}`;
// A checkpoint of that name, made if it is not there.
async function checkpoint(name) {
  const { items } = await (await page.request.get(api + '/layers')).json();
  const known = items.find((l) => l.name === name);
  if (known) return known.id;
  return (await (await page.request.post(api + '/checkpoints', { headers: { 'X-Snapview': '1' }, data: { name } })).json()).id;
}
const views = {
  home: () => page.goto(base),
  database: () => page.goto(`${base}/db/${db}`),
  rows: () => page.goto(table),
  row: async () => {
    await page.goto(table);
    await page.getByRole('gridcell').nth(3).dblclick();
  },
  columns: () => page.goto(table + '?tab=columns'),
  indexes: () => page.goto(table + '?tab=indexes'),
  constraints: () => page.goto(table + '?tab=constraints'),
  ddl: () => page.goto(table + '?tab=ddl'),
  'sql-empty': () => page.goto(base + '/sql'),
  'sql-result': async () => {
    await page.goto(`${base}/sql?db=${db}#` + new URLSearchParams({ q: "-- the first of them\nselect i as id, 'name ' || i as name, case when i % 7 = 0 then null when i % 5 = 0 then '' else md5(i::text) end as note,\n       i * 1.25 as price, now() - i * interval '1 hour' as at\nfrom generate_series(1, 200000) i;" }));
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.locator('[data-done]').waitFor();
  },
  'sql-chart': async () => {
    await page.goto('about:blank');
    await page.goto(`${base}/sql?db=${db}#` + new URLSearchParams({ q: "select d::date as day, r as region, round((500 + 300 * sin(extract(doy from d) / 20) + 80 * length(r))::numeric, 2) as revenue\nfrom generate_series('2026-01-01'::timestamp, '2026-06-30', '1 day') d, unnest(array['north', 'south', 'islands']) r", chart: '' }));
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.locator('[data-done]').waitFor();
    await page.locator('.chart canvas').waitFor();
  },
  'sql-bars': async () => {
    await page.goto('about:blank');
    await page.goto(`${base}/sql?db=${db}#` + new URLSearchParams({ q: "select * from (values ('Berlin', 812, 640), ('Köln', 402, 420), ('München', 655, 700), ('Hamburg', 590, 333), ('Leipzig', 210, 260)) t(city, orders, returns)", chart: '' }));
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.locator('.chart canvas').waitFor();
  },
  'sql-saved': async () => {
    const { items } = await (await page.request.get(origin + '/api/v1/queries')).json();
    if (!items.length)
      await page.request.post(origin + '/api/v1/queries', {
        headers: { 'X-Snapview': '1' },
        data: { items: [
          { name: 'Orders by month', description: 'For the board: what came in, month by month.', tags: ['sales', 'monthly'], database: db, sql: "select date_trunc('month', placed_at) as month, count(*), sum(total)\nfrom shop.orders group by 1 order by 1;", chart: { on: true, kind: 'line' } },
          { name: 'Customers without orders', tags: ['cleanup'], database: db, sql: 'select c.* from shop.customers c left join shop.orders o on o.customer_id = c.id where o.id is null;' },
        ] },
      });
    await page.goto(`${base}/sql?show=saved`);
    await page.getByRole('dialog').getByText('Customers without orders').waitFor();
  },
  'sql-history': async () => {
    await page.goto(`${base}/sql?show=history`);
    await page.getByRole('dialog').getByRole('listitem').first().waitFor();
  },
  'sql-save': async () => {
    await page.goto('about:blank');
    await page.goto(`${base}/sql?db=${db}#` + new URLSearchParams({ q: 'select count(*) from shop.orders' }));
    await page.getByRole('button', { name: 'Save the query' }).click();
    await page.getByRole('dialog').waitFor();
  },
  'sql-error': async () => {
    await page.goto(`${base}/sql?db=${db}#` + new URLSearchParams({ q: 'select relname, reltupels\nfrom pg_class\nlimit 10;' }));
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.locator('[data-done]').waitFor();
  },
  'sql-refused': async () => {
    await page.goto(`${base}/sql?db=${db}#` + new URLSearchParams({ q: `delete from ${big.schema}.${big.name};` }));
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.locator('[data-done]').waitFor();
  },
  'sql-plan': async () => {
    await page.goto(`${base}/sql?db=${db}#` + new URLSearchParams({ q: `select n.nspname, count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where relkind = 'r' group by 1 order by 2 desc` }));
    await page.getByRole('button', { name: 'More ways to run' }).click();
    await page.getByRole('menuitem', { name: 'Explain and run' }).click();
    await page.locator('[data-done]').waitFor();
  },
  overlay: async () => {
    await page.goto(base + '/overlay');
    await page.locator('.u-over').waitFor();
  },
  'overlay-file': () => page.goto(base + '/overlay?by=file'),
  'overlay-span': async () => {
    await page.goto(`${base}/overlay?since=${await checkpoint('first')}&until=${await checkpoint('before the migration')}`);
    await page.getByText('Checkpoint by checkpoint').click();
  },
  limit: () => page.goto(base + '/overlay?ask=limit'),
  layers: async () => page.goto(`${base}/layers?layer=${await checkpoint('before the migration')}`),
  ...Object.fromEntries(['checkpoint', 'fork', 'export', 'merge', 'discard'].map((ask) => [`layers-${ask}`, async () => page.goto(`${base}/layers?layer=${await checkpoint('before the migration')}&ask=${ask}`)])),
  palette: async () => {
    await page.goto(base);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('listbox').getByRole('option').first().waitFor();
  },
  help: async () => {
    await page.goto(base);
    await page.getByRole('button', { name: 'Keyboard help' }).click();
  },
  filter: async () => {
    await page.goto(table);
    await page.getByRole('columnheader').nth(2).hover();
    await page.getByRole('button', { name: /^Filter / }).nth(1).click();
  },
  end: () => page.goto(base + '/end'),
  sessions: () => page.goto(origin + '/?all'),
  preflight: async () => {
    await page.goto(origin + '/');
    await page.getByRole('region', { name: 'Backups in the stores' }).getByRole('link').first().click();
    await page.getByText(/checks and facts/).waitFor();
  },
  chain: async () => {
    await page.goto(origin + '/?open=' + encodeURIComponent('/backups/incremental/friday'));
    await page.getByRole('group', { name: 'Earlier backups' }).waitFor();
  },
  closed: () => page.goto(`${origin}/s/closed-1`),
  unknown: () => page.goto(`${base}/nothing`),
};
for (const [name, show] of Object.entries(views)) {
  if (only && !name.match(only)) continue;
  for (const [theme, width, height, suffix] of [['light', 1360, 860, 'light'], ['dark', 1360, 860, 'dark'], ['light', 360, 740, 'phone'], ['light', 2560, 1300, 'wide']]) {
    if (process.env.SNAPVIEW_SHOT && process.env.SNAPVIEW_SHOT !== suffix) continue;
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: theme });
    try {
      await show();
      await page.waitForTimeout(700);
      await page.screenshot({ path: join(out, `${name}-${suffix}.png`) });
    } catch (error) {
      console.log(name, theme, width, String(error).split('\n')[0]);
    }
  }
}
await close();
