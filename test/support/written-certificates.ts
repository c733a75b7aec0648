import { createHash, X509Certificate } from 'node:crypto';
import * as core from '@mtls-bound/core';
import { rfc8705AppendixA, rfc9440AppendixA } from './vectors.js';

const { pem, thumbprint } = rfc8705AppendixA;
const { raw } = new X509Certificate(pem);
const base64 = raw.toString('base64');
const hex = createHash('sha256').update(raw).digest('hex');
const hash = createHash('sha256').update(raw).digest('base64');
const blanks = pem.replaceAll('\n', ' ');
const intermediates = rfc9440AppendixA.chain.split(', ').map((item) => item.slice(1, -1));
const chain = [base64, ...intermediates]
  .map((body) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`)
  .join('');

/** The certificate of RFC 8705, Appendix A, as Envoy 1.40 writes its JSON form. */
const json = {
  by: ['spiffe://example.com/gateway'],
  hash: hex,
  cert: pem,
  uri: ['https://x.example/hash:a'],
};
/** CloudFront's documentation of `CloudFront-Viewer-Cert-Sha256`. */
const cloudFrontHash = '01fbf94fef5569753420c349f49adbfd80af5275377816e3ab1fb371b29cb586';

/** What a proxy writes in another form than the usual one, and the thumbprint in it, or `none`. */
export const writtenValues: [string, () => core.ProxyPreset, string, string][] = [
  ['HAProxy, PEM', () => core.haproxy({ encoding: 'pem' }), blanks, thumbprint],
  [
    'HAProxy, PEM without blanks',
    () => core.haproxy({ encoding: 'pem' }),
    `-----BEGIN CERTIFICATE-----${base64}-----END CERTIFICATE-----`,
    thumbprint,
  ],
  [
    'HAProxy, PEM, no certificate',
    () => core.haproxy({ encoding: 'pem' }),
    '-----BEGIN CERTIFICATE-----  -----END CERTIFICATE-----',
    'none',
  ],
  ['HAProxy, hash', () => core.haproxy({ encoding: 'sha256' }), hex.toUpperCase(), thumbprint],
  ['HAProxy, hash, no certificate', () => core.haproxy({ encoding: 'sha256' }), '', 'none'],
  ['Caddy, no colons', () => core.caddy({ encoding: 'base64' }), base64, thumbprint],
  [
    'Caddy, no colons, no certificate',
    () => core.caddy({ encoding: 'base64' }),
    '{http.request.tls.client.certificate_der_base64}',
    'none',
  ],
  ['Caddy, hash', () => core.caddy({ encoding: 'sha256' }), hex, thumbprint],
  [
    'Caddy, hash, no certificate',
    () => core.caddy({ encoding: 'sha256' }),
    '{http.request.tls.client.fingerprint}',
    'none',
  ],
  ['CloudFront', () => core.cloudFront(), encodeURIComponent(pem), thumbprint],
  ['CloudFront, no certificate', () => core.cloudFront(), '', 'none'],
  ['CloudFront, passthrough', () => core.cloudFront({ mode: 'passthrough' }), `:${base64}:`, thumbprint],
  [
    'CloudFront’s documentation, hash',
    () => core.cloudFront({ encoding: 'sha256' }),
    cloudFrontHash,
    Buffer.from(cloudFrontHash, 'hex').toString('base64url'),
  ],
  ['Google Cloud, hash', () => core.googleCloud({ encoding: 'sha256' }), hash, thumbprint],
  [
    'Google Cloud, hash without padding',
    () => core.googleCloud({ encoding: 'sha256' }),
    hash.replace('=', ''),
    thumbprint,
  ],
  ['Google Cloud, hash, no certificate', () => core.googleCloud({ encoding: 'sha256' }), '', 'none'],
  [
    'Cloudflare, RFC 9440',
    () => core.cloudflare({ encoding: 'rfc9440' }),
    rfc9440AppendixA.leaf,
    rfc9440AppendixA.thumbprint,
  ],
  ['Cloudflare, RFC 9440, no certificate', () => core.cloudflare({ encoding: 'rfc9440' }), '', 'none'],
  ['Cloud Foundry', () => core.cloudFoundry(), base64, thumbprint],
  ['Cloud Foundry, no certificate', () => core.cloudFoundry(), '', 'none'],
  ['Kong, chain', () => core.kong({ encoding: 'escaped-chain' }), encodeURIComponent(chain), thumbprint],
  [
    'Azure Application Gateway, chain',
    () => core.azureApplicationGateway({ encoding: 'escaped-chain' }),
    encodeURIComponent(chain),
    thumbprint,
  ],
  [
    'Azure Application Gateway, one certificate where a chain may be',
    () => core.azureApplicationGateway({ encoding: 'escaped-chain' }),
    encodeURIComponent(pem),
    thumbprint,
  ],
  [
    'Azure Application Gateway, chain, no certificate',
    () => core.azureApplicationGateway({ encoding: 'escaped-chain' }),
    '',
    'none',
  ],
  ['Akamai', () => core.rfc9440({ header: 'AKAMAI-CC-DER' }), `:${base64}:`, thumbprint],
  ['OpenShift', () => core.haproxy({ header: 'X-SSL-Client-DER' }), base64, thumbprint],
  ['Envoy, JSON', () => core.envoy(), JSON.stringify([json]), thumbprint],
  ['Envoy, JSON, hash alone', () => core.envoy(), JSON.stringify([{ hash: hex }]), thumbprint],
  [
    'Envoy, JSON, the client’s element of two',
    () => core.envoy({ forward: 'append-forward', hops: 2 }),
    JSON.stringify([json, { hash: cloudFrontHash }]),
    thumbprint,
  ],
  [
    'Container Apps, a semicolon behind the last pair',
    () => core.envoy(),
    `Hash=${hex};Cert="${encodeURIComponent(pem)}";Chain="${encodeURIComponent(chain)}";`,
    thumbprint,
  ],
];

/** What is malformed in these forms, and why. */
export const malformedValues: [string, () => core.ProxyPreset, string, string][] = [
  ['HAProxy, PEM: base64', () => core.haproxy({ encoding: 'pem' }), base64, 'not PEM'],
  ['HAProxy: PEM', () => core.haproxy(), blanks, 'not base64'],
  [
    'HAProxy, hash: base64 of the DER',
    () => core.haproxy({ encoding: 'sha256' }),
    base64,
    'not a SHA-256 in hex',
  ],
  [
    'HAProxy, hash: SHA-1',
    () => core.haproxy({ encoding: 'sha256' }),
    hex.slice(0, 40),
    'not a SHA-256 in hex',
  ],
  [
    'HAProxy, hash twice',
    () => core.haproxy({ encoding: 'sha256' }),
    `${hex}, ${hex}`,
    'not a SHA-256 in hex',
  ],
  ['Caddy, no colons: colons', () => core.caddy({ encoding: 'base64' }), `:${base64}:`, 'not base64'],
  [
    'Caddy: another placeholder',
    () => core.caddy({ encoding: 'base64' }),
    '{http.request.tls.client.subject}',
    'not base64',
  ],
  ['Caddy, hash: PEM', () => core.caddy({ encoding: 'sha256' }), blanks, 'not a SHA-256 in hex'],
  ['CloudFront: RFC 9440', () => core.cloudFront(), `:${base64}:`, 'not PEM'],
  [
    'CloudFront, passthrough: PEM',
    () => core.cloudFront({ mode: 'passthrough' }),
    blanks,
    'not a Byte Sequence',
  ],
  ['Google Cloud, hash: hex', () => core.googleCloud({ encoding: 'sha256' }), hex, 'not a SHA-256 in base64'],
  [
    'Google Cloud, hash: base64url',
    () => core.googleCloud({ encoding: 'sha256' }),
    thumbprint.replace(/.$/, '_'),
    'not a SHA-256 in base64',
  ],
  [
    'Google Cloud, hash: a last character with other bits',
    () => core.googleCloud({ encoding: 'sha256' }),
    `${hash.slice(0, 42)}B=`,
    'not a SHA-256 in base64',
  ],
  [
    'Cloudflare, RFC 9440: base64',
    () => core.cloudflare({ encoding: 'rfc9440' }),
    base64,
    'not a Byte Sequence',
  ],
  ['Cloud Foundry: Envoy’s form', () => core.cloudFoundry(), `Hash=${hex}`, 'not base64'],
  ['Envoy: Cloud Foundry’s form', () => core.envoy(), base64, 'not an X-Forwarded-Client-Cert'],
  [
    'Kong: a chain',
    () => core.kong(),
    encodeURIComponent(chain),
    'several certificates where one is expected',
  ],
  [
    'Kong, chain: a link that is none',
    () => core.kong({ encoding: 'escaped-chain' }),
    encodeURIComponent(`${pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`),
    'not exactly one DER certificate',
  ],
  [
    'Azure Application Gateway: a chain',
    () => core.azureApplicationGateway(),
    encodeURIComponent(chain),
    'several certificates where one is expected',
  ],
  [
    'Azure Application Gateway, chain: a link that is none',
    () => core.azureApplicationGateway({ encoding: 'escaped-chain' }),
    encodeURIComponent(`${pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`),
    'not exactly one DER certificate',
  ],
  ['Envoy, JSON: no end', () => core.envoy(), `[{"hash":"${hex}"}`, 'not an X-Forwarded-Client-Cert'],
  ['Envoy, JSON: no element', () => core.envoy(), '[]', 'not an X-Forwarded-Client-Cert'],
  [
    'Envoy, JSON: an element that is no object',
    () => core.envoy(),
    `["${hex}"]`,
    'not an X-Forwarded-Client-Cert',
  ],
  [
    'Envoy, JSON: a hash that is no text',
    () => core.envoy(),
    '[{"hash":[]}]',
    'not an X-Forwarded-Client-Cert',
  ],
  ['Envoy, JSON: no hash', () => core.envoy(), JSON.stringify([{ cert: pem }]), 'an element without Hash'],
  [
    'Envoy, JSON: an inherited hash',
    () => core.envoy(),
    `[{"__proto__":{"hash":"${hex}"}}]`,
    'an element without Hash',
  ],
  [
    'Envoy, JSON: hash and cert of two certificates',
    () => core.envoy(),
    JSON.stringify([{ hash: cloudFrontHash, cert: pem }]),
    'Cert and Hash disagree',
  ],
  [
    'Envoy, JSON: an element that the client wrote',
    () => core.envoy({ forward: 'append-forward' }),
    JSON.stringify([{ hash: cloudFrontHash }, json]),
    'not as many elements as proxies that write one',
  ],
  ['Container Apps: two semicolons', () => core.envoy(), `Hash=${hex};;`, 'not an X-Forwarded-Client-Cert'],
];
