import { ConfigurationError, privateKeyJwt } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';

const good = { issuer: 'https://as.example.com', clientId: 'api', clientSecret: 'a-secret', audience: 'a' };
const secret = 'kR7vQ2xW9zLp4TnB8mYc3HdF6sJg1AeU';

function refusalOf(make: () => unknown): ConfigurationError {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return error as ConfigurationError;
  }
  throw new Error('nothing was thrown');
}

class Instance {}

const hidden = (name: string, value: unknown): object => Object.defineProperty({}, name, { value });

it.each<[string, object]>([
  ...['cache', 'http', 'certificatePolicy', 'floodGuard', 'revocations', 'sharedCache'].flatMap(
    (name): [string, object][] => [
      [`${name}: null`, { [name]: null }],
      [`${name}: an instance`, { [name]: new Instance() }],
      [`${name}: an object that inherits`, { [name]: Object.create({ maxAge: 1 }) }],
    ],
  ),
  ['cache: a member that is not enumerable', { cache: hidden('maxAge', 1) }],
  ['certificatePolicy: {}', { certificatePolicy: {} }],
  ['certificatePolicy: a status alone', { certificatePolicy: { refusalStatus: 401 } }],
  ['http.agent next to http.fetch', { http: { agent: () => ({}), fetch: async () => new Response() } }],
  ['resourceMetadata.members: a list', { resourceMetadata: { resource: 'https://a', members: ['x'] } }],
  ['resourceMetadata.members: a BigInt', { resourceMetadata: { resource: 'https://a', members: { x: 1n } } }],
  ['issuer: a line end', { issuer: 'https://as.example.com\n' }],
  ['clientSecret: a line end', { clientSecret: 'a-secret\n' }],
])('%s is refused at start-up', (_title, options) => {
  refusalOf(() => resolveSettings({ ...good, ...options }, {}));
});

it('a variable that ends with a line end is refused, and its value is not shown', () => {
  const { clientSecret, ...rest } = good;
  const { message } = refusalOf(() => resolveSettings(rest, { MTLS_BOUND_CLIENT_SECRET: `${secret}\n` }));
  expect(message).toMatch(
    /^MTLS_BOUND_CLIENT_SECRET: expected a value without .*, got one that ends in a line end$/,
  );
  expect(message).not.toContain(secret.slice(0, 8));
});

it.each(['MTLS_BOUND_ISUER', 'MTLS_BOUND_CLIENT_AUTHENTICATON', 'MTLSBOUND_BINDING', 'mtls_bound_explain'])(
  'the variable %s, which is nearly that of an option, is refused, and its value is not shown',
  (name) => {
    const { message } = refusalOf(() => resolveSettings(good, { [name]: secret }));
    expect(message).toMatch(
      new RegExp(
        `^${name}: expected no variable but MTLS_BOUND_ISSUER, .*, got an unknown one; did you mean MTLS_BOUND_[A-Z_]+\\?$`,
      ),
    );
    expect(message).toContain('MTLS_BOUND_CA_FILE');
    expect(message).not.toContain(secret.slice(0, 8));
  },
);

it.each<[string, string]>([
  ['MTLS_BOUND_ISUER', ''],
  // As Kubernetes sets them for a service.
  ['MTLS_BOUND_PORT', 'tcp://10.0.0.1:443'],
  ['MTLS_BOUND_SERVICE_HOST', '10.0.0.1'],
])('the variable %s with the value "%s" stops no start', (name, value) => {
  expect(resolveSettings(good, { [name]: value }).issuers).toHaveLength(1);
});

it.each(['production', 'Production', 'PRODUCTION ', 'prod'])(
  'explain: true is refused where NODE_ENV is "%s"',
  (value) => {
    expect(refusalOf(() => resolveSettings({ ...good, explain: true }, { NODE_ENV: value })).option).toBe(
      'explain',
    );
    expect(resolveSettings({ ...good, explain: 'always' }, { NODE_ENV: value }).explain).toBe(true);
  },
);

it.each([undefined, '', 'development', 'test', 'preproduction'])(
  'explain: true is accepted where NODE_ENV is %s',
  (value) => {
    expect(resolveSettings({ ...good, explain: true }, { NODE_ENV: value }).explain).toBe(true);
  },
);

it.each<[string, () => unknown]>([
  ...[
    'clientAuthentication',
    'sharedCache',
    'tokens',
    'certificate',
    'http',
    'revocations',
    'authorizationServerMetadata',
  ].map((name): [string, () => unknown] => [name, () => resolveSettings({ ...good, [name]: secret }, {})]),
  ['sharedCache.secret', () => resolveSettings({ ...good, sharedCache: { store: secret, secret } }, {})],
  ['issuer', () => resolveSettings({ ...good, issuer: `https://user:${secret}@as.example.com` }, {})],
  [
    'metadata with a password',
    () =>
      resolveSettings(
        {
          ...good,
          authorizationServerMetadata: { introspection_endpoint: `https://u:${secret}@as.example.com` },
        },
        {},
      ),
  ],
  ['privateKeyJwt()', () => privateKeyJwt(secret as never)],
])('%s: no piece of a secret in the wrong place is shown', (_title, make) => {
  const error = refusalOf(make);
  const told = [error.message, error.stack, JSON.stringify(error), String(error.cause)].join('\n');
  for (let start = 0; start + 8 <= secret.length; start += 1) {
    expect(told).not.toContain(secret.slice(start, start + 8));
  }
});

it('an option that is not enumerable is refused, and its value is not shown', () => {
  const options = Object.defineProperty({ ...good }, 'binding', { value: secret });
  const { message } = refusalOf(() => resolveSettings(options, {}));
  expect(message).toBe('options: expected members that are enumerable, got one that is not');
});
