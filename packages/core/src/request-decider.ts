import { Authorization, type RequestSignalRegistry } from './authorization.js';
import { type CertificateSource, ClientCertificate } from './certificate/client-certificate.js';
import { connectionOf } from './certificate/connection.js';
import { checkTls, watchTls } from './certificate/tls-profile.js';
import { type RefusalCode, RequestRefused, reportable, TellableError } from './errors.js';
import { publishCertificate, publishReported } from './observe/events.js';
import type { Settings } from './options/resource-server-options.js';
import { checkBinding } from './policy/binding.js';
import { type ClaimRules, checkClaims } from './policy/claims.js';
import type { NodeRequest } from './request/node-request.js';
import { type Explainer, originOf } from './response/explanation.js';
import { interactionOf } from './shared/interaction-id.js';
import { isPromised } from './shared/promises.js';
import type { TokenAnswer, TokenClaims } from './token/token-claims.js';
import { readTokenRejection } from './token/token-rejection.js';

/** Decides, once it is known what the token is: on every request, after the cache. */
export interface RequestDecider {
  /**
   * Loads what decisions need. Returns `undefined` if there is nothing to wait for. Rejects with
   * `RequestRefused`.
   */
  load(): Promise<unknown> | undefined;
  /** Undefined where the client showed none. Throws `RequestRefused`. */
  certificateOf(req: NodeRequest): ClientCertificate | undefined;
  /**
   * Throws `RequestRefused`.
   *
   * @param since the turn of `Revocations` when the check began
   */
  decide(
    token: TokenAnswer,
    certificate: ClientCertificate | undefined,
    req: NodeRequest,
    since: number,
  ): Authorization;
  /** What was told instead of refused, with `binding: 'report'`. */
  readonly reported: ReadonlyMap<RefusalCode, number>;
  /** Returns why `required` would have refused a request that was let in. */
  reportedFor(req: NodeRequest): RefusalCode | undefined;
}

export function createRequestDecider(
  settings: Settings,
  rulesOf: (issuer: string) => ClaimRules,
  { explain }: Pick<Explainer, 'explain'>,
  server: RequestSignalRegistry,
): RequestDecider {
  const { binding, certificatePolicy, profile } = settings;
  const isReporting = binding === 'report';
  const origin = originOf(settings.certificate);
  const reported = new Map<RefusalCode, number>();
  if (profile !== undefined) {
    watchTls();
  }
  // With `binding: 'report'` alone: why `required` would have refused before the token was known,
  // and what was reported.
  const troubles = new WeakMap<NodeRequest, RequestRefused>();
  const reportedRequests = new WeakMap<NodeRequest, RefusalCode>();

  /** Returns what `binding: 'report'` reports instead. Throws everything else. */
  function tolerated(thrown: unknown): RequestRefused {
    if (isReporting && RequestRefused.isRefusal(thrown) && reportable.has(thrown.code)) {
      return thrown;
    }
    throw thrown;
  }

  /**
   * Once for each request, and for its first trouble: that is what `required` would refuse it for.
   */
  function countReported(
    refusal: RequestRefused,
    { issuer, clientId }: TokenClaims,
    certificate: ClientCertificate | undefined,
    req: NodeRequest,
  ) {
    if (reportedRequests.has(req)) {
      return;
    }
    reportedRequests.set(req, refusal.code);
    reported.set(refusal.code, (reported.get(refusal.code) ?? 0) + 1);
    const { thumbprint } = certificate ?? {};
    const interactionId = interactionOf(req);
    publishReported({ refusal, stage: 'request', issuer, clientId, thumbprint, interactionId }, () =>
      explain(refusal, certificate, req),
    );
  }

  return {
    load: () => certificatePolicy?.load(),

    reported,
    reportedFor: (req) => reportedRequests.get(req),

    certificateOf(req) {
      if (profile !== undefined && endsTls(settings.certificate, req)) {
        checkTls(req, profile.ciphers);
      }
      try {
        const certificate = readCertificate(settings.certificate(req));
        publishCertificate(origin, certificate);
        return certificate;
      } catch (thrown) {
        troubles.set(req, tolerated(thrown));
        return undefined;
      }
    },

    decide(token, certificate, req, since) {
      if (typeof token === 'string') {
        const { code, ...details } = readTokenRejection(token);
        throw new RequestRefused(code, details);
      }
      const now = Date.now();
      checkClaims(token, rulesOf(token.issuer), now / 1000);
      let trouble = isReporting ? troubles.get(req) : undefined;
      let isBound = false;
      try {
        checkBinding(token.confirmation, certificate?.thumbprint, binding, token.claims);
        isBound = token.confirmation !== undefined;
      } catch (thrown) {
        const refusal = tolerated(thrown);
        trouble ??= refusal;
      }
      try {
        certificatePolicy?.(certificate, now);
      } catch (thrown) {
        const refusal = tolerated(thrown);
        trouble ??= refusal;
      }
      const authorization = new Authorization(token, certificate, isBound, server, req, since);
      if (trouble !== undefined) {
        countReported(trouble, token, certificate, req);
      }
      return authorization;
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
    const what = isPromised(given) ? 'a promise' : 'neither a ClientCertificate nor undefined';
    throw new TellableError(`the option certificate returned ${what}`);
  }
  return certificate;
}
