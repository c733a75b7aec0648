import { type RefusalCode, RequestRefused } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import type { DpopProof } from './proof.js';
import { ProofRecorder, type ProofStore } from './proof-recorder.js';
import { proofIdOf, type TakeOutcome, UsedProofs } from './used-proofs.js';

/** How proofs are used up. Times in seconds. */
export interface ProofUseRules {
  readonly clockTolerance: number;
  readonly store: ProofStore | undefined;
  /** What the store may take to answer. */
  readonly timeout: number;
  /** Whether a proof is accepted, once in this process, if the store fails. */
  readonly acceptsWithoutStore: boolean;
  /** Whether each proof has a nonce, which limits its time. */
  readonly demandsNonces: boolean;
}

const refusals: Readonly<
  Record<Exclude<TakeOutcome, 'fresh'>, readonly [code: RefusalCode, detail: string]>
> = Object.freeze({
  replayed: ['dpop_proof_replayed', 'this process has accepted it before'],
  'too-old': ['dpop_proof_untimely', 'the clock of this machine was set back; the proof may have been used'],
  'too-many': ['dpop_proofs_too_many', 'of this key too many proofs are not expired yet'],
  full: ['dpop_proofs_not_recorded', 'too little is left of the memory for used proofs of this process'],
});

/**
 * Uses up a proof whose signature was right, and that is still accepted at this moment. Throws
 * `RequestRefused`, or returns a promise that rejects with it. Returns `undefined` if the proof is
 * used up at once.
 */
export type UseProof = (proof: DpopProof) => Promise<void> | undefined;

/**
 * Returns the function that uses up the proofs of a resource server.
 *
 * @param maxUnanswered calls of the store that may be unanswered
 */
export function createUseProof(
  rules: ProofUseRules,
  report: ReportProblem,
  used = new UsedProofs(),
  maxUnanswered?: number,
): UseProof {
  const { clockTolerance, store, timeout, acceptsWithoutStore, demandsNonces } = rules;
  const recorder = store && new ProofRecorder(store, timeout, report, maxUnanswered);

  /**
   * Refuses a proof whose time ended after it was read, while the token was introspected or the store
   * was asked: no process has to remember it any longer.
   */
  function checkNotEnded({ acceptedUntil, monotonicEnd }: DpopProof): void {
    // By both clocks: the one of the machine may have been set back.
    if (!(Date.now() / 1000 < acceptedUntil && performance.now() < monotonicEnd)) {
      throw demandsNonces
        ? new RequestRefused('dpop_nonce_required', {
            detail: 'its nonce became too old during the check, or its exp passed',
          })
        : new RequestRefused('dpop_proof_untimely', { detail: 'it became too old during the check' });
    }
  }

  /** Refuses a proof that was not recorded, unless the store failed and proofs are accepted then. */
  function handleFailure(error: unknown, to: ProofRecorder): void {
    const { detail: why, cause, isStoreFault } = to.explain(error);
    const detail = `dpop.store: ${why}`;
    if (!acceptsWithoutStore || !isStoreFault) {
      throw new RequestRefused('dpop_proofs_not_recorded', { detail, cause });
    }
    report('dpop_store_failed', `${detail}; proofs are accepted once in each process`);
  }

  /**
   * Refuses a proof if the store would not be asked now, unless proofs are accepted then. A refused proof is
   * not used up: the client may send it again.
   */
  function refuseIfStoreIsNotAsked(to: ProofRecorder): void {
    try {
      to.throwIfItWouldNotAsk();
    } catch (error) {
      // A proof that is accepted without the store is reported when it is used up.
      if (!acceptsWithoutStore || !to.explain(error).isStoreFault) {
        handleFailure(error, to);
      }
    }
  }

  async function addToStore(name: string, acceptedUntil: number, to: ProofRecorder): Promise<void> {
    // The clock of another process may be behind this one's: each is wrong by the tolerance at most.
    const ttl = Math.ceil((acceptedUntil + 2 * clockTolerance) * 1000 - Date.now());
    let isNew: unknown;
    try {
      isNew = await to.add(name, Math.max(ttl, 1));
    } catch (error) {
      handleFailure(error, to);
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

  async function useUpInStore(proof: DpopProof, name: string, to: ProofRecorder): Promise<void> {
    await addToStore(name, proof.acceptedUntil, to);
    // The store may have forgotten an earlier use before it was asked.
    checkNotEnded(proof);
  }

  return (proof) => {
    checkNotEnded(proof);
    if (recorder !== undefined) {
      refuseIfStoreIsNotAsked(recorder);
    }
    const { key, jti, acceptedUntil } = proof;
    const use = { jkt: key.jkt, jti, acceptedUntil };
    const taken = used.take(use);
    if (taken !== 'fresh') {
      const [code, detail] = refusals[taken];
      throw new RequestRefused(code, { detail });
    }
    return recorder === undefined ? undefined : useUpInStore(proof, proofIdOf(use), recorder);
  };
}
