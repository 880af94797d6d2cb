// Answers that came with the page, to what its first view asks for: the server
// writes them into index.html (web/firstanswers.go). Each is used once, for
// what is asked later has to be asked anew.

/** No answer is taken for new after so many milliseconds. */
const fresh = 5000;

const answers = new Map<string, unknown>();

/** Reads the answers out of the page; false where there are none, as in development. */
export function readAnswers(element: HTMLElement | null): boolean {
  try {
    for (const [path, body] of Object.entries(JSON.parse(element?.textContent ?? '') as Record<string, unknown>)) answers.set(canonical(path), body);
  } catch {
    return false; // no page of our server, or one that was cut short
  }
  setTimeout(() => answers.clear(), fresh);
  return true;
}

/** The answer to a GET of this path, with its query, if it came with the page. */
export function firstAnswer<T>(path: string): T | undefined {
  if (answers.size === 0) return undefined;
  const key = canonical(path);
  const body = answers.get(key) as T | undefined;
  answers.delete(key);
  return body;
}

// Go and JavaScript escape different letters of a path.
function canonical(path: string): string {
  const { pathname, searchParams } = new URL(path, 'http://host');
  return [pathname.split('/').map(decodeURIComponent).join('\u0000'), searchParams.toString()].join('?');
}
