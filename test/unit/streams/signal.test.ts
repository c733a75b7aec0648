// auth.signal: what fires it, with which reason, and what leaves it silent.
import { EventEmitter } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  type Authorization,
  activeTokenPolicy,
  createResourceServer,
  type NodeRequest,
  type RequestRefused,
  type ResourceServer,
  type Revocation,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Revocations } from '../../../packages/core/src/revocation/revocations.js';
import { hashOf } from '../../../packages/core/src/token/token-hash.js';
import { MemoryLog } from '../../support/memory-log.js';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const secret = 'a secret of at least 32 characters';
const token = 'tok-3141592653';
const issuer = 'https://as.example.com';
const otherIssuer = 'https://other.example.com';
let kit: TestKit;
let server: ResourceServer;
let changes: Record<string, unknown>;

beforeAll(async () => {
  kit = await createTestKit();
});
beforeEach(() => {
  changes = { jti: 'jti-1', sid: 'session-1' };
  server = serverOver();
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await server.close();
});

function serverOver(more: Parameters<typeof optionsOver>[2] = {}): ResourceServer {
  const authorizationServer = pretendServer(() => boundClaims(kit.certificate, changes), issuer);
  const {
    issuer: _,
    clientId,
    clientSecret,
    audience,
    ...options
  } = optionsOver(authorizationServer, kit.certificate, more);
  const access = { clientId: 'api', clientSecret: 'a-client-secret', audience: audience as string };
  return createResourceServer({
    ...options,
    issuers: [
      { issuer, ...access },
      { issuer: otherIssuer, ...access },
    ],
    selectIssuer: () => issuer,
  });
}

/** A request on a connection that the test closes. */
function request(): { req: NodeRequest; close: () => void } {
  const socket = Object.assign(new EventEmitter(), { remoteAddress: '127.0.0.1', destroyed: false });
  const close = (): void => {
    socket.destroyed = true;
    socket.emit('close');
  };
  return { req: requestWith(token, {}, socket), close };
}

async function granted(on: ResourceServer, req: NodeRequest): Promise<Authorization> {
  const authorization = await on.authorize(req);
  if (authorization === undefined) {
    throw new Error('expected an Authorization');
  }
  return authorization;
}

const reasonOf = ({ aborted, reason }: AbortSignal): string =>
  aborted ? (reason as RequestRefused).code : 'silent';

describe('the signal of a request', () => {
  const revocations: [string, () => Revocation, string][] = [
    ['of this token', () => ({ token }), 'token_inactive'],
    ['of its hash', () => ({ tokenHash: hashOf(token) }), 'token_inactive'],
    ['of its jti', () => ({ jti: 'jti-1' }), 'token_inactive'],
    ['of its jti at its issuer', () => ({ jti: 'jti-1', issuer }), 'token_inactive'],
    ['of its subject', () => ({ subject: 'user-1' }), 'token_inactive'],
    ['of its subject at its issuer', () => ({ subject: 'user-1', issuer }), 'token_inactive'],
    ['of its client', () => ({ clientId: 'alice' }), 'token_inactive'],
    ['of its client at its issuer', () => ({ clientId: 'alice', issuer }), 'token_inactive'],
    ['of its session', () => ({ session: 'session-1' }), 'token_inactive'],
    ['of its session at its issuer', () => ({ session: 'session-1', issuer }), 'token_inactive'],
    ['of its certificate', () => ({ thumbprint: kit.certificate.thumbprint }), 'token_inactive'],
    [
      'of its certificate at its issuer',
      () => ({ thumbprint: kit.certificate.thumbprint, issuer }),
      'token_inactive',
    ],
    ['of another token', () => ({ token: 'tok-other' }), 'silent'],
    ['of another jti', () => ({ jti: 'jti-2' }), 'silent'],
    ['of another subject', () => ({ subject: 'user-2' }), 'silent'],
    ['of another client', () => ({ clientId: 'bob' }), 'silent'],
    ['of another session', () => ({ session: 'session-2' }), 'silent'],
    ['of another certificate', () => ({ thumbprint: kit.otherCertificate.thumbprint }), 'silent'],
    ['of its jti at another issuer', () => ({ jti: 'jti-1', issuer: otherIssuer }), 'silent'],
    ['of its subject at another issuer', () => ({ subject: 'user-1', issuer: otherIssuer }), 'silent'],
    ['of its client at another issuer', () => ({ clientId: 'alice', issuer: otherIssuer }), 'silent'],
    ['of its session at another issuer', () => ({ session: 'session-1', issuer: otherIssuer }), 'silent'],
    [
      'of its certificate at another issuer',
      () => ({ thumbprint: kit.certificate.thumbprint, issuer: otherIssuer }),
      'silent',
    ],
  ];

  it.each(revocations)('fires or stays silent at a revocation: %s', async (_, revocation, expected) => {
    const { signal } = await granted(server, request().req);
    expect(reasonOf(signal)).toBe('silent');
    await server.revoke(revocation());
    expect(reasonOf(signal)).toBe(expected);
  });

  it.each(revocations)(
    'is aborted or silent at its first access after a revocation: %s',
    async (_, revocation, expected) => {
      const authorization = await granted(server, request().req);
      await server.revoke(revocation());
      expect(reasonOf(authorization.signal)).toBe(expected);
    },
  );

  it('is silent about a revocation from before the authorization server said that the token is active', async () => {
    await server.revoke({ subject: 'user-1' });
    expect(reasonOf((await granted(server, request().req)).signal)).toBe('silent');
  });

  it('has a reason that tells nothing of the token', async () => {
    const { signal } = await granted(server, request().req);
    await server.revoke({ subject: 'user-1' });
    const { message, status, detail } = signal.reason as RequestRefused;
    expect({ message, status, detail }).toEqual({
      message: 'token_inactive',
      status: 401,
      detail: undefined,
    });
  });

  it('is one, also after requireActive() asked', async () => {
    const { req } = request();
    const first = await granted(server, req);
    const { signal } = first;
    const second = await server.require(req, first, activeTokenPolicy);
    expect(second).not.toBe(first);
    expect(second.signal).toBe(signal);
    expect(first.signal).toBe(signal);
  });

  it('fires for what the authorization server said of the token in requireActive()', async () => {
    const { req } = request();
    const first = await granted(server, req);
    const { signal } = first;
    changes = { ...changes, sid: 'session-2' };
    await server.require(req, first, activeTokenPolicy);
    await server.revoke({ session: 'session-2' });
    expect(reasonOf(signal)).toBe('token_inactive');
  });

  it('watches for each revocation once, however often requireActive() asks', async () => {
    const watch = vi.spyOn(Revocations.prototype, 'watch');
    const { req } = request();
    const first = await granted(server, req);
    const { signal } = first;
    for (let time = 0; time < 5; time += 1) {
      await server.require(req, first, activeTokenPolicy);
    }
    const { length } = watch.mock.calls;
    changes = { ...changes, sid: 'session-2' };
    for (let time = 0; time < 5; time += 1) {
      await server.require(req, first, activeTokenPolicy);
    }
    expect([length, watch.mock.calls.length]).toEqual([1, 2]);
    watch.mockRestore();
    await server.revoke({ session: 'session-2' });
    expect(reasonOf(signal)).toBe('token_inactive');
  });

  it('fires for what the authorization server said when the request was authorized again', async () => {
    await server.close();
    server = serverOver({ cache: { maxAge: 0 } });
    const watch = vi.spyOn(Revocations.prototype, 'watch');
    const { req } = request();
    const first = await granted(server, req);
    const { signal } = first;
    changes = { ...changes, sid: 'session-2' };
    const second = await granted(server, req);
    expect([second.signal, first.signal, second.signal]).toEqual([signal, signal, signal]);
    expect(watch).toHaveBeenCalledTimes(2);
    await server.revoke({ session: 'session-2' });
    expect(reasonOf(signal)).toBe('token_inactive');
  });

  it('is silent about a revocation from before requireActive(), also that of the first Authorization', async () => {
    const { req } = request();
    const first = await granted(server, req);
    await server.revoke({ subject: 'user-1' });
    const second = await server.require(req, first, activeTokenPolicy);
    expect([first, second].map(({ signal }) => reasonOf(signal))).toEqual(['silent', 'silent']);
    await server.revoke({ subject: 'user-1' });
    expect([first, second].map(({ signal }) => reasonOf(signal))).toEqual([
      'token_inactive',
      'token_inactive',
    ]);
  });

  it('does not change any more after its connection was closed, though the request is authorized again', async () => {
    await server.close();
    server = serverOver({ cache: { maxAge: 0 } });
    const { req, close } = request();
    const { signal } = await granted(server, req);
    close();
    changes = { ...changes, sid: 'session-2' };
    const second = await granted(server, req);
    await server.revoke({ token });
    expect([second.signal === signal, reasonOf(signal)]).toEqual([true, 'silent']);
  });

  it.each(['the first', 'the latest'])(
    'keeps no Authorization that was replaced: %s is checked',
    async (which) => {
      const { req } = request();
      const first = await granted(server, req);
      const replaced: WeakRef<Authorization>[] = [];
      let latest = await server.require(req, first, activeTokenPolicy);
      for (let time = 0; time < 5; time += 1) {
        replaced.push(new WeakRef(latest));
        latest = await server.require(req, which === 'the first' ? first : latest, activeTokenPolicy);
      }
      // A WeakRef keeps its object until the end of the turn.
      await turn();
      collectGarbage();
      expect(replaced.map((reference) => reference.deref())).toEqual(Array(5).fill(undefined));
      expect(await server.require(req, first, () => undefined)).toBe(latest);
    },
  );

  it('is not made for a request that does not ask for it', async () => {
    const watch = vi.spyOn(Revocations.prototype, 'watch');
    const { req } = request();
    const authorization = await granted(server, req);
    expect(JSON.stringify({ ...authorization })).not.toContain('signal');
    await server.require(req, authorization, activeTokenPolicy);
    expect(watch).not.toHaveBeenCalled();
  });

  it('fires when the token expires, with the clock tolerance of the check', async () => {
    await server.close();
    server = serverOver({ clockTolerance: 10 });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    changes = { exp: Math.floor(Date.now() / 1000) + 600 };
    const { signal } = await granted(server, request().req);
    const untilExpiry = (changes.exp as number) * 1000 - Date.now();
    await vi.advanceTimersByTimeAsync(untilExpiry + 9_999);
    expect(reasonOf(signal)).toBe('silent');
    await vi.advanceTimersByTimeAsync(1);
    expect(reasonOf(signal)).toBe('token_expired');
  });

  it('fires at the earlier expiry that the authorization server said in requireActive()', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const { req } = request();
    const first = await granted(server, req);
    const { signal } = first;
    changes = { exp: Math.floor(Date.now() / 1000) + 60 };
    await server.require(req, first, activeTokenPolicy);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(reasonOf(signal)).toBe('token_expired');
  });

  it('fires at an expiry that is farther off than a timer can run', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const days = 30 * 86_400;
    changes = { exp: Math.floor(Date.now() / 1000) + days };
    const { signal } = await granted(server, request().req);
    await vi.advanceTimersByTimeAsync((days - 60) * 1000);
    expect(reasonOf(signal)).toBe('silent');
    await vi.advanceTimersByTimeAsync(200_000);
    expect(reasonOf(signal)).toBe('token_expired');
  });

  it('fires within a minute of a clock that is set forward', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const { signal } = await granted(server, request().req);
    vi.setSystemTime(Date.now() + 3_600_000);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reasonOf(signal)).toBe('token_expired');
  });

  it('is aborted if the clock gives NaN when the expiry is looked at', async () => {
    const authorization = await granted(server, request().req);
    vi.spyOn(Date, 'now').mockReturnValue(Number.NaN);
    expect(reasonOf(authorization.signal)).toBe('token_expired');
  });

  it('is aborted at its first access if the token expired meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const authorization = await granted(server, request().req);
    vi.setSystemTime(Date.now() + 3_600_000);
    expect(reasonOf(authorization.signal)).toBe('token_expired');
  });

  it('never fires for a token without exp unless it is revoked', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    changes = { exp: undefined };
    const { signal } = await granted(server, request().req);
    await vi.advanceTimersByTimeAsync(10 * 365 * 86_400_000);
    expect(reasonOf(signal)).toBe('silent');
    await server.revoke({ token });
    expect(reasonOf(signal)).toBe('token_inactive');
  });

  it('follows the token that the request was accepted with, also if the header that carried it was changed', async () => {
    const { req } = request();
    const authorization = await granted(server, req);
    req.rawHeaders.length = 0;
    delete req.headers.authorization;
    const { signal } = authorization;
    expect(reasonOf(signal)).toBe('silent');
    await server.revoke({ token });
    expect(reasonOf(signal)).toBe('token_inactive');
  });

  it('stays silent after close() of the resource server', async () => {
    const { signal } = await granted(server, request().req);
    const later = await granted(server, request().req);
    await server.close();
    await server.revoke({ subject: 'user-2' });
    await server.revoke({ subject: 'user-1' });
    expect(reasonOf(signal)).toBe('silent');
    expect(reasonOf(later.signal)).toBe('token_inactive');
  });

  it('stays silent after its connection was closed', async () => {
    const { req, close } = request();
    const { signal } = await granted(server, req);
    close();
    await server.revoke({ token });
    expect(reasonOf(signal)).toBe('silent');
  });
});

describe('with a log of revocations', () => {
  it('a gap in the log fires every signal, and says that a revocation may be unknown', async () => {
    const log = new MemoryLog();
    const reader = serverOver({ revocations: { log, secret } });
    const writer = serverOver({ revocations: { log, secret } });
    await writer.revoke({ subject: 'user-2' });
    await vi.waitFor(async () => expect((await granted(reader, request().req)).signal.aborted).toBe(false));
    const { signal } = await granted(reader, request().req);
    // The entry that the reader has not read is deleted; the next one shows that it is missing.
    const append = log.append.bind(log);
    vi.spyOn(log, 'append').mockImplementationOnce(async (entry) => {
      const position = await append(entry);
      log.entries.pop();
      return position;
    });
    await writer.revoke({ subject: 'user-3' });
    await writer.revoke({ subject: 'user-4' });
    await vi.waitFor(() => expect(reasonOf(signal)).toBe('revocations_unknown'));
    await Promise.all([reader.close(), writer.close()]);
  });
});
