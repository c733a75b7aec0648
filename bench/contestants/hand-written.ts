import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { ApiSetup } from './setup.js';

interface Claims {
  readonly active: boolean;
  readonly exp?: number;
  readonly cnf?: { readonly 'x5t#S256'?: string };
}

interface Cached {
  readonly claims: Claims;
  readonly until: number;
}

const CACHE_TIME = 60_000;

/**
 * What a team writes in an afternoon: parse the certificate that the proxy sends, introspect the token once a minute, compare
 * the fingerprints. Gives nothing for a request that must not pass.
 */
export function handWritten({
  introspectionEndpoint,
}: ApiSetup): (req: IncomingMessage) => Promise<Claims | undefined> {
  const cache = new Map<string, Cached>();
  const authorization = `Basic ${Buffer.from('api:secret of the api').toString('base64')}`;

  async function introspect(token: string): Promise<Claims> {
    const cached = cache.get(token);
    if (cached !== undefined && cached.until > Date.now()) {
      return cached.claims;
    }
    const response = await fetch(introspectionEndpoint, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ token }),
    });
    const claims = (await response.json()) as Claims;
    cache.set(token, { claims, until: Date.now() + CACHE_TIME });
    return claims;
  }

  return async (req) => {
    const [scheme, token] = (req.headers.authorization ?? '').split(' ');
    const header = req.headers['x-ssl-client-cert'];
    if (scheme?.toLowerCase() !== 'bearer' || token === undefined || typeof header !== 'string') {
      return undefined;
    }
    const certificate = new X509Certificate(decodeURIComponent(header));
    const thumbprint = Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex').toString(
      'base64url',
    );
    const claims = await introspect(token);
    const isCurrent = claims.active && (claims.exp ?? 0) > Date.now() / 1000;
    return isCurrent && claims.cnf?.['x5t#S256'] === thumbprint ? claims : undefined;
  };
}
