import { type Authorization, presentedOf } from './authorization.js';
import type { ClientCertificate } from './certificate/client-certificate.js';
import type { DpopCheck } from './dpop/dpop-check.js';
import { copyRefusal, type RequestRefused, toRefusal } from './errors.js';
import { type Explanation, publishRefused, type RefusedEvent, type ReportProblem } from './observe/events.js';
import type { Settings } from './options/resource-server-options.js';
import type { NodeRequest } from './request/node-request.js';
import { type ChallengeRules, createRefusalAnswer, createUnserializedAnswer } from './response/challenge.js';
import { describeForChallenge, type Explainer } from './response/explanation.js';
import type { HttpAnswer } from './response/http-answer.js';
import { HttpRefusal } from './response/http-refusal.js';
import { recordRefusal } from './response/refusal-record.js';
import { interactionOf } from './shared/interaction-id.js';
import type { TokenAnswer } from './token/token-claims.js';

/** What is known of the token of a refused request. */
export interface RefusedTokenFacts extends Pick<RefusedEvent, 'stage' | 'issuer' | 'clientId'> {
  /** `hashOf(token)`; undefined if no token could be read. */
  readonly tokenHash: string | undefined;
}

/** Refuses the requests of one resource server: publishes why, and makes the answers. */
export interface Refusals {
  /**
   * Throws the `RequestRefused` of `thrown`, after it has published the refusal, and reported a
   * problem if it is a fault of the operator or of the authorization server.
   */
  publishAndThrow(
    thrown: unknown,
    certificate: ClientCertificate | undefined,
    req: NodeRequest,
    facts?: RefusedTokenFacts,
  ): never;
  /** Returns the HTTP answer to whatever was thrown for `req`. Never throws. */
  answer(thrown: unknown, req: NodeRequest): HttpAnswer;
  /**
   * Returns the error for the framework; `undefined` unless the option `onRefused` is `next`. Never
   * throws.
   */
  errorFor(thrown: unknown, req: NodeRequest): HttpRefusal | undefined;
}

/** Makes what refuses the requests of the resource server with these settings. */
export function createRefusals(
  settings: Settings,
  explainer: Pick<Explainer, 'explain'>,
  report: ReportProblem,
  dpop: DpopCheck | undefined,
): Refusals {
  /** Of refusals that are not answered yet. */
  const explanations = new WeakMap<RequestRefused, Explanation>();
  const rules: ChallengeRules = {
    describe: (refusal: RequestRefused) => {
      const explanation = explanations.get(refusal);
      return explanation && describeForChallenge(refusal, explanation);
    },
    realm: settings.realm,
    errorBody: settings.errorBody,
    errorContentType: settings.errorContentType,
    resourceMetadata: settings.resourceMetadata?.url,
    dpop: dpop && settings.dpop && { algorithms: settings.dpop.algorithms, latestNonce: dpop.latestNonce },
    report,
  };

  /**
   * Returns what `make` returns with the hook of the option `errorBody`, or without the hook if it
   * fails.
   */
  function withErrorBody<T>(make: (rules: ChallengeRules) => T): T {
    try {
      return make(rules);
    } catch (error) {
      report(
        'error_body_failed',
        `the option errorBody failed; the plain body was sent: ${toRefusal(error).detail}`,
      );
      return make({ ...rules, errorBody: undefined });
    }
  }

  return {
    publishAndThrow(thrown, certificate, req, { tokenHash, ...facts } = unknownToken) {
      const refusal = ownRefusal(thrown);
      const { thumbprint } = certificate ?? {};
      const explain = () => explainer.explain(refusal, certificate, req);
      const keyThumbprint = tokenHash === undefined ? undefined : dpop?.keyThumbprintOf(req, tokenHash);
      const interactionId = interactionOf(req);
      publishRefused({ refusal, ...facts, thumbprint, keyThumbprint, interactionId }, explain);
      if (settings.explain) {
        explanations.set(refusal, explain());
      }
      // A process that ends is no problem that an operator has to solve.
      if (refusal.status === 503 && refusal.code !== 'shutting_down') {
        report(refusal.code, refusal.message);
      }
      throw refusal;
    },

    answer(thrown, req) {
      const refusal = recordRefusal(req, toRefusal(thrown));
      return withErrorBody((rules) => createRefusalAnswer(refusal, req, rules));
    },

    errorFor(thrown, req) {
      if (!settings.raisesRefusals) {
        return undefined;
      }
      const refusal = recordRefusal(req, toRefusal(thrown));
      return new HttpRefusal(
        refusal,
        withErrorBody((rules) => createUnserializedAnswer(refusal, req, rules)),
      );
    },
  };
}

const unknownToken: RefusedTokenFacts = {
  stage: 'request',
  issuer: undefined,
  clientId: undefined,
  tokenHash: undefined,
};

/** Returns what is known of the token of a request that is refused before it is accepted. */
export function factsAtRequest(
  answer: TokenAnswer | undefined,
  tokenHash: string | undefined,
): RefusedTokenFacts {
  return answer === undefined || typeof answer === 'string'
    ? { ...unknownToken, tokenHash }
    : { stage: 'request', issuer: answer.issuer, clientId: answer.clientId, tokenHash };
}

/** Returns what is known of the token of a request that a route refuses after `mtlsBound()` accepted it. */
export function factsAtRoute(authorization: Authorization): RefusedTokenFacts {
  const { issuer, clientId } = authorization;
  return { stage: 'route', issuer, clientId, tokenHash: presentedOf(authorization).hash };
}

/** The refusals that belong to a request. */
const takenRefusals = new WeakSet<RequestRefused>();

/**
 * Returns a refusal that belongs to one request: requests that share a question, or a policy that
 * keeps one, each get a copy.
 */
function ownRefusal(thrown: unknown): RequestRefused {
  const refusal = toRefusal(thrown);
  const own = takenRefusals.has(refusal) ? copyRefusal(refusal) : refusal;
  takenRefusals.add(own);
  return own;
}
