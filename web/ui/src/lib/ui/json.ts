// A JSON reader that keeps numbers as they are written: jsonb holds numerics
// of any length, which JavaScript's own parser would round.

export type Json =
  | { kind: 'object'; entries: [string, Json][] }
  | { kind: 'array'; items: Json[] }
  | { kind: 'string' | 'number' | 'word'; text: string };

const token = /[ \t\r\n]*([{}[\],:]|"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)/y;
const maxDepth = 500;

/** The value of a JSON text, or undefined when it is none. */
export function parseJson(text: string): Json | undefined {
  token.lastIndex = 0;
  const next = () => {
    const match = token.exec(text);
    if (!match) throw new SyntaxError('not JSON');
    return match[1]!;
  };
  const value = (t: string, depth: number): Json => {
    if (depth > maxDepth) throw new SyntaxError('too deep');
    if (t === '{') {
      const entries: [string, Json][] = [];
      let k = next();
      while (k !== '}') {
        if (entries.length && k === ',') k = next();
        if (k[0] !== '"' || next() !== ':') throw new SyntaxError('not JSON');
        entries.push([JSON.parse(k) as string, value(next(), depth + 1)]);
        k = next();
        if (k !== ',' && k !== '}') throw new SyntaxError('not JSON');
      }
      return { kind: 'object', entries };
    }
    if (t === '[') {
      const items: Json[] = [];
      let v = next();
      while (v !== ']') {
        if (items.length) v = next();
        items.push(value(v, depth + 1));
        v = next();
        if (v !== ',' && v !== ']') throw new SyntaxError('not JSON');
      }
      return { kind: 'array', items };
    }
    if (t[0] === '"') return { kind: 'string', text: t };
    if (/[-\d]/.test(t[0]!)) return { kind: 'number', text: t };
    if (/[tfn]/.test(t[0]!)) return { kind: 'word', text: t };
    throw new SyntaxError('not JSON');
  };
  try {
    const all = value(next(), 0);
    return text.slice(token.lastIndex).trim() === '' ? all : undefined;
  } catch {
    return undefined;
  }
}
