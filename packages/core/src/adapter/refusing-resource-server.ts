import type { IncomingMessage } from 'node:http';
import { TellableError, toRefusal } from '../errors.js';
import { createProblemReporter, publishRefusedEarly } from '../observe/events.js';
import { http2StreamOf } from '../request/http2-request.js';
import type { NodeRequest } from '../request/node-request.js';
import type { ResourceServer } from '../resource-server.js';
import { type ChallengeRules, createRefusalAnswer, createUnserializedAnswer } from '../response/challenge.js';
import type { HttpAnswer } from '../response/http-answer.js';
import { HttpRefusal } from '../response/http-refusal.js';
import { recordRefusal } from '../response/refusal-record.js';
import { answerUpgrade } from '../response/upgrade-answer.js';
import { interactionOf } from '../shared/interaction-id.js';

const report = createProblemReporter();
const rules: ChallengeRules = {
  realm: 'api',
  errorBody: undefined,
  errorContentType: 'application/json; charset=utf-8',
  resourceMetadata: undefined,
  dpop: undefined,
  report,
};

function publishAndThrow(req?: NodeRequest): never {
  const message =
    'a guard of a route ran on a request that mtlsBound() did not accept; put mtlsBound() before it';
  report('unguarded_route', message);
  const refusal = toRefusal(new TellableError(message));
  if (req !== undefined) {
    publishRefusedEarly(refusal, interactionOf(req));
  }
  throw refusal;
}

/**
 * Takes the place of the resource server for a request that no `mtlsBound()` has accepted, and
 * refuses everything: a guard that was mounted before `mtlsBound()` answers 503, not 200.
 */
export const refusingResourceServer: ResourceServer = Object.freeze({
  vary: undefined,
  property: 'auth',
  issuers: Object.freeze([]),
  answerResourceMetadata: undefined,
  reported: new Map(),
  clientCertificates: () => [],
  authorize: publishAndThrow,
  isOwnAuthorization: (_req: NodeRequest, _authorization: unknown): _authorization is never => false,
  requireOwnAuthorization: publishAndThrow,
  require: publishAndThrow,
  revoke: () => publishAndThrow(),
  acceptRevocation: async (req: NodeRequest) => {
    try {
      return publishAndThrow(req);
    } catch (thrown) {
      return answer(thrown, req);
    }
  },
  nextNonce: () => undefined,
  ready: async () => publishAndThrow(),
  close: async () => undefined,
  answer,
  answerUpgrade: (thrown: unknown, req: IncomingMessage) =>
    answerUpgrade(req, answer(thrown, req), http2StreamOf(req)),
  errorFor: () => undefined,
});

/**
 * Refuses as `refusingResourceServer` does, and hands the refusals to the framework's own error
 * handling: for a middleware before `mtlsBound()`.
 */
export const refusingResourceServerNext: ResourceServer = Object.freeze({
  ...refusingResourceServer,
  errorFor(thrown: unknown, req: NodeRequest) {
    const refusal = recordRefusal(req, toRefusal(thrown));
    return new HttpRefusal(refusal, createUnserializedAnswer(refusal, req, rules));
  },
});

function answer(thrown: unknown, req: NodeRequest): HttpAnswer {
  return createRefusalAnswer(recordRefusal(req, toRefusal(thrown)), req, rules);
}
