import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  ClientCertificate,
  createResourceServer,
  type NodeRequest,
  type TokenAnswer,
} from '@mtls-bound/core';
import { expect, it } from 'vitest';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const thumbprint = 'A'.repeat(43);
const issuer = 'https://as.example.com';
const requestWith = (token: string) =>
  ({
    url: '/',
    headers: {},
    rawHeaders: ['Authorization', `Bearer ${token}`],
    socket: {},
  }) as unknown as NodeRequest;

function heapUsed(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

it('500,000 made-up tokens against a cache of 10,000: memory stays, and 1,000 good tokens are not introspected again', async () => {
  // An error's stack is most of what a refusal costs, and says nothing here.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const askedAbout = new Map<string, number>();
  let madeUp = 0;
  const read = async (token: string): Promise<TokenAnswer> => {
    if (!token.startsWith('good-')) {
      madeUp += 1;
      return 'token_inactive';
    }
    askedAbout.set(token, (askedAbout.get(token) ?? 0) + 1);
    return {
      issuer,
      subject: 'user-1',
      clientId: 'alice',
      scopes: [],
      audience: ['api'],
      tokenType: 'Bearer',
      expiresAt: Date.now() / 1000 + 3_600,
      notBefore: undefined,
      issuedAt: undefined,
      confirmation: { 'x5t#S256': thumbprint },
      claims: {},
    };
  };
  const server = createResourceServer({
    issuer,
    audience: 'api',
    // Without it, so that every token is asked about.
    floodGuard: false,
    cache: { maxEntries: 10_000, maxAge: 3_600 },
    certificate: () => new ClientCertificate({ thumbprint }),
    tokens: () => read,
  });
  const admits = async (token: string): Promise<boolean> => {
    try {
      await server.authorize(requestWith(token));
      return true;
    } catch {
      return false;
    }
  };

  let wrong = 0;
  let heapAt100000 = 0;
  for (let i = 0; i < 500_000; i += 1) {
    if (await admits(randomBytes(16).toString('hex'))) {
      wrong += 1;
    }
    // Each good token is used again before 10,000 others came.
    if (i % 5 === 0 && !(await admits(`good-${(i / 5) % 1_000}`))) {
      wrong += 1;
    }
    if (i === 100_000) {
      heapAt100000 = heapUsed();
    }
  }
  const growth = heapUsed() / heapAt100000;
  Error.stackTraceLimit = stackTraceLimit;

  expect(wrong).toBe(0);
  expect(madeUp).toBe(500_000);
  expect([askedAbout.size, Math.max(...askedAbout.values())]).toEqual([1_000, 1]);
  expect(growth).toBeLessThan(1.2);
}, 300_000);
