import { addVary } from '@mtls-bound/core';
import type { Context } from 'koa';

/** What of a context it takes to answer errors. */
type FailingContext = Pick<Context, 'res' | 'onerror'>;

type AnswerError = Context['onerror'];

/** What keeps `Vary`, by its value: it is the same function for all requests. */
const varyKeepers = new Map<string, AnswerError>();

/**
 * Koa removes every header before it answers an error. This keeps one of them, whatever the error
 * is: the error itself is never written to, so that status and message of the application stay.
 */
export function keepHeaderOnErrors(ctx: FailingContext, name: string, value: string): void {
  const { onerror } = ctx;
  ctx.onerror =
    name === 'Vary' && onerror === inheritedBy(ctx)
      ? varyKeeper(value)
      : (error) => keeping(ctx, onerror, name, value, error);
}

function varyKeeper(value: string): AnswerError {
  let keeper = varyKeepers.get(value);
  if (keeper === undefined) {
    keeper = function keepVary(this: FailingContext, error) {
      keeping(this, inheritedBy(this), 'Vary', value, error);
    };
    varyKeepers.set(value, keeper);
  }
  return keeper;
}

/** The error handling of the application, before a package changed that of the request. */
function inheritedBy(ctx: FailingContext): AnswerError {
  return (Object.getPrototypeOf(ctx) as FailingContext).onerror;
}

function keeping(
  ctx: FailingContext,
  answer: AnswerError,
  name: string,
  value: string,
  error: Error | null | undefined,
): void {
  // Koa calls this at the end of each response, most of which had no error.
  if (error === null || error === undefined) {
    answer.call(ctx as Context, error as never);
    return;
  }
  const { res } = ctx;
  const { end } = res;
  // Koa ends the response at once, with all headers that the error names set by then.
  res.end = ((...body: Parameters<typeof end>) => {
    res.end = end;
    if (!res.headersSent) {
      if (name === 'Vary') {
        addVary(res, value);
      } else {
        res.setHeader(name, value);
      }
    }
    return end.apply(res, body);
  }) as typeof end;
  try {
    answer.call(ctx as Context, writable(error));
  } finally {
    res.end = end;
  }
}

/**
 * Koa writes `status` to the error, which a frozen one does not permit: it gets an object that
 * inherits from it.
 */
function writable(error: Error): Error {
  if (typeof error !== 'object' || error === null || Object.isExtensible(error)) {
    return error;
  }
  const { status } = error as { status?: unknown };
  return Object.create(error, {
    status: { value: status, writable: true },
    headerSent: { value: undefined, writable: true },
  }) as Error;
}
