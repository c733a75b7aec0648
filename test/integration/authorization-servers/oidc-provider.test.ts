// The options of the page, against the real oidc-provider over TLS.
import type { RefusedEvent } from 'express-mtls';
import * as expressMtls from 'express-mtls';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import * as koaMtls from 'koa-mtls';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import { audience, jwtAudience, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useAuthorizationServer } from '../../support/suites.js';
import { pageOptions } from './page-options.js';

const page = 'docs/reference/authorization-servers/oidc-provider.md';
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useAuthorizationServer();

describe.each([
  ['By introspection', audience, jwtAudience],
  ['By JWT', jwtAudience, audience],
])('%s', (heading, resource, another) => {
  describe.each(frameworks)('%s', (framework) => {
    let api: TestApi;
    beforeAll(async () => {
      const options = pageOptions(page, heading, framework === 'Express' ? expressMtls : koaMtls, {
        'https://oidc-provider.example.com': server.issuer,
        'https://api.example.com': resource,
        'process.env.MTLS_BOUND_CLIENT_SECRET': `'${server.secrets.api}'`,
      });
      api = await startApi(framework, pki, { ...options, http: { ca: pki.ca.cert } });
    });
    afterAll(() => api?.close());

    const ask = async (token: string, identity = pki.alice) => {
      const { status, body } = await call(pki, api, '/', identity).auth(token, { type: 'bearer' });
      return { status, clientId: body.clientId, code: status === 200 ? '' : refused.at(-1)?.refusal.code };
    };

    it('a good client is accepted, with the certificate of an authority or a self-signed one', async () => {
      const { alice, selfSignedEc } = testClients(pki);
      const own = await server.token({ ...alice, resource });
      expect(await ask(own)).toMatchObject({ status: 200, clientId: 'alice' });
      const selfSigned = await server.token({ ...selfSignedEc, resource });
      expect(await ask(selfSigned, pki.selfSignedEc)).toMatchObject({ status: 200 });
    });

    it('a stolen token, an unbound one and one of another API are refused', async () => {
      const { alice, unbound } = testClients(pki);
      const stolen = await server.token({ ...alice, resource });
      expect(await ask(stolen, pki.bob)).toMatchObject({ status: 401, code: 'certificate_mismatch' });
      const free = await server.token({ ...unbound, resource });
      expect(await ask(free)).toMatchObject({ status: 401, code: 'token_unbound' });
      const others = await server.token({ ...alice, resource: another });
      const { status, code } = await ask(others);
      expect(status).toBe(401);
      expect(code).toBe(heading === 'By JWT' ? 'jwt_malformed' : 'token_inactive');
    });
  });
});

it('its JWTs have the claims that the page shows', async () => {
  const token = await server.token({ ...testClients(pki).alice, resource: jwtAudience });
  expect(decodeProtectedHeader(token).typ).toBe('at+jwt');
  expect(Object.keys(decodeJwt(token)).toSorted()).toEqual([
    'aud',
    'client_id',
    'cnf',
    'exp',
    'iat',
    'iss',
    'jti',
    'scope',
    'sub',
  ]);
});
