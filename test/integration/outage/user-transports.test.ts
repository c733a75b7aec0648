// What http.fetch, http.agent and tokens give instead of the expected ends no process and is told.
import { Agent as HttpAgent } from 'node:http';
import { Agent } from 'node:https';
import { Duplex, Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import {
  type ClientCertificate,
  createResourceServer,
  type HttpOptions,
  observeByLog,
  type ResourceServer,
  tlsClientAuth,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { answer as answerWith, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

let certificate: ClientCertificate;
let pki: Pki;
beforeAll(async () => {
  certificate = (await createTestKit()).certificate;
  pki = await createPki();
});

const ended = vi.fn();
const warned = vi.fn();
beforeEach(() => {
  ended.mockClear();
  warned.mockClear();
  process.on('unhandledRejection', ended).on('uncaughtException', ended);
  vi.spyOn(process, 'emitWarning').mockImplementation(warned);
});
afterEach(async () => {
  await turn();
  await turn();
  process.off('unhandledRejection', ended).off('uncaughtException', ended);
  expect(ended).not.toHaveBeenCalled();
});

const fail = async (): Promise<never> => {
  throw new Error('of the user');
};
const outcomeOver = async (server: ResourceServer): Promise<string> => {
  const outcome = await outcomeOf(() => server.authorize(requestWith('token')));
  await server.close();
  return outcome;
};
const messages = (): string => warned.mock.calls.map(([message]) => message).join('\n');

const type = { 'content-type': 'application/json' };
const claims = (): Uint8Array => Buffer.from(JSON.stringify(boundClaims(certificate)));
const answer = (changes: object): object => ({ status: 200, headers: type, body: [claims()], ...changes });
/** Gives one chunk that is larger than the limit, and fails when it is left. */
const failingReturn = async function* (): AsyncGenerator<Uint8Array> {
  try {
    yield new Uint8Array(2_000_000);
  } finally {
    await fail();
  }
};
/** A stream of Node that fails without a reader. */
const failingLater = (): Readable => {
  const body = new Readable({ read: () => undefined });
  setImmediate(() => body.destroy(new Error('of the user')));
  return body;
};
const failingChunk = { [Symbol.asyncIterator]: () => ({ next: async () => ({ value: fail() }) }) };

/** Gives chunks without an end and without a pause: nothing but what reads them can let timers run. */
const endless = async function* (chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  for (;;) {
    yield chunk;
  }
};
const endlessAtOnce = function* (chunk: Uint8Array): Generator<Uint8Array> {
  for (;;) {
    yield chunk;
  }
};
const trickling = async function* (size: number, pause: number): AsyncGenerator<Uint8Array> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    yield new Uint8Array(size);
  }
};
/** Empty chunks between the bytes of a right answer. */
const withEmpty = (): Uint8Array[] =>
  [...claims()].flatMap((byte) => [new Uint8Array(), Uint8Array.of(byte)]);

const unusable = 'authorization_server_invalid_answer';
const timeout = 'authorization_server_timeout';
const wrongChunk = 'a chunk of the body is no Uint8Array';
it.each<[string, () => unknown, string, string]>([
  ['a right answer', () => answer({}), 'admitted', ''],
  ['a body that rejects', () => answer({ body: fail() }), unusable, 'whose body is a promise'],
  ['a status that rejects', () => answer({ status: fail() }), unusable, 'whose status is a promise'],
  ['headers that reject', () => answer({ headers: fail() }), unusable, 'whose headers is a promise'],
  [
    'a status that rejects, and a body that fails later',
    () => answer({ status: fail(), body: failingLater() }),
    unusable,
    'whose status is a promise',
  ],
  ['a body that fails later', () => answer({ body: failingLater() }), unusable, 'Error'],
  ['a body of a chunk that rejects', () => answer({ body: failingChunk }), unusable, wrongChunk],
  ['a body of a text', () => answer({ body: ['{}'] }), unusable, wrongChunk],
  ['a body that fails when it is left', () => answer({ body: failingReturn() }), unusable, ''],
  ['nothing', () => undefined, unusable, 'TypeError'],
  ['a body of many chunks, some of them empty', () => answer({ body: withEmpty() }), 'admitted', ''],
  ['empty chunks without end', () => answer({ body: endless(new Uint8Array()) }), unusable, 'empty chunks'],
  [
    'empty chunks without end, at once',
    () => answer({ body: endlessAtOnce(new Uint8Array()) }),
    unusable,
    'empty chunks',
  ],
  [
    'bytes without end',
    () => answer({ body: endless(new Uint8Array(100)) }),
    unusable,
    'larger than http.max',
  ],
  [
    'bytes one by one without end',
    () => answer({ body: endless(new Uint8Array(1)) }),
    unusable,
    'too many small chunks',
  ],
  [
    'a byte now and then, without end',
    () => answer({ body: trickling(1, 20) }),
    timeout,
    'no answer in time',
  ],
  [
    'nothing now and then, without end',
    () => answer({ body: trickling(0, 20) }),
    timeout,
    'no answer in time',
  ],
])('http.fetch that gives %s', async (_title, given, outcome, message) => {
  const metadata = { introspection_endpoint: 'https://as.example.com/introspect' };
  const server = createResourceServer(
    optionsOver(
      pretendServer(() => ({})),
      certificate,
      {
        authorizationServerMetadata: metadata,
        http: { fetch: (async () => given()) as never, timeout: 2, maxResponseSize: 10_000 },
      },
    ),
  );
  expect(await outcomeOver(server)).toBe(outcome);
  expect(messages()).toContain(message);
});

type AgentOption = NonNullable<HttpOptions['agent']>;
const issuer = 'https://127.0.0.1:1';
const overAgent = (agent: unknown, more: object = { clientSecret: 'a-secret' }): ResourceServer =>
  createResourceServer({
    issuer,
    clientId: 'api',
    audience,
    certificate: () => certificate,
    authorizationServerMetadata: { introspection_endpoint: `${issuer}/introspect` },
    http: { agent: agent as AgentOption, timeout: 60 },
    ...more,
  });
const agentWith = (methods: object) => () => Object.assign(new Agent(), methods);

const wrongAgents: [string, () => unknown, string][] = [
  ['a promise that rejects', fail, 'returned a promise'],
  ['a promise of an agent', async () => new Agent(), 'returned a promise'],
  [
    'an agent with an asynchronous createConnection()',
    agentWith({ createConnection: fail }),
    'returned an agent whose createConnection() is asynchronous',
  ],
  [
    'an agent with an asynchronous getName()',
    agentWith({ getName: fail }),
    'returned an agent whose getName() is asynchronous',
  ],
];
it.each(wrongAgents)('http.agent that gives %s is refused at start-up', (_title, agent, message) => {
  expect(() => overAgent(agent)).toThrow(
    `http.agent: expected a function that returns an agent, got a function that ${message}`,
  );
});

it.each(wrongAgents)(
  'http.agent that gives %s for our own certificate: 503',
  async (_title, agent, message) => {
    let isFirst = true;
    const first = (): unknown => {
      const made = isFirst ? new Agent() : agent();
      isFirst = false;
      return made;
    };
    const { cert, key } = pki.alice;
    const server = overAgent(first, { clientAuthentication: tlsClientAuth(async () => ({ cert, key })) });
    expect(await outcomeOver(server)).toBe('internal_error');
    expect(messages()).toContain(`http.agent ${message}`);
  },
);

type Then = (resolve: unknown, reject: (error: unknown) => void) => void;
const thenable = (then: Then) => ({ then });
const failAtOnce = (): never => {
  throw new Error('of the user');
};
const promising: [string, () => unknown, string][] = [
  ['throws', failAtOnce, 'threw Error'],
  ['returns a promise that rejects', () => fail(), 'returned a promise'],
  ['returns a promise of nothing', () => Promise.resolve(), 'returned a promise'],
  ['returns a promise that never settles', () => new Promise(() => undefined), 'returned a promise'],
  ['returns a thenable that rejects', () => thenable((_, reject) => reject(0)), 'returned a promise'],
  ['returns a thenable whose then throws', () => thenable(failAtOnce), 'returned a promise'],
  [
    'returns an object whose getter then throws',
    () => Object.defineProperty({}, 'then', { get: failAtOnce }),
    'returned a promise',
  ],
];
const agentKinds: [string, (methods: object) => () => Agent][] = [
  ['https', agentWith],
  [
    'http',
    (methods) => () =>
      Object.assign(new HttpAgent(), {
        protocol: 'https:',
        defaultPort: 443,
        ...methods,
      }) as unknown as Agent,
  ],
];

describe.each(agentKinds)('http.agent, an agent of node:%s', (_kind, agentOf) => {
  it.each(promising)(
    'whose createConnection() %s: 503 at once, which names it',
    async (_title, give, message) => {
      expect(await outcomeOver(overAgent(agentOf({ createConnection: () => give() })))).toBe(
        'internal_error',
      );
      expect(messages()).toContain(`http.agent: createConnection() of the agent ${message}`);
    },
  );

  it('whose createConnection() returns no connection: 503 at once, which names it', async () => {
    expect(await outcomeOver(overAgent(agentOf({ createConnection: () => 7 })))).toBe('internal_error');
    expect(messages()).toContain('http.agent: createConnection() of the agent returned no connection');
  });

  it.each(promising)(
    'whose createConnection() %s for a request that waited for a connection',
    async (_title, give) => {
      const agent = agentOf({ maxSockets: 1 })();
      const first = new Duplex({ read: () => undefined, write: () => undefined });
      let isFirst = true;
      agent.createConnection = () => {
        const made = isFirst ? first : give();
        isFirst = false;
        return made as Duplex;
      };
      const server = overAgent(() => agent);
      const [one, two] = ['one', 'two'].map((token) => outcomeOf(() => server.authorize(requestWith(token))));
      await vi.waitUntil(() => Object.keys(agent.requests).length > 0);
      // Node makes the connection for the second request now, in a turn of its own.
      first.destroy();
      expect([await one, await two]).toEqual(['internal_error', 'internal_error']);
      await server.close();
    },
  );

  it.each(promising)('whose getName() %s: 503 at once, which names the agent', async (_title, give) => {
    expect(await outcomeOver(overAgent(agentOf({ getName: () => give() })))).toBe('internal_error');
    expect(messages()).toContain('http.agent: the agent threw');
  });
});

describe.each(['keepSocketAlive', 'reuseSocket'])('http.agent whose %s()', (name) => {
  it('is an async function is refused at start-up', () => {
    expect(() => overAgent(agentWith({ [name]: fail }))).toThrow(`whose ${name}() is asynchronous`);
  });

  it.each(promising)('%s: each request is accepted', async (_title, give) => {
    const server = await startFaultyServer(pki);
    server.introspection = answerWith(200, goodClaims(server.issuer, certificate.thumbprint));
    const agent = new Agent({ keepAlive: true, ca: pki.ca.cert });
    const called = vi.fn(() => give());
    Object.assign(agent, { [name]: called });
    const { issuer: at } = server;
    const metadata = { introspection_endpoint: `${at}/introspect` };
    const resourceServer = overAgent(() => agent, {
      issuer: at,
      clientSecret: 'a-secret',
      authorizationServerMetadata: metadata,
    });
    try {
      for (const token of ['one', 'two', 'three']) {
        expect(await outcomeOf(() => resourceServer.authorize(requestWith(token)))).toBe('admitted');
        await turn();
        await vi.waitUntil(() => Object.values(agent.sockets).flat().length === 0);
      }
      expect(called).toHaveBeenCalled();
    } finally {
      await resourceServer.close();
      agent.destroy();
      await server.close();
    }
  });
});

it('http.agent whose addRequest() rejects: 503 at once, which names the agent', async () => {
  expect(await outcomeOver(overAgent(agentWith({ addRequest: fail })))).toBe('internal_error');
  expect(messages()).toContain('http.agent: the agent threw Error');
});

it.each<[string, () => unknown]>([
  ['a promise that rejects', fail],
  ['a promise of a function', async () => async () => 'token_inactive'],
  ['nothing', () => undefined],
])('tokens that gives %s is refused at start-up', (_title, tokens) => {
  const options = optionsOver(
    pretendServer(() => ({})),
    certificate,
    { tokens: tokens as never },
  );
  expect(() => createResourceServer(options)).toThrow(
    'tokens: expected a function that returns a function, got one that returned something else',
  );
});

it('a logger whose methods reject harms no request, and is one warning', async () => {
  const stop = observeByLog({ info: fail, warn: fail, error: fail });
  try {
    const server = createResourceServer(
      optionsOver(
        pretendServer(() => ({ active: false })),
        certificate,
      ),
    );
    expect(await outcomeOver(server)).toBe('token_inactive');
    await turn();
    expect(messages()).toContain('observeEvents(): the function refused failed');
  } finally {
    stop();
  }
});
