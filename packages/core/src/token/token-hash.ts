import { hash } from 'node:crypto';

/** Returns the name of a token's text, such as the cache uses: its SHA-256, base64url. */
export function hashOf(text: string): string {
  return hash('sha256', text, 'base64url');
}

/** A token that has fewer characters could be guessed (RFC 6749 §10.10): 128 bits. */
const SHORTEST = 22;

/**
 * Returns the name by which a revocation names this one token. An authorization server may accept
 * several texts as the same token. All of them have the same name:
 *
 * - Of a signed JWT, the SHA-256 of header and payload (RFC 7515 §5.1): one JWT can have several
 *   signatures, and a server may ignore what follows them.
 * - Of any other token, the SHA-256 of its canonical base64url text without dots at its end.
 * - Of a text of fewer than 22 characters in that form, `hashOf(token)`.
 *
 * @param hash `hashOf(token)`, where it is known
 */
export function revocationHashOf(token: string, hash = hashOf(token)): string {
  const parts = canonicalOf(token).split('.');
  while (parts.at(-1) === '') {
    parts.pop();
  }
  const canonical = parts.join('.');
  if (canonical.length < SHORTEST) {
    // Of short texts, several that are different tokens of a test would have one canonical hash.
    return hash;
  }
  const [header = '', payload = ''] = parts;
  const named = isSigned(header, parts.length) ? `${header}.${payload}` : canonical;
  return named === token ? hash : hashOf(named);
}

/**
 * Whether this is the header of a signed JWT. A token of three parts may be no JWT, and its first
 * two parts may be those of many tokens. So may those of an encrypted JWT, which has five.
 */
function isSigned(header: string, partCount: number): boolean {
  if (partCount < 3) {
    return false;
  }
  try {
    const members: unknown = JSON.parse(Buffer.from(header, 'base64url').toString());
    if (typeof members !== 'object' || members === null) {
      return false;
    }
    const isEncrypted = partCount > 3 && Object.hasOwn(members, 'enc');
    return Object.hasOwn(members, 'alg') && !isEncrypted;
  } catch {
    return false;
  }
}

/**
 * Returns the text in which each part between dots is the one base64url text of its bytes. Many
 * decoders ignore padding, bits that no byte needs, and characters of no base64, and read both
 * alphabets.
 */
function canonicalOf(token: string): string {
  return token
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString('base64url'))
    .join('.');
}

/**
 * Whether each part of a compact JWS or JWE is the one base64url text of its bytes (RFC 7515 §2,
 * RFC 4648 §3.5).
 */
export function isCanonical(token: string): boolean {
  return canonicalOf(token) === token;
}
