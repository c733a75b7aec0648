// The id of an interaction (FAPI 1.0 Part 1 §6.2.1), kept next to the request.
const ofRequests = new WeakMap<object, string>();

/** The header with the id: in requests, in answers, and in requests to the authorization server. */
export const interactionHeader = 'x-fapi-interaction-id';

export function setInteraction(req: object, id: string): void {
  ofRequests.set(req, id);
}

/** Undefined where no `fapiHeaders()` ran. */
export function interactionOf(req: object): string | undefined {
  return ofRequests.get(req);
}
