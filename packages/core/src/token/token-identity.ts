import { hash } from 'node:crypto';

/** What the text of a token is known by here: its SHA-256, base64url. */
export function hashOf(text: string): string {
  return hash('sha256', text, 'base64url');
}

/**
 * What a revocation of this one token is known by: of a signed JWT the SHA-256 of what is signed (RFC 7515 §5.1), for the same JWT has several
 * signatures and texts; of any other token the SHA-256 of its text.
 */
export function identityOf(token: string): string {
  const [header = '', payload = '', signature, ...more] = token.split('.');
  const isSigned = signature !== undefined && more.length === 0 && isJoseHeader(header);
  return hashOf(isSigned ? `${header}.${payload}` : token);
}

/** A token of three parts may be no JWT, and its first two parts may be those of many tokens. */
function isJoseHeader(text: string): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    return typeof header === 'object' && header !== null && Object.hasOwn(header, 'alg');
  } catch {
    return false;
  }
}

/** Whether each part of a compact JWS or JWE is the one base64url text of its bytes (RFC 7515 §2, RFC 4648 §3.5). */
export function isCanonical(token: string): boolean {
  return token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part);
}
