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
  const name = /^(?:explain\b|select\b|with\b|table\b)/i.test(text) ? /\b(?:from|table)\s+(?:only\s+)?((?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))*)/i.exec(text)?.[1] : undefined;
  const last = name && /(?:"((?:[^"]|"")+)"|([\w$]+))$/.exec(name);
  const relation = last ? (last[1]?.replaceAll('""', '"') ?? last[2]) : undefined;
  return clip(relation ?? text.replace(/\s+/g, ' '));
}

function clip(text: string): string {
  return [...text].length > longest ? [...text].slice(0, longest - 1).join('').trimEnd() + '…' : text;
}
