import { createServer } from 'node:https';
import {
  introspection,
  jwtAccessTokens,
  type ProblemEvent,
  type RefusedEvent,
  RequestRefused,
  type ResourceServerOptions,
  tlsSocket,
} from '@mtls-bound/core';
import * as express from 'express-mtls';
import * as koa from 'koa-mtls';
import { describe, expect, it, vi } from 'vitest';
import { profiles } from '../../../packages/core/src/fapi/fapi-profiles.js';
import { acceptedAlgorithms } from '../../../packages/core/src/jose/signature-algorithms.js';
import { createApi, frameworks, mutualTls, serve, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call, callOver } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { mismatch } from '../../support/mismatch.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { expectRefusal } from '../../support/refusals.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
const adapters = { Express: express, Koa: koa };
const now = () => Math.floor(Date.now() / 1000);

const options = (more: ResourceServerOptions = {}): ResourceServerOptions => ({
  issuer: server?.issuer ?? 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'secret',
  audience,
  cache: { maxAge: 0 },
  http: { ca: pki?.ca.cert },
  ...more,
});

it.each([
  ['fapi1-advanced', ['PS256', 'ES256']],
  ['fapi2-security', ['PS256', 'ES256', 'EdDSA', 'Ed25519']],
] as const)('profile %s: the algorithms that are accepted when none are named', (profile, algorithms) => {
  expect(acceptedAlgorithms('algorithms', undefined, profiles[profile].algorithms)).toEqual(algorithms);
});

describe.each(['fapi1-advanced', 'fapi2-security'] as const)('profile %s', (profile) => {
  describe.each(frameworks)('%s', (framework) => {
    it.each<[string, ResourceServerOptions, string | RegExp]>([
      [
        'binding when-bound',
        { binding: 'when-bound' },
        new RegExp(`^binding: expected .* next to profile: '${profile}', got "when-bound"$`),
      ],
      ['binding report', { binding: 'report' }, mismatch('binding', '"report"')],
      ['stale answers', { cache: { staleIfError: 1 } }, mismatch('cache.staleIfError', '1')],
      ['a clock that is too exact', { clockTolerance: 5 }, mismatch('clockTolerance', '5')],
      ['a clock that is too loose', { clockTolerance: 61 }, mismatch('clockTolerance', '61')],
      ['no audience of ours', { audience: 'server-enforced' }, mismatch('audience', '"server-enforced"')],
      [
        'RS256 for tokens',
        { tokens: jwtAccessTokens({ algorithms: ['RS256'] }) },
        mismatch('jwtAccessTokens().algorithms', 'RS256'),
      ],
      [
        'RS256 for answers',
        { tokens: introspection({ signed: { algorithms: ['PS256', 'RS256'] } }) },
        mismatch('introspection().signed.algorithms', 'RS256'),
      ],
    ])('%s contradicts it, at start-up', (_title, more, message) => {
      expect(() => adapters[framework].mtlsBound(options({ profile, ...more }))).toThrow(message);
    });

    it.each<[string, object, number]>([
      ['R122: iat 9 seconds ahead', { iat: now() + 9 }, 200],
      ['R122: nbf 8 seconds ahead', { nbf: now() + 8 }, 200],
      ['R122: iat 70 seconds ahead', { iat: now() + 70 }, 401],
      ['R122: nbf 70 seconds ahead', { nbf: now() + 70 }, 401],
      ['R152a R152b: an unbound token', { cnf: undefined }, 401],
    ])('%s', async (_title, claims, status) => {
      server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint, claims as never));
      const api = await startApi(framework, pki, options({ profile }));
      try {
        expect((await call(pki, api, '/', pki.alice).auth('t', { type: 'bearer' })).status).toBe(status);
      } finally {
        await api.close();
      }
    });

    const wrapped = tlsSocket();
    const certificateSources: [string, ResourceServerOptions][] = [
      ['tlsSocket()', {}],
      ['a function around tlsSocket()', { certificate: (req) => wrapped(req) }],
    ];
    const suites: [string, string, 'TLSv1.2' | 'TLSv1.3', number][] = [
      ['a suite of both lists', 'ECDHE-RSA-AES128-GCM-SHA256', 'TLSv1.2', 200],
      ['a suite of none', 'ECDHE-RSA-AES128-SHA256', 'TLSv1.2', 400],
      ['CBC with SHA-1', 'ECDHE-RSA-AES256-SHA', 'TLSv1.2', 400],
      ['TLS 1.3', '', 'TLSv1.3', 200],
    ];
    it.each(
      certificateSources.flatMap(([title, source]) => suites.map((row) => [title, source, ...row] as const)),
    )(
      'R155 R156: where the server let it through, the connection is looked at by %s: %#',
      async (_source, source, _title, ciphers, version, status) => {
        server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
        const { listener, handled } = createApi(framework, options({ profile, ...source }));
        const loose = {
          ...mutualTls(pki),
          cert: pki.serverRsa.cert,
          key: pki.serverRsa.key,
          ciphers: version === 'TLSv1.3' ? 'DEFAULT' : `${ciphers}:@SECLEVEL=0`,
        };
        const api = await serve(createServer(loose, listener), handled);
        try {
          const connection = {
            ca: pki.ca.cert,
            cert: pki.alice.cert,
            key: pki.alice.key,
            ciphers: version === 'TLSv1.3' ? 'DEFAULT' : `${ciphers}:@SECLEVEL=0`,
            minVersion: version,
            maxVersion: version,
          };
          const answered = await callOver(connection, api.url, 't');
          expect(answered.status).toBe(status);
          if (status === 400) {
            expect(refused.at(-1)?.refusal.message).toMatch(
              /^tls_unsuitable: TLSv1.2 with .*fapiTlsOptions\(\)/,
            );
          }
        } finally {
          await api.close();
        }
      },
    );
  });
});

describe.each(frameworks)("%s: binding: 'report'", (framework) => {
  it.each<[string, object, 'alice' | 'bob' | undefined, string | undefined]>([
    ['all is well', {}, 'alice', undefined],
    ['another certificate', {}, 'bob', 'certificate_mismatch'],
    ['no certificate', {}, undefined, 'certificate_missing'],
    ['a token that is bound to nothing', { cnf: undefined }, 'alice', 'token_unbound'],
    ['a token of DPoP', { cnf: { jkt: 'x' } }, 'alice', 'token_bound_otherwise'],
  ])('%s: the request passes, and what would refuse it is told', async (_title, claims, who, code) => {
    server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint, claims as never));
    const api = await startApi(framework, pki, options({ binding: 'report' }));
    expect(problems.map(({ code: name }) => name)).toContain('binding_not_enforced');
    try {
      const response = await call(pki, api, '/', who && pki[who]).auth('t', { type: 'bearer' });
      expect([response.status, response.body.clientId, response.body.isBound]).toEqual([
        200,
        'alice',
        code === undefined,
      ]);
      expect(reported.map(({ refusal }) => refusal.code)).toEqual(code === undefined ? [] : [code]);
      expect(refused).toEqual([]);
    } finally {
      await api.close();
    }
  });

  it('all else refuses as ever: token, scope, trouble', async () => {
    const api = await startApi(
      framework,
      pki,
      options({ binding: 'report', cache: { maxAge: 0, rejectionMaxAge: 0 } }),
    );
    const send = (path: string) => call(pki, api, path, pki.bob).auth('t', { type: 'bearer' });
    try {
      server.introspection = answer(200, { active: false });
      await expectRefusal(await send('/'), { status: 401, error: 'invalid_token' });
      server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint, { aud: 'x' }));
      await expectRefusal(await send('/'), { status: 401, error: 'invalid_token' });
      server.introspection = answer(500, '');
      await expectRefusal(await send('/'), { status: 503, error: 'temporarily_unavailable' });
      server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
      await expectRefusal(await send('/payments'), {
        status: 403,
        error: 'insufficient_scope',
        scope: 'payments:write',
      });
      await expectRefusal(await call(pki, api, '/', pki.bob), { status: 401 });
    } finally {
      await api.close();
    }
  });

  it('a certificate source that fails is trouble as ever', async () => {
    for (const error of [new Error('of the source'), new RequestRefused('authorization_server_timeout')]) {
      const certificate = () => {
        throw error;
      };
      const api = await startApi(framework, pki, options({ binding: 'report', certificate }));
      try {
        expect((await call(pki, api, '/', pki.alice).auth('t', { type: 'bearer' })).status).toBe(503);
      } finally {
        await api.close();
      }
    }
  });

  it('counts what it told, by code', async () => {
    server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
    const { resourceServer } = adapters[framework].mtlsBound(
      options({ binding: 'report', certificate: () => undefined }),
    );
    const request = { url: '/', headers: {}, rawHeaders: ['Authorization', 'Bearer t'], socket: {} };
    for (let i = 0; i < 3; i += 1) {
      const one = { ...request };
      await resourceServer.authorize(one as never);
      // A second mtlsBound() of the same request does not count it again.
      await resourceServer.authorize(one as never);
    }
    expect([...resourceServer.reported]).toEqual([['certificate_missing', 3]]);
  });
});
