// How the points of a result are written. Pure.
import type { Drawing } from '../sql/points';
import { short } from '../format';

/** A figure on an axis: short, also below one and below zero. */
export function figure(n: number | null | undefined): string {
  if (n === null || n === undefined) return '';
  const size = Math.abs(n);
  if (size >= 10_000) return (n < 0 ? '−' : '') + short(size);
  if (size > 0 && size < 0.001) return n.toExponential(1).replace('-', '−');
  return Number(n.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 4 }).replace('-', '−');
}

/** A figure beside a series: as exact as a double is. */
export function exact(n: number | null | undefined): string {
  if (n === null || n === undefined) return '–';
  return n.toLocaleString('en-US', { maximumFractionDigits: 6 });
}

/** A time in as few characters as tell it: seconds and the time of day only where there are any. */
export function moment(seconds: number, steps: number[] = [seconds]): string {
  const text = new Date(seconds * 1000).toISOString().replace(/^\+0*/, '');
  if (steps.every((s) => s % 86_400 === 0)) return text.slice(0, text.indexOf('T'));
  return text.slice(0, text.indexOf('T') + 9).replace('T', ' ').replace(steps.every((s) => s % 60 === 0) ? /:\d\d$/ : /$^/, '');
}

/** What the point at a place of the x axis is. */
export function label(drawing: Drawing, i: number): string {
  if (drawing.scale === 'category') return drawing.labels[i] ?? '';
  const x = drawing.x[i];
  if (x === undefined) return '';
  return drawing.scale === 'time' ? moment(x, drawing.x) : exact(x);
}

/** Labels of a time axis, `step` seconds apart: the day where a day begins, else the time of day. */
export function timeLabels(at: number[], step: number): string[] {
  return at.map((seconds, i) => {
    const [day, clock] = new Date(seconds * 1000).toISOString().replace(/^\+0*/, '').split('T') as [string, string];
    if (step >= 300 * 86_400) return day.replace(/-\d\d-\d\d$/, '');
    if (step >= 27 * 86_400) return day.replace(/-\d\d$/, '');
    const before = i > 0 && new Date(at[i - 1]! * 1000).toISOString().includes(day + 'T');
    return step >= 86_400 || (!before && seconds % 86_400 === 0) ? day : clock.slice(0, step % 60 === 0 ? 5 : 8);
  });
}
