import { describe, expect, it } from 'vitest';
import { ConfigurationError, RequestRefused } from '../../../packages/core/src/errors.js';
import {
  type IssuerSelection,
  type IssuerSelector,
  issuerByHeader,
  issuerByHost,
  issuerByPath,
  issuerSelection,
} from '../../../packages/core/src/request/issuer-selection.js';

const red = 'https://red.example.com';
const blue = 'https://blue.example.com';

type Headers = Record<string, string | readonly string[] | undefined>;

/** What the selector names for a request with these header lines and this target, or why it refuses the request. */
function selected(select: IssuerSelector, headers: Headers, url?: string, originalUrl?: string) {
  const rawHeaders = Object.entries(headers).flatMap(([name, values]) =>
    [values ?? []].flat().flatMap((value) => [name, value]),
  );
  try {
    return select({ rawHeaders, url, originalUrl } as never);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(RequestRefused);
    expect((thrown as RequestRefused).code).toBe('token_wrong_issuer');
    return 'refused';
  }
}
const byHeaders = (select: IssuerSelector, headers: Headers) => selected(select, headers, '/');
const byTarget = (issuers: Record<string, string>, url?: string, originalUrl?: string) =>
  selected(issuerByPath(issuers), {}, url, originalUrl);

describe('issuerByHeader()', () => {
  const select = () => issuerByHeader('X-Tenant', { Red: red, blue });

  it.each<[string | string[] | undefined, string | undefined]>([
    ['red', red],
    ['RED', red],
    ['Blue', blue],
    ['green', undefined],
    ['red, blue', undefined],
    [' red', undefined],
    ['', undefined],
    [undefined, undefined],
    [['red', 'blue'], 'refused'],
    [['red', 'red'], 'refused'],
  ])('x-tenant: %j selects %s', (value, expected) => {
    expect(byHeaders(select(), { 'X-Tenant': value })).toBe(expected);
  });

  it('looks at no other header', () => {
    expect(byHeaders(select(), { tenant: 'red', host: 'red' })).toBeUndefined();
  });
});

describe('issuerByHost()', () => {
  const select = () => issuerByHost({ 'Red.example.com': red, '[2001:db8::1]': blue, localhost: blue });

  it.each<[string, Headers, string | undefined]>([
    ['a host', { Host: 'red.example.com' }, red],
    ['with a port', { host: 'red.example.com:8443' }, red],
    ['RFC 3986 §3.2.3: with an empty port', { host: 'red.example.com:' }, red],
    ['an IPv6 address', { host: '[2001:db8::1]' }, blue],
    ['an IPv6 address with a port', { host: '[2001:db8::1]:8443' }, blue],
    ['RFC 9113 §8.3.1: :authority', { ':authority': 'red.example.com:443' }, red],
    [':authority and the same Host', { ':authority': 'red.example.com:443', host: 'red.example.com' }, red],
    [
      'X-Forwarded-Host that names the same',
      { host: 'red.example.com', 'x-forwarded-host': 'red.example.com' },
      red,
    ],
    ['another host', { host: 'green.example.com' }, undefined],
    ['a host that only ends alike', { host: 'not.red.example.com' }, undefined],
    ['in upper case', { host: 'RED.EXAMPLE.COM' }, 'refused'],
    ['a trailing dot', { host: 'red.example.com.' }, 'refused'],
    ['a port that is none', { host: 'red.example.com:x' }, 'refused'],
    ['two ports', { host: 'red.example.com:443:443' }, 'refused'],
    ['something behind the port', { host: 'red.example.com:80/x' }, 'refused'],
    ['a user', { host: 'red.example.com@localhost' }, 'refused'],
    ['a list', { host: 'red.example.com, localhost' }, 'refused'],
    ['an empty host', { host: '' }, 'refused'],
    ['no host', {}, 'refused'],
    ['two hosts', { host: ['red.example.com', 'localhost'] }, 'refused'],
    ['the same host twice', { host: ['red.example.com', 'red.example.com'] }, 'refused'],
    [':authority beside another Host', { ':authority': 'red.example.com', host: 'localhost' }, 'refused'],
    [
      'X-Forwarded-Host that names another',
      { host: 'red.example.com', 'x-forwarded-host': 'localhost' },
      'refused',
    ],
    [
      'X-Forwarded-Host of several',
      { host: 'localhost', 'x-forwarded-host': 'localhost, localhost' },
      'refused',
    ],
  ])('%s', (_title, headers, expected) => {
    expect(byHeaders(select(), headers)).toBe(expected);
  });

  it('RFC 9112 §3.2.2: a target that names a host by itself is refused', () => {
    expect(selected(select(), { host: 'localhost' }, 'http://red.example.com/')).toBe('refused');
  });
});

describe('issuerByPath()', () => {
  const issuers = { '/red': red, '/blue/': blue };

  it.each([
    ['/red', red],
    ['/red/', red],
    ['/red/accounts', red],
    ['/red?x=/blue', red],
    ['/red/accounts?x=1?y', red],
    ['/red/%41ccounts', red],
    ['/red/a%2Fb', red],
    ['/blue', blue],
    ['/blue/accounts', blue],
    ['/redder', undefined],
    ['/accounts/red', undefined],
    ['/accounts?/red', undefined],
    ['/RED/accounts', 'refused'],
    ['/%72ed', 'refused'],
    ['/red%2Faccounts', 'refused'],
    ['/red%2faccounts', 'refused'],
    ['/red%5Caccounts', 'refused'],
    ['/red\\accounts', 'refused'],
    ['/red/%', 'refused'],
    ['/red/%zz/x', 'refused'],
    ['/red/%c0%ae/x', 'refused'],
    ['/red/%00', 'refused'],
    ['/%E0%A4%A/red', 'refused'],
    ['/red/./x', 'refused'],
    ['/red/../blue/x', 'refused'],
    ['/red/..', 'refused'],
    ['/red/%2e%2E/blue/x', 'refused'],
    ['/red/.%2e%2Fblue/x', 'refused'],
    ['//red/x', 'refused'],
    ['/red//x', 'refused'],
    ['/red#/blue', 'refused'],
    ['/red/accounts;v=1', red],
    ['/red/a;v=1/b%3Bc;d', red],
    ['/red/100%25', red],
    ['/red/%25/%2525', red],
    ['/red/what%3F', red],
    ['/red/caf%C3%A9', red],
    ['/red;v=1/accounts', 'refused'],
    ['/red%3Bv=1/accounts', 'refused'],
    ['/red%3F/accounts', 'refused'],
    ['/red%23/accounts', 'refused'],
    ['/%2572ed/accounts', 'refused'],
    ['/%EF%BD%92ed/accounts', 'refused'],
    ['/red%20/accounts', 'refused'],
    ['/%C2%A0red', 'refused'],
    ['/red/a%20b', red],
    ['/red/a%20', red],
    ['/red/..;/blue/x', 'refused'],
    ['/red/..;x=1/blue/x', 'refused'],
    ['/red/.;x/blue', 'refused'],
    ['/red/..;', 'refused'],
    ['/red/..;?x', 'refused'],
    ['/red/..%3B/blue/x', 'refused'],
    ['/red/..%3b%2Fblue/x', 'refused'],
    ['/red/..%253B/blue/x', 'refused'],
    ['/red/%2e%2E;/blue/x', 'refused'],
    ['/red/;/blue', 'refused'],
    ['/;/red', 'refused'],
    ['/;x/..;y/red', 'refused'],
    ['/red/%252e%252e/blue/x', 'refused'],
    ['/red/%25252e%25252e/blue/x', 'refused'],
    ['/red/%25/%252e%252e/blue/x', 'refused'],
    ['/red/%25ff/%252e%252e/blue/x', 'refused'],
    ['/red/..%252Fblue/x', 'refused'],
    ['/red/x%255Cy', 'refused'],
    ['/red/x%2500', 'refused'],
    ['/red/%2525252541', 'refused'],
    ['/red/..%3F/blue/x', 'refused'],
    ['/red/..%23/blue/x', 'refused'],
    ['/red/.../blue/x', 'refused'],
    ['/red/..%20/blue/x', 'refused'],
    ['/red/.%20./blue/x', 'refused'],
    ['/red/%EF%BC%8E%EF%BC%8E/blue/x', 'refused'],
    ['/red/%E2%80%A5/blue/x', 'refused'],
    ['/red/..%EF%BC%8Fblue/x', 'refused'],
    ['/red/x%EF%BC%BCy', 'refused'],
    ['/red/..%EF%BC%9B/blue/x', 'refused'],
    ['/red/%EF%BC%852e%EF%BC%852e/blue/x', 'refused'],
    ['/red/%u002e%u002e/blue/x', 'refused'],
    ['https://api.example.com/red', 'refused'],
    ['red/accounts', 'refused'],
    ['*', 'refused'],
    ['', 'refused'],
    [undefined, 'refused'],
  ])('%s selects %s', (target, expected) => {
    expect(byTarget(issuers, target)).toBe(expected);
  });

  it.each([
    [{ '/': blue, '/red': red }, '/red/x', red],
    [{ '/red': red, '/': blue }, '/red/x', red],
    [{ '/': blue, '/red': red }, '/x', blue],
    [{ '/': blue, '/red': red }, '/', blue],
    [{ '/red': red, '/red/x': blue }, '/red/x/y', blue],
    [{ '/red/x': blue, '/red': red }, '/red/x/y', blue],
    [{ '/red/x': blue, '/red': red }, '/red/xy', red],
    [{ '/red/x': blue, '/red': red }, '/red%2Fx', 'refused'],
    [{ '/red/x': blue, '/red': red }, '/red/X', 'refused'],
    [{ '/Red': red, '/': blue }, '/Red/x', red],
    [{ '/Red': red, '/': blue }, '/red/x', 'refused'],
    [{ '/caf%C3%A9': red, '/': blue }, '/caf%C3%A9/x', red],
    [{ '/café': red, '/': blue }, '/caf%C3%A9/x', red],
    [{ '/café': red, '/': blue }, '/caf%c3%a9/x', 'refused'],
    [{ '/red': red, '/': blue }, '/red/100%', 'refused'],
    [{ '/red': red, '/': blue }, '/x;v=1', blue],
    [{ '/red/x': red, '/': blue }, '/red;%2Fy/x', 'refused'],
    [{ '/caf%C3%A9': red, '/': blue }, '/cafe%CC%81', 'refused'],
  ])('the longest wins, in any order: of %j for %s', (given, target, expected) => {
    expect(byTarget(given, target)).toBe(expected);
  });

  it.each<[string, string, string | undefined]>([
    ['letters', `/red/${'a'.repeat(20_000)}`, red],
    ['a path parameter within the limit', `/red/${'a'.repeat(2_040)};v`, red],
    ['a path parameter beyond the limit', `/red/${'a'.repeat(2_042)};v`, 'refused'],
    ['encoded letters beyond the limit', `/red/${'%61'.repeat(682)}`, 'refused'],
    ['letters encoded twice', `/red/${'%2561'.repeat(2_000)}`, 'refused'],
  ])('decodes no path of more than 2,048 characters: %s', (_title, url, expected) => {
    expect(byTarget({ '/red': red }, url)).toBe(expected);
  });

  it('takes the whole target where a framework cut off what is mounted', () => {
    expect(byTarget(issuers, '/accounts', '/red/accounts')).toBe(red);
    expect(byTarget(issuers, '/red/accounts', '/v1/red/accounts')).toBeUndefined();
  });
});

it('a target that Object.prototype has is refused', () => {
  Object.defineProperty(Object.prototype, 'originalUrl', { value: '/red/x', configurable: true });
  try {
    for (const select of [issuerByPath({ '/red': red }), issuerByHost({ localhost: red })]) {
      const req = { rawHeaders: ['Host', 'localhost'], url: '/blue' };
      expect(() => select(req as never)).toThrow('Object.prototype has a member originalUrl');
    }
  } finally {
    Reflect.deleteProperty(Object.prototype, 'originalUrl');
  }
});

describe('a name that no request can have, or that is another one, is refused at start-up', () => {
  const [byPath, byHost] = [issuerByPath, issuerByHost];
  const byHeader = (issuers: Record<string, string>) => issuerByHeader('x-tenant', issuers);
  const noName = 'expected names that a request can have, got ';
  const twin = 'expected each name once, got a name twice, in another spelling';

  it.each([
    ['issuerByPath', byPath, ['red'], noName],
    ['issuerByPath', byPath, ['/red?x'], noName],
    ['issuerByPath', byPath, ['/red#x'], noName],
    ['issuerByPath', byPath, ['/red//x'], noName],
    ['issuerByPath', byPath, ['/red/../x'], noName],
    ['issuerByPath', byPath, ['/red/%2e'], noName],
    ['issuerByPath', byPath, ['/red\\x'], noName],
    ['issuerByPath', byPath, ['/red/%'], noName],
    ['issuerByPath', byPath, ['/red;v=1'], noName],
    ['issuerByPath', byPath, ['/red%3Bv'], noName],
    ['issuerByPath', byPath, ['/red/..;'], noName],
    ['issuerByPath', byPath, ['/red%3Fx'], noName],
    ['issuerByPath', byPath, ['/%2572ed'], noName],
    ['issuerByPath', byPath, ['/red', '/RED'], twin],
    ['issuerByPath', byPath, ['/red', '/red/'], twin],
    ['issuerByPath', byPath, ['/café', '/caf%C3%A9'], twin],
    ['issuerByPath', byPath, ['/red', '/%72ed'], twin],
    ['issuerByHost', byHost, ['red:443'], noName],
    ['issuerByHost', byHost, ['red.example.com.'], noName],
    ['issuerByHost', byHost, ['https://red'], noName],
    ['issuerByHost', byHost, ['red/x'], noName],
    ['issuerByHost', byHost, ['2001:db8::1'], noName],
    ['issuerByHost', byHost, ['red', 'RED'], twin],
    ['issuerByHeader', byHeader, [' red'], noName],
    ['issuerByHeader', byHeader, ['r\u00e9d'], noName],
    ['issuerByHeader', byHeader, ['red', 'Red'], twin],
  ] as const)('%s', (name, make, keys, why) => {
    const issuers = Object.fromEntries(keys.map((key) => [key, red]));
    expect(() => make(issuers)).toThrow(ConfigurationError);
    expect(() => make(issuers)).toThrow(`${name}(issuers): `);
    expect(() => make(issuers)).toThrow(why);
  });
});

it.each([
  ['issuerByHeader()', () => issuerByHeader('x-tenant', { red, blue })],
  ['issuerByHost()', () => issuerByHost({ red, blue })],
  ['issuerByPath()', () => issuerByPath({ '/red': red, '/blue': blue })],
])('%s says which issuers it may name, to be checked at start-up', (_title, select) => {
  const { issuers } = select();
  expect(issuers).toEqual([red, blue]);
  expect(issuers).toSatisfy(Object.isFrozen);
});

describe.each<[string, (given: never) => unknown]>([
  ['issuerByHeader(issuers)', (given) => issuerByHeader('x-tenant', given)],
  ['issuerByHost(issuers)', issuerByHost],
  ['issuerByPath(issuers)', issuerByPath],
])('%s', (option, select) => {
  it.each([
    ['nothing', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a text', red, 'a string of 23 characters'],
    ['a function', issuerByHost, 'a function'],
    ['no issuer', {}, 'an object'],
    ['an issuer without TLS', { red: 'http://red.example.com' }, 'an object'],
    ['an issuer that is none beside a good one', { red, blue: 7 }, 'an object'],
    ['an empty name beside a good one', { red, '': blue }, 'an object'],
  ])('%s is refused at start-up', (_title, given, described) => {
    expect(() => select(given as never)).toThrow(
      new ConfigurationError(
        option,
        `expected an object from names to issuers, https URLs, got ${described}`,
      ),
    );
  });
});

it.each([
  ['x_tenant', 'a string of 8 characters'],
  ['x tenant', 'a string of 8 characters'],
  ['', '""'],
])('issuerByHeader(%j) is refused at start-up', (name, described) => {
  expect(() => issuerByHeader(name, { red })).toThrow(
    new ConfigurationError(
      'issuerByHeader(name)',
      `expected a header name of letters, digits and hyphens, got ${described}`,
    ),
  );
});

it.each<[unknown, boolean]>([
  ['in-order', true],
  [issuerByHost({ red }), true],
  [() => undefined, true],
  ['in order', false],
  [{ red }, false],
  [null, false],
])('selectIssuer takes %s: %s', (given, isTaken) => {
  expect(issuerSelection.read(given)).toBe(isTaken ? (given as IssuerSelection) : undefined);
});

it.each<[string, IssuerSelector, object]>([
  ['the header x-tenant is repeated', issuerByHeader('x-tenant', { red }), { headers: [['red', 'red']] }],
  ['the request target names a host by itself', issuerByHost({ red }), { url: 'http://red/' }],
  ['the host is named repeatedly', issuerByHost({ red }), { hosts: ['red', 'red'] }],
  ['the request names no host, several, or one that is malformed', issuerByHost({ red }), {}],
  ['the path can be read in more than one way', issuerByPath({ '/red': red }), { url: '/red/../x' }],
  [
    'the path names one issuer as it is sent, and another when case, encoding and path parameters are ignored',
    issuerByPath({ '/red': red }),
    { url: '/RED' },
  ],
])(
  'the operator is told that %s',
  (why, select, request: { headers?: string[][]; hosts?: string[]; url?: string }) => {
    const { headers = [], hosts = [], url = '/' } = request;
    const rawHeaders = [
      ...headers.flat().flatMap((value) => ['x-tenant', value]),
      ...hosts.flatMap((host) => ['host', host]),
    ];
    expect(() => select({ rawHeaders, url } as never)).toThrow(
      expect.objectContaining({
        code: 'token_wrong_issuer',
        detail: `selectIssuer can name no issuer: ${why}`,
      }),
    );
  },
);

it.each([
  ['/red///', '/red/x', red],
  ['/', '/x', red],
])('a prefix %s is compared without the slashes at its end: %s', (prefix, target, expected) => {
  expect(byTarget({ [prefix]: red }, target)).toBe(expected);
});

it.each(['red', 'https://api.example.com/red', '/red?x', '/red#x'])(
  'issuerByPath() refuses the prefix %s, which is no path, at start-up',
  (prefix) => {
    expect(() => issuerByPath({ '/': blue, [prefix]: red })).toThrow('names that a request can have');
  },
);

it.each(['a', 'a-b_c.d', '[2001:DB8::1]', '192.0.2.1'])('issuerByHost() takes the name %s', (name) => {
  expect(byHeaders(issuerByHost({ [name]: red }), { host: name.toLowerCase() })).toBe(red);
});

it.each(['', '.', 'a.', 'a..b', 'ä', '[x]', '[]', 'a b'])(
  'issuerByHost() refuses the name "%s" at start-up',
  (name) => {
    expect(() => issuerByHost({ red: blue, [name]: red })).toThrow(ConfigurationError);
  },
);
