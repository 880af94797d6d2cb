// Reads a stream of JSON values, one per line, as they arrive.

/** A line as it came: its bytes without the newline, in one part or more. */
export type Line = Uint8Array<ArrayBuffer>[];

/**
 * Calls each with every line that is not empty. Nothing is decoded or copied:
 * a part of a line is a view of what came from the network. A last line
 * without a newline counts, and is told apart: it may have been cut off. When
 * each throws, the stream is hung up on.
 */
export async function readByteLines(body: ReadableStream<Uint8Array<ArrayBuffer>>, each: (line: Line, ended: boolean) => void): Promise<void> {
  const reader = body.getReader();
  let line: Line = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      let from = 0;
      for (let at = value.indexOf(10); at >= 0; at = value.indexOf(10, from)) {
        if (at > from) line.push(value.subarray(from, at));
        from = at + 1;
        if (line.length === 0) continue;
        each(line, true);
        line = [];
      }
      if (from < value.length) line.push(value.subarray(from));
    }
    if (line.length > 0) each(line, false);
  } catch (cause) {
    // What nobody reads any more must not hold the statement open.
    void reader.cancel().catch(() => undefined);
    throw cause;
  }
}

/** The value of a line. */
export function parseLine<T>(line: Line): T {
  const decoder = new TextDecoder();
  let text = '';
  for (const part of line) text += decoder.decode(part, { stream: true });
  return JSON.parse(text + decoder.decode()) as T;
}

/** Calls each with every line's value. A last line without a newline counts. */
export function readLines<T>(body: ReadableStream<Uint8Array<ArrayBuffer>>, each: (value: T) => void): Promise<void> {
  return readByteLines(body, (line) => each(parseLine(line)));
}
