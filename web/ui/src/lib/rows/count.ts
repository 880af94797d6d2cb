// How many rows a line of a query's stream has, without parsing it.
import type { Line } from '../api/ndjson';

// As long as `{"count":` with spaces and the digits of any number of rows is.
const most = 40;

/** What the line says at its beginning (api: Frame, count); undefined for a line of another kind, or of a server that does not say. */
export function countOf(line: Line): number | undefined {
  let text = '';
  for (const part of line) {
    for (let i = 0; i < part.length && text.length < most; i++) text += String.fromCharCode(part[i]!);
    if (text.length >= most) break;
  }
  const found = /^\{"count": *(\d{1,9}),"rows":\[/.exec(text);
  return found ? Number(found[1]) : undefined;
}
