// A client that goes away is no mistake of the operator's, also where Node has read what is left of the body.
import { once } from 'node:events';
import { connect, constants, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readRequestBody } from '../../../packages/core/src/request/request-body.js';

const errors = {
  tooLarge: () => new Error('too large'),
  gone: () => new Error('gone'),
  late: () => new Error('late'),
  encoded: () => new Error('encoded'),
  charset: () => new Error('charset'),
};

let server: ReturnType<typeof createServer>;
beforeEach(async () => {
  server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(() => server.close());

it.each([
  ['before its body ends', ''],
  ['after a part of its body', 'sub=alice'],
])('a client that resets its stream %s is gone', async (_title, part) => {
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    const stream = session.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
    stream.on('error', () => undefined);
    if (part !== '') {
      stream.write(part);
    }
    const [req] = await once(server, 'request');
    const aborted = once(req, 'aborted');
    stream.close(constants.NGHTTP2_CANCEL);
    await aborted;
    await sleep(20);
    await expect(readRequestBody(req, errors)).rejects.toThrow('gone');
  } finally {
    session.destroy();
  }
});
