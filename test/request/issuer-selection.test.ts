import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../packages/core/src/errors.js';
import {
  type IssuerSelection,
  type IssuerSelector,
  issuerByHeader,
  issuerByHost,
  issuerByPath,
  issuerSelection,
} from '../../packages/core/src/request/issuer-selection.js';

const red = 'https://red.example.com';
const blue = 'https://blue.example.com';

/** What the selector names for a request with these headers, or with this target. */
const byHeaders = (select: IssuerSelector, headers: object) => select({ headers } as never);
const byTarget = (issuers: Record<string, string>, url?: string, originalUrl?: string) =>
  issuerByPath(issuers)({ url, originalUrl, headers: {} } as never);

describe('issuerByHeader()', () => {
  const select = () => issuerByHeader('X-Tenant', { Red: red, blue });

  it.each([
    ['red', red],
    ['RED', red],
    ['Blue', blue],
    ['green', undefined],
    ['red, blue', undefined],
    [' red', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('x-tenant: %j selects %s', (value, expected) => {
    expect(byHeaders(select(), { 'x-tenant': value })).toBe(expected);
  });

  it('looks at no other header', () => {
    expect(byHeaders(select(), { tenant: 'red', host: 'red' })).toBeUndefined();
  });
});

describe('issuerByHost()', () => {
  const select = () => issuerByHost({ 'Red.example.com': red, '[2001:db8::1]': blue, localhost: blue });

  it.each<[string, object, string | undefined]>([
    ['a host', { host: 'red.example.com' }, red],
    ['in upper case', { host: 'RED.EXAMPLE.COM' }, red],
    ['with a port', { host: 'red.example.com:8443' }, red],
    ['RFC 3986 §3.2.3: with an empty port', { host: 'red.example.com:' }, red],
    ['an IPv6 address', { host: '[2001:db8::1]' }, blue],
    ['an IPv6 address with a port', { host: '[2001:DB8::1]:8443' }, blue],
    ['RFC 9113 §8.3.1: :authority', { ':authority': 'red.example.com:443' }, red],
    [':authority before Host', { ':authority': 'red.example.com', host: 'localhost' }, red],
    ['another host', { host: 'green.example.com' }, undefined],
    ['a host that only ends alike', { host: 'not.red.example.com' }, undefined],
    ['a port that is none', { host: 'red.example.com:x' }, undefined],
    ['something behind the port', { host: 'red.example.com:80/x' }, undefined],
    ['no host', {}, undefined],
  ])('%s', (_title, headers, expected) => {
    expect(byHeaders(select(), headers)).toBe(expected);
  });
});

describe('issuerByPath()', () => {
  const issuers = { '/red': red, '/blue//': blue };

  it.each([
    ['/red', red],
    ['/red/', red],
    ['/red/accounts', red],
    ['/red?x=/blue', red],
    ['/red/accounts?x=1?y', red],
    ['/RED/accounts', red],
    ['/%72ed', red],
    ['/red%2Faccounts', red],
    ['/blue', blue],
    ['/blue/accounts', blue],
    ['https://api.example.com/red', red],
    ['HTTPS://api.example.com:8443/red', red],
    ['web+app.1-x://api.example.com/red', red],
    ['/redder', undefined],
    ['/accounts/red', undefined],
    ['/accounts?/red', undefined],
    ['/x/https://api.example.com/red', undefined],
    ['1://api.example.com/red', undefined],
    ['https://red/accounts', undefined],
    ['https://api.example.com?/red', undefined],
    ['https://api.example.com', undefined],
    ['/%E0%A4%A/red', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%s selects %s', (target, expected) => {
    expect(byTarget(issuers, target)).toBe(expected);
  });

  it.each([
    [{ '/': blue, '/red': red }, '/red/x', red],
    [{ '/red': red, '/': blue }, '/red/x', red],
    [{ '/': blue, '/red': red }, '/x', blue],
    [{ '/red': red, '/red/x': blue }, '/red/x/y', blue],
    [{ '/red/x': blue, '/red': red }, '/red/x/y', blue],
    [{ '/red/x': blue, '/red': red }, '/red/xy', red],
    [{ '/red': red, '/red/https:': blue }, '/red/https://api.example.com', blue],
    [{ '/red': red, '/': blue }, 'https://api.example.com', blue],
    [{ '/red': red, '/': blue }, undefined, blue],
    [{ '/red': red, '/': blue }, '/red/%E0%A4%A', undefined],
    [{ '/red': red, '/': blue }, '/red/100%', undefined],
  ])('the longest wins, in any order: of %j for %s', (given, target, expected) => {
    expect(byTarget(given, target)).toBe(expected);
  });

  it('takes the whole target where a framework cut off what is mounted', () => {
    expect(byTarget(issuers, '/accounts', '/red/accounts')).toBe(red);
    expect(byTarget(issuers, '/red/accounts', '/v1/red/accounts')).toBeUndefined();
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
    ['a text', red, `"${red}"`],
    ['a function', issuerByHost, 'a function'],
    ['no issuer', {}, 'an object'],
    ['an issuer without TLS', { red: 'http://red.example.com' }, 'an object'],
    ['an issuer that is none beside a good one', { red, blue: 7 }, 'an object'],
    ['an empty name beside a good one', { red, '': blue }, 'an object'],
  ])('%s is refused at start-up', (_title, given, described) => {
    expect(() => select(given as never)).toThrow(
      new ConfigurationError(
        option,
        `${described} was given; accepted is an object from names to issuers, https URLs`,
      ),
    );
  });
});

it.each(['x_tenant', 'x tenant', ''])('issuerByHeader(%j) is refused at start-up', (name) => {
  expect(() => issuerByHeader(name, { red })).toThrow(
    new ConfigurationError(
      'issuerByHeader(name)',
      `"${name}" was given; accepted is a header name of letters, digits and hyphens`,
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
