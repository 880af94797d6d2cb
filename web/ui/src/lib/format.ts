// How figures are written on the page. Pure functions of their arguments, so
// that every view writes a size or a time in the same way.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes with a binary unit and three significant digits at most: "1.43 MiB". */
export function bytes(n: number): string {
  if (!Number.isFinite(n)) return '–';
  const sign = n < 0 ? '−' : '';
  let value = Math.abs(n);
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${sign}${value.toFixed(digits)} ${units[unit]}`;
}

/** A whole number in groups of three: "1,234,567". */
export function count(n: number): string {
  // By hand: the first call of toLocaleString loads the tables of all languages, 20 ms and more before the first view.
  return String(Math.round(n)).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** Whole numbers in ascending order, those that follow each other as one: "5, 50–52"; at most so many, then "…". */
export function ranges(list: number[], most = 12): string {
  const out: string[] = [];
  for (let i = 0; i < list.length; i++) {
    const from = list[i]!;
    while (list[i + 1] === list[i]! + 1) i++;
    out.push(list[i] === from ? count(from) : `${count(from)}–${count(list[i]!)}`);
  }
  return out.length > most ? out.slice(0, most).join(', ') + ' …' : out.join(', ');
}

/** An estimated number of rows: "~1.2 M", "no estimate" when there is none. */
export function estimate(n: number | undefined): string {
  if (n === undefined || n < 0) return 'no estimate';
  return '~' + short(n);
}

/** A number in at most four characters and a letter: "1.2 M". */
export function short(n: number): string {
  for (const [limit, letter] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (n >= limit * 0.9995) {
      const value = n / limit;
      return `${value.toFixed(value >= 99.95 ? 0 : 1).replace(/\.0$/, '')} ${letter}`;
    }
  }
  return String(Math.round(n));
}

/** How long something took, from milliseconds: "0.4 ms", "1.25 s", "2 min 5 s". */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(ms < 1 ? 2 : 1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** A clock that counts down or up: "1:02:03", "4:09". */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** How long ago, roughly: "just now", "5 min ago", "3 days ago". */
export function ago(time: Date, now: Date): string {
  const minutes = (now.getTime() - time.getTime()) / 60_000;
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (minutes < 60 * 48) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 60 / 24)} days ago`;
}

/** A moment in UTC without guessing what the reader's zone means: "2026-11-20 03:00:00 UTC". */
export function utc(time: string | undefined): string {
  if (!time) return '';
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  return date.toISOString().slice(0, 19).replace('T', ' ') + ' UTC';
}

/** The time of day in UTC, from what Date takes: "03:00:00". */
export const utcClock = (time: string | number): string => new Date(time).toISOString().slice(11, 19);

/** A share in percent that never rounds something to nothing. */
export function percent(part: number, whole: number): string {
  if (whole <= 0) return '0 %';
  const value = (part / whole) * 100;
  if (value > 0 && value < 0.1) return '<0.1 %';
  return `${value.toFixed(value < 10 ? 1 : 0)} %`;
}

/** The last part of a path, for places where the whole does not fit. */
export function basename(path: string): string {
  const parts = path.replace(/\/+$/, '').split('/');
  return parts[parts.length - 1] || path;
}
