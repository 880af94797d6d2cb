// What a failed opening says, in parts to be read apart. Pure.

/**
 * A message comes as "identify: /backups/x: what is wrong; what to do": the
 * phase and the backup stand elsewhere on the page.
 */
export function told(message: string, reference: string): { what: string; more?: string } {
  let rest = message.replace(/^(identify|lay out|attach|recover): /, '');
  for (const name of [reference, reference.replace(/#.*$/, '')]) if (name && rest.startsWith(name + ': ')) rest = rest.slice(name.length + 2);
  const at = rest.indexOf('; ');
  return at < 0 ? { what: sentence(rest) } : { what: sentence(rest.slice(0, at)), more: sentence(rest.slice(at + 2)) };
}

/** Words as a sentence begins; a name of a file keeps its small letter. */
export const sentence = (text: string) => (/^[a-z]+[\s,;:]/.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text);
