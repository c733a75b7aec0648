import type { DerElement } from '../certificate/der-elements.js';
import { splitDer } from '../certificate/der-elements.js';
import {
  comparableSerial,
  type Extension,
  identifierOf,
  isSameBytes,
  membersOf,
  onlyElement,
  readExtensions,
  readTime,
  sequenceOf,
  tags,
} from '../certificate/der-members.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { type CertificateId, isNonce, type OcspRequest } from './ocsp-request.js';
import { findDelegatedResponder, isNamed, type ResponderId } from './ocsp-responder.js';
import { reasonName } from './revocation-reasons.js';
import { explainBadSignature } from './signature-check.js';
import { type SignedStructure, splitSigned } from './signed-structure.js';
import { reasonAbout, type StatusReason } from './status-reason.js';

/** What a responder says of one certificate. Times in milliseconds since the epoch. */
export interface OcspAnswer {
  readonly state: 'good' | 'revoked' | 'unknown';
  /** Why it is revoked. */
  readonly reason: string | undefined;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
}

/** What an answer is judged by besides its signature. */
export interface OcspRules {
  readonly request: OcspRequest;
  readonly issuer: PathCertificate;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Milliseconds that another clock may differ from this process's. */
  readonly tolerance: number;
}

const tag = {
  explicit0: 0xa0,
  explicit1: 0xa1,
  explicit2: 0xa2,
  good: 0x80,
  revoked: 0xa1,
  unknown: 0x82,
} as const;

/** 1.3.6.1.5.5.7.48.1.1. */
const basicResponse = '2b0601050507300101';

/** 1.3.6.1.5.5.7.48.1.2. */
const nonceId = '2b0601050507300102';

/** 1.3.14.3.2.26. */
const sha1Id = '2b0e03021a';

/** OCSPResponseStatus (RFC 6960 §4.2.1). */
const failures: ReadonlyMap<number, string> = new Map([
  [1, 'malformedRequest'],
  [2, 'internalError'],
  [3, 'tryLater'],
  [5, 'sigRequired'],
  [6, 'unauthorized'],
]);

const notAnswer: StatusReason = { code: 'unreadable', why: 'its answer is no OCSP response' };

const unknownExtension: StatusReason = {
  code: 'unreadable',
  why: 'its answer has an extension that can not be read',
};

/**
 * Reads the answer of a responder (RFC 6960 §4.2). Resolves with why it can't be used. Verifies the
 * signature before it reads what the answer says. Never rejects.
 */
export async function readOcspResponse(
  der: Uint8Array,
  rules: OcspRules,
): Promise<OcspAnswer | StatusReason> {
  const basic = basicResponseIn(der);
  if ('why' in basic) {
    return basic;
  }
  const parts = splitSigned(basic);
  const data = parts && responseData(parts);
  if (parts === undefined || data === undefined) {
    return notAnswer;
  }
  const reason = await explainUnsigned(parts, data.responder, rules);
  return reason ?? judge(data, rules);
}

function basicResponseIn(der: Uint8Array): Uint8Array | StatusReason {
  const members = sequenceOf(der);
  const [status, bytes, ...others] = members ?? [];
  if (status?.tag !== tags.enumerated || status.content.length !== 1 || others.length > 0) {
    return notAnswer;
  }
  const code = status.content[0] ?? 0;
  if (code !== 0) {
    return { code: 'unreadable', why: `it answers with the status ${failures.get(code) ?? code}` };
  }
  const [type, response] = sequenceOf(within(bytes, tag.explicit0)) ?? [];
  return identifierOf(type) === basicResponse && response?.tag === tags.octetString
    ? response.content
    : notAnswer;
}

interface ResponseData {
  readonly responder: ResponderId;
  /** Each answer, not yet read. */
  readonly answers: DerElement;
  /** The DER of the extensions. */
  readonly extensions: Uint8Array | undefined;
}

function responseData({ content }: SignedStructure): ResponseData | undefined {
  const members = splitDer(content) ?? [];
  // The version is there only if it is not the first.
  const [responder, produced, answers, extensions, ...others] = members;
  if (produced?.tag !== tags.generalizedTime || answers?.tag !== tags.sequence || others.length > 0) {
    return undefined;
  }
  const id = responderId(responder);
  const value = within(extensions, tag.explicit1);
  return id === undefined || (extensions !== undefined && value === undefined)
    ? undefined
    : { responder: id, answers, extensions: value };
}

function responderId(element: DerElement | undefined): ResponderId | undefined {
  const named = onlyElement(within(element, tag.explicit1));
  const keyed = onlyElement(within(element, tag.explicit2));
  if (named?.tag === tags.sequence) {
    return { name: named.whole };
  }
  return keyed?.tag === tags.octetString ? { keyHash: keyed.content } : undefined;
}

/**
 * Verifies the signature of an answer. Returns `undefined` if the issuer has signed the answer, or a
 * responder that the issuer authorized (RFC 6960 §4.2.2.2). Otherwise returns why the answer does not count.
 */
async function explainUnsigned(
  { signed, algorithm, signature, rest }: SignedStructure,
  id: ResponderId,
  { issuer, now, tolerance }: OcspRules,
): Promise<StatusReason | undefined> {
  const signer = isNamed(issuer, id)
    ? issuer
    : await findDelegatedResponder(rest, id, issuer, now, tolerance);
  if ('why' in signer) {
    return signer;
  }
  const reason = await explainBadSignature(algorithm, signed, signature, signer);
  return reason && reasonAbout('its answer', reason);
}

function judge({ answers, extensions: der }: ResponseData, rules: OcspRules): OcspAnswer | StatusReason {
  const extensions = der === undefined ? [] : readExtensions(der);
  if (extensions === undefined || hasUnknownCritical(extensions)) {
    return unknownExtension;
  }
  const { id } = rules.request;
  const listed = membersOf(answers, tags.sequence) ?? [];
  const about = listed.map((one) => membersOf(one, tags.sequence)).filter((one) => isAbout(one?.[0], id));
  const read = about.map((members) => readAnswer(members, rules));
  const revoked = read.find((one) => 'state' in one && one.state === 'revoked');
  // Also without the nonce: an old answer that an attacker repeats was true once. A newer one takes it back.
  if (revoked !== undefined) {
    return revoked;
  }
  const wrongNonce = explainNonce(extensions, rules.request);
  if (wrongNonce !== undefined) {
    return wrongNonce;
  }
  const [only] = read;
  if (only === undefined) {
    return { code: 'unreadable', why: 'its answer is about another certificate' };
  }
  return read.length === 1
    ? only
    : { code: 'unreadable', why: 'its answer speaks of the certificate more than once' };
}

function explainNonce(extensions: readonly Extension[], { nonce }: OcspRequest): StatusReason | undefined {
  const given = extensions.find(({ id }) => id === nonceId);
  if (given === undefined) {
    return nonce && { code: 'wrong_nonce', why: 'its answer has no nonce' };
  }
  return nonce !== undefined && isNonce(given.value, nonce)
    ? undefined
    : { code: 'wrong_nonce', why: 'its answer has another nonce' };
}

/** Compares all of a CertID: hash algorithm, both hashes and the serial number. */
function isAbout(element: DerElement | undefined, id: CertificateId): boolean {
  const [algorithm, name, key, serial, ...others] = membersOf(element, tags.sequence) ?? [];
  return (
    identifierOf(membersOf(algorithm, tags.sequence)?.[0]) === sha1Id &&
    name?.tag === tags.octetString &&
    isSameBytes(name.content, id.issuerNameHash) &&
    key?.tag === tags.octetString &&
    isSameBytes(key.content, id.issuerKeyHash) &&
    serial?.tag === tags.integer &&
    isSameBytes(comparableSerial(serial.content), comparableSerial(id.serial)) &&
    others.length === 0
  );
}

function readAnswer(
  members: readonly DerElement[] | undefined,
  { now, tolerance }: OcspRules,
): OcspAnswer | StatusReason {
  const [, status, updated, ...others] = members ?? [];
  const thisUpdate = updated && readTime(updated.tag, updated.content);
  const next = others.find(({ tag: one }) => one === tag.explicit0);
  const nextTime = onlyElement(within(next, tag.explicit0));
  const nextUpdate = nextTime && readTime(nextTime.tag, nextTime.content);
  const given = others.find(({ tag: one }) => one === tag.explicit1);
  const extensions = given === undefined ? [] : readExtensions(given.content);
  const state = stateOf(status);
  const known = [next, given].filter((one) => one !== undefined);
  if (
    state === undefined ||
    thisUpdate === undefined ||
    (next !== undefined && nextUpdate === undefined) ||
    others.length !== known.length
  ) {
    return notAnswer;
  }
  if (extensions === undefined || hasUnknownCritical(extensions)) {
    return unknownExtension;
  }
  if (!(thisUpdate - tolerance <= now)) {
    return { code: 'wrong_time', why: 'the thisUpdate of its answer is in the future' };
  }
  const answer = {
    state,
    reason: state === 'revoked' ? reasonIn(status) : undefined,
    thisUpdate,
    nextUpdate,
  };
  // An answer of yesterday says nothing, except that the certificate was revoked.
  return nextUpdate !== undefined && !(nextUpdate + tolerance >= now) && state !== 'revoked'
    ? { code: 'outdated', why: 'its answer has expired' }
    : answer;
}

function stateOf(status: DerElement | undefined): OcspAnswer['state'] | undefined {
  switch (status?.tag) {
    case tag.good:
      return status.content.length === 0 ? 'good' : undefined;
    case tag.revoked:
      return 'revoked';
    case tag.unknown:
      return 'unknown';
    default:
      return undefined;
  }
}

function reasonIn(status: DerElement | undefined): string {
  const [, reason] = (status && splitDer(status.content)) ?? [];
  const code = onlyElement(within(reason, tag.explicit0));
  return reasonName(code?.tag === tags.enumerated ? (code.content[0] ?? 0) : 0);
}

function hasUnknownCritical(extensions: readonly Extension[]): boolean {
  return extensions.some(({ id, isCritical }) => isCritical && id !== nonceId);
}

function within(element: DerElement | undefined, wanted: number): Uint8Array | undefined {
  return element?.tag === wanted ? element.content : undefined;
}
