import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { importJWK, type JWTPayload, jwtVerify } from 'jose';
import { audience, issuer } from '../harness/cast.js';
import type { ApiSetup } from './setup.js';

/**
 * The other way to do without the authorization server: verify the token's signature on each request, by a key that is at
 * hand, and compare the certificate's hash. Gives nothing for a request that must not pass.
 */
export async function verifiedByJose({
  publicJwk,
}: ApiSetup): Promise<(req: IncomingMessage) => Promise<JWTPayload | undefined>> {
  const key = await importJWK(publicJwk, 'ES256');
  const options = { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'] };
  return async (req) => {
    const [, token] = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '') ?? [];
    const pem = req.headers['x-ssl-client-cert'];
    if (token === undefined || typeof pem !== 'string') {
      return undefined;
    }
    try {
      const { payload } = await jwtVerify(token, key, options);
      const cnf = payload.cnf as { 'x5t#S256'?: string } | undefined;
      return cnf?.['x5t#S256'] === thumbprintOfPem(decodeURIComponent(pem)) ? payload : undefined;
    } catch {
      return undefined;
    }
  };
}

function thumbprintOfPem(pem: string): string {
  const base64 = pem.replace(/-----[A-Z ]+-----|\s/g, '');
  return createHash('sha256').update(Buffer.from(base64, 'base64')).digest('base64url');
}
