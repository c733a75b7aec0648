import type { RequestRefused } from '../errors.js';

const ofRequests = new WeakMap<object, RequestRefused>();

/** Records with which refusal the request is answered, and returns the refusal. */
export function recordRefusal(req: object, refusal: RequestRefused): RequestRefused {
  ofRequests.set(req, refusal);
  return refusal;
}

/**
 * Returns the refusal that a request was answered with, for access logs: `code` is the reason and
 * `detail` is for the operator. Returns `undefined` for a request that was not refused, or not yet.
 * Takes the request, or what holds it as `req`: `ctx` in Koa, `res` in Express.
 *
 * @example
 * app.use((req, res, next) => {
 *   res.on('finish', () => console.log(req.method, res.statusCode, refusalOf(req)?.code));
 *   next();
 * });
 */
export function refusalOf(request: object): RequestRefused | undefined {
  // A WeakMap has nothing for a key that is no object.
  return ofRequests.get(request) ?? ofRequests.get(Reflect.get(request, 'req'));
}
