// Other code of the application may add members to Object.prototype. None of them is an option or a claim.

import type { IncomingMessage } from 'node:http';
import { introspection, jwtAccessTokens, nginx, proxyHeader, readTokenClaims } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { mtlsBound, protectedResourceMetadata } from 'express-mtls';
import supertest from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import { connectionOf } from '../../../packages/core/src/certificate/connection.js';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { limitToIssuer, toWrittenRevocation } from '../../../packages/core/src/revocation/revocations.js';
import { createApi, frameworks } from '../../support/apis.js';
import { mismatch } from '../../support/mismatch.js';

/** Runs with members added to Object.prototype, which are gone afterwards. */
function polluted<T>(members: object, run: () => T): T {
  const names = Object.keys(members);
  for (const name of names) {
    const value: unknown = members[name as never];
    Object.defineProperty(Object.prototype, name, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  try {
    return run();
  } finally {
    for (const name of names) {
      Reflect.deleteProperty(Object.prototype, name);
    }
  }
}

const good = {
  issuer: 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'a-secret',
  audience: 'https://api.example.com',
};
const kit = await createTestKit();

/** What would switch a check off, or send secrets elsewhere, if it were an option. */
const dangerous: [string, unknown][] = [
  ['binding', 'report'],
  ['binding', 'when-bound'],
  ['credentials', 'optional'],
  ['explain', 'always'],
  ['certificate', () => kit.certificate],
  ['clockTolerance', 300],
  ['cache', { staleIfError: 80_000 }],
  ['staleIfError', 80_000],
  ['maxAge', 86_400],
  ['floodGuard', false],
  ['http', { fetch: async () => new Response() }],
  ['fetch', async () => new Response()],
  ['agent', () => ({})],
  ['authorizationServerMetadata', { introspection_endpoint: 'https://evil.example.com' }],
  ['tokens', () => async () => 'token_inactive'],
  ['issuers', [{}]],
  ['errorBody', () => ({})],
  ['errorContentType', 'text/html'],
  ['onRefused', 'next'],
  ['property', 'polluted'],
  ['profile', 'fapi1-advanced'],
  ['MTLS_BOUND_BINDING', 'report'],
];

const plain = (settings: object) =>
  JSON.stringify(settings, (_name, value) =>
    typeof value === 'function' ? `a function ${value.name}` : value,
  );

describe('Object.prototype at start-up', () => {
  it.each(dangerous)('%s: %o is no option', (name, value) => {
    const expected = plain(resolveSettings(good, {}));
    expect(polluted({ [name]: value }, () => plain(resolveSettings(good, {})))).toBe(expected);
  });

  it.each([
    ['clientId', 'a-client'],
    ['audience', 'server-enforced'],
  ])('%s that only it names is missing', (name, value) => {
    const options = Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
    const make = () => polluted({ [name]: value }, () => resolveSettings(options, {}));
    expect(make).toThrow(mismatch(`${name}`, 'nothing'));
  });

  it.each<[string, unknown, () => unknown, string | RegExp]>([
    [
      'trust',
      'loopback',
      () => proxyHeader(nginx(), {} as never),
      mismatch('proxyHeader().trust', 'nothing'),
    ],
    [
      'value',
      'x'.repeat(16),
      () => proxyHeader(nginx(), { trust: 'unix', secret: { header: 'x' } as never }),
      'value',
    ],
  ])('%s of a function is missing', (name, value, make, message) => {
    expect(() => polluted({ [name]: value }, make)).toThrow(message);
  });

  it('no member of it makes signed answers, or algorithms', () => {
    const source = polluted({ signed: true, badRequestMeansInactive: 7, parameters: 7 }, () =>
      introspection(),
    );
    expect(source.needs).toEqual(['introspection_endpoint']);
    expect(polluted({ algorithms: ['none'], introspection: 7 }, () => jwtAccessTokens()).needs).toEqual([
      'jwks_uri',
    ]);
  });
});

describe('Object.prototype while a request comes', () => {
  const connection = { remoteAddress: '192.0.2.1' };

  it('stream: the connection is that of the request', () => {
    const stream = { session: { socket: { remoteAddress: '127.0.0.1' } } };
    const req = { socket: connection } as unknown as IncomingMessage;
    expect(polluted({ stream }, () => connectionOf(req))).toBe(connection);
  });

  it.each(['token', 'tokenHash', 'jti'])('%s: what is revoked is what was given', (name) => {
    const given = { subject: 'alice' };
    const revocation = polluted({ [name]: 'x' }, () => limitToIssuer(good.issuer, given));
    expect(revocation).toEqual({ subject: 'alice', issuer: good.issuer });
    expect(polluted({ [name]: 'x' }, () => toWrittenRevocation(given))).toBe(given);
  });
});

describe('Object.prototype while a token is read', () => {
  const claimsOf = (added: object) =>
    polluted(added, () => {
      const read = readTokenClaims({ sub: 'alice' }, good.issuer);
      return typeof read === 'string'
        ? read
        : [read.subject, read.clientId, read.scopes, read.audience, read.expiresAt, read.confirmation];
    });

  it.each<[string, unknown]>([
    ['cnf', { 'x5t#S256': kit.certificate.thumbprint }],
    ['scope', 'admin'],
    ['aud', good.audience],
    ['client_id', 'root'],
    ['exp', 9_999_999_999],
    ['exp', 'never'],
  ])('%s: %o is no claim', (name, value) => {
    expect(claimsOf({ [name]: value })).toEqual(['alice', undefined, [], undefined, undefined, undefined]);
  });
});

describe.each(frameworks)('%s: an API that starts under a changed Object.prototype', (framework) => {
  it.each(dangerous.slice(0, 3))('%s: %o lets in neither an unbound token nor none', async (name, value) => {
    const { issuer, audience, tokens, certificate } = kit.options;
    const { listener, handled } = polluted({ [name]: value }, () =>
      createApi(framework, { issuer, audience, tokens, certificate }),
    );
    const unbound = supertest(listener).get('/').auth(kit.unboundToken(), { type: 'bearer' });
    await kit.withCertificate(unbound).expect(401);
    await supertest(listener).get('/').expect(401);
    expect(handled()).toBe(0);
  });
});

it.each([
  ['alwaysVerified', true],
  ['isVerified', () => true],
  ['verdict', { header: 'x-forged', isVerified: () => true }],
])('%s makes no certificate of a proxy count as verified', (name, value) => {
  const source = polluted({ [name]: value }, () => proxyHeader(nginx(), { trust: 'loopback' }));
  expect(source.knowsVerified).toBe(false);
});

it('protectedResourceMetadata() passes other requests on where Object.prototype has originalUrl', () => {
  const resourceMetadata = { resource: 'https://api.example.com' };
  const mtls = mtlsBound({ ...kit.options, resourceMetadata });
  const handle = protectedResourceMetadata(mtls);
  const next = vi.fn();
  const req = { method: 'GET', url: '/accounts', rawHeaders: [], headers: {} };
  polluted({ originalUrl: '/elsewhere' }, () => handle(req as never, {} as never, next));
  expect(next).toHaveBeenCalledExactlyOnceWith();
});
