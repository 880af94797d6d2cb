// Holds the committed dist against the build in ../build: each file of the
// build must be there as .gz and as .br, hold the same bytes once unpacked, and
// nothing else may lie there. The packed bytes themselves are not compared:
// zlib's depend on its version and on the processor. Then holds the first load
// against its budget.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { licences } from './licences.mjs';

const budget = 60 * 1024; // bytes of gzipped script before the editor is loaded
const committed = new URL('../../dist/', import.meta.url).pathname;
const build = new URL('../build/', import.meta.url).pathname;

const walk = (dir) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort();

let bad = 0;
const complain = (name, why) => {
  console.error(`web/dist/${name}: ${why}`);
  bad++;
};
const want = new Map(walk(build).map((name) => [name, readFileSync(join(build, name))]));
want.set('licences.txt', Buffer.from(licences()));
const have = new Set(walk(committed));
for (const [name, bytes] of want)
  for (const [suffix, unpack] of [['.gz', gunzipSync], ['.br', brotliDecompressSync]]) {
    if (!have.delete(name + suffix)) complain(name + suffix, 'is not committed');
    else if (!unpack(readFileSync(join(committed, name + suffix))).equals(bytes)) complain(name + suffix, 'is not what the source builds to');
  }
for (const name of have) complain(name, 'comes from no source any more');
if (bad) console.error('Run `make ui` and commit web/dist.');

// What index.html loads by itself: its module and what that imports at once.
const html = gunzipSync(readFileSync(join(committed, 'index.html.gz'))).toString();
const todo = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((match) => match[1]);
const first = new Set();
while (todo.length) {
  const name = todo.pop();
  if (first.has(name)) continue;
  first.add(name);
  const source = gunzipSync(readFileSync(join(committed, name + '.gz'))).toString();
  for (const match of source.matchAll(/(?:^|[;}\n])import\s*(?:[\w*{}$,\s]+?from\s*)?["']\.\/([^"']+\.js)["']/g))
    todo.push('assets/' + match[1]);
}
const size = [...first].reduce((sum, name) => sum + readFileSync(join(committed, name + '.gz')).length, 0);
console.log(`first load: ${(size / 1024).toFixed(1)} KiB of script gzipped in ${first.size} files (budget ${budget / 1024})`);
if (size > budget) bad++;
process.exit(bad ? 1 : 0);
