import { createRefusal, type RefusalCode, RequestRefused } from '../errors.js';
import type { SignatureAlgorithm } from '../jose/signature-algorithms.js';
import { readOwnMember } from '../shared/own-member.js';
import { describeClaim, describeShortClaim } from '../token/token-rejection.js';
import type { Nonces } from './nonces.js';
import { explainUnfitKey, importProofKey, isSignedBy, type ProofKey } from './proof-key.js';
import { isProofUrlOf, type ProofUrl } from './proof-url.js';
import { RememberedKeys } from './remembered-keys.js';

/** A proof that fits its request. Whether its key made the signature is not known yet. */
export interface DpopProof {
  /** As it was sent. */
  readonly text: string;
  readonly key: ProofKey;
  /** Whether its key is remembered: that of an earlier proof whose signature was right. */
  readonly isKeyRemembered: boolean;
  readonly jti: string;
  /** Seconds since the epoch until which the proof would be accepted. */
  readonly acceptedUntil: number;
  /** When it would no longer be accepted, by the monotonic clock: milliseconds. */
  readonly monotonicEnd: number;
  /** Its header, as it was sent. */
  readonly header: string;
  /** The text that is signed (RFC 7515 §5.1). */
  readonly signed: string;
  readonly signature: Buffer;
  /** Whether `checkSignature()` has found its signature right. */
  isVerified: boolean;
}

/** The request that a proof must be for. */
export interface RequestToProve {
  readonly method: string;
  /** Its URLs, at least one for each public origin of the API; none if it is to no path. */
  readonly urls: readonly ProofUrl[];
  /** SHA-256 of the access token that it carries, in base64url. */
  readonly tokenHash: string;
}

/** What a proof must be. Times in seconds. */
export interface ProofRules {
  readonly algorithms: readonly SignatureAlgorithm[];
  /** For how long after `iat` a proof without nonce is accepted. */
  readonly maxAge: number;
  readonly clockTolerance: number;
  /** If they are there, each proof must have one. */
  readonly nonces: Nonces | undefined;
}

/** Reads proofs, and knows the keys of those whose signature was right. */
export interface ProofReader {
  /**
   * Checks all but signature and reuse (RFC 9449 §4.3). Throws `RequestRefused`.
   *
   * @param noteKey is called with the thumbprint of the key once it is read, also for a proof that is
   * refused afterwards
   */
  read(text: string, request: RequestToProve, noteKey?: (jkt: string) => void): DpopProof;
  /**
   * Returns if the key of the proof made its signature, which is verified once. Throws
   * `RequestRefused`.
   */
  checkSignature(proof: DpopProof): void;
}

/** Characters. A proof by an RSA key of 8,192 bits has less than 4,000. */
const MAX_PROOF_LENGTH = 8_192;

/** What is wrong with a proof that is not of the form of RFC 9449, or that is not for its request. */
export type ProofReasonCode =
  | 'not_one_jwt'
  | 'other_typ'
  | 'other_algorithm'
  | 'critical_extension'
  | 'private_key'
  | 'unfit_key'
  | 'malformed_claim'
  | 'no_htu'
  | 'other_htu'
  | 'other_htm'
  | 'other_token';

type Members = Readonly<Record<string, unknown>>;

/** Makes the reader of a resource server. */
export function createProofReader(rules: ProofRules): ProofReader {
  const keys = new RememberedKeys();

  return {
    read(text, request, noteKey) {
      if (text.length > MAX_PROOF_LENGTH) {
        throw refused(
          'dpop_proof_too_long',
          `the DPoP header has ${text.length} characters, accepted are ${MAX_PROOF_LENGTH}`,
        );
      }
      // Without lists: each request with a proof passes here.
      const first = text.indexOf('.');
      const second = text.indexOf('.', first + 1);
      if (second === -1 || second + 1 === text.length || text.includes('.', second + 1)) {
        throw malformed('not_one_jwt', describeParts(text));
      }
      const signature = decode(text.slice(second + 1), 'its signature is');
      const header = text.slice(0, first);
      const known = keys.find(header);
      const key = known ?? readKey(parseMembers(header, 'its header is'), rules.algorithms);
      noteKey?.(key.jkt);
      const claims = parseMembers(text.slice(first + 1, second), 'its claims are');
      const { jti, iat } = readClaims(claims, request);
      const now = Date.now() / 1000;
      const acceptedUntil = checkTime(claims, iat, now, rules);
      return {
        text,
        key,
        isKeyRemembered: known !== undefined,
        jti,
        acceptedUntil,
        monotonicEnd: performance.now() + (acceptedUntil - now) * 1000,
        header,
        signed: text.slice(0, second),
        signature,
        isVerified: false,
      };
    },

    checkSignature(proof) {
      // A request is checked before and after it waits.
      if (proof.isVerified) {
        return;
      }
      const { key, isKeyRemembered, header, signed, signature } = proof;
      if (!isSignedBy(key, signed, signature)) {
        throw refused('dpop_signature_invalid', 'the key in its header did not make its signature');
      }
      if (!isKeyRemembered) {
        keys.add(header, key);
      }
      proof.isVerified = true;
    },
  };
}

function readKey(header: Members, algorithms: readonly SignatureAlgorithm[]): ProofKey {
  const typ = readOwnMember(header, 'typ');
  if (typ !== 'dpop+jwt') {
    throw malformed('other_typ', `its typ is ${describeShortClaim(typ)}; expected dpop+jwt`);
  }
  if (Object.hasOwn(header, 'crit')) {
    throw malformed('critical_extension', 'its header has crit, and none of its extensions is known');
  }
  const alg = readOwnMember(header, 'alg');
  const algorithm = algorithms.find((name) => name === alg);
  if (algorithm === undefined) {
    throw malformed(
      'other_algorithm',
      `its alg is ${describeShortClaim(alg)}; expected ${algorithms.join(', ')}`,
    );
  }
  const jwk = readOwnMember(header, 'jwk');
  const key = importProofKey(algorithm, jwk);
  if (key === undefined) {
    const { code, why } = explainUnfitKey(algorithm, jwk);
    throw malformed(code, why);
  }
  return key;
}

function readClaims(
  claims: Members,
  { method, urls, tokenHash }: RequestToProve,
): { jti: string; iat: number } {
  const jti = readOwnMember(claims, 'jti');
  const iat = readOwnMember(claims, 'iat');
  if (typeof jti !== 'string' || jti === '') {
    throw malformed('malformed_claim', `its jti is ${describeShortClaim(jti)}; expected a text`);
  }
  if (typeof iat !== 'number') {
    throw malformed('malformed_claim', `its iat is ${describeShortClaim(iat)}; expected a number`);
  }
  const htm = readOwnMember(claims, 'htm');
  if (htm !== method) {
    throw forAnother(
      'other_htm',
      `its htm is ${describeShortClaim(htm)}, the request is ${describeMethod(method)}`,
    );
  }
  const htu = readOwnMember(claims, 'htu');
  if (typeof htu !== 'string' || !isProofUrlOf(htu, urls)) {
    throw forAnother(
      htu === undefined || htu === null ? 'no_htu' : 'other_htu',
      `its htu is ${describeHtu(htu)}, the request is to ${describeUrls(urls)}`,
    );
  }
  const ath = readOwnMember(claims, 'ath');
  if (ath !== tokenHash) {
    throw forAnother(
      'other_token',
      ath === undefined ? 'it has no ath' : 'its ath is not the hash of the access token of the request',
    );
  }
  return { jti, iat };
}

/**
 * Returns until when a proof is accepted: for a short time, by its `iat` or by the nonce that this API
 * gave out (RFC 9449 §11.1).
 */
function checkTime(
  claims: Members,
  iat: number,
  now: number,
  { maxAge, clockTolerance, nonces }: ProofRules,
): number {
  const end = checkLimits(claims, now, clockTolerance);
  if (nonces !== undefined) {
    const nonce = readOwnMember(claims, 'nonce');
    const nonceEnd = typeof nonce === 'string' ? nonces.acceptedUntil(nonce, now) : undefined;
    if (nonceEnd === undefined) {
      throw refused(
        'dpop_nonce_required',
        nonce === undefined ? 'the proof has no nonce' : 'its nonce is too old, or was not given out here',
      );
    }
    return Math.min(nonceEnd, end);
  }
  const acceptedUntil = iat + maxAge + clockTolerance;
  if (!(iat <= now + clockTolerance)) {
    throw refused('dpop_proof_untimely', `its iat is ${Math.ceil(iat - now)} s ahead`);
  }
  if (!(acceptedUntil > now)) {
    throw refused('dpop_proof_untimely', `its iat was ${Math.floor(now - iat)} s ago`);
  }
  return Math.min(acceptedUntil, end);
}

/**
 * A proof need not have `exp` and `nbf`, but what it says of itself holds (RFC 7519 §4.1). Returns until
 * when its `exp` holds: seconds since the epoch.
 */
function checkLimits(claims: Members, now: number, clockTolerance: number): number {
  const exp = readLimit(claims, 'exp') ?? Number.POSITIVE_INFINITY;
  if (!(exp + clockTolerance > now)) {
    throw refused('dpop_proof_untimely', `its exp was ${Math.floor(now - exp)} s ago`);
  }
  const nbf = readLimit(claims, 'nbf');
  if (nbf !== undefined && !(nbf - clockTolerance <= now)) {
    throw refused('dpop_proof_untimely', `its nbf is ${Math.ceil(nbf - now)} s ahead`);
  }
  return exp + clockTolerance;
}

function readLimit(claims: Members, name: 'exp' | 'nbf'): number | undefined {
  const value = readOwnMember(claims, name);
  if (value === undefined || typeof value === 'number') {
    return value;
  }
  throw malformed('malformed_claim', `its ${name} is ${describeShortClaim(value)}; expected a number`);
}

/** A client over HTTP/2 can send any text as method. */
function describeMethod(method: string): string {
  return /^[A-Z-]{1,20}$/i.test(method) ? method : describeShortClaim(method);
}

function describeUrls(urls: readonly ProofUrl[]): string {
  return urls.length === 0 ? 'no path' : urls.map(describeClaim).join(' or ');
}

/** A text that is no URL may be a token. */
function describeHtu(htu: unknown): string {
  const isUrl = typeof htu === 'string' && /^https?:\/\//i.test(htu);
  return isUrl ? describeClaim(htu) : describeShortClaim(htu);
}

/** Why a text has not the three parts of a signed JWT (RFC 7515 §7.1). */
function describeParts(text: string): string {
  const { length } = text.split('.');
  return length === 3 ? 'its signature is empty' : `it has ${length} parts, a signed JWT has 3`;
}

/**
 * Decodes the one base64url text of some bytes, and no other text of them (RFC 7515 §2).
 *
 * @param part which part of the proof it is, as the beginning of a sentence
 */
function decode(encoded: string, part: string): Buffer {
  const bytes = Buffer.from(encoded, 'base64url');
  if (bytes.toString('base64url') !== encoded) {
    throw malformed('not_one_jwt', `${part} not in base64url without padding`);
  }
  return bytes;
}

function parseMembers(encoded: string, part: string): Members {
  const bytes = decode(encoded, part);
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Members;
    }
  } catch {
    // The message of the error quotes the text.
  }
  throw malformed('not_one_jwt', `${part} not a JSON object`);
}

function malformed(code: ProofReasonCode, why: string): RequestRefused {
  return createRefusal('dpop_proof_malformed', { code, why });
}

function forAnother(code: ProofReasonCode, why: string): RequestRefused {
  return createRefusal('dpop_proof_for_another', { code, why });
}

function refused(code: RefusalCode, detail: string): RequestRefused {
  return new RequestRefused(code, { detail });
}
