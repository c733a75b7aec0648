// What a resource server does with a refusal: each request gets one of its own, and the answer of the options.
import {
  ClientCertificate,
  createResourceServer,
  type HttpRefusal,
  type NodeRequest,
  type ProblemEvent,
  RequestRefused,
  type ResourceServer,
  type ResourceServerOptions,
  refusalOf,
} from '@mtls-bound/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { boundClaims, gate, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  return () => vi.restoreAllMocks();
});

const alice = new ClientCertificate({ thumbprint: 'A'.repeat(43) });
const bob = new ClientCertificate({ thumbprint: 'B'.repeat(43) });

const serverWith = (
  more: ResourceServerOptions = {},
  claims: () => object | Promise<object> = () => boundClaims(alice),
) =>
  createResourceServer(
    optionsOver(pretendServer(claims), undefined, {
      certificate: ({ headers }) => ({ alice, bob })[String(headers['x-client'])],
      ...more,
    }),
  );
const requestOf = (client: string, token = 'token') => requestWith(token, { 'x-client': client });

async function refusalFor(decide: () => unknown): Promise<RequestRefused> {
  try {
    await decide();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(RequestRefused);
    return thrown as RequestRefused;
  }
  throw new Error('the request was accepted');
}
const refusedBy = (server: ResourceServer, req: NodeRequest) => refusalFor(() => server.authorize(req));

describe('two requests never share a refusal', () => {
  const explaining = { explain: true } as const;
  const told = (server: ResourceServer, refusal: RequestRefused, req: NodeRequest) =>
    JSON.parse(server.answer(refusal, req).body).error_description;

  it('if one question answers both: each answer names the certificate of its own request', async () => {
    const { opened, open } = gate();
    const server = serverWith({ ...explaining, binding: 'when-bound', floodGuard: false }, async () => {
      await opened;
      return new Response('', { status: 500 });
    });
    const requests = [requestOf('alice'), requestOf('bob')] as const;
    const refusing = requests.map((req) => refusedBy(server, req));
    open();
    const [first, second] = (await Promise.all(refusing)) as [RequestRefused, RequestRefused];
    expect(second).not.toBe(first);
    expect([first.code, second.code]).toEqual(Array(2).fill('authorization_server_failed'));
    expect(told(server, first, requests[0])).toContain(`presents ${alice.thumbprint}`);
    expect(told(server, second, requests[1])).toContain(`presents ${bob.thumbprint}`);
  });

  it('if a policy throws one again and again', async () => {
    const server = serverWith();
    const kept = new RequestRefused('scope_insufficient', { scope: 'a b' });
    const policy = () => {
      throw kept;
    };
    const thrown = new Set<RequestRefused>();
    for (let i = 0; i < 3; i += 1) {
      const req = requestOf('alice');
      const authorization = await server.authorize(req);
      const refusal = await refusalFor(() => server.require(req, authorization, policy));
      expect(refusal).toMatchObject({ code: 'scope_insufficient', scope: 'a b' });
      thrown.add(refusal);
    }
    expect(thrown.size).toBe(3);
  });
});

it.each([
  [true, /^The access token is bound to another client certificate; certificate_mismatch; /],
  [false, /^The access token is bound to another client certificate$/],
])('explain: %s', async (explain, description) => {
  const server = serverWith({ explain });
  const req = requestOf('bob');
  const { body } = server.answer(await refusedBy(server, req), req);
  expect(JSON.parse(body).error_description).toMatch(description);
});

describe('answer() and errorFor()', () => {
  const resource = 'https://api.example.com';
  const metadata = `${resource}/.well-known/oauth-protected-resource`;

  it('challenge by realm, metadata and algorithms of the options', async () => {
    const server = serverWith({
      realm: 'accounts',
      resourceMetadata: { resource },
      dpop: { algorithms: ['ES256'] },
    });
    const req = requestOf('bob');
    const challenge = server.answer(await refusedBy(server, req), req).headers['WWW-Authenticate'];
    expect(challenge).toContain('realm="accounts"');
    expect(challenge).toContain(`resource_metadata="${metadata}"`);
    expect(challenge).toContain('algs="ES256"');
  });

  it('errorFor() returns undefined by default, and records nothing', async () => {
    const server = serverWith();
    const req = requestOf('bob');
    expect(server.errorFor(await refusedBy(server, req), req)).toBeUndefined();
    expect(refusalOf(req)).toBeUndefined();
  });

  it("errorFor() returns an HttpRefusal with onRefused: 'next'", async () => {
    const server = serverWith({ onRefused: 'next' });
    const req = requestOf('bob');
    const refusal = await refusedBy(server, req);
    expect(server.errorFor(refusal, req)).toMatchObject({
      status: 401,
      code: 'certificate_mismatch',
      body: { error: 'invalid_token' },
    });
    expect(refusalOf(req)).toBe(refusal);
  });

  it('answer() records with what a request was refused', async () => {
    const server = serverWith();
    const req = requestOf('bob');
    const refusal = await refusedBy(server, req);
    server.answer(refusal, req);
    expect(refusalOf(req)).toBe(refusal);
  });

  it.each<[string, (server: ResourceServer, refusal: RequestRefused, req: NodeRequest) => unknown]>([
    ['answer()', (server, refusal, req) => JSON.parse(server.answer(refusal, req).body)],
    ['errorFor()', (server, refusal, req) => (server.errorFor(refusal, req) as HttpRefusal).body],
  ])('%s uses the plain body if the option errorBody fails, and reports that', async (_name, bodyOf) => {
    const server = serverWith({
      onRefused: 'next',
      errorBody: () => {
        throw new Error('private');
      },
    });
    const req = requestOf('bob');
    const refusal = await refusedBy(server, req);
    expect(bodyOf(server, refusal, req)).toMatchObject({ error: 'invalid_token' });
    expect(problems).toEqual([
      {
        code: 'error_body_failed',
        message: 'the option errorBody failed; the plain body was sent: Error was thrown',
      },
    ]);
  });

  it('answer with 503 what is no refusal', () => {
    const server = serverWith();
    expect(server.answer(new Error('own'), requestOf('alice')).status).toBe(503);
  });
});
