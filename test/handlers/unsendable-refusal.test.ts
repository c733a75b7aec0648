// A refusal of a user's own policy may hold a text that no header takes: it refuses all the same, and the process lives.
import { RequestRefused, type RoutePolicy } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import supertest from 'supertest';
import { describe, expect, it } from 'vitest';
import { createApi, type Framework } from '../support/apis.js';

const refusing: Record<string, RoutePolicy> = {
  'at once': () => {
    throw new RequestRefused('scope_insufficient', { scope: 'tenant:Łódź' });
  },
  later: async () => {
    await Promise.resolve();
    throw new RequestRefused('scope_insufficient', { scope: 'tenant:Łódź' });
  },
};

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s', (framework) => {
  it.each(Object.entries(refusing))('a policy that refuses %s with such a scope', async (_title, policy) => {
    const kit = await createTestKit();
    const { listener, handled } = createApi(framework, kit.options, policy);
    const response = await kit
      .withCertificate(supertest(listener).get('/policy'))
      .auth(kit.boundToken(), { type: 'bearer' });
    expect(response.status).toBeGreaterThanOrEqual(500);
    expect(handled()).toBe(0);
  });
});
