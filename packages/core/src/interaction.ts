import { AsyncLocalStorage } from 'node:async_hooks';

// The id of an interaction (FAPI 1.0 Part 1 §6.2.1): kept beside the request, and carried to what is asked for its sake.
const ofRequests = new WeakMap<object, string>();
const underWay = new AsyncLocalStorage<string>();

/** The header that carries the id, both ways and on. */
export const interactionHeader = 'x-fapi-interaction-id';

export function setInteraction(req: object, id: string): void {
  ofRequests.set(req, id);
}

/** Undefined where no `fapiHeaders()` ran. */
export function interactionOf(req: object): string | undefined {
  return ofRequests.get(req);
}

/** Runs what is done for the sake of a request. */
export function during<T>(id: string | undefined, run: () => T): T {
  return id === undefined ? run() : underWay.run(id, run);
}

/** Of the request for whose sake this runs. */
export function currentInteraction(): string | undefined {
  return underWay.getStore();
}
