import {
  type AuthorizationServerAccess,
  bearerTokenAuthentication,
  type ClientAuthentication,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  introspection,
  type OutgoingRequest,
} from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';

const secret = 'a secret of 32 characters, at the least';
const issuer = 'https://as.example.com';
const server = { issuer, introspection_endpoint: `${issuer}/introspect` };

/** A token source and the requests that it sends. */
function readerOf(authentication: ClientAuthentication, metadata = async () => server) {
  const requests: { readonly url: string; readonly request: OutgoingRequest }[] = [];
  const access: AuthorizationServerAccess = {
    issuer,
    audience: ['https://api.example.com'],
    clockTolerance: 0,
    permittedAlgorithms: undefined,
    client: () => ({ id: 'api', authentication }),
    metadata,
    http: async (url, request) => {
      requests.push({ url, request });
      return new Response('{"active":false}', { headers: { 'content-type': 'application/json' } });
    },
    timeout: 5,
  };
  const read = introspection({ tokenTypeHint: true, parameters: { resource: 'a b' } })(access);
  return { read, requests };
}

const formOf = ({ request }: { request: OutgoingRequest }) =>
  Object.fromEntries(new URLSearchParams(String(request.body)));

const hint = { token_type_hint: 'access_token', resource: 'a b' };

describe('the requests of one source differ in the token alone', () => {
  it.each([
    ['client_secret_basic', clientSecretBasic(secret), {}],
    ['client_secret_post', clientSecretPost(secret), { client_id: 'api', client_secret: secret }],
  ])('%s', async (_method, authentication, proof) => {
    const { read, requests } = readerOf(authentication);
    const tokens = ['first', 'second', 'a+b/c=&token=other %20'];
    for (const token of tokens) {
      expect(await read(token)).toBe('token_inactive');
    }
    expect(requests.map(formOf)).toEqual(tokens.map((token) => ({ ...hint, ...proof, token })));
    const [first, ...others] = requests.map(({ url, request: { method, headers } }) => ({
      url,
      method,
      headers,
    }));
    expect(others).toEqual([first, first]);
    expect(Object.keys(first?.headers ?? {}).includes('authorization')).toBe(!('client_secret' in proof));
  });
});

it('no request has the parameters or headers of another one that was changed', async () => {
  const { read, requests } = readerOf(clientSecretBasic(secret));
  await read('first');
  const { request } = requests[0] as (typeof requests)[number];
  (request.body as URLSearchParams).set('extra', 'x');
  request.headers['x-extra'] = 'x';
  await read('second', { interactionId: 'an-id', countingKeys: [] });
  await read('third');
  expect(requests.slice(1).map(formOf)).toEqual([
    { ...hint, token: 'second' },
    { ...hint, token: 'third' },
  ]);
  expect(requests.map(({ request: { headers } }) => headers['x-fapi-interaction-id'])).toEqual([
    undefined,
    'an-id',
    undefined,
  ]);
  expect(requests[2]?.request.headers).not.toHaveProperty('x-extra');
});

it('each request has an assertion of its own', async () => {
  const { read, requests } = readerOf(clientSecretJwt(secret));
  await read('first');
  await read('second');
  const assertions = requests.map((one) => formOf(one).client_assertion);
  expect(new Set(assertions).size).toBe(2);
});

it('each request has the access token of its time', async () => {
  const own = ['token1', 'token2'];
  const { read, requests } = readerOf(bearerTokenAuthentication(() => own.shift() ?? ''));
  await read('first');
  await read('second');
  expect(requests.map(({ request }) => request.headers.authorization)).toEqual([
    'Bearer token1',
    'Bearer token2',
  ]);
});

it('goes to the endpoint of the metadata of its time', async () => {
  let current = server;
  const { read, requests } = readerOf(clientSecretBasic(secret), async () => current);
  await read('first');
  current = { issuer, introspection_endpoint: `${issuer}/moved` };
  await read('second');
  current = { issuer, introspection_endpoint: 'http://as.example.com/introspect' };
  await expect(read('third')).rejects.toMatchObject({ code: 'authorization_server_unsuitable' });
  expect(requests.map(({ url }) => url)).toEqual([`${issuer}/introspect`, `${issuer}/moved`]);
});

it('has a signal, which is made when it is read', async () => {
  const { read, requests } = readerOf(clientSecretBasic(secret));
  await read('first');
  expect(requests[0]?.request.signal).toBeInstanceOf(AbortSignal);
});
