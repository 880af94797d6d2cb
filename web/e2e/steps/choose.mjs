// Backups are chosen and opened.
import assert from 'node:assert/strict';
import { axe, closed, send, text, theme, until } from '../page.mjs';

export const choose = [
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
      assert.ok(await dialog.getByLabel('Name').evaluate((field) => field === document.activeElement), 'Enter closes the dialog');
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
    name: 'choose sorts and filters by what the backups are, at an address',
    async run(page, world) {
      const found = await page.request.get(`${world.origin}/api/v1/catalogue`);
      if (found.status() === 501) return console.log('     (this server was told of no stores)');
      const { items } = await found.json();
      await page.goto(world.origin + '/?sort=name');
      const list = page.getByRole('region', { name: 'Backups in the stores' });
      await list.getByRole('listitem').first().waitFor();
      const first = () => list.getByRole('listitem').first().innerText();
      const byName = await first();
      await list.getByLabel('Sorted').selectOption('largest');
      await page.waitForURL(/sort=largest/);
      await until('another order', async () => (await first()) !== byName);
      const kinds = Map.groupBy ? Map.groupBy(items, (e) => e.kind) : new Map(items.map((e) => [e.kind, items.filter((o) => o.kind === e.kind)]));
      if (kinds.size < 2) return;
      const [kind] = [...kinds].sort((a, b) => a[1].length - b[1].length)[0];
      const before = page.url();
      await list.getByRole('group', { name: 'Only some of the backups' }).getByRole('button', { name: text(kind) }).first().click();
      await until('fewer', async () => (await list.getByRole('listitem').filter({ has: page.getByRole('link') }).count()) < items.length);
      await until('the address to say so', () => page.url() !== before); // addresses that change fast are written late
      await page.reload();
      await until('the chip to be pressed after a reload', async () => (await list.getByRole('button', { pressed: true }).count()) > 0);
    },
  },
  {
    name: 'choose opens an incremental backup whose full one lies elsewhere',
    async run(page, world) {
      const reference = '/backups/incremental/friday'; // of the dev server
      const found = await page.request.get(`${world.origin}/api/v1/catalogue`);
      if (!found.ok() || !(await found.json()).items.some((e) => e.reference === reference)) return console.log('     (no such backup here)');
      await page.goto(`${world.origin}/?open=${encodeURIComponent(reference)}`);
      const dialog = page.getByRole('dialog');
      await dialog.getByRole('alert').getByText(/builds on the backup of/).waitFor();
      const complaints = [];
      for (const scheme of ['light', 'dark']) {
        await theme(page, scheme);
        complaints.push(...(await axe(page, `chain, ${scheme}`)));
      }
      assert.deepEqual(complaints, []);
      await dialog.getByRole('group', { name: 'Earlier backups' }).getByRole('checkbox', { name: /thursday/ }).check();
      await dialog.getByText(/checks and facts/).waitFor();
      await dialog.getByLabel('Name').fill('a chain');
      await dialog.getByLabel('End when unused for').fill('never');
      assert.equal(await dialog.getByRole('button', { name: 'Open', exact: true }).isDisabled(), true);
      await dialog.getByLabel('End when unused for').fill('30m');
      await dialog.getByRole('button', { name: 'Open', exact: true }).click();
      await page.getByRole('heading', { name: 'a chain' }).waitFor();
      await closed(page, world, decodeURIComponent(new URL(page.url()).pathname.split('/')[2]));
    },
  },
  {
    name: 'choose can be stopped while it opens, and a failure can be tried again',
    async run(page, world) {
      const found = await page.request.get(`${world.origin}/api/v1/catalogue`);
      const { items = [] } = found.ok() ? await found.json() : {};
      const good = items.find((e) => !e.problem && e.type === 'full');
      const broken = items.find((e) => e.problem);
      if (!good || !broken) return console.log('     (no such backups here)');
      const { id } = await send(page, world, 'POST', '/sessions', { reference: good.reference, name: 'stopped' });
      await page.goto(`${world.origin}/s/${id}`);
      await page.getByRole('button', { name: 'Stop opening it' }).click();
      await page.getByRole('heading', { name: 'The session has ended' }).waitFor();
      await page.getByRole('link', { name: 'Open it again…' }).waitFor();
      const failing = await send(page, world, 'POST', '/sessions', { reference: broken.reference });
      await page.goto(`${world.origin}/s/${failing.id}`);
      await page.getByRole('heading', { name: 'The backup could not be opened' }).waitFor();
      await page.getByRole('link', { name: 'Try again, with other options…' }).click();
      await page.getByRole('dialog').getByText(broken.problem).first().waitFor();
    },
  },
];
