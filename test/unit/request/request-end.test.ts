// When a request ends: with its response, with its connection, or with its stream of HTTP/2.
import { EventEmitter } from 'node:events';
import { Http2ServerRequest } from 'node:http2';
import { PassThrough } from 'node:stream';
import type { NodeRequest } from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { http2StreamOf } from '../../../packages/core/src/request/http2-request.js';
import { endWithRequest } from '../../../packages/core/src/request/request-end.js';
import { requestStateOf } from '../../../packages/core/src/request/request-state.js';

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

describe('endWithRequest()', () => {
  it('calls once, when the response is finished or when the connection closes after it', () => {
    const { socket, close } = connection();
    const [req, response, end] = [requestOn(socket), new EventEmitter(), vi.fn()];
    requestStateOf(req).response = response;
    endWithRequest(req, end);
    expect(end).not.toHaveBeenCalled();
    response.emit('finish');
    expect(end).toHaveBeenCalledOnce();
    response.emit('finish');
    close();
    expect(end).toHaveBeenCalledOnce();
  });

  it('calls when the response is finished, though it ended before: a client may read it slowly', () => {
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
  ])('calls at once if the response %s', (_, response) => {
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

  it('calls for each of many requests that share a response, with one listener on it', () => {
    const [{ socket }, response] = [connection(), new EventEmitter()];
    const ends = Array.from({ length: 12 }, () => vi.fn());
    const req = requestOn(socket);
    requestStateOf(req).response = response;
    const [endFirst] = ends.map((end) => endWithRequest(Object.create(req) as NodeRequest, end));
    expect(response.listenerCount('finish')).toBe(1);
    endFirst?.();
    response.emit('finish');
    expect(ends.map(({ mock }) => mock.calls.length)).toEqual(ends.map(() => 1));
  });

  it('returns a function that calls now, and never again', () => {
    const { socket, close } = connection();
    const [req, response, end] = [requestOn(socket), new EventEmitter(), vi.fn()];
    requestStateOf(req).response = response;
    const endNow = endWithRequest(req, end);
    endNow();
    expect(end).toHaveBeenCalledOnce();
    endNow();
    response.emit('finish');
    close();
    expect(end).toHaveBeenCalledOnce();
  });

  it.each<[string, () => NodeRequest]>([
    ['whose connection is destroyed', () => requestOn({ destroyed: true })],
    ['that has no connection', () => requestOn(undefined)],
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

  it('has a request end with its connection if its response is not known', () => {
    const { socket, close } = connection();
    const [req, end] = [Object.freeze(requestOn(socket)), vi.fn()];
    endWithRequest(req, end);
    expect(end).not.toHaveBeenCalled();
    close();
    expect(end).toHaveBeenCalledOnce();
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
