import type { Context } from 'koa';

/** What of a context it takes to answer errors. */
type FailingContext = Pick<Context, 'res' | 'onerror'>;

type Kept = Map<string, { readonly name: string; readonly value: string }>;

const keptHeaders: unique symbol = Symbol('mtls-bound headers of errors');

/**
 * Koa removes every header before it answers an error. This keeps one of them, whatever the error
 * is: the error itself is never written to, so that status and message of the application stay.
 */
export function keepHeaderOnErrors(ctx: FailingContext, name: string, value: string): void {
  const marked = ctx as FailingContext & { [keptHeaders]?: Kept };
  const kept = marked[keptHeaders] ?? new Map();
  kept.set(name.toLowerCase(), { name, value });
  if (marked[keptHeaders] === undefined) {
    marked[keptHeaders] = kept;
    const { onerror } = ctx;
    ctx.onerror = (error) => keeping(ctx.res, kept, () => onerror.call(ctx, writable(error)));
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

function keeping(res: Context['res'], kept: Kept, answer: () => void): void {
  const { end } = res;
  // Koa ends the response at once, with all headers that the error names set by then.
  res.end = ((...body: Parameters<typeof end>) => {
    res.end = end;
    if (!res.headersSent) {
      for (const { name, value } of kept.values()) {
        res.setHeader(name, name === 'Vary' ? withName(res.getHeader(name), value) : value);
      }
    }
    return end.apply(res, body);
  }) as typeof end;
  try {
    answer();
  } finally {
    res.end = end;
  }
}

function withName(vary: unknown, name: string): string {
  const names = vary === undefined ? [] : String(vary).split(/\s*,\s*/);
  const isNamed = names.some((one) => one === '*' || one.toLowerCase() === name.toLowerCase());
  return (isNamed ? names : [...names, name]).join(', ');
}
