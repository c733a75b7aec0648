// A token source of the user's own says by `kind` where its answers come from. What a revocation
// and requireActive() do follows from that alone.
import {
  activeTokenPolicy,
  ClientCertificate,
  createResourceServer,
  type NodeRequest,
  type ProblemEvent,
  type ResourceServerOptions,
  readTokenClaims,
  type TokenReader,
} from '@mtls-bound/core';
import { beforeAll, expect, it, vi } from 'vitest';
import { MemoryLog } from '../../support/memory-log.js';
import { gate } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

const issuer = 'https://as.example.com';
const certificate = new ClientCertificate({ thumbprint: 'A'.repeat(43) });

type Members = Pick<TokenReader, 'kind' | 'introspect'>;

/** A resource server over a source with these members, and how often its functions are called. */
function resourceServerOver(members: (read: TokenReader) => Members, options: ResourceServerOptions = {}) {
  const calls = { read: 0, introspect: 0 };
  const iat = Math.floor(Date.now() / 1000) - 60;
  const cnf = { 'x5t#S256': certificate.thumbprint };
  const answer = () => readTokenClaims({ sub: 'alice', iat, exp: iat + 3_600, aud: 'api', cnf }, issuer);
  const read = async () => {
    calls.read += 1;
    return answer();
  };
  const introspect = async () => {
    calls.introspect += 1;
    return answer();
  };
  const chosen = members(introspect);
  const server = createResourceServer({
    issuer,
    audience: 'api',
    certificate: () => certificate,
    tokens: () => Object.assign(read, chosen),
    ...options,
  });
  return { server, calls };
}

function request(): NodeRequest {
  return {
    url: '/',
    headers: {},
    rawHeaders: ['authorization', 'Bearer token'],
    socket: {},
  } as unknown as NodeRequest;
}

async function outcomeOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
    return 'accepted';
  } catch (thrown) {
    return (thrown as { code: unknown }).code;
  }
}

const kinds: [string, (introspect: TokenReader) => Members, string, { read: number; introspect: number }][] =
  [
    ['introspection', () => ({ kind: 'introspection' }), 'accepted', { read: 2, introspect: 0 }],
    [
      'introspection, with a function that is not needed',
      (introspect) => ({ kind: 'introspection', introspect }),
      'accepted',
      { read: 2, introspect: 0 },
    ],
    ['self-contained', () => ({ kind: 'self-contained' }), 'token_inactive', { read: 1, introspect: 0 }],
    ['self-contained by default', () => ({}), 'token_inactive', { read: 1, introspect: 0 }],
    [
      'self-contained, with introspect',
      (introspect) => ({ kind: 'self-contained', introspect }),
      'token_inactive',
      { read: 1, introspect: 0 },
    ],
  ];

it.each(kinds)(
  'after revoke({ subject }) a source of the kind %s is asked as its kind says',
  async (_kind, members, expected, calls) => {
    const { server, calls: seen } = resourceServerOver(members);
    await server.authorize(request());
    await server.revoke({ subject: 'alice' });
    expect(await outcomeOf(() => server.authorize(request()))).toBe(expected);
    expect(seen).toEqual(calls);
  },
);

it.each([
  ['introspection', () => ({ kind: 'introspection' }) as const, 'accepted', { read: 2, introspect: 0 }],
  ['self-contained', () => ({}), 'internal_error', { read: 1, introspect: 0 }],
  [
    'self-contained, with introspect',
    (introspect: TokenReader) => ({ introspect }),
    'accepted',
    { read: 1, introspect: 1 },
  ],
] satisfies typeof kinds)(
  'requireActive() asks a source of the kind %s again',
  async (_kind, members, expected, calls) => {
    const { server, calls: seen } = resourceServerOver(members);
    const req = request();
    const granted = await server.authorize(req);
    expect(await outcomeOf(() => server.require(req, granted, activeTokenPolicy))).toBe(expected);
    expect(seen).toEqual(calls);
    const needs = expect.stringContaining(
      'requireActive() needs jwtAccessTokens({ introspection: introspection() })',
    );
    expect(problems).toMatchObject(expected === 'internal_error' ? [{ message: needs }] : []);
  },
);

it('requireActive() asks once about a self-contained token while the log of revocations is down', async () => {
  const log = Object.assign(new MemoryLog(), { failure: new Error('down') });
  const revocations = { log, secret: 'a secret of at least 32 characters', maxWait: 0 };
  const { server, calls } = resourceServerOver((introspect) => ({ introspect }), { revocations });
  const req = request();
  const granted = await server.authorize(req);
  expect(calls).toEqual({ read: 1, introspect: 1 });
  expect(await outcomeOf(() => server.require(req, granted, activeTokenPolicy))).toBe('accepted');
  expect(calls).toEqual({ read: 1, introspect: 2 });
  await server.close();
});

it.each([
  ['introspection', () => ({ kind: 'introspection' }) as const, 'accepted'],
  ['self-contained, with introspect', (introspect: TokenReader) => ({ introspect }), 'token_inactive'],
] satisfies [string, (introspect: TokenReader) => Members, string][])(
  'requireActive() after revoke({ subject }), over a source of the kind %s: %s',
  async (_kind, members, expected) => {
    const { server } = resourceServerOver(members);
    const req = request();
    const granted = await server.authorize(req);
    await server.revoke({ subject: 'alice' });
    expect(await outcomeOf(() => server.require(req, granted, activeTokenPolicy))).toBe(expected);
  },
);

it('an introspection that began before requireActive() found the token inactive does not count', async () => {
  const { opened, open } = gate();
  const iat = Math.floor(Date.now() / 1000) - 60;
  const cnf = { 'x5t#S256': certificate.thumbprint };
  const read = async () => readTokenClaims({ sub: 'alice', iat, exp: iat + 3_600, aud: 'api', cnf }, issuer);
  // While the log is down, each request is introspected. The second answer is slow, the third is that the token
  // has ended.
  const introspect = vi.fn(read);
  introspect.mockImplementationOnce(read);
  introspect.mockImplementationOnce(() => opened.then(read));
  introspect.mockImplementationOnce(async () => 'token_inactive' as never);
  const log = Object.assign(new MemoryLog(), { failure: new Error('down') });
  const server = createResourceServer({
    issuer,
    audience: 'api',
    certificate: () => certificate,
    tokens: () => Object.assign(read, { introspect }),
    cache: { maxAge: 0 },
    revocations: { log, secret: 'a secret of at least 32 characters', maxWait: 0 },
  });
  const req = request();
  const granted = await server.authorize(req);
  const other = outcomeOf(() => server.authorize(request()));
  await vi.waitFor(() => expect(introspect).toHaveBeenCalledTimes(2));
  expect(await outcomeOf(() => server.require(req, granted, activeTokenPolicy))).toBe('token_inactive');
  open();
  expect(await other).toBe('token_inactive');
  await server.close();
});

it.each(['opaque', '', null, 1])('a source of the kind %j is refused at start-up', (kind) => {
  expect(() => resourceServerOver(() => ({ kind }) as never)).toThrow(
    "tokens: expected a function whose kind is 'introspection' or 'self-contained', got one of another kind",
  );
});

it.each([
  [undefined, 'accepted'],
  ['self-contained' as const, 'token_inactive'],
])(
  'a reader that is its own introspect and names the kind %s: after a revocation it is %s',
  async (kind, after) => {
    const iat = Math.floor(Date.now() / 1000) - 60;
    const cnf = { 'x5t#S256': certificate.thumbprint };
    const read = async () =>
      readTokenClaims({ sub: 'alice', iat, exp: iat + 3_600, aud: 'api', cnf }, issuer);
    const server = createResourceServer({
      issuer,
      audience: 'api',
      certificate: () => certificate,
      tokens: () => Object.assign(read, { introspect: read }, kind && { kind }),
    });
    await server.authorize(request());
    await server.revoke({ subject: 'alice' });
    expect(await outcomeOf(() => server.authorize(request()))).toBe(after);
  },
);

it('a kind that other code has added to Object.prototype counts for no source', async () => {
  const prototype = Object.prototype as { kind?: string };
  prototype.kind = 'introspection';
  try {
    const { server } = resourceServerOver(() => ({}));
    await server.authorize(request());
    await server.revoke({ subject: 'alice' });
    expect(await outcomeOf(() => server.authorize(request()))).toBe('token_inactive');
  } finally {
    delete prototype.kind;
  }
});
