// The events of a request: which of them are published, and what they say of its token and its client.
import {
  type AdmittedEvent,
  type CacheEvent,
  type CertificateEvent,
  ClientCertificate,
  createResourceServer,
  observeByLog,
  type ProblemEvent,
  type RefusedEvent,
  RequestRefused,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setInteraction } from '../../../packages/core/src/shared/interaction-id.js';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const admitted = recordedEvents<AdmittedEvent>('mtls-bound:admitted');
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
const cache = recordedEvents<CacheEvent>('mtls-bound:cache');
const certificates = recordedEvents<CertificateEvent>('mtls-bound:certificate');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const issuer = 'https://as.example.com';
const { thumbprint } = new ClientCertificate({ thumbprint: 'A'.repeat(43) });
const alice = new ClientCertificate({ thumbprint });
const interactionId = '6f3a2d51-3a0a-4cde-8d0f-4e3bb3f0a001';

/** A resource server over an authorization server that says this of each token. */
function serverWith(claims: () => object, more: ResourceServerOptions = {}, shown?: ClientCertificate) {
  return createResourceServer(optionsOver(pretendServer(claims), shown, more));
}
function requestOf(token: string | undefined, headers = {}) {
  const req = requestWith(token, headers);
  setInteraction(req, interactionId);
  return req;
}
const good = () => boundClaims(alice);
const codeIn = ({ refusal }: RefusedEvent) => refusal.code;

it('an accepted request', async () => {
  const server = serverWith(good, {}, alice);
  await server.authorize(requestOf('token'));
  await server.authorize(requestOf('token'));
  const event = {
    issuer,
    clientId: 'alice',
    thumbprint,
    keyThumbprint: undefined,
    isBound: true,
    reported: undefined,
    interactionId,
  };
  expect(admitted).toEqual([event, event]);
  expect(cache).toEqual([{ result: 'miss' }, { result: 'hit' }]);
  const read = { from: 'the option certificate', thumbprint, verified: undefined };
  expect(certificates).toEqual([read, read]);
  expect([refused, reported, problems]).toEqual([[], [], []]);
});

describe('a refused request', () => {
  it.each<[string, () => object, object, CacheEvent['result'][]]>([
    [
      'with an inactive token: whose it was is not known',
      () => ({ active: false }),
      { stage: 'request', issuer: undefined, clientId: undefined, thumbprint, interactionId },
      ['miss', 'rejection_hit'],
    ],
    [
      'with a token of another certificate: whose it is is known',
      () => boundClaims({ thumbprint: 'B'.repeat(43) }),
      { stage: 'request', issuer, clientId: 'alice', thumbprint, interactionId },
      ['miss', 'hit'],
    ],
  ])('%s', async (_title, claims, event, results) => {
    const server = serverWith(claims, {}, alice);
    await outcomeOf(() => server.authorize(requestOf('token')));
    await outcomeOf(() => server.authorize(requestOf('token')));
    expect(refused).toMatchObject([event, event]);
    expect(cache).toEqual(results.map((result) => ({ result })));
    expect([admitted, reported, problems]).toEqual([[], [], []]);
  });

  it('without credentials: nothing is looked for', async () => {
    const server = serverWith(good, {}, alice);
    expect(await outcomeOf(() => server.authorize(requestOf(undefined)))).toBe('credentials_missing');
    const nothing = {
      issuer: undefined,
      clientId: undefined,
      thumbprint: undefined,
      keyThumbprint: undefined,
    };
    expect(refused).toMatchObject([{ stage: 'request', ...nothing, interactionId }]);
    expect([cache, certificates]).toEqual([[], []]);
  });

  it('without certificate: the event of the certificate says so', async () => {
    const server = serverWith(good);
    expect(await outcomeOf(() => server.authorize(requestOf('token')))).toBe('certificate_missing');
    expect(certificates).toEqual([
      { from: 'the option certificate', thumbprint: undefined, verified: undefined },
    ]);
    expect(cache).toEqual([]);
  });

  it('with a proof that is refused: its key is named', async () => {
    const phone = dpopClient();
    const server = serverWith(good, { dpop: { origin: proofOrigin } });
    const dpop = phone.proof('another-token');
    const req = requestOf(undefined, { authorization: 'DPoP token', dpop });
    expect(await outcomeOf(() => server.authorize(req))).toBe('dpop_proof_for_another');
    expect(refused).toMatchObject([{ keyThumbprint: phone.jkt, thumbprint: undefined }]);
  });

  it.each<[string, () => unknown]>([
    [
      'at once',
      () => {
        throw new RequestRefused('scope_insufficient');
      },
    ],
    ['later', async () => Promise.reject(new RequestRefused('scope_insufficient'))],
  ])('by a route, %s: the stage is route', async (_title, policy) => {
    const server = serverWith(good, {}, alice);
    const req = requestOf('token');
    const authorization = await server.authorize(req);
    await outcomeOf(() => server.require(req, authorization, policy as never));
    expect(refused).toMatchObject([
      {
        stage: 'route',
        issuer,
        clientId: 'alice',
        thumbprint,
        interactionId,
        refusal: { code: 'scope_insufficient' },
      },
    ]);
  });
});

it('a request that is only reported', async () => {
  const server = serverWith(good, { binding: 'report' });
  for (const token of ['first', 'first', 'second']) {
    await server.authorize(requestOf(token));
  }
  const event = {
    stage: 'request',
    issuer,
    clientId: 'alice',
    thumbprint: undefined,
    interactionId,
    explanation: { certificateFrom: 'the option certificate', presentedThumbprint: undefined },
  };
  expect(reported).toMatchObject([event, event, event]);
  expect(reported.map(codeIn)).toEqual(Array(3).fill('certificate_missing'));
  expect(admitted.at(-1)).toMatchObject({ isBound: false, reported: 'certificate_missing' });
  expect([...server.reported]).toEqual([['certificate_missing', 3]]);
});

it('the line of a reported request has no status: the client gets another one', async () => {
  const [info, warn, error] = [vi.fn(), vi.fn(), vi.fn()];
  const stop = observeByLog({ info, warn, error });
  // What was open before, such as the circuit breaker of another test, was logged at once.
  for (const log of [info, warn, error]) {
    log.mockClear();
  }
  await serverWith(good, { binding: 'report' }).authorize(requestOf('token'));
  await outcomeOf(() => serverWith(good).authorize(requestOf('token')));
  stop();
  expect(warn.mock.calls).toMatchObject([
    [{ status: undefined, code: 'certificate_missing', clientId: 'alice' }, "accepted by binding: 'report'"],
  ]);
  expect(info.mock.calls).toMatchObject([[{ status: 401, code: 'certificate_missing' }, 'request refused']]);
});

it('a fault of the authorization server is a problem, a fault of the client is none', async () => {
  const failing = serverWith(() => new Response('', { status: 500 }), {}, alice);
  expect(await outcomeOf(() => failing.authorize(requestOf('token')))).toBe('authorization_server_failed');
  expect(problems).toMatchObject([
    { code: 'authorization_server_failed', message: refused[0]?.refusal.message },
  ]);
  const server = serverWith(() => ({ active: false }), {}, alice);
  expect(await outcomeOf(() => server.authorize(requestOf('token')))).toBe('token_inactive');
  expect(problems).toHaveLength(1);
});
