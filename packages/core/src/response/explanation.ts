import { createHash, hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { CertificateSource, ClientCertificate } from '../certificate/client-certificate.js';
import type { BindingReasonCode } from '../confirmation/binding.js';
import { type RequestRefused, reasonCodeOf } from '../errors.js';
import type { Explanation } from '../observe/events.js';
import type { NodeRequest } from '../request/node-request.js';
import type { Hint } from '../shared/hint.js';
import { hintForCertificateRefusal } from './chain-hints.js';
import { hintForDpop } from './dpop-hints.js';

/** Finds the most likely cause of a refusal, also of one that `binding: 'report'` only reports. */
export interface Explainer {
  /** Keeps a certificate in mind, to know its key again after a renewal. */
  remember(certificate: ClientCertificate | undefined): void;
  /** Runs only if an event has a subscriber, or if the option `explain` has the answer say the cause. */
  explain(refusal: RequestRefused, certificate: ClientCertificate | undefined, req: NodeRequest): Explanation;
}

const MAX_REMEMBERED = 1_000;

/** Bytes. A client could otherwise fill the memory with certificates of 64 kB, for hints alone. */
const MAX_REMEMBERED_SIZE = 8 * 1024;

/**
 * @param acceptsDpop whether the resource server accepts the scheme DPoP (RFC 9449)
 */
export function createExplainer(source: CertificateSource, acceptsDpop: boolean): Explainer {
  const remembered = new LRUCache<string, ClientCertificate>({ max: MAX_REMEMBERED });

  function hintFor(
    refusal: RequestRefused,
    certificate: ClientCertificate | undefined,
    req: NodeRequest,
  ): Hint | undefined {
    const { code, expectedThumbprint } = refusal;
    const known = hintForDpop(refusal, req, acceptsDpop) ?? hintForCertificateRefusal(refusal);
    if (known !== undefined) {
      return known;
    }
    if (code === 'certificate_missing') {
      return source.explainMissing?.(req);
    }
    if (code === 'token_unbound') {
      return reasonCodeOf(refusal) === atTop ? thumbprintOutsideCnf : noCnf;
    }
    return expectedThumbprint === undefined || certificate === undefined
      ? undefined
      : mismatchHint(expectedThumbprint, certificate, {
          bound: remembered.get(expectedThumbprint),
          isForwarded: source.fromConnection !== true,
        });
  }

  return {
    remember(certificate) {
      // To read the bytes is to copy them: not again for a client that was here before.
      if (certificate === undefined || remembered.get(certificate.thumbprint) === certificate) {
        return;
      }
      if ((certificate.der?.length ?? 0) <= MAX_REMEMBERED_SIZE) {
        remembered.set(certificate.thumbprint, certificate);
      }
    },
    explain(refusal, certificate, req) {
      const hint = hintFor(refusal, certificate, req);
      return Object.freeze({
        expectedThumbprint: refusal.expectedThumbprint,
        presentedThumbprint: certificate?.thumbprint,
        certificateFrom: describeSource(source),
        hint: hint?.text,
        hintCode: hint?.code,
      });
    },
  };
}

/** Where a source takes certificates from, in words. */
export function describeSource({ header, fromConnection, description }: CertificateSource): string {
  if (typeof description === 'string') {
    return description;
  }
  if (header !== undefined) {
    return `the header ${header}`;
  }
  return fromConnection === true ? 'the TLS connection' : 'the option certificate';
}

const atTop: BindingReasonCode = 'thumbprint_at_top';

const thumbprintOutsideCnf: Hint = {
  code: 'thumbprint_outside_cnf',
  text:
    "set claims: { thumbprint: 'x5t#S256' } of jwtAccessTokens() or introspection(), or let the " +
    'authorization server write cnf',
};

const noCnf: Hint = {
  code: 'token_without_cnf',
  text:
    'the authorization server issued the token without cnf: the client got it without its ' +
    'certificate, or is not registered for tls_client_certificate_bound_access_tokens',
};

const fixTheServer = 'the authorization server must write it in base64url without padding (RFC 8705 §3.1)';

/** What else is known of a certificate that a token is not bound to. */
interface MismatchFacts {
  /** The certificate that the token is bound to, if it was seen here. */
  readonly bound?: ClientCertificate | undefined;
  /** Whether a proxy may have chosen the certificate. From a TLS connection only the client's own comes. */
  readonly isForwarded: boolean;
}

/** Why the certificate is not the one that the token is bound to. Never throws. */
export function mismatchHint(
  expected: string,
  certificate: ClientCertificate,
  { bound, isForwarded }: MismatchFacts,
): Hint | undefined {
  const { thumbprint } = certificate;
  const bytes = Buffer.from(thumbprint, 'base64url');
  const hex = bytes.toString('hex');
  const plain = expected.replaceAll(':', '').toLowerCase();
  if (plain === hex) {
    return { code: 'thumbprint_in_hex', text: `cnf has the right hash in hex; ${fixTheServer}` };
  }
  if (Buffer.from(expected, 'base64url').toString('latin1').replaceAll(':', '').toLowerCase() === hex) {
    return {
      code: 'thumbprint_in_encoded_hex',
      text: `cnf has the right hash as the base64url of hex digits; ${fixTheServer}`,
    };
  }
  if (twiceDecoded(expected).toLowerCase() === hex) {
    return {
      code: 'thumbprint_in_encoded_hex',
      text: `cnf has the right hash as the base64url of the base64 of hex digits; ${fixTheServer}`,
    };
  }
  if (expected === bytes.toString('base64') || expected === `${thumbprint}=`) {
    return {
      code: 'thumbprint_in_base64',
      text: `cnf has the right hash in another base64; ${fixTheServer}`,
    };
  }
  if (/^[\da-f]{64}$/.test(plain)) {
    return {
      code: 'thumbprint_in_hex',
      text: `cnf looks like hex, of another certificate; ${fixTheServer}`,
    };
  }
  const { der } = certificate;
  if (der !== undefined && expected === createHash('sha1').update(der).digest('base64url')) {
    return {
      code: 'thumbprint_by_sha1',
      text: 'cnf has the SHA-1 of the certificate (x5t); the authorization server must take SHA-256',
    };
  }
  const key = publicKeyOf(certificate);
  if (key !== undefined && expected === hash('sha256', key, 'base64url')) {
    return {
      code: 'thumbprint_of_key',
      text: 'cnf has the hash of the public key; the authorization server must hash the whole certificate',
    };
  }
  if (bound !== undefined && key !== undefined && publicKeyOf(bound)?.equals(key) === true) {
    return {
      code: 'certificate_renewed',
      text:
        'same key, renewed certificate: the token is bound to the one before; the ' +
        'client must get a new token',
    };
  }
  const isAuthority = isForwarded && isCaCertificate(certificate);
  if (isAuthority && !isSelfIssued(certificate)) {
    return {
      code: 'authority_certificate',
      text:
        "the certificate presented is a certificate authority's: the proxy hands on the " +
        "intermediate instead of the client's",
    };
  }
  if (bound !== undefined) {
    return {
      code: 'token_of_another_client',
      text:
        'the token is bound to another client certificate that was seen here: it was sent on ' +
        'to, or taken by, another client',
    };
  }
  return isAuthority
    ? {
        code: 'authority_certificate',
        text:
          "the certificate presented may be a certificate authority's, if it is not the client's own " +
          "self-signed one: then the proxy hands on a root or an intermediate instead of the client's",
      }
    : undefined;
}

function twiceDecoded(text: string): string {
  const once = Buffer.from(text, 'base64url').toString('latin1');
  return Buffer.from(once, 'base64').toString('latin1');
}

/** Undefined for what can't be read. */
function publicKeyOf(certificate: ClientCertificate): Buffer | undefined {
  try {
    return certificate.x509.publicKey.export({ type: 'spki', format: 'der' });
  } catch {
    return undefined;
  }
}

/** Whether it is a certificate authority's; false for what can't be read. */
export function isCaCertificate(certificate: ClientCertificate): boolean {
  try {
    return certificate.x509.ca;
  } catch {
    return false;
  }
}

/**
 * Whether a certificate names itself as its issuer: a self-signed one of a client, or the root of an
 * authority. False for what can't be read.
 */
export function isSelfIssued(certificate: ClientCertificate): boolean {
  try {
    return certificate.x509.subject === certificate.x509.issuer;
  } catch {
    return false;
  }
}

/** For the `error_description` of a challenge (RFC 6750 §3): what it permits, and no more. */
export function describeForChallenge(refusal: RequestRefused, explanation: Explanation): string | undefined {
  return describeExplanation(refusal, explanation)
    ?.replaceAll('"', "'")
    .replaceAll('\\', '/')
    .replaceAll(/[^\x20-\x7e]/g, '?');
}

/** Undefined where the refusal has no words of its own, and no hint. */
export function describeExplanation(refusal: RequestRefused, explanation: Explanation): string | undefined {
  const { description, code, status } = refusal;
  const { expectedThumbprint, presentedThumbprint, certificateFrom, hint } = explanation;
  if (description === undefined) {
    return hint;
  }
  // What a function of the user's threw may hold anything: that is for the operator alone.
  const detail = code === 'internal_error' ? undefined : refusal.detail;
  // The certificate is read only after the credentials. It has no part in a fault of a DPoP proof.
  const wasLookedFor = (status === 401 || status === 403) && !code.startsWith('dpop_');
  const parts = [
    description,
    detail === undefined ? code : `${code}: ${detail}`,
    ...(expectedThumbprint === undefined ? [] : [`the token is bound to ${expectedThumbprint}`]),
    ...(presentedThumbprint !== undefined ? [`${certificateFrom} presents ${presentedThumbprint}`] : []),
    ...(presentedThumbprint === undefined && wasLookedFor
      ? [`no certificate came from ${certificateFrom}`]
      : []),
    ...(hint === undefined ? [] : [hint]),
  ];
  return parts.join('; ');
}
