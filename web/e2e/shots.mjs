// Pictures of every view in both themes and three widths, for looking at:
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
    await page.getByRole('button', { name: 'Analyze' }).click();
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
  closed: () => page.goto(`${origin}/s/closed-1`),
  unknown: () => page.goto(`${base}/nothing`),
};
for (const [name, show] of Object.entries(views)) {
  if (only && !name.match(only)) continue;
  for (const [theme, width, height] of [['light', 1360, 860], ['dark', 1360, 860], ['light', 360, 740]]) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: theme });
    try {
      await show();
      await page.waitForTimeout(700);
      await page.screenshot({ path: join(out, `${name}-${width === 360 ? 'phone' : theme}.png`) });
    } catch (error) {
      console.log(name, theme, width, String(error).split('\n')[0]);
    }
  }
}
await close();
