import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import {
  apache,
  type CertificateSource,
  caddy,
  haproxy,
  nginx,
  type ProxyPreset,
  proxyHeader,
  type ResourceServerOptions,
  tlsSocket,
} from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import type { Finding } from '../../../packages/core/src/doctor/finding.js';
import { createListener } from '../../../packages/core/src/doctor/listener.js';
import { probe } from '../../../packages/core/src/doctor/probe.js';
import { createApi } from '../../support/apis.js';
import { findingsOfDoctor, startListening } from '../../support/doctor-command.js';
import { codesOf, findsAlone, problemsOf, type Seeded } from '../../support/findings.js';
import { close, listen } from '../../support/loopback.js';
import { describeReal } from '../../support/programs.js';
import { type ProxyStart, startProxy } from '../../support/real-proxies.js';
import { useDoctor } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server, files, clients, options } = await useDoctor();
const secret = 'the-secret-of-this-test-run';

interface Behind {
  readonly token?: string;
  readonly host?: string;
  readonly start?: Partial<Pick<ProxyStart, 'program' | 'config' | 'replace'>>;
  /** `none`: the listener has no options. */
  readonly source?: CertificateSource | 'none';
  readonly maxHeaderSize?: number;
  readonly isDirect?: true;
  /** The API itself in place of a listener. */
  readonly api?: ResourceServerOptions;
}

const withSecret = (preset: ProxyPreset): CertificateSource =>
  proxyHeader(preset, { trust: 'loopback', secret: { header: 'x-proxy-secret', value: secret } });
const withoutSecret = (preset: ProxyPreset): CertificateSource => proxyHeader(preset, { trust: 'loopback' });

/** What `probe` finds through a real proxy with the configuration that the docs show, but for what is seeded. */
async function probed(behind: Behind = {}): Promise<Finding[]> {
  const { start, source = withSecret(nginx()), maxHeaderSize, isDirect, api, host = 'localhost' } = behind;
  const limit = maxHeaderSize === undefined ? {} : { maxHeaderSize };
  const upstream =
    api === undefined
      ? createListener({
          source: source === 'none' ? undefined : source,
          ...limit,
          onArrival: () => undefined,
        })
      : createServer(limit, createApi('Express', api).listener);
  const port = await listen(upstream);
  const nginxStart = { program: 'nginx', config: 'nginx/nginx.conf' } as const;
  try {
    const proxy = await startProxy({ ...nginxStart, ...start, pki, upstream: port, secret });
    try {
      const { cert, key } = pki.alice;
      const given = behind.token === undefined ? {} : { token: behind.token };
      const url = new URL(`https://${host}:${proxy.port}/`);
      const direct = isDirect && { direct: new URL(`http://127.0.0.1:${port}/`) };
      return await probe({ url, cert, key, ca: pki.ca.cert, ...direct, ...given });
    } finally {
      await proxy.close();
    }
  } finally {
    await close(upstream);
  }
}

/** NGINX with `map`, whose value goes on in place of the certificate. */
const mapped = (map: string) => ({
  replace: {
    $ssl_client_escaped_cert: '$mapped',
    'upstream api {': `map ${map}\n  upstream api {`,
  },
});
const passingOn = mapped(
  '$ssl_client_escaped_cert $mapped { "" $http_x_ssl_client_cert; default $ssl_client_escaped_cert; }',
);
const oldTls = {
  replace: {
    'TLSv1.2 TLSv1.3;': 'TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers ALL:@SECLEVEL=0;',
  },
};

describeReal('nginx', 'through NGINX', () => {
  it.each<Seeded>([
    [
      'a proxy that is not trusted by its address',
      'proxy_not_trusted',
      /let trust name the proxy's address \(127\.0\.0\.1\)/,
      () => probed({ source: proxyHeader(nginx(), { trust: '10.0.0.0/8' }) }),
    ],
    [
      'a proxy that is not trusted for want of its secret',
      'proxy_not_trusted',
      /^(?!.*let trust name).*let it send the value of the option secret/,
      () => probed({ start: { replace: { 'proxy_set_header   X-Proxy-Secret': '#' } } }),
    ],
    [
      'a header that goes through where there is no certificate',
      'header_not_overwritten',
      /let the proxy set x-ssl-client-cert on every request/,
      () => probed({ start: passingOn }),
    ],
    [
      'such a header, with the API itself behind it',
      'header_not_overwritten',
      /let the proxy set x-ssl-client-cert on every request/,
      async () => {
        const token = await server.token(clients().alice);
        return probed({ start: passingOn, token, api: { ...options(), certificate: withSecret(nginx()) } });
      },
    ],
    [
      'a header that is cut off',
      'header_truncated',
      /raise the limits for headers/,
      () =>
        probed({
          start: mapped('$ssl_client_escaped_cert $mapped { "~^(?<beginning>.{700})" $beginning; }'),
        }),
    ],
    [
      'a certificate of several lines',
      'wrong_encoding',
      /\$ssl_client_escaped_cert, not \$ssl_client_cert/,
      () => probed({ start: { replace: { $ssl_client_escaped_cert: '$ssl_client_cert' } } }),
    ],
    [
      'headers that are too long for the listener',
      'header_too_large',
      /raise the limits for headers/,
      () => probed({ maxHeaderSize: 600 }),
    ],
    [
      'headers that are too long for the API',
      'header_too_large',
      /raise the limits for headers/,
      async () => {
        const token = await server.token(clients().alice);
        return probed({
          token,
          maxHeaderSize: 600,
          api: { ...options(), certificate: withSecret(nginx()) },
        });
      },
    ],
    [
      'plain HTTP with tlsSocket()',
      'plain_http',
      /proxyHeader\(preset, \{ trust \}\)/,
      () => probed({ source: tlsSocket() }),
    ],
    ['TLS 1.0 that is offered', 'old_tls', /TLS 1\.2 and 1\.3 alone/, () => probed({ start: oldTls })],
    [
      'an API that is not there',
      'api_not_reached',
      /runs where the proxy looks for it/,
      () => probed({ start: { replace: { 'http://api;': 'http://127.0.0.1:1;' } } }),
    ],
    [
      'a route that is open to all',
      'not_protected',
      /name a route behind mtlsBound\(\)/,
      () => probed({ start: { replace: { 'proxy_pass         http://api;': 'return 204;' } } }),
    ],
    [
      'a token that is bound to the certificate of another',
      'good_request_refused',
      /token bound to --cert/,
      async () => {
        const token = await server.token(clients().bob);
        return probed({ token, api: { ...options(), certificate: withSecret(nginx()) } });
      },
    ],
  ])('finds %s', findsAlone);

  it('finds nothing where the API itself is well', async () => {
    const token = await server.token(clients().alice);
    const found = await probed({
      token,
      isDirect: true,
      api: { ...options(), certificate: withSecret(nginx()) },
    });
    expect(codesOf(found)).toEqual([
      'ok certificate_forwarded',
      'ok header_overwritten',
      'warning directly_reachable',
      'ok tls_versions',
    ]);
  });
});

describeReal('nginx', 'with a listener that has no options', () => {
  it('warns that nothing is decided, and looks at the header that the proxy sets', async () => {
    const start = { config: 'nginx/fapi.conf' };
    const found = await probed({ start, source: 'none', isDirect: true });
    expect(codesOf(found)).toEqual([
      'warning listener_without_options',
      'ok header_overwritten',
      'warning directly_reachable',
      'ok tls_versions',
    ]);
    expect(found[1]?.message).toContain('x-fapi-client-cert');
    expect(found[2]?.message).not.toContain('believe');
  });
});

describe.each([
  { program: 'nginx', config: 'nginx/nginx.conf', preset: nginx, other: haproxy },
  { program: 'haproxy', config: 'haproxy/haproxy.cfg', preset: haproxy, other: nginx },
  { program: 'apache2', config: 'apache/apache.conf', preset: apache, other: haproxy },
  {
    program: 'caddy',
    config: 'caddy/Caddyfile',
    // The probe calls it localhost.
    replace: { 'https://api.example.com': 'https://' },
    preset: caddy,
    other: nginx,
  },
] as const)('with its example configuration', ({ preset, other, ...start }) => {
  const { header, name } = preset();

  describeReal(start.program, start.program, () => {
    it('finds nothing', async () => {
      expect(codesOf(await probed({ start, source: withSecret(preset()), isDirect: true }))).toEqual([
        'ok certificate_forwarded',
        'ok header_overwritten',
        'warning directly_reachable',
        'ok tls_versions',
      ]);
    });

    it.each<Seeded>([
      [
        'an API that believes anyone, as it knows no secret',
        'believes_anyone',
        /add a secret that only the proxy knows/,
        () => probed({ start, source: withoutSecret(preset()), isDirect: true }),
      ],
      [
        `its header read by ${other().name}()`,
        'wrong_encoding',
        new RegExp(`the value is as (.* or )?${name}\\(\\) (or .*)?reads it: use that preset$`),
        () => probed({ start, source: withSecret(other({ header })) }),
      ],
    ])('finds %s', findsAlone);
  });
});

describeReal('haproxy', 'through HAProxy that refuses clients without a certificate', () => {
  const demanding = {
    'verify optional': 'verify required',
    ' crt-ignore-err all': '',
  };
  const start = { program: 'haproxy', config: 'haproxy/haproxy.cfg' } as const;
  const source = withSecret(haproxy());

  it('finds nothing', async () => {
    expect(codesOf(await probed({ start: { ...start, replace: demanding }, source }))).toEqual([
      'ok certificate_forwarded',
      'ok header_overwritten',
      'ok tls_versions',
    ]);
  });

  it.each<Seeded>([
    [
      'TLS 1.0 that is offered',
      'old_tls',
      /TLS 1\.2 and 1\.3 alone/,
      () => {
        const old = 'ssl-min-ver TLSv1.0\n  ssl-default-bind-ciphers ALL:@SECLEVEL=0';
        return probed({ start: { ...start, replace: { ...demanding, 'ssl-min-ver TLSv1.2': old } }, source });
      },
    ],
  ])('finds %s', findsAlone);
});

describeReal('caddy', 'through Caddy, which knows its sites by name', () => {
  it.each<Seeded>([
    [
      'a URL with an address in place of the name',
      'wrong_host',
      /name the host as clients do/,
      () =>
        probed({
          start: { program: 'caddy', config: 'caddy/Caddyfile' },
          source: withSecret(caddy()),
          host: '127.0.0.1',
        }),
    ],
  ])('finds %s', findsAlone);
});

describeReal('nginx', 'the command as it is built, through NGINX', () => {
  it('listens behind it, probes through it, and finds TLS 1.0 and nothing else', async () => {
    const config = fileURLToPath(new URL('../../support/doctor-options.mjs', import.meta.url));
    const env = { ...files.environment, PROXY_SECRET: secret };
    const listener = await startListening(['--config', config], env);
    const start = { program: 'nginx', config: 'nginx/nginx.conf', pki, upstream: listener.port, secret };
    const pair = ['--cert', files.cert, '--key', files.key, '--ca', files.ca];
    const probeThrough = async (more: object) => {
      const proxy = await startProxy({ ...start, ...more } as ProxyStart);
      try {
        return await findingsOfDoctor(['probe', '--url', `https://127.0.0.1:${proxy.port}/`, ...pair]);
      } finally {
        await proxy.close();
      }
    };
    const good = await probeThrough({});
    const seeded = await probeThrough(oldTls);
    const { code, arrivals } = await listener.end();
    expect([good.code, problemsOf(good.findings)]).toEqual([0, []]);
    expect([seeded.code, problemsOf(seeded.findings)]).toEqual([
      1,
      [['old_tls', expect.stringMatching(/TLS 1\.2 and 1\.3 alone/)]],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(arrivals[0] ?? '')).toMatchObject({ thumbprint: pki.alice.thumbprint });
    expect(arrivals.join()).not.toContain(secret);
  });
});

it('the command as it is built, where Node ends TLS: finds nothing, and no header matters', async () => {
  const server = ['--cert', files.serverCert, '--key', files.serverKey];
  const listener = await startListening(server, {});
  const pair = ['--cert', files.cert, '--key', files.key, '--ca', files.ca];
  const url = `https://localhost:${listener.port}/`;
  const { code, findings } = await findingsOfDoctor(['probe', '--url', url, ...pair]);
  await listener.end();
  expect(codesOf(findings)).toEqual(['ok certificate_forwarded', 'ok header_overwritten', 'ok tls_versions']);
  expect(code).toBe(0);
});
