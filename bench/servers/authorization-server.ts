// A stub of an authorization server that is as fast as Node can be: what it takes itself must not hide what we take.
import { createServer } from 'node:https';
import type { JWK } from 'jose';
import { listen } from '../../test/support/loopback.js';
import { claimsOf } from '../harness/cast.js';
import { whenAsked } from '../harness/child.js';

interface Setup {
  readonly cert: string;
  readonly key: string;
  /** Of the clients, by their number. */
  readonly thumbprints: readonly string[];
  /** Its answer to a GET, as a set of one key. */
  readonly publicJwk: JWK;
}

let asked = 0;

whenAsked({
  async start({ cert, key, thumbprints, publicJwk }: Setup) {
    const server = createServer({ cert, key }, (req, res) => {
      if (req.method === 'GET') {
        res.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [publicJwk] }));
        return;
      }
      let body = '';
      req.setEncoding('latin1');
      req.on('data', (chunk) => {
        body += chunk;
      });
      req.on('end', () => {
        asked += 1;
        const token = /(?:^|&)token=([^&]*)/.exec(body)?.[1] ?? '';
        const thumbprint = thumbprints[Number.parseInt(token, 10)];
        const answer =
          thumbprint === undefined
            ? { active: false }
            : { active: true, token_type: 'Bearer', ...claimsOf(thumbprint, token) };
        const text = JSON.stringify(answer);
        res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
        res.end(text);
      });
    });
    server.keepAliveTimeout = 600_000;
    return `https://127.0.0.1:${await listen(server)}/introspect`;
  },
  asked: () => asked,
});
