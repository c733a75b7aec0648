import { type RefusalCode, RequestRefused } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { describeStoreError, within } from '../shared/bounded-wait.js';
import type { DpopProof } from './proof.js';
import { proofIdOf, type Taken, UsedProofs } from './used-proofs.js';

/**
 * Where the processes of a fleet record which proofs were used, so that each counts once in all.
 */
export interface ProofStore {
  /**
   * Adds a name in one step, and keeps it for `ttl` milliseconds. Resolves with `true` if the store
   * did not have the name, with `false` if it did.
   */
  add(name: string, ttl: number): Promise<boolean>;
}

/** How proofs are used up. Times in seconds. */
export interface ProofUseRules {
  readonly clockTolerance: number;
  readonly store: ProofStore | undefined;
  /** What the store may take to answer. */
  readonly timeout: number;
  /** Whether a proof counts, once in this process, though the store fails. */
  readonly acceptsWithoutStore: boolean;
}

const refusalOf: Readonly<Record<Exclude<Taken, 'fresh'>, readonly [code: RefusalCode, detail: string]>> =
  Object.freeze({
    replayed: ['dpop_proof_replayed', 'this process has accepted it before'],
    'too-old': ['dpop_proof_expired', 'the clock of this machine was set back; the proof may have been used'],
    'too-many': ['dpop_proofs_too_many', 'of this key too many proofs are not expired yet'],
    full: ['dpop_proofs_not_recorded', 'this process remembers as many proofs as it can'],
  });

/**
 * Uses up a proof that everything else speaks for. Throws `RequestRefused`, or returns a promise
 * that rejects with it. Returns `undefined` if the proof is used up at once.
 */
export type UseProof = (proof: DpopProof) => Promise<void> | undefined;

/** Makes what uses up the proofs of a resource server. */
export function createUseProof(rules: ProofUseRules, report: ReportProblem): UseProof {
  const { clockTolerance, store, timeout, acceptsWithoutStore } = rules;
  const used = new UsedProofs();

  async function addToStore(name: string, acceptedUntil: number, to: ProofStore): Promise<void> {
    // The clock of another process may be behind this one's.
    const ttl = Math.ceil((acceptedUntil + clockTolerance) * 1000 - Date.now());
    let isNew: unknown;
    try {
      isNew = await within(timeout, () => to.add(name, Math.max(ttl, 1)));
    } catch (error) {
      const detail = `dpop.store: ${describeStoreError(error)}`;
      if (!acceptsWithoutStore) {
        throw new RequestRefused('dpop_proofs_not_recorded', { detail, cause: error });
      }
      report('dpop_store_failed', `${detail}; proofs are accepted once in each process`);
      return;
    }
    if (isNew === false) {
      throw new RequestRefused('dpop_proof_replayed', {
        detail: 'dpop.store has it: it was accepted before',
      });
    }
    if (isNew !== true) {
      throw new RequestRefused('dpop_proofs_not_recorded', {
        detail: 'dpop.store: add() returned neither true nor false',
      });
    }
  }

  return ({ key: { jkt }, jti, acceptedUntil }) => {
    const proof = { jkt, jti, acceptedUntil };
    const taken = used.take(proof);
    if (taken !== 'fresh') {
      const [code, detail] = refusalOf[taken];
      throw new RequestRefused(code, { detail });
    }
    return store === undefined ? undefined : addToStore(proofIdOf(proof), acceptedUntil, store);
  };
}
