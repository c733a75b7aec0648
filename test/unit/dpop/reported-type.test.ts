// With `binding: 'report'` a client that sends no good proof is accepted and reported, also if the authorization server
// answers `token_type: DPoP`.
import { createResourceServer, observeClients, type RefusedEvent } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it } from 'vitest';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
const kit = await createTestKit();
const alice = dpopClient();
const boundToKey = { token_type: 'DPoP', cnf: { jkt: alice.jkt } };
const boundToCertificate = { token_type: 'DPoP' };

const byScheme = (scheme: string, proof?: string) =>
  requestWith(undefined, { authorization: `${scheme} token`, ...(proof !== undefined && { dpop: proof }) });

type Row = [
  what: string,
  claims: Record<string, unknown>,
  req: () => ReturnType<typeof requestWith>,
  code: string,
];
const rows: Row[] = [
  [
    'a proof that is too old',
    boundToKey,
    () => byScheme('DPoP', alice.proof('token', { claims: { iat: 1 } })),
    'dpop_proof_untimely',
  ],
  ['no proof', boundToKey, () => byScheme('DPoP'), 'dpop_proof_missing'],
  ['a malformed proof', boundToKey, () => byScheme('DPoP', 'x'), 'dpop_proof_malformed'],
  ['the scheme Bearer', boundToKey, () => byScheme('Bearer'), 'token_wrong_type'],
  [
    'the scheme Bearer, and its certificate',
    boundToCertificate,
    () => byScheme('Bearer'),
    'token_wrong_type',
  ],
];

function serverWith(claims: Record<string, unknown>, binding: 'required' | 'report') {
  return createResourceServer(
    optionsOver(
      pretendServer(async () => boundClaims(kit.certificate, claims)),
      kit.certificate,
      { binding, dpop: { origin: proofOrigin } },
    ),
  );
}

describe.each(rows)('%s for a token of the type DPoP', (_what, claims, req, code) => {
  it('is reported with binding: report', async () => {
    const server = serverWith(claims, 'report');
    expect(await outcomeOf(() => server.authorize(req()))).toBe('admitted');
    expect(reported.map(({ refusal }) => refusal.code)).toEqual([code]);
    await server.close();
  });

  it('is refused with binding: required', async () => {
    const server = serverWith(claims, 'required');
    expect(await outcomeOf(() => server.authorize(req()))).toBe(code);
    await server.close();
  });
});

it.each(['required', 'report'] as const)(
  'binding: %s: a client is not ready once it sends a token of the type DPoP without a proof',
  async (binding) => {
    const clients = observeClients();
    let claims: Record<string, unknown> = {};
    const answer = async () => boundClaims(kit.certificate, claims);
    const options = { binding, dpop: { origin: proofOrigin }, cache: { maxAge: 0 } };
    const server = createResourceServer(optionsOver(pretendServer(answer), kit.certificate, options));
    await outcomeOf(() => server.authorize(byScheme('Bearer')));
    expect(clients.rows()).toMatchObject([{ isReady: true, because: undefined }]);
    claims = boundToCertificate;
    await outcomeOf(() => server.authorize(byScheme('Bearer')));
    expect(clients.rows()).toMatchObject([{ isReady: false, because: 'token_wrong_type' }]);
    clients.end();
    await server.close();
  },
);

it('a token of the type DPoP is refused with binding: report if the option dpop is not set', async () => {
  const server = createResourceServer(
    optionsOver(
      pretendServer(async () => boundClaims(kit.certificate, boundToCertificate)),
      kit.certificate,
      { binding: 'report' },
    ),
  );
  expect(await outcomeOf(() => server.authorize(byScheme('Bearer')))).toBe('token_wrong_type');
  await server.close();
});
