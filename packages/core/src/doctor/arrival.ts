import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  type CertificateSource,
  type ClientCertificate,
  thumbprintOf,
} from '../certificate/client-certificate.js';
import { connectionOf } from '../certificate/connection.js';
import { toRefusal } from '../errors.js';
import { lineValues } from '../request/header-lines.js';
import type { NodeRequest } from '../request/node-request.js';
import { isCaCertificate, isSelfIssued } from '../response/explanation.js';
import type { Hint } from '../shared/hint.js';
import * as proxies from '../trusted-proxy/proxy-presets.js';
import type { TrustFaultCode } from '../trusted-proxy/trusted-proxy.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { notShown } from './mask.js';

/** What a request brought that may be a certificate. */
export interface Arrival {
  /** Of the connection: the proxy's, where there is one. */
  readonly peer: string;
  readonly tls: boolean;
  /** Headers that are about a certificate, each line that came. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** `x5t#S256` of the certificate as the API would take it. */
  readonly thumbprint: string | undefined;
  /**
   * Whether the API's options are known here: without them the doctor can not say what the API
   * would accept.
   */
  readonly isConfigured: boolean;
  /** The header that it reads; without its options, the first that some preset reads. */
  readonly header: string | undefined;
  /** The header of the proxy's verdict that the API reads. */
  readonly verifyHeader: string | undefined;
  readonly findings: readonly Finding[];
}

/** Presets, each with the further options of its call. */
const presets: readonly (readonly [preset: proxies.ProxyPreset, words: string])[] = [
  [proxies.rfc9440(), ''],
  [proxies.nginx(), ''],
  [proxies.haproxy(), ''],
  [proxies.apache(), ''],
  [proxies.apache({ encoding: 'base64' }), "encoding: 'base64'"],
  [proxies.caddy(), ''],
  [proxies.traefik(), ''],
  [proxies.envoy(), ''],
  [proxies.awsAlb(), ''],
];

/**
 * Presets of a hash alone. They advise where the API's own header can't be read, and show no value:
 * a secret may look like a hash.
 */
const hashes: typeof presets = [
  [proxies.haproxy({ encoding: 'sha256' }), "encoding: 'sha256'"],
  [proxies.googleCloud({ encoding: 'sha256' }), "encoding: 'sha256'"],
];

/** Those that read one certificate, and no chain behind it. */
const single = presets.filter(([{ name }]) => name !== 'awsAlb');

/** How the preset is called to read this header. */
function callOf({ name, header: usual }: proxies.ProxyPreset, words: string, header: string): string {
  const inside = [...(header === usual ? [] : [`header: '${header}'`]), ...(words ? [words] : [])].join(', ');
  return inside === '' ? `${name}()` : `${name}({ ${inside} })`;
}

/** Looks at a request as the API would. Never throws. */
export function examine(req: NodeRequest, source: CertificateSource | undefined): Arrival {
  const connection = connectionOf(req);
  const headers = certificateHeaders(req, source);
  const seen: { certificate?: ClientCertificate | undefined } = {};
  const readable = Object.keys(headers).find((name) => readings(name, headers[name]?.[0] ?? '').length > 0);
  return {
    peer: connection?.remoteAddress ?? 'a unix socket',
    tls: connection?.encrypted === true,
    headers,
    findings: source === undefined ? guessEncoding(headers) : asConfigured(req, source, headers, seen),
    thumbprint: seen.certificate?.thumbprint,
    isConfigured: source !== undefined,
    header: source === undefined ? readable : source.header,
    verifyHeader: source?.verifyHeader,
  };
}

/** What Node itself refuses before anyone can look at it, as the API's Node would. */
export function unparsable(why: string, socket: Socket, source: CertificateSource | undefined): Arrival {
  const finding =
    why === 'HPE_HEADER_OVERFLOW'
      ? problem('header_too_large', 'the headers are longer than Node takes', raiseTheLimits)
      : problem(
          'wrong_encoding',
          `Node can't read the headers (${why}); does the certificate have several lines?`,
          'let the proxy write it on one: in NGINX $ssl_client_escaped_cert, not ' +
            '$ssl_client_cert or $ssl_client_raw_cert',
        );
  return {
    peer: socket.remoteAddress ?? 'a unix socket',
    tls: socket instanceof TLSSocket,
    headers: {},
    thumbprint: undefined,
    isConfigured: source !== undefined,
    header: source?.header,
    verifyHeader: source?.verifyHeader,
    findings: [finding],
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
    return [unreadable(header, lineValues(req.rawHeaders, header), toRefusal(thrown).message)];
  }
  if (seen.certificate !== undefined) {
    return [
      ok('certificate', `a certificate arrived; its x5t#S256 is ${seen.certificate.thumbprint}`),
      ...authorityFindings(seen.certificate, source),
    ];
  }
  if (source.fromConnection === true && connectionOf(req)?.encrypted !== true) {
    return [
      problem(
        'plain_http',
        'the request came over plain HTTP, where tlsSocket() finds no certificate',
        'where a proxy ends TLS, set certificate: proxyHeader(preset, { trust }); otherwise use ' +
          'https.createServer with requestCert: true',
      ),
      ...guessEncoding(headers),
    ];
  }
  const { code, reason, text }: Hint = source.explainMissing?.(req) ?? {
    code: 'no_certificate',
    text: 'the option certificate gave none',
  };
  return [
    code === 'proxy_not_trusted'
      ? problem('proxy_not_trusted', text, fixOfTrust(reason, connectionOf(req)?.remoteAddress ?? "'unix'"))
      : warning('no_certificate', text, 'try with a client that presents a certificate'),
  ];
}

/**
 * Finds that a proxy forwards an authority's certificate in place of the client's. A client may have
 * a self-signed certificate that says CA:TRUE, as `openssl req -x509` makes it: nothing in it tells
 * it from a root. From the TLS connection only the client's own certificate can come. `probe` judges
 * this finding again, because it knows which certificate it presented.
 */
function authorityFindings(certificate: ClientCertificate, { fromConnection }: CertificateSource): Finding[] {
  if (fromConnection === true || !isCaCertificate(certificate)) {
    return [];
  }
  return [
    isSelfIssued(certificate)
      ? warning(
          'intermediate_forwarded',
          "it is self-signed and says CA:TRUE: the client's own certificate, or the root of an authority",
          "compare its x5t#S256 with the client's: mtls-doctor probe does so, and mtls-doctor thumbprint " +
            'prints it',
        )
      : problem(
          'intermediate_forwarded',
          "it is a certificate authority's",
          "let the proxy hand on the client's own certificate, the first of the chain",
        ),
  ];
}

const otherAddress: TrustFaultCode = 'other_address';
const secretFaults: ReadonlySet<string | undefined> = new Set<TrustFaultCode>(['no_secret', 'wrong_secret']);

/** Names only the condition that the peer does not meet. */
function fixOfTrust(reason: string | undefined, peer: string): string {
  const through = 'if this request came through the proxy, let ';
  if (reason === otherAddress) {
    return `${through}trust name the proxy's address (${peer})`;
  }
  return secretFaults.has(reason)
    ? `${through}it send the value of the option secret, next to the certificate header`
    : `${through}proxyCertificate describe the proxy's own certificate`;
}

export const raiseTheLimits =
  'raise the limits for headers: large_client_header_buffers or proxy_buffer_size of the proxy, ' +
  '--max-http-header-size of Node';

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
      raiseTheLimits,
    );
  }
  const fitting = readings(header, value, [...presets, ...hashes]).map(([call]) => call);
  return problem(
    'wrong_encoding',
    message,
    fitting.length === 0
      ? 'see docs/reference/proxies for how this proxy writes the header'
      : `the value is as ${fitting.join(' or ')} reads it: use that preset`,
  );
}

function guessEncoding(headers: Arrival['headers']): Finding[] {
  return Object.entries(headers).flatMap(([name, values]) => {
    const read = readings(name, values[0] ?? '');
    const names = read.map(([call]) => call).join(' or ');
    const thumbprint = read[0]?.[1];
    return thumbprint === undefined
      ? []
      : [
          {
            ...ok('decodable', `${name} is as ${names} reads it; its x5t#S256 is ${thumbprint}`),
            thumbprint,
          },
        ];
  });
}

/** Which presets read it, and the thumbprint that each finds. */
function readings(
  header: string,
  value: string,
  among: typeof presets = presets,
): [call: string, thumbprint: string][] {
  return among.flatMap(([preset, words]): [string, string][] => {
    const call = callOf(preset, words, header);
    const decoded = preset.decode(value);
    if (decoded.kind !== 'hash' && !(decoded.kind === 'certificate' && isX509(decoded.der))) {
      return [];
    }
    return [[call, decoded.kind === 'hash' ? decoded.thumbprint : thumbprintOf(decoded.der)]];
  });
}

/** A key in DER looks like a certificate until it is parsed. */
function isX509(der: Uint8Array): boolean {
  try {
    return new X509Certificate(der).raw.length > 0;
  } catch {
    return false;
  }
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

const aboutCertificates = /cert|ssl|tls|xfcc|mtls/;
/** The headers in which proxies write whether they verified the certificate. */
const verdictHeaders: ReadonlySet<string> = new Set([
  ...['x-ssl-client-verify', 'ssl-client-verify', 'x-client-cert-chain-verified'],
  ...['x-client-cert-verification', 'cf-cert-verified'],
]);

/**
 * The word that a proxy's verdict begins with, or the probe's. The reason behind it may hold
 * anything.
 */
const verdict = /^(SUCCESS|NONE|FAILED|GENEROUS|RESUMED|OK|true|false|mtls-doctor-forged|\d{1,3})(\W.*)?$/;

/**
 * The headers that are about a certificate. A value is shown only if it is a certificate, or the
 * verdict of a proxy in the header for that: any other value may be the secret that proxy and API
 * share, a token or a key. The header that the options name for the secret is never shown.
 */
function certificateHeaders(
  { rawHeaders }: NodeRequest,
  { header, verifyHeader, chainHeader, secretHeader }: Partial<CertificateSource> = {},
): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [written = '', value = ''] = rawHeaders.slice(i, i + 2);
    const name = written.toLowerCase();
    const isNamed = [header, verifyHeader, chainHeader].includes(name);
    if (!isNamed && !aboutCertificates.test(name)) {
      continue;
    }
    const isVerdict = name === verifyHeader || verdictHeaders.has(name);
    const shown =
      name === secretHeader
        ? undefined
        : ((isVerdict ? shownVerdict(value) : undefined) ?? shownCertificates(name, value));
    found[name] = [...(found[name] ?? []), shown ?? hidden(value)];
  }
  return found;
}

function hidden(text: string): string {
  return `${notShown}: ${text.length} characters`;
}

function shownVerdict(value: string): string | undefined {
  const [, word, reason = ''] = verdict.exec(value) ?? [];
  return word === undefined || reason === '' ? word : `${word} ${hidden(reason)}`;
}

/**
 * Returns a header line in which each piece that is no certificate, as the names that Envoy adds or
 * the secret that a proxy appends, is not shown. `undefined` if it holds no certificate.
 */
function shownCertificates(name: string, value: string): string | undefined {
  let isAny = false;
  const shown = value.split(/([,;][ \t]*|"|(?=-----BEGIN))/).map((piece = '') => {
    if (isCertificate(name, piece)) {
      isAny = true;
      return piece;
    }
    return /^(?:[,;][ \t]*|"|(?:cert|chain)=)?$/i.test(piece) ? piece : `[${hidden(piece)}]`;
  });
  return isAny ? shown.join('') : undefined;
}

/** Whether a text is one certificate, or Envoy's hash of one, and nothing else. */
function isCertificate(header: string, text: string): boolean {
  // Behind a comma, or in a chain, a proxy may have put something else.
  return !/,|%2c/i.test(text) && readings(header, text, single).length > 0;
}
