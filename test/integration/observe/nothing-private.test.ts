// Whatever goes wrong with the authorization server: what was sent to it appears in no error, event, warning or line.
import { createServer as createTcpServer } from 'node:net';
import { inspect } from 'node:util';
import {
  bearerTokenAuthentication,
  type ClientAuthentication,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  createResourceServer,
  introspection,
  observeByLog,
  observeEvents,
  privateKeyJwt,
  type ResourceServerOptions,
  tlsClientAuth,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  answer,
  type Behaviour,
  type FaultyServer,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { brokenConnections, never, outcomes } from '../../support/introspection-outcomes.js';
import { generateP256 } from '../../support/key-pairs.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

const token = 'tok-3141592653';
const clientSecret = 'secret-2718281828-of-the-client-and-long-enough';
let kit: TestKit;
let pki: Pki;
let server: FaultyServer;
let seen: unknown[];
let lines: [object, string][];
let stops: (() => void)[];

beforeAll(async () => {
  [kit, pki] = await Promise.all([createTestKit(), createPki()]);
  server = await startFaultyServer(pki);
});
afterAll(() => server?.close());
beforeEach(() => {
  seen = [];
  lines = [];
  const note = (event: unknown) => void seen.push(event);
  const line = (fields: object, text: string) => void lines.push([fields, text]);
  stops = [
    observeEvents({ refused: note, reported: note, breaker: note, problem: note }),
    observeByLog({ info: line, warn: line, error: line }),
  ];
  vi.spyOn(process, 'emitWarning').mockImplementation(
    ((...given: unknown[]) => void seen.push(given)) as never,
  );
  server.metadata = answer(200, goodMetadata(server.issuer));
});
afterEach(() => {
  for (const stop of stops) {
    stop();
  }
  vi.restoreAllMocks();
});

const { privateKey } = generateP256();
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const methods: [string, () => ClientAuthentication][] = [
  ['client_secret_basic', () => clientSecretBasic(clientSecret)],
  ['client_secret_post', () => clientSecretPost(clientSecret)],
  ['client_secret_jwt', () => clientSecretJwt(clientSecret)],
  ['private_key_jwt', () => privateKeyJwt({ key: pem, kid: 'key-1' })],
  ['bearer', () => bearerTokenAuthentication(() => 'bearer-1618033988')],
  ['tls_client_auth', () => tlsClientAuth({ cert: pki.proxy.cert, key: pki.proxy.key })],
];

/** All forms in which a private text could appear. */
const formsOf = (text: string): string[] => [
  text,
  encodeURIComponent(text),
  Buffer.from(text).toString('base64').replace(/=+$/, ''),
  Buffer.from(text).toString('base64url'),
  Buffer.from(text).toString('hex'),
];

/** Everything of one refusal that anything but the code itself can see: to its last hidden member and cause. */
function everythingOf(thrown: unknown, resourceServer: ReturnType<typeof createResourceServer>): string {
  const options = {
    depth: 12,
    showHidden: true,
    maxStringLength: null,
    maxArrayLength: null,
  };
  return [
    inspect(thrown, options),
    JSON.stringify(thrown),
    inspect(seen, options),
    inspect(lines, options),
    inspect(resourceServer.answer(thrown, {} as never), options),
    (thrown as Error).stack ?? '',
    String((thrown as { detail?: unknown }).detail),
  ].join('\n');
}

async function refusalOf(resourceServer: ReturnType<typeof createResourceServer>): Promise<unknown> {
  try {
    await resourceServer.authorize(requestWith(token));
  } catch (thrown) {
    return thrown;
  }
  return undefined;
}

function expectNothingOf(all: string, private_: readonly string[]): void {
  for (const form of private_.flatMap(formsOf)) {
    expect(all.includes(form), `${form} in ${all.slice(0, 3_000)}`).toBe(false);
  }
  // A line is made of texts and numbers: an error or a request in it would be logged with all that hangs on it.
  for (const [fields] of lines) {
    const kinds = new Set(Object.values(fields).map((value) => typeof value));
    expect([...kinds].filter((kind) => !['string', 'number', 'undefined'].includes(kind))).toEqual([]);
  }
}

/** What a transport of the user's own does with a request. */
const byFetch: [string, (request: RequestInit) => Promise<Response> | Response][] = [
  ...[301, 302, 307, 400, 401, 403, 404, 418, 429, 500, 503].map(
    (status): [string, (request: RequestInit) => Response] => [
      `status ${status} with the request in its body and headers`,
      (request) =>
        new Response(String(request.body), {
          status,
          headers: {
            location: `https://elsewhere.example.com/?${request.body}`,
            'x-echo': JSON.stringify(request.headers),
            'www-authenticate': `Basic realm="${encodeURIComponent(String(request.body))}"`,
          },
        }),
    ],
  ),
  [
    '200 that is no JSON',
    (request) =>
      new Response(`{"active": ${request.body}`, { headers: { 'content-type': 'application/json' } }),
  ],
  [
    '200 of another type',
    (request) => new Response(String(request.body), { headers: { 'content-type': 'text/html' } }),
  ],
  [
    '200 with a scope that is a list',
    (request) => Response.json({ active: true, scope: [String(request.body)] }),
  ],
  ['200 with an active that is none', (request) => Response.json({ active: String(request.body) })],
  [
    'an error with the request on it',
    (request) =>
      Promise.reject(Object.assign(new Error(`failed: ${request.body}`), { request, config: request })),
  ],
  [
    'an error at once',
    (request) => {
      throw new Error(`failed: ${request.body} ${JSON.stringify(request.headers)}`);
    },
  ],
  ['a text in place of an error', (request) => Promise.reject(`failed: ${request.body}`)],
  ['an answer that is too large', (request) => new Response(String(request.body).repeat(2_000))],
  ['nothing at all', () => undefined as never],
];

describe.each(methods)('%s', (method, authentication) => {
  it.each(byFetch)('http.fetch gives %s', async (_title, respond) => {
    const sent: string[] = [];
    const pretend = pretendServer((_token, request) => {
      const form = new URLSearchParams(String(request.body));
      const authorization = new Headers(request.headers).get('authorization');
      sent.push(
        ...['token', 'client_secret', 'client_assertion'].flatMap((name) => form.get(name) ?? []),
        ...(authorization === null ? [] : [authorization, authorization.replace(/^\w+ /, '')]),
      );
      return respond(request);
    });
    const { clientSecret: _, ...options } = optionsOver(pretend, kit.certificate, {
      clientAuthentication: authentication(),
      http: { maxResponseSize: 4_096, timeout: 5 },
    });
    if (method === 'tls_client_auth') {
      // It needs connections of our own.
      expect(() => createResourceServer(options)).toThrow('http.fetch');
      return;
    }
    const resourceServer = createResourceServer(options);
    const thrown = await refusalOf(resourceServer);
    expect(thrown).toBeDefined();
    // What must not be seen was really sent.
    expect(sent).toContain(token);
    expect(sent.length).toBeGreaterThan(1);
    expectNothingOf(everythingOf(thrown, resourceServer), [...new Set(sent), clientSecret, pem]);
  });

  const failing: [string, () => Behaviour][] = [
    ...outcomes
      .filter(
        ([title, , expected]) =>
          typeof expected === 'object' && expected.status === 503 && /S1[34]|R4[4-7]/.test(title),
      )
      .map(([title, make]): [string, () => Behaviour] => [
        title,
        () => make({ issuer: server.issuer, thumbprint: kit.certificate.thumbprint }),
      ]),
    [
      'an answer that repeats the request',
      () => (req, res, body) => {
        res.writeHead(500, { 'content-type': 'text/plain', 'x-echo': encodeURIComponent(body) });
        res.end(JSON.stringify(req.headers) + body);
      },
    ],
  ];
  const ownConnections = ['client_secret_basic', 'client_secret_post', 'tls_client_auth'].includes(method);
  const overOwnConnections = async () => {
    for (const [title, behaviour] of failing) {
      server.introspection = behaviour();
      const isSlow =
        server.introspection === never ||
        title.includes('never') ||
        brokenConnections.has(server.introspection);
      const resourceServer = createResourceServer({
        issuer: server.issuer,
        clientId: 'api',
        clientAuthentication: authentication(),
        audience: 'https://api.example.com',
        certificate: () => kit.certificate,
        http: { ca: pki.ca.cert, timeout: isSlow ? 0.2 : 5, maxResponseSize: 65_536 },
      });
      const sentBefore = server.requests.length;
      const thrown = await refusalOf(resourceServer);
      expect([title, thrown !== undefined]).toEqual([title, true]);
      const sent = server.requests.slice(sentBefore).flatMap(({ headers, body }) => {
        const form = new URLSearchParams(body);
        const { authorization } = headers;
        return [
          ...['token', 'client_secret', 'client_assertion'].flatMap((name) => form.get(name) ?? []),
          ...(authorization === undefined ? [] : [authorization, authorization.replace(/^\w+ /, '')]),
        ];
      });
      expect(sent).toContain(token);
      expectNothingOf(everythingOf(thrown, resourceServer), [
        ...new Set(sent),
        clientSecret,
        pem,
        pki.proxy.key,
      ]);
      await resourceServer.close();
    }
  };
  if (ownConnections) {
    it('over our own connections, whatever the server does', overOwnConnections);
  }

  it('where no connection can be made', async () => {
    const closed = createTcpServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await new Promise((resolve) => closed.once('listening', resolve));
    const { port } = closed.address() as { port: number };
    const issuer = `https://127.0.0.1:${port}`;
    const sent = [
      `api:${clientSecret}`,
      `api:${clientSecret.replaceAll('-', '%2D')}`,
      clientSecret,
      token,
      pem,
      'bearer-1618033988',
    ];
    const common = {
      clientId: 'api',
      clientAuthentication: authentication(),
      audience: 'https://api.example.com',
      certificate: () => kit.certificate,
    };
    const metadata = { introspection_endpoint: `${issuer}/introspect` };
    const cases: ResourceServerOptions[] = [
      {
        issuer,
        ...common,
        authorizationServerMetadata: metadata,
        http: { timeout: 2 },
      } as ResourceServerOptions,
      // An authority that is not trusted.
      { issuer: server.issuer, ...common, http: { timeout: 2 } },
    ];
    try {
      for (const options of cases) {
        const resourceServer = createResourceServer(options);
        const thrown = await refusalOf(resourceServer);
        expect((thrown as { status?: number }).status).toBe(503);
        expectNothingOf(everythingOf(thrown, resourceServer), sent);
        await resourceServer.close();
      }
    } finally {
      closed.close();
    }
  });
});

it('an error of a token source of the user is logged by its name and code, its message, cause and members are not', async () => {
  const resourceServer = createResourceServer({
    ...kit.options,
    certificate: () => kit.certificate,
    tokens: () => async (given) => {
      throw Object.assign(new RangeError('of the source', { cause: new Error(given) }), {
        code: 'ECONNRESET',
        config: { data: given },
      });
    },
  });
  await refusalOf(resourceServer);
  expect(lines.map(([, text]) => text)).toContain('request refused');
  expectNothingOf(inspect(lines, { depth: 20, showHidden: true }), [token, 'of the source']);
  expect(inspect(lines)).toContain('RangeError ECONNRESET was thrown');
});

it('an admitted token, and one that is refused for its claims, are named nowhere', async () => {
  for (const claims of [{}, { aud: 'x' }, { cnf: undefined }, { sub: 7 }]) {
    const pretend = pretendServer(() => boundClaims(kit.certificate, { ...claims, sub: 'user-161803' }));
    const options = optionsOver(pretend, kit.certificate, { tokens: introspection(), clientSecret });
    const resourceServer = createResourceServer(options);
    const thrown = await refusalOf(resourceServer);
    const all =
      thrown === undefined ? inspect([seen, lines], { depth: 20 }) : everythingOf(thrown, resourceServer);
    expectNothingOf(all, [token, clientSecret, 'user-161803']);
  }
});
