import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import {
  type AdmittedEvent,
  type BreakerEvent,
  type CacheEvent,
  type CertificateEvent,
  type IntrospectionEvent,
  observeByLog,
  type RefusedEvent,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { dpopClient, type ProofChanges, proofOrigin } from '../../support/dpop-client.js';
import { answer, goodClaims, goodMetadata } from '../../support/faulty-server.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();
const admitted = recordedEvents<AdmittedEvent>('mtls-bound:admitted');
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
const cache = recordedEvents<CacheEvent>('mtls-bound:cache');
const certificates = recordedEvents<CertificateEvent>('mtls-bound:certificate');
const breaker = recordedEvents<BreakerEvent>('mtls-bound:breaker');
const asked = recordedEvents<IntrospectionEvent>('tracing:mtls-bound:introspection:start');
const answered = recordedEvents<IntrospectionEvent & { result?: unknown }>(
  'tracing:mtls-bound:introspection:asyncEnd',
);

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  server.metadata = answer(200, goodMetadata(server.issuer));
  server.introspection = answer(
    200,
    goodClaims(server.issuer, pki.alice.thumbprint, { sub: 'user-161803', client_id: 'app' }),
  );
});
afterEach(() => {
  vi.restoreAllMocks();
});

const token = 'tok-3141592653';

describe.each(frameworks)('%s', (framework) => {
  async function calls(tokens: readonly string[], more: ResourceServerOptions = {}): Promise<number[]> {
    const api = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'secret-2718281828',
      audience,
      http: { ca: pki.ca.cert },
      ...more,
    });
    const statuses = [];
    for (const each of tokens) {
      const { status } = await call(pki, api, '/', pki.alice).auth(each, { type: 'bearer' });
      statuses.push(status);
    }
    await api.close();
    return statuses;
  }

  it('tells of each request that is let in, of the cache, the certificate and the question', async () => {
    expect(await calls([token, token])).toEqual([200, 200]);
    const { issuer } = server;
    const { thumbprint } = pki.alice;
    const request = {
      issuer,
      clientId: 'app',
      thumbprint,
      keyThumbprint: undefined,
      isBound: true,
      interactionId: undefined,
    };
    expect(admitted).toEqual([request, request]);
    expect(cache).toEqual([{ result: 'miss' }, { result: 'hit' }]);
    const certificate = { from: 'the TLS connection', thumbprint, verified: true };
    expect(certificates).toEqual([certificate, certificate]);
    expect(asked).toHaveLength(1);
    expect(answered).toEqual([expect.objectContaining({ issuer, outcome: 'active' })]);
  });

  it('of what is not active', async () => {
    server.introspection = answer(200, { active: false });
    expect(await calls([token, token])).toEqual([401, 401]);
    expect(cache).toEqual([{ result: 'miss' }, { result: 'rejection_hit' }]);
    expect(admitted).toEqual([]);
    expect(answered.map(({ outcome }) => outcome)).toEqual(['token_inactive']);
  });

  it('of a server that is given a rest, and of old answers that serve', async () => {
    const circuitBreaker = { maxFailures: 1, retryInterval: 300 };
    const good = server.introspection;
    let count = 0;
    server.introspection = (req, res, body) => {
      count += 1;
      if (count === 1) {
        return good(req, res, body);
      }
      // The first answer grows old meanwhile.
      vi.setSystemTime(Date.now() + 61_000);
      return answer(503, {})(req, res, body);
    };
    const rules = { http: { ca: pki.ca.cert }, circuitBreaker, cache: { maxAge: 60, staleIfError: 300 } };
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      expect(await calls([token, 'other', 'another', token], rules)).toEqual([200, 503, 503, 200]);
    } finally {
      vi.useRealTimers();
    }
    expect(breaker).toEqual([
      { issuer: server.issuer, endpoint: `${server.issuer}/introspect`, state: 'open' },
    ]);
    expect(answered.map(({ outcome }) => outcome)).toEqual([
      'active',
      'authorization_server_failed',
      'authorization_server_not_asked',
      // A client's failures about unknown tokens do not stop the questions about its known one.
      'authorization_server_failed',
    ]);
    expect(cache.map(({ result }) => result)).toEqual(['miss', 'miss', 'miss', 'miss', 'stale']);
  });

  it('carries neither token, secret, subject nor what the server answered', async () => {
    await calls([token, token]);
    const all = inspect([admitted, cache, certificates, breaker, asked, answered], { depth: 20 });
    for (const secret of [token, '2718281828', '161803', 'x5t#S256']) {
      expect(all).not.toContain(secret);
    }
    expect(answered[0]?.result).toBeUndefined();
  });

  it('the question is asked in the context of the request', async () => {
    const context = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const note = () => seen.push(context.getStore());
    const { start } = tracingChannel('mtls-bound:introspection');
    start.subscribe(note);
    const enter = () => context.enterWith('the request');
    subscribe('http.server.request.start', enter);
    try {
      await calls([token]);
    } finally {
      start.unsubscribe(note);
      unsubscribe('http.server.request.start', enter);
    }
    expect(seen).toEqual(['the request']);
  });

  describe('the key of a DPoP proof', () => {
    const phone = dpopClient();
    const stranger = dpopClient();
    const good: ProofChanges = {};

    /** The events and the lines of a log for one request with the scheme DPoP. */
    async function request(
      changes: ProofChanges = good,
      by = phone,
      more: ResourceServerOptions = {},
    ): Promise<Record<string, unknown>[]> {
      server.introspection = answer(
        200,
        goodClaims(server.issuer, '', { client_id: 'app', cnf: { jkt: phone.jkt } }),
      );
      const api = await startApi(framework, pki, {
        issuer: server.issuer,
        clientId: 'api',
        clientSecret: 'secret-2718281828',
        audience,
        http: { ca: pki.ca.cert },
        dpop: { origin: proofOrigin },
        ...more,
      });
      const lines: object[] = [];
      const note = (line: object) => lines.push(line);
      const stop = observeByLog({ info: note, warn: note, error: note });
      // The observer logs the rests that began in earlier tests.
      lines.length = 0;
      await call(pki, api, '/').set('Authorization', `DPoP ${token}`).set('DPoP', by.proof(token, changes));
      stop();
      await api.close();
      return [...admitted, ...refused, ...reported, ...lines] as never;
    }

    it('is in the event of an accepted request', async () => {
      const [event, ...others] = await request();
      expect(others).toEqual([]);
      expect(event).toMatchObject({ clientId: 'app', thumbprint: undefined, keyThumbprint: phone.jkt });
    });

    it.each<[string, string, ProofChanges]>([
      ['its token is bound to another key', 'dpop_key_mismatch', good],
      ['it is for another method', 'dpop_proof_for_another', { claims: { htm: 'PUT' } }],
      ['it is too old', 'dpop_proof_untimely', { claims: { iat: 1 } }],
    ])('is in the event and the line of a refused request: %s', async (_, code, changes) => {
      const [event, line, ...others] = await request(changes, stranger);
      expect(others).toEqual([]);
      expect(event).toMatchObject({ refusal: { code }, keyThumbprint: stranger.jkt });
      expect(line).toMatchObject({ code, keyThumbprint: stranger.jkt });
    });

    it('is in the event and the line of a reported request, and not in that of the accepted one', async () => {
      const [accepted, event, line, ...others] = await request(good, stranger, { binding: 'report' });
      expect(others).toEqual([]);
      expect(accepted).toMatchObject({ isBound: false, reported: 'dpop_key_mismatch' });
      expect(accepted).toHaveProperty('keyThumbprint', undefined);
      expect(event).toMatchObject({ refusal: { code: 'dpop_key_mismatch' }, keyThumbprint: stranger.jkt });
      expect(line).toMatchObject({ code: 'dpop_key_mismatch', keyThumbprint: stranger.jkt });
    });

    it('is undefined if the proof has no key that can be read', async () => {
      const [event, line] = await request({ header: { jwk: {} } });
      expect(event).toMatchObject({ refusal: { code: 'dpop_proof_malformed' } });
      expect(event).toHaveProperty('keyThumbprint', undefined);
      expect(line).toHaveProperty('keyThumbprint', undefined);
    });
  });
});
