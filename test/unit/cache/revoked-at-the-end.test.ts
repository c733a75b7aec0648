// A request that waited for an answer about its token, or for a store of proofs, is decided by the revocations from
// before the answer, and by those that come before it is accepted.
import { setImmediate as turn } from 'node:timers/promises';
import { createResourceServer, type ResourceServer } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const kit = await createTestKit();
const alice = dpopClient();

afterEach(() => {
  vi.restoreAllMocks();
});

const byCertificate = () => requestWith('token');
const byProof = () => requestWith(undefined, { authorization: 'DPoP token', dpop: alice.proof('token', {}) });

const exp = Math.floor(Date.now() / 1000) + 600;

/** A resource server whose next wait can be held: of an answer, or of the store of proofs. */
function start(over: 'introspection' | 'store', more: Parameters<typeof optionsOver>[2] = {}) {
  let held = { opened: Promise.resolve(), open: (): void => undefined };
  const asked = vi.fn();
  const recorded = vi.fn();
  const waiting = async (): Promise<void> => {
    const { opened } = held;
    held = { opened: Promise.resolve(), open: (): void => undefined };
    await opened;
  };
  const authorizationServer = pretendServer(async () => {
    asked();
    if (over === 'introspection') {
      await waiting();
    }
    return boundClaims(kit.certificate, { exp, ...(over === 'store' && { cnf: { jkt: alice.jkt } }) });
  });
  const store = {
    async add() {
      recorded();
      await waiting();
      return true;
    },
  };
  const resourceServer = createResourceServer(
    optionsOver(authorizationServer, kit.certificate, {
      ...(over === 'store' && { dpop: { origin: proofOrigin, store } }),
      ...more,
    }),
  );
  return {
    resourceServer,
    asked,
    async isWaiting() {
      while ((over === 'store' ? recorded : asked).mock.calls.length === 0) {
        await turn();
      }
    },
    /** Returns what lets the wait go on. */
    hold(): () => void {
      held = gate();
      asked.mockClear();
      recorded.mockClear();
      return held.open;
    },
  };
}

type Started = ReturnType<typeof start>;

const ways: Record<string, () => Promise<[Started, (resourceServer: ResourceServer) => unknown]>> = {
  'a token that is not cached': async () => [start('introspection'), (on) => on.authorize(byCertificate())],
  'a token that is not cached, without a flood guard': async () => [
    start('introspection', { floodGuard: false }),
    (on) => on.authorize(byCertificate()),
  ],
  'requireActive()': async () => {
    const started = start('introspection');
    const req = byCertificate();
    const authorization = await started.resourceServer.authorize(req);
    return [started, (on) => on.require(req, authorization, (request) => request.introspect())];
  },
  'a proof that a store records': async () => {
    const started = start('store');
    await started.resourceServer.authorize(byProof());
    return [started, (on) => on.authorize(byProof())];
  },
  'a proof that a store records, for a token that is not cached': async () => [
    start('store'),
    (on) => on.authorize(byProof()),
  ],
};

describe.each(Object.entries(ways))('%s', (_title, prepare) => {
  it('is not accepted after revoke() has resolved, whenever it was called', async () => {
    const outcomes = new Set<string>();
    for (let ticks = 0; ticks < 60; ticks += 1) {
      const [{ resourceServer, hold, isWaiting }, check] = await prepare();
      const open = hold();
      let isAccepted = false;
      const outcome = outcomeOf(async () => {
        const authorization = await check(resourceServer);
        isAccepted = true;
        return authorization;
      });
      await isWaiting();
      open();
      for (let tick = 0; tick < ticks; tick += 1) {
        await null;
      }
      await resourceServer.revoke({ token: 'token' });
      const wasAccepted = isAccepted;
      const code = await outcome;
      outcomes.add(code);
      expect([ticks, code]).toEqual([ticks, wasAccepted ? 'admitted' : 'token_inactive']);
      await resourceServer.close();
    }
    // Without both the loop looks at the wrong moments.
    expect([...outcomes].sort()).toEqual(['admitted', 'token_inactive']);
  });
});

describe('a subject is revoked while the authorization server is asked, which then says that the token is active', () => {
  it.each([
    ['introspection', byCertificate],
    ['store', byProof],
  ] as const)('%s: the request is accepted, and its signal is silent', async (over, request) => {
    const answer = gate();
    let questions = 0;
    const cnf = over === 'store' ? { cnf: { jkt: alice.jkt } } : {};
    const authorizationServer = pretendServer(async () => {
      questions += 1;
      if (questions === 1) {
        await answer.opened;
      }
      return boundClaims(kit.certificate, cnf);
    });
    const store = { add: async () => true };
    const resourceServer = createResourceServer(
      optionsOver(authorizationServer, kit.certificate, {
        ...(over === 'store' && { dpop: { origin: proofOrigin, store } }),
      }),
    );
    const deciding = resourceServer.authorize(request());
    await vi.waitFor(() => expect(questions).toBe(1));
    await resourceServer.revoke({ subject: 'user-1' });
    answer.open();
    const authorization = await deciding;
    expect([questions, authorization?.signal.aborted]).toEqual([2, false]);
    await resourceServer.revoke({ subject: 'user-1' });
    expect(authorization?.signal.aborted).toBe(true);
    await resourceServer.close();
  });
});

describe('while a store records the proof', () => {
  it.each([
    [29, 'admitted'],
    [30, 'token_expired'],
  ])('a token becomes %i s older than exp, and clockTolerance is 30 s', async (seconds, expected) => {
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => (exp - 10) * 1000);
    const { resourceServer, hold, isWaiting } = start('store');
    const open = hold();
    const outcome = outcomeOf(() => resourceServer.authorize(byProof()));
    await isWaiting();
    clock.mockImplementation(() => (exp + seconds) * 1000);
    open();
    expect(await outcome).toBe(expected);
    await resourceServer.close();
  });

  it('no signal is made for a request that does not read it', async () => {
    const made = vi.spyOn(globalThis, 'AbortController');
    const { resourceServer } = start('store');
    const request = byProof();
    await resourceServer.authorize(request);
    made.mockClear();
    const authorization = await resourceServer.authorize(byProof());
    expect(made).not.toHaveBeenCalled();
    void authorization?.signal;
    expect(made).toHaveBeenCalledOnce();
    await resourceServer.close();
  });
});
