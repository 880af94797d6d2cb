// What the list of backups shows. Pure.
import type { CatalogueEntry } from './api/client';
import { bytes } from './format';

/** Whether an entry holds every word that is looked for, in any of what is shown of it. */
export function matches(entry: CatalogueEntry, wanted: string): boolean {
  const text = [entry.reference, entry.kind, entry.type, entry.time, entry.label, entry.major && `postgresql ${entry.major}`, entry.systemIdentifier, entry.problem]
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
    [entry.kind, entry.type].filter(Boolean).join(', '),
    entry.parent && `on ${entry.parent}`,
    [size, stored].filter(Boolean).join(', '),
    entry.timeline && `timeline ${entry.timeline}`,
    entry.startLSN && [entry.startLSN, entry.stopLSN].filter(Boolean).join(' – '),
  ]
    .filter(Boolean)
    .join(' · ');
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
