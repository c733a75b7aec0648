import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DpopProof } from '../../../packages/core/src/dpop/proof.js';
import type { ProofStore } from '../../../packages/core/src/dpop/proof-recorder.js';
import { createUseProof } from '../../../packages/core/src/dpop/proof-use.js';
import { UsedProofs } from '../../../packages/core/src/dpop/used-proofs.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';

/** Seconds. */
const NOW = 1_800_000_005;
beforeEach(() => {
  vi.useFakeTimers({ now: NOW * 1000 });
});
afterEach(() => {
  vi.useRealTimers();
});

/** As it is read at this moment. */
const proofOf = (jti: string, acceptedUntil = NOW + 90): DpopProof => {
  const monotonicEnd = performance.now() + acceptedUntil * 1000 - Date.now();
  return { key: { jkt: 'key' }, jti, acceptedUntil, monotonicEnd } as DpopProof;
};

function start(
  add: ProofStore['add'] | undefined,
  acceptsWithoutStore = false,
  demandsNonces = false,
  clockTolerance = 30,
  used?: UsedProofs,
) {
  const reported: string[][] = [];
  const use = createUseProof(
    {
      clockTolerance,
      store: add && { add },
      timeout: 0.5,
      acceptsWithoutStore,
      demandsNonces,
    },
    (...problem) => void reported.push(problem as string[]),
    used,
  );
  /** `accepted`, or the refusal. */
  async function outcome(proof: DpopProof): Promise<string> {
    try {
      expect(await use(proof)).toBeUndefined();
      return 'accepted';
    } catch (thrown) {
      if (!RequestRefused.isRefusal(thrown)) {
        throw thrown;
      }
      return `${thrown.status} ${thrown.message}`;
    }
  }
  return { use, outcome, reported };
}

describe('in one process', () => {
  it('a proof is used up at once, and refused from then on', async () => {
    const { use, outcome } = start(undefined);
    expect(use(proofOf('a'))).toBeUndefined();
    expect(() => use(proofOf('a'))).toThrow('dpop_proof_replayed: this process has accepted it before');
    expect(await outcome(proofOf('b'))).toBe('accepted');
    expect(await outcome(proofOf('a'))).toBe('401 dpop_proof_replayed: this process has accepted it before');
  });

  it('a proof from before a clock was set back is refused', async () => {
    const { outcome } = start(undefined);
    await outcome(proofOf('a'));
    vi.advanceTimersByTime(120_000);
    await outcome(proofOf('b', NOW + 210));
    vi.setSystemTime(NOW * 1000);
    expect(await outcome(proofOf('a'))).toBe(
      '401 dpop_proof_untimely: the clock of this machine was set back; the proof may have been used',
    );
  });

  it.each<[string, (milliseconds: number) => unknown]>([
    ['', (milliseconds) => vi.advanceTimersByTime(milliseconds)],
    [
      ', though the clock of the machine was set back meanwhile',
      (milliseconds) => vi.advanceTimersByTime(milliseconds) && vi.setSystemTime(NOW * 1000),
    ],
    [', by the clock of the machine alone', (milliseconds) => vi.setSystemTime(NOW * 1000 + milliseconds)],
  ])('a proof is refused whose time ended after it was read%s', async (_, pass) => {
    const asked: string[] = [];
    const { outcome } = start(async (name) => asked.push(name) > 0);
    const [early, late] = [proofOf('a'), proofOf('b', NOW + 90.001)];
    pass(90_000);
    expect(await outcome(early)).toBe('401 dpop_proof_untimely: it became too old during the check');
    expect(await outcome(late)).toBe('accepted');
    expect(asked).toHaveLength(1);
  });

  it('a proof whose nonce became too old after it was read gets another nonce', async () => {
    const { outcome } = start(undefined, false, true);
    const proof = proofOf('a');
    vi.advanceTimersByTime(90_000);
    expect(await outcome(proof)).toBe(
      '401 dpop_nonce_required: its nonce became too old during the check, or its exp passed',
    );
  });

  it('a proof is refused while the process remembers as many as it can: 503', async () => {
    const { outcome } = start(undefined, false, false, 30, new UsedProofs(1));
    expect(await outcome(proofOf('a'))).toBe('accepted');
    expect(await outcome({ ...proofOf('b'), key: { jkt: 'other' } } as DpopProof)).toBe(
      '503 dpop_proofs_not_recorded: too little is left of the memory for used proofs of this process',
    );
  });

  it('one key can not have more than its share: 429', { timeout: 60_000 }, async () => {
    const { use, outcome } = start(undefined);
    const fill = (): void => {
      for (let i = 0; i < 120_000; i += 1) {
        use(proofOf(`${i}`));
      }
    };
    expect(fill).toThrow('dpop_proofs_too_many: of this key too many proofs are not expired yet');
    expect(await outcome(proofOf('more'))).toMatch(/^429 dpop_proofs_too_many/);
    expect(use({ ...proofOf('other'), key: { jkt: 'other' } } as DpopProof)).toBeUndefined();
  });
});

describe('with a store', () => {
  it('a proof is accepted if its name is new there, for as long as it is accepted anywhere', async () => {
    const added: [string, number][] = [];
    const { outcome } = start(async (name, ttl) => {
      added.push([name, ttl]);
      return true;
    });
    expect(await outcome(proofOf('a'))).toBe('accepted');
    expect(await outcome(proofOf('b', NOW + 0.0001))).toBe('accepted');
    const [, [, second] = []] = added;
    // Two processes whose clocks are each wrong by the tolerance of 30 s.
    expect(added[0]).toEqual([expect.stringMatching(/^[\w-]{43}$/), 150_000]);
    // Whole milliseconds: a store takes no other.
    expect(second).toBe(60_001);
    expect(new Set(added.map(([name]) => name)).size).toBe(2);
  });

  it('is asked to keep a proof for one millisecond at least, though its time ends at this moment', async () => {
    const kept: number[] = [];
    const { outcome } = start(async (_name, ttl) => kept.push(ttl) > 0, false, false, 0);
    const proof = proofOf('a', NOW + 0.002);
    // The clock goes on while the proof is used up.
    const now = vi
      .spyOn(Date, 'now')
      .mockReturnValueOnce(NOW * 1000)
      .mockReturnValue(NOW * 1000 + 5);
    expect(await outcome(proof)).toBe('401 dpop_proof_untimely: it became too old during the check');
    now.mockRestore();
    expect(kept).toEqual([1]);
  });

  it.each<[string, ProofStore['add'], string]>([
    ['has the name', async () => false, '401 dpop_proof_replayed: dpop.store has it: it was accepted before'],
    [
      'rejects',
      async () => Promise.reject(new Error('secret')),
      '503 dpop_proofs_not_recorded: dpop.store: Error',
    ],
    [
      'throws',
      () => {
        throw new Error('READONLY secret');
      },
      '503 dpop_proofs_not_recorded: dpop.store: READONLY',
    ],
    [
      'returns no boolean',
      async () => 1 as never,
      '503 dpop_proofs_not_recorded: dpop.store: add() returned neither true nor false',
    ],
    [
      'returns nothing',
      async () => undefined as never,
      '503 dpop_proofs_not_recorded: dpop.store: add() returned neither true nor false',
    ],
  ])('a proof is refused if the store %s', async (_, add, refusal) => {
    const { outcome, reported } = start(add);
    expect(await outcome(proofOf('a'))).toBe(refusal);
    expect(reported).toEqual([]);
  });

  it('the error of the store is the cause of the refusal', async () => {
    const cause = new Error('secret');
    const { use } = start(async () => Promise.reject(cause));
    await expect(use(proofOf('a'))).rejects.toMatchObject({ cause });
  });

  it('a store that does not answer in time is waited for no longer', async () => {
    const { outcome } = start(() => new Promise(() => undefined));
    const waiting = outcome(proofOf('a'));
    await vi.advanceTimersByTimeAsync(499);
    expect(await Promise.race([waiting, 'waiting'])).toBe('waiting');
    await vi.advanceTimersByTimeAsync(10);
    expect(await waiting).toBe('503 dpop_proofs_not_recorded: dpop.store: no answer within 0.5 s');
  });

  it('a proof whose time ends while the store is asked is refused, however the store answers', async () => {
    let answer: (isNew: boolean | Promise<never>) => void = () => undefined;
    const add = () =>
      new Promise<boolean>((resolve) => {
        answer = resolve;
      });
    for (const answered of [() => true, () => Promise.reject(new Error('away'))]) {
      const { outcome } = start(add, true);
      const waiting = outcome(proofOf('a', Date.now() / 1000 + 0.2));
      await vi.advanceTimersByTimeAsync(200);
      answer(answered());
      expect(await waiting).toBe('401 dpop_proof_untimely: it became too old during the check');
    }
  });

  it('a proof that this process has accepted is not asked about', async () => {
    let asked = 0;
    const { outcome } = start(async () => {
      asked += 1;
      return true;
    });
    await outcome(proofOf('a'));
    expect(await outcome(proofOf('a'))).toBe('401 dpop_proof_replayed: this process has accepted it before');
    expect(asked).toBe(1);
  });

  it("onStoreFailure: 'accept' accepts a proof once in the process, and reports it", async () => {
    const { outcome, reported } = start(async () => Promise.reject(new Error('secret')), true);
    expect([await outcome(proofOf('a')), await outcome(proofOf('a'))]).toEqual([
      'accepted',
      '401 dpop_proof_replayed: this process has accepted it before',
    ]);
    expect(reported).toEqual([
      ['dpop_store_failed', 'dpop.store: Error; proofs are accepted once in each process'],
    ]);
  });

  it.each([
    [false, '401 dpop_proof_replayed: dpop.store has it: it was accepted before'],
    [1, '503 dpop_proofs_not_recorded: dpop.store: add() returned neither true nor false'],
  ])(
    "onStoreFailure: 'accept' is for a store that fails, not for one that answers %j",
    async (answer, refusal) => {
      expect(await start(async () => answer as never, true).outcome(proofOf('a'))).toBe(refusal);
    },
  );
});
