// A policy of a route may wait: for a list, for the authorization server, for anything of the application. The token
// may be revoked or expire meanwhile.
import { Readable } from 'node:stream';
import {
  ClientCertificate,
  createResourceServer,
  type NodeRequest,
  type ResourceServer,
  type Revocation,
  type RoutePolicy,
  routeCertificatePolicy,
  scopesPolicy,
} from '@mtls-bound/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { authority, client } from '../../support/chains.js';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
const root = await authority('CN=Root');
const { der } = await client('CN=alice', root);
const certificate = new ClientCertificate(der);

afterEach(() => {
  vi.restoreAllMocks();
});

function serverWith(changes: Record<string, unknown> = {}): ResourceServer {
  const claims = { jti: 'jti-1', sid: 'session-1', ...changes };
  return createResourceServer(
    optionsOver(
      pretendServer(async () => boundClaims(certificate, claims), issuer),
      certificate,
    ),
  );
}

/** Something that a policy waits for. */
function holding() {
  const { opened, open } = gate();
  const begun = vi.fn();
  const wait = async (): Promise<void> => {
    begun();
    await opened;
  };
  return { wait, open, isWaiting: () => vi.waitFor(() => expect(begun).toHaveBeenCalled()) };
}

type Waiting = (wait: () => Promise<void>) => RoutePolicy;

const policies: [string, Waiting][] = [
  ['a policy of the application', (wait) => wait],
  [
    'the certificate policy of a route',
    (wait) =>
      routeCertificatePolicy({
        authorities: async () => {
          await wait();
          return root.cert;
        },
      }),
  ],
];

const revocations: [string, Revocation, string][] = [
  ['the token', { token: 'token' }, 'token_inactive'],
  ['its jti', { jti: 'jti-1' }, 'token_inactive'],
  ['its subject', { subject: 'user-1' }, 'token_inactive'],
  ['its subject at its issuer', { subject: 'user-1', issuer }, 'token_inactive'],
  ['its client', { clientId: 'alice' }, 'token_inactive'],
  ['its session', { session: 'session-1' }, 'token_inactive'],
  ['its certificate', { thumbprint: certificate.thumbprint }, 'token_inactive'],
  ['another token', { token: 'other' }, 'admitted'],
  ['another subject', { subject: 'user-2' }, 'admitted'],
];

/** Returns what becomes of a request, of which `happen` runs while the policy of its route waits. */
async function outcomeWhile(
  waiting: Waiting,
  happen: (resourceServer: ResourceServer) => unknown,
  resourceServer = serverWith(),
): Promise<string> {
  const { wait, open, isWaiting } = holding();
  const req = requestWith('token');
  const authorization = await resourceServer.authorize(req);
  const outcome = outcomeOf(() => resourceServer.require(req, authorization, waiting(wait)));
  await isWaiting();
  await happen(resourceServer);
  open();
  const code = await outcome;
  await resourceServer.close();
  return code;
}

describe.each([
  ['a policy that decides at once', () => undefined],
  ['a policy that returns a promise', async () => undefined],
] as [string, RoutePolicy][])('%s, after the request has waited in another middleware', (_title, policy) => {
  async function outcomeAfter(happen: (resourceServer: ResourceServer) => unknown): Promise<string> {
    const resourceServer = serverWith();
    const req = requestWith('token');
    const authorization = await resourceServer.authorize(req);
    await happen(resourceServer);
    const code = await outcomeOf(() => resourceServer.require(req, authorization, policy));
    await resourceServer.close();
    return code;
  }

  it.each(revocations)('%s was revoked meanwhile', async (_what, revocation, expected) => {
    expect(await outcomeAfter((resourceServer) => resourceServer.revoke(revocation))).toBe(expected);
  });

  it.each([
    [629, 'admitted'],
    [630, 'token_expired'],
  ])('exp was after 600 s, clockTolerance is 30 s, and %i s passed meanwhile', async (seconds, expected) => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now);
    const pass = () => clock.mockImplementation(() => now + seconds * 1000);
    expect(await outcomeAfter(pass)).toBe(expected);
  });
});

describe.each(policies)('%s waits', (_title, waiting) => {
  it.each(revocations)('%s is revoked meanwhile', async (_what, revocation, expected) => {
    expect(await outcomeWhile(waiting, (resourceServer) => resourceServer.revoke(revocation))).toBe(expected);
  });

  it.each([
    [629, 'admitted'],
    [630, 'token_expired'],
  ])('exp is after 600 s, clockTolerance is 30 s, and %i s pass meanwhile', async (seconds, expected) => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now);
    const pass = () => clock.mockImplementation(() => now + seconds * 1000);
    expect(await outcomeWhile(waiting, pass)).toBe(expected);
  });
});

it('a token that was introspected after a revocation of its subject is accepted', async () => {
  const introspecting: Waiting = (wait) => async (request) => {
    await wait();
    await request.introspect();
  };
  const revoke = (resourceServer: ResourceServer) => resourceServer.revoke({ subject: 'user-1' });
  expect(await outcomeWhile(introspecting, revoke)).toBe('admitted');
});

it('a token that is revoked after it was introspected is refused', async () => {
  const introspecting: Waiting = (wait) => async (request) => {
    await request.introspect();
    await wait();
  };
  const revoke = (resourceServer: ResourceServer) => resourceServer.revoke({ subject: 'user-1' });
  expect(await outcomeWhile(introspecting, revoke)).toBe('token_inactive');
});

describe('a revocation request whose body is on its way', () => {
  const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '11' };

  async function answerWhile(happen: (resourceServer: ResourceServer) => unknown) {
    const resourceServer = serverWith({ scope: 'tokens:revoke' });
    const body = new Readable({ read: () => undefined });
    const req = Object.assign(body, requestWith('token', form), { method: 'POST' }) as unknown as NodeRequest;
    const authorization = await resourceServer.authorize(req);
    const answering = resourceServer.acceptRevocation(req, authorization, scopesPolicy(['tokens:revoke']));
    body.push('sub=');
    await happen(resourceServer);
    body.push('user-1');
    body.push(null);
    const { status } = await answering;
    // The token of the request is of this subject too.
    const next = await outcomeOf(() => resourceServer.require(req, authorization, async () => undefined));
    await resourceServer.close();
    return { status, next };
  }

  it('is accepted', async () => {
    expect(await answerWhile(() => undefined)).toEqual({ status: 200, next: 'token_inactive' });
  });

  it('is refused, and revokes nothing, if the client lost its token meanwhile', async () => {
    const now = Date.now();
    const expire = () => vi.spyOn(Date, 'now').mockImplementation(() => now + 631_000);
    expect(await answerWhile(expire)).toEqual({ status: 401, next: 'token_expired' });
    expect(await answerWhile((resourceServer) => resourceServer.revoke({ token: 'token' }))).toMatchObject({
      status: 401,
    });
  });
});
