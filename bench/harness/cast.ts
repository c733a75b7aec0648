// Who takes part in every scenario over HTTP: clients with certificates, their tokens, and the server that issued them.
import { randomBytes } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { createPki, type Identity, type Pki } from '../../test/support/pki.js';

export const issuer = 'https://as.example.com';
export const audience = 'https://api.example.com';

/** Many, for one token alone would sit in every cache of the processor. */
const tokensPerClient = 50;

export interface Cast {
  readonly pki: Pki;
  readonly clients: readonly Client[];
  /** Verifies the JWTs, ES256. */
  readonly publicJwk: JWK;
  /** Signs them. */
  readonly privateJwk: JWK;
}

/** A client with an RSA-2048 certificate. */
export interface Client {
  readonly identity: Identity;
  /** As the authorization server's stub knows them: the client's number comes first. */
  readonly opaqueTokens: readonly string[];
  readonly jwts: readonly string[];
}

export async function createCast(): Promise<Cast> {
  const pki = await createPki();
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const identities = [pki.alice, pki.bob];
  const clients = identities.map(async (identity, number) => {
    const names = Array.from({ length: tokensPerClient }, () => opaqueToken(number));
    const jwts = names.map((jti) =>
      new SignJWT(claimsOf(identity.thumbprint, jti))
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'bench' })
        .sign(privateKey),
    );
    return { identity, opaqueTokens: names, jwts: await Promise.all(jwts) };
  });
  const publicJwk = { ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'bench', use: 'sig' };
  return { pki, clients: await Promise.all(clients), publicJwk, privateJwk: await exportJWK(privateKey) };
}

export function opaqueToken(client: number): string {
  return `${client}-${randomBytes(30).toString('base64url')}`;
}

/** One of many tokens that are known by their number alone. */
export function numberedToken(number: number | '{number}'): string {
  return `${String(number).padStart(8, '0')}-opaque-token-of-some-length-0123456789`;
}

/** Typical claims of an access token. */
export function claimsOf(thumbprint: string, jti: string) {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: issuer,
    sub: `user-${jti.slice(0, 8)}`,
    client_id: 'tpp-4711',
    aud: audience,
    scope: 'openid accounts:read payments:write',
    iat: now,
    exp: now + 3_600,
    jti,
    cnf: { 'x5t#S256': thumbprint },
  };
}

/** What NGINX puts into `$ssl_client_escaped_cert`: for a PEM the same as encodeURIComponent. */
export function nginxHeader({ cert }: Identity): string {
  return encodeURIComponent(cert);
}
