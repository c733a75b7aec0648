import type { ServerResponse } from 'node:http';
import { addVary } from './express-framework.js';

/**
 * Answers a request with an error, as a framework does. Some frameworks call it at the end of each
 * response, without an error if there was none.
 */
type ErrorHandler<E> = (error: E) => void;

/**
 * Wraps an error handler that removes the headers of a response, and keeps one of them: it is set
 * again just before the handler ends the response, unless the head is sent by then. A value of `Vary`
 * is added to the one that the handler sets.
 *
 * @param written the members that the handler writes to the error. A frozen or sealed error does not
 * permit that: the handler gets an object that inherits from it
 */
export function keepHeader<E>(
  res: ServerResponse,
  name: string,
  value: string,
  handler: ErrorHandler<E>,
  written: readonly string[],
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
        } else {
          res.setHeader(name, value);
        }
      }
      return end.apply(res, body);
    }) as typeof end;
    try {
      handler(writableError(error, written));
    } finally {
      res.end = end;
    }
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
