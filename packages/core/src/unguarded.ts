import { asRefusal } from './errors.js';
import { problemReporter } from './observe/events.js';
import type { ResourceServer } from './resource-server.js';
import { type Answer, refusalAnswer } from './response/challenge.js';

const report = problemReporter();

function refuse(): never {
  const message =
    'a guard of a route ran on a request that mtlsBound() did not let in; put mtlsBound() before it';
  report('unguarded_route', message);
  throw asRefusal(new Error(message));
}

/**
 * Stands in for the resource server of a request that none has let in, and lets nothing pass: a guard that was
 * mounted before `mtlsBound()` answers 503, not 200.
 */
export const unguarded: ResourceServer = Object.freeze({
  vary: undefined,
  metadata: undefined,
  reported: new Map(),
  authorize: refuse,
  require: refuse,
  revoke: refuse,
  acceptRevocation: async () => {
    try {
      return refuse();
    } catch (thrown) {
      return answer(thrown);
    }
  },
  close: async () => undefined,
  answer,
});

function answer(thrown: unknown): Answer {
  return refusalAnswer(asRefusal(thrown), {
    realm: 'api',
    errorBody: undefined,
    resourceMetadata: undefined,
  });
}
