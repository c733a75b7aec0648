// Who refuses a token: the operator reads whether this process's own revocations did, or the authorization server. The client does not.
import { introspection, jwtAccessTokens, type RefusedEvent, type Revocation } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { type GuardedApi, guardedApi } from '../../support/guarded-api.js';
import { MemoryLog } from '../../support/memory-log.js';
import { type PretendIssuer, pretendIssuer } from '../../support/pretend-issuer.js';
import { recordedEvents } from '../../support/recorded-events.js';

const issuer = 'https://as.example.com';
const audience = 'https://api.example.com';
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

describe.each(frameworks)('%s', (framework) => {
  let api: GuardedApi;
  let as: PretendIssuer;
  afterEach(() => api?.server.close());

  const start = (more: object): void => {
    as = pretendIssuer(issuer);
    api = guardedApi(framework, {
      issuer,
      audience,
      clientId: 'api',
      clientSecret: 'a-client-secret',
      certificate: () => kit.certificate,
      http: { fetch: as.fetch },
      ...more,
    });
  };
  const claims = () => {
    const now = Math.floor(Date.now() / 1000);
    return {
      iss: issuer,
      aud: audience,
      sub: 'user-1',
      client_id: 'alice',
      jti: 'one',
      iat: now - 100,
      exp: now + 600,
      cnf: { 'x5t#S256': kit.certificate.thumbprint },
    };
  };
  const jwt = () => as.sign(claims(), { alg: 'ES256', typ: 'at+jwt' });
  /** The detail for the operator; the client is told the same of each refusal. */
  const detailOf = async (token: string): Promise<string | undefined> => {
    const { status, body } = await api.answer(token, '/', {});
    expect({ status, body }).toEqual({
      status: 401,
      body: {
        error: 'invalid_token',
        error_description: 'The access token is expired, revoked, or not meant for this resource server',
      },
    });
    const { code, detail } = refused.at(-1)?.refusal ?? {};
    expect(code).toBe('token_inactive');
    return detail;
  };

  it.each<[string, (token: string) => Revocation]>([
    ['the token', (token) => ({ token })],
    ['its jti', () => ({ jti: 'one' })],
    ['its subject', () => ({ subject: 'user-1' })],
    ['its client', () => ({ clientId: 'alice' })],
    ['its certificate', () => ({ thumbprint: kit.certificate.thumbprint })],
  ])('a JWT of which this process revoked %s', async (_title, revocation) => {
    start({ tokens: jwtAccessTokens() });
    const token = await jwt();
    expect(await api.status(token)).toBe(200);
    await api.server.revoke(revocation(token));
    expect(await detailOf(token)).toBe('revoked here');
    // From what is remembered.
    expect(await detailOf(token)).toBe('revoked here');
  });

  it('a JWT that is first seen after the revocation', async () => {
    start({ tokens: jwtAccessTokens() });
    await api.server.revoke({ subject: 'user-1' });
    expect(await detailOf(await jwt())).toBe('revoked here');
  });

  it('an opaque token that this process revoked, though the server calls it active', async () => {
    start({ tokens: introspection() });
    as.introspect = () => ({ active: true, ...claims() });
    expect(await api.status('opaque')).toBe(200);
    await api.server.revoke({ token: 'opaque' });
    expect(await detailOf('opaque')).toBe('revoked here');
  });

  it('a token that the server calls inactive', async () => {
    start({ tokens: introspection() });
    expect(await detailOf('opaque')).toBeUndefined();
  });

  it('a JWT from before the log of revocations began', async () => {
    const secret = 'a secret of at least 32 characters';
    start({ tokens: jwtAccessTokens(), revocations: { log: new MemoryLog(), secret } });
    expect(await detailOf(await jwt())).toBe('issued before this process knows all revocations');
  });
});
