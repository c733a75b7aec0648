import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConnectionOptions,
  clientSecretPost,
  introspection,
  type ProblemEvent,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import {
  answer,
  type Behaviour,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import {
  type About,
  brokenConnections,
  claims,
  good,
  invalidToken,
  lasting,
  never,
  outcomes,
  passes,
  passing,
} from '../../support/introspection-outcomes.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { type ExpectedRefusal, expectRefusal } from '../../support/refusals.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

beforeEach(() => {
  server.metadata = answer(200, goodMetadata(server.issuer));
});

const options = (more: ResourceServerOptions = {}): ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  ...(more.clientAuthentication === undefined && { clientSecret: 'secret' }),
  audience,
  // Nothing is remembered, so that each answer counts.
  cache: { maxAge: 0, rejectionMaxAge: 0 },
  http: { ca: pki.ca.cert, timeout: 0.4, maxResponseSize: 65_536 },
  ...more,
});

const about = (): About => ({ issuer: server.issuer, thumbprint: pki.alice.thumbprint });

describe.each(frameworks)('%s: each answer has one outcome', (framework) => {
  let api: TestApi;
  beforeAll(async () => {
    api = await startApi(framework, pki, options());
  });
  afterAll(() => api?.close());

  it.each(outcomes)('%s', async (_title, behaviour, expected) => {
    const asked = server.requests.length;
    const handled = api.handled();
    server.introspection = behaviour(about());
    const response = await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' });
    if (expected === passes) {
      expect(response.status).toBe(200);
    } else {
      await expectRefusal(response, expected);
    }
    expect(api.handled() - handled).toBe(expected === passes ? 1 : 0);
    // Asked once and no more: no redirect followed, nothing tried again but a broken connection.
    expect(server.requests.length - asked).toBe(brokenConnections.has(behaviour(about())) ? 2 : 1);
    // R60: whatever it was, it is not remembered.
    server.introspection = good(about());
    expect((await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' })).status).toBe(200);
  });

  it('R55: scopes are split at blanks and kept in their case; R56: other members reach the handler', async () => {
    server.introspection = claims({ scope: 'read Read  write ', extension_field: { deep: [1] } })(about());
    const response = await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' });
    expect(response.body.scopes).toEqual(['read', 'Read', 'write']);
    expect(response.body.claims.extension_field).toEqual({ deep: [1] });
    expect(response.body.subject).toBe('user-1');
  });

  it('R42 R90: nothing of the token, the certificate or the server’s words reaches the client', async () => {
    const secrets = [
      'tok-3141592653',
      pki.alice.thumbprint,
      pki.bob.thumbprint,
      'the server says',
      'user-1',
      server.issuer,
    ];
    const behaviours = [
      claims({})(about()),
      claims({ active: false, error_description: 'the server says' })(about()),
      answer(400, { error: 'invalid_request', error_description: 'the server says' }),
      answer(500, 'the server says'),
    ];
    for (const behaviour of behaviours) {
      server.introspection = behaviour;
      const response = await call(pki, api, '/', pki.bob).auth('tok-3141592653', { type: 'bearer' });
      expect(response.status).toBeGreaterThanOrEqual(400);
      const told = JSON.stringify(response.headers) + response.text;
      expect(secrets.filter((secret) => told.includes(secret))).toEqual([]);
    }
  });
});

describe('the request to the introspection endpoint', () => {
  const odd = 'a+b/c~d.e_f-g==';

  async function asked(more: ResourceServerOptions) {
    const api = await startApi('Express', pki, options(more));
    try {
      server.introspection = good(about());
      expect((await call(pki, api, '/', pki.alice).auth(odd, { type: 'bearer' })).status).toBe(200);
    } finally {
      await api.close();
    }
    const request = server.requests.at(-1);
    return { ...request, headers: request?.headers ?? {}, form: new URLSearchParams(request?.body) };
  }

  it('R34 R35 R37 R38: a form by POST, the token as it is, our secret encoded in Basic', async () => {
    const { method, url, headers, form } = await asked({ clientId: 'api:1', clientSecret: 'pä:ss wörd+&' });
    expect({ method, url }).toEqual({ method: 'POST', url: '/introspect' });
    expect(headers['content-type']).toMatch(/^application\/x-www-form-urlencoded/);
    expect(headers.accept).toBe('application/json');
    expect([...form]).toEqual([['token', odd]]);
    const [id, secret] = Buffer.from(String(headers.authorization).replace('Basic ', ''), 'base64')
      .toString()
      .split(':');
    // RFC 6749 Appendix B: both are form-urlencoded before they are joined.
    expect(new URLSearchParams(`id=${id}&secret=${secret}`).get('id')).toBe('api:1');
    expect(new URLSearchParams(`id=${id}&secret=${secret}`).get('secret')).toBe('pä:ss wörd+&');
  });

  it('R38: has id and secret in its body by client_secret_post', async () => {
    const { headers, form } = await asked({
      clientAuthentication: clientSecretPost('pä:ss wörd+&'),
    });
    expect(headers.authorization).toBeUndefined();
    expect(form.get('client_id')).toBe('api');
    expect(form.get('client_secret')).toBe('pä:ss wörd+&');
  });

  it('R36 R64: has a hint and further parameters only where the options name them', async () => {
    const tokens = introspection({ tokenTypeHint: true, parameters: { resource: 'x' } });
    const { form } = await asked({ tokens });
    expect(Object.fromEntries(form)).toEqual({ token: odd, token_type_hint: 'access_token', resource: 'x' });
  });

  it('R45: a 400 means inactive only for a server that is said to break the rule', async () => {
    const api = await startApi(
      'Koa',
      pki,
      options({ tokens: introspection({ badRequestMeansInactive: true }) }),
    );
    try {
      server.introspection = answer(400, { error: 'invalid_token' });
      await expectRefusal(await call(pki, api, '/', pki.alice).auth(odd, { type: 'bearer' }), invalidToken);
    } finally {
      await api.close();
    }
  });

  it("R52: a missing audience passes when audience is 'server-enforced'", async () => {
    const api = await startApi('Koa', pki, options({ audience: 'server-enforced' }));
    try {
      server.introspection = claims({ aud: undefined })(about());
      expect((await call(pki, api, '/', pki.alice).auth(odd, { type: 'bearer' })).status).toBe(200);
    } finally {
      await api.close();
    }
  });
});

describe('discovery', () => {
  async function outcome(
    more: ResourceServerOptions,
    expected: ExpectedRefusal | typeof passes,
  ): Promise<void> {
    const api = await startApi('Express', pki, options(more));
    try {
      server.introspection = good(about());
      const response = await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' });
      await (expected === passes ? expect(response.status).toBe(200) : expectRefusal(response, expected));
    } finally {
      await api.close();
    }
  }

  it.each<[string, () => Behaviour, ExpectedRefusal | typeof passes]>([
    ['metadata at the RFC 8414 location alone', () => atLocation('oauth-authorization-server'), passes],
    ['metadata at the OpenID location alone', () => atLocation('openid-configuration'), passes],
    ['no metadata at all', () => answer(404, ''), lasting],
    [
      'R124: another issuer',
      () => answer(200, { ...goodMetadata(server.issuer), issuer: 'https://other.example.com' }),
      lasting,
    ],
    [
      'R124: the issuer with a slash more',
      () => answer(200, { ...goodMetadata(server.issuer), issuer: `${server.issuer}/` }),
      lasting,
    ],
    ['metadata that are no JSON', () => answer(200, '<html>', { 'content-type': 'text/html' }), passing()],
    ['a server error', () => answer(500, ''), passing()],
    ['an answer that never comes', () => never, passing()],
    ['no introspection endpoint', () => answer(200, { issuer: server.issuer }), lasting],
    [
      'R39: an introspection endpoint without TLS',
      () => answer(200, { ...goodMetadata(server.issuer), introspection_endpoint: 'http://127.0.0.1/x' }),
      lasting,
    ],
  ])('%s', async (_title, metadata, expected) => {
    server.metadata = metadata();
    await outcome({}, expected);
  });

  const atLocation =
    (name: string): Behaviour =>
    (req, res, body) => {
      const found = req.url === `/.well-known/${name}`;
      answer(found ? 200 : 404, found ? goodMetadata(server.issuer) : '')(req, res, body);
    };

  it('happens at the first request, is tried again after a failure, and is then kept', async () => {
    let asked = 0;
    server.metadata = failingTwice(() => {
      asked += 1;
    });
    const api = await startApi('Koa', pki, options());
    try {
      server.introspection = good(about());
      expect(asked).toBe(0);
      const status = async () =>
        (await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' })).status;
      expect(await status()).toBe(503);
      // Both locations were tried.
      expect(asked).toBe(2);
      expect(await Promise.all([status(), status(), status()])).toEqual([200, 200, 200]);
      expect(await status()).toBe(200);
      expect(asked).toBe(3);
    } finally {
      await api.close();
    }
  });

  function failingTwice(count: () => void): Behaviour {
    let failures = 0;
    return (req, res, body) => {
      count();
      failures += 1;
      answer(failures <= 2 ? 500 : 200, failures <= 2 ? '' : goodMetadata(server.issuer))(req, res, body);
    };
  }

  it('metadata that are too old are read again in the background, and a failure is reported once and postpones the next attempt', async () => {
    let asked = 0;
    const counted =
      (behaviour: Behaviour): Behaviour =>
      (req, res, body) => {
        asked += 1;
        behaviour(req, res, body);
      };
    server.metadata = counted(answer(200, goodMetadata(server.issuer)));
    const api = await startApi('Koa', pki, options({ authorizationServerMetadataMaxAge: 1 }));
    try {
      server.introspection = good(about());
      const status = async () =>
        (await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' })).status;
      expect([await status(), await status(), asked]).toEqual([200, 200, 1]);
      server.metadata = counted(answer(500, ''));
      await sleep(1_100);
      expect([await status(), await status(), await status(), await status()]).toEqual([200, 200, 200, 200]);
      // Both locations, once for all of the requests.
      expect(asked).toBe(3);
      expect(problems.filter(({ code }) => code === 'metadata_outdated')).toHaveLength(1);
      await sleep(1_100);
      await status();
      await vi.waitFor(() => expect(asked).toBe(5));
      expect(problems.filter(({ code }) => code === 'metadata_outdated')).toHaveLength(1);
      server.metadata = counted(
        answer(200, { ...goodMetadata(server.issuer), introspection_endpoint: `${server.issuer}/moved` }),
      );
      // The next attempt comes when the pause after the failures has passed.
      await vi.waitFor(
        async () => {
          expect(await status()).toBe(200);
          expect(server.requests.at(-1)?.url).toBe('/moved');
        },
        { timeout: 10_000, interval: 100 },
      );
    } finally {
      await api.close();
    }
  });

  it('metadata that are given are not discovered', async () => {
    server.metadata = answer(500, '');
    await outcome(
      { authorizationServerMetadata: { introspection_endpoint: `${server.issuer}/given` } },
      passes,
    );
    expect(server.requests.at(-1)?.url).toBe('/given');
  });

  it('R39: the server’s own certificate is checked: an unknown authority and another name are refused', async () => {
    await outcome({ http: { timeout: 1 } }, passing());
    // The operator learns how to fix it.
    expect(problems.at(-1)?.message).toMatch(
      /give the PEM of its authority to http\.ca or MTLS_BOUND_CA_FILE$/,
    );
    const impostor = await startFaultyServer(pki, pki.bob);
    impostor.introspection = answer(200, goodClaims(impostor.issuer, pki.alice.thumbprint));
    try {
      await outcome({ issuer: impostor.issuer }, passing());
      expect(impostor.requests).toEqual([]);
      const agent = () => new Agent({ ca: pki.ca.cert, servername: 'as.example.com' });
      await outcome({ http: { agent, timeout: 1 } }, passing());
      expect(problems.at(-1)?.message).toMatch(
        /: ERR_TLS_CERT_ALTNAME_INVALID; the server's certificate does not name this host: let the URL use/,
      );
      // With the authority of another server.
      await outcome({ http: { ca: pki.selfSignedEc.cert, timeout: 1 } }, passing());
      expect(problems.at(-1)?.message).toMatch(
        /; http\.ca or MTLS_BOUND_CA_FILE, which count alone, do not name its authority: add the PEM/,
      );
    } finally {
      await impostor.close();
    }
  });
});

describe('the user’s own way to the server', () => {
  async function status(http: NonNullable<ResourceServerOptions['http']>): Promise<number> {
    const trusted = http.fetch === undefined ? { ca: pki.ca.cert } : {};
    const api = await startApi('Express', pki, options({ http: { ...trusted, timeout: 0.4, ...http } }));
    try {
      return (await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' })).status;
    } finally {
      await api.close();
    }
  }

  it('http.agent makes the connections, and is told what they must trust', async () => {
    server.introspection = good(about());
    const made: object[] = [];
    const agent = (given: ConnectionOptions) => {
      made.push(given);
      return new Agent(given);
    };
    expect(await status({ agent })).toBe(200);
    expect(made).toEqual([{ keepAlive: true, timeout: 10_000, ca: pki.ca.cert }]);
  });

  it.each<[string, () => Promise<Response>, number]>([
    ['a good answer', async () => Response.json(goodClaims(server.issuer, pki.alice.thumbprint)), 200],
    ['an inactive token', async () => Response.json({ active: false }), 401],
    ['a failure', () => Promise.reject(new TypeError('fetch failed')), 503],
    [
      'a body beyond the limit',
      async () =>
        Response.json(goodClaims(server.issuer, pki.alice.thumbprint, { padding: ' '.repeat(300_000) })),
      503,
    ],
    ['an error status', async () => new Response('', { status: 500 }), 503],
  ])('http.fetch replaces the transport: %s', async (_title, introspect, expected) => {
    const asked: [string, RequestInit | undefined][] = [];
    const fetch = async (url: string | URL | Request, init?: RequestInit) => {
      asked.push([String(url), init]);
      return String(url).includes('/.well-known/')
        ? Response.json(goodMetadata(server.issuer))
        : introspect();
    };
    expect(await status({ fetch: fetch as typeof globalThis.fetch })).toBe(expected);
    expect(asked.at(-1)?.[0]).toBe(`${server.issuer}/introspect`);
    expect(asked.at(-1)?.[1]).toMatchObject({ method: 'POST', redirect: 'manual' });
  });
});
