// What the browser's processes hold in memory, from /proc.
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Resident bytes: of the largest renderer, which is the page's as long as no
 * other is open, and of the browser's own process, which holds what pages put
 * into Blobs, as far as it is not on disk.
 */
export function resident() {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return [{
        pid,
        parent: /^PPid:\s*(\d+)/m.exec(status)[1],
        bytes: 1024 * Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1] ?? 0),
        command: readFileSync(`/proc/${pid}/cmdline`, 'utf8'),
      }];
    } catch {
      return []; // it ended meanwhile
    }
  });
  const mine = new Set([String(process.pid)]);
  for (let known = 0; known < mine.size; ) {
    known = mine.size;
    for (const p of processes) if (mine.has(p.parent)) mine.add(p.pid);
  }
  const most = (fits) => Math.max(...processes.filter((p) => mine.has(p.pid) && /chrom/.test(p.command) && fits(p.command)).map((p) => p.bytes));
  return { renderer: most((c) => c.includes('--type=renderer')), browser: most((c) => !c.includes('--type=')) };
}
