// A token, or the answer about it, may hold a URL with credentials in any claim. None of them is shown.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  createResourceServer,
  jwtAccessTokens,
  observeByLog,
  observeEvents,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../packages/core/src/doctor/main.js';
import { checkToken } from '../../../packages/core/src/doctor/token-checks.js';
import { readTokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { createApi, frameworks } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { generateP256 } from '../../support/key-pairs.js';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-claims-'));
const keys = generateP256();
let kit: TestKit;
let seen: unknown[];
let stops: (() => void)[];
beforeAll(async () => {
  kit = await createTestKit();
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  seen = [];
  const note = (...event: unknown[]) => void seen.push(event);
  stops = [
    observeEvents({
      admitted: note,
      refused: note,
      reported: note,
      cache: note,
      problem: note,
      breaker: note,
    }),
    observeByLog({ info: note, warn: note, error: note }),
  ];
  vi.spyOn(process, 'emitWarning').mockImplementation(note as never);
});
afterEach(() => {
  for (const stop of stops) {
    stop();
  }
  vi.restoreAllMocks();
});

const secret = 'Secret-314159';
/** Spellings of a value with a secret where a URL has user name, password, query and fragment, also where it is no URL. */
const spellings = [
  `https://as.example.com/?code=${secret}`,
  `https://as.example.com/#${secret}`,
  `https://${secret}@as.example.com/`,
  `https://user:${secret}@as.example.com/`,
  `HTTPS:\\\\user:${secret}@as.example.com`,
  `https:user:${secret}@as.example.com`,
  ` https://user:a@${secret}@as.example.com`,
  `//user:${secret}@as.example.com`,
  `urn:api?=${secret}`,
  `api?${secret}`,
  `${secret}@api`,
  `https://as.example.com/${'a'.repeat(300)}${secret}`,
];

const put = {
  iss: (text: string) => ({ iss: text }),
  aud: (text: string) => ({ aud: text }),
  'aud, in a list': (text: string) => ({ aud: ['other', text] }),
  token_type: (text: string) => ({ token_type: text }),
  'cnf["x5t#S256"]': (text: string) => ({ cnf: { 'x5t#S256': text } }),
  'another member of cnf': (text: string) => ({ cnf: { jku: text, 'x5t#S256': kit.certificate.thumbprint } }),
  sub: (text: string) => ({ sub: text, exp: 1 }),
  scope: (text: string) => ({ scope: text, exp: 1 }),
  jti: (text: string) => ({ jti: text, exp: 1 }),
  exp: (text: string) => ({ exp: text }),
  nbf: (text: string) => ({ nbf: text }),
  iat: (text: string) => ({ iat: text }),
} as const satisfies Record<string, (text: string) => object>;
const claims = Object.entries(put);

const introspected = (changes: Record<string, unknown>): ResourceServerOptions =>
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate, changes)),
    kit.certificate,
    {
      explain: true,
      floodGuard: false,
    },
  );

const signed = (): ResourceServerOptions => ({
  issuer,
  audience,
  tokens: jwtAccessTokens(),
  certificate: () => kit.certificate,
  authorizationServerMetadata: { jwks_uri: `${issuer}/jwks` },
  explain: true,
  floodGuard: false,
  http: {
    fetch: async () =>
      Response.json({ keys: [{ ...keys.publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'es' }] }),
  },
});

function jwt(changes: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> {
  const payload = { iss: issuer, jti: 'one', ...boundClaims(kit.certificate), ...changes };
  return new SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'es', ...header })
    .sign(keys.privateKey);
}

/** Everything that is shown of a request that is refused. */
async function shownBy(options: ResourceServerOptions, token: string): Promise<string> {
  const server = createResourceServer(options);
  const req = requestWith(token);
  try {
    await server.authorize(req);
    throw new Error('was admitted');
  } catch (thrown) {
    const refusal = thrown as { code?: unknown };
    expect(refusal.code).toMatch(/^(token|jwt|certificate)_/);
    const all = inspect([refusal, seen, server.answer(refusal, req)], {
      depth: 12,
      showHidden: true,
      maxStringLength: null,
      maxArrayLength: null,
    });
    return all.replaceAll(token, '');
  } finally {
    await server.close();
  }
}

describe.each(claims)('a secret in %s', (_name, changesBy) => {
  it.each(spellings)('of an introspection answer, as %s, is shown nowhere', async (text) => {
    const all = await shownBy(introspected(changesBy(text)), 'opaque');
    expect(all).not.toContain(secret);
  });

  it.each(spellings)('of a signed JWT, as %s, is shown nowhere', async (text) => {
    expect(await shownBy(signed(), await jwt(changesBy(text)))).not.toContain(secret);
  });

  it.each(spellings)('as %s, is not shown by the doctor', async (text) => {
    const all = boundClaims(kit.certificate, { iss: issuer, ...changesBy(text) }) as Record<string, unknown>;
    const read = async () => readTokenClaims(all, issuer);
    const rules = { issuer, audience: [audience], clockTolerance: 0 };
    const authority = { read, rules } as never;
    const said = { mustBind: true, saysItBinds: true, acceptsDpop: true };
    const { certificate } = kit;
    const findings = await checkToken(authority, 'opaque', { certificate }, said);
    const file = join(folder, 'claims.json');
    writeFileSync(file, JSON.stringify(all));
    let output = '';
    const write = (words: string) => {
      output += words;
    };
    await main(['explain', '--claims', file], {
      write,
      complain: write,
      environment: { MTLS_BOUND_ISSUER: issuer, MTLS_BOUND_AUDIENCE: audience },
      readInput: async () => '',
      signal: new AbortController().signal,
    });
    expect(output).toContain('PROBLEM');
    expect(inspect([findings, output], { depth: 5, maxStringLength: null })).not.toContain(secret);
  });
});

describe.each(['alg', 'typ', 'kid'])('a secret in the header %s of a JWT', (parameter) => {
  it.each(spellings)('as %s, is shown nowhere', async (text) => {
    const [, payload, signature] = (await jwt({})).split('.');
    const header = JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: 'es', [parameter]: text });
    const token = [Buffer.from(header).toString('base64url'), payload, signature].join('.');
    expect(await shownBy(signed(), token)).not.toContain(secret);
  });
});

describe.each(frameworks)('%s', (framework) => {
  it.each([...claims.filter(([name]) => /^(iss|aud|token_type|cnf)/.test(name))])(
    'a secret in %s is not in an answer with explain: true',
    async (_name, changesBy) => {
      for (const text of spellings) {
        const api = createApi(framework, introspected(changesBy(text)));
        const answer = await request(api.listener).get('/').auth('opaque', { type: 'bearer' });
        expect(answer.status).toBe(401);
        expect(answer.text).toContain('token');
        expect(JSON.stringify([answer.text, answer.headers, seen])).not.toContain(secret);
      }
    },
  );
});

it('client_id of an active token is in events as it is, and in nothing that a client gets', async () => {
  const [clientId = ''] = spellings;
  const server = createResourceServer(introspected({ client_id: clientId, exp: 1 }));
  const req = requestWith('opaque');
  const refusal = await Promise.resolve(server.authorize(req)).catch((thrown: unknown) => thrown);
  expect(inspect(seen, { depth: 5 })).toContain(`clientId: '${clientId}'`);
  expect(inspect([refusal, server.answer(refusal, req)], { depth: 5 })).not.toContain(secret);
});

it('what is no secret of a URL stays in its own spelling', async () => {
  const found = 'HTTPS://As.example.com:443/Tenant/../x';
  expect(await shownBy(introspected({ iss: found }), 'opaque')).toContain(`got "${found}"`);
});
