import type { DerElement } from './der-elements.js';
import { tags as derTags, membersOf, onlyItem, sequenceOf } from './der-members.js';

/** Bytes. Certificates have a few thousand, those with post-quantum keys and signatures too. */
const MAX_SIZE = 16_384;

/** Certificates have a dozen. */
const MAX_EXTENSIONS = 100;

/** The fields of a certificate that rules look into, not yet parsed. */
export interface CertificateFields {
  /** The DER of the issuer's name. */
  readonly issuer: Uint8Array;
  /** The DER of the subject's name. */
  readonly subject: Uint8Array;
  /** The extensions that rules read, by the object identifier. */
  readonly extensions: ReadonlyMap<ExtensionId, ExtensionBytes>;
  /** Every extension, by the content of its object identifier in hex. */
  readonly allExtensions: ReadonlyMap<string, ExtensionBytes>;
  /** The version number as X.509 counts: 1, 2 or 3. */
  readonly version: number;
  /** The content of the serial number. */
  readonly serialNumber: Uint8Array;
  /** The DER of the signature's algorithm, as what is signed names it. */
  readonly signatureAlgorithm: Uint8Array;
  /** The DER of the validity. */
  readonly validity: Uint8Array;
  /** The DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

/** An extension that is not yet parsed. */
export interface ExtensionBytes {
  /** The DER of the extension. */
  readonly whole: Uint8Array;
  /** The DER within its octet string. */
  readonly value: Uint8Array;
  readonly isCritical: boolean;
}

/** The object identifiers of the extensions that rules read: the content of their DER, in hex. */
export const extensionIds = {
  /** 2.5.29.17 (RFC 5280 §4.2.1.6). */
  subjectAltName: '551d11',
  /** 2.5.29.37 (RFC 5280 §4.2.1.12). */
  extendedKeyUsage: '551d25',
  /** 1.3.6.1.5.5.7.1.3 (RFC 3739 §3.2.6). */
  qcStatements: '2b06010505070103',
} as const;

export type ExtensionId = (typeof extensionIds)[keyof typeof extensionIds];

/** Beside those of DER, the tags that a certificate gives its version and its extensions. */
const tags = { ...derTags, version: 0xa0, extensions: 0xa3 } as const;

/** serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo (RFC 5280 §4.1). */
const fixed = [tags.integer, ...Array.from({ length: 5 }, () => tags.sequence)];

/**
 * Finds the fields of a certificate by their place in it (RFC 5280 §4.1), by tags and lengths
 * alone. Keys, signatures and extensions that no rule asks for are stepped over. Returns the reason
 * if it has another structure or is too large.
 */
export function readCertificateFields(der: Uint8Array): CertificateFields | string {
  if (der.length > MAX_SIZE) {
    return `it has more than ${MAX_SIZE} bytes`;
  }
  const certificate = sequenceOf(der);
  const [tbs, algorithm, bits] = certificate ?? [];
  const members = membersOf(tbs, tags.sequence);
  if (
    certificate?.length !== 3 ||
    algorithm?.tag !== tags.sequence ||
    bits?.tag !== tags.bitString ||
    members === undefined
  ) {
    return notDer;
  }
  const fields = members[0]?.tag === tags.version ? members.slice(1) : members;
  const [serialNumber, signature, issuer, validity, subject, publicKey] = fields;
  if (
    serialNumber === undefined ||
    signature === undefined ||
    issuer === undefined ||
    validity === undefined ||
    subject === undefined ||
    publicKey === undefined ||
    fixed.some((tag, at) => fields[at]?.tag !== tag)
  ) {
    return notDer;
  }
  const tagged = fields.slice(fixed.length).filter(({ tag }) => tag === tags.extensions);
  const all = tagged.length === 0 ? new Map<string, ExtensionBytes>() : extensionsIn(onlyItem(tagged));
  if (typeof all === 'string') {
    return all;
  }
  return {
    issuer: issuer.whole,
    subject: subject.whole,
    extensions: readByRules(all),
    allExtensions: all,
    version: versionOf(members[0]),
    serialNumber: serialNumber.content,
    signatureAlgorithm: signature.whole,
    validity: validity.whole,
    publicKey: publicKey.whole,
  };
}

/** Version 1 is the default, and is not written (RFC 5280 §4.1.2.1). */
function versionOf(first: DerElement | undefined): number {
  const number = onlyItem(membersOf(first, tags.version));
  return number?.content.length === 1 ? (number.content[0] ?? 0) + 1 : 1;
}

function readByRules(all: ReadonlyMap<string, ExtensionBytes>): ReadonlyMap<ExtensionId, ExtensionBytes> {
  return new Map(
    Object.values(extensionIds).flatMap((id) => {
      const extension = all.get(id);
      return extension === undefined ? [] : [[id, extension] as const];
    }),
  );
}

const notDer = 'it has not the structure of one in DER';

function extensionsIn(tagged: DerElement | undefined): ReadonlyMap<string, ExtensionBytes> | string {
  const listed = membersOf(onlyItem(membersOf(tagged, tags.extensions)), tags.sequence);
  if (listed === undefined) {
    return notDer;
  }
  if (listed.length > MAX_EXTENSIONS) {
    return `it has more than ${MAX_EXTENSIONS} extensions`;
  }
  const all = new Map<string, ExtensionBytes>();
  for (const extension of listed) {
    const [id, ...others] = membersOf(extension, tags.sequence) ?? [];
    const value = others.pop();
    const [critical] = others;
    const isCriticalRead =
      others.length === 0 || (critical?.tag === tags.boolean && critical.content.length === 1);
    if (
      id?.tag !== tags.objectIdentifier ||
      value?.tag !== tags.octetString ||
      others.length > 1 ||
      !isCriticalRead
    ) {
      return notDer;
    }
    const name = Buffer.from(id.content).toString('hex');
    if (all.has(name)) {
      return 'it has an extension twice (RFC 5280 §4.2)';
    }
    all.set(name, {
      whole: extension.whole,
      value: value.content,
      isCritical: critical !== undefined && critical.content[0] !== 0,
    });
  }
  return all;
}
