import { createHash, randomBytes } from 'node:crypto';
import { isSameBytes, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';
import type { PathCertificate } from '../chain/path-certificate.js';

/** RFC 9654 §2.1. */
const NONCE_LENGTH = 32;

const EXTENSIONS = 0xa2;

/** 1.3.14.3.2.26. */
const sha1Id = Buffer.from('06052b0e03021a', 'hex');

/** 1.3.6.1.5.5.7.48.1.2. */
const nonceId = Buffer.from('06092b0601050507300102', 'hex');

/** Which certificate a responder is asked about (RFC 6960 §4.1.1). */
export interface CertificateId {
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** The content of the serial number. */
  readonly serial: Uint8Array;
}

export interface OcspRequest {
  readonly der: Uint8Array;
  readonly id: CertificateId;
  readonly nonce: Uint8Array | undefined;
}

/**
 * Makes the name of a certificate for responders. SHA-1, as clients do: RFC 5019 §2.1.1 demands it, and
 * many responders know no other hash. It is no signature and no secret, it selects an answer among
 * those that the authority signed. A collision helps only an authority that makes two of its own
 * subordinate authorities.
 */
export function createCertificateId(certificate: PathCertificate, issuer: PathCertificate): CertificateId {
  return {
    issuerNameHash: sha1(certificate.issuer),
    issuerKeyHash: keyHashOf(issuer),
    serial: Buffer.from(certificate.serialNumber, 'hex'),
  };
}

/** The SHA-1 of the bits of a public key, without tag, length and count of unused bits. */
export function keyHashOf({ publicKey }: PathCertificate): Uint8Array {
  const bits = sequenceOf(publicKey)?.[1];
  return sha1(bits?.content.subarray(1) ?? new Uint8Array());
}

/** Makes the request for one certificate. */
export function createOcspRequest(id: CertificateId, withNonce: boolean): OcspRequest {
  const nonce = withNonce ? randomBytes(NONCE_LENGTH) : undefined;
  const certId = element(
    tags.sequence,
    element(tags.sequence, sha1Id, element(0x05)),
    element(tags.octetString, id.issuerNameHash),
    element(tags.octetString, id.issuerKeyHash),
    element(tags.integer, id.serial),
  );
  const requests = element(tags.sequence, element(tags.sequence, certId));
  const extensions =
    nonce === undefined ? [] : [element(EXTENSIONS, element(tags.sequence, nonceExtension(nonce)))];
  const der = element(tags.sequence, element(tags.sequence, requests, ...extensions));
  return { der, id, nonce };
}

/** Whether the value of the extension is this nonce. */
export function isNonce(value: Uint8Array, nonce: Uint8Array): boolean {
  const octets = onlyElement(value);
  return octets?.tag === tags.octetString && isSameBytes(octets.content, nonce);
}

function nonceExtension(nonce: Uint8Array): Uint8Array {
  const value = element(tags.octetString, nonce);
  return element(tags.sequence, nonceId, element(tags.octetString, value));
}

/** DER of less than 64 KiB. */
function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash('sha1').update(bytes).digest();
}
