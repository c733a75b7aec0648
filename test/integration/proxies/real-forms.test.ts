// The further forms in which real proxies write the certificate, from the proxy to the answer of the API.
import { createServer, type Server } from 'node:http';
import { request } from 'node:https';
import {
  type CertificatePolicyOptions,
  caddy,
  envoy,
  haproxy,
  type ProxyPreset,
  proxyHeader,
  rfc9440,
} from '@mtls-bound/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { thumbprintOf } from '../../../packages/core/src/certificate/client-certificate.js';
import { createApi, type Framework, frameworks } from '../../support/apis.js';
import { authority, client } from '../../support/chains.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { describeReal, itReal } from '../../support/programs.js';
import { type ProxyStart, type RealProxy, startProxy } from '../../support/real-proxies.js';

const name = 'api.example.com';
const secret = { header: 'x-proxy-secret', value: 'the-secret-of-this-test-run' };

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

const inHaproxy = (value: string): Omit<ProxyStart, 'pki' | 'upstream' | 'secret'> => ({
  program: 'haproxy',
  config: 'haproxy/haproxy.cfg',
  replace: { 'X-SSL-Client-Cert %[ssl_c_der,base64]': `X-SSL-Client-Cert ${value}` },
});
const inCaddy = (value: string): Omit<ProxyStart, 'pki' | 'upstream' | 'secret'> => ({
  program: 'caddy',
  config: 'caddy/Caddyfile',
  replace: { ':{http.request.tls.client.certificate_der_base64}:': value },
});
const inPem = '-----BEGIN\\ CERTIFICATE-----\\ %[ssl_c_der,base64]\\ -----END\\ CERTIFICATE-----';
const always = (start: ReturnType<typeof inHaproxy>) => ({
  ...start,
  replace: { ...start.replace, ' if { ssl_c_used }': '' },
});

const forms: [string, ReturnType<typeof inHaproxy>, () => ProxyPreset][] = [
  ['HAProxy, PEM on one line', inHaproxy(inPem), () => haproxy({ encoding: 'pem' })],
  ['HAProxy, PEM, set without a condition', always(inHaproxy(inPem)), () => haproxy({ encoding: 'pem' })],
  ['HAProxy, hash', inHaproxy('%[ssl_c_der,sha2(256),hex]'), () => haproxy({ encoding: 'sha256' })],
  [
    'HAProxy, hash, set without a condition',
    always(inHaproxy('%[ssl_c_der,sha2(256),hex]')),
    () => haproxy({ encoding: 'sha256' }),
  ],
  [
    'HAProxy, as the router of OpenShift',
    {
      ...inHaproxy('%{+Q}[ssl_c_der,base64]'),
      replace: {
        'set-header X-SSL-Client-Cert %[ssl_c_der,base64]':
          'set-header X-SSL-Client-DER %{+Q}[ssl_c_der,base64]',
        'del-header X-SSL-Client-Cert': 'del-header X-SSL-Client-DER',
      },
    },
    () => haproxy({ header: 'X-SSL-Client-DER' }),
  ],
  [
    'Caddy, base64 without colons',
    inCaddy('{http.request.tls.client.certificate_der_base64}'),
    () => caddy({ encoding: 'base64' }),
  ],
  ['Caddy, hash', inCaddy('{http.request.tls.client.fingerprint}'), () => caddy({ encoding: 'sha256' })],
  [
    'Envoy, JSON',
    {
      program: 'envoy',
      config: 'envoy/envoy.yaml',
      replace: { '{ cert: true }': '{ cert: true, subject: true, uri: true, dns: true, format: JSON }' },
    },
    () => envoy(),
  ],
];

describe.each(frameworks)('%s', (framework) => {
  for (const [title, start, preset] of forms) {
    describeReal(start.program, title, () => {
      let running: Running;
      beforeAll(async () => {
        running = await run(framework, start, preset());
      });
      afterAll(() => running?.stop());

      it('the right certificate is accepted, and another, none and a header of the client are refused', async () => {
        expect(await running.status(pki.alice)).toBe(200);
        const forged = { [preset().header]: running.written() };
        expect(await running.status(pki.bob)).toBe(401);
        expect(await running.status(undefined)).toBe(401);
        expect(await running.status(pki.bob, forged)).toBe(401);
        expect(await running.status(undefined, forged)).toBe(401);
      });
    });
  }
});

itReal('caddy', 'a certificate that Caddy writes as PEM reaches no API: Caddy answers 502', async () => {
  const start = inCaddy('{http.request.tls.client.certificate_pem}');
  const running = await run('Express', start, caddy());
  try {
    expect([await running.status(pki.alice), running.written()]).toEqual([502, '']);
  } finally {
    await running.stop();
  }
});

itReal('envoy', 'a list that the client sends to an Envoy that appends is refused', async () => {
  const replace = { '{ cert: true }': '{ cert: true, format: JSON }', SANITIZE_SET: 'APPEND_FORWARD' };
  const start = { program: 'envoy', config: 'envoy/envoy.yaml', replace } as const;
  const running = await run('Koa', start, envoy({ forward: 'append-forward' }));
  const hash = Buffer.from(pki.alice.thumbprint, 'base64url').toString('hex');
  const sent = (value: string) => running.status(pki.bob, { 'x-forwarded-client-cert': value });
  try {
    expect([await running.status(pki.alice), await running.status(pki.bob)]).toEqual([200, 401]);
    expect(running.written()).toContain(`[{"hash":"${hash}"`);
    for (const value of [`[{"hash":"${hash}"}]`, '[]', `[{"hash":"${hash}","x":[]`, `Hash=${hash}`]) {
      expect([value, await sent(value)]).toEqual([value, 400]);
    }
  } finally {
    await running.stop();
  }
});

describe.each(frameworks)('%s behind HAProxy, with a verdict in the form of RFC 9440', (framework) => {
  itReal(
    'haproxy',
    'accepts an authority that HAProxy does not know, if error numbers are read',
    async () => {
      const other = await authority('CN=Other');
      const one = await client('CN=client', other);
      const start = {
        program: 'haproxy',
        config: 'haproxy/haproxy.cfg',
        replace: { 'X-SSL-Client-Cert %[ssl_c_der,base64]': 'Client-Cert :%[ssl_c_der,base64]:' },
      } as const;
      const sent = { cert: one.cert, key: one.key, thumbprint: thumbprintOf(one.der) };
      for (const [hasErrorNumbers, status] of [
        [true, 200],
        [false, 403],
      ] as const) {
        const verdict = { verifyHeader: 'x-ssl-client-verify', isVerified: (value: string) => value === '0' };
        const preset = rfc9440({ ...verdict, hasErrorNumbers });
        const running = await run(framework, start, preset, { authorities: other.cert }, sent);
        try {
          expect([hasErrorNumbers, await running.status(sent)]).toEqual([hasErrorNumbers, status]);
        } finally {
          await running.stop();
        }
      }
    },
  );
});

interface Running {
  status(
    identity: Pick<Identity, 'cert' | 'key'> | undefined,
    headers?: Record<string, string>,
  ): Promise<number>;
  /** What the proxy wrote for the first client. */
  written(): string;
  stop(): Promise<void>;
}

async function run(
  framework: Framework,
  start: (typeof forms)[0][1],
  preset: ProxyPreset,
  certificatePolicy?: CertificatePolicyOptions,
  bound: Pick<Identity, 'thumbprint'> = pki.alice,
): Promise<Running> {
  const server = pretendServer(() => boundClaims(bound as Identity));
  const certificate = proxyHeader(preset, { trust: 'loopback', secret });
  const { listener } = createApi(
    framework,
    optionsOver(server, undefined, { certificate, ...(certificatePolicy && { certificatePolicy }) }),
  );
  let written = '';
  const api: Server = createServer((req, res) => {
    written ||= String(req.headers[preset.header] ?? '');
    listener(req, res);
  });
  const upstream = await listen(api as never);
  const proxy: RealProxy = await startProxy({ ...start, pki, upstream, secret: secret.value }).catch(
    async (error: unknown) => {
      await close(api as never);
      throw error;
    },
  );
  return {
    status: (identity, headers = {}) =>
      new Promise((resolve, reject) => {
        const call = request(
          {
            host: '127.0.0.1',
            port: proxy.port,
            servername: name,
            ca: pki.ca.cert,
            cert: identity?.cert,
            key: identity?.key,
            agent: false,
            headers: { host: name, authorization: 'Bearer token', ...headers },
          },
          (response) => {
            response.resume();
            response.on('end', () => resolve(response.statusCode ?? 0));
          },
        );
        call.on('error', reject).end();
      }),
    written: () => written,
    stop: async () => {
      await proxy.close();
      await close(api as never);
    },
  };
}
