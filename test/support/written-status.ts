import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { x509 } from '../../packages/core/src/certificate/lazy-x509.js';
import {
  createStatusChecker,
  type PathStatus,
  type StatusChecker,
} from '../../packages/core/src/certificate-status/status-checker.js';
import type { CertificateStatusSettings } from '../../packages/core/src/certificate-status/status-options.js';
import { CrlSigners } from '../../packages/core/src/chain/crl-signers.js';
import { groupBySubject } from '../../packages/core/src/chain/path-building.js';
import { type PathCertificate, readPathCertificate } from '../../packages/core/src/chain/path-certificate.js';
import { generateP256 } from './key-pairs.js';
import {
  bits,
  boolean,
  commonName,
  der,
  extension,
  identifier,
  integer,
  octets,
  sequence,
  text,
  time,
} from './written-der.js';

await x509.load();

export const hour = 3_600_000;

export const ecdsaSha256 = sequence(identifier('1.2.840.10045.4.3.2'));

/** A certificate that a test wrote, with its key. */
export interface Written {
  readonly certificate: PathCertificate;
  readonly key: KeyObject;
}

export interface CertificateParts {
  readonly serial?: readonly number[];
  readonly name?: Uint8Array;
  /** Default: signed by itself. */
  readonly issuer?: Written;
  readonly isAuthority?: boolean;
  readonly extensions?: readonly Uint8Array[];
  readonly notAfter?: number;
  readonly key?: 'ec' | 'rsa' | 'ed25519';
  /** Its key is that of another certificate. */
  readonly keyOf?: Written;
}

export function writeCertificate(parts: CertificateParts): Written {
  const { serial = [1], name = commonName('leaf'), issuer, isAuthority = false, extensions = [] } = parts;
  const { publicKey, privateKey } =
    parts.keyOf === undefined
      ? generateKeys(parts.key)
      : { publicKey: createPublicKey(parts.keyOf.key), privateKey: parts.keyOf.key };
  const constraints = isAuthority ? [extension('2.5.29.19', sequence(boolean(true)), true)] : [];
  const all = [...constraints, ...extensions];
  const signer = issuer?.key ?? privateKey;
  const algorithm = algorithmOf(signer);
  const signed = sequence(
    der(0xa0, integer(2)),
    integer(...serial),
    algorithm,
    issuer?.certificate.subject ?? name,
    sequence(time(Date.now() - hour, true), time(parts.notAfter ?? Date.now() + 24 * hour, true)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(all.length > 0 ? [der(0xa3, sequence(...all))] : []),
  );
  const certificate = readPathCertificate(sequence(signed, algorithm, bits(signBy(signer, signed))));
  if (typeof certificate === 'string') {
    throw new Error(certificate);
  }
  return { certificate, key: privateKey };
}

export const writeAuthority = (parts: Omit<CertificateParts, 'isAuthority'> = {}): Written =>
  writeCertificate({ name: commonName('authority'), ...parts, isAuthority: true });

function generateKeys(kind: CertificateParts['key']): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (kind) {
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2_048 });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    default:
      return generateP256();
  }
}

function algorithmOf(key: KeyObject): Buffer {
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return sequence(identifier('1.2.840.113549.1.1.11'), der(0x05));
    case 'ed25519':
      return sequence(identifier('1.3.101.112'));
    default:
      return ecdsaSha256;
  }
}

function signBy(key: KeyObject, signed: Uint8Array): Buffer {
  return sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', signed, key);
}

/** The extension that names distribution points. */
export const pointsAt = (...points: readonly Uint8Array[]): Buffer =>
  extension('2.5.29.31', sequence(...points));

/** DistributionPointName, with its tag. */
export const pointName = (...uris: readonly string[]): Buffer =>
  der(0xa0, der(0xa0, ...uris.map((uri) => text(0x86, uri))));

export const point = (uri: string, ...more: readonly Uint8Array[]): Buffer =>
  sequence(pointName(uri), ...more);

export const responderAt = (uri: string): Buffer =>
  extension('1.3.6.1.5.5.7.1.1', sequence(sequence(identifier('1.3.6.1.5.5.7.48.1'), text(0x86, uri))));

export interface ListParts {
  readonly signer?: Pick<Written, 'key'>;
  readonly issuerName?: Uint8Array;
  readonly thisUpdate?: number;
  readonly nextUpdate?: number | 'none';
  /** Serial numbers. */
  readonly revoked?: readonly (readonly number[])[];
  readonly entryExtensions?: readonly Uint8Array[];
  readonly extensions?: readonly Uint8Array[];
  readonly version?: 1 | 2;
  readonly innerAlgorithm?: Uint8Array;
  readonly outerAlgorithm?: Uint8Array;
  readonly signature?: Uint8Array;
  /** Behind all other members of the signed part. */
  readonly more?: readonly Uint8Array[];
}

/** A revocation list of an authority, with whatever faults a test asks for. */
export function writeList(authority: Written, parts: ListParts = {}): Buffer {
  const { revoked = [], entryExtensions = [], extensions = [], version = 2, more = [] } = parts;
  const { thisUpdate = Date.now() - hour, nextUpdate = Date.now() + hour } = parts;
  const key = (parts.signer ?? authority).key;
  const entries = revoked.map((serial) =>
    sequence(
      integer(...serial),
      time(Date.now() - hour, true),
      ...(entryExtensions.length > 0 ? [sequence(...entryExtensions)] : []),
    ),
  );
  const signed = sequence(
    ...(version === 2 ? [integer(1)] : []),
    parts.innerAlgorithm ?? algorithmOf(key),
    parts.issuerName ?? authority.certificate.subject,
    time(thisUpdate, true),
    ...(nextUpdate === 'none' ? [] : [time(nextUpdate, true)]),
    ...(entries.length > 0 ? [sequence(Buffer.concat(entries))] : []),
    ...(extensions.length > 0 ? [der(0xa0, sequence(...extensions))] : []),
    ...more,
  );
  const outer = parts.outerAlgorithm ?? parts.innerAlgorithm ?? algorithmOf(key);
  return sequence(signed, outer, bits(parts.signature ?? signBy(key, signed)));
}

export const reason = (code: number): Buffer => extension('2.5.29.21', der(0x0a, Buffer.from([code])));

/** IssuingDistributionPoint. */
export const issuedFor = (...members: readonly Uint8Array[]): Buffer =>
  extension('2.5.29.28', sequence(...members), true);

export interface OcspParts {
  readonly signer?: Written;
  /** Certificates next to the answer. */
  readonly certificates?: readonly Uint8Array[];
  readonly byKey?: boolean;
  readonly status?: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate?: number;
  readonly nextUpdate?: number | 'none';
  readonly nonce?: Uint8Array;
  readonly serial?: Uint8Array;
  readonly issuerName?: Uint8Array;
  readonly issuerKey?: Uint8Array;
  readonly hash?: string;
  readonly responseStatus?: number;
  readonly singleExtensions?: readonly Uint8Array[];
  readonly signature?: Uint8Array;
  /** How often the certificate is answered about. */
  readonly times?: number;
}

/** A responder's answer about a certificate, with whatever faults a test asks for. */
export function writeOcsp(certificate: PathCertificate, authority: Written, parts: OcspParts = {}): Buffer {
  const { signer = authority, status = 'good', nonce, singleExtensions = [], responseStatus = 0 } = parts;
  const { thisUpdate = Date.now() - 60_000, nextUpdate = Date.now() + hour, certificates = [] } = parts;
  const id = sequence(
    sequence(identifier(parts.hash ?? '1.3.14.3.2.26'), der(0x05)),
    octets(sha1(parts.issuerName ?? certificate.issuer)),
    octets(sha1(parts.issuerKey ?? keyBits(authority))),
    der(0x02, parts.serial ?? Buffer.from(certificate.serialNumber, 'hex')),
  );
  const statuses = {
    good: der(0x80),
    revoked: der(0xa1, time(Date.now() - hour), der(0xa0, der(0x0a, Buffer.from([1])))),
    unknown: der(0x82),
  };
  const single = sequence(
    id,
    statuses[status],
    time(thisUpdate),
    ...(nextUpdate === 'none' ? [] : [der(0xa0, time(nextUpdate))]),
    ...(singleExtensions.length > 0 ? [der(0xa1, sequence(...singleExtensions))] : []),
  );
  const nonceExtension = nonce && extension('1.3.6.1.5.5.7.48.1.2', octets(nonce));
  const signed = sequence(
    parts.byKey ? der(0xa2, octets(sha1(keyBits(signer)))) : der(0xa1, signer.certificate.subject),
    time(Date.now()),
    sequence(...Array.from({ length: parts.times ?? 1 }, () => single)),
    ...(nonceExtension === undefined ? [] : [der(0xa1, sequence(nonceExtension))]),
  );
  const basic = sequence(
    signed,
    algorithmOf(signer.key),
    bits(parts.signature ?? signBy(signer.key, signed)),
    ...(certificates.length > 0 ? [der(0xa0, sequence(...certificates))] : []),
  );
  const bytes = der(0xa0, sequence(identifier('1.3.6.1.5.5.7.48.1.1'), octets(basic)));
  return sequence(der(0x0a, Buffer.from([responseStatus])), ...(responseStatus === 0 ? [bytes] : []));
}

/** The bits of a public key, which OCSP hashes: of these keys the last 65 bytes. */
function keyBits({ certificate }: Written): Buffer {
  const spki = new X509Certificate(certificate.der).publicKey.export({ type: 'spki', format: 'der' });
  return spki.subarray(-65);
}

function sha1(bytes: Uint8Array): Buffer {
  return createHash('sha1').update(bytes).digest();
}

export function pem(list: Uint8Array): string {
  return `-----BEGIN X509 CRL-----\n${Buffer.from(list).toString('base64').replaceAll(/.{64}/g, '$&\n')}\n-----END X509 CRL-----\n`;
}

export const defaultSettings: CertificateStatusSettings = {
  by: ['crl'],
  mode: 'strict',
  crlFiles: undefined,
  origins: undefined,
  ca: undefined,
  refreshInterval: 300,
  timeout: 5,
  maxSize: 10_485_760,
  nonce: false,
  crlFilesOption: 'certificatePolicy.revocationCheck.crlFiles',
};

/** Writes files, calls `use` with their paths, and removes them. */
export async function withFiles<T>(
  contents: readonly (string | Uint8Array)[],
  use: (paths: readonly string[]) => Promise<T> | T,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'lists-'));
  try {
    const paths = contents.map((content, index) => {
      const path = join(folder, `${index}.crl`);
      writeFileSync(path, content);
      return path;
    });
    return await use(paths);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The status of a path by lists in files, which other `configured` certificates may have signed. */
export function statusByLists(
  path: readonly Written[],
  lists: readonly (string | Uint8Array)[],
  clockTolerance = 0,
  configured: readonly Written[] = [],
  anchors: readonly Written[] = path.slice(-1),
): Promise<PathStatus> {
  const crlSigners = new CrlSigners(() => ({
    authorities: groupBySubject(anchors.map(({ certificate }) => certificate)),
    intermediates: groupBySubject(configured.map(({ certificate }) => certificate)),
    generation: 1,
  }));
  return withFiles(lists, async (crlFiles) => {
    const statusChecker: StatusChecker = createStatusChecker(
      { ...defaultSettings, crlFiles },
      () => clockTolerance,
      () => undefined,
      { crlSigners },
    );
    try {
      const certificates = path.map(({ certificate }) => certificate);
      await statusChecker.prepare(certificates);
      return statusChecker.statusOf(certificates, Date.now());
    } finally {
      statusChecker.close();
    }
  });
}
