// What the list of backups shows. Pure.
import type { CatalogueEntry } from './api/client';
import { bytes } from './format';

/** Whether an entry holds every word that is looked for, in any of what is shown of it. */
export function matches(entry: CatalogueEntry, wanted: string): boolean {
  const text = [entry.reference, entry.kind, entry.type, entry.time, entry.label, entry.major && `postgresql ${entry.major} pg${entry.major}`, entry.systemIdentifier, entry.problem]
    .filter(Boolean)
    .join(' ')
    .toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** What a person picks a backup by, beside its time and name. */
export function facts(entry: CatalogueEntry): string {
  const size = entry.bytes ? bytes(entry.bytes) : '';
  const stored = entry.storedBytes ? `${bytes(entry.storedBytes)} in the store` : '';
  return [
    entry.major && `PostgreSQL ${entry.major}`,
    [...new Set([entry.kind, entry.type])].filter(Boolean).join(', '),
    entry.parent && `on ${entry.parent}`,
    [size, stored].filter(Boolean).join(', '),
    entry.timeline && `timeline ${entry.timeline}`,
    entry.startLSN && [entry.startLSN, entry.stopLSN].filter(Boolean).join(' – '),
  ]
    .filter(Boolean)
    .join(' · ');
}

/** Words that leave backups of one kind, type or version, where there are several. */
export function words(entries: CatalogueEntry[]): { word: string; name: string; count: number }[] {
  const groups = [
    (e: CatalogueEntry) => ({ word: e.kind, name: e.kind }),
    (e: CatalogueEntry) => ({ word: e.type ?? '', name: e.type ?? '' }),
    (e: CatalogueEntry) => ({ word: e.major ? `pg${e.major}` : '', name: `PostgreSQL ${e.major}` }),
  ];
  const seen = new Set<string>(); // a kind and a type may be one word: incremental
  return groups.flatMap((group) => {
    const found = new Map<string, { word: string; name: string; count: number }>();
    for (const entry of entries) {
      const { word, name } = group(entry);
      if (word) found.set(word, { word, name, count: (found.get(word)?.count ?? 0) + 1 });
    }
    if (found.size < 2) return [];
    return [...found.values()].sort((a, b) => b.count - a.count || (a.word < b.word ? -1 : 1)).filter(({ word }) => !seen.has(word) && seen.add(word)).slice(0, 8);
  });
}

/** Backups each once: a store may lie in another. */
export function unique(entries: CatalogueEntry[]): CatalogueEntry[] {
  return [...new Map(entries.map((e) => [e.reference, e])).values()];
}

/** A filter with a word of it taken out, or put in. */
export function toggled(filter: string, word: string): string {
  const has = filter.toLowerCase().split(/\s+/);
  const parts = word.toLowerCase().split(/\s+/);
  if (parts.every((part) => has.includes(part))) return filter.split(/\s+/).filter((w) => w && !parts.includes(w.toLowerCase())).join(' ');
  return `${filter} ${word}`.trim();
}

/** Backups in another order than the newest first, which they come in. */
export function sorted(entries: CatalogueEntry[], by: 'oldest' | 'largest' | 'name' | undefined): CatalogueEntry[] {
  if (!by) return entries;
  if (by === 'oldest') return [...entries].reverse();
  if (by === 'largest') return [...entries].sort((a, b) => (b.bytes ?? b.storedBytes ?? 0) - (a.bytes ?? a.storedBytes ?? 0));
  return [...entries].sort((a, b) => a.label.localeCompare(b.label, 'en', { numeric: true }));
}

/** The other backups that may be of one chain with an incremental one, and those of them that a problem names. */
export function chainOf(entry: CatalogueEntry, all: CatalogueEntry[], problem: string): { candidates: CatalogueEntry[]; named: string[] } {
  const store = /pgbackrest|barman|kloset|plakar/i; // which know their chains themselves
  const same = (a: string | undefined, b: string | undefined) => a === undefined || b === undefined || a === b;
  const candidates = all.filter(
    (e) => e.reference !== entry.reference && !store.test(e.kind) && same(e.systemIdentifier, entry.systemIdentifier) && same(e.major?.toString(), entry.major?.toString()),
  );
  return { candidates, named: candidates.filter((e) => e.startLSN && problem.includes(e.startLSN)).map((e) => e.reference) };
}

/** A time to live as people write it, in seconds: 90m, 2h, 1d; undefined if it is none. */
export function seconds(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(s|m|h|d)\s*$/i.exec(text);
  if (!match) return undefined;
  const unit = { s: 1, m: 60, h: 3600, d: 86400 }[match[2]!.toLowerCase()]!;
  return Math.round(Number(match[1]) * unit) || undefined;
}

/** Bytes as people write them: 500MiB, 5 GB (binary like PostgreSQL's); undefined if it is none. */
export function size(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(k|m|g|t)?(?:i?b)?\s*$/i.exec(text);
  if (!match) return undefined;
  const power = { '': 0, k: 1, m: 2, g: 3, t: 4 }[(match[2] ?? '').toLowerCase()]!;
  return Math.round(Number(match[1]) * 1024 ** power) || undefined;
}
