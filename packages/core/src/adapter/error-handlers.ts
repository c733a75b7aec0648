import type { ServerResponse } from 'node:http';
import { addVary } from './express-framework-base.js';

/**
 * Answers a request with an error, as a framework does. Some frameworks call it at the end of each
 * response, without an error if there was none.
 */
type ErrorHandler<E> = (error: E) => void;

/**
 * Wraps an error handler that removes the headers of a response, and keeps one of them: it is set
 * again just before the handler ends the response, unless the head is sent by then. A value of `Vary`
 * is added to the one that the handler sets, and a `Cache-Control` of the handler stays as it is.
 *
 * @param writtenErrorMembers the members that the handler writes to the error. A frozen or sealed error
 * does not permit that: the handler gets an object that inherits from it
 */
export function keepHeader<E>(
  res: ServerResponse,
  name: string,
  value: string,
  handler: ErrorHandler<E>,
  writtenErrorMembers: readonly string[],
): ErrorHandler<E> {
  return (error) => {
    if (error === null || error === undefined) {
      handler(error);
      return;
    }
    const { end } = res;
    res.end = ((...body: Parameters<typeof end>) => {
      res.end = end;
      if (!res.headersSent) {
        if (name === 'Vary') {
          addVary(res, value);
        } else if (name !== 'Cache-Control' || !res.hasHeader(name)) {
          res.setHeader(name, value);
        }
      }
      return end.apply(res, body);
    }) as typeof end;
    try {
      handler(writableError(error, writtenErrorMembers));
    } finally {
      res.end = end;
    }
  };
}

/** A context that has its response, and answers an error by `onerror`, as that of Koa. */
interface ErrorAnsweringContext<E> {
  readonly res: ServerResponse;
  onerror: ErrorHandler<E>;
}

/** Keeps headers of the responses to errors, each for the request of one context. */
interface HeaderKeeper<Ctx> {
  readonly keep: (ctx: Ctx, name: string, value: string) => void;
  /** Keeps a name in `Vary`. Every accepted request needs that, so requests share one handler. */
  readonly keepVary: (ctx: Ctx, name: string) => void;
}

/**
 * For a framework that removes every header before its context answers an error: keeps a header by a
 * handler around `onerror`.
 *
 * @param writtenErrorMembers the members that `onerror` writes to the error: see `keepHeader()`
 */
export function createHeaderKeeper<E, Ctx extends ErrorAnsweringContext<E>>(
  writtenErrorMembers: readonly string[],
): HeaderKeeper<Ctx> {
  let shared:
    | { readonly name: string; readonly handler: Ctx['onerror']; readonly keeping: Ctx['onerror'] }
    | undefined;
  function keep(ctx: Ctx, name: string, value: string): void {
    ctx.onerror = keepHeader(ctx.res, name, value, ctx.onerror.bind(ctx), writtenErrorMembers);
  }
  return {
    keep,
    keepVary(ctx, name) {
      if (Object.hasOwn(ctx, 'onerror')) {
        // A handler of this request alone, which no other request may use.
        keep(ctx, 'Vary', name);
        return;
      }
      const { onerror: handler } = ctx;
      if (shared?.handler !== handler || shared.name !== name) {
        shared = { name, handler, keeping: varyKeeper(name, handler, writtenErrorMembers) };
      }
      ctx.onerror = shared.keeping;
    },
  };
}

function varyKeeper<E>(
  name: string,
  handler: ErrorHandler<E>,
  writtenErrorMembers: readonly string[],
): ErrorHandler<E> {
  return function keeping(this: ErrorAnsweringContext<E>, error: E) {
    // Koa calls it at the end of each response.
    if (error === null || error === undefined) {
      handler.call(this, error);
      return;
    }
    keepHeader(this.res, 'Vary', name, handler.bind(this), writtenErrorMembers)(error);
  };
}

/**
 * Wraps an error handler whose own failures nothing handles: if it throws before the response has
 * ended, the connection ends. The request would hang otherwise, and the process could end.
 */
export function disconnectOnFailure<E>(res: ServerResponse, handler: ErrorHandler<E>): ErrorHandler<E> {
  return (error) => {
    try {
      handler(error);
    } catch (failure) {
      if (res.writableEnded) {
        throw failure;
      }
      res.destroy();
    }
  };
}

function writableError<E>(error: E, names: readonly string[]): E {
  if (typeof error !== 'object' || error === null || Object.isExtensible(error)) {
    return error;
  }
  const members = names.map((name) => [
    name,
    { value: (error as Readonly<Record<string, unknown>>)[name], writable: true },
  ]);
  return Object.create(error, Object.fromEntries(members) as PropertyDescriptorMap) as E;
}
