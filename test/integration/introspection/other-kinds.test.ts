// An introspection answer about something else than an access token lets no request in.
import { introspection, type RefusedEvent, type ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import supertest from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

async function statusOf(
  framework: (typeof frameworks)[number],
  answer: object,
  more: ResourceServerOptions = {},
): Promise<number> {
  const server = pretendServer(() => boundClaims(kit.certificate, { ...answer }));
  const { listener } = createApi(framework, optionsOver(server, kit.certificate, more));
  const { status } = await supertest(listener).get('/').set('Authorization', 'Bearer opaque');
  return status;
}

describe.each(frameworks)('%s', (framework) => {
  it.each<[string, object, string]>([
    ["Keycloak's about a refresh token", { typ: 'Refresh' }, 'its typ is "Refresh"'],
    ["Keycloak's about an offline token", { typ: 'Offline' }, 'its typ is "Offline"'],
    ["Keycloak's about an ID token", { typ: 'ID' }, 'its typ is "ID"'],
    ["Ory Hydra's about a refresh token", { token_use: 'refresh_token' }, 'its token_use is "refresh_token"'],
    ["Amazon Cognito's about an ID token", { token_use: 'id' }, 'its token_use is "id"'],
    ["PingAM's about a refresh token", { tokenName: 'refresh_token' }, 'its tokenName is "refresh_token"'],
    ["Curity's about an ID token", { purpose: 'id' }, 'its purpose is "id"'],
    ["Curity's about a refresh token", { purpose: 'refresh_token' }, 'its purpose is "refresh_token"'],
    [
      'one about an ID token',
      { at_hash: 'x' },
      'the answer has at_hash, as one about an ID token or another JWT has',
    ],
    [
      'one about a logout token',
      { events: {} },
      'the answer has events, as one about an ID token or another JWT has',
    ],
    ...['granted_scopes', 'ati'].map((name): [string, object, string] => [
      `one about a refresh token with ${name}`,
      { [name]: 'x' },
      `the answer has ${name}, as one about an ID token or another JWT has`,
    ]),
    ['one whose type says refresh', { type: 'refresh' }, 'its type is "refresh"'],
    ['one with a kind that is no text', { token_use: 1 }, 'its token_use is'],
  ])('%s is refused', async (_title, answer, detail) => {
    expect(await statusOf(framework, answer)).toBe(401);
    expect(refused.at(-1)?.refusal.code).toBe('token_wrong_type');
    expect(refused.at(-1)?.refusal.detail).toContain(detail);
  });

  it.each([
    ['Keycloak', { typ: 'Bearer', token_type: 'Bearer' }],
    ['Ory Hydra', { token_use: 'access_token', token_type: 'Bearer' }],
    ['Amazon Cognito', { token_use: 'access' }],
    ['PingAM', { tokenName: 'access_token' }],
    ['Curity', { purpose: 'access_token' }],
    ['a server with a purpose of another kind', { purpose: 'payment' }],
    ['a server that says nothing', {}],
    ['a server that says null', { typ: null, token_use: null, at_hash: null }],
  ])('an access token of %s passes', async (_title, answer) => {
    expect(await statusOf(framework, answer)).toBe(200);
  });

  describe("audience: 'server-enforced'", () => {
    const enforced = { audience: 'server-enforced' } as const;

    it('an answer without token_type is refused, as one about a refresh token may be', async () => {
      expect(await statusOf(framework, { aud: undefined }, enforced)).toBe(401);
      expect(refused.at(-1)?.refusal).toMatchObject({
        code: 'token_wrong_type',
        detail: expect.stringContaining('introspection({ requireTokenType: false })'),
      });
      expect(await statusOf(framework, { aud: undefined, token_type: null }, enforced)).toBe(401);
    });

    it('an answer with token_type passes', async () => {
      expect(await statusOf(framework, { aud: undefined, token_type: 'Bearer' }, enforced)).toBe(200);
    });

    it('requireTokenType: false takes both', async () => {
      const tokens = introspection({ requireTokenType: false });
      expect(await statusOf(framework, { aud: undefined }, { ...enforced, tokens })).toBe(200);
    });
  });

  it('requireTokenType: true asks for it beside a named audience', async () => {
    const tokens = introspection({ requireTokenType: true });
    expect(await statusOf(framework, {}, { tokens })).toBe(401);
    expect(await statusOf(framework, { token_type: 'Bearer' }, { tokens })).toBe(200);
  });
});
