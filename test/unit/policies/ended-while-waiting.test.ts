// A policy of a route may wait: for a list, for the authorization server, for anything of the application. The token
// may be revoked or expire meanwhile.
import { Readable } from 'node:stream';
import {
  ClientCertificate,
  createResourceServer,
  issuerByHeader,
  type NodeRequest,
  type ResourceServer,
  type ResourceServerOptions,
  type Revocation,
  type RevocationChannel,
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
  type PretendServer,
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

const decisions: [string, RoutePolicy][] = [
  ['a policy that decides at once', () => undefined],
  ['a policy that returns a promise', async () => undefined],
];

describe.each(decisions)('%s, after the request has waited in another middleware', (_title, policy) => {
  async function outcomeAfter(
    happen: (resourceServer: ResourceServer, req: NodeRequest) => unknown,
  ): Promise<string> {
    const resourceServer = serverWith();
    const req = requestWith('token');
    const authorization = await resourceServer.authorize(req);
    await happen(resourceServer, req);
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

  it('its revocation was received meanwhile, and forgotten in a flood of others', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    let after = '';
    const outcome = await outcomeAfter(async (resourceServer) => {
      await resourceServer.revoke({ subject: 'user-1' });
      for (let i = 0; i < 100_000; i += 1) {
        await resourceServer.revoke({ subject: `other-${i}` });
      }
      const later = requestWith('token');
      const authorization = await resourceServer.authorize(later);
      after = await outcomeOf(() => resourceServer.require(later, authorization, policy));
    });
    expect(outcome).toBe('revocations_unknown');
    expect(after).toBe('admitted');
  }, 30_000);

  const changes: [string, (req: NodeRequest) => void][] = [
    ['added a token to the URL', (req) => Object.assign(req, { url: '/?access_token=other' })],
    ['removed the Authorization header', clearHeaders],
    [
      'put the token of a backend into the Authorization header',
      (req) => {
        clearHeaders(req);
        req.headers.authorization = 'Bearer other';
        req.rawHeaders.push('authorization', 'Bearer other');
      },
    ],
  ];

  it.each(changes)(
    'accepts a request of which a middleware %s, while other clients ask',
    async (_what, change) => {
      const outcome = await outcomeAfter(async (resourceServer, req) => {
        change(req);
        await resourceServer.authorize(requestWith('another-token'));
      });
      expect(outcome).toBe('admitted');
    },
  );

  it.each(changes)('refuses a revoked token though a middleware %s', async (_what, change) => {
    const outcome = await outcomeAfter(async (resourceServer, req) => {
      change(req);
      await resourceServer.revoke({ token: 'token' });
    });
    expect(outcome).toBe('token_inactive');
  });
});

/** As a middleware does that must not pass the token on. */
function clearHeaders(req: NodeRequest): void {
  req.rawHeaders.length = 0;
  delete req.headers.authorization;
}

it('requireActive() asks about the token of the request, whatever a middleware put into its headers', async () => {
  const pretend = pretendServer(async () => boundClaims(certificate), issuer);
  const resourceServer = createResourceServer(optionsOver(pretend, certificate));
  const req = requestWith('token');
  const authorization = await resourceServer.authorize(req);
  clearHeaders(req);
  req.headers.authorization = 'Bearer other';
  await resourceServer.require(req, authorization, ({ introspect }) => introspect());
  await resourceServer.close();
  expect(pretend.asked).toEqual(['token', 'token']);
});

it('requireActive() ends the cached answer of the issuer that the request first named, whatever a middleware changed', async () => {
  let isActive = true;
  const [first, second] = ['https://a.example.com', 'https://b.example.com'].map((name) =>
    pretendServer(async () => (isActive ? boundClaims(certificate) : { active: false }), name),
  ) as [PretendServer, PretendServer];
  const {
    issuer: _issuer,
    clientId,
    clientSecret,
    http: _http,
    ...options
  } = optionsOver(first, certificate);
  const resourceServer = createResourceServer({
    ...options,
    issuers: [first, second].map((server) => ({
      issuer: server.issuer,
      clientId,
      clientSecret,
      http: { fetch: server.fetch },
    })),
    selectIssuer: issuerByHeader('x-tenant', { a: first.issuer, b: second.issuer }),
  } as ResourceServerOptions);
  const req = requestWith('token', { 'x-tenant': 'a' });
  const authorization = await resourceServer.authorize(req);
  clearHeaders(req);
  req.rawHeaders.push('x-tenant', 'b');
  isActive = false;
  const active: RoutePolicy = ({ introspect }) => introspect();
  expect(await outcomeOf(() => resourceServer.require(req, authorization, active))).toBe('token_inactive');
  const next = requestWith('token', { 'x-tenant': 'a' });
  expect(await outcomeOf(() => resourceServer.authorize(next))).toBe('token_inactive');
  await resourceServer.close();
});

it("requireActive() asks the issuer of the token alone, also with selectIssuer: 'in-order'", async () => {
  const answers: [string, () => object][] = [
    ['https://a.example.com', () => ({ active: false })],
    ['https://b.example.com', () => boundClaims(certificate)],
  ];
  const servers = answers.map(([name, answer]) => pretendServer(answer, name));
  const resourceServer = createResourceServer({
    audience: 'https://api.example.com',
    certificate: () => certificate,
    issuers: servers.map((server) => ({
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'a-client-secret',
      http: { fetch: server.fetch },
    })),
    selectIssuer: 'in-order',
  } as ResourceServerOptions);
  const req = requestWith('token');
  const authorization = await resourceServer.authorize(req);
  const active: RoutePolicy = ({ introspect }) => introspect();
  expect(await outcomeOf(() => resourceServer.require(req, authorization, active))).toBe('admitted');
  expect(servers.map(({ asked }) => asked.length)).toEqual([1, 2]);
  await resourceServer.close();
});

describe('a request that was accepted before the channel of revocations was interrupted, and came back', () => {
  it.each([
    ['decides at once', () => undefined, 'admitted'],
    ['returns a promise', async () => undefined, 'revocations_unknown'],
  ] as [string, RoutePolicy, string][])('is checked by a policy that %s', async (_what, policy, expected) => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const begun = vi.fn<RevocationChannel['subscribe']>(async () => async () => undefined);
    const channel: RevocationChannel = { publish: async () => undefined, subscribe: begun };
    const secret = 'a secret of at least 32 characters';
    const pretend = pretendServer(async () => boundClaims(certificate), issuer);
    const resourceServer = createResourceServer(
      optionsOver(pretend, certificate, { revocations: { channel, secret } }),
    );
    await vi.waitFor(() => expect(begun).toHaveBeenCalled());
    const [[listener]] = begun.mock.calls as [[Parameters<RevocationChannel['subscribe']>[0]]];
    const req = requestWith('token');
    const authorization = await resourceServer.authorize(req);
    listener.interrupted();
    listener.restored();
    await resourceServer.revoke({ subject: 'another-user' });
    expect(await outcomeOf(() => resourceServer.require(req, authorization, policy))).toBe(expected);
    expect(await outcomeOf(() => resourceServer.authorize(requestWith('token')))).toBe('admitted');
    await resourceServer.close();
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
