import { isUint8Array } from 'node:util/types';
import { ConfigurationError } from '../errors.js';
import {
  flag,
  functionLike,
  OptionReader,
  type OptionRule,
  oneOf,
  text,
  wholeNumber,
} from '../option-rules.js';
import { ownMember } from '../own-member.js';
import { isPromised } from '../unwaited.js';
import {
  base64Der,
  base64Pem,
  byteSequence,
  type CertificateDecoder,
  certificateOf,
  commaSeparatedDer,
  type DecodedCertificate,
  escapedPem,
  escapedPemChain,
  isThumbprint,
  malformed,
  none,
  pem,
} from './encodings.js';
import { proxyHeaderName } from './proxy-header-name.js';
import { clientElement } from './xfcc.js';

/** How one kind of proxy hands the client certificate on. */
export interface ProxyPreset {
  /** The proxy's name in events. */
  readonly name: string;
  /** The header that holds the certificate. */
  readonly header: string;
  /** How the proxy writes the certificate. A request whose header it can't decode, or throws for, gets 400. */
  readonly decode: CertificateDecoder;
  /**
   * The header that holds the proxy's own verdict on the certificate's chain. The certificate counts as verified only if
   * `isVerified` returns `true` for its value.
   */
  readonly verified?: { readonly header: string; readonly isVerified: (value: string) => boolean };
  /** The proxy hands on verified certificates alone. */
  readonly alwaysVerified?: true;
  /**
   * The proxy hands on the SHA-256 of the certificate alone. A `certificatePolicy` that needs the whole certificate is refused
   * at start-up.
   */
  readonly thumbprintOnly?: true;
}

/** The header of a preset that the administrator of the proxy can rename. */
export interface CertificateHeader {
  /** The header that holds the certificate. Default: the one that the preset names. */
  readonly header?: string;
}

/** The headers of a preset whose proxy can also send a verdict on the certificate's chain. */
export interface HeaderNames extends CertificateHeader {
  /**
   * The header that holds the proxy's verdict on the certificate's chain. Name it only if the proxy sets it on every
   * request: otherwise a client sends it itself. Without it no certificate counts as verified, and
   * `certificatePolicy.requireVerified` is refused at start-up. Default: none.
   */
  readonly verifyHeader?: string;
}

/** How a preset reads the verdict. */
type Verdict = (value: string) => boolean;

const success: Verdict = (value) => value === 'SUCCESS';
const isTrue: Verdict = (value) => value === 'true';
const zero: Verdict = (value) => value === '0';

interface PresetData {
  readonly header: string;
  readonly decode: CertificateDecoder;
  /** Given for a proxy that can send a verdict. */
  readonly isVerified?: Verdict;
  readonly alwaysVerified?: true;
  readonly thumbprintOnly?: true;
}

function preset(name: string, given: OptionReader, data: PresetData): ProxyPreset {
  const header = given.optional('header', proxyHeaderName) ?? data.header;
  const { decode } = data;
  // Own members alone: a changed `Object.prototype` must not say that certificates are verified.
  const isVerified = Object.hasOwn(data, 'isVerified') ? data.isVerified : undefined;
  const alwaysVerified = Object.hasOwn(data, 'alwaysVerified') ? data.alwaysVerified : undefined;
  const thumbprintOnly = Object.hasOwn(data, 'thumbprintOnly') ? data.thumbprintOnly : undefined;
  const plain = {
    name,
    header,
    decode,
    ...(alwaysVerified && { alwaysVerified }),
    ...(thumbprintOnly && { thumbprintOnly }),
  };
  const verifyHeader = given.optional('verifyHeader', proxyHeaderName);
  if (verifyHeader === undefined || isVerified === undefined) {
    return Object.freeze(plain);
  }
  if (verifyHeader === header) {
    throw new ConfigurationError(
      given.pathOf('verifyHeader'),
      'the header of the certificate was given; accepted is another',
    );
  }
  return Object.freeze({ ...plain, verified: Object.freeze({ header: verifyHeader, isVerified }) });
}

/** A preset whose proxy can send a verdict. */
function withVerdict(
  name: string,
  options: HeaderNames,
  data: PresetData & Required<Pick<PresetData, 'isVerified'>>,
) {
  return preset(name, new OptionReader(`${name}()`, options, ['header', 'verifyHeader']), data);
}

/** A preset whose proxy sends no verdict. */
function withoutVerdict(name: string, options: CertificateHeader, data: PresetData): ProxyPreset {
  return preset(name, new OptionReader(`${name}()`, options, ['header']), data);
}

/**
 * NGINX: `$ssl_client_escaped_cert` in `X-SSL-Client-Cert`. `$ssl_client_cert` does not work: Node refuses its line
 * feeds. `verifyHeader` names the header that the configuration sets to `$ssl_client_verify`.
 */
export function nginx(options: HeaderNames = {}): ProxyPreset {
  return withVerdict('nginx', options, {
    header: 'x-ssl-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

/**
 * NGINX as in the set-up of Uni-ID Libra: `$ssl_client_escaped_cert` in `X-FAPI-CLIENT-CERT`. `verifyHeader` names the
 * header that the configuration sets to `$ssl_client_verify`.
 */
export function uniIdLibra(options: HeaderNames = {}): ProxyPreset {
  return withVerdict('uniIdLibra', options, {
    header: 'x-fapi-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

/**
 * ingress-nginx with `auth-tls-pass-certificate-to-upstream: "true"`: `ssl-client-cert`. It sends its verdict in
 * `ssl-client-verify`: set `verifyHeader` to that name to use it.
 */
export function ingressNginx(options: HeaderNames = {}): ProxyPreset {
  return withVerdict('ingressNginx', options, {
    header: 'ssl-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

/**
 * HAProxy: `%[ssl_c_der,base64]` in `X-SSL-Client-Cert`. `verifyHeader` names the header that the configuration sets to
 * `%[ssl_c_verify]`; `0` is verified.
 */
export function haproxy(options: HeaderNames = {}): ProxyPreset {
  return withVerdict('haproxy', options, {
    header: 'x-ssl-client-cert',
    decode: base64Der,
    // HAProxy also writes 0 where the client sent no certificate; the verdict is read only with a certificate.
    isVerified: zero,
  });
}

/** How Apache was told to write the certificate. */
export interface ApacheOptions extends HeaderNames {
  /**
   * `pem`: `%{SSL_CLIENT_CERT}s`. `escaped`: `expr=%{escape:%{SSL_CLIENT_CERT}}`. `base64`:
   * `expr=%{base64:%{SSL_CLIENT_CERT}}`. Default `pem`.
   */
  readonly encoding?: 'pem' | 'escaped' | 'base64';
}

/**
 * Apache httpd: `SSL_CLIENT_CERT` in `X-SSL-Client-Cert`. `verifyHeader` names the header that the configuration sets to
 * `SSL_CLIENT_VERIFY`. With `SSLVerifyClient optional_no_ca` do not use the verdict of a resumed session: Apache says
 * SUCCESS there for a self-signed certificate. To require verified certificates set `SSLVerifyClient optional`; see
 * docs/proxies/apache.md.
 */
export function apache(options: ApacheOptions = {}): ProxyPreset {
  const given = new OptionReader('apache()', options, ['header', 'verifyHeader', 'encoding']);
  const encoding = given.optional('encoding', oneOf('pem', 'escaped', 'base64')) ?? 'pem';
  const decode = { pem, escaped: escapedPem, base64: base64Pem }[encoding];
  return preset('apache', given, {
    header: 'x-ssl-client-cert',
    // Apache's word for a variable that is not set.
    decode: (value) => (value === '(null)' ? none : decode(value)),
    isVerified: success,
  });
}

/** Caddy: `:{http.request.tls.client.certificate_der_base64}:` in `Client-Cert`. */
export function caddy(options: CertificateHeader = {}): ProxyPreset {
  return withoutVerdict('caddy', options, {
    header: 'client-cert',
    // Without a certificate Caddy leaves the placeholder itself.
    decode: (value) =>
      value === ':{http.request.tls.client.certificate_der_base64}:' ? none : byteSequence(value),
  });
}

/** Which element of X-Forwarded-Client-Cert is the client's. */
export interface XfccOptions extends CertificateHeader {
  /**
   * `sanitize-set`: the proxy replaces the header, there is one element. `append-forward`: each proxy appends its own,
   * and the client's is the first of exactly `hops`. A request with one `Hash=` more or less is malformed, as the client
   * wrote it, in a header of its own or in a name of its certificate. The modes that forward what the client sent (`FORWARD_ONLY`, `ALWAYS_FORWARD_ONLY`) can't be trusted,
   * whatever the peer is. Default `sanitize-set`.
   */
  readonly forward?: 'sanitize-set' | 'append-forward';
  /**
   * With `append-forward`: how many proxies write an element, the one that ends the client's TLS included. Default 1;
   * from 1 to 16.
   */
  readonly hops?: number;
}

function xfcc(name: string, options: XfccOptions): ProxyPreset {
  const given = new OptionReader(`${name}()`, options, ['header', 'forward', 'hops']);
  const forward = given.optional('forward', forwardMode) ?? 'sanitize-set';
  const hops = given.optional('hops', wholeNumber(1, 16));
  if (forward === 'sanitize-set' && hops !== undefined) {
    throw new ConfigurationError(
      `${name}().hops`,
      "it was given without forward: 'append-forward', which it belongs to",
    );
  }
  return preset(name, given, { header: 'x-forwarded-client-cert', decode: clientElement(hops ?? 1) });
}

const forwardMode: OptionRule<'sanitize-set' | 'append-forward'> = {
  ...oneOf('sanitize-set', 'append-forward'),
  accepted:
    "'sanitize-set' or 'append-forward'; a proxy that forwards what the client sent (FORWARD_ONLY, " +
    'ALWAYS_FORWARD_ONLY) can not be trusted',
};

/**
 * Envoy: X-Forwarded-Client-Cert, with `forward_client_cert_details: SANITIZE_SET` or `APPEND_FORWARD`. Envoy always
 * writes `Hash`, which the binding needs, and a request without it is malformed; `set_current_client_cert_details: { cert: true }` adds `Cert`, which rules on
 * names and dates need.
 */
export function envoy(options: XfccOptions = {}): ProxyPreset {
  return xfcc('envoy', options);
}

/**
 * Istio's gateways, which are Envoy: `forwardClientCertDetails: SANITIZE_SET` in `gatewayTopology`, or `APPEND_FORWARD`.
 * A sidecar beside the API appends the gateway's own certificate: `{ forward: 'append-forward', hops: 2 }`, and let none
 * but the gateway call the API, as any other workload could write the element before.
 */
export function istio(options: XfccOptions = {}): ProxyPreset {
  return xfcc('istio', options);
}

/** Traefik's PassTLSClientCert with `pem: true`: `X-Forwarded-Tls-Client-Cert`. */
export function traefik(options: CertificateHeader = {}): ProxyPreset {
  return withoutVerdict('traefik', options, {
    header: 'x-forwarded-tls-client-cert',
    decode: commaSeparatedDer,
  });
}

/** How the load balancer handles client certificates. */
export interface AwsAlbOptions extends CertificateHeader {
  /**
   * `passthrough`: `X-Amzn-Mtls-Clientcert`, the whole chain, not verified. `verify`: `X-Amzn-Mtls-Clientcert-Leaf`,
   * verified against the trust store. Default `passthrough`.
   */
  readonly mode?: 'passthrough' | 'verify';
}

/** AWS Application Load Balancer with mutual authentication; `header` where its listener renames the header. */
export function awsAlb(options: AwsAlbOptions = {}): ProxyPreset {
  const given = new OptionReader('awsAlb()', options, ['header', 'mode']);
  const mode = given.optional('mode', oneOf('passthrough', 'verify'));
  return preset(
    'awsAlb',
    given,
    mode === 'verify'
      ? { header: 'x-amzn-mtls-clientcert-leaf', decode: escapedPem, alwaysVerified: true }
      : { header: 'x-amzn-mtls-clientcert', decode: escapedPemChain },
  );
}

/**
 * Google Cloud's Application Load Balancers: the custom request header `X-Client-Cert-Leaf:{client_cert_leaf}`.
 * `verifyHeader` names the custom header with `{client_cert_chain_verified}`.
 */
export function googleCloud(options: HeaderNames = {}): ProxyPreset {
  return withVerdict('googleCloud', options, {
    header: 'x-client-cert-leaf',
    decode: byteSequence,
    isVerified: isTrue,
  });
}

/**
 * Azure App Service: its front end sets `X-ARR-ClientCert`, for any certificate and without a verdict on it. It takes no
 * options, as that header can't be renamed.
 */
export function azureAppService(options: Readonly<Record<string, never>> = {}): ProxyPreset {
  return preset('azureAppService', new OptionReader('azureAppService()', options, []), {
    header: 'x-arr-clientcert',
    decode: base64Der,
  });
}

/**
 * Azure Application Gateway: a rewrite rule with `{var_client_certificate}` in `X-Client-Cert`. `verifyHeader` names the
 * header that the rule sets to `{var_client_certificate_verification}`.
 */
export function azureApplicationGateway(options: HeaderNames = {}): ProxyPreset {
  return withVerdict('azureApplicationGateway', options, {
    header: 'x-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

/**
 * Cloudflare with client certificate forwarding: `Cf-Client-Cert-Der-Base64`. The managed transform "Add TLS client auth
 * headers" sends a verdict in `Cf-Cert-Verified`: set `verifyHeader` to that name to use it. Revocation is not part of
 * that verdict: let a rule block requests with `cf.tls_client_auth.cert_revoked`.
 */
export function cloudflare(options: HeaderNames = {}): ProxyPreset {
  return withVerdict('cloudflare', options, {
    header: 'cf-client-cert-der-base64',
    decode: base64Der,
    isVerified: isTrue,
  });
}

/** How an administrator chose to write the certificate. */
export interface EncodingOptions extends CertificateHeader {
  /**
   * `escaped`: percent-encoded PEM. `base64`: base64 of the DER. Default: `base64` for `f5()`, `escaped` for `kong()`.
   */
  readonly encoding?: 'escaped' | 'base64';
}

function byEncoding(name: string, options: EncodingOptions, fallback: 'escaped' | 'base64'): ProxyPreset {
  const given = new OptionReader(`${name}()`, options, ['header', 'encoding']);
  const encoding = given.optional('encoding', oneOf('escaped', 'base64')) ?? fallback;
  const decode = { escaped: escapedPem, base64: base64Der }[encoding];
  return preset(name, given, { header: 'x-client-cert', decode });
}

/** F5 BIG-IP with an iRule that sets `X-Client-Cert`; base64 of the DER by default. */
export function f5(options: EncodingOptions = {}): ProxyPreset {
  return byEncoding('f5', options, 'base64');
}

/**
 * Kong with a plugin that sets `X-Client-Cert`, such as its TLS Metadata Headers; percent-encoded PEM by default. That
 * plugin hands on whatever came in the handshake, without a verdict.
 */
export function kong(options: EncodingOptions = {}): ProxyPreset {
  return byEncoding('kong', options, 'escaped');
}

/**
 * Any proxy that follows RFC 9440: `Client-Cert`; `header` where the proxy writes that form under another name.
 * `Client-Cert-Chain` is not needed and not looked at.
 */
export function rfc9440(options: CertificateHeader = {}): ProxyPreset {
  return withoutVerdict('rfc9440', options, { header: 'client-cert', decode: byteSequence });
}

/** A proxy that you describe yourself. */
export interface CustomOptions {
  /** The header that holds the certificate. Required. */
  readonly header: string;
  /**
   * Returns the DER; or `{ thumbprint }`, the certificate's `x5t#S256`, where the proxy hands on its SHA-256 alone; or
   * `undefined` when the client sent no certificate. If it throws or returns anything else, the request gets 400; if it
   * returns a promise, 503. Required.
   */
  readonly decode: (value: string) => Uint8Array | { readonly thumbprint: string } | undefined;
  /** The proxy's name in events. Default `custom`. */
  readonly name?: string;
  /**
   * The header of the proxy's verdict on the certificate's chain; needs `isVerified`. Name it only if the proxy sets it on
   * every request: otherwise a client sends it itself. Default: none.
   */
  readonly verifyHeader?: string;
  /**
   * Returns whether a value of `verifyHeader` says that the proxy verified the chain. Only `true` does. Needs
   * `verifyHeader`. Default: none.
   */
  readonly isVerified?: (value: string) => boolean;
  /**
   * Set it to `true` where `decode` returns thumbprints alone: a `certificatePolicy` that needs the whole certificate is then
   * refused at start-up, not on each request. Default `false`.
   */
  readonly thumbprintOnly?: boolean;
}

const customNames = ['header', 'decode', 'name', 'verifyHeader', 'isVerified', 'thumbprintOnly'];
const userDecoder = functionLike<CustomOptions['decode']>(
  'a function from the value to the DER, { thumbprint } or undefined',
);
const userVerdict = functionLike<Verdict>('a function from the value to true or false');

/** A proxy that none of the presets fits. */
export function custom(options: CustomOptions): ProxyPreset {
  const given = new OptionReader('custom()', options, customNames);
  const header = given.required('header', proxyHeaderName);
  const decode = given.required('decode', userDecoder);
  const name = given.optional('name', text) ?? 'custom';
  given.optional('verifyHeader', proxyHeaderName);
  const isVerified = given.optional('isVerified', userVerdict);
  for (const [one, other] of [
    ['verifyHeader', 'isVerified'],
    ['isVerified', 'verifyHeader'],
  ] as const) {
    if (!given.isMissing(one) && given.isMissing(other)) {
      throw new ConfigurationError(given.pathOf(one), `it was given without ${other}, which it needs`);
    }
  }
  return preset(name, given, {
    header,
    decode: (value) => decodedByUser(decode, value),
    ...(isVerified && { isVerified }),
    ...(given.optional('thumbprintOnly', flag) && { thumbprintOnly: true }),
  });
}

function decodedByUser(decode: CustomOptions['decode'], value: string): DecodedCertificate {
  let returned: unknown;
  try {
    returned = decode(value);
  } catch {
    return malformed('the custom decoder threw');
  }
  if (returned === undefined) {
    return none;
  }
  if (isUint8Array(returned)) {
    return certificateOf(returned);
  }
  if (isPromised(returned)) {
    // As every promise of a decoder, it is a fault of the code and no request's: proxyHeader() answers 503.
    return returned as never;
  }
  const thumbprint =
    typeof returned === 'object' && returned !== null
      ? ownMember(returned as Record<string, unknown>, 'thumbprint')
      : undefined;
  if (thumbprint === undefined) {
    return malformed('the custom decoder returned neither DER nor { thumbprint } nor undefined');
  }
  return isThumbprint(thumbprint)
    ? { kind: 'hash', thumbprint }
    : malformed('the custom decoder returned a thumbprint that is not 43 characters of base64url');
}
