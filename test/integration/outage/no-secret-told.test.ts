import { Agent } from 'node:https';
import { inspect } from 'node:util';
import {
  bearerTokenAuthentication,
  type ClientAuthentication,
  clientSecretBasic,
  clientSecretPost,
  createResourceServer,
  observeByLog,
  observeEvents,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { answer, type Behaviour, type FaultyServer, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';

const secret = 'S3cr=t/+ ü"%41:Z';
const ownToken = 'our-own~token.0123456789/+==';
const token = 'the-clients~token/+0123456789';
const functionKey = 'f-u-n-c-t-i-o-n-key';

let pki: Pki;
let kit: TestKit;
let server: FaultyServer;
beforeAll(async () => {
  pki = await createPki();
  kit = await createTestKit();
  server = await startFaultyServer(pki);
});
afterAll(() => server?.close());

const told: unknown[] = [];
beforeEach(() => {
  told.length = 0;
  vi.spyOn(process, 'emitWarning').mockImplementation((...given) => void told.push(given));
});

const methods: Record<string, () => ClientAuthentication> = {
  client_secret_basic: () => clientSecretBasic(secret),
  client_secret_post: () => clientSecretPost(secret),
  bearer: () => bearerTokenAuthentication(() => ownToken),
};

/** Every spelling of what must not be told: as configured, as the two encodings write it, and as it was really sent. */
async function spellings(method: string): Promise<string[]> {
  server.introspection = answer(200, { active: false });
  // The first connection of a busy machine takes its time.
  await refusal(method, { http: { timeout: 10 } });
  const { headers, body } = server.requests.at(-1) ?? { headers: {}, body: '' };
  const raw = [secret, ownToken, token, functionKey];
  const form = (text: string) => new URLSearchParams({ x: text }).toString().slice(2);
  const sent = [headers.authorization?.split(' ')[1], ...new URLSearchParams(body).values()];
  return [...raw, ...raw.map(encodeURIComponent), ...raw.map(form), ...sent].filter(
    (text): text is string => text !== undefined && text !== 'api',
  );
}

async function refusal(method: string, more: ResourceServerOptions = {}): Promise<unknown> {
  const resourceServer = createResourceServer({
    issuer: server.issuer,
    clientId: 'api',
    clientAuthentication: methods[method]?.() as ClientAuthentication,
    audience,
    certificate: kit.options.certificate as NonNullable<ResourceServerOptions['certificate']>,
    authorizationServerMetadata: {
      introspection_endpoint: `${server.issuer}/introspect?code=${functionKey}`,
    },
    explain: true,
    ...more,
    circuitBreaker: { maxFailures: 2 },
    http: {
      ...(more.http?.fetch === undefined && { ca: pki.ca.cert }),
      timeout: 0.3,
      ...more.http,
    },
  });
  const headers = { 'x-test-client-certificate': kit.certificate.thumbprint };
  const rawHeaders = ['Authorization', `Bearer ${token}`];
  const req = { url: '/', headers, rawHeaders, socket: {} } as never;
  try {
    await resourceServer.authorize(req);
    return undefined;
  } catch (thrown) {
    told.push(resourceServer.answer(thrown, req));
    return thrown;
  } finally {
    await resourceServer.close();
  }
}

/** Answers with all that it was sent. */
const echo =
  (status: number, type = 'application/json'): Behaviour =>
  (req, res, body) => {
    const text = `${req.url} ${JSON.stringify(req.headers)} ${body} ${decodeURIComponent(body.replaceAll('+', ' '))}`;
    res.writeHead(status, { 'content-type': type, location: `https://127.0.0.1/${encodeURI(text)}` });
    res.end(text);
  };

/** An error of a user's own transport, as many HTTP clients throw them. */
const failing = (given: unknown) =>
  Object.assign(new Error(inspect(given, { depth: 9 })), {
    config: given,
    cause: given,
    code: inspect(given),
  });

const statuses = [200, 302, 400, 401, 403, 404, 429, 500, 503];
const paths: [string, Behaviour, (ResourceServerOptions | (() => ResourceServerOptions))?][] = [
  ...statuses.map((status): [string, Behaviour] => [`${status} that quotes the request`, echo(status)]),
  ['403 of a firewall', echo(403, 'text/html')],
  ['an answer that never comes', () => undefined],
  ['a connection that breaks', (req) => req.socket.destroy()],
  [
    'a body that is cut off',
    (_req, res) => void res.writeHead(200, { 'content-length': '9' }).flushHeaders(),
  ],
  ['a body that is too large', answer(200, 'x'.repeat(2_000)), { http: { maxResponseSize: 1_024 } }],
  ['an unknown authority', answer(200, {}), { http: { ca: undefined } }],
  [
    'a connection that is refused',
    answer(200, {}),
    {
      authorizationServerMetadata: {
        introspection_endpoint: `https://127.0.0.1:1/introspect?code=${functionKey}`,
      },
    },
  ],
  [
    'http.fetch that throws',
    answer(200, {}),
    {
      http: {
        fetch: (url, init) => {
          throw failing([url, init, String(init?.body)]);
        },
      },
    },
  ],
  [
    'http.fetch whose body throws',
    answer(200, {}),
    {
      http: {
        fetch: async (url, init) =>
          new Response(
            new ReadableStream({
              pull: () => Promise.reject(failing([url, init, String(init?.body)])),
            }),
          ),
      },
    },
  ],
  [
    'an agent that throws',
    answer(200, {}),
    {
      http: {
        agent: (options) =>
          Object.assign(new Agent(options), {
            addRequest: (request: { getHeaders(): object; path: string }) => {
              throw failing([request.path, request.getHeaders()]);
            },
          }),
      },
    },
  ],
  [
    'an agent whose connection fails',
    answer(200, {}),
    {
      http: {
        agent: (options) =>
          Object.assign(new Agent(options), {
            createConnection: () => {
              throw failing([secret, ownToken]);
            },
          }),
      },
    },
  ],
  [
    'bearerTokenAuthentication() that throws',
    answer(200, {}),
    { clientAuthentication: bearerTokenAuthentication(() => Promise.reject(failing([secret, ownToken]))) },
  ],
  [
    'bearerTokenAuthentication() that returns nonsense',
    answer(200, {}),
    { clientAuthentication: bearerTokenAuthentication(() => secret) },
  ],
];

describe.each(Object.keys(methods))('%s', (method) => {
  it.each(paths)(
    '%s puts no secret, token or key into the refusal, an event, a warning or a line',
    async (_title, behaviour, more = {}) => {
      const forbidden = await spellings(method);
      expect(forbidden.length).toBeGreaterThan(12);
      told.length = 0;
      const note = (...given: unknown[]): void => void told.push(given);
      const ends = [
        observeEvents({
          refused: note,
          problem: note,
          breaker: note,
          introspection: (event) => () => note(event),
        }),
        observeByLog({ info: note, warn: note, error: note }),
      ];
      server.introspection = behaviour;
      const thrown = await refusal(method, typeof more === 'function' ? more() : more);
      for (const end of ends) {
        end();
      }
      expect(thrown).toMatchObject({ status: 503 });
      const everything = inspect([thrown, told], {
        depth: Infinity,
        showHidden: true,
        maxStringLength: null,
      });
      expect(forbidden.filter((text) => everything.includes(text))).toEqual([]);
      // What is looked at is what is told.
      expect(everything).toContain('RequestRefused');
      expect(told.length).toBeGreaterThan(4);
    },
  );
});
