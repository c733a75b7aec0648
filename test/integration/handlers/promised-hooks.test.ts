// A function that must answer at once and returns a promise admits no request, and its rejection ends no process.
import { setImmediate as turn } from 'node:timers/promises';
import {
  certificateSubjectPolicy,
  customHeader,
  nginx,
  proxyHeader,
  type ResourceServerOptions,
  type RoutePolicy,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import request from 'supertest';
import { afterEach, beforeAll, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { createApi, type Framework } from '../../support/apis.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let kit: TestKit;
let pki: Pki;
beforeAll(async () => {
  [kit, pki] = await Promise.all([createTestKit(), createPki()]);
});

const unhandled = vi.fn();
let warning: MockInstance;
beforeEach(() => {
  unhandled.mockClear();
  process.on('unhandledRejection', unhandled);
  warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  process.off('unhandledRejection', unhandled);
  vi.restoreAllMocks();
});

const fail = (): never => {
  throw new Error('of the hook');
};
type Then = (resolve: (value: unknown) => void, reject: (error: unknown) => void) => void;
const thenable = (then: Then) => ({ then });

/** Each is given what the hook would have to return at once. */
const promised: [string, (right: unknown) => unknown][] = [
  ['a promise of the right value', async (right) => right],
  ['a promise that rejects', async () => fail()],
  ['a thenable of the right value', (right) => thenable((resolve) => resolve(right))],
  ['a thenable that rejects', () => thenable((_, reject) => reject(0))],
  ['a thenable whose then throws', () => thenable(fail)],
  ['an object whose getter then throws', () => Object.defineProperty({}, 'then', { get: fail })],
];

interface Hooked {
  readonly options: ResourceServerOptions;
  readonly policy?: RoutePolicy;
}

const good = () => pretendServer(() => boundClaims(pki.alice));
const through = (trust: (address: unknown) => unknown) =>
  optionsOver(good(), undefined, { certificate: proxyHeader(nginx(), { trust: trust as never }) });
const behind = (changes: object) => {
  const decode = (value: string) => pemBytes(decodeURIComponent(value));
  const preset = customHeader({ header: 'x-ssl-client-cert', decode, ...changes });
  return optionsOver(good(), undefined, { certificate: proxyHeader(preset, { trust: () => true }) });
};
const pemBytes = (pem: string) => Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
const throughProxy = () => through(() => true);

const hooks: Record<string, (answer: (right: unknown) => unknown) => Hooked> = {
  certificate: (answer) => ({
    options: optionsOver(
      pretendServer(() => boundClaims(kit.certificate)),
      undefined,
      { certificate: (() => answer(kit.certificate)) as never },
    ),
  }),
  'proxyHeader().trust': (answer) => ({ options: through(() => answer(true)) }),
  'customHeader().decode': (answer) => ({ options: behind({ decode: () => answer(pki.alice.der) }) }),
  'customHeader().isVerified': (answer) => ({
    options: behind({ verifyHeader: 'x-ssl-client-verify', isVerified: () => answer(true) }),
  }),
  selectIssuer: (answer) => {
    const { issuer, clientId, clientSecret, ...options } = throughProxy();
    const issuers = [{ issuer, clientId, clientSecret }] as never;
    return { options: { ...options, issuers, selectIssuer: (() => answer(issuer)) as never } };
  },
  'floodGuard.exempt': (answer) => ({
    options: { ...throughProxy(), floodGuard: { exempt: (() => answer(true)) as never } },
  }),
  'floodGuard.address': (answer) => ({
    options: { ...throughProxy(), floodGuard: { address: (() => answer('192.0.2.1')) as never } },
  }),
  'requireCertificateSubject()': (answer) => ({
    options: throughProxy(),
    policy: certificateSubjectPolicy({ CN: (() => answer('alice')) as never }),
  }),
};

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s', (framework) => {
  const send = async ({ options, policy }: Hooked) => {
    const api = createApi(framework, options, policy);
    const response = await request(api.listener)
      .get('/policy')
      .set('x-ssl-client-cert', encodeURIComponent(pki.alice.cert))
      .set('x-ssl-client-verify', 'yes')
      .auth('token', { type: 'bearer' });
    await turn();
    return { response, handled: api.handled() };
  };

  describe.each(Object.entries(hooks))('%s', (_name, hooked) => {
    it('accepts the request when it answers at once', async () => {
      expect((await send(hooked((right) => right))).response.status).toBe(200);
    });

    it.each(promised)('returns %s: 503, and no handler runs', async (_title, answer) => {
      const { response, handled } = await send(hooked(answer));
      expect([response.status, handled]).toEqual([503, 0]);
      expect(unhandled).not.toHaveBeenCalled();
    });
  });

  describe('errorBody', () => {
    it.each([...promised, ['an error that it throws', fail] as const])(
      'returns %s: the plain body, and one problem',
      async (_title, answer) => {
        const options = optionsOver(good(), kit.certificate, {
          errorBody: (({ body }: { body: unknown }) => answer({ ...(body as object), help: 'x' })) as never,
        });
        const { response, handled } = await send({ options });
        expect([response.status, response.body, handled]).toEqual([
          401,
          {
            error: 'invalid_token',
            error_description: 'The access token is bound to another client certificate',
          },
          0,
        ]);
        expect(response.headers['www-authenticate']).toContain('error="invalid_token"');
        expect(unhandled).not.toHaveBeenCalled();
        const codes = warning.mock.calls.map(([, { code }]) => code);
        expect(codes.filter((code) => code === 'MTLS_BOUND_ERROR_BODY_FAILED')).toHaveLength(1);
      },
    );
  });
});
