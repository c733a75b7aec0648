import { RequestRefused } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import type { DpopSettings } from '../options/dpop-options.js';
import { linesOf } from '../request/header-lines.js';
import type { NodeRequest } from '../request/node-request.js';
import { requestTargetOf } from '../request/request-target.js';
import { createNonces } from './nonces.js';
import { createProofReader, type DpopProof, type ProofReader } from './proof.js';
import { requestedUrl } from './proof-url.js';
import { createUseProof, type UseProof } from './proof-use.js';

/** Checks the DPoP proofs of a resource server (RFC 9449 §4.3, §7). */
export interface DpopCheck extends Pick<ProofReader, 'checkSignature'> {
  /**
   * Returns the proof of a request. Its signature, its key and its reuse are not checked yet. Throws
   * `RequestRefused`.
   *
   * @param tokenHash SHA-256 of the access token of the request, in base64url
   */
  proofOf(req: NodeRequest, tokenHash: string): DpopProof;
  /**
   * Returns the thumbprint of the key that the proof of a request names, also of a proof that was
   * refused, or `undefined` if no key could be read. The client need not have the key: a signature
   * is checked later.
   */
  keyThumbprintOf(req: NodeRequest): string | undefined;
  readonly useUp: UseProof;
  /** Returns a nonce for the next proof of a client; `undefined` if no nonces are demanded. */
  latestNonce(): string | undefined;
}

/** Makes what checks the proofs of a resource server with these settings. */
export function createDpopCheck(
  { bases, algorithms, maxAge, nonce, store, timeout, acceptsWithoutStore }: DpopSettings,
  clockTolerance: number,
  report: ReportProblem,
): DpopCheck {
  const nonces = nonce && createNonces(nonce.secret, nonce.maxAge);
  const reader = createProofReader({ algorithms, maxAge, clockTolerance, nonces });
  const keyThumbprints = new WeakMap<NodeRequest, string>();
  return Object.freeze({
    checkSignature: reader.checkSignature,
    useUp: createUseProof({ clockTolerance, store, timeout, acceptsWithoutStore }, report),
    latestNonce: () => nonces?.latest(Date.now() / 1000),
    keyThumbprintOf: (req) => keyThumbprints.get(req),

    proofOf(req, tokenHash) {
      const target = requestTargetOf(req);
      const urls = bases.map((base) => requestedUrl(base, target));
      const request = { method: String(req.method), urls, tokenHash };
      return reader.read(soleProof(req), request, (jkt) => keyThumbprints.set(req, jkt));
    },
  } satisfies DpopCheck);
}

function soleProof(req: NodeRequest): string {
  const [proof, another] = linesOf(req, 'dpop');
  if (proof === undefined) {
    throw new RequestRefused('dpop_proof_missing');
  }
  if (another !== undefined) {
    throw new RequestRefused('dpop_proof_repeated');
  }
  return proof;
}
