// What is known of an EXPLAIN by its own words: what it explains, and how its
// answer comes. PostgreSQL alone judges whether it is right.
// Source: PostgreSQL manual, EXPLAIN.
import { tokens } from './tokens';

export interface Explain {
  /** The statement that it explains begins here. */
  at: number;
  /** It runs the statement. */
  analyze: boolean;
  /** Its answer is lines of text. */
  text: boolean;
}

/** Undefined when the statement is no EXPLAIN. */
export function explainOf(statement: string): Explain | undefined {
  if (!/^explain\b/i.test(statement)) return undefined;
  const all = tokens(statement);
  let i = 1;
  let [analyze, text] = [false, true];
  if (all[i]?.kind === 'group' && /^(analy[sz]e|verbose|costs|settings|generic_plan|buffers|serialize|wal|timing|summary|memory|format)$/.test(all[i]!.inner[0]?.value ?? '')) {
    const options = all[i++]!.inner;
    for (const [k, option] of options.entries()) {
      const value = options[k + 1]?.value ?? '';
      if (/^analy[sz]e$/.test(option.value)) analyze = !/^(off|false)$/.test(value);
      if (option.value === 'format' && value !== 'text') text = false;
    }
  } else
    for (; /^(analy[sz]e|verbose)$/.test(all[i]?.value ?? ''); i++) analyze ||= all[i]!.value !== 'verbose';
  const first = all[i];
  return first && { at: first.from, analyze, text };
}
