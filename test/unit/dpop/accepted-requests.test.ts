// A request with a proof is accepted once all other checks have passed: last of all its proof is used up,
// here or in a store that processes share.
import {
  type AdmittedEvent,
  type Authorization,
  activeTokenPolicy,
  createResourceServer,
  type ProofStore,
  type RefusedEvent,
  RequestRefused,
  type ResourceServer,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const kit = await createTestKit();
const phone = dpopClient();
const byKey = { cnf: { jkt: phone.jkt } };
const issuer = 'https://as.example.com';

const admitted = recordedEvents<AdmittedEvent>('mtls-bound:admitted');
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

type DpopOptions = Partial<NonNullable<ResourceServerOptions['dpop']>>;

let claims: Record<string, unknown>;
beforeEach(() => {
  claims = byKey;
});
/** A resource server whose clients show no certificate. */
const serverWith = (dpop: DpopOptions = {}, more: ResourceServerOptions = {}) =>
  createResourceServer(
    optionsOver(
      pretendServer(() => boundClaims(kit.certificate, claims)),
      undefined,
      { dpop: { origin: proofOrigin, ...dpop }, ...more },
    ),
  );
const requestOf = (proof = phone.proof('token')) =>
  requestWith(undefined, { authorization: 'DPoP token', dpop: proof });

/** A store whose answers a test gives. */
function heldStore() {
  const answers: ((isNew: boolean) => void)[] = [];
  const add = () => new Promise<boolean>((resolve) => answers.push(resolve));
  return { store: { add }, isAsked: () => vi.waitFor(() => expect(answers).toHaveLength(1)), answers };
}

/** The ways to a token, each of which waits for a store in its own place. */
const ways: [string, (server: ResourceServer) => unknown][] = [
  ['a token that is introspected', () => undefined],
  [
    'a cached token',
    async (server) => {
      // A bad proof uses nothing up.
      const outcome = await outcomeOf(() =>
        server.authorize(requestOf(phone.proof('token', { signer: dpopClient().privateKey }))),
      );
      expect(outcome).toBe('dpop_signature_invalid');
    },
  ],
];

describe.each(ways)('%s', (_way, prepare) => {
  it('is accepted with a proof, which counts once', async () => {
    const server = serverWith();
    await prepare(server);
    const proof = phone.proof('token');
    const authorization = (await server.authorize(requestOf(proof))) as Authorization;
    expect(authorization).toMatchObject({ isBound: true, keyThumbprint: phone.jkt, certificate: undefined });
    expect(admitted).toMatchObject([
      { issuer, clientId: 'alice', isBound: true, keyThumbprint: phone.jkt, thumbprint: undefined },
    ]);
    expect(await outcomeOf(() => server.authorize(requestOf(proof)))).toBe('dpop_proof_replayed');
    expect(refused.at(-1)).toMatchObject({
      stage: 'request',
      issuer,
      clientId: 'alice',
      keyThumbprint: phone.jkt,
      thumbprint: undefined,
    });
  });

  it.each<[string, boolean, (server: ResourceServer) => unknown, string]>([
    ['has not got its proof', true, () => undefined, 'admitted'],
    ['has its proof', false, () => undefined, 'dpop_proof_replayed'],
    [
      'is asked, and the token is revoked',
      true,
      (server) => server.revoke({ token: 'token' }),
      'token_inactive',
    ],
    [
      'is asked, and another token is revoked',
      true,
      (server) => server.revoke({ token: 'other' }),
      'admitted',
    ],
    [
      'is asked, and the token expires',
      true,
      () => {
        const now = Date.now();
        vi.spyOn(Date, 'now').mockImplementation(() => now + 50_000);
      },
      'token_expired',
    ],
  ])('of which the store %s', async (_title, isNew, happen, expected) => {
    claims = { ...byKey, exp: Math.floor(Date.now() / 1000) + 10 };
    const { store, isAsked, answers } = heldStore();
    const server = serverWith({ store, timeout: 5 });
    await prepare(server);
    const outcome = outcomeOf(() => server.authorize(requestOf()));
    await isAsked();
    await happen(server);
    answers[0]?.(isNew);
    expect(await outcome).toBe(expected);
    expect(admitted).toHaveLength(expected === 'admitted' ? 1 : 0);
    if (expected !== 'admitted') {
      expect(refused.at(-1)).toMatchObject({ stage: 'request', issuer, clientId: 'alice' });
    }
  });

  it.each<[string, DpopOptions]>([
    ['in this process', {}],
    ['in a store', { store: { add: async () => true } }],
  ])('checked twice in one request, uses its proof up once: %s', async (_title, dpop) => {
    const server = serverWith(dpop);
    await prepare(server);
    const req = requestOf();
    expect(await outcomeOf(() => server.authorize(req))).toBe('admitted');
    expect(await outcomeOf(() => server.authorize(req))).toBe('admitted');
  });

  it.each<[string, ProofStore['add'], string]>([
    ['has its proof', async () => false, 'dpop_proof_replayed'],
    ['fails at first', async () => Promise.reject(new Error('away')), 'dpop_proofs_not_recorded'],
  ])('is refused again in one request if the store %s', async (_title, add, expected) => {
    const server = serverWith({ store: { add } });
    await prepare(server);
    const req = requestOf();
    expect(await outcomeOf(() => server.authorize(req))).toBe(expected);
    expect(await outcomeOf(() => server.authorize(req))).toBe('dpop_proof_replayed');
  });

  it('asks no store about a request that is refused anyway', async () => {
    const { store, answers } = heldStore();
    const server = serverWith({ store });
    await prepare(server);
    await server.revoke({ token: 'token' });
    expect(await outcomeOf(() => server.authorize(requestOf()))).toBe('token_inactive');
    expect(answers).toEqual([]);
  });
});

it('a token of the type DPoP is accepted with a proof', async () => {
  claims = { ...byKey, token_type: 'DPoP' };
  expect(await outcomeOf(() => serverWith().authorize(requestOf()))).toBe('admitted');
});

it.each([
  ['required', 'certificate_refused', []],
  ['report', 'admitted', ['certificate_refused']],
] as const)(
  "a certificate that the certificate policy refuses counts next to a proof, with binding: '%s': %s",
  async (binding, expected, codes) => {
    const certificatePolicy = { subject: 'CN=of another' };
    const more = { binding, certificatePolicy, certificate: () => kit.certificate };
    expect(await outcomeOf(() => serverWith({}, more).authorize(requestOf()))).toBe(expected);
    expect(reported.map(({ refusal }) => refusal.code)).toEqual(codes);
  },
);

it('a cached token with a proof is accepted at once if no store is asked', async () => {
  const server = serverWith();
  await server.authorize(requestOf());
  const req = requestOf();
  expect(server.isOwnAuthorization(req, server.authorize(req))).toBe(true);
});

it('a proof under the scheme Bearer, and no certificate: the operator reads what the request lacks', async () => {
  const req = requestWith('token', { dpop: phone.proof('token') });
  expect(await outcomeOf(() => serverWith().authorize(req))).toBe('dpop_scheme_missing');
  expect(refused[0]?.refusal.detail).toBe(
    'the request has a header DPoP and the scheme Bearer, and no certificate',
  );
});

describe("binding: 'report'", () => {
  it.each<[string, DpopOptions]>([
    ['this process', {}],
    ['a store', { store: { add: async () => false } }],
  ])('a proof that %s has is reported once, and binds the request to nothing', async (_title, dpop) => {
    const server = serverWith(dpop, { binding: 'report' });
    const proof = phone.proof('token');
    if (dpop.store === undefined) {
      await server.authorize(requestOf(proof));
    }
    const req = requestOf(proof);
    for (let check = 0; check < 2; check += 1) {
      expect(await server.authorize(req)).toMatchObject({ isBound: false, keyThumbprint: undefined });
    }
    expect(reported).toMatchObject([
      {
        refusal: { code: 'dpop_proof_replayed' },
        stage: 'request',
        issuer,
        clientId: 'alice',
        keyThumbprint: phone.jkt,
      },
    ]);
    expect(admitted.at(-1)).toMatchObject({ isBound: false, reported: 'dpop_proof_replayed' });
  });

  it('requireActive() binds no request to a key whose proof was not used up', async () => {
    claims = { cnf: undefined };
    const server = serverWith({}, { binding: 'report' });
    const req = requestOf();
    const authorization = await server.authorize(req);
    expect(authorization).toMatchObject({ isBound: false });
    claims = byKey;
    expect(await server.require(req, authorization, activeTokenPolicy)).toMatchObject({
      isBound: false,
      keyThumbprint: undefined,
    });
  });

  it('of two reasons the first is reported, once: the certificate, then the proof', async () => {
    const server = serverWith(
      {},
      {
        binding: 'report',
        certificate: () => {
          throw new RequestRefused('certificate_malformed');
        },
      },
    );
    const req = requestOf('x');
    expect(await outcomeOf(() => server.authorize(req))).toBe('admitted');
    expect(await outcomeOf(() => server.authorize(req))).toBe('admitted');
    expect(reported.map(({ refusal }) => refusal.code)).toEqual(['certificate_malformed']);
  });
});

it('requireActive() keeps a request bound to its key, whose proof it does not use up again', async () => {
  const server = serverWith();
  const req = requestOf();
  const authorization = await server.authorize(req);
  expect(await server.require(req, authorization, activeTokenPolicy)).toMatchObject({
    isBound: true,
    keyThumbprint: phone.jkt,
  });
});

describe('a request that proves nothing', () => {
  it.each([
    ['required', 'certificate_missing', []],
    ['when-bound', 'dpop_scheme_missing', ['token']],
    ['report', 'admitted', ['token']],
  ] as const)('binding: %s: %s', async (binding, expected, asked) => {
    const pretend = pretendServer(() => boundClaims(kit.certificate, byKey));
    const server = createResourceServer(
      optionsOver(pretend, undefined, { binding, dpop: { origin: proofOrigin } }),
    );
    expect(await outcomeOf(() => server.authorize(requestWith('token')))).toBe(expected);
    expect(pretend.asked).toEqual(asked);
  });
});

describe('nextNonce()', () => {
  const nonce = { secret: 'n'.repeat(32) };

  it('returns a nonce for a request that has a proof, and for no other', async () => {
    const server = serverWith({ nonce }, { binding: 'when-bound' });
    const first = requestOf();
    expect(await outcomeOf(() => server.authorize(first))).toBe('dpop_nonce_required');
    expect(server.nextNonce(first, undefined)).toBeUndefined();
    const { 'DPoP-Nonce': demanded } = server.answer(refused[0]?.refusal, first).headers as Record<
      string,
      string
    >;
    const req = requestOf(phone.proof('token', { claims: { nonce: demanded } }));
    expect(server.nextNonce(req, await server.authorize(req))).toMatch(/^[\w-]+$/);
  });

  it('returns none if none is demanded', async () => {
    const server = serverWith();
    const req = requestOf();
    expect(server.nextNonce(req, await server.authorize(req))).toBeUndefined();
  });

  it('returns none without the option dpop', async () => {
    const server = createResourceServer(
      optionsOver(
        pretendServer(() => boundClaims(kit.certificate)),
        kit.certificate,
      ),
    );
    const req = requestWith('token');
    const authorization = await server.authorize(req);
    expect(server.isOwnAuthorization(req, authorization)).toBe(true);
    expect(server.nextNonce(req, authorization)).toBeUndefined();
  });
});
