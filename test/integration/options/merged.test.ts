// What is given beside `issuers` holds for each issuer, member by member.

import type { ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import supertest from 'supertest';
import { describe, expect, it } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { createApi, frameworks } from '../../support/apis.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki } from '../../support/pki.js';

const pki = await createPki();
const ca = pki.ca.cert;
const fetch = async () => new Response();
const agent = () => ({}) as never;
const one = (name: string, http?: object) => ({
  issuer: `https://${name}.example.com`,
  clientId: 'api',
  clientSecret: 'a-secret',
  ...(http && { http }),
});

function httpOf(options: ResourceServerOptions) {
  return resolveSettings({ audience: 'api', ...options }, {}).issuers.map(({ http }) => http);
}

describe('http beside issuers', () => {
  it('a member of the issuer goes before, the others are kept', () => {
    const http = { ca, timeout: 7, maxResponseSize: 2_048, maxQueued: 3, maxConcurrent: 4 };
    const [red, blue] = httpOf({ http, issuers: [one('red', { timeout: 2, maxQueued: 0 }), one('blue')] });
    expect(red).toMatchObject({ ca, timeout: 2, maxResponseSize: 2_048, maxQueued: 0, maxConcurrent: 4 });
    expect(blue).toMatchObject(http);
  });

  it('a member of circuitBreaker of the issuer overrides that of all issuers, and the others are kept', () => {
    const circuitBreaker = { maxFailures: 3, retryInterval: 4 };
    const red = { ...one('red'), circuitBreaker: { maxFailures: 1 } };
    const options = { audience: 'api', circuitBreaker, issuers: [red, one('blue')] };
    expect(resolveSettings(options, {}).issuers.map((issuer) => issuer.circuitBreaker)).toEqual([
      { maxFailures: 1, retryInterval: 4 },
      circuitBreaker,
    ]);
  });

  it.each([
    ['ca', 'fetch'],
    ['agent', 'fetch'],
    ['fetch', 'ca'],
    ['fetch', 'agent'],
  ] as const)('%s for all and %s of one issuer are refused, as one would be ignored', (above, below) => {
    const values = { ca, fetch, agent };
    const make = () =>
      httpOf({ http: { [above]: values[above] }, issuers: [one('red', { [below]: values[below] })] });
    const unused = [above, below].find((name) => name !== 'fetch');
    expect(make).toThrow(mismatch(`issuers[0].http.${unused}`, 'both', 'nothing next to http.fetch'));
  });

  it('ca beside fetch is refused', () => {
    const make = () => httpOf({ ...one('red', { ca, fetch }) });
    expect(make).toThrow(
      mismatch('http.ca', 'both', 'nothing next to http.fetch, which makes its own connections'),
    );
  });
});

describe('authorizationServerMetadata.mtls_endpoint_aliases', () => {
  const introspection_endpoint = 'https://as.example.com/introspect';
  it.each([
    ['http', 'http://as.example.com/introspect'],
    ['a user', 'https://user:pass@as.example.com/introspect'],
    ['no URL', 'introspect'],
    ['a list', ['https://as.example.com/introspect']],
  ])('%s is refused', (_title, alias) => {
    const metadata = { introspection_endpoint, mtls_endpoint_aliases: { introspection_endpoint: alias } };
    expect(() => httpOf({ ...one('red'), authorizationServerMetadata: metadata })).toThrow(
      /^authorizationServerMetadata: expected .*, got an object$/,
    );
  });
});

describe.each(frameworks)('%s: the options of the test kit', (framework) => {
  it('take the place of a list of issuers', async () => {
    const kit = await createTestKit();
    const own: ResourceServerOptions = { issuers: [one('red'), one('blue')], selectIssuer: 'in-order' };
    const { listener } = createApi(framework, { ...own, ...kit.options });
    const get = (token: string) =>
      kit.withCertificate(supertest(listener).get('/').auth(token, { type: 'bearer' }));
    const { body } = await get(kit.boundToken()).expect(200);
    expect(body.issuer).toBe(kit.options.issuer);
    await get(kit.unboundToken()).expect(401);
  });
});
