import { isUint8Array } from 'node:util/types';
import {
  base64Der,
  base64Hash,
  base64Pem,
  byteSequence,
  type CertificateDecoder,
  commaSeparatedDer,
  type DecodedCertificate,
  decodeDer,
  escapedPem,
  escapedPemChain,
  hexHash,
  isThumbprint,
  malformed,
  noCertificate,
  pem,
} from '../certificate/encodings.js';
import { onlyArgument, onlyOptions } from '../shared/call-arguments.js';
import { createMismatch, createMissingRequirement } from '../shared/option-errors.js';
import {
  OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  readOptions,
  required,
  wholeNumber,
  withDefault,
} from '../shared/option-group.js';
import { flag, functionLike, type OptionRule, oneOf, text } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { isPromise } from '../shared/promises.js';
import { proxyHeaderName } from './proxy-header-name.js';
import { createXfccDecoder } from './xfcc.js';

/** How one kind of proxy hands the client certificate on. */
export interface ProxyPreset {
  /** The proxy's name in events. */
  readonly name: string;
  /** The header that holds the certificate. */
  readonly header: string;
  /**
   * How the proxy writes the certificate. A request whose header it can't decode, or throws for,
   * gets 400.
   */
  readonly decode: CertificateDecoder;
  /**
   * The header that holds the proxy's own verdict on the certificate's chain. The certificate
   * counts as verified only if `isVerified` returns `true` for its value. If it does not, and the value
   * says that the certificate is revoked or leaves that open, `certificatePolicy.authorities` refuses the
   * certificate. A value leaves it open unless it is NONE, GENEROUS, RESUMED, `FAILED:` with a reason of
   * OpenSSL, or an error of OpenSSL by its name (`X509_V_ERR_...`). Set `hasErrorNumbers: true` for a proxy
   * that writes OpenSSL's errors by their numbers, as HAProxy does. Set `checksRevocation: false` for one
   * that never looks at revocation: then only a value that names revocation says so.
   */
  readonly verdict?: {
    readonly header: string;
    readonly isVerified: (value: string) => boolean;
    readonly checksRevocation?: false;
    readonly hasErrorNumbers?: true;
  };
  /**
   * The header that holds the certificates between the client's own and its authority, as a List of
   * Byte Sequences (RFC 9440 §2.3). Name it only if the proxy sets or removes it on every request. A
   * request whose header can't be read, or has no certificate next to it, gets 400. Default: none.
   */
  readonly chainHeader?: string;
  /** The proxy hands on verified certificates alone. */
  readonly alwaysVerified?: true;
  /**
   * The proxy hands on the SHA-256 of the certificate alone. A `certificatePolicy` that needs the
   * whole certificate is refused at start-up.
   */
  readonly thumbprintOnly?: true;
}

export const certificateHeaderOptions = optionGroup({
  /** The header that holds the certificate. Default: the one that the preset names. */
  header: optional(proxyHeaderName, { defaultInWords: 'the one that the preset names' }),
});

/** The header of a preset that the administrator of the proxy can rename. */
export interface CertificateHeader extends OptionsOf<typeof certificateHeaderOptions> {}

export const headerNameOptions = optionGroup({
  ...certificateHeaderOptions,
  /**
   * The header that holds the proxy's verdict on the certificate's chain. Name it only if the proxy
   * sets it on every request: otherwise a client sends it itself. Without it no certificate counts
   * as verified, and `certificatePolicy.requireVerified` is refused at start-up. Default: none.
   */
  verifyHeader: optional(proxyHeaderName),
});

/** The headers of a preset whose proxy can also send a verdict on the certificate's chain. */
export interface HeaderNames extends OptionsOf<typeof headerNameOptions> {}

const userVerdict = functionLike<(value: string) => boolean>('a function from the value to true or false');

export const userVerdictOptions = optionGroup({
  /**
   * The header of the proxy's verdict on the certificate's chain; needs `isVerified`. Name it only
   * if the proxy sets it on every request: otherwise a client sends it itself. Default: none.
   */
  verifyHeader: optional(proxyHeaderName),
  /**
   * Returns whether a value of `verifyHeader` says that the proxy verified the chain: only `true` says
   * so. Needs `verifyHeader`. If the function does not return `true`, `certificatePolicy.authorities`
   * refuses the certificate, unless the value is known to be about something else than revocation:
   * NONE, GENEROUS, RESUMED, `FAILED:` with a reason of OpenSSL, an error of OpenSSL by its name
   * (`X509_V_ERR_...`), or by its number if `hasErrorNumbers` is `true`. Default: none.
   */
  isVerified: optional(userVerdict),
  /**
   * Set it to `true` if `verifyHeader` holds OpenSSL's errors by their numbers, as HAProxy writes them.
   * Without it a number that `isVerified` does not accept may mean that the certificate is revoked, and
   * `certificatePolicy.authorities` refuses the certificate. Needs `verifyHeader`. Default `false`.
   */
  hasErrorNumbers: withDefault(flag, false),
});

/** How a preset reads the verdict. */
type Verdict = (value: string) => boolean;

const success: Verdict = (value) => value === 'SUCCESS';
const isTrue: Verdict = (value) => value === 'true';
const zeroOrOk: Verdict = (value) => value === '0' || value === 'X509_V_OK';

interface PresetData {
  readonly header: string;
  readonly decode: CertificateDecoder;
  /** Given for a proxy that can send a verdict. */
  readonly isVerified?: Verdict;
  /** Given for a proxy whose verdict is never about revocation. */
  readonly checksRevocation?: false;
  /** Given for a proxy whose verdict is an error of OpenSSL by its number. */
  readonly hasErrorNumbers?: true;
  readonly alwaysVerified?: true;
  readonly thumbprintOnly?: true;
}

/** The headers that a user named; undefined where the preset's own are used. */
interface NamedHeaders {
  readonly header: string | undefined;
  /** An own property only of presets that can have a verdict. */
  readonly verifyHeader?: string | undefined;
  /** An own property only of presets whose proxy can send the chain in another header. */
  readonly chainHeader?: string | undefined;
}

function preset(name: string, named: NamedHeaders, data: PresetData, path = `${name}()`): ProxyPreset {
  const header = named.header ?? data.header;
  const { decode } = data;
  // Own members alone: a changed `Object.prototype` must not say that certificates are verified.
  const isVerified = Object.hasOwn(data, 'isVerified') ? data.isVerified : undefined;
  const alwaysVerified = Object.hasOwn(data, 'alwaysVerified') ? data.alwaysVerified : undefined;
  const thumbprintOnly = Object.hasOwn(data, 'thumbprintOnly') ? data.thumbprintOnly : undefined;
  const chainHeader = Object.hasOwn(named, 'chainHeader') ? named.chainHeader : undefined;
  const plain = {
    name,
    header,
    decode,
    ...(chainHeader !== undefined && { chainHeader }),
    ...(alwaysVerified && { alwaysVerified }),
    ...(thumbprintOnly && { thumbprintOnly }),
  };
  const verifyHeader = Object.hasOwn(named, 'verifyHeader') ? named.verifyHeader : undefined;
  if (chainHeader === header) {
    throw createMismatch(`${path}.chainHeader`, 'a header of its own', 'the header of the certificate');
  }
  if (verifyHeader === undefined || isVerified === undefined) {
    return Object.freeze(plain);
  }
  if (verifyHeader === header) {
    throw createMismatch(`${path}.verifyHeader`, 'a header of its own', 'the header of the certificate');
  }
  if (verifyHeader === chainHeader) {
    throw createMismatch(`${path}.chainHeader`, 'a header of its own', 'the header of the verdict');
  }
  const checksRevocation = Object.hasOwn(data, 'checksRevocation') ? data.checksRevocation : undefined;
  const hasErrorNumbers = Object.hasOwn(data, 'hasErrorNumbers') ? data.hasErrorNumbers : undefined;
  const verdict = {
    header: verifyHeader,
    isVerified,
    ...(checksRevocation === false && { checksRevocation }),
    ...(hasErrorNumbers === true && { hasErrorNumbers }),
  };
  return Object.freeze({ ...plain, verdict: Object.freeze(verdict) });
}

/** A preset whose proxy can send a verdict. */
function withVerdict(
  name: string,
  args: readonly unknown[],
  data: PresetData & Required<Pick<PresetData, 'isVerified'>>,
) {
  const path = `${name}()`;
  return preset(name, readOptions(path, onlyOptions(path, args), headerNameOptions), data);
}

/** A preset whose proxy sends no verdict. */
function withoutVerdict(name: string, args: readonly unknown[], data: PresetData): ProxyPreset {
  const path = `${name}()`;
  return preset(name, readOptions(path, onlyOptions(path, args), certificateHeaderOptions), data);
}

/**
 * NGINX: `$ssl_client_escaped_cert` in `X-SSL-Client-Cert`. `$ssl_client_cert` does not work: Node
 * refuses its line feeds. `verifyHeader` names the header that the configuration sets to
 * `$ssl_client_verify`.
 */
export function nginx(options?: HeaderNames): ProxyPreset;
export function nginx(...args: [options?: HeaderNames]): ProxyPreset {
  return withVerdict('nginx', args, {
    header: 'x-ssl-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

/**
 * NGINX as in the set-up of Uni-ID Libra: `$ssl_client_escaped_cert` in `X-FAPI-CLIENT-CERT`.
 * `verifyHeader` names the header that the configuration sets to `$ssl_client_verify`.
 */
export function uniIdLibra(options?: HeaderNames): ProxyPreset;
export function uniIdLibra(...args: [options?: HeaderNames]): ProxyPreset {
  return withVerdict('uniIdLibra', args, {
    header: 'x-fapi-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

/**
 * ingress-nginx with `auth-tls-pass-certificate-to-upstream: "true"`: `ssl-client-cert`. It sends
 * its verdict in `ssl-client-verify`: set `verifyHeader` to that name to use it.
 */
export function ingressNginx(options?: HeaderNames): ProxyPreset;
export function ingressNginx(...args: [options?: HeaderNames]): ProxyPreset {
  return withVerdict('ingressNginx', args, {
    header: 'ssl-client-cert',
    decode: escapedPem,
    isVerified: success,
  });
}

export const haproxyOptions = optionGroup({
  ...headerNameOptions,
  /**
   * `base64`: `%[ssl_c_der,base64]`. `pem`: the same between the markers of PEM, on one line.
   * `sha256`: `%[ssl_c_der,sha2(256),hex]`, the hash of the certificate alone. Default `base64`.
   */
  encoding: withDefault(oneOf('base64', 'pem', 'sha256'), 'base64'),
});

/** How HAProxy is configured to write the certificate. */
export interface HaproxyOptions extends OptionsOf<typeof haproxyOptions> {}

/**
 * HAProxy: `%[ssl_c_der,base64]` in `X-SSL-Client-Cert`. `verifyHeader` names the header that the
 * configuration sets to `%[ssl_c_verify]` or `%[ssl_c_verify,x509_v_err_str]`; `0` and `X509_V_OK`
 * are verified. The router of OpenShift is HAProxy with `X-SSL-Client-DER` and
 * `X-SSL-Client-Verify`.
 */
export function haproxy(options?: HaproxyOptions): ProxyPreset;
export function haproxy(...args: [options?: HaproxyOptions]): ProxyPreset {
  const given = readOptions('haproxy()', onlyOptions('haproxy()', args), haproxyOptions);
  const { encoding } = given;
  return preset('haproxy', given, {
    header: 'x-ssl-client-cert',
    decode: { base64: base64Der, pem: pemOrMarkersAlone, sha256: hexHash }[encoding],
    // HAProxy also writes 0 where the client sent no certificate; the verdict is read only with a
    // certificate.
    isVerified: zeroOrOk,
    hasErrorNumbers: true,
    ...(encoding === 'sha256' && { thumbprintOnly: true }),
  });
}

/** Without a certificate HAProxy writes the markers alone, unless the line has a condition. */
const pemOrMarkersAlone: CertificateDecoder = (value) =>
  /^-----BEGIN CERTIFICATE----- {0,2}-----END CERTIFICATE-----$/.test(value) ? noCertificate : pem(value);

export const apacheOptions = optionGroup({
  ...headerNameOptions,
  /**
   * `pem`: `%{SSL_CLIENT_CERT}s`. `escaped`: `expr=%{escape:%{SSL_CLIENT_CERT}}`. `base64`:
   * `expr=%{base64:%{SSL_CLIENT_CERT}}`. Default `pem`.
   */
  encoding: withDefault(oneOf('pem', 'escaped', 'base64'), 'pem'),
});

/** How Apache is configured to write the certificate. */
export interface ApacheOptions extends OptionsOf<typeof apacheOptions> {}

/**
 * Apache httpd: `SSL_CLIENT_CERT` in `X-SSL-Client-Cert`. `verifyHeader` names the header that the
 * configuration sets to `SSL_CLIENT_VERIFY`. With `SSLVerifyClient optional_no_ca` do not use the
 * verdict of a resumed session: Apache says SUCCESS there for a self-signed certificate. To require
 * verified certificates set `SSLVerifyClient optional`; see docs/reference/proxies/apache.md.
 */
export function apache(options?: ApacheOptions): ProxyPreset;
export function apache(...args: [options?: ApacheOptions]): ProxyPreset {
  const given = readOptions('apache()', onlyOptions('apache()', args), apacheOptions);
  const { encoding } = given;
  const decode = { pem, escaped: escapedPem, base64: base64Pem }[encoding];
  return preset('apache', given, {
    header: 'x-ssl-client-cert',
    // Apache's word for a variable that is not set.
    decode: (value) => (value === '(null)' ? noCertificate : decode(value)),
    isVerified: success,
  });
}

export const caddyOptions = optionGroup({
  ...certificateHeaderOptions,
  /**
   * `rfc9440`: `:{http.request.tls.client.certificate_der_base64}:`. `base64`: that placeholder
   * without colons. `sha256`: `{http.request.tls.client.fingerprint}`, the hash of the certificate
   * alone. Default `rfc9440`.
   */
  encoding: withDefault(oneOf('rfc9440', 'base64', 'sha256'), 'rfc9440'),
});

/** How Caddy is configured to write the certificate. */
export interface CaddyOptions extends OptionsOf<typeof caddyOptions> {}

const caddyForms = {
  rfc9440: { placeholder: ':{http.request.tls.client.certificate_der_base64}:', decoder: byteSequence },
  base64: { placeholder: '{http.request.tls.client.certificate_der_base64}', decoder: base64Der },
  sha256: { placeholder: '{http.request.tls.client.fingerprint}', decoder: hexHash },
};

/**
 * Caddy: `:{http.request.tls.client.certificate_der_base64}:` in `Client-Cert`, or another form by
 * `encoding`.
 */
export function caddy(options?: CaddyOptions): ProxyPreset;
export function caddy(...args: [options?: CaddyOptions]): ProxyPreset {
  const given = readOptions('caddy()', onlyOptions('caddy()', args), caddyOptions);
  const { encoding } = given;
  const { placeholder, decoder } = caddyForms[encoding];
  return preset('caddy', given, {
    header: 'client-cert',
    // Without a certificate Caddy leaves the placeholder itself.
    decode: (value) => (value === placeholder ? noCertificate : decoder(value)),
    ...(encoding === 'sha256' && { thumbprintOnly: true }),
  });
}

const forwardMode: OptionRule<'sanitize-set' | 'append-forward'> = {
  ...oneOf('sanitize-set', 'append-forward'),
  accepted:
    "'sanitize-set' or 'append-forward'; a proxy that forwards what the client sent (FORWARD_ONLY, " +
    'ALWAYS_FORWARD_ONLY) can not be trusted',
};

export const xfccOptions = optionGroup({
  ...certificateHeaderOptions,
  /**
   * `sanitize-set`: the proxy replaces the header, there is one element. `append-forward`: each
   * proxy appends its own, and the client's is the first of exactly `hops`. A request with one
   * `Hash=` more or less is malformed, as the client wrote it, in a header of its own or in a name
   * of its certificate. The modes that forward what the client sent (`FORWARD_ONLY`,
   * `ALWAYS_FORWARD_ONLY`) can't be trusted, whatever the peer is. Default `sanitize-set`.
   */
  forward: withDefault(forwardMode, 'sanitize-set'),
  /**
   * With `append-forward`: how many proxies write an element, the one that ends the client's TLS
   * included. Default 1; from 1 to 16.
   */
  hops: wholeNumber({ min: 1, max: 16, default: 1 }),
});

/** Which element of X-Forwarded-Client-Cert is the client's. */
export interface XfccOptions extends OptionsOf<typeof xfccOptions> {}

function xfcc(name: string, args: readonly unknown[]): ProxyPreset {
  const path = `${name}()`;
  const given = new OptionReader(path, onlyOptions(path, args), xfccOptions);
  const { header, forward, hops } = given.settings();
  if (forward === 'sanitize-set' && !given.isUnwritten('hops')) {
    throw createMissingRequirement(given.pathOf('hops'), "forward: 'append-forward'");
  }
  return preset(name, { header }, { header: 'x-forwarded-client-cert', decode: createXfccDecoder(hops) });
}

/**
 * Envoy: X-Forwarded-Client-Cert, with `forward_client_cert_details: SANITIZE_SET` or
 * `APPEND_FORWARD`. Envoy always writes `Hash`, which the binding needs, and a request without it
 * is malformed; `set_current_client_cert_details: { cert: true }` adds `Cert`, which rules on names
 * and dates need.
 */
export function envoy(options?: XfccOptions): ProxyPreset;
export function envoy(...args: [options?: XfccOptions]): ProxyPreset {
  return xfcc('envoy', args);
}

/**
 * Istio's gateways, which are Envoy: `forwardClientCertDetails: SANITIZE_SET` in `gatewayTopology`,
 * or `APPEND_FORWARD`. A sidecar next to the API appends the gateway's own certificate: `{ forward:
 * 'append-forward', hops: 2 }`, and let none but the gateway call the API, as any other workload
 * could write the element before.
 */
export function istio(options?: XfccOptions): ProxyPreset;
export function istio(...args: [options?: XfccOptions]): ProxyPreset {
  return xfcc('istio', args);
}

/** Traefik's PassTLSClientCert with `pem: true`: `X-Forwarded-Tls-Client-Cert`. */
export function traefik(options?: CertificateHeader): ProxyPreset;
export function traefik(...args: [options?: CertificateHeader]): ProxyPreset {
  return withoutVerdict('traefik', args, {
    header: 'x-forwarded-tls-client-cert',
    decode: commaSeparatedDer,
  });
}

export const awsAlbOptions = optionGroup({
  ...certificateHeaderOptions,
  /**
   * `passthrough`: `X-Amzn-Mtls-Clientcert`, the whole chain, not verified. `verify`:
   * `X-Amzn-Mtls-Clientcert-Leaf`, verified against the trust store. Default `passthrough`.
   */
  mode: withDefault(oneOf('passthrough', 'verify'), 'passthrough'),
});

/** How the load balancer handles client certificates. */
export interface AwsAlbOptions extends OptionsOf<typeof awsAlbOptions> {}

/**
 * AWS Application Load Balancer with mutual authentication; `header` where its listener renames the
 * header.
 */
export function awsAlb(options?: AwsAlbOptions): ProxyPreset;
export function awsAlb(...args: [options?: AwsAlbOptions]): ProxyPreset {
  const given = readOptions('awsAlb()', onlyOptions('awsAlb()', args), awsAlbOptions);
  const { mode } = given;
  return preset(
    'awsAlb',
    given,
    mode === 'verify'
      ? { header: 'x-amzn-mtls-clientcert-leaf', decode: escapedPem, alwaysVerified: true }
      : { header: 'x-amzn-mtls-clientcert', decode: escapedPemChain },
  );
}

export const cloudFrontOptions = optionGroup({
  ...certificateHeaderOptions,
  /**
   * `verify`: the modes Required and Optional, in which CloudFront hands on certificates of its
   * trust store alone; each counts as verified. `passthrough`: `Client-Cert` as RFC 9440 writes it,
   * not verified. Default: the header of `verify`, not counted as verified.
   */
  mode: optional(oneOf('verify', 'passthrough'), {
    defaultInWords: 'the header of `verify`, not counted as verified',
  }),
  /**
   * `certificate`: `CloudFront-Viewer-Cert-Pem`, or `Client-Cert` in passthrough mode. `sha256`:
   * `CloudFront-Viewer-Cert-Sha256`, the hash of the certificate alone. Default `certificate`.
   */
  encoding: withDefault(oneOf('certificate', 'sha256'), 'certificate'),
});

/** Which mode of viewer mTLS CloudFront runs in, and which of its headers holds the certificate. */
export interface CloudFrontOptions extends OptionsOf<typeof cloudFrontOptions> {}

/** AWS CloudFront with viewer mTLS; `header` where a CloudFront function renames the header. */
export function cloudFront(options?: CloudFrontOptions): ProxyPreset;
export function cloudFront(...args: [options?: CloudFrontOptions]): ProxyPreset {
  const given = readOptions('cloudFront()', onlyOptions('cloudFront()', args), cloudFrontOptions);
  const { mode, encoding } = given;
  const certificate =
    mode === 'passthrough'
      ? { header: 'client-cert', decode: byteSequence }
      : { header: 'cloudfront-viewer-cert-pem', decode: escapedPem };
  return preset('cloudFront', given, {
    ...(encoding === 'sha256'
      ? { header: 'cloudfront-viewer-cert-sha256', decode: hexHash, thumbprintOnly: true }
      : certificate),
    ...(mode === 'verify' && { alwaysVerified: true }),
  });
}

export const googleCloudOptions = optionGroup({
  ...headerNameOptions,
  /**
   * `certificate`: `X-Client-Cert-Leaf:{client_cert_leaf}`, for certificates that passed validation
   * alone. `sha256`: `X-Client-Cert-Hash:{client_cert_sha256_fingerprint}`, the hash of the
   * certificate alone. Default `certificate`.
   */
  encoding: withDefault(oneOf('certificate', 'sha256'), 'certificate'),
});

/** Which value Google Cloud's load balancer writes. */
export interface GoogleCloudOptions extends OptionsOf<typeof googleCloudOptions> {}

/**
 * Google Cloud's Application Load Balancers: the custom request header
 * `X-Client-Cert-Leaf:{client_cert_leaf}`, or another by `encoding`. `verifyHeader` names the
 * custom header with `{client_cert_chain_verified}`.
 */
export function googleCloud(options?: GoogleCloudOptions): ProxyPreset;
export function googleCloud(...args: [options?: GoogleCloudOptions]): ProxyPreset {
  const given = readOptions('googleCloud()', onlyOptions('googleCloud()', args), googleCloudOptions);
  const { encoding } = given;
  return preset('googleCloud', given, {
    ...(encoding === 'sha256'
      ? { header: 'x-client-cert-hash', decode: base64Hash, thumbprintOnly: true }
      : { header: 'x-client-cert-leaf', decode: byteSequence }),
    isVerified: isTrue,
    checksRevocation: false,
  });
}

/**
 * Cloud Foundry's router, SAP BTP included: `X-Forwarded-Client-Cert` as base64 of the DER, without
 * a verdict. Envoy writes another form under the same name.
 */
export function cloudFoundry(options?: CertificateHeader): ProxyPreset;
export function cloudFoundry(...args: [options?: CertificateHeader]): ProxyPreset {
  return withoutVerdict('cloudFoundry', args, { header: 'x-forwarded-client-cert', decode: base64Der });
}

/**
 * Azure App Service: its front end sets `X-ARR-ClientCert`, for any certificate and without a
 * verdict on it. It takes no options, as that header can't be renamed.
 */
export function azureAppService(options?: Readonly<Record<string, never>>): ProxyPreset;
export function azureAppService(...args: [options?: Readonly<Record<string, never>>]): ProxyPreset {
  readOptions('azureAppService()', onlyOptions('azureAppService()', args), optionGroup({}));
  return preset('azureAppService', { header: undefined }, { header: 'x-arr-clientcert', decode: base64Der });
}

export const azureApplicationGatewayOptions = optionGroup({
  ...headerNameOptions,
  /**
   * `escaped`: the client's certificate alone, as percent-encoded PEM. `escaped-chain`: the
   * client's certificate with its chain behind it, in that form. Default `escaped`.
   */
  encoding: withDefault(oneOf('escaped', 'escaped-chain'), 'escaped'),
});

/** What Azure Application Gateway writes. */
export interface AzureApplicationGatewayOptions extends OptionsOf<typeof azureApplicationGatewayOptions> {}

/**
 * Azure Application Gateway: a rewrite rule with `{var_client_certificate}` in `X-Client-Cert`.
 * `verifyHeader` names the header that the rule sets to `{var_client_certificate_verification}`.
 */
export function azureApplicationGateway(options?: AzureApplicationGatewayOptions): ProxyPreset;
export function azureApplicationGateway(...args: [options?: AzureApplicationGatewayOptions]): ProxyPreset {
  const given = readOptions(
    'azureApplicationGateway()',
    onlyOptions('azureApplicationGateway()', args),
    azureApplicationGatewayOptions,
  );
  const { encoding } = given;
  const decode = { escaped: escapedPem, 'escaped-chain': escapedPemChain }[encoding];
  return preset('azureApplicationGateway', given, { header: 'x-client-cert', decode, isVerified: success });
}

export const cloudflareOptions = optionGroup({
  ...headerNameOptions,
  /**
   * `base64`: `Cf-Client-Cert-Der-Base64`, by certificate forwarding. `rfc9440`: `Client-Cert`, by
   * a transform rule with `cf.tls_client_auth.cert_rfc9440`. Default `base64`.
   */
  encoding: withDefault(oneOf('base64', 'rfc9440'), 'base64'),
});

/** How Cloudflare is configured to write the certificate. */
export interface CloudflareOptions extends OptionsOf<typeof cloudflareOptions> {}

/**
 * Cloudflare with client certificate forwarding: `Cf-Client-Cert-Der-Base64`. The managed transform
 * "Add TLS client auth headers" sends a verdict in `Cf-Cert-Verified`: set `verifyHeader` to that
 * name to use it. Revocation is not part of that verdict: let a rule block requests with
 * `cf.tls_client_auth.cert_revoked`.
 */
export function cloudflare(options?: CloudflareOptions): ProxyPreset;
export function cloudflare(...args: [options?: CloudflareOptions]): ProxyPreset {
  const given = readOptions('cloudflare()', onlyOptions('cloudflare()', args), cloudflareOptions);
  const { encoding } = given;
  return preset('cloudflare', given, {
    ...(encoding === 'rfc9440'
      ? { header: 'client-cert', decode: byteSequence }
      : { header: 'cf-client-cert-der-base64', decode: base64Der }),
    isVerified: isTrue,
    checksRevocation: false,
  });
}

export const f5Options = optionGroup({
  ...certificateHeaderOptions,
  /**
   * `escaped`: percent-encoded PEM. `base64`: base64 of the DER. Default `base64`.
   */
  encoding: withDefault(oneOf('escaped', 'base64'), 'base64'),
});

/** How the iRule of F5 BIG-IP writes the certificate. */
export interface F5Options extends OptionsOf<typeof f5Options> {}

/** F5 BIG-IP with an iRule that sets `X-Client-Cert`; base64 of the DER by default. */
export function f5(options?: F5Options): ProxyPreset;
export function f5(...args: [options?: F5Options]): ProxyPreset {
  const given = readOptions('f5()', onlyOptions('f5()', args), f5Options);
  const { encoding } = given;
  const decode = { escaped: escapedPem, base64: base64Der }[encoding];
  return preset('f5', given, { header: 'x-client-cert', decode });
}

export const kongOptions = optionGroup({
  ...certificateHeaderOptions,
  /**
   * `escaped`: percent-encoded PEM of one certificate. `escaped-chain`: with the rest of its chain
   * behind it. `base64`: base64 of the DER. Default `escaped`.
   */
  encoding: withDefault(oneOf('escaped', 'escaped-chain', 'base64'), 'escaped'),
});

/** How a plugin of Kong writes the certificate. */
export interface KongOptions extends OptionsOf<typeof kongOptions> {}

/**
 * Kong with a plugin that sets `X-Client-Cert`, such as its TLS Metadata Headers; percent-encoded
 * PEM by default. That plugin hands on whatever came in the handshake, without a verdict.
 */
export function kong(options?: KongOptions): ProxyPreset;
export function kong(...args: [options?: KongOptions]): ProxyPreset {
  const given = readOptions('kong()', onlyOptions('kong()', args), kongOptions);
  const { encoding } = given;
  const decode = { escaped: escapedPem, 'escaped-chain': escapedPemChain, base64: base64Der }[encoding];
  return preset('kong', given, { header: 'x-client-cert', decode });
}

export const rfc9440Options = optionGroup({
  ...certificateHeaderOptions,
  /**
   * The header of the intermediates, which `certificatePolicy.authorities` uses to find a path:
   * `client-cert-chain`, or the name under which the proxy sends that form. The first 10 count, and
   * prove nothing by themselves. Name it only if the proxy sets or removes it on every request. A
   * request whose header can't be read, or has no certificate next to it, gets 400. Default: none.
   */
  chainHeader: optional(proxyHeaderName),
  ...userVerdictOptions,
});

/** Which headers a proxy that follows RFC 9440 sends. RFC 9440 has none for a verdict. */
export interface Rfc9440Options extends OptionsOf<typeof rfc9440Options> {}

/**
 * Any proxy that follows RFC 9440: `Client-Cert`; `header` where the proxy writes that form under
 * another name. `Client-Cert-Chain` is read only if `chainHeader` names it.
 */
export function rfc9440(options?: Rfc9440Options): ProxyPreset;
export function rfc9440(...args: [options?: Rfc9440Options]): ProxyPreset {
  const given = new OptionReader('rfc9440()', onlyOptions('rfc9440()', args), rfc9440Options);
  const data = { header: 'client-cert', decode: byteSequence };
  return preset('rfc9440', given.settings(), { ...data, ...readUserVerdict(given) });
}

/** Returns how to read the verdict, whose header and reading belong together. */
function readUserVerdict(
  given: OptionReader<typeof userVerdictOptions>,
): Pick<PresetData, 'isVerified' | 'hasErrorNumbers'> {
  for (const [one, other] of [
    ['verifyHeader', 'isVerified'],
    ['isVerified', 'verifyHeader'],
  ] as const) {
    if (!given.isUnwritten(one) && given.isUnwritten(other)) {
      throw createMissingRequirement(given.pathOf(one), other);
    }
  }
  const isVerified = given.get('isVerified');
  const hasErrorNumbers = given.get('hasErrorNumbers');
  if (hasErrorNumbers && isVerified === undefined) {
    throw createMissingRequirement(given.pathOf('hasErrorNumbers'), 'verifyHeader');
  }
  return {
    ...(isVerified !== undefined && { isVerified }),
    ...(hasErrorNumbers && { hasErrorNumbers }),
  };
}

const userDecoder = functionLike<(value: string) => Uint8Array | { readonly thumbprint: string } | undefined>(
  'a function from the value to the DER, { thumbprint } or undefined',
);

export const customHeaderOptions = optionGroup({
  /** The header that holds the certificate. Required. */
  header: required(proxyHeaderName),
  /**
   * Returns the DER; or `{ thumbprint }`, the certificate's `x5t#S256`, where the proxy hands on
   * its SHA-256 alone; or `undefined` when the client sent no certificate. If it throws or returns
   * anything else, the request gets 400; if it returns a promise, 503. Required.
   */
  decode: required(userDecoder),
  /** The proxy's name in events. Default `custom`. */
  name: withDefault(text, 'custom'),
  ...userVerdictOptions,
  /**
   * Set it to `true` where `decode` returns thumbprints alone: a `certificatePolicy` that needs the
   * whole certificate is then refused at start-up, not on each request. Default `false`.
   */
  thumbprintOnly: withDefault(flag, false),
});

/** A proxy that you describe yourself. */
export interface CustomHeaderOptions extends OptionsOf<typeof customHeaderOptions> {}

/** A proxy that none of the presets fits. */
export function customHeader(options: CustomHeaderOptions): ProxyPreset;
export function customHeader(...args: [options: CustomHeaderOptions]): ProxyPreset {
  const options = onlyArgument('customHeader()', args, 'one object of options');
  const given = new OptionReader('customHeader()', options, customHeaderOptions);
  const { header, decode, name, verifyHeader, thumbprintOnly } = given.settings();
  const data = {
    header,
    decode: (value: string) => decodeByUser(decode, value),
    ...readUserVerdict(given),
    ...(thumbprintOnly && { thumbprintOnly: true as const }),
  };
  return preset(name, { header, verifyHeader }, data, given.path);
}

function decodeByUser(decode: CustomHeaderOptions['decode'], value: string): DecodedCertificate {
  let returned: unknown;
  try {
    returned = decode(value);
  } catch {
    return malformed('the custom decoder threw');
  }
  if (returned === undefined) {
    return noCertificate;
  }
  if (isUint8Array(returned)) {
    return decodeDer(returned);
  }
  if (isPromise(returned)) {
    // As every promise of a decoder, it is a fault of the code and no request's: proxyHeader()
    // answers 503.
    return returned as never;
  }
  const thumbprint =
    typeof returned === 'object' && returned !== null
      ? readOwnMember(returned as Record<string, unknown>, 'thumbprint')
      : undefined;
  if (thumbprint === undefined) {
    return malformed('the custom decoder returned neither DER nor { thumbprint } nor undefined');
  }
  return isThumbprint(thumbprint)
    ? { kind: 'hash', thumbprint }
    : malformed('the custom decoder returned a thumbprint that is not 43 characters of base64url');
}
