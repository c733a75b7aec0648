import { Buffer } from 'node:buffer';
import { createServer } from 'node:http';
import KeyvRedis from '@keyv/redis';
import {
  type CertificateSource,
  ClientCertificate,
  haproxy,
  jwtAccessTokens,
  nginx,
  proxyHeader,
  type ResourceServerOptions,
  thumbprintOf,
  tlsClientAuth,
  tlsSocket,
} from '@mtls-bound/core';
import Keyv from 'keyv';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Arrival } from '../../../packages/core/src/doctor/arrival.js';
import type { Finding } from '../../../packages/core/src/doctor/finding.js';
import { createListener, listenerHeader } from '../../../packages/core/src/doctor/listener.js';
import { checkAll } from '../../../packages/core/src/doctor/main.js';
import { type ProbeOptions, probe } from '../../../packages/core/src/doctor/probe.js';
import { audience } from '../../support/audience.js';
import { type Forward, startCarelessProxy } from '../../support/careless-proxy.js';
import { authority } from '../../support/chains.js';
import { answer, goodClaims, goodMetadata } from '../../support/faulty-server.js';
import { problemsOf } from '../../support/findings.js';
import { close, listen } from '../../support/loopback.js';
import type { Identity } from '../../support/pki.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  server.metadata = answer(200, goodMetadata(server.issuer));
  introspectionKnows({});
});

const token = 'a-good-token';

/** Of one token alone, as a real server does. */
function introspectionKnows(changes: Record<string, unknown>): void {
  const good = answer(200, goodClaims(server.issuer, pki.alice.thumbprint, changes));
  server.introspection = (req, res, body) => {
    const isKnown = new URLSearchParams(body).get('token') === token;
    return (isKnown ? good : answer(200, { active: false }))(req, res, body);
  };
}

const options = (): ResourceServerOptions => ({
  issuer: server.issuer,
  audience,
  clientId: 'api',
  clientSecret: 'a secret of the api',
  http: { ca: pki.ca.cert },
});

const checked = (changes: ResourceServerOptions = {}, identity: Identity = pki.alice): Promise<Finding[]> =>
  checkAll({ ...options(), ...changes }, {}, { token, certificate: new ClientCertificate(identity.der) });

/** What a probe finds, with our own listener behind the proxy. */
async function probed(
  forward: Forward,
  source: CertificateSource = proxyHeader(nginx(), { trust: 'loopback' }),
  more: Partial<ProbeOptions> & {
    readonly tls?: object;
    readonly isDirect?: true;
    readonly onArrival?: (arrival: Arrival) => void;
  } = {},
): Promise<Finding[]> {
  const { tls, isDirect, onArrival = () => undefined, ...rest } = more;
  const listener = createListener({ source, onArrival });
  const port = await listen(listener);
  const proxy = await startCarelessProxy(pki, port, forward, tls);
  const { cert, key } = pki.alice;
  try {
    const direct = isDirect && { direct: new URL(`http://127.0.0.1:${port}/`) };
    return await probe({ url: proxy.url, cert, key, ca: pki.ca.cert, ...direct, ...rest });
  } finally {
    await proxy.close();
    await close(listener);
  }
}

const header = 'x-ssl-client-cert';
const pemOf = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
const escaped = (der: Buffer | undefined): string =>
  der === undefined ? '' : encodeURIComponent(pemOf(der));
/** As a proxy should: always set, whatever the client sent. */
const careful: Forward = (headers, der) => ({ ...headers, [header]: escaped(der) });

// Each seeded in what is otherwise good, and found alone.
describe('finds', () => {
  it.each<[string, string, RegExp, () => Promise<Finding[]>]>([
    [
      'a wrong issuer',
      'wrong_issuer',
      /server's own spelling/,
      () => checked({ issuer: `${server.issuer}/tenant` }),
    ],
    [
      'a wrong secret',
      'wrong_credentials',
      /check clientId, the secret/,
      () => {
        server.introspection = answer(401, { error: 'invalid_client' });
        return checked();
      },
    ],
    [
      'no common algorithm of DPoP proofs',
      'dpop_algorithms_differ',
      /dpop\.algorithms/,
      () => {
        const metadata = goodMetadata(server.issuer);
        server.metadata = answer(200, { ...metadata, dpop_signing_alg_values_supported: ['RS256'] });
        return checked({ dpop: { origin: 'https://api.example.com' } });
      },
    ],
    [
      'a proxy that is not trusted',
      'proxy_not_trusted',
      /let trust name the proxy's address \(127\.0\.0\.1\)/,
      () => probed(careful, proxyHeader(nginx(), { trust: '10.0.0.0/8' })),
    ],
    [
      'a header that the proxy does not overwrite',
      'header_not_overwritten',
      /let the proxy set x-ssl-client-cert on every request/,
      () => probed((headers, der) => (der === undefined ? headers : careful(headers, der))),
    ],
    ...([true, false] as const).map((withCertificate): [string, string, RegExp, () => Promise<Finding[]>] => [
      `a verdict that the proxy does not overwrite ${withCertificate ? 'with' : 'without'} a certificate`,
      'verdict_not_overwritten',
      /let the proxy set x-ssl-client-verify on every request/,
      () =>
        probed(
          (headers, der) => ({
            ...careful(headers, der),
            ...((der === undefined) === withCertificate && { 'x-ssl-client-verify': 'NONE' }),
          }),
          proxyHeader(nginx({ verifyHeader: 'X-SSL-Client-Verify' }), { trust: 'loopback' }),
        ),
    ]),
    [
      'a header that is cut off',
      'header_truncated',
      /raise the limits for headers/,
      () => probed((headers, der) => ({ ...headers, [header]: escaped(der).slice(0, -200) })),
    ],
    [
      'a header in base64 that is cut off',
      'header_truncated',
      /raise the limits for headers/,
      () =>
        probed(
          (headers, der) => ({ ...headers, [header]: der?.toString('base64').slice(0, -200) ?? '' }),
          proxyHeader(haproxy(), { trust: 'loopback' }),
        ),
    ],
    [
      'a wrong encoding',
      'wrong_encoding',
      /as haproxy\(\) or .*traefik\(\{ header: 'x-ssl-client-cert' \}\) reads it: use that preset/,
      () => probed((headers, der) => ({ ...headers, [header]: der?.toString('base64') ?? '' })),
    ],
    [
      'a server that writes no cnf',
      'no_cnf',
      /turn certificate-bound access tokens on/,
      () => {
        const { tls_client_certificate_bound_access_tokens: _, ...rest } = goodMetadata(server.issuer);
        server.metadata = answer(200, rest);
        introspectionKnows({ cnf: undefined });
        return checked();
      },
    ],
    [
      'a client whose tokens are not bound',
      'unbound_client',
      /register the client with tls_client_certificate_bound_access_tokens/,
      () => {
        introspectionKnows({ cnf: undefined });
        return checked();
      },
    ],
    [
      'clocks that are five minutes apart',
      'clock_skew',
      /NTP/,
      () => {
        const date = new Date(Date.now() + 300_000).toUTCString();
        server.metadata = answer(200, goodMetadata(server.issuer), { date });
        return checked();
      },
    ],
    [
      'a certificate of our own that has expired',
      'own_certificate_expired',
      /renew it/,
      () => {
        const { clientSecret: _, ...rest } = options();
        const { cert, key } = pki.expired;
        const sample = { token, certificate: new ClientCertificate(pki.alice.der) };
        return checkAll({ ...rest, clientAuthentication: tlsClientAuth({ cert, key }) }, {}, sample);
      },
    ],
    [
      'a private certificate authority that no option names',
      'private_ca_missing',
      /http\.ca.*MTLS_BOUND_CA_FILE/,
      () => checked({ http: {} }),
    ],
    [
      'another certificate authority than the option names',
      'private_ca_missing',
      /^http\.ca or MTLS_BOUND_CA_FILE, which count alone, do not name its authority: add the PEM/,
      () => checked({ http: { ca: pki.selfSignedEc.cert } }),
    ],
    [
      'plain HTTP with tlsSocket()',
      'plain_http',
      /proxyHeader\(preset, \{ trust \}\)/,
      () => probed(careful, tlsSocket()),
    ],
    [
      'a wrong audience',
      'wrong_audience',
      /set the option audience/,
      () => {
        introspectionKnows({ aud: 'https://other.example.com' });
        return checked();
      },
    ],
    [
      'TLS 1.0 that is offered',
      'old_tls',
      /TLS 1\.2 and 1\.3 alone/,
      () => probed(careful, undefined, { tls: { minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' } }),
    ],
    [
      'a Redis that is not there',
      'shared_store_unreachable',
      /check the address, the credentials and the rights of sharedCache\.store/,
      async () => {
        const redis = new KeyvRedis({ url: 'redis://127.0.0.1:1', socket: { reconnectStrategy: false } });
        const store = new Keyv({ store: redis });
        return checked({ sharedCache: { store, secret: 's'.repeat(32) } });
      },
    ],
    [
      'a channel for revocations that is not there',
      'revocation_channel_unreachable',
      /check the address and credentials of revocations\.channel; until then answers are cached for 7 s only/,
      () => {
        const gone = async (): Promise<never> => {
          throw new Error('ECONNREFUSED');
        };
        return checked({
          revocations: {
            channel: { publish: gone, subscribe: gone },
            secret: 's'.repeat(32),
            maxAgeWhileUnsynced: 7,
          },
        });
      },
    ],
    [
      'an API that believes anyone',
      'believes_anyone',
      /trust name the proxy's address alone/,
      () => probed(careful, undefined, { isDirect: true }),
    ],
    [
      'another certificate than the one of the token',
      'certificate_mismatch',
      /present the certificate with which the client got the token/,
      () => checked({}, pki.bob),
    ],
    [
      'a proxy that hands on the intermediate',
      'intermediate_forwarded',
      /the client's own certificate/,
      () => probed((headers, der) => ({ ...headers, [header]: escaped(der && pki.ca.der) })),
    ],
  ])('%s', async (_, code, fix, run) => {
    expect(problemsOf(await run())).toEqual([[code, expect.stringMatching(fix)]]);
  });
});

describe('with JWT access tokens', () => {
  const jwt = (changes: ResourceServerOptions = {}) =>
    checkAll(
      { issuer: server.issuer, audience, tokens: jwtAccessTokens(), http: { ca: pki.ca.cert }, ...changes },
      {},
      { token: undefined, certificate: undefined },
    );

  it('looks for the keys', async () => {
    server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
    server.introspection = answer(200, { keys: [] });
    const found = await jwt();
    expect(found.map(({ status, code }) => [status, code])).toEqual([
      ['ok', 'server_tls'],
      ['ok', 'clock'],
      ['ok', 'keys'],
    ]);
    expect(server.requests.at(-1)?.url).toBe('/jwks');
  });

  it('finds a wrong issuer, and a server without keys', async () => {
    expect(problemsOf(await jwt({ issuer: `${server.issuer}/tenant` }))).toEqual([
      ['wrong_issuer', expect.stringMatching(/spelling/)],
    ]);
    expect(problemsOf(await jwt())).toEqual([
      ['wrong_issuer', expect.stringMatching(/check the option issuer/)],
    ]);
  });
});

it('forges the verdict where its header is named, and finds that it is overwritten', async () => {
  const verdict = (der: Buffer | undefined) => ({ 'x-ssl-client-verify': der ? 'SUCCESS' : 'NONE' });
  const source = proxyHeader(nginx({ verifyHeader: 'X-SSL-Client-Verify' }), { trust: 'loopback' });
  const probes = await probed((headers, der) => ({ ...careful(headers, der), ...verdict(der) }), source);
  expect(probes.map(({ status, code }) => [status, code])).toEqual([
    ['ok', 'certificate_forwarded'],
    ['ok', 'header_overwritten'],
    ['ok', 'verdict_overwritten'],
    ['ok', 'tls_versions'],
  ]);
});

describe('a client whose own certificate says CA:TRUE', async () => {
  const root = await authority('CN=client');
  const below = await authority('CN=client below', root);
  const arrived = (found: readonly Finding[]) =>
    found.filter(({ code }) => code !== 'no_certificate').map(({ status, code }) => `${status} ${code}`);

  it.each([
    [
      'self-signed, as openssl req -x509 makes it',
      root,
      ['ok certificate', 'warning intermediate_forwarded'],
    ],
    ['issued by another', below, ['ok certificate', 'problem intermediate_forwarded']],
  ])('%s: a probe finds that it arrives', async (_title, { cert, key }, shown) => {
    const found: Finding[] = [];
    const onArrival = ({ findings }: Arrival) => found.push(...findings);
    const probes = await probed(careful, undefined, { cert, key, onArrival });
    expect(arrived(probes)).toEqual(['ok certificate_forwarded', 'ok header_overwritten', 'ok tls_versions']);
    expect(arrived(found)).toEqual(shown);
  });

  it('another problem is found next to it', async () => {
    const { cert, key } = root;
    const forged: Forward = (headers, der) => (der === undefined ? headers : careful(headers, der));
    expect(problemsOf(await probed(forged, undefined, { cert, key }))).toEqual([
      ['header_not_overwritten', expect.anything()],
    ]);
  });

  it.each([
    ['a root', () => pki.ca.der],
    ['an intermediate', () => Buffer.from(below.der)],
  ])('%s arrives in its place', async (_title, forwarded) => {
    const { cert, key } = root;
    const forward: Forward = (headers, der) => ({ ...headers, [header]: escaped(der && forwarded()) });
    expect(problemsOf(await probed(forward, undefined, { cert, key }))).toEqual([
      ['intermediate_forwarded', expect.stringMatching(/the client's own certificate/)],
    ]);
  });

  it('where Node ends TLS, no proxy can have chosen it', async () => {
    const found: Finding[] = [];
    const tls = { cert: pki.server.cert, key: pki.server.key };
    const onArrival = ({ findings }: Arrival) => found.push(...findings);
    const listener = createListener({ source: tlsSocket(), tls, onArrival });
    const url = new URL(`https://127.0.0.1:${await listen(listener)}/`);
    try {
      for (const { cert, key } of [root, below]) {
        expect(problemsOf(await probe({ url, cert, key, ca: pki.ca.cert }))).toEqual([]);
      }
    } finally {
      await close(listener);
    }
    expect(arrived(found)).toEqual(expect.arrayContaining(['ok certificate', 'ok certificate']));
    expect(new Set(arrived(found))).toEqual(new Set(['ok certificate']));
  });

  it('the token of another client: no proxy is blamed', async () => {
    const found = await checkAll(options(), {}, { token, certificate: new ClientCertificate(root.der) });
    expect(problemsOf(found)).toEqual([
      ['certificate_mismatch', 'present the certificate with which the client got the token'],
    ]);
  });
});

it.each([
  ['with certificate and token', { token: 'a-token' }],
  ['with the certificate and without a token', {}],
])('says what it sent: %s', async (sent, given) => {
  const gateway = createServer((_req, res) => res.writeHead(502).end());
  const port = await listen(gateway as never);
  const { cert, key } = pki.alice;
  try {
    const found = await probe({ url: new URL(`http://127.0.0.1:${port}/`), cert, key, ...given });
    expect(problemsOf(found)).toEqual([['api_not_reached', expect.anything()]]);
    expect(found[0]?.message).toBe(`${sent} 127.0.0.1:${port} answers 502`);
  } finally {
    await close(gateway as never);
  }
});

it('ends a request whose answer drips and never ends', async () => {
  const timers: NodeJS.Timeout[] = [];
  const dripping = createServer((_req, res) => {
    res.writeHead(200, { [listenerHeader]: '1' });
    timers.push(setInterval(() => res.write(' '), 10));
  });
  const port = await listen(dripping as never);
  const { cert, key } = pki.alice;
  try {
    const found = await probe({ url: new URL(`http://127.0.0.1:${port}/`), cert, key, timeoutMs: 200 });
    expect(problemsOf(found)).toEqual([['unreachable', expect.anything()]]);
    expect(found[0]?.message).toContain('no whole answer within 0.2 s');
  } finally {
    for (const timer of timers) {
      clearInterval(timer);
    }
    await close(dripping as never);
  }
});

describe('a listener shows what is read, and no secret', () => {
  const value = 'the-secret-of-the-proxy-27182';
  const options = { trust: 'loopback', secret: { header: 'X-MTLS-Proxy-Key', value } };
  it.each<[string, CertificateSource | undefined, Record<string, string>]>([
    ['of the options', proxyHeader(nginx(), options), { 'X-MTLS-Proxy-Key': value }],
    [
      'of the options, in a header that a preset reads',
      proxyHeader(nginx(), { ...options, secret: { header: 'X-Client-Cert', value } }),
      { 'X-Client-Cert': value },
    ],
    ['where the options are not known', undefined, { 'X-MTLS-Proxy-Key': value }],
    ['in a header that nothing reads', proxyHeader(nginx(), options), { 'X-SSL-Key': value }],
    [
      'in the header for the verdict',
      proxyHeader(nginx({ verifyHeader: 'X-SSL-Client-Verify' }), options),
      { 'X-SSL-Client-Verify': value },
    ],
    [
      'in another header that a preset reads',
      proxyHeader(nginx(), options),
      { 'X-Forwarded-Client-Cert': value },
    ],
  ])('%s', async (_title, source, headers) => {
    const shown: Arrival[] = [];
    const listener = createListener({ source, onArrival: (arrival) => shown.push(arrival) });
    const port = await listen(listener);
    try {
      const sent = { ...headers, 'X-SSL-Client-Cert': escaped(pki.alice.der) };
      const answered = await fetch(`http://127.0.0.1:${port}/`, { headers: sent });
      const text = await answered.text();
      expect(text).not.toContain(value);
      expect(JSON.stringify(shown)).not.toContain(value);
      expect(JSON.parse(text).headers).toEqual({
        ...Object.fromEntries(
          Object.keys(headers).map((name) => [
            name.toLowerCase(),
            [`(not shown): ${value.length} characters`],
          ]),
        ),
        [header]: [escaped(pki.alice.der)],
      });
    } finally {
      await close(listener);
    }
  });
});

it('finds nothing where all is well', async () => {
  const found = await checked();
  expect(problemsOf(found)).toEqual([]);
  expect(found.map(({ code }) => code)).toEqual(['server_tls', 'clock', 'introspection', 'token', 'binding']);
  const probes = await probed(careful);
  expect(probes.map(({ status, code }) => [status, code])).toEqual([
    ['ok', 'certificate_forwarded'],
    ['ok', 'header_overwritten'],
    ['ok', 'tls_versions'],
  ]);
});

describe('a listener shows the certificate in a line, and nothing next to it', () => {
  const secret = 'the-secret-of-the-proxy-27182';
  const hidden = `(not shown): ${secret.length} characters`;
  const hash = (): string => Buffer.from(thumbprintOf(pki.alice.der), 'base64url').toString('hex');

  it.each<[string, string, () => string, () => string]>([
    [
      'a verdict with a reason',
      'x-ssl-client-verify',
      () => `FAILED:${secret}`,
      () => `FAILED (not shown): ${secret.length + 1} characters`,
    ],
    ['a verdict alone', 'x-ssl-client-verify', () => 'SUCCESS', () => 'SUCCESS'],
    ['digits that are no verdict', 'x-ssl-client-verify', () => '31415', () => '(not shown): 5 characters'],
    [
      'another member of XFCC',
      'x-forwarded-client-cert',
      () => `Hash=${hash()};Subject="${secret}"`,
      () => `Hash=${hash()};[(not shown): 8 characters]"[${hidden}]"`,
    ],
    [
      'another piece of a list',
      'x-forwarded-tls-client-cert',
      () => `${pki.alice.der.toString('base64')},${secret}`,
      () => `${pki.alice.der.toString('base64')},[${hidden}]`,
    ],
    [
      'a text before PEM',
      'x-ssl-client-cert',
      () => `${secret}${escaped(pki.alice.der)}`,
      () => `[${hidden}]${escaped(pki.alice.der)}`,
    ],
    [
      'XFCC with a certificate',
      'x-forwarded-client-cert',
      () => `Hash=${hash()};Cert="${escaped(pki.alice.der)}"`,
      () => `Hash=${hash()};Cert="${escaped(pki.alice.der)}"`,
    ],
  ])('%s', async (_title, name, value, shown) => {
    const arrivals: Arrival[] = [];
    const listener = createListener({ source: undefined, onArrival: (arrival) => arrivals.push(arrival) });
    const port = await listen(listener);
    try {
      await fetch(`http://127.0.0.1:${port}/`, { headers: { [name]: value() } });
      expect(arrivals.map(({ headers }) => headers[name])).toEqual([[shown()]]);
      expect(JSON.stringify(arrivals)).not.toContain(secret);
    } finally {
      await close(listener);
    }
  });
});

describe('DPoP', () => {
  const dpop = { origin: 'https://api.example.com' };
  const codes = async (changes: ResourceServerOptions) =>
    (await checked(changes)).map(({ status, code }) => `${status} ${code}`);
  const announce = (value: unknown) => {
    server.metadata = answer(200, {
      ...goodMetadata(server.issuer),
      dpop_signing_alg_values_supported: value,
    });
  };

  it('warns if the server does not announce it, and only with the option dpop', async () => {
    expect(await codes({ dpop })).toContain('warning dpop_not_announced');
    expect((await codes({})).join()).not.toContain('dpop');
  });

  it('says which algorithms are common, and asks for none that given metadata leave out', async () => {
    announce(['ES256']);
    expect(await codes({ dpop })).toContain('ok dpop_algorithms');
    const { issuer: _, ...authorizationServerMetadata } = goodMetadata(server.issuer);
    expect((await codes({ dpop, authorizationServerMetadata })).join()).not.toContain('dpop');
  });
});
