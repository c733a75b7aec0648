// Which bodies are read, which are refused and why, and that no listener or timer is left behind.
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { NodeRequest } from '@mtls-bound/core';
import { afterEach, expect, it, vi } from 'vitest';
import {
  type BodyErrors,
  mediaTypeOfRequest,
  readRequestBody,
  textOfParsedBody,
  withCloseIfBodyUnread,
} from '../../../packages/core/src/request/request-body.js';

const errors: BodyErrors = {
  tooLarge: () => new Error('too large'),
  gone: () => new Error('gone'),
  late: () => new Error('late'),
  encoded: () => new Error('encoded'),
  charset: () => new Error('charset'),
};
const readBefore = /another middleware has read the body/;
const answer = { status: 400, headers: { Vary: 'x' }, body: '' };

type Body = NodeRequest & PassThrough;

function request(headers: [string, string][] = [], members: object = {}): Body {
  return Object.assign(new PassThrough(), {
    httpVersionMajor: 1,
    aborted: false,
    rawHeaders: headers.flat(),
    headers: Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])),
    socket: Object.assign(new EventEmitter(), { destroy: vi.fn() }),
    ...members,
  }) as unknown as Body;
}

const events = ['data', 'end', 'close', 'aborted'];
const listeners = (req: Body) => events.map((event) => req.listenerCount(event));
const connectionOf = (req: Body) => withCloseIfBodyUnread(req, answer).headers.Connection;

afterEach(() => {
  vi.useRealTimers();
});

it('a body of several chunks is read as one text', async () => {
  const req = request();
  const before = listeners(req);
  const text = readRequestBody(req, errors);
  const bytes = Buffer.from('grün');
  req.write(bytes.subarray(0, 3));
  req.end(bytes.subarray(3));
  expect(await text).toBe('grün');
  expect(listeners(req)).toEqual(before);
  expect(withCloseIfBodyUnread(req, answer)).toBe(answer);
});

it('a body that another middleware has paused is read', async () => {
  const req = request();
  req.pause();
  const text = readRequestBody(req, errors);
  req.end('a=b');
  expect(await text).toBe('a=b');
});

it.each([
  ['65,536 bytes are read', 65_536, undefined],
  ['65,537 bytes are too many', 65_537, 'too large'],
])('of a body %s', async (_title, length, error) => {
  const req = request();
  const text = readRequestBody(req, errors);
  req.end(Buffer.alloc(length, 'x'));
  if (error === undefined) {
    expect(await text).toHaveLength(length);
  } else {
    await expect(text).rejects.toThrow(error);
  }
});

it('a body in a thousand chunks of one byte is refused', async () => {
  const req = request();
  const text = readRequestBody(req, errors);
  for (let count = 0; count < 1_000; count += 1) {
    req.write('x');
  }
  req.end();
  await expect(text).rejects.toThrow('too large');
});

it.each<[string, [string, string][], string | undefined]>([
  ['compressed content', [['Content-Encoding', 'gzip']], 'encoded'],
  ['content that is compressed behind identity', [['Content-Encoding', 'identity, br']], 'encoded'],
  ['content whose coding is in capitals', [['Content-Encoding', 'IDENTITY']], undefined],
  ['content without a coding', [['Content-Encoding', '']], undefined],
  ['a compressed transfer', [['Transfer-Encoding', 'gzip, chunked']], 'encoded'],
  ['a transfer in chunks', [['Transfer-Encoding', 'Chunked']], undefined],
  ['another charset', [['Content-Type', 'text/plain; charset=iso-8859-1']], 'charset'],
  ['another charset behind a parameter', [['Content-Type', 'text/plain; a=b; Charset="latin1"']], 'charset'],
  [
    'another charset in the second of two lines',
    [
      ['Content-Type', 'text/plain'],
      ['Content-Type', 'a/b;charset=x'],
    ],
    'charset',
  ],
  ['UTF-8', [['Content-Type', 'text/plain; charset=UTF-8']], undefined],
  ['UTF-8 in quotes', [['Content-Type', 'text/plain; charset="utf-8"']], undefined],
  ['utf8 without a hyphen', [['Content-Type', 'text/plain;charset=utf8']], undefined],
  ['no charset', [['Content-Type', 'charset=x']], undefined],
])('a body with %s is read or refused by its headers', async (_title, headers, error) => {
  const req = request(headers);
  const text = readRequestBody(req, errors);
  req.end('body');
  await (error === undefined ? expect(text).resolves.toBe('body') : expect(text).rejects.toThrow(error));
});

it.each<[string, (req: Body) => void]>([
  ['was aborted before', (req) => Object.assign(req, { aborted: true })],
  ['was destroyed before', (req) => req.destroy()],
])('the body of a request that %s is gone', async (_title, happens) => {
  const req = request();
  happens(req);
  await expect(readRequestBody(req, errors)).rejects.toThrow('gone');
});

it.each<[string, (req: Body) => void]>([
  ['closes', (req) => req.destroy()],
  ['fails', (req) => req.destroy(new Error('reset'))],
  ['is aborted', (req) => req.emit('aborted')],
])('the body of a request that %s while it is read is gone', async (_title, happens) => {
  const req = request();
  const before = listeners(req);
  const text = readRequestBody(req, errors);
  req.write('a');
  happens(req);
  await expect(text).rejects.toThrow('gone');
  expect(listeners(req)).toEqual(before);
});

it.each<[string, [string, string][], boolean]>([
  ['is empty by its length', [['Content-Length', '0']], true],
  ['has a length', [['Content-Length', '1']], false],
  ['has no length', [], false],
])(
  'a body that was read to its end and %s counts as empty, or as read before',
  async (_title, headers, isEmpty) => {
    const req = request(headers);
    req.end();
    req.resume();
    await new Promise((resolve) => req.once('end', resolve));
    const text = readRequestBody(req, errors);
    await (isEmpty ? expect(text).resolves.toBe('') : expect(text).rejects.toThrow(readBefore));
  },
);

it.each<[string, (req: Body) => void, 'close' | undefined]>([
  ['listens to readable', (req) => req.on('readable', () => undefined), 'close'],
  ['has read a part', (req) => req.write('a') && req.read(), 'close'],
  ['has set another encoding', (req) => req.setEncoding('latin1'), 'close'],
])(
  'a body of which another middleware %s is refused, and its connection closes',
  async (_title, happens, connection) => {
    const req = request();
    happens(req);
    await expect(readRequestBody(req, errors)).rejects.toThrow(readBefore);
    expect(connectionOf(req)).toBe(connection);
    expect(withCloseIfBodyUnread(req, answer)).toMatchObject({ status: 400, headers: { Vary: 'x' } });
  },
);

it('a body whose encoding is set to utf8 is read', async () => {
  const req = request();
  req.setEncoding('utf8');
  const text = readRequestBody(req, errors);
  req.end('grün');
  expect(await text).toBe('grün');
});

it('a middleware that takes the body while it is read has it refused at its end', async () => {
  const req = request();
  const text = readRequestBody(req, errors);
  req.write('a');
  Object.defineProperty(req, 'readableEncoding', { value: 'latin1' });
  req.end();
  await expect(text).rejects.toThrow(readBefore);
});

it.each([
  [1, 'close'],
  [2, 'close'],
])(
  'a body over HTTP/1 that does not end within 10 s is late, also where the request line says %i',
  async (httpVersionMajor, connection) => {
    vi.useFakeTimers();
    const req = request([], { httpVersionMajor });
    const settled = vi.fn();
    readRequestBody(req, errors).catch(settled);
    req.write('a');
    await vi.advanceTimersByTimeAsync(9_999);
    expect(settled).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(settled.mock.calls).toEqual([[new Error('late')]]);
    expect(connectionOf(req)).toBe(connection);
    expect(req.socket.destroy).not.toHaveBeenCalled();
  },
);

it('a body that is too large and does not end has its connection closed', async () => {
  vi.useFakeTimers();
  const req = request();
  const text = readRequestBody(req, errors);
  text.catch(() => undefined);
  req.write(Buffer.alloc(65_537));
  await vi.advanceTimersByTimeAsync(10_000);
  await expect(text).rejects.toThrow('too large');
  expect(req.socket.destroy).toHaveBeenCalledOnce();
});

it('a member of the request that throws refuses the body and ends no process', async () => {
  vi.useFakeTimers();
  const req = request();
  const text = readRequestBody(req, errors);
  text.catch(() => undefined);
  Object.defineProperty(req, 'httpVersionMajor', {
    get: () => {
      throw new Error('changed');
    },
  });
  await vi.advanceTimersByTimeAsync(10_000);
  await expect(text).rejects.toThrow('changed');
});

it.each<[string, unknown, [string, string][], string | undefined]>([
  ['a text', 'grün', [], 'grün'],
  ['bytes', Buffer.from('grün'), [], 'grün'],
  ['bytes within a larger buffer', Buffer.from('xgrünx').subarray(1, 6), [], 'grün'],
  ['an object', { a: 'b' }, [], undefined],
  ['a text of another charset, which its parser knew', 'a', [['Content-Type', 'a/b; charset=x']], 'a'],
])('textOf() of %s is its text, or undefined', (_title, body, headers, expected) => {
  expect(textOfParsedBody(body, request(headers), errors)).toBe(expected);
});

it('textOf() of bytes in another charset throws', () => {
  const req = request([['Content-Type', 'a/b; charset=latin1']]);
  expect(() => textOfParsedBody(Buffer.from('a'), req, errors)).toThrow('charset');
});

it.each<[string, [string, string][]]>([
  ['a/b', [['Content-Type', 'A/B; charset=utf-8']]],
  [
    '',
    [
      ['Content-Type', 'a/b'],
      ['Content-Type', 'a/b'],
    ],
  ],
])('the media type is "%s", which is empty for a repeated header', (expected, headers) => {
  expect(mediaTypeOfRequest(request(headers))).toBe(expected);
});
