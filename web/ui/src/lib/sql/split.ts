// Splits a script into its statements by PostgreSQL's lexical rules: what a
// semicolon means inside quotes, dollar quotes, comments and parentheses. It
// only decides which text is sent; the server alone judges what that means.
// Sources: PostgreSQL manual, 4.1 "Lexical Structure"; CREATE FUNCTION ...
// BEGIN ATOMIC is not followed (a script of definitions is refused anyway).

/** One statement: offsets into the script, without surrounding blanks and without the semicolon. */
export interface Statement {
  from: number;
  to: number;
  text: string;
}

const identStart = /[\p{L}_]/u;
export const dollarTag = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;

/** All statements of a script, in order; empty ones and ones of comments alone are left out. */
export function split(script: string): Statement[] {
  const found: Statement[] = [];
  let start = -1; // offset of the first character that is neither blank nor comment
  let end = 0;
  let depth = 0;
  let at = 0;
  const mark = (from: number, to: number) => {
    if (start < 0) start = from;
    end = to;
  };
  const finish = () => {
    if (start >= 0) found.push({ from: start, to: end, text: script.slice(start, end) });
    start = -1;
    depth = 0;
  };

  while (at < script.length) {
    const c = script[at]!;
    const next = script[at + 1];
    if (c === '-' && next === '-') {
      const stop = script.indexOf('\n', at);
      at = stop < 0 ? script.length : stop;
    } else if (c === '/' && next === '*') {
      at = blockComment(script, at);
    } else if (c === "'" || c === '"') {
      const stop = quoted(script, at, c === "'" && escapes(script, at));
      mark(at, stop);
      at = stop;
    } else if (c === '$' && !wordBefore(script, at)) {
      dollarTag.lastIndex = at;
      const tag = dollarTag.exec(script)?.[0];
      if (tag === undefined) {
        mark(at, at + 1);
        at++;
        continue;
      }
      const stop = script.indexOf(tag, at + tag.length);
      const after = stop < 0 ? script.length : stop + tag.length;
      mark(at, after);
      at = after;
    } else if (c === '\\' && start < 0) {
      // A command of psql, which ends with its line.
      const stop = script.indexOf('\n', at);
      const line = script.slice(at, stop < 0 ? script.length : stop).trimEnd();
      mark(at, at + line.length);
      at += line.length;
      finish();
    } else if (c === ';' && depth === 0) {
      finish();
      at++;
    } else {
      if (c === '(') depth++;
      if (c === ')') depth = Math.max(0, depth - 1);
      if (c.trim() !== '') mark(at, at + 1);
      at++;
    }
  }
  finish();
  return found;
}

/**
 * The statement that a cursor at offset stands in: the one that contains it,
 * else the one before it on the same line (a cursor just behind a semicolon
 * means what was just written), else the next one, else the last.
 */
export function statementAt(script: string, offset: number): Statement | undefined {
  const all = split(script);
  const inside = all.find((s) => s.from <= offset && offset <= s.to);
  if (inside) return inside;
  const before = all.filter((s) => s.to < offset).at(-1);
  if (before && !script.slice(before.to, offset).includes('\n')) return before;
  return all.find((s) => s.from > offset) ?? all.at(-1);
}

/** Converts PostgreSQL's position (characters, from 1) into an offset of a JavaScript string. */
export function offsetOf(text: string, position: number): number {
  let offset = 0;
  for (let i = 1; i < position && offset < text.length; i++) offset += text.codePointAt(offset)! > 0xffff ? 2 : 1;
  return offset;
}

/** Where an error is, in words: by lines where the statement has several. Undefined before its first character. */
export function placeOf(statement: string, position: number, ahead = 0): string | undefined {
  if (position <= ahead) return undefined;
  const text = statement.slice(ahead);
  if (!text.includes('\n')) return `character ${position - ahead}`;
  const lines = text.slice(0, offsetOf(text, position - ahead)).split('\n');
  return `line ${lines.length}, character ${[...lines.at(-1)!].length + 1}`;
}

/** Where the comment that opens at offset ends. */
export function blockComment(script: string, at: number): number {
  let depth = 0;
  for (let i = at; i < script.length; i++) {
    if (script.startsWith('/*', i)) {
      depth++;
      i++;
    } else if (script.startsWith('*/', i)) {
      i++;
      if (--depth === 0) return i + 1;
    }
  }
  return script.length;
}

/** Where the string or name that opens at offset ends. */
export function quoted(script: string, at: number, backslash: boolean): number {
  const quote = script[at];
  for (let i = at + 1; i < script.length; i++) {
    if (backslash && script[i] === '\\') i++;
    else if (script[i] === quote) {
      if (script[i + 1] === quote) i++;
      else return i + 1;
    }
  }
  return script.length;
}

/** Whether the string that opens at offset is an E'...' one. */
export function escapes(script: string, at: number): boolean {
  const e = script[at - 1];
  return (e === 'E' || e === 'e') && !wordBefore(script, at - 1);
}

/** Whether a word goes on until offset. */
export function wordBefore(script: string, at: number): boolean {
  const before = script[at - 1];
  return before !== undefined && (identStart.test(before) || /[\p{N}$]/u.test(before));
}
