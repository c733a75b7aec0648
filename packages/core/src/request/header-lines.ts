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
 * Returns the value of each line of a header, in their order. Of repeated lines, Node's `headers` keeps only
 * the first for some headers and joins the lines of others. A trust boundary needs all lines.
 *
 * @param name in lower case
 */
export function lineValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = indexOfLine(rawHeaders, name, 0); at !== -1; at = indexOfLine(rawHeaders, name, at + 2)) {
    values.push(rawHeaders[at + 1] as string);
  }
  return values;
}

/**
 * Returns what `lineValues()` returns. If the request has no raw lines, returns the values in `headers`: the
 * adapter or mock that made the request may have joined several lines to one value there.
 *
 * @param name in lower case
 */
export function headerValues(req: WithHeaders, name: string): string[] {
  if (hasHeaderLines(req)) {
    return lineValues(req.rawHeaders, name);
  }
  const values: unknown[] = Object.hasOwn(req.headers ?? {}, name) ? [req.headers[name]].flat() : [];
  return values.filter((value) => typeof value === 'string');
}
