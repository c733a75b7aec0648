// Node drops the header lines of a request beyond `server.maxHeadersCount`: a second certificate, secret or token is not seen.
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { haproxy, proxyHeader } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
let kit: TestKit;
beforeAll(async () => {
  [pki, kit] = await Promise.all([createPki(), createTestKit()]);
});

const secret = { header: 'X-Proxy-Secret', value: 'a-secret-of-the-proxy' };

/** The status of a request with these header lines, sent byte for byte. */
function statusOf(port: number, lines: readonly string[], version = '1.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const head = [
      `GET / HTTP/${version}`,
      'Host: api.example.com',
      'Connection: close',
      ...lines,
      '',
      '',
    ].join('\r\n');
    const socket = connect(port, '127.0.0.1', () => socket.write(head));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('end', () => resolve(Number(answer.split(' ')[1]))).on('error', reject);
  });
}

describe.each(frameworks)('%s', (framework) => {
  async function start(maxHeadersCount: number | undefined) {
    const certificate = proxyHeader(haproxy(), { trust: 'loopback', secret });
    const { listener, handled } = createApi(framework, { ...kit.options, certificate });
    const server = createServer({ maxHeaderSize: 64_000 }, listener);
    if (maxHeadersCount !== undefined) {
      server.maxHeadersCount = maxHeadersCount;
    }
    return { server, port: await listen(server), handled };
  }
  const good = () => {
    const token = kit.boundToken({ claims: { cnf: { 'x5t#S256': pki.alice.thumbprint } } });
    return [
      `Authorization: Bearer ${token}`,
      `X-SSL-Client-Cert: ${pki.alice.der.toString('base64')}`,
      `${secret.header}: ${secret.value}`,
    ];
  };
  const filler = (count: number) => Array<string>(count).fill('a: b');

  it('counts by the parser of the connection, whatever its server is told later', async () => {
    const { server, port } = await start(50);
    // Node keeps 50 lines on connections from before, and the server says that it keeps all.
    server.once('connection', () => {
      server.maxHeadersCount = 0;
    });
    try {
      expect(await statusOf(port, [...good(), ...filler(45)])).toBe(400);
    } finally {
      await close(server);
    }
  });

  it.each<[string, number | undefined, number, number]>([
    ['994 more lines', undefined, 994, 200],
    ['995 more lines, which is 1,000 with the others', undefined, 995, 400],
    ['1,100 more lines', undefined, 1_100, 400],
    ['44 more lines of 50', 50, 44, 200],
    ['45 more lines of 50', 50, 45, 400],
    ['1,100 more lines, where Node keeps every line', 0, 1_100, 200],
  ])('%s', async (_title, maxHeadersCount, count, expected) => {
    const { server, port } = await start(maxHeadersCount);
    try {
      expect(await statusOf(port, [...good(), ...filler(count)])).toBe(expected);
    } finally {
      await close(server);
    }
  });

  it.each(['1.0', '2.0'])('a request line that says HTTP/%s hides no lines', async (version) => {
    const { server, port, handled } = await start(undefined);
    try {
      expect(await statusOf(port, [...good(), ...filler(10)], version)).toBe(200);
      expect(await statusOf(port, [...good(), ...filler(1_100)], version)).toBe(400);
      expect(handled()).toBe(1);
    } finally {
      await close(server);
    }
  });

  it.each([
    ['certificate', () => `X-SSL-Client-Cert: ${pki.bob.der.toString('base64')}`],
    ['secret', () => `${secret.header}: another-secret-16`],
    ['token', () => 'Authorization: Bearer another'],
  ])('a second %s behind 1,100 lines never passes', async (_name, second) => {
    const { server, port, handled } = await start(undefined);
    try {
      expect(await statusOf(port, [...good(), ...filler(1_100), second()])).toBe(400);
      expect(handled()).toBe(0);
    } finally {
      await close(server);
    }
  });
});
