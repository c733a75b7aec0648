import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import * as jose from 'jose';
import { generateP256 } from './key-pairs.js';

/** An authorization server behind the option `http.fetch` that signs JWTs and answers introspection requests. */
export interface PretendIssuer {
  readonly issuer: string;
  readonly fetch: typeof globalThis.fetch;
  /** A JWT of this server: a signature by `header.alg`, a header without the members that are undefined. */
  sign(claims: object, header: { readonly alg: string; readonly typ?: string | undefined }): Promise<string>;
  /** What the introspection endpoint answers about a token. Default: `{ active: false }`. */
  introspect: (token: string) => object;
  /** The requests, by the last segment of their path. */
  readonly asked: readonly string[];
}

const keys: Readonly<Record<string, { readonly publicKey: KeyObject; readonly privateKey: KeyObject }>> = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateP256(),
  PS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
};

export function pretendIssuer(issuer: string, metadata: object = {}): PretendIssuer {
  const asked: string[] = [];
  const base = issuer.replace(/\/$/, '');
  const jwks = Object.entries(keys).map(([alg, { publicKey }]) => ({
    ...publicKey.export({ format: 'jwk' }),
    alg,
    use: 'sig',
    kid: alg,
  }));
  const pretend: PretendIssuer = {
    issuer,
    asked,
    introspect: () => ({ active: false }),
    sign: (claims, { alg, ...header }) =>
      new jose.SignJWT({ ...claims })
        .setProtectedHeader(JSON.parse(JSON.stringify({ alg, kid: alg, ...header })))
        .sign(keys[alg]?.privateKey as KeyObject),
    fetch: (async (url: unknown, request: RequestInit = {}): Promise<Response> => {
      const { pathname } = new URL(String(url));
      asked.push(pathname.split('/').at(-1) ?? '');
      if (pathname.includes('/.well-known/')) {
        return Response.json({
          issuer,
          jwks_uri: `${base}/jwks`,
          introspection_endpoint: `${base}/introspect`,
          tls_client_certificate_bound_access_tokens: true,
          ...metadata,
        });
      }
      if (request.method !== 'POST') {
        return Response.json({ keys: jwks });
      }
      const token = new URLSearchParams(String(request.body)).get('token') ?? '';
      return Response.json(pretend.introspect(token));
    }) as typeof globalThis.fetch,
  };
  return pretend;
}
