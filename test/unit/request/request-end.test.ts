// When a request ends: with its response, with its connection, or with its stream of HTTP/2.
import { channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { Http2ServerRequest } from 'node:http2';
import { PassThrough } from 'node:stream';
import type { NodeRequest } from '@mtls-bound/core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { http2StreamOf } from '../../../packages/core/src/request/http2-request.js';
import { endWithRequest, noticeRequestEnds } from '../../../packages/core/src/request/request-end.js';
import { knownRequestStateOf, requestStateOf } from '../../../packages/core/src/request/request-state.js';

const start = (request: object): void => channel('http.server.request.start').publish({ request });
const finish = (request: object): void => channel('http.server.response.finish').publish({ request });

function connection() {
  const socket = Object.assign(new EventEmitter(), { destroyed: false });
  const close = (): void => {
    socket.destroyed = true;
    socket.emit('close');
  };
  return { socket, close };
}
const requestOn = (socket: unknown, members: object = {}): NodeRequest =>
  ({ httpVersionMajor: 1, socket, ...members }) as unknown as NodeRequest;

/** As Node makes one of a stream, here of one that no peer has. */
function requestOverHttp2() {
  const stream = Object.assign(new PassThrough(), { id: 1 });
  const req = new Http2ServerRequest(stream as never, {}, {}, []) as unknown as NodeRequest;
  return { req, stream };
}

let stop: (() => void) | undefined;
afterEach(() => stop?.());

describe('endWithRequest()', () => {
  it('calls once, when the response is finished or when the connection closes after it', () => {
    stop = noticeRequestEnds();
    const { socket, close } = connection();
    const [req, end] = [requestOn(socket), vi.fn()];
    endWithRequest(req, end);
    finish(requestOn(socket));
    expect(end).not.toHaveBeenCalled();
    finish(req);
    expect(end).toHaveBeenCalledOnce();
    finish(req);
    close();
    expect(end).toHaveBeenCalledOnce();
  });

  it('calls when a response is finished that no server of Node made', () => {
    const { socket, close } = connection();
    const [req, response, end] = [requestOn(socket), new EventEmitter(), vi.fn()];
    requestStateOf(req).response = response;
    endWithRequest(req, end);
    expect(end).not.toHaveBeenCalled();
    response.emit('finish');
    close();
    expect(end).toHaveBeenCalledOnce();
  });

  it('calls when such a response is finished, though it ended before: a client may read it slowly', () => {
    const response = Object.assign(new EventEmitter(), { writableEnded: true, writableFinished: false });
    const [req, end] = [requestOn(Object.assign(connection().socket, { bytesWritten: 0 })), vi.fn()];
    requestStateOf(req).response = response;
    endWithRequest(req, end);
    expect(end).not.toHaveBeenCalled();
    response.emit('finish');
    expect(end).toHaveBeenCalledOnce();
  });

  it.each([
    ['is finished', { writableFinished: true }],
    ['has ended, and has a stand-in for a connection', { writableEnded: true, writableFinished: false }],
  ])('calls at once if such a response %s', (_, response) => {
    const [req, end] = [requestOn(connection().socket), vi.fn()];
    requestStateOf(req).response = response;
    endWithRequest(req, end);
    expect(end).toHaveBeenCalledOnce();
  });

  it('calls for each request of a connection that closes, with one listener on it', () => {
    const { socket, close } = connection();
    const ends = [vi.fn(), vi.fn(), vi.fn()];
    const first = requestOn(socket);
    for (const [i, end] of ends.entries()) {
      endWithRequest(i === 2 ? requestOn(socket) : first, end);
    }
    expect(socket.listenerCount('close')).toBe(1);
    close();
    expect(ends.map(({ mock }) => mock.calls.length)).toEqual([1, 1, 1]);
  });

  it('returns a function that calls now, and never again', () => {
    stop = noticeRequestEnds();
    const { socket, close } = connection();
    const [req, end] = [requestOn(socket), vi.fn()];
    const endNow = endWithRequest(req, end);
    endNow();
    expect(end).toHaveBeenCalledOnce();
    endNow();
    finish(req);
    close();
    expect(end).toHaveBeenCalledOnce();
  });

  it.each<[string, () => NodeRequest]>([
    ['whose connection is destroyed', () => requestOn({ destroyed: true })],
    ['that has no connection', () => requestOn(undefined)],
    [
      'whose response is finished',
      () => {
        stop = noticeRequestEnds();
        const req = requestOn(connection().socket);
        finish(req);
        return req;
      },
    ],
  ])('calls at once for a request %s', (_title, make) => {
    const end = vi.fn();
    const endNow = endWithRequest(make(), end);
    expect(end).toHaveBeenCalledOnce();
    endNow();
    expect(end).toHaveBeenCalledOnce();
  });

  it('takes a stand-in for a connection that has no events', () => {
    const end = vi.fn();
    const endNow = endWithRequest(requestOn({}), end);
    expect(end).not.toHaveBeenCalled();
    endNow();
    expect(end).toHaveBeenCalledOnce();
  });

  it('calls when the stream of HTTP/2 closes, and not when its connection does', () => {
    const { req, stream } = requestOverHttp2();
    const end = vi.fn();
    endWithRequest(req, end);
    expect(end).not.toHaveBeenCalled();
    stream.emit('close');
    expect(end).toHaveBeenCalledOnce();
  });

  it('has a frozen request end with its connection, since its response can leave no mark', () => {
    stop = noticeRequestEnds();
    const { socket, close } = connection();
    const [req, end] = [Object.freeze(requestOn(socket)), vi.fn()];
    expect(() => finish(req)).not.toThrow();
    endWithRequest(req, end);
    expect(end).not.toHaveBeenCalled();
    close();
    expect(end).toHaveBeenCalledOnce();
  });
});

describe('noticeRequestEnds()', () => {
  // A copy of its own: other tests of this process left resource servers behind, which notice ends.
  let copy: typeof import('../../../packages/core/src/request/request-end.js');
  beforeAll(async () => {
    copy = await import(`${'../../../packages/core/src/request/request-end.js'}?copy`);
  });
  const isNoticed = (): boolean => {
    const [req, end] = [requestOn(connection().socket), vi.fn()];
    copy.endWithRequest(req, end);
    finish(req);
    return end.mock.calls.length === 1;
  };

  it('has responses noticed until each of its callers has ended this', () => {
    expect(isNoticed()).toBe(false);
    const [one, other] = [copy.noticeRequestEnds(), copy.noticeRequestEnds()];
    expect(isNoticed()).toBe(true);
    one();
    one();
    expect(isNoticed()).toBe(true);
    other();
    expect(isNoticed()).toBe(false);
    stop = copy.noticeRequestEnds();
    expect(isNoticed()).toBe(true);
  });
});

describe('http2StreamOf()', () => {
  it('returns the stream of Node, also where the application hides it', () => {
    const { req, stream } = requestOverHttp2();
    expect(http2StreamOf(req)).toBe(stream);
    Object.defineProperty(req, 'stream', { value: 'of the application' });
    expect(http2StreamOf(req)).toBe(stream);
  });

  it.each<[string, object]>([
    ['over HTTP/1.1', { httpVersionMajor: 1, stream: new PassThrough() }],
    ['whose request line alone says HTTP/2', { httpVersionMajor: 2, stream: new PassThrough() }],
  ])('returns undefined for a request %s', (_title, req) => {
    expect(http2StreamOf(req as never)).toBeUndefined();
  });
});

describe('the state of a request', () => {
  it('is there from the start of the request, and no member is added to it later', () => {
    stop = noticeRequestEnds();
    const req = requestOn(connection().socket);
    start(req);
    const members = Reflect.ownKeys(req);
    expect(knownRequestStateOf(req)).toEqual({ of: req, acceptedBy: undefined, isEnded: false });
    requestStateOf(req).acceptedBy = 'a resource server';
    finish(req);
    expect(Reflect.ownKeys(req)).toEqual(members);
    expect(knownRequestStateOf(req)).toEqual({ of: req, acceptedBy: 'a resource server', isEnded: true });
  });

  it('is made when it is needed for a request whose start was not announced', () => {
    const req = requestOn(connection().socket);
    expect(knownRequestStateOf(req)).toBeUndefined();
    expect(requestStateOf(req)).toBe(requestStateOf(req));
  });

  it.each<[string, (req: NodeRequest) => NodeRequest]>([
    ['inherits from it', (req) => Object.create(req) as NodeRequest],
    ['is a copy of it', (req) => ({ ...req }) as NodeRequest],
  ])('is not that of another one that %s', (_, derive) => {
    const req = requestOn(connection().socket);
    requestStateOf(req).acceptedBy = 'a resource server';
    requestStateOf(req).isEnded = true;
    const other = derive(req);
    expect(knownRequestStateOf(other)?.acceptedBy).toBe('a resource server');
    requestStateOf(other).acceptedBy = undefined;
    expect(knownRequestStateOf(other)).toEqual({ of: other, acceptedBy: undefined, isEnded: true });
    expect(knownRequestStateOf(req)?.acceptedBy).toBe('a resource server');
  });

  it('is missing on a frozen request, which harms no process', () => {
    stop = noticeRequestEnds();
    const req = Object.freeze(requestOn(connection().socket));
    start(req);
    finish(req);
    expect(knownRequestStateOf(req)).toBeUndefined();
    expect(() => requestStateOf(req)).toThrow(TypeError);
  });
});
