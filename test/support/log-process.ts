// Processes of a fleet that keep their revocations in a log, within one process: what each of them knows is its own.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  createResourceServer,
  introspection,
  jwtAccessTokens,
  type Revocation,
  type RevocationOptions,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest';
import { type RedisLogClient, type RedisLogOptions, redisLog } from '../../packages/core/src/redis/redis.js';
import { textOfEntry } from '../../packages/core/src/revocation/log-entry.js';
import { createSeal } from '../../packages/core/src/shared/sealing.js';
import { audience } from './audience.js';
import { boundClaims, outcomeOf, requestWith } from './pretend-server.js';
import { recordedEvents } from './recorded-events.js';
import { startRedis, type TestRedis } from './redis.js';

/** The keys of `redisLog()`. */
export const logStream = 'mtls-bound:{revocations}';
export const logHeaderKey = `${logStream}:name`;

export const logSecret = 'a secret of at least 32 characters';

/** An authorization server whose JWTs say all, and whose opaque tokens have to be asked about. */
export interface TokenIssuer {
  readonly kit: TestKit;
  /** Seconds ago that it was issued. */
  jwt(age?: number, claims?: Record<string, unknown>): Promise<string>;
  /** How often an opaque token was asked about. */
  asked(token: string): number;
  /** Options of a resource server that takes its JWTs and can't ask about them. */
  readonly forJwts: object;
  /** Options of a resource server that takes its JWTs, and asks about them where it must. */
  readonly forJwtsAndQuestions: object;
  /** Options of a resource server that asks about each token. */
  readonly forOpaque: object;
  /** The tokens that are not active by its answers. */
  readonly inactive: Set<string>;
}

export async function createIssuer(): Promise<TokenIssuer> {
  const issuer = 'https://as.example.com';
  const kit = await createTestKit({ issuer });
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const keys = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', use: 'sig' }] };
  const asked: string[] = [];
  const inactive = new Set<string>();
  let number = 0;
  const fetchWith =
    (endpoints: object) =>
    async (url: unknown, request: RequestInit = {}) => {
      if (String(url).endsWith('/keys')) {
        return Response.json(keys);
      }
      if (String(url).endsWith('/introspect')) {
        const token = new URLSearchParams(String(request.body)).get('token') ?? '';
        asked.push(token);
        return Response.json(inactive.has(token) ? { active: false } : boundClaims(kit.certificate));
      }
      return Response.json({ issuer, tls_client_certificate_bound_access_tokens: true, ...endpoints });
    };
  const common = { issuer, audience, certificate: () => kit.certificate, floodGuard: false };
  const keysAt = { jwks_uri: `${issuer}/keys` };
  const introspectionAt = { introspection_endpoint: `${issuer}/introspect` };
  const client = { clientId: 'api', clientSecret: 'a-client-secret' };
  return {
    kit,
    inactive,
    jwt(age = 0, claims = {}) {
      number += 1;
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({
        ...boundClaims(kit.certificate),
        iss: issuer,
        iat: now - age,
        exp: now + 3_000,
        jti: `jwt-${number}`,
        ...claims,
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt' })
        .sign(privateKey);
    },
    asked: (token) => asked.filter((one) => one === token).length,
    forJwts: {
      ...common,
      tokens: jwtAccessTokens(),
      http: { fetch: fetchWith(keysAt) },
    },
    forJwtsAndQuestions: {
      ...common,
      ...client,
      tokens: jwtAccessTokens({ introspection: introspection() }),
      http: { fetch: fetchWith({ ...keysAt, ...introspectionAt }) },
    },
    forOpaque: { ...common, ...client, http: { fetch: fetchWith(introspectionAt) } },
  };
}

/** A process of a fleet. */
export interface LogProcess {
  /** `admitted`, or the code of the refusal. */
  ask(token: string): Promise<string>;
  /** `kept`, or the code of the error. */
  revoke(revocation: Revocation): Promise<string>;
  /** Ends the process, and its connections with it. */
  close(): Promise<void>;
}

export interface LogFleet {
  readonly processes: readonly LogProcess[];
  start(): Promise<LogProcess>;
  /** What these processes answer, or all. */
  ask(token: string, of?: readonly LogProcess[]): Promise<string[]>;
  /** Waits until these processes, or all, answer so. */
  settled(token: string, outcome: string, of?: readonly LogProcess[]): Promise<void>;
  /** Asks each process again and again; ends with all that they answered. */
  watch(token: string): () => Promise<Set<string>>;
  /** Ends these processes, or all. */
  close(of?: readonly LogProcess[]): Promise<void>;
}

interface LogClient extends RedisLogClient {
  connect(): Promise<unknown>;
  on(event: 'error', listener: () => void): unknown;
  destroy(): unknown;
}

/** A fleet whose processes connect to Redis by clients that `createClient` makes. */
export function createLogFleet(
  createClient: () => LogClient,
  options: object,
  revocations: Partial<RevocationOptions> = {},
  redisOptions: RedisLogOptions = {},
): LogFleet {
  const processes: LogProcess[] = [];
  const fleet: LogFleet = {
    processes,
    async start() {
      const client = createClient();
      client.on('error', () => undefined);
      await client.connect();
      const started = startLogProcess(client, options, {
        log: redisLog(client, redisOptions),
        ...revocations,
      });
      processes.push(started);
      return started;
    },
    ask: (token, of = processes) => Promise.all(of.map((one) => one.ask(token))),
    async settled(token, outcome, of = processes) {
      const expected = of.map(() => outcome);
      const options = { timeout: 20_000, interval: 50 };
      await vi.waitFor(async () => expect(await fleet.ask(token, of)).toEqual(expected), options);
    },
    watch(token) {
      const answers = new Set<string>();
      let isWatching = true;
      const watching = (async () => {
        while (isWatching) {
          for (const answer of await fleet.ask(token)) {
            answers.add(answer);
          }
          await sleep(5);
        }
      })();
      return async () => {
        isWatching = false;
        await watching;
        return answers;
      };
    },
    async close(of = [...processes]) {
      await Promise.all(of.map((one) => one.close()));
      processes.splice(0, processes.length, ...processes.filter((one) => !of.includes(one)));
    },
  };
  return fleet;
}

function startLogProcess(
  client: LogClient,
  options: object,
  revocations: Partial<RevocationOptions>,
): LogProcess {
  const server = createResourceServer({ ...options, revocations: { secret: logSecret, ...revocations } });
  return {
    ask: (token) => outcomeOf(() => server.authorize(requestWith(token))),
    revoke: (revocation) =>
      server.revoke(revocation).then(
        () => 'kept',
        (error) => String(error.code),
      ),
    async close() {
      await server.close();
      await client.destroy();
    },
  };
}

/**
 * Has Redis look as if a fleet kept its revocations there for an hour, and none was made.
 *
 * @param age of the newest entry, in milliseconds
 */
export async function prepareLog(redis: Pick<TestRedis, 'command'>, age = 0): Promise<void> {
  const now = Date.now();
  const sealer = createSeal(logSecret, 'revocation-log-entry');
  const header = sealer.seal(
    `revocation-log-name ${logStream}`,
    JSON.stringify({ id: 'of-old', completeSince: now - 3_700_000, version: now - 3_700_000 }),
  );
  await redis.command('SET', logHeaderKey, header);
  const syncedSince = now - 3_700_000;
  for (const [index, at] of [syncedSince, now - age].entries()) {
    const entry = {
      writer: `of-old-${index}`,
      number: 1,
      at,
      lastRead: undefined,
      lastOwn: undefined,
      version: 0,
      syncedSince,
      attested: undefined,
      notice: undefined,
      noticeAge: 0,
      noticeCalls: 1,
    };
    await redis.command(
      'XADD',
      logStream,
      '*',
      'entry',
      sealer.seal(`revocation-log-entry ${logStream}`, textOfEntry(entry)),
    );
  }
}

/** What the tests of a suite of such a fleet have. */
export interface LogSuite {
  readonly issuer: TokenIssuer;
  /** A Redis of each test, with a log in it. */
  readonly redis: TestRedis;
  /** The fleet of a test, which ends with it. */
  fleet: LogFleet | undefined;
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

/** Call it within `describe()`. */
export function useLogSuite(): LogSuite {
  const problems = recordedEvents<LogSuite['problems'][number]>('mtls-bound:problem');
  let issuer: TokenIssuer;
  let redis: TestRedis;
  const suite: LogSuite = {
    get issuer() {
      return issuer;
    },
    get redis() {
      return redis;
    },
    fleet: undefined,
    problems,
  };
  beforeAll(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    issuer = await createIssuer();
  });
  afterAll(() => vi.restoreAllMocks());
  beforeEach(async () => {
    redis = await startRedis();
    await prepareLog(redis);
  });
  afterEach(async () => {
    issuer.inactive.clear();
    await suite.fleet?.close();
    suite.fleet = undefined;
    await redis.kill();
  });
  return suite;
}
