import { AsyncLocalStorage } from 'node:async_hooks';

/** For whose sake an authorization server is asked. */
export interface Requester {
  /** `x-fapi-interaction-id` of the request; undefined where it has none. */
  readonly interactionId: string | undefined;
  /** Names of the client: its certificate, its address. Empty where none is known. */
  readonly source: readonly string[];
}

const underWay = new AsyncLocalStorage<Requester>();

const noClient: Requester = Object.freeze({ interactionId: undefined, source: Object.freeze([]) });

/** Runs what is done for the sake of a request. */
export function runForRequester<T>(asker: Requester, run: () => T): T {
  return underWay.run(asker, run);
}

/** Returns for whose sake this runs. */
export function currentRequester(): Requester {
  return underWay.getStore() ?? noClient;
}
