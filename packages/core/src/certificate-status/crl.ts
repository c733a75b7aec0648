import { createHash } from 'node:crypto';
import { isSameBytes, readExtensions, readTime, tags } from '../certificate/der-members.js';
import { comparableKey } from '../chain/comparable-key.js';
import { extensionOf, pathExtensionIds, readKeyUsage } from '../chain/extension-values.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { CrlEntries } from './crl-entries.js';
import { type CrlScope, readScope, unlimitedScope } from './crl-scope.js';
import { DerCursor } from './der-cursor.js';
import { explainBadSignature } from './signature-check.js';
import { type SignedStructure, splitSigned } from './signed-structure.js';
import type { StatusReason } from './status-reason.js';
import { isSubjectOf } from './subject-name.js';

/** The parts of a revocation list by their place, before its signature is verified. */
export interface CrlHead {
  readonly der: Uint8Array;
  /** The DER of the issuer's name. */
  readonly issuer: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly thisUpdate: number;
  /** Milliseconds since the epoch. */
  readonly nextUpdate: number;
  readonly parts: SignedStructure;
  /** Where the entries begin and end in the signed content. */
  readonly entries: { readonly from: number; readonly to: number };
  /** The DER of its extensions; `undefined` if it has none. */
  readonly extensions: Uint8Array | undefined;
}

/** A list whose signature was verified, and which can be used. */
export interface Crl {
  /** Milliseconds since the epoch. */
  readonly thisUpdate: number;
  /** Milliseconds since the epoch. */
  readonly nextUpdate: number;
  readonly scope: CrlScope;
  /** It names the changes since another list. A certificate that it does not name may be revoked. */
  readonly isDelta: boolean;
  /**
   * Equal for lists of the same scope and, for delta lists, with the same base list. Of two lists of one kind
   * by one key, the newer list replaces the older one.
   */
  readonly kind: string;
  readonly entries: CrlEntries;
  readonly der: Uint8Array;
  /** Bytes that it takes: its own, the table of its entries and the names of its distribution point. */
  readonly size: number;
  /** The public key of its signer, as `comparableKey()` returns it. */
  readonly signerKey: string;
}

/** Why a list can't be used. */
export interface UnusableCrl extends StatusReason {
  /** The key that has signed it, as `comparableKey()` returns it; `undefined` if it may be another key. */
  readonly signerKey?: string;
}

const EXTENSIONS = 0xa0;

/** Bytes of one name of a distribution point in a set: its key of 43 characters, and its place. */
const NAME_SIZE = 128;

const extensionIds = {
  issuingDistributionPoint: '551d1c',
  deltaListIndicator: '551d1b',
  number: '551d14',
} as const;

/**
 * The extensions that may be critical. CRLNumber, AuthorityKeyIdentifier and IssuerAltName change
 * nothing of what a list says.
 */
const known: ReadonlySet<string> = new Set([...Object.values(extensionIds), '551d23', '551d12']);

/** Why a list is no proof that a certificate is good if `mayProve()` says no. */
export const lacksCrlSign: StatusReason = {
  code: 'wrong_signer',
  why: 'the key usage of its issuer lacks cRLSign',
};

const notList: StatusReason = { code: 'unreadable', why: 'it is not a revocation list in DER' };

/**
 * Finds the parts of a list (RFC 5280 §5.1) by tags and lengths. Reads no entry: nothing is verified yet.
 * Returns the reason if it is no such list.
 */
export function readCrlHead(der: Uint8Array): CrlHead | StatusReason {
  const parts = splitSigned(der);
  if (parts === undefined || parts.rest.length > 0) {
    return notList;
  }
  const member = new DerCursor(parts.content);
  if (!member.next()) {
    return notList;
  }
  const isVersion2 = member.tag === tags.integer;
  if (isVersion2 && (member.content().length !== 1 || member.content()[0] !== 1 || !member.next())) {
    return notList;
  }
  if (member.tag !== tags.sequence || !isSameBytes(member.whole(), parts.algorithm)) {
    return {
      code: 'unreadable',
      why: 'the signature algorithms within and next to the signed part differ',
    };
  }
  if (!member.nextIs(tags.sequence)) {
    return notList;
  }
  const issuer = member.whole();
  const thisUpdate = member.next() ? readTime(member.tag, member.content()) : undefined;
  const nextUpdate = member.next() ? readTime(member.tag, member.content()) : undefined;
  if (thisUpdate === undefined) {
    return notList;
  }
  if (nextUpdate === undefined) {
    return { code: 'outdated', why: 'it has no nextUpdate' };
  }
  let entries: CrlHead['entries'] | undefined;
  let extensions: Uint8Array | undefined;
  while (member.next()) {
    const isFirst = extensions === undefined;
    if (member.tag === tags.sequence && isFirst && entries === undefined) {
      entries = { from: member.start, to: member.end };
    } else if (member.tag === EXTENSIONS && isFirst && isVersion2) {
      extensions = member.content();
    } else {
      return notList;
    }
  }
  const { from, to } = entries ?? { from: 0, to: 0 };
  return member.isAtEnd
    ? { der, issuer, thisUpdate, nextUpdate, parts, entries: { from, to }, extensions }
    : notList;
}

/** Finds the DER of the issuer's name in a list that `readCrlHead()` may refuse. */
export function readCrlIssuer(der: Uint8Array): Uint8Array | undefined {
  const content = splitSigned(der)?.content;
  const member = new DerCursor(content ?? new Uint8Array());
  const hasAlgorithm = member.next() && (member.tag !== tags.integer || member.next());
  return hasAlgorithm && member.nextIs(tags.sequence) ? member.whole() : undefined;
}

/**
 * Verifies the signature of a list, then reads the rest of it. Resolves with the reason if the list can't be
 * used. Never rejects.
 *
 * @param issuer the certificate of the list's issuer whose key must have signed it
 */
export async function openCrl(head: CrlHead, issuer: PathCertificate): Promise<Crl | UnusableCrl> {
  const { parts, thisUpdate, nextUpdate } = head;
  if (!isSubjectOf(head.issuer, issuer)) {
    return { code: 'wrong_signer', why: 'it is of another issuer' };
  }
  const { algorithm, signed, signature } = parts;
  const reason = await explainBadSignature(algorithm, signed, signature, issuer);
  if (reason !== undefined) {
    return reason;
  }
  const content = await readContent(head);
  const signerKey = comparableKey(issuer);
  return 'why' in content ? { ...content, signerKey } : { thisUpdate, nextUpdate, ...content, signerKey };
}

type CrlContent = Omit<Crl, 'thisUpdate' | 'nextUpdate' | 'signerKey'>;

const contents = new WeakMap<CrlHead, Promise<CrlContent | StatusReason>>();

/**
 * Reads what a list says, once for all keys: what it says does not depend on the key that has signed it, and
 * the table of its entries is large.
 */
function readContent(head: CrlHead): Promise<CrlContent | StatusReason> {
  const known = contents.get(head) ?? readContentOnce(head);
  contents.set(head, known);
  return known;
}

async function readContentOnce(head: CrlHead): Promise<CrlContent | StatusReason> {
  const { der, parts } = head;
  const about = scopeOf(head);
  if ('why' in about) {
    return about;
  }
  const entries = await CrlEntries.read(parts.content, head.entries.from, head.entries.to);
  const names = about.scope.names?.size ?? 0;
  return 'why' in entries
    ? entries
    : { ...about, entries, der, size: der.length + entries.tableSize + NAME_SIZE * names };
}

/**
 * Opens a list by the key of its issuer, or by the first of `others` that has signed it. If none has,
 * resolves with the reason that opening it by the key of its issuer gave. Never rejects.
 */
export async function openCrlByAny(
  head: CrlHead,
  issuer: PathCertificate,
  others: readonly PathCertificate[],
): Promise<Crl | StatusReason> {
  const list = await openCrl(head, issuer);
  for (const other of 'why' in list ? others : []) {
    const byOther = await openCrl(head, other);
    if (!('why' in byOther)) {
      return byOther;
    }
  }
  return list;
}

function scopeOf({
  extensions: der,
  issuer,
}: CrlHead): Pick<Crl, 'scope' | 'isDelta' | 'kind'> | StatusReason {
  const extensions = der === undefined ? [] : readExtensions(der);
  if (extensions === undefined) {
    return { code: 'unreadable', why: 'its extensions can not be read' };
  }
  if (extensions.some(({ id, isCritical }) => isCritical && !known.has(id))) {
    return { code: 'unreadable', why: 'it has a critical extension that is not known' };
  }
  const delta = extensions.find(({ id }) => id === extensionIds.deltaListIndicator);
  const point = extensions.find(({ id }) => id === extensionIds.issuingDistributionPoint);
  const scope = point === undefined ? unlimitedScope : readScope(point.value, issuer);
  return 'why' in scope
    ? scope
    : { scope, isDelta: delta !== undefined, kind: describeKind(scope, delta?.value) };
}

/** @param base the DER of the number of the list that a delta list continues */
function describeKind({ names, certificates, reasons }: CrlScope, base: Uint8Array | undefined): string {
  const since = base && Buffer.from(base).toString('hex');
  const text = JSON.stringify([names && [...names].toSorted(), certificates, reasons, since]);
  return createHash('sha256').update(text).digest('base64url');
}

/**
 * Returns whether a list may prove that a certificate is good. It may if a key for lists alone has signed it,
 * or if the issuer's key has signed it and this certificate of the issuer has cRLSign in its key usage.
 * Otherwise the list can only revoke: the certificates that it names are revoked, and nothing else follows.
 * Several authorities may certify one key, each with a key usage of its own, and the client chooses which
 * certificate it sends.
 */
export function mayProve({ signerKey }: Crl, issuer: PathCertificate): boolean {
  if (signerKey !== comparableKey(issuer)) {
    return true;
  }
  const usage = extensionOf(issuer, pathExtensionIds.keyUsage, readKeyUsage);
  return usage === 'missing' || (usage !== 'malformed' && usage.cRLSign);
}
