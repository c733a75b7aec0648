// A token source of the user's own gets the requester, and passes it on with its requests.
import {
  ClientCertificate,
  createResourceServer,
  introspection,
  type RequesterFacts,
  RequestRefused,
  type ResourceServerOptions,
  readTokenClaims,
  type TokenReader,
  type TokenSource,
} from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { setInteraction } from '../../../packages/core/src/shared/interaction-id.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);

const alice = new ClientCertificate({ thumbprint: 'A'.repeat(43) });
const bob = new ClientCertificate({ thumbprint: 'B'.repeat(43) });

const id = '6f3a2d51-3a0a-4cde-8d0f-4e3bb3f0a001';

/** A request with `token` and an interaction id. */
function requestOf(token: string) {
  const req = requestWith(token);
  setInteraction(req, id);
  return req;
}

it('a reader gets the token and the requester', async () => {
  const read = vi.fn<TokenReader>(async () =>
    readTokenClaims({ ...boundClaims(alice), active: undefined }, 'https://as.example.com'),
  );
  const server = pretendServer(() => ({}));
  const resourceServer = createResourceServer(
    optionsOver(server, alice, { tokens: () => (token, requester) => read(token, requester) }),
  );
  expect(await outcomeOf(() => resourceServer.authorize(requestOf('t')))).toBe('admitted');
  const requester: RequesterFacts = { interactionId: id, countingKeys: [alice.thumbprint] };
  expect(read.mock.calls).toEqual([['t', requester]]);
});

describe('what a client is counted by', () => {
  const without = ['without certificate and address'];
  it.each<[string, ResourceServerOptions['floodGuard'], ClientCertificate | undefined, string[]]>([
    ['its certificate and its address', {}, alice, [alice.thumbprint, '127.0.0.1']],
    ["its certificate, if the address is not the client's", { address: false }, alice, [alice.thumbprint]],
    ['its address, without certificate', {}, undefined, ['127.0.0.1']],
    ['what all unidentified clients share', { address: false }, undefined, without],
    ['its certificate, if no flood guard is set', false, alice, [alice.thumbprint]],
    ['what all unidentified clients share, if no flood guard is set', false, undefined, without],
    ['its certificate, if it is exempt', { exempt: () => true }, alice, [alice.thumbprint]],
    ['what all unidentified clients share, if it is exempt', { exempt: () => true }, undefined, without],
  ])('is %s', async (_title, floodGuard, certificate, expected) => {
    const read = vi.fn<TokenReader>(async () =>
      readTokenClaims({ ...boundClaims(alice), active: undefined, cnf: undefined }, 'https://as.example.com'),
    );
    const source = Object.assign(() => certificate, { fromConnection: true });
    const options = { tokens: () => read, binding: 'when-bound', certificate: source } as const;
    const resourceServer = createResourceServer(
      optionsOver(
        pretendServer(() => ({})),
        undefined,
        { ...options, ...(floodGuard !== undefined && { floodGuard }) },
      ),
    );
    expect(await outcomeOf(() => resourceServer.authorize(requestOf('t')))).toBe('admitted');
    const [[, requester] = []] = read.mock.calls;
    expect(requester).toEqual({ interactionId: id, countingKeys: expected });
    expect(Object.isFrozen(requester)).toBe(true);
  });
});

it('introspection() that another source wraps sends the interaction id that it was given', async () => {
  const sent: (string | null)[] = [];
  const server = pretendServer((_token, request) => {
    sent.push(new Headers(request.headers).get('x-fapi-interaction-id'));
    return boundClaims(alice);
  });
  const wrapped: TokenSource = (access) => {
    const read = introspection()(access);
    return Object.assign((token: string, requester?: RequesterFacts) => read(token, requester), {
      kind: 'introspection',
    } as const);
  };
  const resourceServer = createResourceServer(optionsOver(server, alice, { tokens: wrapped }));
  expect(await outcomeOf(() => resourceServer.authorize(requestOf('t')))).toBe('admitted');
  expect(sent).toEqual([id]);
});

it('failures of one client leave the breaker closed for another, if the reader passes the requester on', async () => {
  const server = pretendServer((token) =>
    token.startsWith('bad') ? new Response('', { status: 502 }) : boundClaims(bob),
  );
  const own: TokenSource =
    ({ issuer, http }) =>
    async (token, requester) => {
      const body = new URLSearchParams({ token }).toString();
      const response = await http(`${issuer}/own`, { method: 'POST', headers: {}, body, requester });
      if (response.status !== 200) {
        throw new RequestRefused('authorization_server_failed');
      }
      return readTokenClaims((await response.json()) as Record<string, unknown>, issuer);
    };
  const clients = new Map([
    ['alice', alice],
    ['bob', bob],
  ]);
  const resourceServer = createResourceServer(
    optionsOver(server, undefined, {
      tokens: own,
      certificate: (req) => clients.get(String(req.headers['x-client'])),
      floodGuard: { address: false },
      circuitBreaker: { maxFailures: 2 },
    }),
  );
  const send = (client: string, token: string) =>
    outcomeOf(() => resourceServer.authorize(requestWith(token, { 'x-client': client })));
  expect(await send('alice', 'bad-1')).toBe('authorization_server_failed');
  expect(await send('alice', 'bad-2')).toBe('authorization_server_failed');
  expect(await send('alice', 'bad-3')).toBe('authorization_server_not_asked');
  expect(await send('bob', 'good')).toBe('admitted');
});
