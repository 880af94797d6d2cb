// Turns the build into what is committed: ../dist with each file once as
// brotli and once as gzip, nothing else, without times or names in either.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { licences } from './licences.mjs';

const build = new URL('../build/', import.meta.url).pathname;
const dist = new URL('../../dist/', import.meta.url).pathname;

/** @returns {string[]} every file below dir, sorted */
export function walk(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function put(name, data) {
  const path = join(dist, name);
  mkdirSync(dirname(path), { recursive: true });
  const br = brotliCompressSync(data, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 22,
      [constants.BROTLI_PARAM_SIZE_HINT]: data.length,
    },
  });
  const gz = gzipSync(data, { level: 9, memLevel: 9 });
  gz[9] = 255; // the system's number in the header: unknown, everywhere
  writeFileSync(path + '.br', br);
  writeFileSync(path + '.gz', gz);
  return { br: br.length, gz: gz.length };
}

rmSync(dist, { recursive: true, force: true });
const sum = { br: 0, gz: 0 };
for (const file of walk(build)) {
  const size = put(relative(build, file), readFileSync(file));
  sum.br += size.br;
  sum.gz += size.gz;
}
put('licences.txt', Buffer.from(licences()));
console.log(`dist: ${(sum.br / 1024).toFixed(1)} KiB br, ${(sum.gz / 1024).toFixed(1)} KiB gz`);
