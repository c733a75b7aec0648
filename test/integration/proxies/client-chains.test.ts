// Certificates that a client sends behind its own. OpenSSL compares the names of each with the name constraints of those
// above it; a program that goes on after the first error lets any client have millions of comparisons made for it.
import 'reflect-metadata';
import { createServer, type Server } from 'node:http';
import { request } from 'node:https';
import { BasicConstraintsExtension, type Extension } from '@peculiar/x509';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { costlyChain } from '../../support/costly-chain.js';
import { shortestHandshake } from '../../support/handshake-times.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Identity, issueChain, issueFrom, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { type ProxyStart, type RealProxy, startProxy } from '../../support/real-proxies.js';

let pki: Pki;
let api: Server;
let upstream: number;
beforeAll(async () => {
  pki = await createPki();
  api = createServer((req, res) => res.end(String(req.headers['x-ssl-client-cert'])));
  upstream = await listen(api);
});
afterAll(() => close(api));

const start = (row: Pick<ProxyStart, 'program' | 'config' | 'replace'>) =>
  startProxy({ ...row, pki, upstream, secret: 'secret' });

const rows: readonly (Pick<ProxyStart, 'program' | 'config' | 'replace'> & { readonly title: string })[] = [
  { title: 'HAProxy', program: 'haproxy', config: 'haproxy/haproxy.cfg' },
  {
    title: 'Apache httpd with "optional"',
    program: 'apache2',
    config: 'apache/apache.conf',
    replace: { optional_no_ca: 'optional' },
  },
  { title: 'Caddy', program: 'caddy', config: 'caddy/Caddyfile' },
  { title: 'Envoy', program: 'envoy', config: 'envoy/envoy.yaml' },
];
for (const { title, ...row } of rows) {
  describeReal(row.program, title, () => {
    it('a chain with thousands of names and constraints takes it no longer than a few good handshakes', async () => {
      const costly = await costlyChain(1300, 200);
      const proxy = await start(row);
      try {
        const ordinary = await shortestHandshake(proxy.port, pki.selfSignedEc);
        const hostile = await shortestHandshake(proxy.port, costly);
        // To compare them all takes a hundred times as long.
        expect(hostile / ordinary).toBeLessThan(10);
      } finally {
        await proxy.close();
      }
    });
  });
}

describeReal('haproxy', 'what HAProxy makes of certificates behind the client’s own', () => {
  let proxy: RealProxy;
  beforeAll(async () => {
    proxy = await start({ program: 'haproxy', config: 'haproxy/haproxy.cfg' });
  });
  afterAll(() => proxy?.close());

  /** The base64 of the certificate that the API receives, or `dropped` if HAProxy ends the handshake. */
  const received = ({ cert, key }: Pick<Identity, 'cert' | 'key'>): Promise<string> =>
    new Promise((resolve) => {
      const headers = { host: 'api.example.com' };
      const { port } = proxy;
      const options = { host: '127.0.0.1', port, rejectUnauthorized: false, agent: false as const };
      request({ ...options, cert, key, headers }, async (response) => {
        resolve((await response.toArray()).join(''));
      })
        .on('error', () => resolve('dropped'))
        .end();
    });
  const authority = (): Extension[] => [new BasicConstraintsExtension(true, undefined, true)];

  it.each<[string, () => Promise<Pick<Identity, 'cert' | 'key' | 'der'>>, 'forwarded' | 'dropped']>([
    ['its own, self-signed', async () => pki.selfSignedEc, 'forwarded'],
    ['its own, expired', async () => pki.expired, 'forwarded'],
    ['its own, of an unknown authority', () => issueChain([[]]), 'forwarded'],
    [
      'its own, of the authority in ca-file, and that of the authority',
      async () => ({ ...pki.alice, cert: pki.alice.cert + pki.ca.cert }),
      'forwarded',
    ],
    [
      'its own, of the authority in ca-file, and another one that does not belong to it',
      async () => ({ ...pki.alice, cert: pki.alice.cert + pki.selfSignedEc.cert }),
      'forwarded',
    ],
    [
      'its own, and that of an unknown intermediate authority',
      () => issueChain([[], authority()]),
      'dropped',
    ],
    [
      'its own, and that of an unknown root',
      async () => {
        const other = await createPki('CN=Other CA');
        const own = await issueFrom(other, 'CN=client', []);
        return { ...own, cert: own.cert + other.ca.cert };
      },
      'dropped',
    ],
  ])('a client that sends %s', async (_sent, make, outcome) => {
    const identity = await make();
    const expected = outcome === 'forwarded' ? identity.der.toString('base64') : outcome;
    expect(await received(identity)).toBe(expected);
  });
});
