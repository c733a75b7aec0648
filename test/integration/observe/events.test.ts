import { inspect } from 'node:util';
import type { ProblemEvent, RefusedEvent, ResourceServerOptions } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims, goodMetadata } from '../../support/faulty-server.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
let warning: ReturnType<typeof vi.spyOn>;

beforeEach(() => {
  warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  server.metadata = answer(200, goodMetadata(server.issuer));
});
afterEach(() => {
  vi.restoreAllMocks();
});

const token = 'tok-3141592653';
const secret = 'secret-2718281828';

describe.each(frameworks)('%s', (framework) => {
  async function calls(count: number, more: ResourceServerOptions = {}, identity = pki.alice): Promise<void> {
    const api = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: secret,
      audience,
      cache: { maxAge: 0, rejectionMaxAge: 0 },
      http: { ca: pki.ca.cert },
      ...more,
    });
    for (let i = 0; i < count; i += 1) {
      await call(pki, api, '/', identity).auth(token, { type: 'bearer' });
    }
    await api.close();
  }

  it('R63: each refusal is published with its reason, and neither token, secret nor personal data', async () => {
    server.introspection = answer(
      200,
      goodClaims(server.issuer, pki.alice.thumbprint, { sub: 'user-161803' }),
    );
    await calls(2, {}, pki.bob);
    expect(refused.map(({ refusal, thumbprint }) => [refusal.code, thumbprint])).toEqual([
      ['certificate_mismatch', pki.bob.thumbprint],
      ['certificate_mismatch', pki.bob.thumbprint],
    ]);
    server.introspection = answer(401, { error: 'invalid_client' });
    await calls(1);
    const all = inspect([refused, problems, warning.mock.calls], { depth: 20 });
    // What was really sent: the secret is form-urlencoded before it becomes base64 (RFC 6749 §2.3.1).
    const [, sent = ''] = server.requests.at(-1)?.headers.authorization?.split(' ') ?? [];
    expect(Buffer.from(sent, 'base64').toString()).toBe(`api:${secret.replace('-', '%2D')}`);
    for (const private_ of ['3141592653', '2718281828', sent, '161803']) {
      expect(all).not.toContain(private_);
    }
  });

  it.each<[string, () => void, RegExp]>([
    [
      'R44: refused credentials',
      () => {
        server.introspection = answer(401, '');
      },
      /answered 401 to this API's client_secret_basic; check clientId/,
    ],
    [
      'R124: another issuer',
      () => {
        server.metadata = answer(200, { ...goodMetadata(server.issuer), issuer: `${server.issuer}/` });
      },
      /set the option issuer to the server's own spelling/,
    ],
    [
      'no metadata',
      () => {
        server.metadata = answer(404, '');
      },
      /publishes no metadata .* check the option issuer/,
    ],
    [
      'a server error',
      () => {
        server.introspection = answer(500, '');
      },
      /answered 500/,
    ],
  ])(
    'a problem says what to fix, each time on the channel and once as a warning: %s',
    async (_title, prepare, message) => {
      prepare();
      await calls(3);
      expect(problems).toHaveLength(3);
      expect(problems[0]?.message).toMatch(message);
      expect(warning).toHaveBeenCalledTimes(1);
      expect(warning.mock.calls[0]?.[0]).toMatch(message);
    },
  );

  const forged = `\n(node:1) [MTLS_BOUND] forged \u001b[2J${'x'.repeat(1_000)}`;

  it.each<[string, object]>([
    ['issuer', { issuer: `https://as.example.com/${forged}` }],
    [
      'the methods of client authentication',
      { introspection_endpoint_auth_methods_supported: [forged, { toString: 7 }] },
    ],
  ])('a text of the metadata makes no line of its own, and no long one: %s', async (_title, members) => {
    server.metadata = answer(200, { ...goodMetadata(server.issuer), ...members });
    await calls(1);
    const lines = [
      ...problems.map(({ message }) => message),
      ...refused.map(({ refusal }) => refusal.message),
    ];
    const told = lines.filter((line) => line.includes('forged'));
    expect(told.length).toBeGreaterThan(0);
    for (const line of told) {
      expect(line).toMatch(/^[\x20-\x7e§]{1,500}$/);
    }
  });

  it.each([
    ['absent', {}, 1],
    ['false', { tls_client_certificate_bound_access_tokens: false }, 1],
    ['no boolean', { tls_client_certificate_bound_access_tokens: 'true' }, 1],
    ['true', { tls_client_certificate_bound_access_tokens: true }, 0],
  ])(
    'R30: tls_client_certificate_bound_access_tokens %s: a warning or none, no refusal',
    async (_title, flag, warnings) => {
      const { tls_client_certificate_bound_access_tokens: _, ...rest } = goodMetadata(server.issuer);
      server.metadata = answer(200, { ...rest, ...flag });
      server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
      await calls(2);
      expect(refused).toEqual([]);
      expect(problems.map(({ code }) => code)).toEqual(Array(warnings).fill('tokens_may_be_unbound'));
    },
  );

  it('R193: an error in a source or a hook of the user refuses, never admits', async () => {
    server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
    const broken: ResourceServerOptions[] = [
      {
        certificate: () => {
          throw new Error('from the source');
        },
      },
      { certificate: () => ({ thumbprint: pki.alice.thumbprint }) as never },
      { certificate: (async () => undefined) as never },
      {
        tokens: () => () => {
          throw new Error('from the reader');
        },
      },
      { tokens: () => () => Promise.reject('no error at all') },
      { tokens: () => async () => ({}) as never },
      { tokens: () => async () => ({ issuer: server.issuer, claims: {}, audience: [audience] }) as never },
      { tokens: () => async () => undefined as never },
    ];
    for (const more of broken) {
      await calls(1, more);
    }
    expect(refused.map(({ refusal }) => refusal.status)).toEqual([503, 503, 503, 503, 503, 503, 503, 503]);
  });
});

describe.each(frameworks)('%s: the body hook', (framework) => {
  async function body(errorBody: NonNullable<ResourceServerOptions['errorBody']>, withToken = true) {
    const api = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: secret,
      audience,
      http: { ca: pki.ca.cert },
      errorBody,
    });
    const request = call(pki, api, '/');
    const response = await (withToken ? request.auth(token, { type: 'bearer' }) : request);
    await api.close();
    expect(response.status).toBe(401);
    return response;
  }

  it('R93: shapes the body and leaves the challenge alone', async () => {
    const response = await body(({ status, code, body }) => ({
      tppMessages: [{ status, code, text: body?.error }],
    }));
    expect(response.body).toEqual({
      tppMessages: [{ status: 401, code: 'certificate_missing', text: 'invalid_token' }],
    });
    expect(response.headers['www-authenticate']).toContain('error="invalid_token"');
  });

  it('R93: may empty it', async () => {
    const response = await body(() => undefined);
    expect([response.text, response.headers['content-type']]).toEqual(['', undefined]);
  });

  it('R93: may give one to a request without credentials', async () => {
    const response = await body(({ body }) => body ?? { hello: 'a token, please' }, false);
    expect(response.body).toEqual({ hello: 'a token, please' });
  });

  it('R193: a hook that throws costs its body, not the refusal', async () => {
    const response = await body(() => {
      throw new RangeError('of secret-31415');
    });
    expect(response.body.error).toBe('invalid_token');
    expect(problems).toEqual([
      {
        code: 'error_body_failed',
        message: 'the option errorBody failed; the plain body was sent: RangeError was thrown',
      },
    ]);
  });
});
