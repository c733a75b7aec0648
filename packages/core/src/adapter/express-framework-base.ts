import type { ServerResponse } from 'node:http';
import type { HttpAnswer } from '../response/http-answer.js';
import type { Framework } from './adapter-steps.js';

type Next = (error?: unknown) => void;

/**
 * The part of a `Framework` that frameworks have in common whose handlers take `(req, res, next)`, as
 * Connect and Express do. `createAdapter()` needs `bodyOf` and `urlOf` as well.
 */
export const expressFrameworkBase: Readonly<Omit<Framework<ServerResponse, Next>, 'bodyOf' | 'urlOf'>> =
  Object.freeze({
    stateOf: (req) => req,
    responseOf: (res) => res,
    addVary,
    setHeader(res, name, value) {
      res.setHeader(name, value);
      res.sendDate = true;
    },
    pass,
    write,
    raise: (refusal, next) => succeeds(() => next(refusal)),
  } satisfies Omit<Framework<ServerResponse, Next>, 'bodyOf' | 'urlOf'>);

/** Names a header in `Vary` of a response, unless it is named there already. */
export function addVary(res: Pick<ServerResponse, 'getHeader' | 'setHeader'>, name: string): void {
  const vary = res.getHeader('Vary');
  if (vary === undefined) {
    res.setHeader('Vary', name);
    return;
  }
  const names = String(vary).split(/\s*,\s*/);
  if (!names.some((one) => one === '*' || one.toLowerCase() === name.toLowerCase())) {
    res.setHeader('Vary', [...names, name].join(', '));
  }
}

/**
 * Calls `next`. What the handlers behind it throw goes to the framework, as if it had called them
 * itself.
 */
function pass(next: Next): void {
  try {
    next();
  } catch (thrown) {
    next(thrown);
  }
}

/**
 * Sends an answer. If another package has sent the head already, that package ends the answer.
 * Another package may also have replaced `writeHead()` or `end()` by a function that throws. No
 * caller waits for the answer, so an error would end the process. A plain 503 is tried instead, and
 * after that the connection ends.
 */
function write(res: ServerResponse, { status, headers, body }: HttpAnswer): void {
  if (res.headersSent) {
    return;
  }
  const isSent =
    succeeds(() => {
      // Not chained: packages that wrap writeHead() return nothing from it.
      res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
      res.end(body);
    }) ||
    succeeds(() => {
      res.writeHead(503, { 'Content-Length': 0 });
      res.end();
    });
  if (!isSent) {
    succeeds(() => res.destroy());
  }
}

/** Runs `work`. Returns whether it did without throwing. */
function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
