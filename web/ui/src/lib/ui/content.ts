// Bytes that are kept in a database: how they are fetched piece by piece, and
// how a piece becomes text or lines of a hex dump.
import { failure } from '$lib/api/client';

export type Look = 'image' | 'pdf' | 'json' | 'xml' | 'text' | 'binary';

export interface Piece {
  bytes: Uint8Array<ArrayBuffer>;
  offset: number;
  /** Bytes of the whole. */
  total: number;
  look: Look;
  media: string;
  charset: string;
}

/** Where a content is, without parameters of its own; it holds a "?" already. */
export async function fetchPiece(source: string, offset: number, length: number, signal?: AbortSignal): Promise<Piece | undefined> {
  const answer = await fetch(`${source}&as=binary&offset=${offset}&length=${length}`, { signal });
  if (!answer.ok) throw await failure(answer);
  if (answer.status === 204) return undefined;
  const header = (name: string) => answer.headers.get('X-Snapview-' + name) ?? '';
  return {
    bytes: new Uint8Array(await answer.arrayBuffer()),
    offset,
    total: Number(header('Bytes')),
    look: (header('Look') || 'binary') as Look,
    media: header('Media-Type'),
    charset: header('Charset'),
  };
}

/** The bytes of a bytea as PostgreSQL writes it: \x and two digits each. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(Math.max(0, (text.length - 2) >> 1));
  for (let i = 0; i < out.length; i++) out[i] = parseInt(text.slice(2 + 2 * i, 4 + 2 * i), 16);
  return out;
}

/** How many bytes of text are on a page. A multiple of 4, for UTF-16. */
export const textPage = 64 * 1024;
/** A piece of text is fetched with so many bytes more, for a character across its end. */
export const textMore = 8;

/** A page of text: characters that begin on it, whole. */
export function decodePage(bytes: Uint8Array<ArrayBuffer>, offset: number, charset: string): string {
  let from = 0;
  let until = Math.min(bytes.length, textPage);
  if (charset === 'utf-8' || charset === '') {
    const inside = (i: number) => i < bytes.length && (bytes[i]! & 0xc0) === 0x80;
    if (offset > 0) while (from < 4 && inside(from)) from++;
    if (bytes.length > until) while (until < bytes.length && until < textPage + 4 && inside(until)) until++;
  } else if (charset.startsWith('utf-16')) {
    const low = (i: number) => i + 1 < bytes.length && (bytes[charset === 'utf-16le' ? i + 1 : i]! & 0xfc) === 0xdc;
    if (offset > 0 && low(0)) from = 2;
    if (bytes.length > until && low(until)) until += 2;
  }
  return new TextDecoder(charset || 'utf-8', { ignoreBOM: false }).decode(bytes.subarray(from, until));
}

export interface HexLine {
  offset: string;
  hex: string;
  text: string;
}

/** The lines of a dump; what is no printable ASCII is a dot, as hexdump -C has it. */
export function hexLines(bytes: Uint8Array, offset: number, perLine: number, total: number): HexLine[] {
  const digits = Math.max(8, total.toString(16).length);
  const out: HexLine[] = [];
  for (let at = 0; at < bytes.length; at += perLine) {
    const part = bytes.subarray(at, at + perLine);
    let hex = '';
    let text = '';
    for (const [i, b] of part.entries()) {
      hex += (i === 0 ? '' : i % 8 === 0 ? '  ' : ' ') + b.toString(16).padStart(2, '0');
      text += b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.';
    }
    out.push({ offset: (offset + at).toString(16).padStart(digits, '0'), hex, text });
  }
  return out;
}

/** An offset as it is typed: 4096, 0x1000 or 1000h. */
export function parseOffset(text: string): number | undefined {
  const t = text.trim().toLowerCase().replaceAll(/[,_ ]/g, '');
  const n = /^0x[0-9a-f]+$/.test(t) ? parseInt(t.slice(2), 16) : /^[0-9a-f]+h$/.test(t) ? parseInt(t, 16) : /^\d+$/.test(t) ? Number(t) : NaN;
  return Number.isSafeInteger(n) ? n : undefined;
}
