// Characters that cannot be seen but change what is: controls, marks that turn
// the direction of writing, spaces without width. They are shown as what they
// are called, so that a value cannot look like another.

const names: Record<number, string> = {
  0x0a: '↵', 0x09: '⇥', 0x0d: 'CR', 0x7f: 'DEL', 0x85: 'NEL', 0xad: 'SHY', 0x61c: 'ALM', 0x200b: 'ZWSP', 0x200e: 'LRM', 0x200f: 'RLM',
  0x2028: 'LS', 0x2029: 'PS', 0x202a: 'LRE', 0x202b: 'RLE', 0x202c: 'PDF', 0x202d: 'LRO', 0x202e: 'RLO', 0x2060: 'WJ',
  0x2066: 'LRI', 0x2067: 'RLI', 0x2068: 'FSI', 0x2069: 'PDI', 0xfeff: 'BOM', 0xfffd: '�',
};
const c0 = 'NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US'.split(' ');

// ZWJ and ZWNJ are left alone: emoji and several scripts are written with them.
const hidden = '\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2064\\u2066-\\u2069\\ufeff\\u{e0000}-\\u{e007f}';
const inLine = new RegExp(`[${hidden}\\n\\t]`, 'gu');
const inBlock = new RegExp(`[${hidden}]`, 'gu');

const anyInLine = new RegExp(inLine.source, 'u');

/** Whether a single line of text holds something that cannot be seen. */
export function hides(text: string): boolean {
  return anyInLine.test(text);
}

/** A stretch of text, or a character by its name. */
export interface Piece {
  text: string;
  /** What it is, for a character that cannot be seen: "U+202E". */
  code?: string;
}

/**
 * The text in pieces, or undefined when all of it can be seen. On a single line
 * line breaks and tabs are shown by a sign too.
 */
export function pieces(text: string, line: boolean): Piece[] | undefined {
  const pattern = line ? inLine : inBlock;
  pattern.lastIndex = 0;
  let match = pattern.exec(text);
  if (!match) return undefined;
  const out: Piece[] = [];
  let from = 0;
  for (; match; match = pattern.exec(text)) {
    const at = match.index;
    const n = text.codePointAt(at)!;
    // A line that ends in CR LF is not worth a sign in a text of many lines.
    if (!line && n === 0x0d && text[at + 1] === '\n') continue;
    if (at > from) out.push({ text: text.slice(from, at) });
    out.push({ text: names[n] ?? c0[n] ?? n.toString(16).toUpperCase(), code: 'U+' + n.toString(16).toUpperCase().padStart(4, '0') });
    from = at + match[0].length;
  }
  if (from < text.length) out.push({ text: text.slice(from) });
  return out;
}
