// A revoked JWT that lives for revocations.longestTokenLifetime is refused for as long as it could be accepted: also while
// the clock of its server is ahead of ours by clockTolerance.
import { ClientCertificate, createResourceServer, type NodeRequest, readTokenClaims } from '@mtls-bound/core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

const start = Date.UTC(2030, 0, 1);
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'], now: start });
});
afterEach(() => {
  vi.useRealTimers();
});

const issuer = 'https://as.example.com';
const certificate = new ClientCertificate({ thumbprint: 'A'.repeat(43) });

it.each([0, 30, 300])(
  'a revoked token stays refused until it expires, with a clockTolerance of %i s',
  async (clockTolerance) => {
    const iat = start / 1000 + clockTolerance;
    const claims = {
      sub: 'alice',
      iat,
      exp: iat + 60,
      aud: 'api',
      cnf: { 'x5t#S256': certificate.thumbprint },
    };
    const server = createResourceServer({
      issuer,
      audience: 'api',
      clockTolerance,
      certificate: () => certificate,
      revocations: { longestTokenLifetime: 60 },
      cache: { rejectionMaxAge: 0 },
      tokens: () =>
        Object.assign(async () => readTokenClaims({ ...claims }, issuer), {
          kind: 'self-contained',
        } as const),
    });
    const request = () =>
      ({
        url: '/',
        headers: {},
        rawHeaders: ['authorization', 'Bearer token'],
        socket: {},
      }) as unknown as NodeRequest;
    const outcome = async (): Promise<string> => {
      try {
        await server.authorize(request());
        return 'accepted';
      } catch (thrown) {
        return String((thrown as { code: unknown }).code);
      }
    };
    expect(await outcome()).toBe('accepted');
    await server.revoke({ token: 'token' });
    const lasts = 60 + 2 * clockTolerance;
    for (let second = 0; second < lasts; second += lasts / 60) {
      expect(await outcome()).toBe('token_inactive');
      vi.advanceTimersByTime((lasts * 1_000) / 60);
    }
    vi.advanceTimersByTime(1_000);
    expect(await outcome()).toBe('token_expired');
  },
);
