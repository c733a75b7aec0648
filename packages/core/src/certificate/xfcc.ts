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
 * Envoy's X-Forwarded-Client-Cert with exactly one element, as `SANITIZE_SET` writes it. A second one can only have
 * come from the client.
 */
export const soleElement: CertificateDecoder = (value) => {
  const elements = value === '' ? [] : readElements(value);
  if (elements === undefined) {
    return malformed('not an X-Forwarded-Client-Cert');
  }
  return elements.length > 1 ? malformed('several elements where one is expected') : fromElement(elements[0]);
};

/**
 * The element that the hop `hops` steps away appended (`APPEND_FORWARD`): 1 is the proxy next to the API. The first
 * ones may be the client's own invention, so the count is from the end.
 */
export function elementFromEnd(hops: number): CertificateDecoder {
  return (value) => {
    const elements = value === '' ? [] : readElements(value);
    if (elements === undefined) {
      return malformed('not an X-Forwarded-Client-Cert');
    }
    if (elements.length > 0 && elements.length < hops) {
      return malformed('fewer elements than hops');
    }
    return fromElement(elements.at(-hops));
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
