import { createRequire } from 'node:module';
import type * as X509 from '@peculiar/x509';
import type * as Asn1 from 'asn1js';
import { LRUCache } from 'lru-cache';
import { RequestRefused } from '../errors.js';
import type { ClientCertificate } from './client-certificate.js';
import { whyTooCostly } from './parsing-cost.js';

// Loaded when a certificate is first looked into: most users never do, and it takes its time.
const require = createRequire(import.meta.url);

export function x509Library(): typeof X509 {
  require('reflect-metadata');
  return require('@peculiar/x509');
}

export function asn1Library(): typeof Asn1 {
  return require('asn1js');
}

/** A certificate as the libraries read it. */
export interface ParsedCertificate {
  readonly subject: X509.JsonName;
  readonly issuer: X509.JsonName;
  /** The DER of each extension, by its OID. None is read before a rule asks for it: it may be one that can't be. */
  readonly extensions: ReadonlyMap<string, Uint8Array>;
}

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

function outcomeOf(der: Uint8Array | undefined): Outcome {
  if (der === undefined) {
    return { parsed: undefined };
  }
  const why = whyTooCostly(der);
  if (why !== undefined) {
    return { refusal: `not an X.509 certificate that is looked into: ${why}` };
  }
  // A library that can't be loaded is our own trouble, so it is loaded outside of the `try`.
  const libraries = { x509: x509Library(), asn1: asn1Library() };
  try {
    return { parsed: parse(der, libraries) };
  } catch {
    return { refusal: 'not an X.509 certificate' };
  }
}

interface Libraries {
  readonly x509: typeof X509;
  readonly asn1: typeof Asn1;
}

function parse(der: Uint8Array, { x509, asn1 }: Libraries): ParsedCertificate {
  const certificate = new x509.X509Certificate(Uint8Array.from(der));
  return {
    subject: certificate.subjectName.toJSON(),
    issuer: certificate.issuerName.toJSON(),
    extensions: extensionsIn(der, asn1),
  };
}

/** The last field of a `TBSCertificate`, where it has the tag 3 (RFC 5280 §4.1). Throws for an extension that is there twice. */
function extensionsIn(der: Uint8Array, asn1: typeof Asn1): ReadonlyMap<string, Uint8Array> {
  const [tbs] = membersOf(asn1.fromBER(Uint8Array.from(der)).result);
  const tagged = membersOf(tbs).find(({ idBlock }) => idBlock.tagClass === 3 && idBlock.tagNumber === 3);
  const extensions = new Map<string, Uint8Array>();
  for (const extension of membersOf(membersOf(tagged)[0])) {
    const [id] = membersOf(extension);
    const oid = id instanceof asn1.ObjectIdentifier ? id.getValue() : undefined;
    if (oid === undefined || extensions.has(oid)) {
      throw new TypeError('an extension without an OID, or twice (RFC 5280 §4.2)');
    }
    extensions.set(oid, extension.valueBeforeDecodeView);
  }
  return extensions;
}

/** The members of a constructed element; none of any other. */
function membersOf(element: Asn1.BaseBlock | undefined): readonly Asn1.BaseBlock[] {
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
