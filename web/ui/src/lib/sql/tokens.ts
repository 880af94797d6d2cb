// The tokens of a statement, for completion: words, names, marks, and groups in
// parentheses as one token that holds the rest. Comments are left out. A string
// or a group that is not closed ends with the text. Words that elsewhere go before
// a table's name and here do not are marks.
import { blockComment, dollarTag, escapes, quoted, wordBefore } from './split';

export interface Token {
  kind: 'word' | 'quoted' | 'text' | 'mark' | 'group';
  from: number;
  to: number;
  /** A word as PostgreSQL folds it, a quoted name without its quotes, a mark. */
  value: string;
  /** What is in the parentheses. */
  inner: Token[];
  /** Its end is missing: of a group, a string or a quoted name. */
  open?: boolean;
}

const word = /[\p{L}_][\p{L}\p{N}_$]*/uy;
const number = /\d[\p{L}\p{N}_.]*/uy;
// Deeper parentheses than anybody writes are read as if they were not there.
const deepest = 200;

export function tokens(text: string): Token[] {
  const top: Token[] = [];
  const open: Token[] = [];
  let at = 0;
  const push = (kind: Token['kind'], to: number, value: string) => {
    const token: Token = { kind, from: at, to, value, inner: [] };
    (open.at(-1)?.inner ?? top).push(token);
    at = to;
    return token;
  };
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  while (at < text.length) {
    const c = text[at]!;
    let found: string | undefined;
    if (c.trim() === '') at++;
    else if (c === '-' && text[at + 1] === '-') {
      const stop = text.indexOf('\n', at);
      at = stop < 0 ? text.length : stop;
    } else if (c === '/' && text[at + 1] === '*') at = blockComment(text, at);
    else if (c === "'") {
      const stop = quoted(text, at, escapes(text, at));
      const closed = stop > at + 1 && text[stop - 1] === "'";
      push('text', stop, '').open = !closed;
    }
    else if (c === '"') {
      const stop = quoted(text, at, false);
      const closed = stop > at + 1 && text[stop - 1] === '"';
      push('quoted', stop, text.slice(at + 1, closed ? stop - 1 : stop).replaceAll('""', '"')).open = !closed;
    } else if (c === '$' && !wordBefore(text, at) && (found = match(dollarTag))) {
      const stop = text.indexOf(found, at + found.length);
      push('text', stop < 0 ? text.length : stop + found.length, '').open = stop < 0;
    } else if ((found = match(word))) push('word', at + found.length, found.toLowerCase());
    else if ((found = match(number))) push('text', at + found.length, '');
    else if (c === '(' && open.length < deepest) {
      const group = push('group', at + 1, '(');
      group.to = text.length;
      group.open = true;
      open.push(group);
    } else if (c === ')') {
      at++;
      const group = open.pop();
      if (group) [group.to, group.open] = [at, false];
    } else push('mark', at + 1, c);
  }
  settle(top);
  return top;
}

// Functions that have FROM among their arguments.
const withFrom = new Set('extract trim substring overlay'.split(' '));

// settle takes what begins no list of tables for a mark: the FROM of a function's
// arguments and of IS DISTINCT FROM, the ONLY of FETCH, the UPDATE of FOR UPDATE.
function settle(level: Token[], inside?: Token) {
  for (const [i, t] of level.entries()) {
    const before = level[i - 1]?.kind === 'word' ? level[i - 1]!.value : '';
    if (t.kind === 'group') settle(t.inner, level[i - 1]);
    else if (t.kind !== 'word') continue;
    else if (t.value === 'from' ? (inside?.kind === 'word' && withFrom.has(inside.value)) || (before === 'distinct' && /^(is|not)$/.test(level[i - 2]?.value ?? '')) : t.value === 'only' ? /^rows?$/.test(before) : t.value === 'update' && /^(for|key)$/.test(before)) t.kind = 'mark';
  }
}

/** The name that a text ends with: the names before its dots, and what is written of itself. */
export interface Path {
  qualifiers: string[];
  /** As it is written, with an opening quote; empty after a dot or where nothing is begun. */
  word: string;
  /** The same as a name. */
  prefix: string;
}

/** Undefined where no name can be: in a string, or right behind a number. */
export function pathAtEnd(text: string): Path | undefined {
  let level = tokens(text);
  while (level.at(-1)?.kind === 'group' && level.at(-1)!.open) level = level.at(-1)!.inner;
  let i = level.length - 1;
  const last = level[i];
  let [word, prefix] = ['', ''];
  if (last?.open && last.kind === 'text') return undefined;
  if (last && last.to === text.length) {
    if (last.kind === 'text') return undefined;
    if (last.kind === 'word' || (last.kind === 'quoted' && last.open)) {
      word = text.slice(last.from, last.to);
      prefix = last.kind === 'word' ? word : last.value;
      i--;
    }
  }
  const qualifiers: string[] = [];
  for (; level[i]?.value === '.' && level[i]!.kind === 'mark' && (level[i - 1]?.kind === 'word' || level[i - 1]?.kind === 'quoted'); i -= 2) qualifiers.unshift(level[i - 1]!.value);
  return { qualifiers, word, prefix };
}
