// A module that only some options need is loaded late. If it can't be loaded, no request is accepted: 503, and the operator
// reads which module is missing.
import {
  ClientCertificate,
  certificateSubjectPolicy,
  type HttpOptions,
  introspection,
  jwtAccessTokens,
  type ProblemEvent,
  psd2RolePolicy,
  psd2Roles,
  type ResourceServerOptions,
  type RoutePolicy,
} from '@mtls-bound/core';
import request from 'supertest';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { generateP256 } from '../../support/key-pairs.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const missing = vi.hoisted(() => () => {
  throw Object.assign(new Error('a path of this machine'), { code: 'ERR_MODULE_NOT_FOUND' });
});
vi.mock('node-fetch', missing);
vi.mock('jose', missing);
vi.mock('../../../packages/core/src/certificate/x509-library.js', missing);

let pki: Pki;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

const issuer = 'https://as.example.com';
const certificate = () => new ClientCertificate(pki.alice.der);
const over = (more: ResourceServerOptions = {}) =>
  optionsOver(
    pretendServer(() => boundClaims(pki.alice)),
    certificate(),
    more,
  );

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (typ: string) => `${part({ alg: 'ES256', typ, kid: 'es' })}.${part({ iss: issuer })}.AAAA`;
const { publicKey } = generateP256();
const ofKeys = {
  authorizationServerMetadata: { jwks_uri: `${issuer}/jwks`, introspection_endpoint: `${issuer}/introspect` },
  http: {
    fetch: async (_url: unknown, { method }: RequestInit = {}) =>
      method === 'POST'
        ? new Response(jwt('token-introspection+jwt'), {
            headers: { 'content-type': 'application/token-introspection+jwt' },
          })
        : Response.json({ keys: [{ ...publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'es' }] }),
  } as HttpOptions,
};

interface Case {
  readonly options: ResourceServerOptions;
  readonly policy?: RoutePolicy;
  readonly token?: string;
  readonly missing: string;
}

const cases: Record<string, () => Case> = {
  'the connection to the authorization server': () => ({
    missing: 'node-fetch',
    options: { issuer, audience, clientId: 'api', clientSecret: 'secret', certificate },
  }),
  'jwtAccessTokens()': () => ({
    missing: 'jose',
    token: jwt('at+jwt'),
    options: { issuer, audience, certificate, tokens: jwtAccessTokens(), ...ofKeys },
  }),
  'introspection({ signed: true })': () => ({
    missing: 'jose',
    options: over({ tokens: introspection({ signed: true }), ...ofKeys }),
  }),
  certificatePolicy: () => ({
    missing: '@peculiar/x509',
    options: over({ certificatePolicy: { subject: 'CN=alice' } }),
  }),
  "certificatePolicy with binding: 'report'": () => ({
    missing: '@peculiar/x509',
    options: over({ binding: 'report', certificatePolicy: { extendedKeyUsage: 'clientAuth' } }),
  }),
  'requireCertificateSubject()': () => ({
    missing: '@peculiar/x509',
    options: over(),
    policy: certificateSubjectPolicy({ CN: 'client_id' }) as RoutePolicy,
  }),
  'requirePsd2Role()': () => ({
    missing: '@peculiar/x509',
    options: over(),
    policy: psd2RolePolicy('PSP_AI') as RoutePolicy,
  }),
};

describe.each(frameworks)('%s', (framework) => {
  it.each(Object.entries(cases))('%s: 503, and no handler runs', async (_title, make) => {
    const { options, policy, token = 'token', missing: module } = make();
    const { listener, handled } = createApi(framework, options, policy);
    const send = () => request(listener).get('/policy').auth(token, { type: 'bearer' });
    // The second finds the token in the cache.
    const answers = [await send(), await send()];
    expect([answers.map(({ status, body }) => [status, body.error]), handled()]).toEqual([
      [
        [503, 'server_error'],
        [503, 'server_error'],
      ],
      0,
    ]);
    const told = problems.map(({ code, message }) => `${code} ${message}`);
    expect(told).toContainEqual(
      expect.stringMatching(new RegExp(`^internal_error .*${module} can not be loaded`)),
    );
    expect(told.join('\n')).not.toContain('a path of this machine');
  });
});

it('psd2Roles() rejects', async () => {
  await expect(psd2Roles(certificate())).rejects.toMatchObject({ code: 'internal_error' });
});
