import { type IncomingMessage, ServerResponse } from 'node:http';
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { HttpAnswer } from './http-answer.js';

/**
 * Writes an answer onto the connection of an upgrade or a CONNECT request, which Node gives no
 * response, and closes the connection. Never throws. Closes the connection without an answer where
 * a request before it on the same connection has none yet: the client would take this answer for
 * that of the other request. Of a request over HTTP/2, which Node gives a response, it resets the
 * stream alone: other requests share the connection.
 *
 * @param stream of a request over HTTP/2
 */
export function answerUpgrade(
  req: IncomingMessage,
  { status, headers, body }: HttpAnswer,
  stream: ServerHttp2Stream | undefined,
): void {
  if (stream !== undefined) {
    stream.on('error', () => undefined);
    stream.close(constants.NGHTTP2_CANCEL);
    return;
  }
  const { socket } = req;
  socket.on('error', () => socket.destroy());
  try {
    const res = new ServerResponse(req);
    // Throws where the connection has the response to another request.
    res.assignSocket(socket);
    res.writeHead(status, { ...headers, Connection: 'close' }).end(body, () => socket.destroy());
  } catch {
    socket.destroy();
  }
}
