import type { IncomingMessage } from 'node:http';

type WithHeaders = Pick<IncomingMessage, 'rawHeaders' | 'headers'>;

/**
 * Returns whether the request has the header lines that Node's parser keeps in `rawHeaders`.
 * Adapters of serverless platforms and mocks of requests may fill `headers` alone.
 */
export function hasHeaderLines({ rawHeaders, headers }: WithHeaders): boolean {
  const lines: unknown = rawHeaders;
  return Array.isArray(lines) && (lines.length > 0 || Object.keys(headers ?? {}).length === 0);
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
    return rawHeaders.filter(
      (_value, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name,
    );
  }
  const values: unknown[] = Object.hasOwn(req.headers ?? {}, name) ? [req.headers[name]].flat() : [];
  return values.filter((value) => typeof value === 'string');
}
