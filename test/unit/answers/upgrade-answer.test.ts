import { EventEmitter } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { expect, it, vi } from 'vitest';
import { answerUpgrade } from '../../../packages/core/src/response/upgrade-answer.js';

const answer = { status: 401, headers: { 'WWW-Authenticate': 'Bearer realm="api"' }, body: 'no' };

/** A connection in memory. `write` gets each text that is written onto it. */
function connection(write: (text: string, done: (error?: Error) => void) => void) {
  const socket = new Duplex({ read: () => undefined, write: (chunk, _, done) => write(String(chunk), done) });
  const req = new IncomingMessage(socket as Socket);
  req.httpVersionMajor = 1;
  req.httpVersionMinor = 1;
  req.method = 'GET';
  return { socket, req };
}

it('an upgrade gets the answer on its connection, which then closes', async () => {
  let sent = '';
  const { socket, req } = connection((text, done) => {
    sent += text;
    done();
  });
  answerUpgrade(req, answer, undefined);
  await vi.waitFor(() => expect(socket.destroyed).toBe(true));
  expect(sent).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/);
  expect(sent).toContain('\r\nWWW-Authenticate: Bearer realm="api"\r\nConnection: close\r\n');
  expect(sent).toMatch(/\r\n\r\n(?:2\r\nno\r\n0\r\n\r\n|no)$/);
});

it('a connection that has the response to an earlier request closes without an answer', () => {
  let sent = '';
  const { socket, req } = connection((text, done) => {
    sent += text;
    done();
  });
  new ServerResponse(req).assignSocket(socket as Socket);
  answerUpgrade(req, answer, undefined);
  expect([socket.destroyed, sent]).toEqual([true, '']);
});

it('a connection that fails during the answer closes, and no error is thrown', async () => {
  const { socket, req } = connection((_, done) => done(new Error('ECONNRESET')));
  answerUpgrade(req, answer, undefined);
  await vi.waitFor(() => expect(socket.destroyed).toBe(true));
});

it('a stream of HTTP/2 is reset, and its connection stays as it is', () => {
  const write = vi.fn();
  const { socket, req } = connection(write);
  const close = vi.fn();
  const stream = Object.assign(new EventEmitter(), { close });
  answerUpgrade(req, answer, stream as never);
  // RFC 9113 §7: CANCEL.
  expect(close.mock.calls).toEqual([[8]]);
  expect([write.mock.calls, socket.destroyed]).toEqual([[], false]);
  expect(() => stream.emit('error', new Error('ECONNRESET'))).not.toThrow();
});
