import { ConfigurationError } from '../errors.js';
import {
  functionLike,
  headerName,
  OptionReader,
  type OptionRule,
  oneOf,
  text,
  wholeNumber,
} from '../option-rules.js';
import {
  base64Der,
  base64Pem,
  byteSequence,
  type CertificateDecoder,
  certificateOf,
  commaSeparatedDer,
  escapedPem,
  escapedPemChain,
  malformed,
  none,
  pem,
} from './encodings.js';
import { clientElement } from './xfcc.js';

/** How one kind of proxy hands the client certificate on. */
export interface ProxyPreset {
  /** What events call this proxy. */
  readonly name: string;
  /** The header that holds the certificate, in lower case. */
  readonly header: string;
  /** How it writes the certificate. */
  readonly decode: CertificateDecoder;
  /** The header that holds the proxy's own verdict on the certificate's chain. */
  readonly verified?: { readonly header: string; readonly isVerified: (value: string) => boolean };
  /** The proxy hands on verified certificates alone. */
  readonly alwaysVerified?: true;
}

/** Names that the administrator of a proxy may have chosen. */
export interface HeaderNames {
  /** The header that holds the certificate. Default: the one that the preset names. */
  readonly header?: string;
  /**
   * The header that holds the proxy's verdict on the certificate's chain. Default: the one that the preset names, if
   * any.
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
  readonly verifyHeader?: string;
  readonly isVerified?: Verdict;
  readonly alwaysVerified?: true;
}

/** The options of a preset; each has `names` of its own beside the names of the headers. */
function read(name: string, options: unknown, ...names: string[]): OptionReader {
  return new OptionReader(`${name}()`, options, ['header', 'verifyHeader', ...names]);
}

/** `given` is undefined where a preset has no options. */
function preset(name: string, given: OptionReader | undefined, data: PresetData): ProxyPreset {
  const header = given?.optional('header', headerName) ?? data.header;
  const verifyHeader = given?.optional('verifyHeader', headerName) ?? data.verifyHeader;
  const { decode, isVerified, alwaysVerified } = data;
  const plain = { name, header, decode, ...(alwaysVerified && { alwaysVerified }) };
  if (verifyHeader === undefined) {
    return Object.freeze(plain);
  }
  if (isVerified === undefined) {
    throw new ConfigurationError(
      `${name}().verifyHeader`,
      'this proxy hands on no verdict; accepted is nothing',
    );
  }
  return Object.freeze({ ...plain, verified: { header: verifyHeader, isVerified } });
}

/**
 * NGINX: `$ssl_client_escaped_cert` in `X-SSL-Client-Cert` and `$ssl_client_verify` in `X-SSL-Client-Verify`.
 * `$ssl_client_cert` does not work: Node refuses its line feeds.
 */
export function nginx(options: HeaderNames = {}): ProxyPreset {
  return preset('nginx', read('nginx', options), {
    header: 'x-ssl-client-cert',
    decode: escapedPem,
    verifyHeader: 'x-ssl-client-verify',
    isVerified: success,
  });
}

/** NGINX as in the set-up of Uni-ID Libra: `$ssl_client_escaped_cert` in `X-FAPI-CLIENT-CERT`. */
export function uniIdLibra(options: HeaderNames = {}): ProxyPreset {
  return preset('uniIdLibra', read('uniIdLibra', options), {
    header: 'x-fapi-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

/** ingress-nginx with `auth-tls-pass-certificate-to-upstream: "true"`: `ssl-client-cert`, `ssl-client-verify`. */
export function ingressNginx(options: HeaderNames = {}): ProxyPreset {
  return preset('ingressNginx', read('ingressNginx', options), {
    header: 'ssl-client-cert',
    decode: escapedPem,
    verifyHeader: 'ssl-client-verify',
    isVerified: success,
  });
}

/** HAProxy: `%[ssl_c_der,base64]` in `X-SSL-Client-Cert` and `%[ssl_c_verify]` in `X-SSL-Client-Verify`. */
export function haproxy(options: HeaderNames = {}): ProxyPreset {
  return preset('haproxy', read('haproxy', options), {
    header: 'x-ssl-client-cert',
    decode: base64Der,
    verifyHeader: 'x-ssl-client-verify',
    // Also 0 when there is no certificate at all; it is asked only where there is one.
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
 * Apache httpd: `SSL_CLIENT_CERT` in `X-SSL-Client-Cert`, `SSL_CLIENT_VERIFY` in `X-SSL-Client-Verify`. With
 * `SSLVerifyClient optional_no_ca` the verdict on a resumed session is not to be believed: Apache says SUCCESS there for a
 * self-signed certificate. Who requires verified certificates sets `optional`; see docs/proxies/apache.md.
 */
export function apache(options: ApacheOptions = {}): ProxyPreset {
  const given = read('apache', options, 'encoding');
  const encoding = given.optional('encoding', oneOf('pem', 'escaped', 'base64')) ?? 'pem';
  const decode = { pem, escaped: escapedPem, base64: base64Pem }[encoding];
  return preset('apache', given, {
    header: 'x-ssl-client-cert',
    // Apache's word for a variable that is not set.
    decode: (value) => (value === '(null)' ? none : decode(value)),
    verifyHeader: 'x-ssl-client-verify',
    isVerified: success,
  });
}

/** Caddy: `:{http.request.tls.client.certificate_der_base64}:` in `Client-Cert`. */
export function caddy(options: Omit<HeaderNames, 'verifyHeader'> = {}): ProxyPreset {
  return preset('caddy', read('caddy', options), {
    header: 'client-cert',
    // Without a certificate Caddy leaves the placeholder itself.
    decode: (value) =>
      value === ':{http.request.tls.client.certificate_der_base64}:' ? none : byteSequence(value),
  });
}

/** Which element of X-Forwarded-Client-Cert is the client's. */
export interface XfccOptions extends Pick<HeaderNames, 'header'> {
  /**
   * `sanitize-set`: the proxy replaces the header, there is one element. `append-forward`: each proxy appends its own,
   * and the client's is the first of exactly `hops`; a request with more is malformed, as then the client wrote some of
   * them itself. The modes that forward what the client sent (`FORWARD_ONLY`, `ALWAYS_FORWARD_ONLY`) can't be trusted,
   * whoever the peer is. Default `sanitize-set`.
   */
  readonly forward?: 'sanitize-set' | 'append-forward';
  /**
   * With `append-forward`: how many proxies write an element, the one that ends the client's TLS included. Default 1;
   * from 1 to 16.
   */
  readonly hops?: number;
}

function xfcc(name: string, options: XfccOptions): ProxyPreset {
  const given = read(name, options, 'forward', 'hops');
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
 * writes `Hash`, which the binding needs; `set_current_client_cert_details: { cert: true }` adds `Cert`, which rules on
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
export function traefik(options: Omit<HeaderNames, 'verifyHeader'> = {}): ProxyPreset {
  return preset('traefik', read('traefik', options), {
    header: 'x-forwarded-tls-client-cert',
    decode: commaSeparatedDer,
  });
}

/** How the load balancer handles client certificates. */
export interface AwsAlbOptions extends Pick<HeaderNames, 'header'> {
  /**
   * `passthrough`: `X-Amzn-Mtls-Clientcert`, the whole chain, not verified. `verify`: `X-Amzn-Mtls-Clientcert-Leaf`,
   * verified against the trust store. Default `passthrough`.
   */
  readonly mode?: 'passthrough' | 'verify';
}

/** AWS Application Load Balancer with mutual authentication; `header` where its listener renames the header. */
export function awsAlb(options: AwsAlbOptions = {}): ProxyPreset {
  const given = read('awsAlb', options, 'mode');
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
 * Google Cloud's Application Load Balancers: custom request headers `X-Client-Cert-Leaf:{client_cert_leaf}` and
 * `X-Client-Cert-Chain-Verified:{client_cert_chain_verified}`.
 */
export function googleCloud(options: HeaderNames = {}): ProxyPreset {
  return preset('googleCloud', read('googleCloud', options), {
    header: 'x-client-cert-leaf',
    decode: byteSequence,
    verifyHeader: 'x-client-cert-chain-verified',
    isVerified: isTrue,
  });
}

/** Azure App Service: its front end sets `X-ARR-ClientCert`, for any certificate and without a verdict on it. */
export function azureAppService(): ProxyPreset {
  return preset('azureAppService', undefined, {
    header: 'x-arr-clientcert',
    decode: base64Der,
  });
}

/**
 * Azure Application Gateway: a rewrite rule with `{var_client_certificate}` in `X-Client-Cert` and
 * `{var_client_certificate_verification}` in `X-Client-Cert-Verification`.
 */
export function azureApplicationGateway(options: HeaderNames = {}): ProxyPreset {
  return preset('azureApplicationGateway', read('azureApplicationGateway', options), {
    header: 'x-client-cert',
    decode: escapedPem,
    verifyHeader: 'x-client-cert-verification',
    isVerified: success,
  });
}

/**
 * Cloudflare with client certificate forwarding: `Cf-Client-Cert-Der-Base64`; the verdict in `Cf-Cert-Verified`, by the
 * managed transform "Add TLS client auth headers". Revocation is not part of that verdict: have a rule block requests
 * with `cf.tls_client_auth.cert_revoked`.
 */
export function cloudflare(options: HeaderNames = {}): ProxyPreset {
  return preset('cloudflare', read('cloudflare', options), {
    header: 'cf-client-cert-der-base64',
    decode: base64Der,
    verifyHeader: 'cf-cert-verified',
    isVerified: isTrue,
  });
}

/** How an administrator chose to write the certificate. */
export interface EncodingOptions extends Pick<HeaderNames, 'header'> {
  /**
   * `escaped`: percent-encoded PEM. `base64`: base64 of the DER. Default: `base64` for `f5()`, `escaped` for `kong()`.
   */
  readonly encoding?: 'escaped' | 'base64';
}

function byEncoding(name: string, options: EncodingOptions, fallback: 'escaped' | 'base64'): ProxyPreset {
  const given = read(name, options, 'encoding');
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

/** Any proxy that follows RFC 9440: `Client-Cert`. `Client-Cert-Chain` is not needed and not looked at. */
export function rfc9440(): ProxyPreset {
  return preset('rfc9440', undefined, { header: 'client-cert', decode: byteSequence });
}

/** A proxy of one's own. */
export interface CustomOptions {
  /** The header that holds the certificate. Required. */
  readonly header: string;
  /** The DER, or `undefined` when the client sent no certificate. What it throws is answered with 400. Required. */
  readonly decode: (value: string) => Uint8Array | undefined;
  /** What events call this proxy. Default `custom`. */
  readonly name?: string;
}

/** A proxy that none of the presets fits. */
export function custom(options: CustomOptions): ProxyPreset {
  const given = new OptionReader('custom()', options, ['header', 'decode', 'name']);
  const header = given.required('header', headerName);
  const decode = given.required(
    'decode',
    functionLike<CustomOptions['decode']>('a function from the value to the DER'),
  );
  const name = given.optional('name', text) ?? 'custom';
  return Object.freeze({ name, header, decode: (value: string) => decodedByUser(decode, value) });
}

function decodedByUser(decode: CustomOptions['decode'], value: string): ReturnType<CertificateDecoder> {
  try {
    const der: unknown = decode(value);
    if (der === undefined) {
      return none;
    }
    return der instanceof Uint8Array
      ? certificateOf(der)
      : malformed('the custom decoder returned neither DER nor undefined');
  } catch {
    return malformed('the custom decoder threw');
  }
}
