import { expect, it } from 'vitest';
import {
  createResourceMetadata,
  resourceMetadataOptions,
} from '../../../packages/core/src/response/resource-metadata.js';
import { readOptions } from '../../../packages/core/src/shared/option-group.js';

const resource = 'https://api.example.com/v1';
const location = '/.well-known/oauth-protected-resource/v1';
const made = (options: object = {}) =>
  createResourceMetadata(
    readOptions('resourceMetadata', { resource, ...options }, resourceMetadataOptions),
    ['https://as.example.com'],
    true,
    undefined,
  );

it.each([
  ['GET', location, true],
  ['HEAD', location, true],
  ['GET', `${location}?x=1`, true],
  ['POST', location, false],
  [undefined, location, false],
  ['GET', '/', false],
  ['GET', `${location}/more`, false],
  ['GET', undefined, false],
])('RFC 9728 §3.1: %s %s: %s', (method, target, isAnswered) => {
  expect(made().answerTo(method, target) !== undefined).toBe(isAnswered);
});

it('says what follows from the options, and no scopes where none were given', () => {
  const { url, answerTo } = made();
  expect(url).toBe(`https://api.example.com${location}`);
  expect(answerTo('GET', location)?.headers).toEqual({
    'Content-Type': 'application/json',
    'Cache-Control': 'public, max-age=3600',
  });
  expect(JSON.parse(answerTo('GET', location)?.body ?? '')).toEqual({
    resource,
    authorization_servers: ['https://as.example.com'],
    bearer_methods_supported: ['header'],
    tls_client_certificate_bound_access_tokens: true,
  });
});

it('says the scopes and further members that were given', () => {
  const { answerTo } = made({ scopesSupported: ['a', 'b'], members: { resource_name: 'Accounts' } });
  expect(JSON.parse(answerTo('GET', location)?.body ?? '')).toMatchObject({
    scopes_supported: ['a', 'b'],
    resource_name: 'Accounts',
  });
});

it.each([
  [null],
  ['text'],
  [7],
  [{ resource: 'https://other.example.com' }],
  [{ resource_name: 'x', authorization_servers: [] }],
  [{ bearer_methods_supported: [] }],
  [{ scopes_supported: [] }],
  [{ tls_client_certificate_bound_access_tokens: false }],
])('members: %j is refused', (members) => {
  expect(() => made({ members })).toThrow(
    /^resourceMetadata\.members: expected an object of further members; those that follow from other options are not among them, got .*$/,
  );
});

it('members that JSON can not hold are refused at start-up', () => {
  expect(() => made({ members: { resource_name: 1n } })).toThrow(
    /^resourceMetadata\.members: expected an object of further members; /,
  );
});

it('the metadata of the root of a host has a URL without a path behind it', () => {
  const { url } = made({ resource: 'https://api.example.com' });
  expect(url).toBe('https://api.example.com/.well-known/oauth-protected-resource');
});
