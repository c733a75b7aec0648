import { type BaseBlock, fromBER, ObjectIdentifier } from 'asn1js';
import { LRUCache } from 'lru-cache';
import { RequestRefused } from '../errors.js';
import type { ClientCertificate } from './client-certificate.js';
import { whyTooCostly } from './parsing-cost.js';
import { type JsonName, X509Certificate } from './x509-library.js';

/** A certificate as the libraries read it. */
export interface ParsedCertificate {
  readonly subject: JsonName;
  readonly issuer: JsonName;
  /** The DER of each extension, by its OID. None is read before a rule asks for it: it may be one that can't be. */
  readonly extensions: ReadonlyMap<string, Uint8Array>;
}

/** What an operator is told where a rule needs more of a certificate than its thumbprint. */
export const hashAlone =
  "the proxy hands on the certificate's hash alone, and the rule needs the whole certificate";

/** What was found out of a certificate, good or bad: no later request pays for it again. */
type Outcome = { readonly parsed: ParsedCertificate | undefined } | { readonly refusal: string };

const outcomes = new WeakMap<ClientCertificate, Outcome>();

/** By thumbprint: a client that comes again over a new connection costs nothing more. */
const refused = new LRUCache<string, { readonly refusal: string }>({ max: 1_000 });

/**
 * Reads a certificate, once. `undefined` where the proxy hands on the certificate's hash alone. Throws `RequestRefused` for
 * what is no certificate, and for one that would cost too much to read.
 */
export function parsedCertificate(certificate: ClientCertificate): ParsedCertificate | undefined {
  const outcome =
    outcomes.get(certificate) ?? refused.get(certificate.thumbprint) ?? outcomeOf(certificate.der);
  outcomes.set(certificate, outcome);
  if ('refusal' in outcome) {
    refused.set(certificate.thumbprint, outcome);
    throw new RequestRefused('certificate_malformed', { detail: outcome.refusal });
  }
  return outcome.parsed;
}

/** Reads a certificate, once. Throws `RequestRefused` for what `parsedCertificate` gives no content of, too. */
export function wholeCertificate(certificate: ClientCertificate): ParsedCertificate {
  const parsed = parsedCertificate(certificate);
  if (parsed === undefined) {
    throw new RequestRefused('certificate_refused', { detail: hashAlone });
  }
  return parsed;
}

function outcomeOf(der: Uint8Array | undefined): Outcome {
  if (der === undefined) {
    return { parsed: undefined };
  }
  const why = whyTooCostly(der);
  if (why !== undefined) {
    return { refusal: `not an X.509 certificate that is looked into: ${why}` };
  }
  try {
    return { parsed: parse(der) };
  } catch {
    return { refusal: 'not an X.509 certificate' };
  }
}

function parse(der: Uint8Array): ParsedCertificate {
  const certificate = new X509Certificate(Uint8Array.from(der));
  return {
    subject: certificate.subjectName.toJSON(),
    issuer: certificate.issuerName.toJSON(),
    extensions: extensionsIn(der),
  };
}

/** The last field of a `TBSCertificate`, where it has the tag 3 (RFC 5280 §4.1). Throws for an extension that is there twice. */
function extensionsIn(der: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const [tbs] = membersOf(fromBER(Uint8Array.from(der)).result);
  const tagged = membersOf(tbs).find(({ idBlock }) => idBlock.tagClass === 3 && idBlock.tagNumber === 3);
  const extensions = new Map<string, Uint8Array>();
  for (const extension of membersOf(membersOf(tagged)[0])) {
    const [id] = membersOf(extension);
    const oid = id instanceof ObjectIdentifier ? id.getValue() : undefined;
    if (oid === undefined || extensions.has(oid)) {
      throw new TypeError('an extension without an OID, or twice (RFC 5280 §4.2)');
    }
    extensions.set(oid, extension.valueBeforeDecodeView);
  }
  return extensions;
}

/** The members of a constructed element; none of any other. */
function membersOf(element: BaseBlock | undefined): readonly BaseBlock[] {
  const { value } = (element?.valueBlock ?? {}) as { value?: unknown };
  return Array.isArray(value) ? value : [];
}

/** Reads an extension by `read`; `undefined` for one that can't be read. */
export function readExtension<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
