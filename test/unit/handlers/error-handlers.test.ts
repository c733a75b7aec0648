// What an adapter wraps the error handler of its framework in.
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { createHeaderKeeper, disconnectOnFailure, keepHeader } from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';

const response = (): ServerResponse => new ServerResponse(new IncomingMessage(new Socket()));

/** An error handler as that of Koa: it removes every header, and writes to the error. */
const handlerOf = (res: ServerResponse, own: Readonly<Record<string, string>> = {}) =>
  vi.fn((error: (Error & { status?: number }) | null) => {
    if (error !== null) {
      for (const name of res.getHeaderNames()) {
        res.removeHeader(name);
      }
      for (const [name, value] of Object.entries(own)) {
        res.setHeader(name, value);
      }
      error.status = 500;
      res.end();
    }
  });
const keep = (res: ServerResponse, handler: ReturnType<typeof handlerOf>, name = 'x-id') =>
  keepHeader(res, name, 'kept', handler, ['status']);

describe('keepHeader()', () => {
  it('sets the header again before the handler ends the response', () => {
    const res = response();
    res.setHeader('x-id', 'kept');
    const error: Error & { status?: number } = new Error('broken');
    keep(res, handlerOf(res))(error);
    expect([res.getHeader('x-id'), res.writableEnded, error.status]).toEqual(['kept', true, 500]);
  });

  it('adds a value of Vary to the one that the handler sets', () => {
    const res = response();
    keep(res, handlerOf(res, { Vary: 'Origin' }), 'Vary')(new Error('broken'));
    expect(res.getHeader('Vary')).toBe('Origin, kept');
  });

  it('leaves a Cache-Control of the handler as it is, and sets it where there is none', () => {
    const [own, none] = [response(), response()];
    keep(own, handlerOf(own, { 'cache-control': 'private' }), 'Cache-Control')(new Error('broken'));
    keep(none, handlerOf(none), 'Cache-Control')(new Error('broken'));
    expect([own.getHeader('Cache-Control'), none.getHeader('Cache-Control')]).toEqual(['private', 'kept']);
  });

  it('calls the handler alone if there is no error', () => {
    const res = response();
    const { end } = res;
    const handler = handlerOf(res);
    keep(res, handler)(null);
    expect(handler).toHaveBeenCalledExactlyOnceWith(null);
    expect([res.getHeader('x-id'), res.end === end]).toEqual([undefined, true]);
  });

  it('restores end() if the handler throws before it', () => {
    const res = response();
    const { end } = res;
    const failing = (): never => {
      throw new Error('the handler');
    };
    expect(() => keepHeader<unknown>(res, 'x-id', 'kept', failing, [])(new Error('broken'))).toThrow(
      'the handler',
    );
    expect(res.end).toBe(end);
  });

  it('sets nothing once the head is sent', () => {
    const res = response();
    res.writeHead(200);
    const handler = vi.fn(() => void res.end());
    expect(() => keepHeader<unknown>(res, 'x-id', 'kept', handler, [])(new Error('broken'))).not.toThrow();
    expect(handler).toHaveBeenCalledOnce();
  });

  it.each([
    ['frozen', Object.freeze],
    ['sealed', Object.seal],
  ])('hands on an error that the handler can write to for a %s one', (_title, close) => {
    const error = close(Object.assign(new Error('closed'), { status: 410 }));
    const handler = vi.fn((given: { message: string; status: number; headerSent?: boolean }) => {
      expect([given.message, given.status]).toEqual(['closed', 410]);
      given.status = 500;
      given.headerSent = true;
    });
    keepHeader(response(), 'x-id', 'kept', handler, ['status', 'headerSent'])(error);
    expect(handler).toHaveReturned();
  });

  it.each([['text'], [0], [false]])('hands on an error that is no object: %j', (value) => {
    const handler = vi.fn();
    keepHeader<unknown>(response(), 'x-id', 'kept', handler, ['status'])(value);
    expect(handler).toHaveBeenCalledExactlyOnceWith(value);
  });
});

describe('createHeaderKeeper()', () => {
  type OnError = (this: Context, error: Error | null) => void;
  interface Context {
    readonly res: ServerResponse;
    onerror: OnError;
  }
  const removeAll: OnError = function removeAll(error) {
    if (error !== null) {
      for (const name of this.res.getHeaderNames()) {
        this.res.removeHeader(name);
      }
      this.res.end();
    }
  };
  /** Contexts of one application, which inherit its error handler. */
  const contextOf = (application: { onerror: OnError }): Context =>
    Object.assign(Object.create(application) as Context, { res: response() });
  const keeper = () => createHeaderKeeper<Error | null, Context>([]);

  it('keeps a header of one context', () => {
    const application = { onerror: removeAll };
    const [one, other] = [contextOf(application), contextOf(application)];
    keeper().keep(one, 'x-id', 'kept');
    one.onerror(new Error('broken'));
    other.onerror(new Error('broken'));
    expect([one.res.getHeader('x-id'), other.res.getHeader('x-id')]).toEqual(['kept', undefined]);
  });

  it('keeps Vary by one handler for all contexts of an application, each in its own response', () => {
    const application = { onerror: removeAll };
    const [one, other] = [contextOf(application), contextOf(application)];
    const { keepVary } = keeper();
    keepVary(one, 'x-cert');
    keepVary(other, 'x-cert');
    expect(one.onerror).toBe(other.onerror);
    one.onerror(new Error('broken'));
    expect([one.res.getHeader('Vary'), other.res.getHeader('Vary')]).toEqual(['x-cert', undefined]);
    other.onerror(null);
    expect([other.res.getHeader('Vary'), other.res.writableEnded]).toEqual([undefined, false]);
  });

  it('keeps the name in Vary of each application and each header', () => {
    const calls: string[] = [];
    const applications = ['a', 'b'].map((name) => ({
      onerror: function onerror(this: Context, error: Error | null) {
        calls.push(name);
        removeAll.call(this, error);
      },
    }));
    const { keepVary } = keeper();
    const contexts = applications.flatMap((application) =>
      ['x-one', 'x-two'].map((header) => {
        const context = contextOf(application);
        keepVary(context, header);
        return context;
      }),
    );
    for (const context of contexts) {
      context.onerror(new Error('broken'));
    }
    expect(contexts.map(({ res }) => res.getHeader('Vary'))).toEqual(['x-one', 'x-two', 'x-one', 'x-two']);
    expect(calls).toEqual(['a', 'a', 'b', 'b']);
  });

  it('keeps Vary and a header that was kept for the context before', () => {
    const application = { onerror: removeAll };
    const [one, other] = [contextOf(application), contextOf(application)];
    const { keep, keepVary } = keeper();
    keep(one, 'x-id', 'kept');
    keepVary(one, 'x-cert');
    keepVary(other, 'x-cert');
    one.onerror(new Error('broken'));
    other.onerror(new Error('broken'));
    expect([one.res.getHeader('x-id'), one.res.getHeader('Vary')]).toEqual(['kept', 'x-cert']);
    expect([other.res.getHeader('x-id'), other.res.getHeader('Vary')]).toEqual([undefined, 'x-cert']);
  });
});

describe('disconnectOnFailure()', () => {
  const failing = () => {
    throw new Error('no answer');
  };

  it('ends the connection if the handler throws before the response has ended', () => {
    const res = response();
    disconnectOnFailure(res, failing)(new Error('broken'));
    expect(res.destroyed).toBe(true);
  });

  it('throws what the handler throws after the end', () => {
    const res = response();
    res.end();
    expect(() => disconnectOnFailure(res, failing)(new Error('broken'))).toThrow('no answer');
    expect(res.destroyed).toBe(false);
  });
});
