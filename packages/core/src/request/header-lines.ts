import type { IncomingMessage } from 'node:http';

type WithHeaders = Pick<IncomingMessage, 'rawHeaders' | 'headers'>;

/**
 * Returns whether the request has the header lines that Node's parser keeps in `rawHeaders`.
 * Adapters of serverless platforms and mocks of requests may fill `headers` alone.
 */
export function hasHeaderLines(req: WithHeaders): boolean {
  const lines: unknown = req.rawHeaders;
  // Node makes `headers` when it is first read: that costs as much as the rest of a check.
  return Array.isArray(lines) && (lines.length > 0 || Object.keys(req.headers ?? {}).length === 0);
}

/**
 * Returns where the first line of a header stands in `rawHeaders`, from `start` on; -1 if there is
 * none. Its value stands behind it.
 *
 * @param name in lower case
 * @param start an even number
 */
export function indexOfLine(rawHeaders: readonly string[], name: string, start: number): number {
  for (let at = start; at < rawHeaders.length; at += 2) {
    const candidate = rawHeaders[at] as string;
    if (candidate.length === name.length && candidate.toLowerCase() === name) {
      return at;
    }
  }
  return -1;
}

/**
 * Returns each value of a header, in the order of the lines: Node's `headers` keeps the first of
 * some, and joins others. For a request without lines, the values of `headers`, which its maker
 * joined.
 *
 * @param name in lower case
 */
export function linesOf(req: WithHeaders, name: string): string[] {
  if (hasHeaderLines(req)) {
    const { rawHeaders } = req;
    const lines: string[] = [];
    for (let at = indexOfLine(rawHeaders, name, 0); at !== -1; at = indexOfLine(rawHeaders, name, at + 2)) {
      lines.push(rawHeaders[at + 1] as string);
    }
    return lines;
  }
  const values: unknown[] = Object.hasOwn(req.headers ?? {}, name) ? [req.headers[name]].flat() : [];
  return values.filter((value) => typeof value === 'string');
}
