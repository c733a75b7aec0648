// What http.fetch, http.agent and tokens give instead of the expected ends no process and is told.
import { Agent } from 'node:https';
import { Readable } from 'node:stream';
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
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { audience } from '../support/audience.js';
import { createPki, type Pki } from '../support/pki.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../support/pretend-server.js';

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

const unusable = 'authorization_server_invalid_answer';
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
])('http.fetch that gives %s', async (_title, given, outcome, message) => {
  const metadata = { introspection_endpoint: 'https://as.example.com/introspect' };
  const server = createResourceServer(
    optionsOver(
      pretendServer(() => ({})),
      certificate,
      {
        metadata,
        http: { fetch: (async () => given()) as never },
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
    metadata: { introspection_endpoint: `${issuer}/introspect` },
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
  expect(() => overAgent(agent)).toThrow(`http.agent: it ${message}`);
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
  expect(() => createResourceServer(options)).toThrow('tokens: it returned no function');
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
    expect(messages()).toContain('observe(): the function refused failed');
  } finally {
    stop();
  }
});
