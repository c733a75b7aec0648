import { RequestRefused } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import type { DpopSettings } from '../options/dpop-options.js';
import { headerValues } from '../request/header-lines.js';
import type { NodeRequest } from '../request/node-request.js';
import { requestTargetOf } from '../request/request-target.js';
import { createNonces } from './nonces.js';
import { createProofReader, type DpopProof, type ProofReader } from './proof.js';
import { requestedUrls } from './proof-url.js';
import { createUseProof, type UseProof } from './proof-use.js';

/** Checks the DPoP proofs of a resource server (RFC 9449 §4.3, §7). */
export interface DpopCheck extends Pick<ProofReader, 'checkSignature'> {
  /**
   * Reads the proof of a request. Its signature, its key and its reuse are not checked yet. Throws
   * `RequestRefused`. A proof that this very request has used up is returned as it was read then: an
   * upload between two checks may take longer than a proof is accepted.
   *
   * @param tokenHash SHA-256 of the access token of the request, in base64url
   */
  readProof(req: NodeRequest, tokenHash: string): ShownProof;
  /** Returns whether a request has a header DPoP, whatever its scheme and the header's content are. */
  hasHeader(req: NodeRequest): boolean;
  /**
   * Returns the proof that was read last for a request. Returns `undefined` if it is no good one, and if it
   * is for another token: a middleware may have replaced the token between two checks.
   *
   * @param tokenHash SHA-256 of the access token that the proof must be for, in base64url
   */
  proofOf(req: NodeRequest, tokenHash: string): ShownProof | undefined;
  /**
   * Returns the thumbprint of the key that the proof of a request for this token names, also of a proof that
   * was refused. Returns `undefined` if no key could be read, and if the proof that was read last came with
   * another token. The client need not have the key: a signature is checked later.
   *
   * @param tokenHash SHA-256 of the access token of the request, in base64url
   */
  keyThumbprintOf(req: NodeRequest, tokenHash: string): string | undefined;
  readonly useUp: UseProof;
  /** Returns a nonce for the next proof of a client; `undefined` if no nonces are demanded. */
  latestNonce(): string | undefined;
}

/** A proof of a request, and what it was read with. */
export interface ShownProof {
  readonly proof: DpopProof;
  readonly tokenHash: string;
  readonly method: string | undefined;
  readonly target: string;
  /**
   * The list of the request itself, not a copy: if the header lines were replaced, the proof is read again.
   */
  readonly rawHeaders: unknown;
  /**
   * Whether this very request has used the proof up here. True too if it had been used before and
   * `binding: 'report'` tolerates that.
   */
  isUsedUp: boolean;
}

/** Returns the checks of the DPoP proofs of a resource server with these settings. */
export function createDpopCheck(
  { bases, algorithms, maxAge, nonce, store, timeout, acceptsWithoutStore }: DpopSettings,
  clockTolerance: number,
  report: ReportProblem,
): DpopCheck {
  const nonces = nonce && createNonces(nonce.secret, nonce.maxAge);
  const reader = createProofReader({ algorithms, maxAge, clockTolerance, nonces });
  /** A route may check a request again. */
  const proofs = new WeakMap<NodeRequest, ShownProof>();
  /** Of requests without a good proof: the key that was read last, and the token that it came with. */
  const refusedKeys = new WeakMap<NodeRequest, { readonly jkt: string; readonly tokenHash: string }>();
  const proofOf = (req: NodeRequest, tokenHash: string): ShownProof | undefined => {
    const shown = proofs.get(req);
    return shown?.tokenHash === tokenHash ? shown : undefined;
  };
  return Object.freeze({
    checkSignature: reader.checkSignature,
    useUp: createUseProof(
      { clockTolerance, store, timeout, acceptsWithoutStore, demandsNonces: nonces !== undefined },
      report,
    ),
    latestNonce: () => nonces?.latest(Date.now() / 1000),
    hasHeader: (req) => headerValues(req, 'dpop').length > 0,
    proofOf,

    keyThumbprintOf(req, tokenHash) {
      const refused = refusedKeys.get(req);
      const refusedKey = refused?.tokenHash === tokenHash ? refused.jkt : undefined;
      return proofOf(req, tokenHash)?.proof.key.jkt ?? refusedKey;
    },

    readProof(req, tokenHash) {
      const { method, rawHeaders } = req;
      const target = requestTargetOf(req);
      const earlier = proofs.get(req);
      let jkt: string | undefined;
      try {
        const text = soleProof(req);
        if (earlier?.isUsedUp && isSameAs(earlier, { text, tokenHash, method, target, rawHeaders })) {
          return earlier;
        }
        const urls = requestedUrls(bases, target);
        const proof = reader.read(text, { method: String(method), urls, tokenHash }, (read) => {
          jkt = read;
        });
        // Every request passes here, and spreading another object would take V8 several microseconds.
        const shown = { proof, tokenHash, method, target, rawHeaders, isUsedUp: false };
        proofs.set(req, shown);
        return shown;
      } catch (thrown) {
        proofs.delete(req);
        if (jkt !== undefined) {
          refusedKeys.set(req, { jkt, tokenHash });
        }
        throw thrown;
      }
    },
  } satisfies DpopCheck);
}

/** Returns whether nothing of a request has changed since an earlier check. */
function isSameAs(
  earlier: ShownProof,
  now: Pick<ShownProof, 'tokenHash' | 'method' | 'target' | 'rawHeaders'> & { readonly text: string },
): boolean {
  return (
    earlier.proof.text === now.text &&
    earlier.tokenHash === now.tokenHash &&
    earlier.method === now.method &&
    earlier.target === now.target &&
    earlier.rawHeaders === now.rawHeaders
  );
}

function soleProof(req: NodeRequest): string {
  const proofs = headerValues(req, 'dpop');
  if (proofs.length > 1) {
    throw new RequestRefused('dpop_proof_repeated');
  }
  const proof = proofs[0];
  if (proof === undefined) {
    throw new RequestRefused('dpop_proof_missing');
  }
  return proof;
}
