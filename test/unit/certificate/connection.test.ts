import { expect, it } from 'vitest';
import { connectionOf, isUnixSocket } from '../../../packages/core/src/certificate/connection.js';
import { http2Request } from '../../support/http2-stand-in.js';

const session = { remoteAddress: '192.0.2.1' };
const own = { remoteAddress: '192.0.2.2' };

it.each<[string, object, object | undefined]>([
  ['HTTP/1.1', { socket: own }, own],
  ['http2: the session’s, not the proxy of the stream', http2Request({ socket: session }), session],
  ['http2, its session gone', http2Request(undefined), undefined],
  ['HTTP/1.1, a stream of the application', { socket: own, stream: { session: { socket: session } } }, own],
  ['HTTP/1.1, no stream of the application', { socket: own, stream: undefined }, own],
  ['gone', { socket: undefined }, undefined],
])('the connection of a request: %s', (_title, req, expected) => {
  expect(connectionOf(req as never)).toBe(expected);
});

const path = { address: () => '/run/api.sock' };
it.each<[string, Parameters<typeof isUnixSocket>[0], boolean]>([
  ['a path, no address', { destroyed: false, server: path }, true],
  ['a path and an address', { destroyed: false, server: path, remoteAddress: '127.0.0.1' }, false],
  ['a path, the client gone', { destroyed: true, server: path }, false],
  ['a path, with no sign whether the client has gone', { server: path }, false],
  [
    'a socket that was handed over',
    { destroyed: false, server: { address: () => null, listening: true } },
    true,
  ],
  ['such a server, closed', { destroyed: false, server: { address: () => null, listening: false } }, false],
  ['such a server that does not say', { destroyed: false, server: { address: () => null } }, false],
  ['a port', { destroyed: false, server: { address: () => ({ port: 1 }) } }, false],
  ['no server', { destroyed: false }, false],
  ['a connection that no server accepted', { destroyed: false, server: null }, false],
  ['a server that is a stand-in', { destroyed: false, server: {} as never }, false],
])('a unix socket: %s', (_title, connection, expected) => {
  expect(isUnixSocket(connection)).toBe(expected);
});
