// The end; last, because nothing is left after it.

export const leave = [
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
