import { X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { RequestRefused } from '../errors.js';
import { type ExtensionId, readCertificateFields } from './certificate-fields.js';
import { type ClientCertificate, thumbprintOf } from './client-certificate.js';
import { x509Library } from './lazy-x509.js';
import { explainTooCostly, measureParsingCost } from './parsing-cost.js';
import type { JsonName } from './x509-library.js';

/**
 * A certificate as the libraries read it. Connections with one certificate share one object while
 * it is cached.
 */
export interface ParsedCertificate {
  readonly subject: JsonName;
  readonly issuer: JsonName;
  /**
   * The DER of each extension that a rule may ask for; `undefined` in place of one that must not be
   * parsed.
   */
  readonly extensions: ReadonlyMap<ExtensionId, Uint8Array | undefined>;
}

/** The text for the operator if a rule needs more of a certificate than its thumbprint. */
export const hashAloneDetail =
  "the proxy hands on the certificate's hash alone, and the rule needs the whole certificate";

/** What was found out of a certificate, good or bad: no later request pays for it again. */
type Outcome = { readonly parsed: ParsedCertificate | undefined } | { readonly refusal: string };

const outcomes = new WeakMap<ClientCertificate, Outcome>();

/** The objects that the libraries make take a few times the bytes that they read. */
const SIZE_FACTOR = 8;

/**
 * Outcomes by thumbprint: a client that shows its certificate again on a new connection does not
 * have it parsed again.
 */
const remembered = new LRUCache<string, Outcome>({ max: 1_000, maxSize: 16 * 1_024 * 1_024 });

/**
 * Reads a certificate, once. Returns `undefined` if the proxy hands on the certificate's hash alone.
 * Throws `RequestRefused` for what is no certificate, and for one that would cost too much to read.
 */
export function parseUnlessHashAlone(certificate: ClientCertificate): ParsedCertificate | undefined {
  let outcome = outcomes.get(certificate);
  if (outcome === undefined) {
    outcome = outcomeOf(certificate.der);
    outcomes.set(certificate, outcome);
  }
  if ('refusal' in outcome) {
    throw new RequestRefused('certificate_malformed', { detail: outcome.refusal });
  }
  return outcome.parsed;
}

/**
 * Reads a certificate, once. Throws `RequestRefused` for what `parseUnlessHashAlone()` refuses, and
 * if the proxy hands on the hash of the certificate alone.
 */
export function parseCertificate(certificate: ClientCertificate): ParsedCertificate {
  const parsed = parseUnlessHashAlone(certificate);
  if (parsed === undefined) {
    throw new RequestRefused('certificate_refused', { detail: hashAloneDetail });
  }
  return parsed;
}

function outcomeOf(der: Uint8Array | undefined): Outcome {
  if (der === undefined) {
    return { parsed: undefined };
  }
  const thumbprint = thumbprintOf(der);
  const known = remembered.get(thumbprint);
  if (known !== undefined) {
    return known;
  }
  const outcome = parse(der);
  remembered.set(thumbprint, outcome, { size: 'refusal' in outcome ? 1_024 : SIZE_FACTOR * der.length });
  return outcome;
}

function parse(der: Uint8Array): Outcome {
  const fields = readCertificateFields(der);
  if (typeof fields === 'string') {
    return { refusal: `${notLookedInto}: ${fields}` };
  }
  const issuer = measureParsingCost(fields.issuer);
  const subject = measureParsingCost(fields.subject);
  const extensions = [...fields.extensions].map(([id, { whole, value }]) => ({
    id,
    whole,
    cost: measureParsingCost(value),
  }));
  const why =
    issuer.why ?? subject.why ?? explainTooCostly([issuer, subject, ...extensions.map(({ cost }) => cost)]);
  if (why !== undefined) {
    return { refusal: `${notLookedInto}: ${why}` };
  }
  // Not within `try`: a library that is not loaded is no fault of the certificate.
  const { Name } = x509Library();
  try {
    // OpenSSL must be able to read the whole certificate, not only the fields that were found above.
    new X509Certificate(der);
    return {
      parsed: {
        subject: new Name(fields.subject).toJSON(),
        issuer: new Name(fields.issuer).toJSON(),
        extensions: new Map(
          extensions.map(({ id, whole, cost }) => [
            id,
            cost.why === undefined ? Uint8Array.from(whole) : undefined,
          ]),
        ),
      },
    };
  } catch {
    return { refusal: 'not an X.509 certificate' };
  }
}

const notLookedInto = 'not an X.509 certificate that is looked into';

/**
 * Reads an extension by `read`. Returns `fallback` if the certificate has none, and `undefined` for
 * one that can't be read or would cost too much to read.
 */
export function readExtension<T>(
  { extensions }: ParsedCertificate,
  id: ExtensionId,
  fallback: T,
  read: (extension: Uint8Array) => T,
): T | undefined {
  if (!extensions.has(id)) {
    return fallback;
  }
  const extension = extensions.get(id);
  try {
    return extension && read(extension);
  } catch {
    return undefined;
  }
}
