// The overlay, its layers and its limit.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { closed, layer, sealed, send, until } from '../page.mjs';

export const watch = [
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
];
