// What a tab is called as long as nobody gave it a name. Pure.
import { split } from './split';

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
  const name = /^(?:explain\b|select\b|with\b|table\b)/i.test(text) ? relationOf(text) : undefined;
  const last = name && /(?:"((?:[^"]|"")+)"|([\w$]+))$/.exec(name);
  const relation = last ? (last[1]?.replaceAll('""', '"') ?? last[2]) : undefined;
  return clip(relation ?? text.replace(/\s+/g, ' '));
}

const about = /\b(?:from|table)\s+(?:only\s+)?((?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))*)(?![\w$"]|\s*\()/iy;

// The first relation that stands behind a FROM which is within no parentheses:
// extract(year from x) has one too.
function relationOf(text: string): string | undefined {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    else if (depth === 0 && /[ft]/i.test(text[i]!) && !/[\w$]/.test(text[i - 1] ?? '')) {
      about.lastIndex = i;
      const found = about.exec(text)?.[1];
      if (found) return found;
    }
  }
  return undefined;
}

function clip(text: string): string {
  return [...text].length > longest ? [...text].slice(0, longest - 1).join('').trimEnd() + '…' : text;
}
