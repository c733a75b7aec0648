import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import { expect, it } from 'vitest';
import { root, textOf } from '../../docs/pages.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { type ProxyProgram, startProxy } from '../../support/real-proxies.js';

interface Row {
  readonly program: ProxyProgram;
  readonly config: string;
  /** The limit as the file sets it. */
  readonly limit: string;
  /** The limit with a short time, which the test waits for. */
  readonly short: string;
  /** What the proxy answers before it closes the connection. */
  readonly answer: RegExp;
}

const nginx = {
  program: 'nginx',
  limit: 'client_header_timeout 10s',
  short: 'client_header_timeout 1s',
  answer: /^$/,
} as const;
const rows: readonly Row[] = [
  { ...nginx, config: 'nginx/nginx.conf' },
  { ...nginx, config: 'nginx/fapi.conf' },
  {
    program: 'haproxy',
    config: 'haproxy/haproxy.cfg',
    limit: 'timeout http-request 10s',
    short: 'timeout http-request 1s',
    answer: /^HTTP\/1\.1 408 /,
  },
  {
    program: 'apache2',
    config: 'apache/apache.conf',
    limit: 'header=10 ',
    short: 'header=1 ',
    answer: /^HTTP\/1\.1 408 /,
  },
  {
    program: 'caddy',
    config: 'caddy/Caddyfile',
    limit: 'read_header 10s',
    short: 'read_header 1s',
    answer: /^$/,
  },
  {
    program: 'envoy',
    config: 'envoy/envoy.yaml',
    limit: 'request_headers_timeout: 10s',
    short: 'request_headers_timeout: 1s',
    answer: /^HTTP\/1\.1 408 /,
  },
];

/** Sends a header a byte at a time without an end; resolves with the answer when the proxy closes the connection. */
async function drip(port: number, pki: Pki): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, servername: 'api.example.com', ca: pki.ca.cert });
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    answer += chunk;
  });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  socket.write('GET / HTTP/1.1\r\nHost: api.example.com\r\nX: ');
  const dripping = setInterval(() => socket.write('x'), 50);
  try {
    await once(socket, 'close');
    return answer;
  } finally {
    clearInterval(dripping);
    socket.destroy();
  }
}

/** Sends a whole request; resolves with what the API answers. */
async function get(port: number, pki: Pki): Promise<string> {
  const headers = { host: 'api.example.com' };
  const sent = request({ host: '127.0.0.1', port, ca: pki.ca.cert, servername: 'api.example.com', headers });
  const answered = once(sent, 'response');
  sent.end();
  const [response] = await answered;
  return text(response);
}

for (const { program, config, limit, short, answer } of rows) {
  describeReal(
    program,
    'a client that drips a header loses its connection, and a whole request passes',
    () => {
      it(config, async () => {
        const pki = await createPki();
        const api = createServer((_req, res) => res.end('from the API'));
        const proxy = await startProxy({
          program,
          config,
          pki,
          upstream: await listen(api),
          secret: 'secret',
          replace: { [limit]: short },
        });
        try {
          const cut = drip(proxy.port, pki);
          expect(await get(proxy.port, pki)).toBe('from the API');
          expect(await cut).toMatch(answer);
        } finally {
          await proxy.close();
          await close(api);
        }
      });
    },
  );
}

it.each(readdirSync(`${root}examples/proxies/nginx`))(
  'nginx/%s: limits the time for header and body',
  (file) => {
    const shown = textOf(`examples/proxies/nginx/${file}`);
    expect(shown).toMatch(/^ {4}client_header_timeout 10s;\n {4}client_body_timeout {3}10s;$/m);
  },
);
