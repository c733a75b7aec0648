import {
  type Authorization,
  type AuthorizationAbortSignalRegistry,
  isAuthorizationOf,
  latestAuthorization,
  presentedOf,
  replaceAuthorization,
  replaceCertificate,
  type TokenOfRequest,
  tokenClaimsOf,
  turnOf,
} from './authorization.js';
import type { AcceptedIssuer, ServerResolver } from './authorization-server/accepted-issuers.js';
import type { RequesterFacts } from './authorization-server/requester.js';
import type { TokenServer } from './authorization-server/token-server.js';
import type { ClientCertificate } from './certificate/client-certificate.js';
import type { SeenCertificates } from './certificate/seen-certificates.js';
import type { DpopCheck, ShownProof } from './dpop/dpop-check.js';
import { RequestRefused, TellableError, toRefusal } from './errors.js';
import { publishAdmitted, publishCache } from './observe/events.js';
import type { Settings } from './options/resource-server-options.js';
import type { RoutePolicy } from './policy/route-policy.js';
import { factsAtRequest, factsAtRoute, type Refusals } from './refusals.js';
import { type Credentials, readCredentials } from './request/credentials.js';
import type { NodeRequest } from './request/node-request.js';
import type { RequestChecks } from './request-checks.js';
import type { ResourceServer } from './resource-server.js';
import type { Explainer } from './response/explanation.js';
import type { Revocations } from './revocation/revocations.js';
import type { UsableAnswer } from './revocation/usability.js';
import { giveUpWhenAborted, withTimeoutSignal } from './shared/deadline.js';
import { ignoreRejection } from './shared/promises.js';
import { checkExpiry } from './token/claims-check.js';
import { reconcileClaims } from './token/reconciled-claims.js';
import type { TokenAnswer, TokenClaims } from './token/token-claims.js';
import { hashOf } from './token/token-hash.js';
import type { TokenLookup } from './token-lookup.js';

/** What admits requests, and what routes demand of admitted ones. */
export type RequestAdmitter = Pick<
  ResourceServer,
  'authorize' | 'isOwnAuthorization' | 'requireOwnAuthorization' | 'require' | 'nextNonce'
>;

/** The parts that an admission is made of. */
export interface RequestAdmitterParts {
  readonly settings: Settings;
  readonly revocations: Pick<Revocations, 'latestTurn' | 'lastReceivedTurn'>;
  readonly resolveServer: ServerResolver;
  readonly acceptedIssuerOf: (issuer: string) => AcceptedIssuer;
  readonly lookup: TokenLookup;
  readonly checks: RequestChecks;
  readonly explainer: Pick<Explainer, 'remember'>;
  readonly dpop: Pick<DpopCheck, 'hasHeader' | 'latestNonce' | 'proofOf'> | undefined;
  readonly seenCertificates: Pick<SeenCertificates, 'note'>;
  readonly refusals: Pick<Refusals, 'publishAndThrow'>;
  /** Throws once the resource server is closed. */
  readonly refuseWhenClosed: () => void;
  /**
   * Makes the signals of accepted requests. Each `Authorization` of this resource server carries
   * this object: by it `isOwnAuthorization` distinguishes them from those of another resource server.
   */
  readonly abortSignals: AuthorizationAbortSignalRegistry;
}

/** Makes what admits requests: the way of a request, from its header to its `Authorization`. */
export function createRequestAdmitter({
  settings,
  revocations,
  resolveServer,
  acceptedIssuerOf,
  lookup,
  checks,
  explainer,
  dpop,
  seenCertificates,
  refusals: { publishAndThrow },
  refuseWhenClosed,
  abortSignals,
}: RequestAdmitterParts): RequestAdmitter {
  /** The requests without credentials that `credentials: 'optional'` let pass. */
  const anonymous = new WeakSet<NodeRequest>();
  const acceptsDpop = dpop !== undefined;

  function authorize(req: NodeRequest, body?: unknown): ReturnType<RequestAdmitter['authorize']> {
    let credentials: Credentials;
    try {
      credentials = readCredentials(req, body, acceptsDpop);
    } catch (thrown) {
      const { code } = toRefusal(thrown);
      if (code === 'credentials_missing' && settings.credentials === 'optional') {
        anonymous.add(req);
        return undefined;
      }
      return publishAndThrow(thrown, undefined, req);
    }
    let preparing: Promise<unknown> | undefined;
    try {
      preparing = checks.prepareCertificateSource();
    } catch (thrown) {
      return publishAndThrow(thrown, undefined, req);
    }
    return preparing === undefined
      ? authorizeCredentials(credentials, req)
      : authorizeLater(preparing, credentials, req);
  }

  /** Waits for what the source of certificates needs. */
  async function authorizeLater(
    preparing: Promise<unknown>,
    credentials: Credentials,
    req: NodeRequest,
  ): Promise<Authorization> {
    try {
      await preparing;
    } catch (thrown) {
      return publishAndThrow(thrown, undefined, req);
    }
    return authorizeCredentials(credentials, req);
  }

  function authorizeCredentials(
    credentials: Credentials,
    req: NodeRequest,
  ): Authorization | Promise<Authorization> {
    let certificate: ClientCertificate | undefined;
    let cached: TokenAnswer | undefined;
    let hash: string | undefined;
    try {
      const { scheme, token } = credentials;
      hash = hashOf(token);
      certificate = checks.certificateOf(req);
      const shown = scheme === 'DPoP' ? checks.readProof(req, hash) : undefined;
      if (certificate === undefined && shown === undefined && settings.binding === 'required') {
        throw refusalWithoutProof(req);
      }
      const server = resolveServer(token, req);
      const presented = { token, hash, server, thumbprint: certificate?.thumbprint, req };
      const now = Date.now();
      cached = lookup.useCached(presented, now);
      // `cached` takes all revocations from before into account.
      const turn = revocations.latestTurn;
      if (cached !== undefined) {
        publishCache(typeof cached === 'string' ? 'rejection_hit' : 'hit');
        const loading =
          typeof cached === 'string' ? undefined : checks.prepare(cached, certificate, shown?.proof);
        if (typeof cached !== 'string' && loading !== undefined) {
          return admitLater({ tokenClaims: cached, turn }, () => loading, certificate, shown, presented);
        }
        const authorization = checks.decide(cached, certificate, shown?.proof, presented, turn, now);
        const accepted = useUp(shown, authorization, req);
        return isAuthorizationOf(accepted, abortSignals, req)
          ? finish(accepted, req)
          : finishLater(accepted, authorization, req);
      }
      publishCache('miss');
      refuseWhenClosed();
      explainer.remember(certificate);
      return admitLater(
        lookup.read(presented, 'unless-cached'),
        (answer) => checks.prepare(answer, certificate, shown?.proof),
        certificate,
        shown,
        presented,
      );
    } catch (thrown) {
      return publishAndThrow(thrown, certificate, req, factsAtRequest(cached, hash));
    }
  }

  /** Returns why a request is refused that has neither a certificate nor the scheme DPoP. */
  function refusalWithoutProof(req: NodeRequest): RequestRefused {
    // No server is asked whether the token is bound to a key: the request is refused in any case.
    return dpop?.hasHeader(req) === true
      ? new RequestRefused('dpop_scheme_missing', {
          detail: 'the request has a header DPoP and the scheme Bearer, and no certificate',
        })
      : new RequestRefused('certificate_missing');
  }

  /** Waits for what is asked about a token that is not cached, and for what decisions need. */
  async function admitLater(
    answering: UsableAnswer | Promise<UsableAnswer>,
    load: (answer: TokenClaims) => Promise<unknown> | undefined,
    certificate: ClientCertificate | undefined,
    shown: ShownProof | undefined,
    presented: TokenOfRequest,
  ): Promise<Authorization> {
    const { req, hash } = presented;
    let answer: TokenAnswer | undefined;
    try {
      const usable = await answering;
      answer = answerIn(usable);
      // A token that is refused anyway costs no look at a certificate.
      await loadFor(usable, load, presented);
      const turn = turnIn(usable);
      const authorization = checks.decide(answer, certificate, shown?.proof, presented, turn, Date.now());
      const accepted = await useUp(shown, authorization, req);
      refuseEnded(accepted);
      return finish(accepted, req);
    } catch (thrown) {
      return publishAndThrow(thrown, certificate, req, factsAtRequest(answer, hash));
    }
  }

  /**
   * Waits for what the decision on an active token needs: a list of an authority may take seconds.
   * Refuses a token that was revoked meanwhile.
   */
  async function loadFor(
    usable: UsableAnswer,
    load: (answer: TokenClaims) => Promise<unknown> | undefined,
    presented: TokenOfRequest,
  ): Promise<void> {
    if (typeof usable !== 'string') {
      await load(usable.tokenClaims);
      refuseRevokedSince(usable.turn, usable.tokenClaims, presented);
    }
  }

  function refuseRevokedSince(turn: number, tokenClaims: TokenClaims, presented: TokenOfRequest): void {
    const code =
      revocations.latestTurn === turn
        ? undefined
        : abortSignals.findRevokedSince(presented, tokenClaims, turn);
    if (code !== undefined) {
      throw new RequestRefused(code);
    }
  }

  /**
   * Refuses a token that was revoked, or that expired, while its request waited. Accept the request
   * in the same step: nothing else may run between the two.
   */
  function refuseEnded(authorization: Authorization): void {
    const tokenClaims = tokenClaimsOf(authorization);
    const presented = presentedOf(authorization);
    refuseRevokedSince(turnOf(authorization), tokenClaims, presented);
    checkExpiry(tokenClaims, settings.clockTolerance, Date.now() / 1000);
  }

  /**
   * Refuses a token that ended since its request was accepted: the request may have waited for its body, or
   * in another middleware. Refuses it too if its revocation may be among those that were received since then
   * and forgotten, as there were too many. That revocations may have been missed since then, as while a
   * channel was interrupted, does not refuse the request.
   */
  function refuseKnownEnd(authorization: Authorization): void {
    const tokenClaims = tokenClaimsOf(authorization);
    const presented = presentedOf(authorization);
    const turn = turnOf(authorization);
    const code =
      revocations.lastReceivedTurn > turn
        ? abortSignals.findReceivedSince(presented, tokenClaims, turn)
        : undefined;
    if (code !== undefined) {
      throw new RequestRefused(code);
    }
    checkExpiry(tokenClaims, settings.clockTolerance, Date.now() / 1000);
  }

  /**
   * Uses up the proof of a request, last of all: what is refused for another reason must not use up a
   * proof. Returns what the request is accepted with, or a promise of it while a store records the proof.
   */
  function useUp(
    shown: ShownProof | undefined,
    authorization: Authorization,
    req: NodeRequest,
  ): Authorization | Promise<Authorization> {
    // With `binding: 'report'` a request is accepted though its proof is bad: it has no `keyThumbprint`. If
    // one mtlsBound() is mounted for the application and for a route, its first check used up the proof.
    if (shown === undefined || authorization.keyThumbprint === undefined || shown.isUsedUp) {
      return authorization;
    }
    const accepted = checks.useUp(shown.proof, authorization, req);
    if (!isAuthorizationOf(accepted, abortSignals, req)) {
      return noteUseLater(accepted, shown);
    }
    shown.isUsedUp = true;
    return accepted;
  }

  function finish(authorization: Authorization, req: NodeRequest): Authorization {
    seenCertificates.note(authorization);
    publishAdmitted(authorization, req, checks.reportedFor);
    return authorization;
  }

  /** Waits until a store has recorded the proof of a request whose token is cached. */
  async function finishLater(
    proving: Promise<Authorization>,
    authorization: Authorization,
    req: NodeRequest,
  ): Promise<Authorization> {
    try {
      const accepted = await proving;
      refuseEnded(accepted);
      return finish(accepted, req);
    } catch (thrown) {
      const facts = factsAtRequest(tokenClaimsOf(authorization), presentedOf(authorization).hash);
      return publishAndThrow(thrown, authorization.certificate, req, facts);
    }
  }

  function checkPolicy(
    req: NodeRequest,
    given: unknown,
    policy: RoutePolicy,
  ): ReturnType<RequestAdmitter['require']> {
    if (!isAuthorizationOf(given, abortSignals, req)) {
      const isAnonymous = given === undefined && anonymous.has(req);
      const cause = isAnonymous ? new RequestRefused('credentials_missing') : new TellableError(notGranted);
      return publishAndThrow(cause, undefined, req);
    }
    // The request may hold the one from before an introspection, or before its chain was verified.
    const authorization = latestAuthorization(given);
    let fresh: Promise<Authorization> | undefined;
    const renew = (): Promise<void> => {
      fresh ??= introspect(req, authorization);
      const renewed = fresh.then(() => undefined);
      // A policy that does not wait for it, or that throws meanwhile, leaves no rejection
      // unhandled.
      ignoreRejection(renewed);
      return renewed;
    };
    let outcome: unknown;
    try {
      outcome = policy({
        authorization,
        clockTolerance: settings.clockTolerance,
        introspect: renew,
        useCertificate: (verified) => replaceCertificate(authorization, verified),
      });
      if (outcome === undefined && fresh === undefined) {
        const latest = latestAuthorization(authorization);
        refuseKnownEnd(latest);
        return latest;
      }
    } catch (thrown) {
      return publishAndThrow(thrown, authorization.certificate, req, factsAtRoute(authorization));
    }
    return awaitOutcome(req, authorization, outcome, () => fresh);
  }

  /**
   * Refuses unless the policy, and each introspection that it began, comes to a good end. A policy may
   * wait for a list, or for the body of the request: refuses a token that ended meanwhile.
   */
  async function awaitOutcome(
    req: NodeRequest,
    authorization: Authorization,
    outcome: unknown,
    fresh: () => Promise<Authorization> | undefined,
  ): Promise<Authorization> {
    try {
      const value: unknown = await awaitPolicy(outcome);
      if (value !== undefined) {
        throw new TellableError(describeWrongOutcome(value));
      }
      // A policy may have forgotten to await it.
      await fresh();
      const latest = latestAuthorization(authorization);
      refuseEnded(latest);
      return latest;
    } catch (thrown) {
      return publishAndThrow(thrown, authorization.certificate, req, factsAtRoute(authorization));
    }
  }

  /**
   * Checks the request again, with what the authorization server says now. The claims of a JWT
   * count as before.
   */
  async function introspect(req: NodeRequest, authorization: Authorization): Promise<Authorization> {
    const { issuer, certificate } = latestAuthorization(authorization);
    const { read } = acceptedIssuerOf(issuer);
    const { introspect: introspectToken } = read;
    if (introspectToken === undefined) {
      throw new TellableError('requireActive() needs jwtAccessTokens({ introspection: introspection() })');
    }
    refuseWhenClosed();
    const { token, hash, server: firstServer } = presentedOf(authorization);
    const tokenClaims = tokenClaimsOf(authorization);
    const introspectAndAgree = {
      read: async (text: string, requester?: RequesterFacts) =>
        reconcileClaims(tokenClaims, await introspectToken(text, requester)),
      readIntrospects: true,
      isIntrospected: () => true,
      countsOwnClaims: true,
      sharedId: undefined,
    };
    const server: TokenServer = {
      ...firstServer,
      ...(read.kind === 'introspection' ? { read } : introspectAndAgree),
    };
    const presented = { token, hash, server, thumbprint: certificate?.thumbprint, req };
    const usable = await lookup.read(presented, 'afresh');
    const shown = dpop?.proofOf(req, hash);
    // With `binding: 'report'` a request may have been accepted without its proof being used up.
    const proof = shown?.isUsedUp === true ? shown.proof : undefined;
    // The request may be checked again long after its first check.
    await loadFor(usable, (answer) => checks.prepare(answer, certificate, proof), presented);
    const answer = answerIn(usable);
    const fresh = checks.decide(answer, certificate, proof, presented, turnIn(usable), Date.now());
    replaceAuthorization(authorization, fresh);
    return fresh;
  }

  return {
    authorize,

    isOwnAuthorization: (req, authorization): authorization is Authorization =>
      isAuthorizationOf(authorization, abortSignals, req),

    requireOwnAuthorization(req, outcome) {
      if (isAuthorizationOf(outcome, abortSignals, req)) {
        return outcome;
      }
      if (outcome === undefined && anonymous.has(req)) {
        return undefined;
      }
      return publishAndThrow(new TellableError('what accepts a request was not made for it'), undefined, req);
    },

    require: checkPolicy,

    nextNonce: (req, authorization) =>
      isAuthorizationOf(authorization, abortSignals, req) &&
      dpop?.proofOf(req, presentedOf(authorization).hash) !== undefined
        ? dpop.latestNonce()
        : undefined,
  };
}

const notGranted =
  'a guard of a route ran on a request that this mtlsBound() did not accept, or on another req.auth';

/**
 * Seconds. A policy that does not settle holds its request, and nothing else of a resource server.
 */
const POLICY_TIMEOUT = 60;

/** Returns the claims that may be used, or the rejection. */
function answerIn(usable: UsableAnswer): TokenAnswer {
  return typeof usable === 'string' ? usable : usable.tokenClaims;
}

/** Returns the turn at which it was decided that the claims may be used; 0 for a rejection. */
function turnIn(usable: UsableAnswer): number {
  return typeof usable === 'string' ? 0 : usable.turn;
}

/** Waits until a store has recorded a proof, and notes that its request has used it up. */
async function noteUseLater(proving: Promise<Authorization>, shown: ShownProof): Promise<Authorization> {
  const accepted = await proving;
  shown.isUsedUp = true;
  return accepted;
}

/** Waits for what a policy returned, of any make, and rejects when it does not settle in time. */
async function awaitPolicy(outcome: unknown): Promise<unknown> {
  // If Bluebird is the global `Promise`, the race below attaches its handler too late: without this one
  // a rejection would end the process.
  ignoreRejection(outcome);
  return withTimeoutSignal(POLICY_TIMEOUT, (signal) =>
    giveUpWhenAborted(signal, () => outcome).catch((error: unknown) => {
      throw signal.aborted
        ? new TellableError(`a route policy did not settle within ${POLICY_TIMEOUT} s`)
        : error;
    }),
  );
}

function describeWrongOutcome(value: unknown): string {
  const given =
    value === null ? 'null' : typeof value === 'boolean' ? String(value) : `a value of type ${typeof value}`;
  return (
    `a route policy returned ${given}; to accept a request it must return undefined, to refuse ` +
    'one it must throw RequestRefused'
  );
}
