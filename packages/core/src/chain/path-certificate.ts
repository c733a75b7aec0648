import { X509Certificate } from 'node:crypto';
import { type CertificateFields, readCertificateFields } from '../certificate/certificate-fields.js';
import { thumbprintOf } from '../certificate/client-certificate.js';
import type { DerElement } from '../certificate/der-elements.js';
import { readTime, sequenceOf } from '../certificate/der-members.js';
import { decodeDistinguishedName } from '../certificate/distinguished-name.js';
import { x509Library } from '../certificate/lazy-x509.js';
import { explainTooCostly, measureParsingCost } from '../certificate/parsing-cost.js';

/** An extension of a certificate, its value not yet read. */
export interface PathExtension {
  readonly isCritical: boolean;
  /** The DER within the octet string. */
  readonly value: Uint8Array;
}

/** A certificate that may be part of a certification path (RFC 5280 §6). */
export interface PathCertificate {
  readonly der: Uint8Array;
  /** `x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string;
  /**
   * OpenSSL's view, which verifies signatures; made when it is first needed. Throws for what is no
   * certificate. OpenSSL decodes its key, so see `explainUnacceptedIssuerKey()` first.
   */
  readonly x509: X509Certificate;
  /** The version number as X.509 counts: 1, 2 or 3. */
  readonly version: number;
  /** The content of the serial number, in hex. */
  readonly serialNumber: string;
  /** The DER of the issuer's name. */
  readonly issuer: Uint8Array;
  /** The DER of the subject's name. */
  readonly subject: Uint8Array;
  /** The issuer's name as a text: names that count as equal (RFC 5280 §7.1) have equal texts. */
  readonly issuerName: string;
  /** The subject's name, as `issuerName`. */
  readonly subjectName: string;
  /** The DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  /** The DER of the signature's algorithm. */
  readonly signatureAlgorithm: Uint8Array;
  /** Every extension, by the content of its object identifier in hex. */
  readonly extensions: ReadonlyMap<string, PathExtension>;
  /** The start of its validity, in milliseconds since the epoch. */
  readonly notBefore: number;
  /** The end of its validity, in milliseconds since the epoch. */
  readonly notAfter: number;
}

/**
 * Reads a certificate. Returns the reason if it is no certificate, or would cost too much to
 * read. Only its names are parsed: nothing else is, before a signature is verified, and OpenSSL reads
 * nothing of it. Needs `x509.load()`.
 */
export function readPathCertificate(der: Uint8Array): PathCertificate | string {
  const fields = readParsableFields(der);
  if (typeof fields === 'string') {
    return fields;
  }
  // Not within `try`: a library that is not loaded is no fault of the certificate.
  x509Library();
  try {
    const [notBefore, notAfter] = (sequenceOf(fields.validity) ?? []).map(timeOf);
    if (notBefore === undefined || notAfter === undefined) {
      return 'its validity can not be read';
    }
    let x509: X509Certificate | undefined;
    return {
      der,
      thumbprint: thumbprintOf(der),
      get x509() {
        x509 ??= new X509Certificate(der);
        return x509;
      },
      version: fields.version,
      serialNumber: Buffer.from(fields.serialNumber).toString('hex'),
      issuer: fields.issuer,
      subject: fields.subject,
      issuerName: comparableName(fields.issuer),
      subjectName: comparableName(fields.subject),
      publicKey: fields.publicKey,
      signatureAlgorithm: fields.signatureAlgorithm,
      extensions: fields.allExtensions,
      notBefore,
      notAfter,
    };
  } catch {
    return 'it is not an X.509 certificate';
  }
}

/**
 * Finds the fields of a certificate whose names a library may parse. Returns the reason if it is no
 * certificate, or if its names would cost too much. Needs no library itself.
 */
export function readParsableFields(der: Uint8Array): CertificateFields | string {
  const fields = readCertificateFields(der);
  if (typeof fields === 'string') {
    return fields;
  }
  const names = [measureParsingCost(fields.issuer), measureParsingCost(fields.subject)];
  return names.find((name) => name.why !== undefined)?.why ?? explainTooCostly(names) ?? fields;
}

/** Elements of names that are parsed at the cost of a quarter of a millisecond. */
export const ELEMENTS_PER_COST = 25;

/** Elements of the names of a certificate: only these are parsed. 0 for a certificate that is not parsed. */
export function nameElements(der: Uint8Array): number {
  const fields = readParsableFields(der);
  return typeof fields === 'string'
    ? 0
    : measureParsingCost(fields.issuer).elements + measureParsingCost(fields.subject).elements;
}

function timeOf({ tag, content }: DerElement): number | undefined {
  return readTime(tag, content);
}

/** A name as a text: names that count as equal (RFC 5280 §7.1) have equal texts. May throw. */
export function comparableName(der: Uint8Array): string {
  return JSON.stringify(decodeDistinguishedName(new (x509Library().Name)(der).toJSON()));
}

/** Whether the subject issued it to itself: its issuer and subject are one name (RFC 5280 §6.1). */
export function isSelfIssued({ issuerName, subjectName }: PathCertificate): boolean {
  return issuerName === subjectName;
}
