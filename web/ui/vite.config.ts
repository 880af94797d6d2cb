import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import { icons } from './tools/icons.ts';
import { oneFirstFrame } from './tools/first-frame.ts';

// The build is committed (compressed, by tools/compress.mjs), so its file
// names are stable: a name with a hash would add a file to the history at
// every change. The server tells versions apart by ETag.
export default defineConfig({
  plugins: [icons(), svelte(), oneFirstFrame()],
  resolve: {
    alias: { $lib: fileURLToPath(new URL('./src/lib', import.meta.url)) },
  },
  build: {
    outDir: 'build',
    emptyOutDir: true,
    target: 'es2022',
    // Older targets make Vite rewrite light-dark() for good, and the theme
    // switch would do nothing.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      output: {
        entryFileNames: 'assets/[name].js',
        chunkFileNames: 'assets/[name].js',
        assetFileNames: 'assets/[name][extname]',
        // What every view shares is one file, not one for each set of views that
        // share it: the first view asks for two scripts.
        codeSplitting: { groups: [{ name: 'core', test: /node_modules\/(svelte|openapi-fetch|clsx|esm-env)\/|src\/lib\/(api|state)\// }] },
      },
    },
  },
  server: {
    proxy: Object.fromEntries(
      ['/api', '/auth'].map((path) => [path, process.env.SNAPVIEW_DEV ?? 'http://127.0.0.1:8432']),
    ),
  },
  test: { include: ['{src,tools}/**/*.test.ts'], environment: 'node' },
});
