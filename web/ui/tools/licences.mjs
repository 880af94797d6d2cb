// The licences of what the build contains: the dependencies of package.json
// and theirs, each with its own text.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('../', import.meta.url).pathname;

export function licences() {
  const seen = new Map();
  const visit = (name) => {
    if (seen.has(name)) return;
    const dir = join(root, 'node_modules', name);
    if (!existsSync(join(dir, 'package.json'))) return;
    const pkg = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
    const file = readdirSync(dir).sort().find((entry) => /^licen[cs]e/i.test(entry));
    seen.set(name, {
      head: `${pkg.name} ${pkg.version} (${pkg.license ?? 'see below'})`,
      text: file ? readFileSync(join(dir, file), 'utf8').trim() : '',
    });
    Object.keys(pkg.dependencies ?? {}).forEach(visit);
  };
  Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies).forEach(visit);
  const line = '='.repeat(78);
  return [...seen.keys()]
    .sort()
    .map((name) => `${line}\n${seen.get(name).head}\n${line}\n${seen.get(name).text}\n`)
    .join('\n');
}
