import {
  type Authorization,
  type AuthorizationAbortSignalRegistry,
  copyAsUnbound,
  createAuthorization,
  presentedOf,
  type TokenOfRequest,
} from './authorization.js';
import { type CertificateSource, ClientCertificate } from './certificate/client-certificate.js';
import { connectionOf } from './certificate/connection.js';
import { checkTls, watchTls } from './certificate/tls-profile.js';
import { checkBinding } from './confirmation/binding.js';
import { certificateMethod } from './confirmation/certificate-method.js';
import { createKeyMethod } from './confirmation/key-method.js';
import type { DpopCheck, ShownProof } from './dpop/dpop-check.js';
import type { DpopProof } from './dpop/proof.js';
import { type RefusalCode, RequestRefused, TellableError } from './errors.js';
import { publishCertificate, publishReported } from './observe/events.js';
import type { Settings } from './options/resource-server-options.js';
import type { NodeRequest } from './request/node-request.js';
import { describeSource, type Explainer } from './response/explanation.js';
import { interactionOf } from './shared/interaction-id.js';
import { isPromise } from './shared/promises.js';
import { type ClaimRules, checkClaims } from './token/claims-check.js';
import type { TokenAnswer, TokenClaims } from './token/token-claims.js';
import { readTokenRejection } from './token/token-rejection.js';
import { isToleratedByReport } from './token/tolerated-refusals.js';

/**
 * The checks of a request, which `admission.ts` calls in order: they read what the request shows, and
 * compare it with what is known of the token.
 */
export interface RequestChecks {
  /**
   * Loads what `decide()` needs to judge the certificate. Returns `undefined` if there is nothing to wait
   * for. Rejects with `RequestRefused`. Loads nothing for these requests, as `decide()` does not judge a
   * certificate of theirs:
   *
   * - a request without a certificate
   * - a request whose token is bound to something that the request does not prove: `decide()` refuses it
   *   before. With `binding: 'report'` it is accepted, and what its certificate needs is loaded
   */
  prepare(
    answer: TokenClaims,
    certificate: ClientCertificate | undefined,
    proof: DpopProof | undefined,
  ): Promise<unknown> | undefined;
  /** Loads what the decisions on certificates need. Rejects with `RequestRefused`. */
  ready(): Promise<unknown> | undefined;
  /**
   * Returns what to wait for before `certificateOf()`; `undefined` if there is nothing. Rejects with
   * `RequestRefused`.
   */
  prepareCertificateSource(): Promise<unknown> | undefined;
  /**
   * Returns the certificate of the client, or `undefined` if the client showed none. With `binding: 'report'`
   * also returns `undefined` if it can't be read, which is reported. Throws `RequestRefused`.
   */
  certificateOf(req: NodeRequest): ClientCertificate | undefined;
  /**
   * Reads the DPoP proof of a request. Undefined if it is reported instead. Throws
   * `RequestRefused`.
   *
   * @param tokenHash SHA-256 of the access token of the request, in base64url
   */
  readProof(req: NodeRequest, tokenHash: string): ShownProof | undefined;
  /**
   * Checks what is known of the token, its binding and the certificate. Throws `RequestRefused`.
   *
   * @param answer the claims of the token, or why the token is refused
   * @param turn the turn (see `DatedClaims`) at which it was decided that `answer` may be used
   * @param now milliseconds since the epoch
   */
  decide(
    answer: TokenAnswer,
    certificate: ClientCertificate | undefined,
    proof: DpopProof | undefined,
    presented: TokenOfRequest,
    turn: number,
    now: number,
  ): Authorization;
  /**
   * Uses up the proof of a request that has passed all other checks. The signature of the proof is verified,
   * and its key is the one of `authorization.keyThumbprint`. Returns what the request is accepted with,
   * or a promise of it. Throws `RequestRefused`, or the promise rejects with it.
   */
  useUp(
    proof: DpopProof,
    authorization: Authorization,
    req: NodeRequest,
  ): Authorization | Promise<Authorization>;
  /** How often `binding: 'report'` reported a request instead of refusing it, by code. */
  readonly reported: ReadonlyMap<RefusalCode, number>;
  /** Returns why `required` would have refused a request that was accepted. */
  readonly reportedFor: (req: NodeRequest) => RefusalCode | undefined;
}

export function createRequestChecks(
  settings: Settings,
  rulesOf: (issuer: string) => ClaimRules,
  { explain }: Pick<Explainer, 'explain'>,
  abortSignals: AuthorizationAbortSignalRegistry,
  dpop: DpopCheck | undefined,
  revokeCertificate: (certificate: ClientCertificate) => void,
): RequestChecks {
  const { binding, certificatePolicy, profile } = settings;
  const methods = dpop === undefined ? [certificateMethod] : [certificateMethod, createKeyMethod(dpop)];
  // Not frozen: V8 walks a frozen list the slow way.
  const bindingRules = { binding, methods };
  const isReporting = binding === 'report';
  // With `binding: 'report'` a revoked certificate is only reported: its tokens are not revoked.
  const whenRevoked = isReporting ? undefined : revokeCertificate;
  const certificateFrom = describeSource(settings.certificate);
  const reported = new Map<RefusalCode, number>();
  if (profile !== undefined) {
    watchTls();
  }
  // With `binding: 'report'` alone: why `required` would have refused before the token was known,
  // and what was reported.
  const toleratedRefusals = new WeakMap<NodeRequest, RequestRefused>();
  const reportedRequests = new WeakMap<NodeRequest, RefusalCode>();
  // Their proofs had been used before, or became too old. A later check of such a request must not
  // find it bound.
  const replayed = new WeakSet<NodeRequest>();

  /** Returns the refusal that `binding: 'report'` reports instead. Throws everything else. */
  function refusalToReport(thrown: unknown): RequestRefused {
    if (isReporting && RequestRefused.isRefusal(thrown) && isToleratedByReport(thrown, dpop !== undefined)) {
      return thrown;
    }
    throw thrown;
  }

  function noteTolerated(req: NodeRequest, refusal: RequestRefused): void {
    if (!toleratedRefusals.has(req)) {
      toleratedRefusals.set(req, refusal);
    }
  }

  /**
   * Counts and publishes the first refusal of a request, once: that is what `required` would refuse it for.
   */
  function reportOnce(
    refusal: RequestRefused,
    { issuer, clientId }: Pick<TokenClaims, 'issuer' | 'clientId'>,
    certificate: ClientCertificate | undefined,
    { req, hash }: TokenOfRequest,
  ) {
    if (reportedRequests.has(req)) {
      return;
    }
    reportedRequests.set(req, refusal.code);
    reported.set(refusal.code, (reported.get(refusal.code) ?? 0) + 1);
    const { thumbprint } = certificate ?? {};
    const keyThumbprint = dpop?.keyThumbprintOf(req, hash);
    const interactionId = interactionOf(req);
    publishReported(
      { refusal, stage: 'request', issuer, clientId, thumbprint, keyThumbprint, interactionId },
      () => explain(refusal, certificate, req),
    );
  }

  /** Whether the request proves what its token is bound to. */
  function isProven(
    { confirmation, claims }: TokenClaims,
    certificate: ClientCertificate,
    proof: DpopProof | undefined,
  ): boolean {
    try {
      checkBinding(confirmation, { thumbprint: certificate.thumbprint, proof }, bindingRules, claims);
      return true;
    } catch {
      return false;
    }
  }

  return {
    ready: () => certificatePolicy?.load(Date.now()),

    prepare(answer, certificate, proof) {
      if (certificatePolicy === undefined || certificate === undefined) {
        return undefined;
      }
      return isReporting || isProven(answer, certificate, proof)
        ? certificatePolicy.prepare(certificate, Date.now())
        : undefined;
    },

    prepareCertificateSource: () => settings.certificate.prepare?.(Date.now()),

    reported,
    reportedFor: (req) => reportedRequests.get(req),

    certificateOf(req) {
      if (profile !== undefined && endsTls(settings.certificate, req)) {
        checkTls(req, profile.ciphers);
      }
      try {
        const certificate = readCertificate(settings.certificate(req));
        publishCertificate(certificateFrom, certificate);
        return certificate;
      } catch (thrown) {
        noteTolerated(req, refusalToReport(thrown));
        return undefined;
      }
    },

    readProof(req, tokenHash) {
      try {
        return dpop?.readProof(req, tokenHash);
      } catch (thrown) {
        noteTolerated(req, refusalToReport(thrown));
        return undefined;
      }
    },

    decide(answer, certificate, proof, presented, turn, now) {
      const { req } = presented;
      if (typeof answer === 'string') {
        const { code, ...details } = readTokenRejection(answer);
        throw new RequestRefused(code, details);
      }
      let tolerated = isReporting ? toleratedRefusals.get(req) : undefined;
      try {
        checkClaims(answer, rulesOf(answer.issuer), now / 1000, proof !== undefined);
      } catch (thrown) {
        const refusal = refusalToReport(thrown);
        tolerated ??= refusal;
      }
      let isBound = false;
      let judged = certificate;
      try {
        checkBinding(
          answer.confirmation,
          { thumbprint: certificate?.thumbprint, proof },
          bindingRules,
          answer.claims,
        );
        isBound = answer.confirmation !== undefined && !replayed.has(req);
      } catch (thrown) {
        const refusal = refusalToReport(thrown);
        tolerated ??= refusal;
      }
      try {
        // A client that proves a key instead need not have a certificate.
        if (certificate !== undefined || proof === undefined) {
          judged = certificatePolicy?.(certificate, now, whenRevoked) ?? certificate;
        }
      } catch (thrown) {
        const refusal = refusalToReport(thrown);
        tolerated ??= refusal;
      }
      const keyOfProof = isBound ? proof?.key.jkt : undefined;
      const authorization = createAuthorization(
        answer,
        judged,
        isBound,
        keyOfProof,
        abortSignals,
        presented,
        turn,
      );
      if (tolerated !== undefined) {
        reportOnce(tolerated, answer, certificate, presented);
      }
      return authorization;
    },

    useUp(proof, authorization, req) {
      const tolerate = (thrown: unknown): Authorization => {
        reportOnce(
          refusalToReport(thrown),
          authorization,
          authorization.certificate,
          presentedOf(authorization),
        );
        replayed.add(req);
        return copyAsUnbound(authorization);
      };
      try {
        const using = dpop?.useUp(proof);
        return using === undefined ? authorization : using.then(() => authorization, tolerate);
      } catch (thrown) {
        return tolerate(thrown);
      }
    },
  };
}

/**
 * Whether Node ends the client's TLS, so that the profile's TLS rules hold for this connection. A
 * source that says neither where its certificate comes from nor `fromConnection` may wrap
 * `tlsSocket()`: its TLS connections are checked too.
 */
function endsTls({ fromConnection, header }: CertificateSource, req: NodeRequest): boolean {
  return fromConnection ?? (header === undefined && connectionOf(req)?.encrypted === true);
}

/**
 * A source is the user's own function: what it returns decides about identity, so nothing is taken
 * for granted.
 */
function readCertificate(given: unknown): ClientCertificate | undefined {
  if (given === undefined) {
    return undefined;
  }
  const certificate = ClientCertificate.from(given);
  if (certificate === undefined) {
    const what = isPromise(given) ? 'a promise' : 'neither a ClientCertificate nor undefined';
    throw new TellableError(`the option certificate returned ${what}`);
  }
  return certificate;
}
