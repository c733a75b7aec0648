import { STATUS_CODES } from 'node:http';
import type { RefusalCode, RequestRefused } from '../errors.js';
import type { UnserializedAnswer } from './challenge.js';

/**
 * A refusal as the error handling of Express and Koa gets it with the option `onRefused: 'next'`:
 * an error in the shape of the package http-errors. `status`, `headers`, `body` and `message` are
 * what the client may read. `code` and `detail` are for the operator: they are read by name
 * alone, so that neither a handler that sends the whole error nor its `stack` shows them.
 *
 * @example
 * const answerRefusals: ErrorRequestHandler = (error, _req, res, next) => {
 *   if (HttpRefusal.isHttpRefusal(error)) {
 *     res.status(error.status).set(error.headers).json(error.body);
 *   } else {
 *     next(error);
 *   }
 * };
 * app.use(answerRefusals);
 */
export class HttpRefusal extends Error {
  override readonly name = 'HttpRefusal';
  /** 400, 401, 403, 429 or 503. */
  readonly status: number;
  /** `status`, by the other name that packages read it by. */
  readonly statusCode: number;
  /** Whether the client's own request is at fault: true below 500. */
  readonly expose: boolean;
  /**
   * The headers that the answer must have: the challenge (RFC 6750 §3), `Cache-Control`,
   * `Retry-After`.
   */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * What `errorBody` returned, or `{ error, error_description }`; `undefined` for an empty body.
   * Koa answers an undefined `ctx.body` with 204: set `ctx.status` after it.
   */
  readonly body: unknown;
  readonly #refusal: RequestRefused;

  constructor(refusal: RequestRefused, { status, headers, body }: UnserializedAnswer) {
    super(refusal.description ?? STATUS_CODES[status]);
    this.status = status;
    this.statusCode = status;
    this.expose = status < 500;
    this.headers = headers;
    this.body = body;
    this.#refusal = refusal;
    // Express sends the stack to the client unless NODE_ENV is `production`.
    Object.defineProperty(this, 'stack', { value: `${this.name}: ${this.message}`, writable: true });
  }

  /** The reason, for the operator; stable across versions. */
  get code(): RefusalCode {
    return this.#refusal.code;
  }

  /** The text for the operator alone. */
  get detail(): string | undefined {
    return this.#refusal.detail;
  }

  /** Returns whether this class made `value`. Never throws. */
  static isHttpRefusal(value: unknown): value is HttpRefusal {
    return typeof value === 'object' && value !== null && #refusal in value;
  }
}
