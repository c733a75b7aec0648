/** The URL of a resource without query and fragment, written in one form (RFC 3986 §6.2). */
export type ProofUrl = string;

/**
 * What `htu` may hold: an http URL of printable ASCII, without user name, password and backslash.
 * Other texts mean different URLs to different readers.
 */
const plainUrl = /^https?:\/\/[^\s@\\/?#]+(?:\/[\x21-\x5b\x5d-\x7e]*)?(?:[?#][\x21-\x5b\x5d-\x7e]*)?$/i;

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
 * Returns the URL of a request in its one form, or `undefined` for a target that is no path. Dot
 * segments stay as they are: a router does not resolve them, so that a proof for `/a` must not count
 * at `/b/../a`.
 *
 * @param base the public origin, and what of the public path the application does not see
 * @param target the request target as the client sent it
 */
export function requestedUrl(base: string, target: string): ProofUrl | undefined {
  if (!target.startsWith('/')) {
    return undefined;
  }
  const end = target.search(/[?#]/);
  return `${base}${normalizeEncoding(end === -1 ? target : target.slice(0, end))}`;
}

const encoded = /%[\da-f]{2}/gi;
const unreserved = /^[\w\-.~]$/;

/** RFC 3986 §6.2.2.1 and §6.2.2.2: decodes what needs no encoding, and writes the rest in capitals. */
function normalizeEncoding(path: string): string {
  return path.includes('%')
    ? path.replaceAll(encoded, (text) => {
        const character = String.fromCharCode(Number.parseInt(text.slice(1), 16));
        return unreserved.test(character) ? character : text.toUpperCase();
      })
    : path;
}
