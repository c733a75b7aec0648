import { inspect } from 'node:util';
import {
  type ClientAuthentication,
  type ClientSecret,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  createResourceServer,
  jwtAccessTokens,
  RequestRefused,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { jwtVerify } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const { certificate } = await createTestKit();
const refusals = recordedEvents('mtls-bound:refused');
const problems = recordedEvents('mtls-bound:problem');
const [old, renewed] = ['old secret of 32 characters: é+/%', 'new secret of 32 characters: é+/%'];

/** Whether a request proves that this API has the secret. */
type Proves = (request: RequestInit, secret: string) => boolean | Promise<boolean>;

const formOf = ({ body }: RequestInit) => new URLSearchParams(String(body));
const urlencoded = (text: string) => new URLSearchParams({ '': text }).toString().slice(1);

const provesByHeader: Proves = ({ headers }, secret) =>
  new Headers(headers).get('authorization') === `Basic ${btoa(`api:${urlencoded(secret)}`)}`;
const provesByForm: Proves = (request, secret) => formOf(request).get('client_secret') === secret;
const provesByAssertion: Proves = async (request, secret) => {
  const assertion = formOf(request).get('client_assertion') ?? '';
  return jwtVerify(assertion, new TextEncoder().encode(secret)).then(
    () => true,
    () => false,
  );
};

const methods: [string, (secret: ClientSecret) => ClientAuthentication, Proves][] = [
  ['clientSecretBasic()', clientSecretBasic, provesByHeader],
  ['clientSecretPost()', clientSecretPost, provesByForm],
  ['clientSecretJwt()', clientSecretJwt, provesByAssertion],
];

/** An authorization server with a list of secrets, and an API that has it introspect tokens. */
function world(proves: Proves, more: ResourceServerOptions) {
  const accepted = new Set([old]);
  const server = pretendServer(async (_token, request) => {
    const proofs = await Promise.all([...accepted].map((secret) => proves(request, secret)));
    return proofs.includes(true) ? boundClaims(certificate) : Response.json({}, { status: 401 });
  });
  const api = createResourceServer(
    optionsOver(server, certificate, { clientSecret: undefined, ...more } as ResourceServerOptions),
  );
  const call = (token: string) => outcomeOf(() => api.authorize(requestWith(token)));
  return { accepted, server, api, call };
}

it.each(methods)(
  '%s with a function: another secret is used for the next exchange, without a restart',
  async (_name, authenticate, proves) => {
    let current = old;
    const give = vi.fn(async () => current);
    const { accepted, api, call } = world(proves, { clientAuthentication: authenticate(give) });
    expect(await call('first')).toBe('admitted');
    accepted.add(renewed); // the overlap
    expect(await call('second')).toBe('admitted');
    current = renewed;
    expect(await call('third')).toBe('admitted');
    accepted.delete(old);
    expect(await call('fourth')).toBe('admitted');
    // A cached token needs no exchange, and so no secret.
    expect([await call('first'), give.mock.calls.length]).toEqual(['admitted', 4]);
    await api.close();
  },
);

it.each(methods)(
  '%s with a text: it is used for each exchange, also after the server has another one',
  async (_name, authenticate, proves) => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const { accepted, api, call } = world(proves, { clientAuthentication: authenticate(old) });
    expect([await call('first'), await call('second')]).toEqual(['admitted', 'admitted']);
    accepted.delete(old);
    accepted.add(renewed);
    expect(await call('third')).toBe('authorization_server_refused_credentials');
    expect(await call('first')).toBe('admitted');
    await api.close();
  },
);

it('the option clientSecret takes a function, and is short for clientSecretBasic()', async () => {
  const { api, call } = world(provesByHeader, { clientSecret: () => old });
  expect(await call('token')).toBe('admitted');
  await api.close();
});

it('MTLS_BOUND_CLIENT_AUTHENTICATION names the method for a function too', async () => {
  const give = vi.fn(() => old);
  const options = { issuer: 'https://as.example.com', audience: 'a', clientId: 'api', clientSecret: give };
  const { issuers } = resolveSettings(options, { MTLS_BOUND_CLIENT_AUTHENTICATION: 'client_secret_post' });
  const { authentication } = issuers[0]?.client ?? {};
  expect(authentication?.method).toBe('client_secret_post');
  const body = new URLSearchParams();
  await authentication?.authenticate({} as never, { client_id: 'api' }, body, new Headers());
  expect([body.get('client_secret'), give.mock.calls.length]).toEqual([old, 1]);
});

const failing = () => Object.assign(new Error(`no ${renewed}`), { code: 'ENOENT', path: renewed });

const faults: [title: string, give: () => unknown, why: string][] = [
  [
    'throws',
    () => {
      throw failing();
    },
    'failed: Error ENOENT',
  ],
  ['rejects', () => Promise.reject(failing()), 'failed: Error ENOENT'],
  ['rejects with the secret', () => Promise.reject(renewed), 'failed: something that is no Error'],
  [
    'throws a refusal of the token',
    () => {
      throw new RequestRefused('token_inactive', { detail: renewed });
    },
    'failed: RequestRefused',
  ],
  ['returns nothing', () => undefined, 'returned a value of type undefined'],
  ['returns null', async () => null, 'returned a value of type object'],
  ['returns a number', () => 31_415_926, 'returned a value of type number'],
  ['returns a Buffer', () => Buffer.from(renewed), 'returned a Buffer, not a string'],
  ['returns a list', () => [renewed], 'returned a value of type object'],
  ['returns a function', () => () => renewed, 'returned a value of type function'],
  ['returns an empty string', () => '', 'returned an empty string'],
  [
    'returns a line end behind it',
    () => `${renewed}\n`,
    'returned a string with blanks or line ends around it',
  ],
  [
    'returns a blank before it',
    async () => ` ${renewed}`,
    'returned a string with blanks or line ends around it',
  ],
];

const methodNames: Record<string, string> = {
  'clientSecretBasic()': 'client_secret_basic',
  'clientSecretPost()': 'client_secret_post',
  'clientSecretJwt()': 'client_secret_jwt',
};

describe.each(methods)('%s', (name, authenticate, proves) => {
  it.each(faults)('a function that %s: 503, and the operator gets the cause', async (_title, give, why) => {
    let isBroken = true;
    const secret = () => (isBroken ? give() : old) as string;
    const { server, api, call } = world(proves, { clientAuthentication: authenticate(secret) });
    const thrown: unknown = await Promise.resolve(api.authorize(requestWith('token'))).catch(
      (error) => error,
    );
    expect(thrown).toMatchObject({ status: 503, code: 'internal_error' });
    const cause = `this API's ${methodNames[name]}: the function that gives the client secret ${why}`;
    expect((thrown as Error).message).toContain(cause);
    expect(server.asked).toEqual([]);
    const shown = inspect([thrown, api.answer(thrown, requestWith('token')), refusals, problems], {
      depth: 12,
      showHidden: true,
    });
    expect(shown).not.toContain(renewed);
    expect(shown).not.toContain(renewed.slice(0, 16));
    expect(refusals).toMatchObject([{ refusal: { code: 'internal_error', detail: cause } }]);
    // The fault is not remembered.
    isBroken = false;
    expect(await call('token')).toBe('admitted');
    await api.close();
  });

  it('a function that never settles: 503 after http.timeout', async () => {
    const stalled = () => new Promise<string>(() => undefined);
    const { server, api, call } = world(proves, {
      clientAuthentication: authenticate(stalled),
      http: { timeout: 0.05 },
    });
    expect(await call('token')).toBe('internal_error');
    expect(refusals).toMatchObject([
      { refusal: { detail: `this API's ${methodNames[name]} took longer than http.timeout` } },
    ]);
    expect(server.asked).toEqual([]);
    await api.close();
  });
});

it('JWTs that are validated without introspection need no secret', async () => {
  const give = vi.fn(() => old);
  const { api } = world(provesByHeader, { clientSecret: give, tokens: jwtAccessTokens() });
  expect(await outcomeOf(() => api.authorize(requestWith('no-jwt')))).toBe('jwt_malformed');
  expect(give).not.toHaveBeenCalled();
  await api.close();
});
