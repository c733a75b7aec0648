import { thumbprintOf } from './client-certificate.js';
import {
  type CertificateDecoder,
  type DecodedCertificate,
  escapedPem,
  malformed,
  none,
} from './encodings.js';

/** What one hop says of its client's certificate. */
interface Element {
  cert?: string;
  hash?: string;
}

/**
 * The client's element of an X-Forwarded-Client-Cert that `hops` proxies have written, one element each: the first.
 *
 * The count must be exact. Envoy writes URI and DNS names of a certificate as they are, commas and all, so a name may
 * forge an element; and what a client sent itself stands in front where the outermost proxy appends. Either makes one
 * element too many. One too few means that the outermost proxy met no certificate.
 */
export function clientElement(hops: number): CertificateDecoder {
  return (value) => {
    if (value === '') {
      return none;
    }
    const elements = readElements(value);
    if (elements === undefined) {
      return malformed('not an X-Forwarded-Client-Cert');
    }
    if (elements.length === hops - 1) {
      return none;
    }
    return elements.length === hops
      ? fromElement(elements[0])
      : malformed('not as many elements as proxies that write one');
  };
}

function fromElement(element: Element | undefined): DecodedCertificate {
  const { cert, hash } = element ?? {};
  if (hash !== undefined && !/^[0-9a-f]{64}$/i.test(hash)) {
    return malformed('Hash is not a SHA-256 in hex');
  }
  const thumbprint = hash && Buffer.from(hash, 'hex').toString('base64url');
  if (!cert) {
    return thumbprint === undefined ? none : { kind: 'hash', thumbprint };
  }
  const decoded = escapedPem(cert);
  if (
    decoded.kind === 'certificate' &&
    thumbprint !== undefined &&
    thumbprintOf(decoded.der) !== thumbprint
  ) {
    return malformed('Cert and Hash disagree');
  }
  return decoded;
}

/** Elements apart by commas, pairs by semicolons; `undefined` for anything else, and for a Cert or Hash twice. */
function readElements(value: string): Element[] | undefined {
  const elements: Element[] = [];
  let element: Element = {};
  for (let at = 0; at <= value.length; ) {
    const pair = readPair(value, at);
    if (pair === undefined) {
      return undefined;
    }
    const { key, written, end } = pair;
    if (key === 'cert' || key === 'hash') {
      if (element[key] !== undefined) {
        return undefined;
      }
      element[key] = unquoted(written);
    }
    if (value[end] !== ';') {
      elements.push(element);
      element = {};
    }
    at = end + 1;
  }
  return elements;
}

// Sticky: each is tried at one place only, so that reading takes one pass.
const keyAndEquals = /[ \t]*([A-Za-z]+)=/y;
const bareValue = /[^",;]*/y;

/** The pair that starts at `from`, its value as written; `end` is where its separator stands, or the text's end. */
function readPair(text: string, from: number): { key: string; written: string; end: number } | undefined {
  keyAndEquals.lastIndex = from;
  const key = keyAndEquals.exec(text)?.[1]?.toLowerCase();
  if (key === undefined) {
    return undefined;
  }
  const start = keyAndEquals.lastIndex;
  const end = text[start] === '"' ? behindQuoted(text, start) : behindBare(text, start);
  // Behind a closing quote comes a separator and nothing else. So a quote that the client left open, in an element of
  // its own, takes the rest with it: the next quote is one that the proxy opens, and no separator follows that.
  return end !== undefined && isSeparator(text[end])
    ? { key, written: text.slice(start, end), end }
    : undefined;
}

/** A loop, as an expression that repeats a group runs out of stack on a long text. */
function behindQuoted(text: string, openingQuote: number): number | undefined {
  for (let at = openingQuote + 1; at < text.length; at += text[at] === '\\' ? 2 : 1) {
    if (text[at] === '"') {
      return at + 1;
    }
  }
  return undefined;
}

function behindBare(text: string, from: number): number {
  bareValue.lastIndex = from;
  bareValue.exec(text);
  return bareValue.lastIndex;
}

function unquoted(written: string): string {
  return written.startsWith('"') ? written.slice(1, -1).replace(/\\(.)/gs, '$1') : written;
}

function isSeparator(character: string | undefined): boolean {
  return character === undefined || character === ',' || character === ';';
}
