import { createHash, X509Certificate } from 'node:crypto';
import * as core from '@mtls-bound/core';
import { ConfigurationError, type ProxyPreset } from '@mtls-bound/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';
import {
  envoyDocumentation,
  envoyRecorded,
  rfc8705AppendixA,
  rfc9440AppendixA,
  traefikCheese,
} from '../../support/vectors.js';
import { writtenValues as written } from '../../support/written-certificates.js';

const der = new X509Certificate(rfc8705AppendixA.pem).raw;
const { thumbprint } = rfc8705AppendixA;
const base64 = der.toString('base64');
const { pem } = { pem: rfc8705AppendixA.pem };
const escaped = encodeURIComponent(pem);
const toThumbprint = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url');

/** `x5t#S256`, or what else the value turned out to be. */
function outcome(preset: ProxyPreset, value: string): string {
  const decoded = preset.decode(value);
  switch (decoded.kind) {
    case 'certificate':
      return createHash('sha256').update(decoded.der).digest('base64url');
    case 'hash':
      return decoded.thumbprint;
    case 'none':
      return 'none';
    case 'malformed':
      return `malformed: ${decoded.why}`;
  }
}

describe('values as the proxies, their makers or the standards have them', () => {
  const awsStyle = escaped.replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=');
  it.each<[string, () => ProxyPreset, string, string | RegExp]>([
    ['NGINX', () => core.nginx(), escaped, thumbprint],
    ['NGINX, no certificate', () => core.nginx(), '', 'none'],
    ['Uni-ID Libra', () => core.uniIdLibra(), escaped, thumbprint],
    ['ingress-nginx', () => core.ingressNginx(), escaped, thumbprint],
    ['HAProxy', () => core.haproxy(), base64, thumbprint],
    ['HAProxy, no certificate', () => core.haproxy(), '', 'none'],
    ['Apache, line ends turned to blanks', () => core.apache(), pem.replaceAll('\n', ' '), thumbprint],
    ['R179: Apache, no certificate', () => core.apache(), '(null)', 'none'],
    [
      'Apache, escaped in lower case',
      () => core.apache({ encoding: 'escaped' }),
      escaped.replace(/%../g, (hex) => hex.toLowerCase()),
      thumbprint,
    ],
    [
      'Apache, base64 of the PEM',
      () => core.apache({ encoding: 'base64' }),
      Buffer.from(pem).toString('base64'),
      thumbprint,
    ],
    ['Apache, base64, no certificate', () => core.apache({ encoding: 'base64' }), '', 'none'],
    ['Caddy', () => core.caddy(), `:${base64}:`, thumbprint],
    [
      'Caddy, no certificate: its placeholder',
      () => core.caddy(),
      ':{http.request.tls.client.certificate_der_base64}:',
      'none',
    ],
    ['RFC 9440, Appendix A', () => core.rfc9440(), rfc9440AppendixA.leaf, rfc9440AppendixA.thumbprint],
    ['R169: RFC 9440, no padding', () => core.rfc9440(), `:${base64.replace(/=+$/, '')}:`, thumbprint],
    ['RFC 9440, nothing between the colons', () => core.rfc9440(), '::', 'none'],
    ['Google Cloud', () => core.googleCloud(), `:${base64}:`, thumbprint],
    ['Google Cloud, no certificate', () => core.googleCloud(), '', 'none'],
    [
      'Envoy’s documentation, one',
      () => core.envoy(),
      envoyDocumentation.one,
      toThumbprint(envoyDocumentation.hashes[0]),
    ],
    [
      'Envoy’s documentation, two: refused where one is expected',
      () => core.envoy(),
      envoyDocumentation.two,
      'malformed: not as many elements as proxies that write one',
    ],
    [
      'Envoy’s documentation, two: refused where one proxy appends, as the first is the client’s own',
      () => core.envoy({ forward: 'append-forward' }),
      envoyDocumentation.two,
      'malformed: not as many elements as proxies that write one',
    ],
    [
      'Envoy’s documentation, two: the outermost hop’s where two proxies append',
      () => core.envoy({ forward: 'append-forward', hops: 2 }),
      envoyDocumentation.two,
      toThumbprint(envoyDocumentation.hashes[0]),
    ],
    [
      'Envoy, one element too few: the outermost hop met no certificate',
      () => core.envoy({ forward: 'append-forward', hops: 3 }),
      envoyDocumentation.two,
      'none',
    ],
    [
      'Envoy, Hash and Cert as recorded',
      () => core.envoy(),
      `Hash=${envoyRecorded.hash};Cert="${envoyRecorded.cert}";Subject="CN=user,OU=users,O=example"`,
      toThumbprint(envoyRecorded.hash),
    ],
    [
      'Istio, as Envoy',
      () => core.istio(),
      envoyDocumentation.one,
      toThumbprint(envoyDocumentation.hashes[0]),
    ],
    ['Envoy, no certificate', () => core.envoy(), '', 'none'],
    [
      'Traefik’s own test certificate',
      () => core.traefik(),
      traefikCheese,
      createHash('sha256').update(Buffer.from(traefikCheese, 'base64')).digest('base64url'),
    ],
    ['Traefik, percent-encoded as it once was', () => core.traefik(), encodeURIComponent(base64), thumbprint],
    ['Traefik, with its chain', () => core.traefik(), `${base64},${traefikCheese}`, thumbprint],
    ['AWS, + / = left as they are', () => core.awsAlb(), awsStyle, thumbprint],
    [
      'AWS, with its chain',
      () => core.awsAlb(),
      awsStyle +
        encodeURIComponent(`-----BEGIN CERTIFICATE-----\n${traefikCheese}\n-----END CERTIFICATE-----\n`),
      thumbprint,
    ],
    ['AWS, verified', () => core.awsAlb({ mode: 'verify' }), awsStyle, thumbprint],
    [
      'AWS, verified, two',
      () => core.awsAlb({ mode: 'verify' }),
      awsStyle + awsStyle,
      'malformed: several certificates where one is expected',
    ],
    ['Azure App Service', () => core.azureAppService(), base64, thumbprint],
    ['Azure Application Gateway', () => core.azureApplicationGateway(), escaped, thumbprint],
    ['Cloudflare', () => core.cloudflare(), base64, thumbprint],
    ...written,
    ['F5', () => core.f5(), base64, thumbprint],
    ['F5, escaped', () => core.f5({ encoding: 'escaped' }), escaped, thumbprint],
    ['Kong', () => core.kong(), escaped, thumbprint],
    ['Kong, base64', () => core.kong({ encoding: 'base64' }), base64, thumbprint],
    [
      'one’s own',
      () => core.customHeader({ header: 'X-Mine', decode: (hex) => Buffer.from(hex, 'hex') }),
      der.toString('hex'),
      thumbprint,
    ],
    ['one’s own, none', () => core.customHeader({ header: 'X-Mine', decode: () => undefined }), 'x', 'none'],
  ])('%s', (_title, make, value, expected) => {
    expect(outcome(make(), value)).toBe(expected);
  });
});

describe('what is malformed is never "no certificate"', () => {
  const blank = `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
  it.each<[string, () => ProxyPreset, string]>([
    ['a percent sign that encodes nothing', () => core.nginx(), `${escaped}%`],
    ['+ turned to blank', () => core.nginx(), escaped.replaceAll('%2B', ' ')],
    ['trailing junk', () => core.nginx(), `${escaped}x`],
    ['leading junk', () => core.nginx(), `x${escaped}`],
    ['two certificates', () => core.nginx(), escaped + escaped],
    [
      'an empty block',
      () => core.nginx(),
      encodeURIComponent('-----BEGIN CERTIFICATE----------END CERTIFICATE-----'),
    ],
    ['no end', () => core.nginx(), encodeURIComponent(blank.slice(0, -20))],
    [
      'a block within a block',
      () => core.nginx(),
      encodeURIComponent(`-----BEGIN CERTIFICATE-----\n${blank}`),
    ],
    ['a private key', () => core.nginx(), encodeURIComponent(blank.replaceAll('CERTIFICATE', 'PRIVATE KEY'))],
    ['base64url', () => core.haproxy(), base64.replaceAll('+', '-').replaceAll('/', '_')],
    ['blanks within', () => core.haproxy(), `${base64.slice(0, 8)} ${base64.slice(8)}`],
    ['no padding where it belongs', () => core.haproxy(), base64.replace(/=+$/, '')],
    ['a list of two', () => core.haproxy(), `${base64}, ${base64}`],
    [
      'R171: a byte behind the DER',
      () => core.haproxy(),
      Buffer.concat([der, Buffer.from([0])]).toString('base64'),
    ],
    ['R171: a byte missing', () => core.haproxy(), der.subarray(0, -1).toString('base64')],
    [
      'R171: not a SEQUENCE',
      () => core.haproxy(),
      Buffer.concat([Buffer.from([0x31]), der.subarray(1)]).toString('base64'),
    ],
    ['R171: an indefinite length', () => core.haproxy(), Buffer.from([0x30, 0x80, 0, 0]).toString('base64')],
    [
      'R171: a length longer than needed',
      () => core.haproxy(),
      Buffer.from([0x30, 0x81, 1, 0]).toString('base64'),
    ],
    ['R169: no colons', () => core.rfc9440(), base64],
    ['R169: one colon', () => core.rfc9440(), `:${base64}`],
    ['R169: a blank', () => core.rfc9440(), `: ${base64}:`],
    ['R169: a line feed', () => core.rfc9440(), `:${base64.slice(0, 8)}\n${base64.slice(8)}:`],
    ['R169: a string', () => core.rfc9440(), `"${base64}"`],
    ['R170: a list', () => core.rfc9440(), `:${base64}:, :${base64}:`],
    ['another placeholder than Caddy’s', () => core.caddy(), ':{http.request.tls.client.subject}:'],
    ['HTML', () => core.azureAppService(), '<html>'],
    ['Envoy: a Hash of another length', () => core.envoy(), 'Hash=abc'],
    [
      'Envoy: Hash and Cert of two certificates',
      () => core.envoy(),
      `Hash=${envoyDocumentation.hashes[0]};Cert="${envoyRecorded.cert}"`,
    ],
    ['Envoy: two Certs', () => core.envoy(), `Cert="${envoyRecorded.cert}";cert="${envoyRecorded.cert}"`],
    [
      'Envoy: two Hashes',
      () => core.envoy(),
      `Hash=${envoyDocumentation.hashes[0]};Hash=${envoyDocumentation.hashes[1]}`,
    ],
    [
      'Envoy: a quote that never ends',
      () => core.envoy(),
      `Subject="CN=a;Hash=${envoyDocumentation.hashes[0]}`,
    ],
    ['Envoy: Cert without Hash', () => core.envoy(), `Cert="${envoyRecorded.cert}"`],
    ['Envoy: neither Cert nor Hash', () => core.envoy(), 'By=http://frontend.lyft.com'],
    ['Envoy: no pair', () => core.envoy(), 'nonsense'],
    [
      'Envoy: an empty element',
      () => core.envoy({ forward: 'append-forward' }),
      `${envoyDocumentation.one},`,
    ],
    ['Envoy: a Cert that is none', () => core.envoy(), 'Cert="abc"'],
    ['Traefik: a chain with a bad link', () => core.traefik(), `${base64},AAAA`],
    ['Traefik: an empty leaf', () => core.traefik(), `,${base64}`],
    [
      'AWS: a chain with a bad link',
      () => core.awsAlb(),
      `${escaped}${encodeURIComponent('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----')}`,
    ],
    [
      'one’s own decoder that throws',
      () =>
        core.customHeader({
          header: 'x',
          decode: () => {
            throw new Error('no');
          },
        }),
      'x',
    ],
    [
      'one’s own decoder that returns text',
      () => core.customHeader({ header: 'x', decode: () => 'text' as never }),
      'x',
    ],
    [
      'one’s own decoder that returns nothing',
      () => core.customHeader({ header: 'x', decode: () => Buffer.alloc(0) }),
      'x',
    ],
  ])('%s', (_title, make, value) => {
    expect(outcome(make(), value)).toMatch(/^malformed: /);
  });

  it('a quoted Subject never becomes a Cert or a Hash', () => {
    const { hashes } = envoyDocumentation;
    const withCert = `Subject="CN=x\\";By=y;Cert=z";Hash=${hashes[0]}`;
    expect(outcome(core.envoy(), withCert)).toBe(toThumbprint(hashes[0]));
    const withHash = `Subject="CN=x\\";Hash=${hashes[1]},By=y";Hash=${hashes[0]}`;
    expect(outcome(core.envoy(), withHash)).toBe('malformed: Hash= within another value');
  });
});

describe('verdicts', () => {
  it.each<[string, () => ProxyPreset, string, string[], string[]]>([
    [
      'nginx',
      () => core.nginx({ verifyHeader: 'x-ssl-client-verify' }),
      'x-ssl-client-verify',
      ['SUCCESS'],
      ['NONE', 'FAILED:self-signed certificate', '', 'success', 'SUCCESS '],
    ],
    [
      'ingressNginx',
      () => core.ingressNginx({ verifyHeader: 'ssl-client-verify' }),
      'ssl-client-verify',
      ['SUCCESS'],
      ['NONE', 'FAILED'],
    ],
    [
      'haproxy',
      () => core.haproxy({ verifyHeader: 'x-ssl-client-verify' }),
      'x-ssl-client-verify',
      ['0', 'X509_V_OK'],
      ['18', '10', '', '00', '-0', 'X509_V_ERR_CERT_HAS_EXPIRED', 'OK', 'X509_V_OK '],
    ],
    [
      'apache',
      () => core.apache({ verifyHeader: 'x-ssl-client-verify' }),
      'x-ssl-client-verify',
      ['SUCCESS'],
      ['NONE', 'GENEROUS', '(null)'],
    ],
    [
      'googleCloud',
      () => core.googleCloud({ verifyHeader: 'x-client-cert-chain-verified' }),
      'x-client-cert-chain-verified',
      ['true'],
      ['false', 'TRUE', ''],
    ],
    [
      'azureApplicationGateway',
      () => core.azureApplicationGateway({ verifyHeader: 'x-client-cert-verification' }),
      'x-client-cert-verification',
      ['SUCCESS'],
      ['FAILED:x', 'NONE'],
    ],
    [
      'cloudflare',
      () => core.cloudflare({ verifyHeader: 'cf-cert-verified' }),
      'cf-cert-verified',
      ['true'],
      ['false', ''],
    ],
    ['uniIdLibra', () => core.uniIdLibra({ verifyHeader: 'X-Verify' }), 'x-verify', ['SUCCESS'], ['NONE']],
  ])('%s', (_name, make, header, good, bad) => {
    const preset = make();
    expect(preset.verdict?.header).toBe(header);
    expect(good.every((value) => preset.verdict?.isVerified(value))).toBe(true);
    expect(bad.some((value) => preset.verdict?.isVerified(value))).toBe(false);
  });
});

describe('a preset refuses', () => {
  it.each<[string, () => unknown, string | RegExp]>([
    [
      'an unknown option',
      () => core.nginx({ headers: 'x' } as never),
      mismatch('nginx().headers', 'an unknown one'),
    ],
    [
      'a header name with an underscore',
      () => core.nginx({ header: 'x_cert' }),
      mismatch('nginx().header', 'a string of 6 characters'),
    ],
    [
      'a header name with a colon',
      () => core.haproxy({ header: 'X-Cert:' }),
      mismatch('haproxy().header', 'a string of 7 characters'),
    ],
    [
      'a verdict of a proxy that gives none',
      () => core.f5({ verifyHeader: 'x' } as never),
      mismatch('f5()', 'a name of 12 characters'),
    ],
    [
      'an encoding that is none, where there are two',
      () => core.f5({ encoding: 'der' as never }),
      mismatch('f5().encoding', 'a string of 3 characters'),
    ],
    [
      'an unknown option of F5',
      () => core.f5({ headers: 'x' } as never),
      mismatch('f5().headers', 'an unknown one'),
    ],
    [
      'an encoding that is none',
      () => core.apache({ encoding: 'der' as never }),
      mismatch('apache().encoding', 'a string of 3 characters'),
    ],
    [
      'a forward mode that can’t be trusted',
      () => core.envoy({ forward: 'forward-only' as never }),
      mismatch('envoy().forward', 'a string of 12 characters'),
    ],
    [
      'hops without append-forward',
      () => core.istio({ hops: 2 }),
      "istio().hops: expected forward: 'append-forward' next to it, got nothing there",
    ],
    ['no hops', () => core.envoy({ forward: 'append-forward', hops: 0 }), mismatch('envoy().hops', '0')],
    [
      'a mode that is none',
      () => core.awsAlb({ mode: 'off' as never }),
      mismatch('awsAlb().mode', 'a string of 3 characters'),
    ],
    [
      'an unknown option of AWS',
      () => core.awsAlb({ forward: 'x' } as never),
      mismatch('awsAlb()', 'a name of 7 characters'),
    ],
    [
      'a verdict of AWS, which gives none',
      () => core.awsAlb({ mode: 'verify', verifyHeader: 'x' } as never),
      mismatch('awsAlb()', 'a name of 12 characters'),
    ],
    [
      'no header',
      () => core.customHeader({ decode: () => undefined } as never),
      mismatch('customHeader().header', 'nothing'),
    ],
    [
      'no decoder',
      () => core.customHeader({ header: 'x' } as never),
      mismatch('customHeader().decode', 'nothing'),
    ],
    [
      'an empty name',
      () => core.customHeader({ header: 'x', decode: () => undefined, name: '' }),
      mismatch('customHeader().name', '""'),
    ],
  ])('%s', (_title, make, message) => {
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(message);
  });
});

const names = ['header'];
const verdictNames = ['header', 'verifyHeader'];
const optionsOf: Record<string, readonly string[]> = {
  nginx: verdictNames,
  uniIdLibra: verdictNames,
  ingressNginx: verdictNames,
  haproxy: [...verdictNames, 'encoding'],
  apache: [...verdictNames, 'encoding'],
  caddy: ['header', 'encoding'],
  cloudFront: ['header', 'mode', 'encoding'],
  cloudFoundry: names,
  envoy: ['header', 'forward', 'hops'],
  istio: ['header', 'forward', 'hops'],
  traefik: names,
  awsAlb: ['header', 'mode'],
  googleCloud: [...verdictNames, 'encoding'],
  azureAppService: [],
  azureApplicationGateway: [...verdictNames, 'encoding'],
  cloudflare: [...verdictNames, 'encoding'],
  f5: ['header', 'encoding'],
  kong: ['header', 'encoding'],
  rfc9440: [...verdictNames, 'isVerified', 'hasErrorNumbers', 'chainHeader'],
  customHeader: [
    'header',
    'decode',
    'name',
    'verifyHeader',
    'isVerified',
    'hasErrorNumbers',
    'thumbprintOnly',
  ],
};

it.each([
  ['rfc9440()', core.rfc9440],
  [
    'customHeader()',
    (given: core.Rfc9440Options) => core.customHeader({ header: 'x', decode: () => undefined, ...given }),
  ],
])('%s has error numbers only if the option says so, next to the header of the verdict', (path, make) => {
  const verdict = { verifyHeader: 'x-verify', isVerified: (value: string) => value === '0' };
  expect(make(verdict).verdict).not.toHaveProperty('hasErrorNumbers');
  expect(make({ ...verdict, hasErrorNumbers: false }).verdict).not.toHaveProperty('hasErrorNumbers');
  expect(make({ ...verdict, hasErrorNumbers: true }).verdict).toMatchObject({ hasErrorNumbers: true });
  expect(() => make({ hasErrorNumbers: true })).toThrow(`${path}.hasErrorNumbers`);
});

const exported = new Map<string, unknown>(Object.entries(core));

describe.each(Object.entries(optionsOf))('%s()', (name, accepted) => {
  const make = exported.get(name) as (options?: unknown) => ProxyPreset;

  it.each([null, 'x', 1, [], true])('refuses %j for its options, and names itself', (options) => {
    expect(() => make(options)).toThrow(ConfigurationError);
    expect(() => make(options)).toThrow(`${name}()`);
  });

  it('refuses each option that it does not have, and names those that it has', () => {
    const others = ['nonsense', 'header', 'verifyHeader', 'encoding', 'forward', 'hops', 'mode', 'decode'];
    for (const other of others.filter((option) => !accepted.includes(option))) {
      const refused = () => make({ [other]: 'x-cert' });
      expect(refused).toThrow(ConfigurationError);
      expect(refused).toThrow(mismatch(`${name}()`, `a name of ${other.length} characters`));
    }
  });

  it.each(accepted.filter((option) => option === 'header'))('reads the %s that it is told to', () => {
    const decode = accepted.includes('decode') && { decode: () => undefined };
    expect(make({ header: 'X-Other', ...decode }).header).toBe('x-other');
  });

  it('lets no header say that a certificate is verified, unless the option names it', () => {
    const required = name === 'customHeader' ? { header: 'x', decode: () => undefined } : {};
    expect(make(required).verdict).toBeUndefined();
  });

  it.each(accepted.filter((option) => option === 'verifyHeader'))(
    'refuses one header for certificate and %s',
    () => {
      const functions = accepted.includes('isVerified') && {
        isVerified: () => true,
        ...(name === 'customHeader' && { decode: () => undefined }),
      };
      expect(() => make({ header: 'X-Cert', verifyHeader: 'x-cert', ...functions })).toThrow(
        mismatch(`${name}().verifyHeader`, 'the header of the certificate'),
      );
    },
  );
});

it('the table of options knows each preset that is exported', () => {
  const presets = [...exported].filter(([, value]) => {
    try {
      const made = typeof value === 'function' && value();
      // psd2Roles() rejects without a certificate.
      Promise.resolve(made).catch(() => undefined);
      return typeof made === 'object' && 'decode' in made;
    } catch {
      return false;
    }
  });
  const names = presets.map(([name]) => name);
  expect(Object.keys(optionsOf).sort()).toEqual([...names, 'customHeader'].sort());
});

describe('what events call a preset, and where it looks unless told', () => {
  it.each<[string, () => ProxyPreset, string, string | undefined]>([
    ['nginx', core.nginx, 'x-ssl-client-cert', undefined],
    ['uniIdLibra', core.uniIdLibra, 'x-fapi-client-cert', undefined],
    ['ingressNginx', core.ingressNginx, 'ssl-client-cert', undefined],
    ['haproxy', core.haproxy, 'x-ssl-client-cert', undefined],
    ['apache', core.apache, 'x-ssl-client-cert', undefined],
    ['caddy', core.caddy, 'client-cert', undefined],
    ['cloudFront', core.cloudFront, 'cloudfront-viewer-cert-pem', undefined],
    ['cloudFront', () => core.cloudFront({ mode: 'verify' }), 'cloudfront-viewer-cert-pem', undefined],
    ['cloudFront', () => core.cloudFront({ mode: 'passthrough' }), 'client-cert', undefined],
    [
      'cloudFront',
      () => core.cloudFront({ mode: 'passthrough', encoding: 'sha256' }),
      'cloudfront-viewer-cert-sha256',
      undefined,
    ],
    ['cloudFoundry', core.cloudFoundry, 'x-forwarded-client-cert', undefined],
    ['googleCloud', () => core.googleCloud({ encoding: 'sha256' }), 'x-client-cert-hash', undefined],
    ['cloudflare', () => core.cloudflare({ encoding: 'rfc9440' }), 'client-cert', undefined],
    ['envoy', core.envoy, 'x-forwarded-client-cert', undefined],
    ['istio', core.istio, 'x-forwarded-client-cert', undefined],
    ['traefik', core.traefik, 'x-forwarded-tls-client-cert', undefined],
    ['awsAlb', core.awsAlb, 'x-amzn-mtls-clientcert', undefined],
    ['awsAlb', () => core.awsAlb({ mode: 'passthrough' }), 'x-amzn-mtls-clientcert', undefined],
    ['awsAlb', () => core.awsAlb({ mode: 'verify' }), 'x-amzn-mtls-clientcert-leaf', undefined],
    ['googleCloud', core.googleCloud, 'x-client-cert-leaf', undefined],
    ['azureAppService', core.azureAppService, 'x-arr-clientcert', undefined],
    ['azureApplicationGateway', core.azureApplicationGateway, 'x-client-cert', undefined],
    ['cloudflare', core.cloudflare, 'cf-client-cert-der-base64', undefined],
    ['f5', core.f5, 'x-client-cert', undefined],
    ['kong', core.kong, 'x-client-cert', undefined],
    ['rfc9440', core.rfc9440, 'client-cert', undefined],
    ['custom', () => core.customHeader({ header: 'X-Mine', decode: () => undefined }), 'x-mine', undefined],
  ])('%s', (name, make, header, verifyHeader) => {
    const preset = make();
    expect([preset.name, preset.header, preset.verdict?.header]).toEqual([name, header, verifyHeader]);
    expect(Object.isFrozen(preset)).toBe(true);
  });
});

it.each<[string, () => unknown, string | RegExp]>([
  ['returns text', () => 'text', 'the custom decoder returned neither DER nor { thumbprint } nor undefined'],
  ['returns null', () => null, 'the custom decoder returned neither DER nor { thumbprint } nor undefined'],
  ['throws', () => JSON.parse('{'), 'the custom decoder threw'],
  ['returns bytes that are no certificate', () => Buffer.from('no'), 'not exactly one DER certificate'],
])('a decoder of one’s own that %s is told so, and nothing of what it threw', (_title, decode, why) => {
  const preset = core.customHeader({ header: 'x', decode: decode as never });
  expect(preset.decode('x')).toEqual({ kind: 'malformed', why });
});

describe('names that an administrator chose', () => {
  it.each<[string, () => ProxyPreset, string]>([
    ['nginx', () => core.nginx({ header: 'X-Mine' }), 'x-mine'],
    ['awsAlb', () => core.awsAlb({ header: 'X-Mine', mode: 'verify' }), 'x-mine'],
    ['envoy', () => core.envoy({ header: 'X-Mine' }), 'x-mine'],
    ['f5', () => core.f5({ header: 'X-Mine' }), 'x-mine'],
    ['kong', () => core.kong({ header: 'X-Mine' }), 'x-mine'],
    ['custom', () => core.customHeader({ header: 'X-Mine', decode: () => undefined }), 'x-mine'],
  ])('%s', (name, make, header) => {
    const preset = make();
    expect([preset.name, preset.header]).toEqual([name, header]);
  });

  it('a custom preset has a name of its own', () => {
    expect(core.customHeader({ header: 'x', decode: () => undefined, name: 'ourProxy' }).name).toBe(
      'ourProxy',
    );
  });

  it('AWS hands on verified certificates alone in verify mode, whatever the header is called', () => {
    expect(core.awsAlb({ header: 'x-mine', mode: 'verify' }).alwaysVerified).toBe(true);
    expect(core.awsAlb({ header: 'x-mine' }).alwaysVerified).toBeUndefined();
  });
});

describe('certificates of every kind', () => {
  let pki: Pki;
  beforeAll(async () => {
    pki = await createPki();
  });

  it('round trips for RSA and EC, signed by a CA, self-signed and expired', () => {
    for (const { der: bytes, cert, thumbprint: expected } of Object.values(pki)) {
      const text = bytes.toString('base64');
      expect(outcome(core.nginx(), encodeURIComponent(cert))).toBe(expected);
      expect(outcome(core.haproxy(), text)).toBe(expected);
      expect(outcome(core.apache(), cert.replaceAll('\n', ' '))).toBe(expected);
      expect(outcome(core.rfc9440(), `:${text}:`)).toBe(expected);
      expect(outcome(core.traefik(), text)).toBe(expected);
      const hash = createHash('sha256').update(bytes).digest('hex');
      expect(outcome(core.envoy(), `Hash=${hash};Cert="${encodeURIComponent(cert)}"`)).toBe(expected);
    }
  });
});

it.each([
  ['envoy', core.envoy],
  ['istio', core.istio],
])("%s: 'sanitize-set' is what it does by itself", (_, preset) => {
  const { decode } = preset({ forward: 'sanitize-set' });
  const two = `Hash=${'a'.repeat(64)},Hash=${'b'.repeat(64)}`;
  expect([decode(two), preset().decode(two)]).toMatchObject([{ kind: 'malformed' }, { kind: 'malformed' }]);
});
