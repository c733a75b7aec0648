// What a store of proofs that fails or hangs costs, and how it comes back.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DpopProof } from '../../../packages/core/src/dpop/proof.js';
import { ProofRecorder, type ProofStore } from '../../../packages/core/src/dpop/proof-recorder.js';
import { createUseProof } from '../../../packages/core/src/dpop/proof-use.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_005_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A store whose behaviour a test changes, and what uses proofs up there. */
function start(add: ProofStore['add'], acceptsWithoutStore = false, maxUnanswered?: number) {
  const reported: string[][] = [];
  const asked: string[] = [];
  const store = { add };
  const use = createUseProof(
    {
      clockTolerance: 30,
      store: {
        add(name, ttl) {
          asked.push(name);
          return store.add(name, ttl);
        },
      },
      timeout: 0.5,
      acceptsWithoutStore,
      demandsNonces: false,
    },
    (...problem) => void reported.push(problem as string[]),
    undefined,
    maxUnanswered,
  );
  let made = 0;
  const proof = (): DpopProof => {
    made += 1;
    return {
      key: { jkt: `key ${made % 100}` },
      jti: `${made}`,
      acceptedUntil: Date.now() / 1000 + 60,
      monotonicEnd: performance.now() + 60_000,
    } as DpopProof;
  };
  /** `accepted`, or the refusal. */
  async function outcome(one = proof()): Promise<string> {
    try {
      await use(one);
      return 'accepted';
    } catch (thrown) {
      if (!RequestRefused.isRefusal(thrown)) {
        throw thrown;
      }
      return `${thrown.status} ${thrown.message}`;
    }
  }
  /** Uses so many proofs up at once. Returns how often each outcome came, after this many milliseconds. */
  async function outcomesOf(count: number, milliseconds: number): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (let i = 0; i < count; i += 1) {
      void outcome().then((one) => {
        counts[one] = (counts[one] ?? 0) + 1;
      });
    }
    await vi.advanceTimersByTimeAsync(milliseconds);
    return counts;
  }
  return { store, asked, reported, proof, outcome, outcomesOf };
}

const hangs = (): Promise<never> => new Promise(() => undefined);
const fails = async (): Promise<never> => Promise.reject(new Error('READONLY secret'));
const answers = async (): Promise<boolean> => true;
/** Never answers each second call. */
function halfHangs() {
  let made = 0;
  return async (): Promise<boolean> => {
    made += 1;
    return made % 2 === 0 ? hangs() : true;
  };
}

describe('a store that fails five times in a row', () => {
  it('is left alone for a second, and then tried once a second until it answers', async () => {
    const { store, asked, reported, outcome } = start(fails);
    for (let i = 0; i < 5; i += 1) {
      expect(await outcome()).toBe('503 dpop_proofs_not_recorded: dpop.store: READONLY');
    }
    expect(reported).toEqual([
      [
        'dpop_store_suspended',
        'dpop.store failed or was too slow 5 times in a row (READONLY); it is tried every second, or every ' +
          '10 seconds while 5000 calls of add() are unanswered',
      ],
    ]);
    vi.advanceTimersByTime(600);
    expect(await outcome()).toBe(
      '503 dpop_proofs_not_recorded: dpop.store: not asked, as it failed before; next attempt in 0.4 s; ' +
        'the last failure: READONLY',
    );
    expect(asked).toHaveLength(5);
    vi.advanceTimersByTime(400);
    expect([await outcome(), await outcome()]).toEqual([
      '503 dpop_proofs_not_recorded: dpop.store: READONLY',
      expect.stringContaining('next attempt in 1.0 s'),
    ]);
    expect(asked).toHaveLength(6);
    store.add = answers;
    vi.advanceTimersByTime(1_000);
    expect([await outcome(), await outcome()]).toEqual(['accepted', 'accepted']);
    expect(reported.slice(1)).toEqual([['dpop_store_resumed', 'dpop.store answers again']]);
  });

  it('uses no proof up while it is away: the client may send it again', async () => {
    const { store, proof, outcome, outcomesOf } = start(fails);
    await outcomesOf(5, 1);
    const one = proof();
    expect(await outcome(one)).toMatch(/^503 .*not asked/);
    store.add = answers;
    vi.advanceTimersByTime(1_000);
    expect([await outcome(one), await outcome(one)]).toEqual([
      'accepted',
      '401 dpop_proof_replayed: this process has accepted it before',
    ]);
  });

  it("with onStoreFailure: 'accept' costs no wait: a proof is accepted once in the process", async () => {
    const { asked, reported, proof, outcome, outcomesOf } = start(fails, true);
    await outcomesOf(5, 1);
    const one = proof();
    expect([await outcome(one), await outcome(one)]).toEqual([
      'accepted',
      '401 dpop_proof_replayed: this process has accepted it before',
    ]);
    expect(asked).toHaveLength(5);
    expect(reported.map(([code]) => code).toSorted()).toEqual([
      ...Array.from({ length: 6 }, () => 'dpop_store_failed'),
      'dpop_store_suspended',
    ]);
    expect(reported.at(-1)?.[1]).toBe(
      'dpop.store: not asked, as it failed before; next attempt in 1.0 s; the last failure: READONLY; ' +
        'proofs are accepted once in each process',
    );
  });

  it('may reject without an error', async () => {
    const { asked, reported, outcome } = start(() => Promise.reject());
    for (let i = 0; i < 6; i += 1) {
      expect(await outcome()).toMatch(/^503 dpop_proofs_not_recorded/);
    }
    expect(asked).toHaveLength(5);
    expect(reported.map(([code]) => code)).toEqual(['dpop_store_suspended']);
  });

  it('is not one that fails four times and then answers', async () => {
    const { store, asked, reported, outcome } = start(fails);
    for (let i = 0; i < 20; i += 1) {
      store.add = i % 5 === 4 ? answers : fails;
      await outcome();
    }
    expect(asked).toHaveLength(20);
    expect(reported).toEqual([]);
  });

  it('is not one that has the proofs, or that returns no boolean', async () => {
    const { store, asked, outcome } = start(async () => false);
    for (let i = 0; i < 20; i += 1) {
      store.add = async () => (i < 10 ? false : (1 as never));
      expect(await outcome()).not.toBe('accepted');
    }
    expect(asked).toHaveLength(20);
  });
});

describe('a store that hangs', () => {
  it('has the requests wait that were on their way, and one a second after that', async () => {
    const { asked, outcomesOf } = start(hangs);
    expect(await outcomesOf(100, 499)).toEqual({});
    expect(await outcomesOf(0, 10)).toEqual({});
    const counts = await outcomesOf(1_000, 1);
    expect(Object.values(counts)).toEqual([1_000]);
    expect(Object.keys(counts)[0]).toContain('no answer within 0.5 s');
    expect(asked).toHaveLength(100);
    for (let second = 0; second < 60; second += 1) {
      await outcomesOf(100, 1_000);
    }
    // Each attempt takes half a second, and the next one comes a second after its end.
    expect(asked.length).toBeLessThanOrEqual(140);
    expect(asked.length).toBeGreaterThanOrEqual(120);
  });

  it.each([false, true])('gets calls up to a limit before it counts as away', async (acceptsWithoutStore) => {
    const { asked, outcomesOf } = start(hangs, acceptsWithoutStore, 20);
    await outcomesOf(20, 1);
    expect(await outcomesOf(3, 1)).toEqual({
      '503 dpop_proofs_not_recorded: dpop.store: this process waits for 20 answers already': 3,
    });
    expect(asked).toHaveLength(20);
  });

  it('gets 5,000 calls', async () => {
    vi.useRealTimers();
    const add = vi.fn(hangs);
    const recorder = new ProofRecorder({ add }, 0.1, () => undefined);
    const calls = Array.from({ length: 5_003 }, () => recorder.add('name', 1));
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(add).toHaveBeenCalledTimes(5_000);
  });
});

describe('a store that answers, in a process that is busy', () => {
  /** Answers after this many milliseconds. */
  const answersAfter = (milliseconds: number): ProofStore['add'] => {
    const names = new Set<string>();
    return (name) =>
      new Promise((resolve) => {
        const isNew = !names.has(name);
        names.add(name);
        setTimeout(() => resolve(isNew), milliseconds);
      });
  };

  it.each([false, true])('is not away after a burst of one client', async (acceptsWithoutStore) => {
    const waiting: (() => void)[] = [];
    const { store, reported, proof, outcome, outcomesOf } = start(
      () => new Promise((resolve) => waiting.push(() => resolve(true))),
      acceptsWithoutStore,
      20,
    );
    const counts = await outcomesOf(23, 1);
    expect(Object.values(counts)).toEqual([3]);
    const late = proof();
    expect(await outcome(late)).toMatch(/^503 .*waits for 20 answers already$/);
    for (const answer of waiting.splice(0)) {
      answer();
    }
    store.add = answers;
    // What was refused was not used up.
    await vi.advanceTimersByTimeAsync(1);
    expect([await outcome(late), await outcome()]).toEqual(['accepted', 'accepted']);
    expect(counts.accepted).toBe(20);
    expect(reported).toEqual([]);
  });

  it.each([false, true])('refuses what it answers late, and is not away', async (acceptsWithoutStore) => {
    const { store, reported, outcomesOf } = start(answersAfter(5), acceptsWithoutStore);
    const timely = store.add;
    let made = 0;
    store.add = (name, ttl) => {
      made += 1;
      return made % 2 === 0 ? answersAfter(700)(name, ttl) : timely(name, ttl);
    };
    expect(await outcomesOf(20, 600)).toEqual({
      accepted: 10,
      '503 dpop_proofs_not_recorded: dpop.store: no answer within 0.5 s': 10,
    });
    expect(reported).toEqual([]);
  });
});

it.each([
  [false, '503'],
  [true, 'accepted'],
])(
  'a store that always answers a little too late is away (acceptsWithoutStore: %s)',
  async (accepts, then) => {
    const { reported, outcomesOf } = start(
      () => new Promise((resolve) => setTimeout(() => resolve(true), 600)),
      accepts,
    );
    for (let turn = 0; turn < 20; turn += 1) {
      await outcomesOf(1, 100);
    }
    expect(reported.map(([code]) => code)).toContain('dpop_store_suspended');
    // One of them may be the one that tries the store.
    expect(Object.keys(await outcomesOf(3, 1)).map((one) => one.slice(0, then.length))).toEqual([then]);
  },
);

describe('a store with calls that it never answers', () => {
  /** Of 20 calls at most. */
  function startSmall(add: ProofStore['add']) {
    const store = { add: vi.fn(add) };
    const reported: string[] = [];
    const recorder = new ProofRecorder(
      store,
      0.5,
      (...problem) => void reported.push(problem.join(': ')),
      20,
    );
    /** Makes so many calls at once. Returns the outcomes that come within these milliseconds. */
    async function callAll(count: number, milliseconds = 1): Promise<string[]> {
      const outcomes: string[] = [];
      for (let i = 0; i < count; i += 1) {
        recorder.add('name', 1).then(
          (isNew) => outcomes.push(String(isNew)),
          (error) => outcomes.push(recorder.explain(error).detail),
        );
      }
      await vi.advanceTimersByTimeAsync(milliseconds);
      return outcomes;
    }
    /** Has a store that hangs in half of the calls leave 20 more unanswered. */
    async function fill(): Promise<void> {
      for (const count of [...Array.from({ length: 9 }, () => 4), 1, 1, 1, 1]) {
        await callAll(count, 510);
      }
    }
    /** Whether the next call fails for a failure of the store. */
    const isStoreFault = (): Promise<boolean> =>
      recorder.add('name', 1).then(
        () => Promise.reject(new Error('expected no answer')),
        (error) => recorder.explain(error).isStoreFault,
      );
    return { store, reported, callAll, fill, isStoreFault };
  }

  it('gets no more calls than the limit, though it answers others', async () => {
    const { store, reported, callAll, fill } = startSmall(halfHangs());
    await fill();
    expect(store.add).toHaveBeenCalledTimes(40);
    expect(await callAll(1)).toEqual(['20 calls of add() are unanswered']);
    expect(store.add).toHaveBeenCalledTimes(40);
    expect(reported).toEqual([]);
  });

  it('fails once they are unanswered for ten seconds, which no burst of a client lasts', async () => {
    const { store, reported, callAll, fill, isStoreFault } = startSmall(halfHangs());
    await fill();
    expect(await isStoreFault()).toBe(false);
    await callAll(0, 9_000);
    expect(await isStoreFault()).toBe(false);
    await callAll(0, 1_000);
    store.add.mockImplementation(hangs);
    // One tries the store.
    await callAll(1, 510);
    expect(await isStoreFault()).toBe(true);
    expect(store.add).toHaveBeenCalledTimes(41);
    expect(reported).toEqual([
      'dpop_store_suspended: dpop.store leaves 20 calls of add() unanswered; it is tried every 10 seconds',
    ]);
    // The oldest calls of the last minute are older now, and make room.
    await callAll(0, 45_000);
    store.add.mockImplementation(answers);
    expect(await callAll(2)).toEqual(['true', 'true']);
    expect(reported.slice(1)).toEqual([]);
    await callAll(0, 60_000);
    // A minute later it answers one, which the next call reports.
    expect([await callAll(1), await callAll(1)]).toEqual([['true'], ['true']]);
    expect(reported.slice(1)).toEqual(['dpop_store_resumed: dpop.store answers again']);
  });

  it('has not resumed while it answers none, though they are older than a minute', async () => {
    const { store, reported, callAll } = startSmall(hangs);
    const callFor = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second += 1) {
        await callAll(10, 1_000);
      }
    };
    await callFor(600);
    expect(reported).toEqual([expect.stringContaining('failed or was too slow 5 times in a row')]);
    store.add.mockImplementation(answers);
    await callFor(150);
    expect(reported.slice(1)).toEqual(['dpop_store_resumed: dpop.store answers again']);
  });

  it('has not resumed while one call in ten seconds is made, though each is answered', async () => {
    const { store, reported, callAll } = startSmall(hangs);
    await callAll(20, 11_000);
    await callAll(1, 11_000);
    store.add.mockImplementation(answers);
    for (let turn = 0; turn < 3; turn += 1) {
      expect((await callAll(2)).filter((one) => one === 'true')).toHaveLength(1);
      await callAll(0, 11_000);
    }
    expect(reported.map((one) => one.split(':')[0])).toEqual(['dpop_store_suspended']);
  });

  it('counts as failed until it leaves room for a minute', async () => {
    const { outcomesOf } = start(halfHangs(), true, 20);
    const refused: number[] = [];
    for (let minute = 0; minute < 8; minute += 1) {
      let count = 0;
      for (let second = 0; second < 60; second += 1) {
        const outcomes = await outcomesOf(10, 1_000);
        // A call without an answer in time is refused while the store answers others.
        const { accepted = 0, '503 dpop_proofs_not_recorded: dpop.store: no answer within 0.5 s': slow = 0 } =
          outcomes;
        count += 10 - accepted - slow;
      }
      refused.push(count);
    }
    expect(refused[0]).toBeGreaterThan(50);
    expect(refused.slice(1)).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });

  it('counts as failed ten seconds after an answer made room', async () => {
    const { store, reported, callAll, isStoreFault } = startSmall(halfHangs());
    for (let turn = 0; turn < 60; turn += 1) {
      await callAll(20, 5_000);
    }
    store.add.mockImplementation(answers);
    // Once an answer has made room, two calls are made, one after the other.
    let outcomes: string[] = [];
    for (let second = 0; second < 100 && outcomes.join() !== 'true,true'; second += 1) {
      outcomes = [...(await callAll(1)), ...(await callAll(1, 1_000))];
    }
    expect(outcomes).toEqual(['true', 'true']);
    for (let second = 0; second < 11; second += 1) {
      expect(await callAll(1, 1_000)).toEqual(['true']);
    }
    store.add.mockClear().mockImplementation(hangs);
    await callAll(1, 510);
    expect(await isStoreFault()).toBe(true);
    expect(store.add).toHaveBeenCalledTimes(1);
    expect(reported.map((one) => one.split(':')[0])).toEqual(['dpop_store_suspended']);
  });

  it('gets no more calls at once than there is room', async () => {
    const { store, callAll } = startSmall(halfHangs());
    for (let turn = 0; turn < 9; turn += 1) {
      await callAll(4, 510);
    }
    store.add.mockClear().mockImplementation(hangs);
    expect(await callAll(5)).toEqual(Array.from({ length: 3 }, () => '20 calls of add() are unanswered'));
    expect(store.add).toHaveBeenCalledTimes(2);
  });

  it('leaves four times the limit unanswered within an hour, and then few each minute', async () => {
    const { store, callAll } = startSmall(hangs);
    const leaveForAnHour = async (): Promise<number> => {
      let unanswered = 0;
      let made = 0;
      store.add.mockImplementation(() => {
        made += 1;
        if (made % 2 === 0) {
          return answers();
        }
        unanswered += 1;
        return hangs();
      });
      for (let turn = 0; turn < 720; turn += 1) {
        await callAll(20, 5_000);
      }
      return unanswered;
    };
    // Each minute an answer makes room for one, and half of six calls beyond the limits are not answered.
    const most = 20 * 4 + 60 * (1 + 6);
    const first = await leaveForAnHour();
    const second = await leaveForAnHour();
    expect(first).toBeGreaterThanOrEqual(80);
    expect(first).toBeLessThanOrEqual(most);
    expect(second).toBeLessThanOrEqual(most);
  });

  it('gets calls again a minute later', async () => {
    const { store, callAll, fill } = startSmall(halfHangs());
    await fill();
    await callAll(1, 60_000);
    store.add.mockImplementation(answers);
    expect(await callAll(3)).toEqual(['true', 'true', 'true']);
  });

  it('is tried every ten seconds until then', async () => {
    const { store, callAll, fill } = startSmall(halfHangs());
    await fill();
    store.add.mockClear().mockImplementation(answers);
    for (let second = 0; second < 25; second += 1) {
      await callAll(10, 1_000);
    }
    expect(store.add).toHaveBeenCalledTimes(2);
  });

  it('that has lost too many within an hour gets more at once each minute that it answers', async () => {
    const { store, callAll } = startSmall(halfHangs());
    for (let minute = 0; minute < 10; minute += 1) {
      store.add.mockImplementation(halfHangs());
      await callAll(60, 60_000);
    }
    store.add.mockImplementation(answers);
    for (let turn = 0; turn < 6; turn += 1) {
      await callAll(2, 11_000);
    }
    /** How many of 20 calls at once are made. */
    const madeAtOnce = async (): Promise<number> => {
      const outcomes = await callAll(20);
      return outcomes.filter((one) => one === 'true').length;
    };
    const made: number[] = [];
    for (let minute = 0; minute < 25; minute += 1) {
      made.push(await madeAtOnce());
      await callAll(0, 60_000);
    }
    expect(made.slice(0, 5)).toEqual([1, 2, 3, 4, 5].map((one) => one + (made[0] ?? 0) - 1));
    expect(made[0]).toBeGreaterThan(0);
    expect(made.at(-1)).toBe(20);
  });

  it('forgets no lost calls while those of the last minute are too many', async () => {
    const { store, callAll, fill } = startSmall(halfHangs());
    for (let minute = 0; minute < 3; minute += 1) {
      await fill();
      store.add.mockImplementation(answers);
      // One tries the store, and is answered.
      await callAll(0, 11_000);
      expect((await callAll(2)).join()).toContain(`${20 * (minute + 1) + 1} calls of add() are unanswered`);
      store.add.mockImplementation(halfHangs());
      await callAll(0, 60_000);
    }
  });

  it('is tried as often as the problem says while it answers none', async () => {
    const { store, reported, callAll } = startSmall(hangs);
    await callAll(20, 510);
    expect(reported).toEqual([
      'dpop_store_suspended: dpop.store failed or was too slow 5 times in a row (no answer within 0.5 s); ' +
        'it is tried every second, or every 10 seconds while 20 calls of add() are unanswered',
    ]);
    /** Makes calls for so many seconds. Returns how many of them asked the store. */
    async function triedIn(seconds: number): Promise<number> {
      store.add.mockClear();
      for (let second = 0; second < seconds; second += 1) {
        await callAll(10, 1_000);
      }
      return store.add.mock.calls.length;
    }
    expect(await triedIn(55)).toBe(5);
    store.add.mockImplementation(fails);
    await triedIn(10);
    expect(await triedIn(20)).toBe(20);
  });

  it('may have as many again as it answers late, well or badly', async () => {
    const waiting: (() => void)[] = [];
    const late: ProofStore['add'] = () =>
      new Promise((resolve, reject) => {
        waiting.push(waiting.length % 2 === 0 ? () => resolve(true) : () => reject(new Error('late')));
      });
    const { store, callAll } = startSmall(halfHangs());
    for (let turn = 0; turn < 9; turn += 1) {
      await callAll(4, 510);
    }
    store.add.mockImplementation(late);
    await callAll(2, 510);
    expect(await callAll(1)).toEqual(['20 calls of add() are unanswered']);
    for (const settle of waiting.splice(0)) {
      settle();
    }
    await vi.advanceTimersByTimeAsync(1);
    store.add.mockClear().mockImplementation(answers);
    expect(await callAll(3)).toEqual(expect.arrayContaining(['true', 'true']));
    expect(store.add).toHaveBeenCalledTimes(2);
  });
});
