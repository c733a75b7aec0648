/** The URL of a resource without query and fragment, written in one form (RFC 3986 §6.2). */
export type ProofUrl = string;

/**
 * What `htu` may hold: an http URL of printable ASCII, without user name, password and backslash.
 * Other texts mean different URLs to different readers.
 */
const plainUrl = /^https?:\/\/[\w\-.~%:[\]]+(?:[/?#][\x21-\x5b\x5d-\x7e]*)?$/i;

/**
 * Matches a URL that may not be in the one form: it may have dot segments, or it has a backslash or a
 * character that is not printable ASCII.
 */
const otherForm = /\/\.|[^\x21-\x5b\x5d-\x7e]/;

/** Returns whether `htu` of a proof names one of these URLs of its request. */
export function isProofUrlOf(htu: string, urls: readonly ProofUrl[]): boolean {
  // Most clients write the URL in the one form that the URLs of the request have.
  const url = urls.includes(htu) && !otherForm.test(htu) ? htu : normalizeProofUrl(htu);
  return url !== undefined && urls.includes(url);
}

/**
 * Returns the URL that `htu` of a proof names in its one form, or `undefined` for what is no such
 * URL. The form ignores the case of scheme and host, the default port, query and fragment, dot
 * segments, and how a character is percent-encoded that needs no encoding (RFC 9449 §4.3).
 */
export function normalizeProofUrl(htu: string): ProofUrl | undefined {
  if (!plainUrl.test(htu)) {
    return undefined;
  }
  try {
    const { origin, pathname } = new URL(htu);
    return `${origin}${normalizeEncoding(pathname)}`;
  } catch {
    return undefined;
  }
}

/**
 * Returns the URLs that a request may be for, in their one form; none for a target that names no path.
 * Dot segments stay as they are: a router does not resolve them, so that a proof for `/a` must not count
 * at `/b/../a`.
 *
 * @param bases the public origins, each followed by the path prefix that a proxy cuts off
 * @param target the request target as the client sent it
 */
export function requestedUrls(bases: readonly string[], target: string): readonly ProofUrl[] {
  const origin = target.startsWith('/') ? '' : absoluteForm.exec(target)?.[0];
  if (origin === undefined) {
    return [];
  }
  const sent = target.slice(origin.length);
  const end = sent.search(/[?#]/);
  const path = normalizeEncoding(end === -1 ? sent : sent.slice(0, end)) || '/';
  const urls = bases.map((base) => `${base}${path}`);
  if (path === '/') {
    // Behind a proxy that cuts off the prefix /v1, requests for /v1 and for /v1/ both arrive as /.
    urls.push(...bases.filter((base) => base.includes('/', 'https://'.length)));
  }
  return urls;
}

/**
 * The origin that a target in absolute-form begins with (RFC 9112 §3.2.2), if all readers of URLs agree
 * where it ends. What it names never counts: a client can send any.
 */
const absoluteForm = /^https?:\/\/(?:[\w\-.]+|\[[\da-f:.]+\])(?::\d+)?(?=[/?#]|$)/i;

/** What is percent-encoded, and what RFC 3986 §3.3 does not permit in a path. */
const encodable = /%[\da-f]{2}|["<>[\]^`{|}]/gi;
const hasEncodable = /[%"<>[\]^`{|}]/;
const unreserved = /[\w\-.~]/;

/**
 * RFC 3986 §6.2.2.1 and §6.2.2.2: decodes what needs no encoding, and writes the rest in capitals.
 * Clients send some characters as they are that should be encoded; `new URL()` encodes some of them.
 */
function normalizeEncoding(path: string): string {
  if (!hasEncodable.test(path)) {
    return path;
  }
  return path.replaceAll(encodable, (text) => {
    const code = text.length === 1 ? text.charCodeAt(0) : Number.parseInt(text.slice(1), 16);
    const character = String.fromCharCode(code);
    return unreserved.test(character) ? character : `%${code.toString(16).padStart(2, '0').toUpperCase()}`;
  });
}
