import { isArrayBuffer, isUint8Array } from 'node:util/types';
import { parseItem, parseList } from 'structured-headers';
import { TellableError } from '../errors.js';
import { isPromise } from '../shared/promises.js';
import { MAX_INTERMEDIATES } from './client-certificate.js';

/** What a header's value turned out to be. */
export type DecodedCertificate =
  | {
      readonly kind: 'certificate';
      readonly der: Uint8Array;
      /**
       * The rest of the chain, where the value holds it: DER, the issuer of the client's certificate
       * first. Default: none.
       */
      readonly intermediates?: readonly Uint8Array[];
    }
  /** The proxy handed on the SHA-256 of the certificate alone, here as `x5t#S256`. */
  | { readonly kind: 'hash'; readonly thumbprint: string }
  /** The proxy says that the client sent no certificate. */
  | { readonly kind: 'none' }
  /** `why` is fixed text and holds nothing of the value. */
  | { readonly kind: 'malformed'; readonly why: string };

/**
 * Turns a header's value into a certificate. Total: never throws, and takes time linear in the
 * value's length.
 */
export type CertificateDecoder = (value: string) => DecodedCertificate;

export const noCertificate: DecodedCertificate = Object.freeze({ kind: 'none' });

/**
 * Calls a decoder, which a user may have written, and checks what it returned. Anything but one of
 * the four forms is malformed. Throws `TellableError` for a promise: that is a fault of the decoder,
 * whatever the request holds.
 */
export function runDecoder(decode: CertificateDecoder, value: string): DecodedCertificate {
  const returned = attempted(decode, value);
  if (isPromise(returned)) {
    throw new TellableError('the decode function of the preset returned a promise; it must answer at once');
  }
  try {
    const { kind, der, thumbprint, why, intermediates } = returned as Partial<Record<string, unknown>>;
    switch (kind) {
      case 'none':
        return noCertificate;
      case 'malformed':
        return malformed(typeof why === 'string' ? why : 'the decoder says so');
      case 'certificate':
        return isUint8Array(der) ? withChain(der, intermediates) : malformed('the decoder returned no DER');
      case 'hash':
        return isThumbprint(thumbprint)
          ? { kind, thumbprint }
          : malformed('the decoder returned no x5t#S256');
      default:
        return malformed('the decoder returned no DecodedCertificate');
    }
  } catch {
    return malformed('the decoder threw');
  }
}

function withChain(der: Uint8Array, intermediates: unknown): DecodedCertificate {
  const decoded = decodeDer(der);
  if (intermediates === undefined || decoded.kind !== 'certificate') {
    return decoded;
  }
  const isChain =
    Array.isArray(intermediates) &&
    intermediates.every((item) => isUint8Array(item) && decodeDer(item).kind === 'certificate');
  return isChain
    ? { ...decoded, intermediates: intermediates.slice(0, MAX_INTERMEDIATES) }
    : malformed('the decoder returned intermediates that are no list of DER certificates');
}

/** Returns what the decoder returned, and a malformed value where it threw. */
function attempted(decode: CertificateDecoder, value: string): unknown {
  try {
    return decode(value);
  } catch {
    return malformed('the decoder threw');
  }
}

/** Whether a value is the base64url of 32 bytes, with zeros as the unused bits of the last character. */
export function isThumbprint(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{42}[AEIMQUYcgkosw048]$/.test(value);
}

export function malformed(why: string): DecodedCertificate {
  return { kind: 'malformed', why };
}

/**
 * Percent-encoded PEM: NGINX, AWS, Azure Application Gateway and others. `+` is itself, never a
 * blank.
 */
export const escapedPem: CertificateDecoder = (value) => unescaped(value, pem);

/** Percent-encoded PEM of the client's own certificate, and of the rest of its chain after it. */
export const escapedPemChain: CertificateDecoder = (value) => unescaped(value, pemChain);

/** PEM whose line ends a proxy turned to blanks, as a header needs. */
export const pem: CertificateDecoder = (value) => (value === '' ? noCertificate : onlyOne(pemBodies(value)));

/** PEM of the client's own certificate and then of the rest of its chain, with blanks as line ends. */
export const pemChain: CertificateDecoder = (value) =>
  value === '' ? noCertificate : firstOf(pemBodies(value));

/** Base64 of a whole PEM text: Apache's `%{base64:...}`. */
export const base64Pem: CertificateDecoder = (value) => {
  if (value === '') {
    return noCertificate;
  }
  const text = base64(value)?.toString('latin1');
  return text === undefined ? malformed('not base64') : pem(text);
};

/** Base64 of the DER, on one line: HAProxy, Azure App Service, Cloudflare and others. */
export const base64Der: CertificateDecoder = (value) => (value === '' ? noCertificate : certificate(value));

/** The SHA-256 of the certificate in hex, on one line: CloudFront, HAProxy, Caddy. */
export const hexHash: CertificateDecoder = (value) => {
  if (value === '') {
    return noCertificate;
  }
  return /^[0-9a-fA-F]{64}$/.test(value)
    ? { kind: 'hash', thumbprint: Buffer.from(value, 'hex').toString('base64url') }
    : malformed('not a SHA-256 in hex');
};

/** The SHA-256 of the certificate in base64, not base64url; Google Cloud leaves out the padding. */
export const base64Hash: CertificateDecoder = (value) => {
  if (value === '') {
    return noCertificate;
  }
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=?$/.test(value)
    ? { kind: 'hash', thumbprint: Buffer.from(value, 'base64').toString('base64url') }
    : malformed('not a SHA-256 in base64');
};

/** Base64 DER, percent-encoded or not, the chain behind commas: Traefik. */
export const commaSeparatedDer: CertificateDecoder = (value) =>
  unescaped(value, (text) => (text === '' ? noCertificate : firstOf(text.split(','))));

/**
 * A structured-field Byte Sequence, `:base64 DER:`, and nothing else: no blanks and no
 * parameters (RFC 9440 §2.1, RFC 8941 §3.3.5). `::` is none.
 */
export const byteSequence: CertificateDecoder = (value) => {
  if (value === '' || value === '::') {
    return noCertificate;
  }
  const bytes = bareBytes(value);
  return bytes === undefined ? malformed('not a Byte Sequence') : decodeDer(Buffer.from(bytes));
};

function bareBytes(value: string): ArrayBuffer | undefined {
  // The parser of an Item lets blanks around it and parameters behind it pass.
  if (!value.startsWith(':') || !value.endsWith(':')) {
    return undefined;
  }
  try {
    const [bytes, parameters] = parseItem(value);
    return isArrayBuffer(bytes) && parameters.size === 0 ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads a List of Byte Sequences, each of them a certificate, in the order of TLS: Client-Cert-Chain
 * (RFC 9440 §2.3, RFC 8941 §3.1). Returns the first `MAX_INTERMEDIATES` certificates, or the reason why
 * it is no such list.
 * Never throws, and takes time linear in the value's length.
 */
export function certificateList(value: string): readonly Uint8Array[] | string {
  let members: ReturnType<typeof parseList>;
  try {
    members = parseList(value);
  } catch {
    return 'not a List of Byte Sequences';
  }
  const certificates: Uint8Array[] = [];
  for (const [bytes, parameters] of members) {
    if (!isArrayBuffer(bytes) || parameters.size > 0) {
      return 'not a List of Byte Sequences';
    }
    const decoded = decodeDer(Buffer.from(bytes));
    if (decoded.kind !== 'certificate') {
      return 'a Byte Sequence that is not exactly one DER certificate';
    }
    certificates.push(decoded.der);
  }
  return certificates.slice(0, MAX_INTERMEDIATES);
}

/** Decodes percent-encoding first. If that fails, `decode` is not called. */
function unescaped(value: string, decode: CertificateDecoder): DecodedCertificate {
  try {
    return decode(value.includes('%') ? decodeURIComponent(value) : value);
  } catch {
    return malformed('percent signs that encode nothing');
  }
}

function onlyOne(bodies: readonly string[]): DecodedCertificate {
  return bodies.length > 1 ? malformed('several certificates where one is expected') : firstOf(bodies);
}

/** The client's own certificate comes first; the others must be certificates all the same. */
function firstOf(bodies: readonly string[]): DecodedCertificate {
  const decoded = bodies.map(certificate);
  const [first, ...others] = decoded;
  if (first?.kind !== 'certificate' || others.length === 0) {
    return first ?? malformed('not PEM');
  }
  const bad = others.find(({ kind }) => kind === 'malformed');
  const intermediates = others.flatMap((one) => (one.kind === 'certificate' ? [one.der] : []));
  return bad ?? { ...first, intermediates: intermediates.slice(0, MAX_INTERMEDIATES) };
}

function certificate(body: string): DecodedCertificate {
  const der = base64(body);
  return der === undefined ? malformed('not base64') : decodeDer(der);
}

/** Takes DER for a certificate if it has the outer shape of one. */
export function decodeDer(der: Uint8Array): DecodedCertificate {
  return isOneSequence(Buffer.from(der.buffer, der.byteOffset, der.byteLength))
    ? { kind: 'certificate', der }
    : malformed('not exactly one DER certificate');
}

/**
 * The Base64 bodies of PEM blocks with nothing but blanks between them; none at all for anything
 * else.
 */
function pemBodies(text: string): string[] {
  const bodies: string[] = [];
  let at = 0;
  for (let start = text.indexOf(begin); start !== -1; start = text.indexOf(begin, at)) {
    const stop = text.indexOf(end, start);
    if (stop === -1 || !isBlank(text.slice(at, start))) {
      return [];
    }
    bodies.push(text.slice(start + begin.length, stop).replace(/[ \t\r\n]/g, ''));
    at = stop + end.length;
  }
  return isBlank(text.slice(at)) ? bodies : [];
}

const begin = '-----BEGIN CERTIFICATE-----';
const end = '-----END CERTIFICATE-----';

function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text);
}

/**
 * Node's decoder skips what it does not know; only what encodes back to the very same text is
 * Base64.
 */
function base64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : undefined;
}

/**
 * Whether the bytes are exactly one ASN.1 SEQUENCE in DER, of minimal length and with nothing
 * behind it. No more is needed for a thumbprint; the content is parsed when the X.509 view is read.
 */
function isOneSequence(der: Buffer): boolean {
  const first = der[1];
  if (der[0] !== 0x30 || first === undefined) {
    return false;
  }
  if (first < 0x80) {
    return der.length === 2 + first;
  }
  const lengthBytes = first - 0x80;
  if (lengthBytes < 1 || lengthBytes > 4 || der.length < 2 + lengthBytes) {
    return false;
  }
  const length = der.readUIntBE(2, lengthBytes);
  const isMinimal = length >= 0x80 && der[2] !== 0;
  return isMinimal && der.length === 2 + lengthBytes + length;
}
