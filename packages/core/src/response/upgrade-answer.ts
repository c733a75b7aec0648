import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './challenge.js';

/**
 * Writes an answer onto the connection of an upgrade or a CONNECT request, which Node gives no response, and closes the connection.
 * Never throws. Closes the connection without an answer where a request before it on the same connection has none yet: the client would
 * take this answer for that of the other request.
 */
export function answerUpgrade(req: IncomingMessage, { status, headers, body }: Answer): void {
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
