// Chromium for the tests: Debian's own, headless, with a folder of its own.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// The tools are installed beside the page's source.
const require = createRequire(new URL('../ui/package.json', import.meta.url));
const playwright = require('playwright-core');
export const axePath = require.resolve('axe-core/axe.min.js');

const flags = [
  '--no-sandbox', // root has no other way
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Opens one that takes any number of contexts, each as a browser of its own. */
export function chromium() {
  return playwright.chromium.launch({ executablePath, headless: true, args: flags });
}

/** Opens a browser whose close also removes its folder. */
export async function launch(options = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'snapview-e2e-'));
  const context = await playwright.chromium.launchPersistentContext(dir, {
    executablePath,
    headless: true,
    args: flags,
    viewport: { width: 1360, height: 860 },
    colorScheme: 'light',
    acceptDownloads: true,
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options,
  });
  context.setDefaultTimeout(30_000);
  context.setDefaultNavigationTimeout(30_000);
  return {
    context,
    async close() {
      await context.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
