// Backups are chosen and opened.
import assert from 'node:assert/strict';
import { axe, closed, theme, until } from '../page.mjs';

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
];
