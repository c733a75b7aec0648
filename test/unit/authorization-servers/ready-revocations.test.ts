// ready() rejects while the log of revocations can't be read exactly where a request with a good token that is not cached is
// refused for it.
import {
  createResourceServer,
  type ProblemEvent,
  type ResourceServer,
  type ResourceServerOptions,
  type TokenClaims,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRevocationsCheck } from '../../../packages/core/src/authorization-server/readiness.js';
import { readTokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { MemoryLog } from '../../support/memory-log.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { remembered } from '../../support/revocations.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const secret = 'a secret of at least 32 characters';
const issuer = 'https://as.example.com';
const other = 'https://other.example.com';
const { certificate } = await createTestKit();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

let log: MemoryLog;
let asked: number;
const open: ResourceServer[] = [];
beforeEach(() => {
  log = new MemoryLog();
  asked = 0;
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

const claims = () => {
  const own = boundClaims(certificate, { active: undefined }) as Record<string, unknown>;
  return readTokenClaims(own, issuer) as TokenClaims;
};
const ready = async () => {
  asked += 1;
};
const read = async () => claims();
/** Sources of tokens, by what they can ask. */
const selfContained = () => Object.assign(async () => claims(), { ready });
const withIntrospection = () => Object.assign(async () => claims(), { ready, introspect: read });
const introspected = () => Object.assign(async () => claims(), { ready, kind: 'introspection' as const });

type Revocations = ResourceServerOptions['revocations'];

function start(options: ResourceServerOptions, revocations: Revocations = {}): ResourceServer {
  const server = createResourceServer(
    optionsOver(
      pretendServer(() => boundClaims(certificate), issuer),
      certificate,
      { revocations: { secret, log, maxAgeWhileUnsynced: 2, ...revocations }, ...options },
    ),
  );
  open.push(server);
  return server;
}

let tokens = 0;
/** With a token that is issued 40 seconds from now: a new log does not say whether an earlier one was revoked. */
const request = async (server: ResourceServer): Promise<string> => {
  tokens += 1;
  const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 40_000);
  const outcome = await outcomeOf(() => server.authorize(requestWith(`token-${tokens}`)));
  clock.mockRestore();
  return outcome;
};
const readiness = (server: ResourceServer): Promise<string> =>
  outcomeOf(() => server.ready().then(() => 'ready'));
const bothOf = async (server: ResourceServer) => [await readiness(server), await request(server)];
const admitted = ['admitted', 'admitted'];
const unknown = ['revocations_unknown', 'revocations_unknown'];

describe('a log that can not be read', () => {
  beforeEach(() => {
    log.failure = new Error('ECONNREFUSED');
  });

  it.each<[string, ResourceServerOptions, Revocations, string[]]>([
    ['tokens that are not introspected', { tokens: selfContained }, { maxWait: 0 }, unknown],
    ['such tokens that wait a moment', { tokens: selfContained }, { maxWait: 0.1 }, unknown],
    [
      'such tokens that are accepted',
      { tokens: selfContained },
      { jwtsWithUnknownRevocation: 'accept' },
      admitted,
    ],
    ['tokens that are introspected too', { tokens: withIntrospection }, { maxWait: 0 }, admitted],
    ['tokens that are introspected', { tokens: introspected }, { maxWait: 0 }, admitted],
  ])('%s', async (_title, options, revocations, expected) => {
    expect(await bothOf(start(options, revocations))).toEqual(expected);
    expect(asked).toBe(1);
  });

  it('rejects if the tokens of one issuer of several are not introspected', async () => {
    const issuers = [
      { issuer, clientId: 'api', clientSecret: 'a-client-secret', tokens: introspected },
      { issuer: other, tokens: selfContained },
    ];
    const single = { issuer: undefined, clientId: undefined, clientSecret: undefined };
    const server = start({ ...single, issuers } as object, { maxWait: 0 });
    expect(await readiness(server)).toBe('revocations_unknown');
  });

  it('says why, in the error and as a problem', async () => {
    const server = start({ tokens: selfContained }, { maxWait: 0 });
    await expect(server.ready()).rejects.toMatchObject({
      code: 'revocations_unknown',
      detail: expect.stringContaining('revocations.log was not read to its end'),
    });
    expect(problems.map(({ code }) => code)).toContain('revocations_unknown');
  });

  it('that can be read within maxWait: resolves when it was read', async () => {
    const server = start({ tokens: selfContained }, { maxWait: 30 });
    const outcome = bothOf(server);
    log.failure = undefined;
    expect(await outcome).toEqual(admitted);
  });
});

describe('a log that is interrupted', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    return () => vi.useRealTimers();
  });

  const check = (revocations: ReturnType<typeof remembered>) =>
    outcomeOf(() =>
      createRevocationsCheck(
        [{ read: Object.assign(read, { kind: 'self-contained' as const, introspect: undefined }) }],
        revocations,
        () => undefined,
      )().then(() => 'ready'),
    );

  it('is ready for maxAgeWhileUnsynced, and again when the log was read', async () => {
    const revocations = remembered({ syncedBy: 'log', maxAgeWhileUnsynced: 5 });
    expect(await check(revocations)).toBe('revocations_unknown');
    revocations.markRead('1', performance.now());
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await check(revocations)).toBe('admitted');
    await vi.advanceTimersByTimeAsync(1);
    expect(await check(revocations)).toBe('revocations_unknown');
    revocations.markRead('2', performance.now());
    expect(await check(revocations)).toBe('admitted');
  });

  it('waits for maxWait, and no longer', async () => {
    const revocations = remembered({ syncedBy: 'log', maxWait: 2 });
    const [late, early] = [check(revocations), check(remembered({ syncedBy: 'log', maxWait: 1 }))];
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await early).toBe('revocations_unknown');
    revocations.markRead('1', performance.now());
    expect(await late).toBe('admitted');
  });
});

it('a success of a moment ago does not count for the log', async () => {
  const server = start({ tokens: selfContained }, { maxWait: 0 });
  await vi.waitFor(async () => expect(await bothOf(server)).toEqual(admitted));
  const clock = vi.spyOn(performance, 'now');
  clock.mockReturnValue(performance.now() + 2_500);
  log.failure = new Error('ECONNRESET');
  expect(await bothOf(server)).toEqual(unknown);
  expect(asked).toBe(1);
  clock.mockRestore();
});
