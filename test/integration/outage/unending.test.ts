import {
  bearerTokenAuthentication,
  createResourceServer,
  type ResourceServerOptions,
  tlsClientAuth,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { beforeEach, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { goodClaims } from '../../support/faulty-server.js';

const issuer = 'https://as.example.com';
const never = () => new Promise<never>(() => undefined);
const json = { headers: { 'content-type': 'application/json' } };

const kit = await createTestKit();
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

function create(more: ResourceServerOptions) {
  return createResourceServer({
    issuer,
    audience,
    clientId: 'api',
    ...(more.clientAuthentication === undefined && { clientSecret: 'a-secret' }),
    floodGuard: false,
    certificate: kit.options.certificate as NonNullable<ResourceServerOptions['certificate']>,
    authorizationServerMetadata: { introspection_endpoint: `${issuer}/introspect` },
    ...more,
    http: { timeout: 0.1, maxConcurrent: 4, maxQueued: 5, ...more.http },
    ...(more.circuitBreaker && { circuitBreaker: more.circuitBreaker }),
  });
}

const ask = async (server: ReturnType<typeof create>, token: string): Promise<unknown> => {
  const headers = { 'x-test-client-certificate': kit.certificate.thumbprint };
  const req = { url: '/', headers, rawHeaders: ['Authorization', `Bearer ${token}`], socket: {} } as never;
  try {
    return (await server.authorize(req))?.subject;
  } catch (error) {
    return (error as { code: unknown }).code;
  }
};

const stalled = () => new Response(new ReadableStream({ pull: never }), json);
const timeout = 'authorization_server_timeout';

it.each<[string, ResourceServerOptions, string]>([
  ['http.fetch that ignores the signal', { http: { fetch: never } }, timeout],
  ['http.fetch whose body stalls', { http: { fetch: async () => stalled() } }, timeout],
  [
    'bearerTokenAuthentication()',
    { clientAuthentication: bearerTokenAuthentication(never) },
    'internal_error',
  ],
  ['tlsClientAuth(function)', { clientAuthentication: tlsClientAuth(never) }, 'internal_error'],
  ['tokens, a function of our own', { tokens: () => never }, 'internal_error'],
])('%s that never settles: the request is answered, and close() ends', async (_title, options, code) => {
  const server = create(options);
  expect(await ask(server, 'a')).toBe(code);
  const pending = ask(server, 'b');
  await server.close();
  expect(await pending).toBe(code);
});

it('an exchange that never settles gives its place back', async () => {
  let isStuck = true;
  const fetch = async () =>
    isStuck ? never() : Response.json(goodClaims(issuer, kit.certificate.thumbprint));
  const server = create({ http: { fetch }, circuitBreaker: { maxFailures: 100 } });
  const stuck = await Promise.all(['a', 'b', 'c', 'd'].map((token) => ask(server, token)));
  expect(stuck).toEqual([timeout, timeout, timeout, timeout]);
  isStuck = false;
  expect(await ask(server, 'e')).toBe('user-1');
  await server.close();
});

it('http.maxQueued: 0: maxConcurrent exchanges run, and one more is refused at once', async () => {
  const answers: ((response: Response) => void)[] = [];
  const fetch = () => new Promise<Response>((resolve) => answers.push(resolve));
  const server = create({
    http: { fetch, timeout: 5, maxConcurrent: 4, maxQueued: 0 },
  });
  const underWay = ['a', 'b', 'c', 'd'].map((token) => ask(server, token));
  expect(await ask(server, 'e')).toBe('authorization_server_not_asked');
  await vi.waitFor(() => expect(answers).toHaveLength(4));
  for (const resolve of answers) {
    resolve(Response.json(goodClaims(issuer, kit.certificate.thumbprint)));
  }
  expect(await Promise.all(underWay)).toEqual(['user-1', 'user-1', 'user-1', 'user-1']);
  await server.close();
});
