// A token source of the user's own: claims of a wrong type are trouble of ours, never compared in another way.

import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import supertest from 'supertest';
import { beforeAll, describe, expect, it } from 'vitest';
import { createApi, frameworks } from '../support/apis.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit();
});

const wrongTypes: [string, unknown][] = [
  // 'payments:writers' contains 'payments:write', which /payments requires.
  ['scopes', 'payments:writers'],
  ['scopes', undefined],
  ['scopes', ['payments:write', 7]],
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
];

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

  it.each(wrongTypes)('%s: %o is answered with 503', async (name, value) => {
    const { request, handled } = get({ [name]: value });
    await request.expect(503);
    expect(handled()).toBe(0);
  });
});
