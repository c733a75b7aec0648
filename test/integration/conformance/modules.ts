import type { ResourceServerOptions } from '@mtls-bound/core';
import { expect } from 'vitest';
import { dpopClient, type ProofChanges, proofOrigin } from '../../support/dpop-client.js';
import type { FaultyServer } from '../../support/faulty-server.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { claims as claimsOf, good, outcomes } from '../../support/introspection-outcomes.js';
import type { Identity, Pki } from '../../support/pki.js';
import { challengeOf } from '../../support/refusals.js';
import type { SignedTokens } from './signed-tokens.js';

/** An answer, as a client of any kind sees it. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** What a client sends. Headers as they go over the wire, in pairs, repeated or not. */
export interface Sent {
  readonly token?: string;
  readonly scheme?: string;
  readonly identity?: Identity | undefined;
  readonly path?: string;
  readonly headers?: readonly (readonly [string, string])[];
}

/** One framework and one way to it: what a module is run with. */
export interface Setting {
  readonly pki: Pki;
  readonly server: FaultyServer;
  readonly signed: SignedTokens;
  /** Whether the certificate is taken from the TLS connection, and not from a header. */
  readonly isDirect: boolean;
  /** An API with these options, asked once for each request, in order and over connections of their own. */
  ask(requests: readonly Sent[], options?: ResourceServerOptions): Promise<Answer[]>;
  /** Sends the requests one after the other over one connection with the first one's certificate. */
  askOverOne(requests: readonly Sent[], options?: ResourceServerOptions): Promise<Answer[]>;
  /** Sends all requests at once. */
  askAtOnce(requests: readonly Sent[], options?: ResourceServerOptions): Promise<Answer[]>;
}

/** A duty of a resource server as a client can see it: exact status and error, where others are content with any 4xx. */
export interface Module {
  readonly name: string;
  /** Rows of docs/security/conformance.md. */
  readonly rows: string;
  readonly run: (setting: Setting) => Promise<void>;
}

const now = () => Math.floor(Date.now() / 1000);

async function expectInvalidToken(response: Answer | undefined): Promise<void> {
  expect(response?.status).toBe(401);
  const challenge = await challengeOf(response?.headers['www-authenticate'] ?? '');
  expect(challenge).toMatchObject({ realm: 'api', error: 'invalid_token' });
  expect(response?.headers['cache-control']).toBe('no-store');
}

async function expectInvalidRequest(response: Answer | undefined): Promise<void> {
  expect(response?.status).toBe(400);
  const challenge = await challengeOf(response?.headers['www-authenticate'] ?? '');
  expect(challenge).toMatchObject({ realm: 'api', error: 'invalid_request' });
}

const about = ({ server, pki }: Setting) => ({ issuer: server.issuer, thumbprint: pki.alice.thumbprint });
const alice = ({ pki }: Setting): Sent => ({ token: 'token', identity: pki.alice });

/** A module in which the server says this of the token, and Alice sends it. */
function saying(
  name: string,
  rows: string,
  claims: Parameters<typeof claimsOf>[0],
  status: 200 | 401,
): Module {
  return {
    name,
    rows,
    async run(setting) {
      setting.server.introspection = claimsOf(claims)(about(setting));
      const [response] = await setting.ask([alice(setting)]);
      if (status === 200) {
        expect(response?.status).toBe(200);
      } else {
        await expectInvalidToken(response);
      }
    },
  };
}

/** A module in which the server answers as a line of the outcome table says. */
function answering(name: string, rows: string, title: string, status: number): Module {
  return {
    name,
    rows,
    async run(setting) {
      const [, behaviour] = outcomes.find(([one]) => one === title) ?? [];
      if (behaviour === undefined) {
        throw new Error(`no outcome is called ${title}`);
      }
      setting.server.introspection = behaviour(about(setting));
      const [response] = await setting.ask([alice(setting)], { cache: { maxAge: 0 } });
      expect(response?.status).toBe(status);
      expect(response?.headers['www-authenticate']).toBeUndefined();
    },
  };
}

/** A module with a good introspection answer. */
function sending(name: string, rows: string, run: (setting: Setting) => Promise<void>): Module {
  return {
    name,
    rows,
    async run(setting) {
      setting.server.introspection = good(about(setting));
      await run(setting);
    },
  };
}

const confirmation = (name: string, value: (thumbprint: string) => unknown): Module =>
  saying(
    `rs-cnf-malformed-${name}`,
    'R7',
    ({ thumbprint }) => ({ cnf: { 'x5t#S256': value(thumbprint) } }),
    401,
  );

const jwt = (
  name: string,
  rows: string,
  token: (signed: SignedTokens) => Promise<string>,
  status: number,
): Module => ({
  name,
  rows,
  async run(setting) {
    const sent = { token: await token(setting.signed), identity: setting.pki.alice };
    const [response] = await setting.ask([sent], setting.signed.options);
    if (status === 401) {
      await expectInvalidToken(response);
    } else {
      expect(response?.status).toBe(status);
    }
  },
});

const phone = dpopClient();
const dpopToken = 'token-of-a-phone';
const dpop = { origin: proofOrigin };

/** A request with the token of a phone, the scheme DPoP and a proof. */
function withProof(
  changes: ProofChanges = {},
  { by = phone, ...more }: Sent & { by?: typeof phone } = {},
): Sent {
  const headers = [['DPoP', by.proof(dpopToken, changes)] as const];
  return { token: dpopToken, scheme: 'DPoP', headers, ...more };
}

/** A module in which the server binds the token to the key of a phone, and to nothing else unless `cnf` says so. */
function proving(
  name: string,
  rows: string,
  run: (setting: Setting) => Promise<void>,
  cnf: (setting: Setting) => object = () => ({ jkt: phone.jkt }),
): Module {
  return {
    name,
    rows,
    async run(setting) {
      const claims = goodClaims(setting.server.issuer, '', { token_type: 'DPoP', cnf: cnf(setting) });
      setting.server.introspection = answer(200, claims);
      await run(setting);
    },
  };
}

/** A module in which a phone sends this proof, and is refused under the scheme DPoP. */
function misproving(name: string, rows: string, changes: ProofChanges, error = 'invalid_dpop_proof'): Module {
  return proving(name, rows, async (setting) => {
    expectRefusedProof((await setting.ask([withProof(changes)], { dpop }))[0], error);
  });
}

function expectRefusedProof(response: Answer | undefined, error: string): void {
  expect(response?.status).toBe(401);
  const challenge = response?.headers['www-authenticate'] ?? '';
  expect(challenge).toContain(`DPoP realm="api", error="${error}", error_description="`);
  expect(challenge).toContain('algs="PS256 ES256 EdDSA Ed25519"');
  expect(response?.headers['cache-control']).toBe('no-store');
}

export const modules: readonly Module[] = [
  sending('rs-bound-happy', 'R2', async (setting) => {
    const [response] = await setting.ask([alice(setting)]);
    expect(response?.status).toBe(200);
    expect(response?.headers.date).toBeDefined();
  }),
  sending('rs-bound-wrong-cert', 'R3 S7', async (setting) => {
    await expectInvalidToken((await setting.ask([{ token: 'token', identity: setting.pki.bob }]))[0]);
  }),
  sending('rs-bound-no-cert', 'R4 S8', async (setting) => {
    await expectInvalidToken((await setting.ask([{ token: 'token' }]))[0]);
  }),
  sending('rs-bound-renewed-cert', 'R5', async (setting) => {
    await expectInvalidToken(
      (await setting.ask([{ token: 'token', identity: setting.pki.aliceRenewed }]))[0],
    );
  }),
  {
    name: 'rs-bound-self-signed',
    rows: 'R18',
    async run(setting) {
      const { selfSignedRsa: identity } = setting.pki;
      setting.server.introspection = good({ issuer: setting.server.issuer, thumbprint: identity.thumbprint });
      expect((await setting.ask([{ token: 'token', identity }]))[0]?.status).toBe(200);
    },
  },
  sending('rs-bound-wrong-cert-after-cache-hit', 'R58', async (setting) => {
    const [first, second, third] = await setting.ask([
      alice(setting),
      { token: 'token', identity: setting.pki.bob },
      alice(setting),
    ]);
    expect([first?.status, third?.status]).toEqual([200, 200]);
    await expectInvalidToken(second);
  }),
  sending('rs-bound-parallel-two-certs', 'R61', async (setting) => {
    const responses = await setting.askAtOnce([
      alice(setting),
      { token: 'token', identity: setting.pki.bob },
    ]);
    expect(responses.map(({ status }) => status)).toEqual([200, 401]);
  }),
  {
    name: 'rs-keepalive-second-token',
    rows: 'R28',
    async run(setting) {
      const { server, pki } = setting;
      server.introspection = (req, res, body) => {
        const identity = body.includes('bobs') ? pki.bob : pki.alice;
        answer(200, goodClaims(server.issuer, identity.thumbprint))(req, res, body);
      };
      const [own, bobs, again] = await setting.askOverOne([
        alice(setting),
        { token: 'bobs', identity: pki.alice },
        alice(setting),
      ]);
      expect([own?.status, again?.status]).toEqual([200, 200]);
      await expectInvalidToken(bobs);
    },
  },
  saying('rs-unbound-required', 'R12 S9', { cnf: undefined }, 401),
  saying('rs-jkt-as-bearer', 'R13', { cnf: { jkt: 'x' } }, 401),
  confirmation('pad', (thumbprint) => `${thumbprint}=`),
  confirmation('space', (thumbprint) => ` ${thumbprint}`),
  confirmation('hex', (thumbprint) => Buffer.from(thumbprint, 'base64url').toString('hex')),
  confirmation(
    'trailing-bits',
    (thumbprint) => `${thumbprint.slice(0, -1)}${nextLetter(thumbprint.at(-1) ?? '')}`,
  ),
  confirmation('array', (thumbprint) => [thumbprint]),
  sending('rs-no-token-no-error-code', 'S1 R85', async (setting) => {
    const [response] = await setting.ask([{ identity: setting.pki.alice }]);
    expect([response?.status, response?.body]).toEqual([401, '']);
    expect(await challengeOf(response?.headers['www-authenticate'] ?? '')).toEqual({ realm: 'api' });
  }),
  sending('rs-challenge-format', 'R86 R88', async (setting) => {
    const [response] = await setting.ask([{ token: 'token', identity: setting.pki.bob }]);
    const challenge = await challengeOf(response?.headers['www-authenticate'] ?? '');
    expect(Object.keys(challenge)).toEqual(['realm', 'error', 'error_description']);
  }),
  sending('rs-scheme-case', 'R78', async (setting) => {
    const responses = await setting.ask(
      ['bearer', 'BEARER', 'bEARER'].map((scheme) => ({ ...alice(setting), scheme })),
    );
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200]);
  }),
  sending('rs-malformed-credentials', 'S3', async (setting) => {
    for (const response of await setting.ask(
      ['', 'a b', 'a,b', 'ä'].map((token) => ({ ...alice(setting), token })),
    )) {
      await expectInvalidRequest(response);
    }
  }),
  sending('rs-duplicate-authorization', 'S4', async (setting) => {
    const twice = { ...alice(setting), headers: [['Authorization', 'Bearer token']] as const };
    const [response] = await setting.ask([twice]);
    // A proxy may refuse the request by itself, or keep one of the two; ours never serves it as two.
    expect(response?.status).toBe(400);
  }),
  sending('rs-two-methods', 'S5', async (setting) => {
    await expectInvalidRequest((await setting.ask([{ ...alice(setting), path: '/?access_token=token' }]))[0]);
  }),
  sending('rs-query-token', 'S5', async (setting) => {
    const { identity } = alice(setting);
    await expectInvalidRequest((await setting.ask([{ identity, path: '/?access_token=token' }]))[0]);
  }),
  {
    name: 'rs-inactive',
    rows: 'R40 S6',
    async run(setting) {
      setting.server.introspection = answer(200, { active: false, scope: 'admin' });
      const [response] = await setting.ask([alice(setting)]);
      await expectInvalidToken(response);
      expect(response?.headers['www-authenticate']).not.toContain('scope');
    },
  },
  saying('rs-exp-past', 'R48', () => ({ exp: now() - 120 }), 401),
  saying('rs-nbf-8-seconds-ahead', 'R49', () => ({ nbf: now() + 8 }), 200),
  saying('rs-nbf-61-seconds-ahead', 'R49', () => ({ nbf: now() + 61 }), 401),
  saying('rs-iat-61-seconds-ahead', 'R49', () => ({ iat: now() + 61 }), 401),
  saying('rs-aud-other', 'R51', { aud: 'https://other.example.com' }, 401),
  saying('rs-aud-missing', 'R52', { aud: undefined }, 401),
  saying('rs-iss-other', 'R53', ({ issuer }) => ({ iss: `${issuer}/` }), 401),
  saying('rs-token-type-refresh', 'R54', { token_type: 'refresh_token' }, 401),
  answering('rs-as-401', 'R44', 'R44 S14: 401 without a challenge', 503),
  answering('rs-as-429', 'R46', 'R46 S13: 429 with Retry-After', 503),
  answering('rs-as-503', 'R46', 'R46 S13: 503 with Retry-After', 503),
  answering('rs-as-timeout', 'R46', 'R46 S13: an answer that never comes', 503),
  answering('rs-as-html', 'R43', 'R43: HTML with status 200', 503),
  answering('rs-as-bad-json', 'S14', 'S14: no JSON', 503),
  answering('rs-as-redirect', 'R47', 'R47: redirected with 307', 503),
  jwt('rs-at-jwt-happy', 'R9', (signed) => signed.token(), 200),
  jwt('rs-at-jwt-typ', 'R98', (signed) => signed.token({}, { typ: 'JWT' }), 401),
  jwt('rs-at-jwt-none', 'R102', async (signed) => signed.unsigned(), 401),
  jwt('rs-at-jwt-hs256', 'R110', (signed) => signed.byPublicKey(), 401),
  jwt(
    'rs-at-jwt-jku',
    'R108',
    (signed) => signed.token({}, { jku: 'https://127.0.0.1:9/keys', kid: 'x' }),
    401,
  ),
  jwt('rs-at-jwt-kid', 'R114', (signed) => signed.token({}, { kid: '../../etc/passwd' }), 401),
  jwt('rs-at-jwt-crit', 'R115', (signed) => signed.withUnknownCrit(), 401),
  jwt(
    'rs-at-jwt-idtoken',
    'R105',
    (signed) => signed.token({ client_id: undefined, jti: undefined } as never),
    401,
  ),
  jwt(
    'rs-at-jwt-introspection-jwt',
    'R75',
    (signed) => signed.token({}, { typ: 'token-introspection+jwt' }),
    401,
  ),
  {
    name: 'rs-scope-403',
    rows: 'S10',
    async run(setting) {
      setting.server.introspection = claimsOf({ scope: 'accounts:read' })(about(setting));
      const [response] = await setting.ask([{ ...alice(setting), path: '/payments' }]);
      expect(response?.status).toBe(403);
      const challenge = await challengeOf(response?.headers['www-authenticate'] ?? '');
      expect(challenge).toMatchObject({ error: 'insufficient_scope', scope: 'payments:write' });
    },
  },
  {
    name: 'rs-metadata-9728',
    rows: 'R133 R134',
    async run(setting) {
      const options = { resourceMetadata: { resource: 'https://api.example.com' } };
      const [response] = await setting.ask([{ identity: setting.pki.alice }], options);
      const challenge = await challengeOf(response?.headers['www-authenticate'] ?? '');
      expect(challenge.resource_metadata).toBe(
        'https://api.example.com/.well-known/oauth-protected-resource',
      );
    },
  },
  sending('rs-clientcert-header-from-client', 'R1 R168', async (setting) => {
    const forged = encodeURIComponent(setting.pki.alice.cert);
    const headers = [
      ['X-SSL-Client-Cert', forged],
      ['X-SSL-Client-Verify', 'SUCCESS'],
      ['Client-Cert', `:${setting.pki.alice.der.toString('base64')}:`],
    ] as const;
    const [withOther, withNone] = await setting.ask([
      { token: 'token', identity: setting.pki.bob, headers },
      { token: 'token', headers },
    ]);
    await expectInvalidToken(withOther);
    await expectInvalidToken(withNone);
  }),
  sending('rs-clientcert-vary', 'R174', async (setting) => {
    const [passed, refused] = await setting.ask([
      alice(setting),
      { token: 'token', identity: setting.pki.bob },
    ]);
    expect(refused?.headers['cache-control']).toBe('no-store');
    expect(passed?.headers.vary?.toLowerCase() ?? '').toBe(setting.isDirect ? '' : 'x-ssl-client-cert');
  }),
  {
    name: 'rs-error-tells-no-secret',
    rows: 'R90',
    async run(setting) {
      setting.server.introspection = answer(
        200,
        goodClaims(setting.server.issuer, setting.pki.alice.thumbprint),
      );
      const [response] = await setting.ask([{ token: 'tok-3141592653', identity: setting.pki.bob }]);
      const told = JSON.stringify(response);
      for (const secret of [
        'tok-3141592653',
        setting.pki.alice.thumbprint,
        setting.pki.bob.thumbprint,
        'user-1',
      ]) {
        expect(told).not.toContain(secret);
      }
    },
  },
  proving('rs-dpop-happy', 'R226', async (setting) => {
    expect((await setting.ask([withProof()], { dpop }))[0]?.status).toBe(200);
  }),
  proving('rs-dpop-off', 'R13', async (setting) => {
    const [response] = await setting.ask([withProof()]);
    expect(response?.status).toBe(401);
    expect(response?.headers['www-authenticate']).toBe('Bearer realm="api"');
  }),
  proving('rs-dpop-bearer', 'R230', async (setting) => {
    const [response] = await setting.ask([withProof({}, { scheme: 'Bearer' })], { dpop });
    expect(response?.status).toBe(401);
    expect(response?.headers['www-authenticate']).toContain('error="invalid_token"');
  }),
  proving('rs-dpop-no-proof', 'R228', async (setting) => {
    const [response] = await setting.ask([{ token: dpopToken, scheme: 'DPoP' }], { dpop });
    expectRefusedProof(response, 'invalid_dpop_proof');
  }),
  proving('rs-dpop-two-proofs', 'R228', async (setting) => {
    const headers = [0, 1].map(() => ['DPoP', phone.proof(dpopToken)] as const);
    const [response] = await setting.ask([withProof({}, { headers })], { dpop });
    expect(response?.status).toBe(400);
    expect(response?.headers['www-authenticate']).toContain('error="invalid_request"');
  }),
  proving('rs-dpop-other-key', 'R229', async (setting) => {
    const [response] = await setting.ask([withProof({}, { by: dpopClient() })], { dpop });
    expectRefusedProof(response, 'invalid_token');
  }),
  misproving('rs-dpop-wrong-signature', 'R227', { signer: dpopClient().privateKey }),
  misproving('rs-dpop-wrong-typ', 'R227', { header: { typ: 'JWT' } }),
  misproving('rs-dpop-alg-none', 'R227', { header: { alg: 'none' } }),
  misproving('rs-dpop-private-key', 'R227', { header: { jwk: phone.privateJwk } }),
  misproving('rs-dpop-no-jti', 'R227', { claims: { jti: undefined } }),
  misproving('rs-dpop-wrong-htm', 'R227', { claims: { htm: 'POST' } }),
  misproving('rs-dpop-wrong-htu', 'R227', { claims: { htu: `${proofOrigin}/accounts` } }),
  misproving('rs-dpop-old-iat', 'R227', { claims: { iat: now() - 3_600 } }),
  misproving('rs-dpop-early-iat', 'R227', { claims: { iat: now() + 3_600 } }),
  misproving('rs-dpop-no-ath', 'R227', { claims: { ath: undefined } }),
  misproving('rs-dpop-wrong-ath', 'R227', { claims: { ath: 'a'.repeat(43) } }),
  proving('rs-dpop-replayed', 'R232', async (setting) => {
    const request = withProof();
    const [first, second] = await setting.ask([request, request], { dpop });
    expect(first?.status).toBe(200);
    expectRefusedProof(second, 'invalid_dpop_proof');
  }),
  proving('rs-dpop-replayed-at-once', 'R232', async (setting) => {
    const request = withProof();
    const answers = await setting.askAtOnce(Array(5).fill(request), { dpop });
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 401, 401, 401, 401]);
  }),
  proving('rs-dpop-host-from-client', 'R234', async (setting) => {
    const claims = { htu: 'https://evil.example.com/' };
    const headers = [
      ['DPoP', phone.proof(dpopToken, { claims })],
      ['X-Forwarded-Host', 'evil.example.com'],
    ] as const;
    expectRefusedProof((await setting.ask([withProof({}, { headers })], { dpop }))[0], 'invalid_dpop_proof');
  }),
  proving('rs-dpop-nonce', 'R237', async (setting) => {
    const nonce = { secret: 'n'.repeat(32) };
    const options = { dpop: { ...dpop, nonce } };
    const [first] = await setting.ask([withProof()], options);
    expectRefusedProof(first, 'use_dpop_nonce');
    const claims = { nonce: first?.headers['dpop-nonce'] };
    expect((await setting.ask([withProof({ claims })], options))[0]?.status).toBe(200);
  }),
  proving(
    'rs-dpop-key-and-certificate',
    'R231',
    async (setting) => {
      const { alice, bob } = setting.pki;
      const statuses = async (requests: readonly Sent[]) =>
        (await setting.ask(requests, { dpop })).map(({ status }) => status);
      expect(
        await statuses([
          withProof({}, { identity: alice }),
          withProof({}, { identity: bob }),
          withProof(),
          withProof({}, { identity: alice, by: dpopClient() }),
        ]),
      ).toEqual([200, 401, 401, 401]);
    },
    ({ pki }) => ({ jkt: phone.jkt, 'x5t#S256': pki.alice.thumbprint }),
  ),
];

/** The last of 43 letters has two bits that do not count: with one of them changed it decodes to the same bytes. */
function nextLetter(letter: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return alphabet[alphabet.indexOf(letter) ^ 1] ?? '';
}
