// What a tab is called as long as nobody gave it a name. Pure.
import { split } from './split';
import { tokens } from './tokens';

const longest = 28;

/**
 * A short name of a script: its first line of comment, else the relation that
 * its first statement is about, else how the statement begins.
 */
export function titleOf(script: string): string {
  const note = /^\s*--[ \t]*(\S[^\n]*)/.exec(script)?.[1]?.replace(/^name:\s*/i, '').trim();
  if (note) return clip(note);
  const text = split(script.slice(0, 20_000))[0]?.text ?? '';
  if (!text) return 'New query';
  const relation = /^(?:explain\b|select\b|with\b|table\b)/i.test(text) ? relationOf(text) : undefined;
  return clip(relation ?? text.replace(/\s+/g, ' '));
}

// The first relation that stands behind a FROM or TABLE which is within no parentheses.
function relationOf(text: string): string | undefined {
  const all = tokens(text);
  for (const [i, t] of all.entries()) {
    if (t.kind !== 'word' || (t.value !== 'from' && t.value !== 'table')) continue;
    let at = all[i + 1]?.value === 'only' ? i + 2 : i + 1;
    while (all[at + 1]?.value === '.') at += 2;
    const name = all[at];
    if ((name?.kind === 'word' || name?.kind === 'quoted') && all[at + 1]?.kind !== 'group') return name.value;
  }
  return undefined;
}

function clip(text: string): string {
  return [...text].length > longest ? [...text].slice(0, longest - 1).join('').trimEnd() + '…' : text;
}
