// Reads a stream of JSON values, one per line, as they arrive.

/** Calls each with every line's value. A last line without a newline counts. */
export async function readLines<T>(body: ReadableStream<Uint8Array>, each: (value: T) => void): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value ?? new Uint8Array(), { stream: !done });
    let from = 0;
    for (let at = rest.indexOf('\n'); at >= 0; at = rest.indexOf('\n', from)) {
      if (at > from) each(JSON.parse(rest.slice(from, at)) as T);
      from = at + 1;
    }
    rest = rest.slice(from);
    if (done) {
      if (rest.trim()) each(JSON.parse(rest) as T);
      return;
    }
  }
}
