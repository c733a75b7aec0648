// The log line of a refusal alone says what is wrong: its code, its detail and its hint. What to do then is in the remedies of the doctor,
// which docs/reference/troubleshooting.md shows.
import { generateKeyPairSync, hash } from 'node:crypto';
import {
  type ClientCertificate,
  haproxy,
  jwtAccessTokens,
  nginx,
  observeByLog,
  proxyHeader,
  type ResourceServerOptions,
  tlsSocket,
} from '@mtls-bound/core';
import { createTestCertificate, createTestKit, type TestKit } from '@mtls-bound/core/testing';
import * as jose from 'jose';
import supertest from 'supertest';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { remedies } from '../../../packages/core/src/doctor/remedies.js';
import type { RefusalCode } from '../../../packages/core/src/errors.js';
import { createApi, frameworks } from '../../support/apis.js';
import { generateP256 } from '../../support/key-pairs.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let kit: TestKit;
let other: ClientCertificate;
const lines: string[] = [];
const note = ({ code, detail, hint }: { code: string; detail?: string; hint?: string }, message: string) => {
  if (message === 'request refused') {
    lines.push([code, detail, hint].filter((part) => part !== undefined).join(' | '));
  }
};
let end: () => void = () => undefined;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
  other = await createTestCertificate();
  end = observeByLog({ info: note, warn: note, error: note } as never);
});
afterAll(() => end());

const issuer = 'https://as.example.com';
const keys = generateP256();
const jwk = { ...keys.publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'es' };
const now = () => Math.floor(Date.now() / 1000);

/** A request to an API, and what its line must say. */
interface Seed {
  readonly headers?: Record<string, string>;
  readonly path?: string;
  /** Changes of the good claims, or the whole answer. */
  readonly claims?: Record<string, unknown>;
  readonly answer?: () => Response | Promise<Response>;
  readonly metadata?: object;
  readonly certificate?: () => ClientCertificate;
  readonly options?: ResourceServerOptions;
  readonly token?: () => Promise<string>;
}

const jwt = (header: object = {}, claims: object = {}, key: jose.KeyObject = keys.privateKey) =>
  new jose.SignJWT({ ...boundClaims(kit.certificate), iss: issuer, jti: 'one', ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'es', ...header })
    .sign(key);
const asJwt: ResourceServerOptions = { tokens: jwtAccessTokens() };
const behind = (preset: ReturnType<typeof nginx>): ResourceServerOptions => ({
  certificate: proxyHeader(preset, { trust: 'loopback' }),
});

const seeds: readonly [cause: string, seed: () => Seed, code: RefusalCode, says: RegExp, advice: RegExp][] = [
  [
    'no Authorization header',
    () => ({ headers: { authorization: '' } }),
    'credentials_missing',
    /there is no Authorization header/,
    /send the token/,
  ],
  [
    'a DPoP client',
    () => ({ headers: { authorization: 'DPoP abc' } }),
    'credentials_missing',
    /expected the scheme Bearer, got DPoP/,
    /send the token/,
  ],
  [
    'the token without a scheme',
    () => ({ headers: { authorization: 'abc' } }),
    'credentials_missing',
    /does not begin with the scheme Bearer/,
    /send the token/,
  ],
  [
    'quotes around the token',
    () => ({ headers: { authorization: 'Bearer "abc"' } }),
    'credentials_malformed',
    /not one token behind it/,
    /without quotes/,
  ],
  [
    'the token in the query',
    () => ({ path: '/?access_token=abc' }),
    'credentials_in_query',
    /^credentials_in_query$/,
    /servers log queries/,
  ],
  [
    'no certificate on plain HTTP',
    () => ({ options: { certificate: tlsSocket() } }),
    'certificate_missing',
    /plain HTTP.*proxyHeader/,
    /hint/,
  ],
  [
    'a proxy that sends no header',
    () => ({ options: behind(nginx()) }),
    'certificate_missing',
    /x-ssl-client-cert is not there/,
    /proxy's header/,
  ],
  [
    'a proxy that is not trusted',
    () => ({
      headers: { 'x-ssl-client-cert': 'x' },
      options: { certificate: proxyHeader(nginx(), { trust: '10.0.0.0/8' }) },
    }),
    'certificate_missing',
    /not from an address that trust names/,
    /its trust/,
  ],
  [
    'the header of another proxy',
    () => ({ headers: { 'x-ssl-client-cert': ':AAAA:' }, options: behind(nginx()) }),
    'certificate_malformed',
    /x-ssl-client-cert|nginx/i,
    /mtls-doctor listen/,
  ],
  [
    'a header cut in the middle',
    () => ({
      headers: {
        'x-ssl-client-cert': Buffer.from(other.der ?? '')
          .toString('base64')
          .slice(0, 100),
      },
      options: behind(haproxy()),
    }),
    'certificate_malformed',
    /x-ssl-client-cert|haproxy/i,
    /mtls-doctor listen/,
  ],
  [
    'a stolen token',
    () => ({ certificate: () => other }),
    'certificate_mismatch',
    /^certificate_mismatch/,
    /read the hint/,
  ],
  [
    'a thumbprint in hex',
    () => ({
      claims: { cnf: { 'x5t#S256': Buffer.from(kit.certificate.thumbprint, 'base64url').toString('hex') } },
    }),
    'certificate_mismatch',
    /right hash in hex/,
    /read the hint/,
  ],
  [
    'a thumbprint of the public key',
    () => ({ claims: { cnf: { 'x5t#S256': thumbprintOfKey(kit.certificate) } } }),
    'certificate_mismatch',
    /hash of the public key/,
    /read the hint/,
  ],
  [
    'a policy that the certificate does not meet',
    () => ({ options: { certificatePolicy: { subject: 'CN=of another' } } }),
    'certificate_refused',
    /subject/,
    /read detail/,
  ],
  [
    'a token without cnf',
    () => ({ claims: { cnf: undefined } }),
    'token_unbound',
    /without cnf/,
    /tls_client_certificate_bound_access_tokens/,
  ],
  [
    'a token bound by DPoP',
    () => ({ claims: { cnf: { jkt: 'A'.repeat(43) } } }),
    'token_bound_otherwise',
    /jkt/,
    /by certificate only/,
  ],
  [
    'a token that ended',
    () => ({ claims: { exp: now() - 600 } }),
    'token_expired',
    /expired|ended/,
    /compare the clocks/,
  ],
  [
    'a clock that is behind',
    () => ({ claims: { nbf: now() + 600 } }),
    'token_not_yet_valid',
    /nbf|later|before/,
    /NTP/,
  ],
  [
    'a token for another API',
    () => ({ claims: { aud: 'https://other.example.com' } }),
    'token_wrong_audience',
    /https:\/\/api\.example\.com.*https:\/\/other\.example\.com/,
    /RFC 8707/,
  ],
  [
    'a token of another issuer',
    () => ({ claims: { iss: 'https://as.example.com/' } }),
    'token_wrong_issuer',
    /https:\/\/as\.example\.com.*https:\/\/as\.example\.com\//,
    /spell issuer/,
  ],
  [
    'a claim of a wrong type',
    () => ({ claims: { exp: 'tomorrow' } }),
    'token_claims_malformed',
    /exp is not/,
    /correct the claim/,
  ],
  [
    'a token that the server does not know',
    () => ({ claims: { active: false } }),
    'token_inactive',
    /^token_inactive/,
    /whether the server lets this API introspect it/,
  ],
  [
    'a JWT by RS256',
    () => ({
      options: asJwt,
      token: () => jwt({ alg: 'RS256' }, {}, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
    }),
    'jwt_algorithm_not_accepted',
    /RS256/,
    /algorithms: \['RS256'\]/,
  ],
  [
    'a JWT of the type JWT',
    () => ({ options: asJwt, token: () => jwt({ typ: 'JWT' }) }),
    'jwt_type_not_accepted',
    /JWT.*at\+jwt|at\+jwt.*JWT/,
    /typ: \['JWT'\]/,
  ],
  [
    'a JWT by an unknown key',
    () => ({ options: asJwt, token: () => jwt({ kid: 'another' }) }),
    'jwt_key_unknown',
    /another/,
    /compare kid/,
  ],
  [
    'a JWT that was changed',
    () => ({ options: asJwt, token: async () => `${(await jwt()).slice(0, -6)}AAAAAA` }),
    'jwt_signature_invalid',
    /^jwt_signature_invalid/,
    /what changes the token/,
  ],
  [
    'an opaque token for jwtAccessTokens()',
    () => ({ options: asJwt }),
    'jwt_malformed',
    /not a JWT/,
    /introspection\(\)/,
  ],
  [
    'a JWT without a required claim',
    () => ({ options: asJwt, token: () => jwt({}, { client_id: undefined }) }),
    'token_claims_malformed',
    /client_id/,
    /requiredClaims/,
  ],
  [
    'a wrong client secret',
    () => ({ answer: () => Response.json({ error: 'invalid_client' }, { status: 401 }) }),
    'authorization_server_refused_credentials',
    /401|invalid_client/,
    /clientAuthentication/,
  ],
  [
    'a server that fails',
    () => ({ answer: () => new Response('', { status: 500 }) }),
    'authorization_server_failed',
    /500/,
    /the log of the server/,
  ],
  [
    'a server that is busy',
    () => ({ answer: () => new Response('', { status: 429 }) }),
    'authorization_server_overloaded',
    /429/,
    /raise the server's limit/,
  ],
  [
    'a proxy in front of the server that answers HTML',
    () => ({ answer: () => new Response('<html>', { headers: { 'content-type': 'text/html' } }) }),
    'authorization_server_invalid_answer',
    /content type is not application\/json/,
    /read detail/,
  ],
  [
    'a server that is not there',
    () => ({ answer: () => Promise.reject(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })) }),
    'authorization_server_unreachable',
    /ECONNREFUSED/,
    /mtls-doctor check/,
  ],
  [
    'an issuer with a slash too many',
    () => ({ metadata: { issuer: `${issuer}/` } }),
    'authorization_server_issuer_mismatch',
    /as\.example\.com\//,
    /spell issuer/,
  ],
  [
    'an issuer of another host, as a container names it',
    () => ({ metadata: { issuer: 'https://keycloak:8443/realms/bank' } }),
    'authorization_server_issuer_mismatch',
    /https:\/\/keycloak:8443\/realms\/bank/,
    /spell issuer/,
  ],
  [
    'a scope that is missing',
    () => ({ path: '/payments' }),
    'scope_insufficient',
    /payments:write/,
    /request the scope/,
  ],
];

function thumbprintOfKey({ x509 }: ClientCertificate): string {
  return hash('sha256', x509.publicKey.export({ type: 'spki', format: 'der' }), 'base64url');
}

async function lineOf(framework: (typeof frameworks)[number], seed: Seed): Promise<string> {
  const { headers = {}, path = '/', claims, answer, metadata, certificate, options, token } = seed;
  const server = pretendServer(
    (answer ?? (() => boundClaims(kit.certificate, claims))) as () => object,
    issuer,
  );
  const fetch: typeof globalThis.fetch = async (url, request) => {
    if (String(url).endsWith('/jwks')) {
      return Response.json({ keys: [jwk] });
    }
    if (String(url).includes('/.well-known/')) {
      const written = await (await server.fetch(url, request)).json();
      return Response.json({ ...(written as object), jwks_uri: `${issuer}/jwks`, ...metadata });
    }
    return server.fetch(url, request);
  };
  const { listener, handled } = createApi(
    framework,
    optionsOver(server, certificate?.() ?? kit.certificate, { ...options, http: { fetch } }),
  );
  lines.length = 0;
  const authorization = `Bearer ${await (token?.() ?? 'opaque-token')}`;
  await supertest(listener)
    .get(path)
    .set({ authorization, ...headers });
  expect([lines.length, handled()]).toEqual([1, 0]);
  return lines[0] as string;
}

describe.each(frameworks)('%s: the line says', (framework) => {
  it.each(seeds)('%s', async (_cause, seed, code, says, advice) => {
    const line = await lineOf(framework, seed());
    expect(line.split(' | ')[0]).toBe(code);
    expect(line).toMatch(says);
    expect(remedies[code]).toMatch(advice);
  });
});

it('a line of its own for each cause', async () => {
  const told = [];
  for (const [, seed] of seeds) {
    told.push(await lineOf('Express', seed()));
  }
  expect(told.length).toBeGreaterThanOrEqual(30);
  expect(new Set(told).size).toBe(told.length);
});
