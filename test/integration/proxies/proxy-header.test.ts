import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as core from '@mtls-bound/core';
import {
  ConfigurationError,
  customHeader,
  haproxy,
  nginx,
  type ProblemEvent,
  type ProxyHeaderOptions,
  type ProxyPreset,
  proxyHeader,
  rfc9440,
} from '@mtls-bound/core';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, type Listener, mutualTls } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { runs } from '../../support/fuzzing.js';
import { close, listen } from '../../support/loopback.js';
import { mismatch } from '../../support/mismatch.js';
import type { Identity, Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

// A token is the name of who it is bound to.
server.introspection = (req, res, body) => {
  const name = new URLSearchParams(body).get('token') as keyof Pki;
  answer(200, goodClaims(server.issuer, pki[name].thumbprint))(req, res, body);
};
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const secret = 'a-secret-of-the-proxy';
const asNginx = ({ cert }: Identity): string => encodeURIComponent(cert);

/** Where a request comes from, and what its head says. */
interface Hop {
  readonly headers?: readonly (readonly [string, string])[];
  readonly token?: keyof Pki;
  /** The peer's own address on the loopback network. */
  readonly from?: string;
  readonly agent?: Agent;
}

interface HopAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
}

interface HeaderApi {
  call(hop: Hop): Promise<HopAnswer>;
  close(): Promise<void>;
}

async function startHeaderApi(
  listener: Listener,
  where: { host?: string; path?: string } = {},
): Promise<HeaderApi> {
  const api = createServer({ maxHeaderSize: 64_000 }, listener);
  const { host = '127.0.0.1', path } = where;
  await new Promise<void>((resolve) =>
    api.listen(path === undefined ? { host, port: 0 } : { path }, resolve),
  );
  const address = api.address();
  const target =
    typeof address === 'string' ? { socketPath: address } : { port: (address as AddressInfo).port };
  return {
    call: ({ headers = [], token = 'alice', from = '127.0.0.1', agent }) =>
      new Promise((resolve, reject) => {
        const head = [['Host', 'api.example.com'], ['Authorization', `Bearer ${token}`], ...headers].flat();
        const options = {
          ...target,
          ...(path === undefined && { host: '127.0.0.1', localAddress: from }),
          headers: head,
          agent: agent ?? false,
        };
        const call = request(options as never, (response) => {
          response.resume();
          response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
        });
        call.on('error', reject).end();
      }),
    close: () => close(api),
  };
}

describe.each(frameworks)('%s', (framework) => {
  const optionsFor = (certificate: core.CertificateSource, more: core.ResourceServerOptions = {}) => ({
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'secret',
    audience,
    http: { ca: pki.ca.cert },
    certificate,
    ...more,
  });

  /** An API behind a proxy at 127.0.0.1, for one test. */
  async function behind(
    preset: ProxyPreset,
    options: Partial<ProxyHeaderOptions>,
    run: (api: HeaderApi) => Promise<void>,
    more: core.ResourceServerOptions = {},
    where: { host?: string; path?: string } = {},
  ): Promise<void> {
    const source = proxyHeader(preset, { trust: '127.0.0.1', ...options });
    const api = await startHeaderApi(createApi(framework, optionsFor(source, more)).listener, where);
    try {
      await run(api);
    } finally {
      await api.close();
    }
  }

  const cert = (identity: Identity): [string, string] => ['X-SSL-Client-Cert', asNginx(identity)];

  it('R166: the header of a trusted proxy is accepted with the right certificate, and with no other', () =>
    behind(nginx(), {}, async (api) => {
      expect((await api.call({ headers: [cert(pki.alice)] })).status).toBe(200);
      expect((await api.call({ headers: [cert(pki.bob)] })).status).toBe(401);
      expect((await api.call({ headers: [cert(pki.bob)], token: 'bob' })).status).toBe(200);
      expect((await api.call({})).status).toBe(401);
      expect((await api.call({ headers: [['X-SSL-Client-Cert', '']] })).status).toBe(401);
      expect(problems).toEqual([]);
    }));

  it('R166: from anyone else the header is ignored, and an event says so', () =>
    behind(nginx(), {}, async (api) => {
      expect((await api.call({ headers: [cert(pki.alice)], from: '127.0.0.2' })).status).toBe(401);
      expect(problems.map(({ code, message }) => [code, message])).toEqual([
        [
          'untrusted_proxy',
          expect.stringMatching(
            /x-ssl-client-cert was ignored: the request, by 127\.0\.0\.2, is not from an address/,
          ),
        ],
      ]);
    }));

  it('a stranger’s malformed header is ignored as well, not answered with 400', () =>
    behind(nginx(), {}, async (api) => {
      expect((await api.call({ headers: [['X-SSL-Client-Cert', '%']], from: '127.0.0.2' })).status).toBe(401);
    }));

  it('R167: X-Forwarded-For and Forwarded decide nothing', () =>
    behind(nginx(), {}, async (api) => {
      const claims: [string, string][] = [
        ['X-Forwarded-For', '127.0.0.1'],
        ['Forwarded', 'for=127.0.0.1'],
        ['X-Real-IP', '127.0.0.1'],
      ];
      expect((await api.call({ headers: [cert(pki.alice), ...claims], from: '127.0.0.2' })).status).toBe(401);
    }));

  it.each<[string, () => [string, string][]]>([
    ['R170: twice the same', () => [cert(pki.alice), cert(pki.alice)]],
    ['R170: twice, in unlike case', () => [cert(pki.alice), ['x-ssl-client-cert', asNginx(pki.bob)]]],
    ['R170: an empty one first', () => [['X-SSL-Client-Cert', ''], cert(pki.alice)]],
    ['two in one', () => [['X-SSL-Client-Cert', asNginx(pki.alice) + asNginx(pki.bob)]]],
    ['joined by a comma', () => [['X-SSL-Client-Cert', `${asNginx(pki.alice)}, ${asNginx(pki.bob)}`]]],
    ['another encoding', () => [['X-SSL-Client-Cert', pki.alice.der.toString('base64')]]],
    ['trailing junk', () => [['X-SSL-Client-Cert', `${asNginx(pki.alice)}junk`]]],
    ['a broken percent sign', () => [['X-SSL-Client-Cert', `${asNginx(pki.alice)}%0`]]],
    ['the placeholder of another proxy', () => [['X-SSL-Client-Cert', '(null)']]],
    ['longer than maxLength', () => [['X-SSL-Client-Cert', 'A'.repeat(16_385)]]],
  ])('malformed is 400 and an event, never "no certificate": %s', (_title, headers) =>
    behind(nginx(), {}, async (api) => {
      const asked = server.requests.length;
      expect((await api.call({ headers: headers() })).status).toBe(400);
      expect(problems.map(({ code }) => code)).toEqual(['certificate_malformed']);
      expect(problems[0]?.message).not.toContain('MII');
      expect(server.requests.length).toBe(asked);
      expect((await api.call({ headers: [cert(pki.alice)] })).status).toBe(200);
    }),
  );

  it('malformed is 400 under when-bound too: an unbound token would pass without a certificate', () =>
    behind(
      nginx(),
      {},
      async (api) => {
        expect((await api.call({ headers: [['X-SSL-Client-Cert', '%']] })).status).toBe(400);
      },
      { binding: 'when-bound' },
    ));

  it('headers that only look like it are other headers', () =>
    behind(nginx(), {}, async (api) => {
      const value = asNginx(pki.alice);
      for (const name of ['X_SSL_Client_Cert', 'X-SSL-Client-Cert2', 'SSL-Client-Cert', 'Client-Cert']) {
        expect((await api.call({ headers: [[name, value]] })).status).toBe(401);
      }
      const headers: [string, string][] = [['X_SSL_Client_Cert', asNginx(pki.bob)], cert(pki.alice)];
      expect((await api.call({ headers })).status).toBe(200);
    }));

  it('a shared secret: missing, wrong, twice and right; two of them while it is changed', async () => {
    const right: [string, string] = ['X-Proxy-Secret', secret];
    const other = 'the-next-secret-of-it';
    await behind(nginx(), { secret: { header: 'X-Proxy-Secret', value: [secret, other] } }, async (api) => {
      const status = async (...more: [string, string][]) =>
        (await api.call({ headers: [cert(pki.alice), ...more] })).status;
      expect(await status(right)).toBe(200);
      expect(await status(['x-proxy-secret', other])).toBe(200);
      expect(await status()).toBe(401);
      expect(await status(['X-Proxy-Secret', ''])).toBe(401);
      expect(await status(['X-Proxy-Secret', `${secret}x`])).toBe(401);
      expect(await status(['X-Proxy-Secret', secret.slice(0, -1)])).toBe(401);
      expect(await status(right, right)).toBe(401);
      expect(problems.map(({ message }) => message)).toEqual(
        [
          ...Array(2).fill(/lacks the shared secret; is it set in the same block/),
          ...Array(2).fill(/has another shared secret than the option secret; do the proxy and this API/),
          /has the header of the shared secret more than once/,
        ].map((text) => expect.stringMatching(text)),
      );
      expect(problems.every(({ message }) => !message.includes(secret))).toBe(true);
      // The secret opens nothing by itself: the address must be right too.
      expect((await api.call({ headers: [cert(pki.alice), right], from: '127.0.0.2' })).status).toBe(401);
    });
  });

  it.each<[string, ProxyHeaderOptions['trust'], string, number]>([
    ['a name', 'loopback', '127.0.0.9', 200],
    ['a CIDR', ['10.0.0.0/8', '127.0.0.0/30'], '127.0.0.3', 200],
    ['a CIDR that it is not in', ['127.0.0.0/30'], '127.0.0.4', 401],
    ['private networks, which the loopback is not', ['uniquelocal', 'linklocal'], '127.0.0.1', 401],
    ['a unix socket, which this is not', 'unix', '127.0.0.1', 401],
    ['IPv6 alone', '::1', '127.0.0.1', 401],
    ['a predicate', (address) => address === '127.0.0.5', '127.0.0.5', 200],
    ['a predicate that says no', (address) => address === '127.0.0.5', '127.0.0.6', 401],
    ['a predicate that says something else than true', () => 'yes' as never, '127.0.0.1', 401],
    ['a predicate that promises', (async () => true) as never, '127.0.0.1', 503],
    [
      'a predicate that throws',
      () => {
        throw new Error('oops');
      },
      '127.0.0.1',
      503,
    ],
  ])('trust by %s', (_title, trust, from, status) =>
    behind(nginx(), { trust }, async (api) => {
      expect((await api.call({ headers: [cert(pki.alice)], from })).status).toBe(status);
    }),
  );

  it('trust by a CIDR of IPv4, the socket speaking IPv6', () =>
    behind(
      nginx(),
      { trust: '127.0.0.0/8' },
      async (api) => {
        expect((await api.call({ headers: [cert(pki.alice)] })).status).toBe(200);
      },
      {},
      { host: '::ffff:127.0.0.1' },
    ));

  it.each<[ProxyHeaderOptions['trust'], number]>([
    ['unix', 200],
    [['unix', '10.0.0.1'], 200],
    ['loopback', 401],
  ])('over a unix socket, trusting %s: %s', async (trust, status) => {
    const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
    try {
      await behind(
        nginx(),
        { trust },
        async (api) => {
          expect((await api.call({ headers: [cert(pki.alice)] })).status).toBe(status);
        },
        {},
        { path: join(folder, 'api.sock') },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('R180: the hop is mutual TLS: the proxy’s certificate opens, and is never taken for the client’s', async () => {
    const source = proxyHeader(nginx(), { trust: 'loopback', proxyCertificate: [pki.bob.thumbprint] });
    const { listener } = createApi(framework, optionsFor(source));
    const { createServer: createTlsServer } = await import('node:https');
    const api = createTlsServer(mutualTls(pki), listener);
    const port = await listen(api);
    const status = (hop: Identity | undefined, token: string, headers: Record<string, string>) =>
      new Promise<number | undefined>((resolve, reject) => {
        httpsRequest(
          `https://127.0.0.1:${port}`,
          {
            ca: pki.ca.cert,
            cert: hop?.cert,
            key: hop?.key,
            agent: false,
            headers: { authorization: `Bearer ${token}`, ...headers },
          },
          (response) => {
            response.resume();
            resolve(response.statusCode);
          },
        )
          .on('error', reject)
          .end();
      });
    const header = { 'x-ssl-client-cert': asNginx(pki.alice) };
    try {
      expect(await status(pki.bob, 'alice', header)).toBe(200);
      expect(await status(pki.bob, 'bob', {})).toBe(401);
      expect(await status(pki.alice, 'alice', header)).toBe(401);
      expect(await status(undefined, 'alice', header)).toBe(401);
      expect(problems.map(({ message }) => message)).toEqual(
        Array(2).fill(expect.stringContaining('proxyCertificate')),
      );
    } finally {
      await close(api);
    }
  });

  it('R174: what was chosen by the header says so in Vary, and a refusal is not stored', () =>
    behind(nginx(), {}, async (api) => {
      const granted = await api.call({ headers: [cert(pki.alice)] });
      expect(granted.headers.vary?.toLowerCase()).toContain('x-ssl-client-cert');
      const refused = await api.call({ headers: [cert(pki.bob)] });
      expect(refused.headers['cache-control']).toBe('no-store');
    }));

  it('R28: one kept-alive connection carries several clients in turn', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await behind(nginx(), {}, async (api) => {
      const statuses = [];
      for (const who of [pki.alice, pki.bob, pki.alice, undefined, pki.alice]) {
        const headers = who === undefined ? [] : [cert(who)];
        statuses.push((await api.call({ headers, agent })).status);
      }
      expect(statuses).toEqual([200, 401, 200, 401, 200]);
    });
    agent.destroy();
  });

  it('R173: Client-Cert-Chain is not looked at', () =>
    behind(rfc9440(), {}, async (api) => {
      const headers: [string, string][] = [
        ['Client-Cert', `:${pki.alice.der.toString('base64')}:`],
        ['Client-Cert-Chain', 'garbage'],
        ['Client-Cert-Chain', ':AA==:'],
      ];
      expect((await api.call({ headers })).status).toBe(200);
    }));

  it('R177: a header of 12 kB passes', () =>
    behind(
      customHeader({
        header: 'X-Cert',
        decode: (value) => Buffer.from(value.trim().slice(0, -12_000), 'base64'),
      }),
      {},
      async (api) => {
        const headers: [string, string][] = [
          ['X-Cert', pki.alice.der.toString('base64') + 'x'.repeat(12_000)],
        ];
        expect((await api.call({ headers })).status).toBe(200);
      },
    ));

  it('R171 R172: a decoder of one’s own runs once for a certificate, however often it comes', async () => {
    const decode = vi.fn((value: string) => Buffer.from(value, 'base64'));
    await behind(customHeader({ header: 'X-Cert', decode }), {}, async (api) => {
      for (let i = 0; i < 5; i += 1) {
        const headers: [string, string][] = [['X-Cert', pki.alice.der.toString('base64')]];
        expect((await api.call({ headers })).status).toBe(200);
      }
    });
    expect(decode).toHaveBeenCalledTimes(1);
  });
});

describe('every preset', () => {
  const presets: Record<string, () => ProxyPreset> = {
    nginx: () => nginx({ verifyHeader: 'x-ssl-client-verify' }),
    uniIdLibra: core.uniIdLibra,
    ingressNginx: core.ingressNginx,
    haproxy,
    apache: core.apache,
    caddy: core.caddy,
    envoy: core.envoy,
    istio: core.istio,
    traefik: core.traefik,
    awsAlb: core.awsAlb,
    googleCloud: core.googleCloud,
    azureAppService: core.azureAppService,
    azureApplicationGateway: core.azureApplicationGateway,
    cloudflare: core.cloudflare,
    f5: core.f5,
    kong: core.kong,
    rfc9440,
    custom: () => customHeader({ header: 'x-mine', decode: (value) => Buffer.from(value, 'base64') }),
  };

  const spellings = fc.tuple(
    fc.constantFrom<(name: string) => string>(
      (name) => name,
      (name) => name.toUpperCase(),
      (name) => name.replaceAll('-', '_'),
      (name) => name.replace(/^./, (first) => first.toUpperCase()),
    ),
    fc.integer({ min: 1, max: 3 }),
    fc.boolean(),
    fc.constantFrom('10.0.0.1', '192.168.1.1', '203.0.113.9', '::1', 'fe80::1', '::ffff:10.0.0.1', undefined),
  );

  const values = (): string[] => {
    const { der, cert } = pki.alice;
    return [
      der.toString('base64'),
      `:${der.toString('base64')}:`,
      encodeURIComponent(cert),
      cert.replaceAll('\n', ' '),
      `Hash=${createHash('sha256').update(der).digest('hex')};Cert="${encodeURIComponent(cert)}"`,
    ];
  };

  it.each(Object.entries(presets))(
    'R165 R166: sent straight to the API by an untrusted peer, the header of %s never authenticates',
    (_name, make) => {
      const preset = make();
      const source = proxyHeader(preset, { trust: ['127.0.0.1', 'unix'] });
      fc.assert(
        fc.property(
          spellings,
          fc.constantFrom(...values()),
          ([spell, times, withVerdict, remoteAddress], value) => {
            const lines = Array.from({ length: times }, () => [spell(preset.header), value]).flat();
            const verdict = withVerdict && preset.verdict ? [preset.verdict.header, 'SUCCESS'] : [];
            const socket = { remoteAddress, destroyed: false, server: { address: () => ({ port: 1 }) } };
            expect(
              source({ socket, rawHeaders: [...lines, ...verdict], headers: {} } as never),
            ).toBeUndefined();
          },
        ),
        runs(300),
      );
    },
  );

  it.each(Object.entries(presets))('sent by the trusted proxy, the header of %s does', (_name, make) => {
    const preset = make();
    const source = proxyHeader(preset, { trust: '127.0.0.1' });
    const socket = { remoteAddress: '127.0.0.1', destroyed: false };
    const found = values().map((value) => {
      try {
        return source({ socket, rawHeaders: [preset.header, value], headers: {} } as never)?.thumbprint;
      } catch {
        return undefined;
      }
    });
    expect(found).toContain(pki.alice.thumbprint);
  });

  it('a TCP connection whose client has gone is not taken for a unix socket', () => {
    const source = proxyHeader(nginx(), { trust: 'unix' });
    const rawHeaders = ['x-ssl-client-cert', asNginx(pki.alice)];
    const on = (socket: object) => source({ socket, rawHeaders, headers: {} } as never);
    expect(
      on({ remoteAddress: undefined, destroyed: false, server: { address: () => '/run/api.sock' } }),
    ).toBeDefined();
    expect(
      on({ remoteAddress: undefined, destroyed: true, server: { address: () => '/run/api.sock' } }),
    ).toBeUndefined();
    expect(
      on({ remoteAddress: undefined, destroyed: false, server: { address: () => ({ port: 1 }) } }),
    ).toBeUndefined();
    expect(
      on({ remoteAddress: undefined, destroyed: false, server: { address: () => null } }),
    ).toBeUndefined();
    expect(on({ remoteAddress: undefined, destroyed: false })).toBeUndefined();
  });
});

describe('the source alone', () => {
  interface Peer {
    readonly remoteAddress?: string;
    readonly encrypted?: boolean;
    readonly getProtocol?: () => string;
    readonly getPeerX509Certificate?: () => unknown;
  }
  const proxy: Peer = { remoteAddress: '127.0.0.1' };
  const requestOf = (rawHeaders: readonly string[], socket: Peer | undefined = proxy) =>
    ({ socket, rawHeaders, headers: {} }) as never;
  const bytesOf = (value: string) => Buffer.from(value, 'base64');
  const asBase64 = () => pki.alice.der.toString('base64');
  /** Its certificate, padded with what the decoder leaves out. */
  const ofLength = (length: number) => asBase64().padEnd(length, '.');
  const padded = (options: Partial<ProxyHeaderOptions> = {}) =>
    proxyHeader(
      customHeader({ header: 'X-Cert', decode: (value) => bytesOf(value.replaceAll('.', '')), name: 'ours' }),
      { trust: '127.0.0.1', ...options },
    );
  const refusalOf = (run: () => unknown) => {
    try {
      return run();
    } catch (thrown) {
      const { code, status, detail } = thrown as core.RequestRefused;
      return { code, status, detail };
    }
  };

  it.each<[string, () => readonly string[], string | RegExp]>([
    ['repeated', () => ['X-Cert', asBase64(), 'x-cert', asBase64()], 'it came several times'],
    ['too long', () => ['X-Cert', ofLength(16_385)], 'it is longer than maxLength'],
    ['no certificate', () => ['X-Cert', 'AAAA'], 'not exactly one DER certificate'],
  ])('a header that is %s: log and event say why, of which header and of which preset', (_, lines, why) => {
    expect(refusalOf(() => padded()(requestOf(lines())))).toEqual({
      code: 'certificate_malformed',
      status: 400,
      detail: `x-cert: ${why}`,
    });
    expect(problems).toEqual([
      { code: 'certificate_malformed', message: `x-cert from the proxy, read as ours() writes it: ${why}` },
    ]);
  });

  it.each<[string, number | undefined, number, boolean]>([
    ['16,384 characters', undefined, 16_384, true],
    ['one more', undefined, 16_385, false],
    ['as many as maxLength', 8_000, 8_000, true],
    ['one more than maxLength', 8_000, 8_001, false],
    ['more than the default, which maxLength permits', 20_000, 20_000, true],
  ])('the length of a header: %s', (_, maxLength, length, passes) => {
    const source = padded(maxLength === undefined ? {} : { maxLength });
    const read = refusalOf(() => source(requestOf(['X-Cert', ofLength(length)])));
    expect(read).toMatchObject(
      passes ? { thumbprint: pki.alice.thumbprint } : { detail: 'x-cert: it is longer than maxLength' },
    );
  });

  it('maxEntries: so many certificates are remembered, and no more', () => {
    const decode = vi.fn(bytesOf);
    const source = proxyHeader(customHeader({ header: 'x-cert', decode }), {
      trust: '127.0.0.1',
      maxEntries: 1,
    });
    const [alice, bob] = [pki.alice, pki.bob].map(({ der }) => requestOf(['x-cert', der.toString('base64')]));
    for (const req of [alice, alice, bob, bob, alice]) {
      source(req as never);
    }
    expect(decode).toHaveBeenCalledTimes(3);
  });

  it('a hash alone is a certificate of which no more is known', () => {
    const source = proxyHeader(core.envoy(), { trust: '127.0.0.1' });
    const hash = Buffer.from(pki.alice.thumbprint, 'base64url').toString('hex');
    const read = source(requestOf(['X-Forwarded-Client-Cert', `Hash=${hash}`]));
    expect([read?.thumbprint, read?.der, read?.verified]).toEqual([
      pki.alice.thumbprint,
      undefined,
      undefined,
    ]);
    expect(() => read?.x509).toThrow(new TypeError("the proxy hands on the certificate's hash alone"));
  });

  it('a verdict that is missing or repeated is not a good one, whatever the preset makes of it', () => {
    const isVerified = vi.fn((value: string) => value !== 'NONE');
    const preset = { ...haproxy(), verdict: { header: 'x-verdict', isVerified } };
    const source = proxyHeader(preset, { trust: '127.0.0.1' });
    const verified = (...lines: string[]) =>
      source(requestOf(['X-SSL-Client-Cert', asBase64(), ...lines]))?.verified;
    expect(verified('X-Verdict', 'GOOD')).toBe(true);
    expect(verified('X-Verdict', 'NONE')).toBe(false);
    expect(verified()).toBe(false);
    expect(verified('X-Verdict', 'GOOD', 'X-Verdict', 'GOOD')).toBe(false);
    expect(isVerified).toHaveBeenCalledTimes(2);
  });

  it.each<[string, () => ProxyPreset, boolean, boolean | undefined]>([
    ['verdicts in a header', () => nginx({ verifyHeader: 'x-verdict' }), true, false],
    ['no header of a verdict named', nginx, false, undefined],
    ['verified certificates alone', () => core.awsAlb({ mode: 'verify' }), true, true],
    ['any certificate, without a verdict', core.awsAlb, false, undefined],
  ])('knows whether it can tell what is verified: %s', (_, make, knowsVerified, verified) => {
    const preset = make();
    const source = proxyHeader(preset, { trust: '127.0.0.1' });
    expect([source.header, source.knowsVerified]).toEqual([preset.header, knowsVerified]);
    expect(source(requestOf([preset.header, asNginx(pki.alice)]))?.verified).toBe(verified);
  });

  const withSecret = { secret: { header: 'X-Proxy-Secret', value: secret } };
  const withCertificate = () => ({ proxyCertificate: [pki.proxy.thumbprint] });
  const hopOf = ({ der }: Identity): Peer => ({
    ...proxy,
    encrypted: true,
    getProtocol: () => 'TLSv1.3',
    getPeerX509Certificate: () => ({ raw: der }),
  });
  const faults = {
    address: 'is not from an address that trust names',
    wrongSecret:
      'has another shared secret than the option secret; do the proxy and this API have the same value?',
    secret: 'lacks the shared secret; is it set in the same block of the proxy as the certificate header?',
    certificate: 'came over a connection without one of the proxyCertificate thumbprints',
  };
  const reasons = {
    address: 'other_address',
    wrongSecret: 'wrong_secret',
    secret: 'no_secret',
    certificate: 'other_certificate',
  };
  const stranger: Peer = { remoteAddress: '192.0.2.1' };

  it.each<[keyof typeof faults, () => Partial<ProxyHeaderOptions>, () => Peer, string]>([
    ['address', () => ({}), () => stranger, '192.0.2.1'],
    ['address', () => ({}), () => ({}), 'a connection without address'],
    ['secret', () => withSecret, () => proxy, '127.0.0.1'],
    ['wrongSecret', () => withSecret, () => proxy, '127.0.0.1'],
    ['certificate', withCertificate, () => hopOf(pki.bob), '127.0.0.1'],
    ['certificate', withCertificate, () => hopOf({ ...pki.bob, der: Buffer.alloc(0) }), '127.0.0.1'],
  ])('amiss is the %s: event and hint say so, of a request with the header', (fault, options, peer, by) => {
    const source = padded(options());
    const more = fault === 'wrongSecret' ? ['X-Proxy-Secret', `${secret}x`] : [];
    const req = requestOf(['X-Cert', asBase64(), ...more], peer());
    expect(source(req)).toBeUndefined();
    expect(problems).toEqual([
      {
        code: 'untrusted_proxy',
        message: `x-cert was ignored: the request, by ${by}, ${faults[fault]}`,
      },
    ]);
    expect(source.explainMissing?.(req)).toEqual({
      code: 'proxy_not_trusted',
      reason: reasons[fault],
      text: `x-cert was ignored: the request ${faults[fault]}`,
    });
  });

  it('a request of a stranger without the header reports no problem', () => {
    expect(padded()(requestOf(['Accept', '*/*'], stranger))).toBeUndefined();
    expect(problems).toEqual([]);
  });

  it.each<[string, readonly string[], string | RegExp]>([
    [
      'the header is not there',
      [],
      'x-cert is not there: the proxy does not set it on this route, or the client sent no certificate',
    ],
    ['the header is empty', ['X-Cert', ''], 'x-cert says that the client sent none'],
  ])('the hint where a trusted proxy hands none on: %s', (_, lines, hint) => {
    expect(padded().explainMissing?.(requestOf(lines))?.text).toBe(hint);
  });

  it('a request whose connection has gone comes from no trusted address, and a function is asked about none', () => {
    const lines = ['X-Cert', asBase64()];
    const gone = { socket: undefined, rawHeaders: lines, headers: {} } as never;
    expect(padded({ trust: ['127.0.0.1', 'unix'] })(gone)).toBeUndefined();
    expect(problems.map(({ message }) => message)).toEqual([
      `x-cert was ignored: the request, by a connection without address, ${faults.address}`,
    ]);
    const trust = vi.fn(() => true);
    expect(padded({ trust })(gone)?.thumbprint).toBe(pki.alice.thumbprint);
    expect(trust).toHaveBeenCalledExactlyOnceWith(undefined, gone);
  });

  it('a unix socket alone is trusted where nothing else is named', () => {
    const source = padded({ trust: 'unix' });
    expect(source(requestOf(['X-Cert', asBase64()]))).toBeUndefined();
    const socket = { destroyed: false, server: { address: () => '/run/api.sock' } };
    expect(source(requestOf(['X-Cert', asBase64()], socket as Peer))?.thumbprint).toBe(pki.alice.thumbprint);
  });

  it('a secret given as one text, and each of a list, opens', () => {
    const lines = (value: string) => ['X-Cert', asBase64(), 'X-Proxy-Secret', value];
    const next = 'another-secret-16';
    for (const [value, presented, opens] of [
      [secret, secret, true],
      [secret, next, false],
      [[secret, next], next, true],
      ['exactly-16-chars', 'exactly-16-chars', true],
    ] as const) {
      const source = padded({ secret: { header: 'X-Proxy-Secret', value } });
      expect(source(requestOf(lines(presented))) !== undefined).toBe(opens);
    }
  });
});

describe('proxyHeader() refuses', () => {
  it.each<[string, () => unknown, string | RegExp]>([
    ['no trust', () => proxyHeader(nginx(), {} as never), mismatch('proxyHeader().trust', 'nothing')],
    ['no options', () => proxyHeader(nginx(), undefined as never), mismatch('proxyHeader()', 'undefined')],
    ['an empty list', () => proxyHeader(nginx(), { trust: [] }), mismatch('proxyHeader().trust', 'a list')],
    [
      'a name that is none',
      () => proxyHeader(nginx(), { trust: 'private' }),
      mismatch('proxyHeader().trust', 'an entry 1 that is neither an address nor a CIDR in its usual form'),
    ],
    [
      'a CIDR that is none',
      () => proxyHeader(nginx(), { trust: '10.0.0.0/99' }),
      mismatch('proxyHeader().trust', 'an entry 1 that is neither an address nor a CIDR in its usual form'),
    ],
    [
      'everyone',
      () => proxyHeader(nginx(), { trust: '0.0.0.0/0' }),
      mismatch('proxyHeader().trust', 'ranges that cover every address'),
    ],
    [
      'everyone in IPv6',
      () => proxyHeader(nginx(), { trust: ['::/0'] }),
      mismatch('proxyHeader().trust', 'ranges that cover every address'),
    ],
    ['true', () => proxyHeader(nginx(), { trust: true as never }), mismatch('proxyHeader().trust', 'true')],
    ['an empty name', () => proxyHeader(nginx(), { trust: '' }), mismatch('proxyHeader().trust', '""')],
    [
      'an empty name beside a good one',
      () => proxyHeader(nginx(), { trust: ['10.0.0.5', ''] }),
      mismatch('proxyHeader().trust', 'a list'),
    ],
    ...(
      [
        ['null for a preset', null, 'null'],
        ['the name of a preset', 'nginx', 'a string of 5 characters'],
        ['a preset without a decoder', { header: 'x-cert' }, 'an object'],
        ['a preset without a header', { decode: () => undefined }, 'an object'],
      ] as const
    ).map(([title, preset, given]): [string, () => unknown, string | RegExp] => [
      title,
      () => proxyHeader(preset as never, { trust: 'loopback' }),
      mismatch('proxyHeader(preset)', `${given}`),
    ]),
    [
      'a preset that was not called',
      () => proxyHeader(nginx as never, { trust: 'loopback' }),
      mismatch('proxyHeader(preset)', 'a function'),
    ],
    [
      'a short secret',
      () => proxyHeader(nginx(), { trust: 'loopback', secret: { header: 'x', value: 'short-314' } }),
      mismatch('proxyHeader().secret.value', 'a value of type string'),
    ],
    ...(
      [
        ['15 characters', 'only-15-letters'],
        ['blanks within', 'a secret of five words'],
        ['a blank before it', ` ${secret}`],
        ['a line feed behind it', `${secret}\n`],
        ['letters beyond ASCII', 'ein-schlüssel-für-alle'],
        ['no text', 1_234_567_890_123_456],
        ['an empty list', []],
        ['a list with a short one', [secret, 'short']],
      ] as const
    ).map(([title, value]): [string, () => unknown, string | RegExp] => [
      `a secret of ${title}`,
      () => proxyHeader(nginx(), { trust: 'loopback', secret: { header: 'x', value: value as never } }),
      mismatch('proxyHeader().secret.value', `a value of type ${typeof value}`),
    ]),
    [
      'an unknown member of secret',
      () =>
        proxyHeader(nginx(), {
          trust: 'loopback',
          secret: { header: 'x', value: secret, name: 'y' } as never,
        }),
      mismatch('proxyHeader().secret', 'a name of 4 characters'),
    ],
    [
      'a secret without header',
      () => proxyHeader(nginx(), { trust: 'loopback', secret: { value: secret } as never }),
      mismatch('proxyHeader().secret.header', 'nothing'),
    ],
    [
      'a thumbprint that is none',
      () => proxyHeader(nginx(), { trust: 'loopback', proxyCertificate: ['AB:CD'] }),
      mismatch('proxyHeader().proxyCertificate', 'a list'),
    ],
    [
      'a thumbprint that is not the one text of its bytes',
      () => proxyHeader(nginx(), { trust: 'loopback', proxyCertificate: [`${'A'.repeat(42)}B`] }),
      mismatch('proxyHeader().proxyCertificate', 'a list'),
    ],
    [
      'an unknown option',
      () => proxyHeader(nginx(), { trust: 'loopback', trusted: 1 } as never),
      mismatch('proxyHeader().trusted', 'an unknown one'),
    ],
    [
      'a length that is none',
      () => proxyHeader(nginx(), { trust: 'loopback', maxLength: 1 }),
      mismatch('proxyHeader().maxLength', '1'),
    ],
    [
      'no entries',
      () => proxyHeader(nginx(), { trust: 'loopback', maxEntries: 0 }),
      mismatch('proxyHeader().maxEntries', '0'),
    ],
  ])('%s', (_title, make, message) => {
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(message);
  });
});
