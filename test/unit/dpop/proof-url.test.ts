import { describe, expect, it } from 'vitest';
import { isProofUrlOf, normalizeProofUrl, requestedUrls } from '../../../packages/core/src/dpop/proof-url.js';

const base = 'https://api.example';

describe('R235: a proof for one of these URLs is for the same resource', () => {
  it.each([
    ['https://api.example/a', '/a'],
    ['HTTPS://API.Example/a', '/a'],
    ['https://api.example:443/a', '/a'],
    ['https://api.example/a?b=c', '/a'],
    ['https://api.example/a#b', '/a?other=query'],
    ['https://api.example/a?b#c', '/a'],
    ['https://api.example', '/'],
    ['https://api.example?a', '/'],
    ['https://api.example/%7ea%2Db', '/~a-b'],
    ['https://api.example/~a-b', '/%7Ea%2db'],
    ['https://api.example/a%2fb', '/a%2Fb'],
    ['https://api.example/x/../a', '/a'],
    ['https://api.example/%C3%A4', '/%c3%a4'],
    ["https://api.example/a;b=c,d'(e)!*$&+=:@", "/a;b=c,d'(e)!*$&+=:@"],
    ['https://api.example/%7b%22%7D', '/{"}'],
    ['https://api.example/{"}', '/%7B%22%7d'],
    ['https://api.example/[^`|<>]', '/%5b%5E%60%7c%3c%3E%5D'],
    ['https://api.example/%09', '/%09'],
    ['https://api.example//a', '//a'],
  ])('%s and the target %s', (htu, target) => {
    expect(normalizeProofUrl(htu)).toBeDefined();
    expect(requestedUrls([base], target)).toEqual([normalizeProofUrl(htu)]);
    expect(isProofUrlOf(htu, ['https://other.example/a', ...requestedUrls([base], target)])).toBe(true);
  });
});

describe('R235: a proof for one URL does not count for another resource', () => {
  it.each([
    ['https://api.example/a', '/b'],
    ['https://api.example/a', '/A'],
    ['https://api.example/a', '/a/'],
    ['https://api.example/a', '//a'],
    ['https://api.example/a', '/b/../a'],
    ['https://api.example/a', '/b/%2e%2e/a'],
    ['https://api.example/a', '/%61%2f'],
    ['https://api.example/a/b', '/a%2fb'],
    ['https://api.example/a/b', '/a\\b'],
    ['http://api.example/a', '/a'],
    ['https://api.example:8443/a', '/a'],
    ['https://other.example/a', '/a'],
    ['https://api.example.other.example/a', '/a'],
    ['https://api.example./a', '/a'],
    ['https://api.example/b/../a', '/b/../a'],
    ['https://api.example/./a', '/./a'],
    ['https://api.example/a/..', '/a/..'],
    ['https://api.example/a%', '/a'],
    ['https://api.example/a%257e', '/a~'],
  ])('%s and the target %s', (htu, target) => {
    expect(normalizeProofUrl(htu)).toBeDefined();
    expect(requestedUrls([base], target)).not.toContain(normalizeProofUrl(htu));
    expect(isProofUrlOf(htu, requestedUrls([base], target))).toBe(false);
  });
});

describe('a text that is no URL of a resource', () => {
  it.each([
    [''],
    ['/a'],
    ['api.example/a'],
    ['//api.example/a'],
    ['ftp://api.example/a'],
    ['https:api.example/a'],
    ['https:///a'],
    ['https://'],
    ['https://user@api.example/a'],
    ['https://user:pass@api.example/a'],
    ['https://other.example\\@api.example/a'],
    ['https://api.example\\a'],
    ['https://api.example/a\\b'],
    [' https://api.example/a'],
    ['https://api.example/a '],
    ['https://api.example/a b'],
    ['https://api.example/a\tb'],
    ['https://api.exam\nple/a'],
    ['https://api.example/ä'],
    ['https://api.example/a?ä'],
    ['https://[::1/a'],
    ['https://api.example:99999/a'],
    // Other texts for api.example, which new URL() reads as it.
    ['https://ａpi.example/a'],
    ['https://api。example/a'],
    ['https://api.exam\u00adple/a'],
  ])('%j is refused', (htu) => {
    expect(normalizeProofUrl(htu)).toBeUndefined();
    expect(isProofUrlOf(htu, ['https://api.example/a'])).toBe(false);
  });
});

it.each([
  ['*'],
  [''],
  ['api.example:443'],
  ['?a'],
  ['a'],
  // Readers of URLs disagree where the host of these ends.
  ['https:///a'],
  ['https:/a'],
  ['https://user@api.example/a'],
  ['https://api.example%2fb/a'],
  ['https://api.example;b/a'],
  ["https://api.example'b/a"],
  ['https://api.example\\b/a'],
  ['https://api.example:b/a'],
  ['https://api.example:1:2/a'],
  ['https://äpi.example/a'],
  ['https://[::1/a'],
  ['ftp://api.example/a'],
  [' https://api.example/a'],
])('a target that names no path has no URL: %j', (target) => {
  expect(requestedUrls([base], target)).toEqual([]);
});

it.each([
  ['/%c3%a4%09', '/%C3%A4%09'],
  ['/{a}', '/%7Ba%7D'],
  ['/%7e/%41?b#c', '/~/A'],
])('the one form of the target %s is %s', (target, path) => {
  expect(requestedUrls([base], target)).toEqual([`${base}${path}`]);
});

it.each([
  ['https://api.example/a', '/a'],
  ['http://other.example/%7e/%41?b#c', '/~/A'],
  ['HTTPS://[::1]:8443/a/../b', '/a/../b'],
  ['http://10.0.0.1:8080//a', '//a'],
  ['http://a_b.example/a', '/a'],
  ['https://api.example', '/'],
  ['https://api.example/', '/'],
  ['https://api.example?/a', '/'],
  ['https://api.example#/a', '/'],
  ['https://api.example/?https://other.example/b', '/'],
  ['https://api.example/https://other.example/b', '/https://other.example/b'],
])('R235: of the target %s in absolute-form the path %s counts, and no host', (target, path) => {
  expect(requestedUrls([base], target)).toEqual([`${base}${path}`]);
});

it('the path that the application does not see stands before its own', () => {
  expect(requestedUrls(['https://api.example/v1'], '/a')).toEqual(['https://api.example/v1/a']);
});

it.each([
  ['/', ['https://api.example/v1/', 'https://other.example/', 'https://api.example/v1']],
  ['/?a', ['https://api.example/v1/', 'https://other.example/', 'https://api.example/v1']],
  ['https://api.example', ['https://api.example/v1/', 'https://other.example/', 'https://api.example/v1']],
  ['//', ['https://api.example/v1//', 'https://other.example//']],
  ['/a/', ['https://api.example/v1/a/', 'https://other.example/a/']],
  ['/v1', ['https://api.example/v1/v1', 'https://other.example/v1']],
  ['/.', ['https://api.example/v1/.', 'https://other.example/.']],
])('R235: the prefix itself is one of the URLs of / alone: %s', (target, urls) => {
  expect(requestedUrls(['https://api.example/v1', 'https://other.example'], target)).toEqual(urls);
});
