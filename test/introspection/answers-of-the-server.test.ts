import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import {
  type ConnectionOptions,
  clientSecretPost,
  introspection,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { frameworks, startApi, type TestApi } from '../support/apis.js';
import { audience } from '../support/authorization-server.js';
import { call } from '../support/calls.js';
import {
  answer,
  type Behaviour,
  type FaultyServer,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../support/faulty-server.js';
import { createPki, type Pki } from '../support/pki.js';
import { type ExpectedRefusal, expectRefusal } from '../support/refusals.js';

let pki: Pki;
let server: FaultyServer;

beforeAll(async () => {
  pki = await createPki();
  server = await startFaultyServer(pki);
});
afterAll(() => server?.close());
beforeEach(() => {
  server.metadata = answer(200, goodMetadata(server.issuer));
});

const options = (more: ResourceServerOptions = {}): ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  ...(more.clientAuthentication === undefined && { clientSecret: 'secret' }),
  audience,
  // Nothing is remembered, so that each answer counts.
  cache: { maxAge: 0, inactiveMaxAge: 0 },
  http: { ca: pki.ca.cert, timeout: 0.4, maxResponseSize: 65_536 },
  ...more,
});

const now = () => Math.floor(Date.now() / 1000);
const claims = (changes: Record<string, unknown>) => () =>
  answer(200, goodClaims(server.issuer, pki.alice.thumbprint, changes));
const good = claims({});

const passes = 'passes';
const invalidToken: ExpectedRefusal = { status: 401, error: 'invalid_token' };
const passing = (retryAfter = '5'): ExpectedRefusal => ({
  status: 503,
  error: 'temporarily_unavailable',
  retryAfter,
});
const lasting: ExpectedRefusal = { status: 503, error: 'server_error', retryAfter: null };

const never: Behaviour = () => undefined;
const trickle: Behaviour = (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' });
  const timer = setInterval(() => res.write(' '), 50);
  res.on('close', () => clearInterval(timer));
};
const cutOff: Behaviour = (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' });
  res.write('{"active":true,');
  setTimeout(() => res.destroy(), 20);
};
const hangUp: Behaviour = (req) => req.socket.destroy();
const redirectTo = (status: number): Behaviour => answer(status, '', { location: '/introspect-elsewhere' });
const raw =
  (body: string, type = 'application/json') =>
  () =>
    answer(200, body, { 'content-type': type });
/** Good in every other way. */
const oversized = () =>
  JSON.stringify(goodClaims(server.issuer, pki.alice.thumbprint, { padding: ' '.repeat(10_000_000) }));
const zipBomb = (): Behaviour => (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
  res.end(gzipSync(oversized()));
};

/** What the server answers, and what becomes of the request. One line, one outcome. */
const table: [string, () => Behaviour, ExpectedRefusal | typeof passes][] = [
  ['R43: a good answer', good, passes],
  [
    'R43: content type with a charset, in upper case',
    () =>
      answer(200, goodClaims(server.issuer, pki.alice.thumbprint), {
        'content-type': 'APPLICATION/JSON;Charset=UTF-8',
      }),
    passes,
  ],
  ['R40: active false', claims({ active: false }), invalidToken],
  ['R42: active false with a scope', claims({ active: false, scope: 'admin' }), invalidToken],
  ['R41: active "true"', claims({ active: 'true' }), passing()],
  ['R41: active 1', claims({ active: 1 }), passing()],
  ['R41: active null', claims({ active: null }), passing()],
  ['R41: active missing', claims({ active: undefined }), passing()],
  ['R41: a list', raw('[{"active":true}]'), passing()],
  ['R41: a string', raw('"active"'), passing()],
  ['R41: null', raw('null'), passing()],
  ['R43: HTML with status 200', raw('<html>hello</html>', 'text/html'), passing()],
  ['R43: JSON called text/plain', raw('{"active":true}', 'text/plain'), passing()],
  ['S14: no JSON', raw('{"active":tru'), passing()],
  ['S14: an empty body', raw(''), passing()],
  ['S14: 204', () => (_req, res) => res.writeHead(204).end(), passing()],
  ['S14: cut off', () => cutOff, passing()],
  ['S14 R47: a body beyond the limit', () => answer(200, oversized()), passing()],
  ['S14 R47: a body beyond the limit once decompressed', zipBomb, passing()],
  [
    'S14: nested deeper than a stack',
    raw(`{"active":true,"x":${'['.repeat(30_000)}${']'.repeat(30_000)}}`),
    invalidToken,
  ],
  ['R46 S13: 500', () => answer(500, ''), passing()],
  ['R46 S13: 503 with Retry-After', () => answer(503, '', { 'retry-after': '7' }), passing('7')],
  ['R46: Retry-After beyond sense', () => answer(503, '', { 'retry-after': '99999999' }), passing('300')],
  ['R46: Retry-After without sense', () => answer(503, '', { 'retry-after': 'soon' }), passing()],
  ['R46: Retry-After 0', () => answer(503, '', { 'retry-after': '0' }), passing()],
  ['R46 S13: 429 with Retry-After', () => answer(429, '', { 'retry-after': '12' }), passing('12')],
  ['R46 S13: an answer that never comes', () => never, passing()],
  ['R46 S13: an answer that never ends', () => trickle, passing()],
  ['R46 S13: a connection that is closed', () => hangUp, passing()],
  [
    'R44 S14: 401',
    () => answer(401, { error: 'invalid_client' }, { 'www-authenticate': 'Basic realm="as"' }),
    lasting,
  ],
  ['R44 S14: 401 without a challenge', () => answer(401, { error: 'invalid_client' }), lasting],
  ['R44 S14: 403', () => answer(403, ''), lasting],
  ['R45: 400', () => answer(400, { error: 'invalid_token' }), passing()],
  ['400 unsupported_token_type', () => answer(400, { error: 'unsupported_token_type' }), invalidToken],
  ['R45: 400 without JSON', () => answer(400, 'unsupported_token_type'), passing()],
  ['R45: 404', () => answer(404, ''), passing()],
  ['R47: redirected with 302', () => redirectTo(302), passing()],
  ['R47: redirected with 307', () => redirectTo(307), passing()],
  ['R48: exp two minutes ago', claims({ exp: now() - 120 }), invalidToken],
  ['R48: exp missing', claims({ exp: undefined }), passes],
  ['R49: nbf 8 seconds ahead', claims({ nbf: now() + 8 }), passes],
  ['R49: nbf 61 seconds ahead', claims({ nbf: now() + 61 }), invalidToken],
  ['R49: iat 61 seconds ahead', claims({ iat: now() + 61 }), invalidToken],
  ['R50: exp as a string', claims({ exp: '1999999999' }), invalidToken],
  ['R50: exp null', claims({ exp: null }), invalidToken],
  ['R50: exp negative', claims({ exp: -1e300 }), invalidToken],
  ['R50: exp beyond every calendar', raw('{"active":true,"exp":1e400}'), invalidToken],
  ['R50: nbf as a string', claims({ nbf: '0' }), invalidToken],
  ['R50: iat as a list', claims({ iat: [0] }), invalidToken],
  ['R51: aud as a list with ours', claims({ aud: ['https://a.example', audience] }), passes],
  ['R51: aud of another API', claims({ aud: 'https://other.example.com' }), invalidToken],
  ['R51: aud in another case', claims({ aud: 'https://API.example.com' }), invalidToken],
  ['R51: aud with a slash more', claims({ aud: `${audience}/` }), invalidToken],
  ['R51: aud that contains ours', claims({ aud: `x ${audience}` }), invalidToken],
  ['R51: aud of numbers', claims({ aud: [1] }), invalidToken],
  ['R52: aud missing', claims({ aud: undefined }), invalidToken],
  ['R52: aud an empty list', claims({ aud: [] }), invalidToken],
  ['R53: iss missing', claims({ iss: undefined }), passes],
  ['R53: iss with a slash more', () => claims({ iss: `${server.issuer}/` })(), invalidToken],
  ['R53: iss of another server', claims({ iss: 'https://other.example.com' }), invalidToken],
  ['R53: iss null', claims({ iss: null }), invalidToken],
  ['R54: token_type in lower case', claims({ token_type: 'bearer' }), passes],
  ['R54: token_type missing', claims({ token_type: undefined }), passes],
  ['R54: a refresh token', claims({ token_type: 'refresh_token' }), invalidToken],
  ['R54: token_type N_A', claims({ token_type: 'N_A' }), invalidToken],
  ['R54: token_type DPoP', claims({ token_type: 'DPoP' }), invalidToken],
  ['R55: scope missing', claims({ scope: undefined }), passes],
  ['R55: scope as a list', claims({ scope: ['accounts:read'] }), passing()],
  ['R55: scope as a number', claims({ scope: 1 }), invalidToken],
  ['R23: no client_id', claims({ client_id: undefined }), passes],
  ['sub of another type', claims({ sub: 7 }), invalidToken],
  [
    'R10: cnf only inside another member',
    () => claims({ cnf: undefined, ext: { cnf: { 'x5t#S256': pki.alice.thumbprint } } })(),
    invalidToken,
  ],
  ['R12: cnf missing', claims({ cnf: undefined }), invalidToken],
  ['R7: cnf with padding', () => claims({ cnf: { 'x5t#S256': `${pki.alice.thumbprint}=` } })(), invalidToken],
  ['R13: cnf of DPoP', claims({ cnf: { jkt: 'x' } }), invalidToken],
  ['R15: cnf null', claims({ cnf: null }), invalidToken],
  [
    'R56: a member named __proto__',
    () =>
      answer(
        200,
        JSON.stringify(goodClaims(server.issuer, pki.alice.thumbprint)).replace(
          '{',
          '{"__proto__":{"active":true},',
        ),
      ),
    passes,
  ],
  [
    'R116: a member twice: the last counts (RFC 7519 §4)',
    () =>
      answer(
        200,
        JSON.stringify(goodClaims(server.issuer, pki.alice.thumbprint)).replace(
          '{',
          '{"aud":"https://other.example.com",',
        ),
      ),
    passes,
  ],
  [
    'a byte order mark',
    () => answer(200, `\ufeff${JSON.stringify(goodClaims(server.issuer, pki.alice.thumbprint))}`),
    passes,
  ],
];

describe.each(frameworks)('%s: each answer has one outcome', (framework) => {
  let api: TestApi;
  beforeAll(async () => {
    api = await startApi(framework, pki, options());
  });
  afterAll(() => api?.close());

  it.each(table)('%s', async (_title, behaviour, expected) => {
    const asked = server.requests.length;
    const handled = api.handled();
    server.introspection = behaviour();
    const response = await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' });
    if (expected === passes) {
      expect(response.status).toBe(200);
    } else {
      await expectRefusal(response, expected);
    }
    expect(api.handled() - handled).toBe(expected === passes ? 1 : 0);
    // Asked once and no more: no redirect followed, no retry.
    expect(server.requests.length - asked).toBe(1);
    // R60: whatever it was, it is not remembered.
    server.introspection = good();
    expect((await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' })).status).toBe(200);
  });

  it('R55: scopes are split at blanks and kept in their case; R56: other members reach the handler', async () => {
    server.introspection = claims({ scope: 'read Read  write ', extension_field: { deep: [1] } })();
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
      claims({})(),
      claims({ active: false, error_description: 'the server says' })(),
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
      server.introspection = good();
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

  it('R38: id and secret in the body by client_secret_post', async () => {
    const { headers, form } = await asked({
      clientAuthentication: clientSecretPost('pä:ss wörd+&'),
    });
    expect(headers.authorization).toBeUndefined();
    expect(form.get('client_id')).toBe('api');
    expect(form.get('client_secret')).toBe('pä:ss wörd+&');
  });

  it('R36 R64: hint and further parameters only when asked for', async () => {
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
      server.introspection = claims({ aud: undefined })();
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
      server.introspection = good();
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
      server.introspection = good();
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

  it('the metadata are read anew when they are too old; the old ones serve on, whatever becomes of that', async () => {
    let asked = 0;
    const counted =
      (behaviour: Behaviour): Behaviour =>
      (req, res, body) => {
        asked += 1;
        behaviour(req, res, body);
      };
    server.metadata = counted(answer(200, goodMetadata(server.issuer)));
    const api = await startApi('Koa', pki, options({ metadataMaxAge: 1 }));
    try {
      server.introspection = good();
      const status = async () =>
        (await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' })).status;
      expect([await status(), await status(), asked]).toEqual([200, 200, 1]);
      server.metadata = counted(answer(500, ''));
      await sleep(1_100);
      expect([await status(), await status()]).toEqual([200, 200]);
      expect(asked).toBeGreaterThan(1);
      server.metadata = counted(
        answer(200, { ...goodMetadata(server.issuer), introspection_endpoint: `${server.issuer}/moved` }),
      );
      await status();
      await sleep(200);
      expect(await status()).toBe(200);
      expect(server.requests.at(-1)?.url).toBe('/moved');
    } finally {
      await api.close();
    }
  });

  it('metadata that are given are not discovered', async () => {
    server.metadata = answer(500, '');
    await outcome({ metadata: { introspection_endpoint: `${server.issuer}/given` } }, passes);
    expect(server.requests.at(-1)?.url).toBe('/given');
  });

  it('R39: the server’s own certificate is checked: an unknown authority and another name are refused', async () => {
    await outcome({ http: { timeout: 1 } }, passing());
    const impostor = await startFaultyServer(pki, pki.bob);
    impostor.introspection = answer(200, goodClaims(impostor.issuer, pki.alice.thumbprint));
    try {
      await outcome({ issuer: impostor.issuer }, passing());
      expect(impostor.requests).toEqual([]);
    } finally {
      await impostor.close();
    }
  });
});

describe('the user’s own way to the server', () => {
  async function status(http: NonNullable<ResourceServerOptions['http']>): Promise<number> {
    const api = await startApi('Express', pki, options({ http: { ca: pki.ca.cert, timeout: 0.4, ...http } }));
    try {
      return (await call(pki, api, '/', pki.alice).auth('some-token', { type: 'bearer' })).status;
    } finally {
      await api.close();
    }
  }

  it('http.agent makes the connections, and is told what they must trust', async () => {
    server.introspection = good();
    const made: object[] = [];
    const agent = (given: ConnectionOptions) => {
      made.push(given);
      return new Agent(given);
    };
    expect(await status({ agent })).toBe(200);
    expect(made).toEqual([{ keepAlive: true, ca: pki.ca.cert }]);
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
