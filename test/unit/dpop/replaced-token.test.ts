// A middleware may replace the token of a request, and the same mtlsBound() may check the request again. A DPoP proof
// counts for the token alone that it came with.
import {
  type Authorization,
  createResourceServer,
  type NodeRequest,
  type RefusedEvent,
  type ResourceServer,
  scopesPolicy,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const kit = await createTestKit();
const alice = dpopClient();
const toKey = { cnf: { jkt: alice.jkt } };
const toCertificate = {};

/** What the authorization server says of each token. */
let claims: Record<string, Record<string, unknown>>;
let server: ResourceServer;
beforeEach(() => {
  claims = { first: toKey, second: toCertificate };
  server = createResourceServer(
    optionsOver(
      pretendServer(async (token) => boundClaims(kit.certificate, claims[token])),
      kit.certificate,
      { dpop: { origin: proofOrigin, nonce: { secret: 'a secret of at least 32 characters' } } },
    ),
  );
});
afterEach(() => server.close());

/** Gives the request this token, with a proof if the scheme is DPoP. */
function replaceToken(req: NodeRequest, scheme: 'DPoP' | 'Bearer', token: string, nonce?: string): void {
  const proof = scheme === 'DPoP' ? { dpop: alice.proof(token, { claims: { nonce } }) } : {};
  const headers = { authorization: `${scheme} ${token}`, ...proof };
  req.rawHeaders.splice(0, Number.POSITIVE_INFINITY, ...Object.entries(headers).flat());
  Object.assign(req.headers, { dpop: undefined }, headers);
}

async function authorize(req: NodeRequest, scheme: 'DPoP' | 'Bearer', token: string): Promise<Authorization> {
  replaceToken(req, scheme, token, nonce);
  return (await server.authorize(req)) as Authorization;
}

let nonce: string;
beforeEach(async () => {
  const req = requestWith(undefined);
  replaceToken(req, 'DPoP', 'first');
  const refusal: unknown = await Promise.resolve()
    .then(() => server.authorize(req))
    .catch((thrown: unknown) => thrown);
  nonce = String(server.answer(refusal, req).headers['DPoP-Nonce']);
});

const requireActive = (req: NodeRequest, authorization: Authorization): Promise<string> =>
  outcomeOf(() => server.require(req, authorization, ({ introspect }) => introspect()));

describe('requireActive(), after a token that is bound to a key, with a proof, was replaced', () => {
  it('accepts a token that is bound to the certificate, with the scheme Bearer', async () => {
    const req = requestWith(undefined);
    await authorize(req, 'DPoP', 'first');
    expect(await requireActive(req, await authorize(req, 'Bearer', 'second'))).toBe('admitted');
  });

  it('refuses a token with the scheme Bearer that is bound to the key, says the server by then', async () => {
    const req = requestWith(undefined);
    await authorize(req, 'DPoP', 'first');
    const second = await authorize(req, 'Bearer', 'second');
    claims.second = toKey;
    expect(await requireActive(req, second)).toBe('dpop_scheme_missing');
    expect(refused.at(-1)).toMatchObject({ stage: 'route', keyThumbprint: undefined });
  });

  it('refuses the first token once the proof of the second is the one that is known', async () => {
    claims.second = toKey;
    const req = requestWith(undefined);
    const first = await authorize(req, 'DPoP', 'first');
    expect(await requireActive(req, first)).toBe('admitted');
    const second = await authorize(req, 'DPoP', 'second');
    expect(await requireActive(req, first)).toBe('dpop_scheme_missing');
    expect(await requireActive(req, second)).toBe('admitted');
  });
});

describe('the nonce of a response', () => {
  it('is for a request that was accepted with the proof of its token', async () => {
    const req = requestWith(undefined);
    const first = await authorize(req, 'DPoP', 'first');
    expect(server.nextNonce(req, first)).toBe(nonce);
    const second = await authorize(req, 'Bearer', 'second');
    expect(server.nextNonce(req, second)).toBeUndefined();
  });

  it('is not for what did not accept the request', async () => {
    const [req, other] = [requestWith(undefined), requestWith(undefined)];
    const first = await authorize(req, 'DPoP', 'first');
    await authorize(other, 'DPoP', 'first');
    expect(server.nextNonce(req, undefined)).toBeUndefined();
    expect(server.nextNonce(req, { ...first })).toBeUndefined();
    expect(server.nextNonce(other, first)).toBeUndefined();
  });
});

it('a report of a refusal names the key of the proof that came with the refused token', async () => {
  const req = requestWith(undefined);
  const first = await authorize(req, 'DPoP', 'first');
  expect(await outcomeOf(() => server.require(req, first, scopesPolicy(['admin'])))).toBe(
    'scope_insufficient',
  );
  expect(refused.at(-1)).toMatchObject({ stage: 'route', keyThumbprint: alice.jkt });
  replaceToken(req, 'Bearer', 'second');
  claims.second = { active: false };
  expect(await outcomeOf(() => server.authorize(req))).toBe('token_inactive');
  expect(refused.at(-1)).toMatchObject({ keyThumbprint: undefined });
  claims.third = { active: false };
  replaceToken(req, 'DPoP', 'third', nonce);
  expect(await outcomeOf(() => server.authorize(req))).toBe('token_inactive');
  expect(refused.at(-1)).toMatchObject({ keyThumbprint: alice.jkt });
});
