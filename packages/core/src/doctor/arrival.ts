import type { CertificateSource, ClientCertificate } from '../certificate/client-certificate.js';
import { connectionOf } from '../certificate/connection.js';
import { headerValues } from '../certificate/header-values.js';
import * as proxies from '../certificate/proxies.js';
import { asRefusal } from '../errors.js';
import type { NodeRequest } from '../request/bearer-token.js';
import { type Finding, ok, problem, warning } from './finding.js';

/** What a request brought that may be a certificate. */
export interface Arrival {
  /** Of the connection: the proxy's, where there is one. */
  readonly peer: string;
  readonly tls: boolean;
  /** Headers that are about a certificate, each line that came. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** `x5t#S256` of the certificate as the API would take it. */
  readonly thumbprint: string | undefined;
  readonly findings: readonly Finding[];
}

const presets = {
  'nginx()': proxies.nginx,
  'haproxy()': proxies.haproxy,
  'apache()': proxies.apache,
  "apache({ encoding: 'base64' })": () => proxies.apache({ encoding: 'base64' }),
  'rfc9440()': proxies.rfc9440,
  'traefik()': proxies.traefik,
  'envoy()': proxies.envoy,
  'awsAlb()': proxies.awsAlb,
} as const;

/** Looks at a request as the API would. Never throws. */
export function examine(req: NodeRequest, source: CertificateSource | undefined): Arrival {
  const connection = connectionOf(req);
  const headers = certificateHeaders(req);
  const seen: { certificate?: ClientCertificate | undefined } = {};
  return {
    peer: connection?.remoteAddress ?? 'a unix socket',
    tls: connection?.encrypted === true,
    headers,
    findings: source === undefined ? guess(headers) : asConfigured(req, source, headers, seen),
    thumbprint: seen.certificate?.thumbprint,
  };
}

function asConfigured(
  req: NodeRequest,
  source: CertificateSource,
  headers: Arrival['headers'],
  seen: { certificate?: ClientCertificate | undefined },
): Finding[] {
  try {
    seen.certificate = source(req);
  } catch (thrown) {
    const { header = '' } = source;
    return [unreadable(header, headerValues(req.rawHeaders, header), asRefusal(thrown).message)];
  }
  if (seen.certificate !== undefined) {
    const found = [
      ok('certificate', `a certificate arrived; its x5t#S256 is ${seen.certificate.thumbprint}`),
    ];
    return isAuthority(seen.certificate)
      ? [
          ...found,
          problem(
            'intermediate_forwarded',
            "it is a certificate authority's",
            "let the proxy hand on the client's own certificate, the first of the chain",
          ),
        ]
      : found;
  }
  if (source.fromConnection === true && connectionOf(req)?.encrypted !== true) {
    return [
      problem(
        'plain_http',
        'the request came over plain HTTP, where tlsSocket() finds no certificate',
        'where a proxy ends TLS, set certificate: proxyHeader(preset, { trust }); otherwise use https.createServer with requestCert: true',
      ),
      ...guess(headers),
    ];
  }
  const why = source.whyMissing?.(req) ?? 'the option certificate gave none';
  return [
    why.includes('was not looked at')
      ? problem(
          'proxy_not_trusted',
          why,
          `let trust name the proxy's address (${connectionOf(req)?.remoteAddress ?? 'unix'}), and secret what it sends`,
        )
      : warning('no_certificate', why, 'try with a client that presents one'),
  ];
}

/** The header is there but says nothing to the preset: is it another's, or not whole? */
function unreadable(header: string, values: readonly string[], message: string): Finding {
  const [value = ''] = values;
  if (values.length > 1) {
    return problem('header_repeated', message, `let the proxy set ${header}, not add to it`);
  }
  if (isCutOff(value)) {
    return problem(
      'header_truncated',
      `${header} ends in the middle of a certificate, after ${value.length} characters`,
      'raise the limits for headers: large_client_header_buffers or proxy_buffer_size of the proxy, --max-http-header-size of Node',
    );
  }
  const fitting = namesOfFitting(value);
  return problem(
    'wrong_encoding',
    message,
    fitting.length === 0
      ? 'see docs/proxies for how this proxy writes the header'
      : `the value is as ${fitting.join(' or ')} reads it: use that preset with { header: '${header}' }`,
  );
}

function guess(headers: Arrival['headers']): Finding[] {
  return Object.entries(headers).flatMap(([name, values]) => {
    const fitting = namesOfFitting(values[0] ?? '');
    return fitting.length === 0 ? [] : [ok('decodable', `${name} is as ${fitting.join(' or ')} reads it`)];
  });
}

function namesOfFitting(value: string): string[] {
  return Object.entries(presets).flatMap(([name, preset]) => {
    const { kind } = preset().decode(value);
    return kind === 'certificate' || kind === 'hash' ? [name] : [];
  });
}

/** PEM without its end, or DER that announces more than there is. */
function isCutOff(value: string): boolean {
  const text = unescaped(value).replace(/^:/, '');
  if (text.includes('-----BEGIN CERTIFICATE-----')) {
    return !text.includes('-----END CERTIFICATE-----');
  }
  const der = Buffer.from(text, 'base64');
  const announced = der[0] === 0x30 && der[1] === 0x82 && der.length > 4 ? der.readUInt16BE(2) + 4 : 0;
  return der.length < announced;
}

function unescaped(value: string): string {
  try {
    // What is cut off may end within an escape.
    return decodeURIComponent(value.replace(/%.?$/, ''));
  } catch {
    return value;
  }
}

const aboutCertificates = /cert|ssl|tls|xfcc|mtls/i;

function certificateHeaders({ rawHeaders }: NodeRequest): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = rawHeaders.slice(i, i + 2);
    if (aboutCertificates.test(name)) {
      const lower = name.toLowerCase();
      found[lower] = [...(found[lower] ?? []), value];
    }
  }
  return found;
}

function isAuthority(certificate: ClientCertificate): boolean {
  try {
    return certificate.x509.ca;
  } catch {
    return false;
  }
}
