// A token source of the user's own: claims of a wrong type are trouble of ours, never compared in another way.

import { createTestKit } from '@mtls-bound/core/testing';
import supertest from 'supertest';
import { describe, expect, it } from 'vitest';
import { parseTokenAnswer, type TokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { createApi, frameworks } from '../../support/apis.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
const kit = await createTestKit();

const wrongTypes: [string, unknown][] = [
  // 'payments:writers' contains 'payments:write', which /payments requires.
  ['scopes', 'payments:writers'],
  ['scopes', undefined],
  ['scopes', ['payments:write', 7]],
  // biome-ignore lint/suspicious/noSparseArray: a hole is what is tried.
  ['scopes', [, 'payments:write']],
  ['scopes', new Set(['payments:write'])],
  ['scopes', { includes: () => true, length: 1 }],
  ['subject', 7],
  ['clientId', ['client']],
  ['issuer', [issuer]],
  ['audience', `${audience}/more`],
  ['audience', { includes: () => true }],
  ['audience', [7]],
  ['tokenType', {}],
  ['expiresAt', '9999999999'],
  ['expiresAt', Number.NaN],
  ['expiresAt', new Date(0)],
  ['notBefore', null],
  ['issuedAt', -1],
  ['claims', undefined],
  ['claims', []],
  ['claims', new Map()],
  ['claims', { at: new Date(0) }],
];

it('a source can not change what it gave, and each member is read once', () => {
  const reads: string[] = [];
  const claims = { roles: ['reader'] };
  const own = {
    subject: 'alice',
    clientId: 'client',
    scopes: ['payments:read'],
    issuer,
    audience: [audience],
    tokenType: undefined,
    expiresAt: undefined,
    notBefore: undefined,
    issuedAt: undefined,
    confirmation: { 'x5t#S256': 'thumbprint' },
    claims,
  };
  const counted = new Proxy(own, {
    get: (target, name) => {
      reads.push(String(name));
      return Reflect.get(target, name);
    },
  });
  const answer = parseTokenAnswer(counted) as TokenClaims;
  own.scopes.push('payments:write');
  own.confirmation['x5t#S256'] = 'another';
  claims.roles.push('admin');
  expect(answer).toMatchObject({
    scopes: ['payments:read'],
    confirmation: { 'x5t#S256': 'thumbprint' },
    claims: { roles: ['reader'] },
  });
  expect(Object.isFrozen(answer) && Object.isFrozen(answer.scopes) && Object.isFrozen(answer.claims)).toBe(
    true,
  );
  expect(reads.toSorted()).toEqual([...new Set(reads)].toSorted());
});

it('what is neither claims nor a rejection is refused in words of its own', () => {
  for (const given of [undefined, null, 'active', 7]) {
    expect(() => parseTokenAnswer(given)).toThrow('something that is neither TokenClaims nor a rejection');
  }
});

describe.each(frameworks)('%s', (framework) => {
  const get = (member: Record<string, unknown>) => {
    const claims = {
      subject: 'alice',
      clientId: 'client',
      scopes: ['payments:write'],
      issuer,
      audience: [audience],
      tokenType: undefined,
      expiresAt: undefined,
      notBefore: undefined,
      issuedAt: undefined,
      confirmation: { 'x5t#S256': kit.certificate.thumbprint },
      claims: {},
      ...member,
    };
    const { listener, handled } = createApi(framework, {
      issuer,
      audience,
      certificate: kit.options.certificate,
      tokens: () => async () => claims as never,
    });
    const request = supertest(listener).get('/payments').auth('a-token', { type: 'bearer' });
    return { request: kit.withCertificate(request), handled };
  };

  it('a source that gives claims of the right types is used', async () => {
    const { request, handled } = get({});
    await request.expect(200);
    expect(handled()).toBe(1);
  });

  it.each([
    ['confirmation', { cnf: { 'x5t#S256': 'another' } }],
    ['expiresAt', { exp: 1 }],
    ['notBefore', { nbf: 9_999_999_999 }],
    ['tokenType', { token_type: 'N_A' }],
    ['subject', { sub: 'alice' }],
  ])('claims whose member %s is missing are answered with 503', async (name, claims) => {
    const { request, handled } = get({ [name]: undefined, claims });
    await request.expect(503);
    expect(handled()).toBe(0);
  });

  it.each(wrongTypes)('%s: %o is answered with 503', async (name, value) => {
    const { request, handled } = get({ [name]: value });
    await request.expect(503);
    expect(handled()).toBe(0);
  });
});
