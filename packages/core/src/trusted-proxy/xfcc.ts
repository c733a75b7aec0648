import { thumbprintOf } from '../certificate/client-certificate.js';
import {
  type CertificateDecoder,
  type DecodedCertificate,
  escapedPem,
  escapedPemChain,
  malformed,
  noCertificate,
} from '../certificate/encodings.js';
import { isPlainObject } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';

/** What one proxy writes about the client of its connection. */
interface Element {
  cert?: string;
  hash?: string;
  /** The whole chain, the client's own certificate first. */
  chain?: string;
}

/**
 * Makes the decoder of an X-Forwarded-Client-Cert to which `hops` proxies add one element each. It reads
 * the client's element: the first.
 *
 * A client can write into this header in two places: in a header of its own, which an appending
 * proxy keeps in front, and in the names of its certificate. Envoy writes URI and DNS names as they
 * are, so both can hold quotes and separators, and together they can hide the proxy's element
 * within a quoted value. Quoting therefore proves nothing.
 *
 * The proof is a count. Envoy writes exactly one `Hash=` in each element, at the start or behind a
 * separator, and nothing can remove it. The decoder counts each `Hash=` in such a place, within
 * quotes as well, and requires exactly `hops` of them. A client that wrote one more is rejected, so
 * each one that is left is a proxy's. Each element must hold one, and a Cert counts only if its
 * SHA-256 is that Hash, and a Chain next to it only if it begins with it.
 *
 * In the JSON form (`format: JSON`) Envoy escapes names, so a name can't end a JSON string, and a list
 * must hold exactly `hops` elements. But a client may send the beginning of a list to an Envoy that
 * appends an element of the text form. That element then stands in a JSON string that the client opened,
 * and a name in the client's certificate closes the string and the list. The element keeps its `,Hash=`
 * or `;Hash=`, which nothing can remove. The decoder therefore rejects a list that holds such a `Hash=`
 * anywhere, in a name as well.
 */
export function createXfccDecoder(hops: number): CertificateDecoder {
  return (value) => {
    if (value === '') {
      return noCertificate;
    }
    const isJson = value.startsWith('[');
    const elements = isJson ? readJsonElements(value) : readElements(value);
    if (elements === undefined) {
      return malformed('not an X-Forwarded-Client-Cert');
    }
    if (!elements.every(({ hash }) => hash !== undefined)) {
      return malformed('an element without Hash');
    }
    if (countHashes(value, hops) !== (isJson ? 0 : elements.length)) {
      return malformed('Hash= within another value');
    }
    // Envoy removes the header where its client presents no certificate; the proxies behind it add
    // theirs.
    if (elements.length === hops - 1) {
      return noCertificate;
    }
    return elements.length === hops
      ? fromElement(elements[0])
      : malformed('not as many elements as proxies that write one');
  };
}

/** Counts each `Hash=` that stands where a key can stand, quoted or not. Stops above `most`. */
function countHashes(value: string, most: number): number {
  const places = new RegExp(hashKey);
  let count = 0;
  while (count <= most && places.test(value)) {
    count += 1;
  }
  return count;
}

const hashKey = /(?:^|[,;])[ \t]*hash=/gi;

function fromElement({ cert, chain, hash = '' }: Element = {}): DecodedCertificate {
  if (!/^[0-9a-f]{64}$/i.test(hash)) {
    return malformed('Hash is not a SHA-256 in hex');
  }
  const thumbprint = Buffer.from(hash, 'hex').toString('base64url');
  if (!cert) {
    return { kind: 'hash', thumbprint };
  }
  // PEM holds no percent sign, so that JSON's unescaped text is read alike.
  const ofCert = escapedPem(cert);
  if (ofCert.kind !== 'certificate' || !chain) {
    return isOf(ofCert, thumbprint) ? ofCert : malformed('Cert and Hash disagree');
  }
  const ofChain = escapedPemChain(chain);
  if (ofChain.kind !== 'certificate') {
    return malformed('Chain is not PEM');
  }
  return [ofCert, ofChain].every((decoded) => isOf(decoded, thumbprint))
    ? ofChain
    : malformed('Cert, Chain and Hash disagree');
}

/** False only if it decodes to a certificate with another thumbprint. */
function isOf(decoded: DecodedCertificate, thumbprint: string): boolean {
  return decoded.kind !== 'certificate' || thumbprintOf(decoded.der) === thumbprint;
}

/** Reads the JSON form: a list of objects. Returns `undefined` for any other form. */
function readJsonElements(value: string): Element[] | undefined {
  let list: unknown;
  try {
    list = JSON.parse(value);
  } catch {
    return undefined;
  }
  const elements: Element[] = [];
  for (const item of Array.isArray(list) ? list : []) {
    if (!isPlainObject(item)) {
      return undefined;
    }
    const [hash, cert, chain] = ['hash', 'cert', 'chain'].map((name) => readOwnMember(item, name));
    if (!isTextOrMissing(hash) || !isTextOrMissing(cert) || !isTextOrMissing(chain)) {
      return undefined;
    }
    elements.push({
      ...(hash !== undefined && { hash }),
      ...(cert !== undefined && { cert }),
      ...(chain !== undefined && { chain }),
    });
  }
  return elements.length > 0 ? elements : undefined;
}

function isTextOrMissing(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}

/**
 * Reads elements apart by commas, pairs by semicolons. Returns `undefined` for any other form, and
 * for two of a Cert or Hash.
 */
function readElements(value: string): Element[] | undefined {
  const elements: Element[] = [];
  let element: Element = {};
  for (let at = 0; at <= value.length; ) {
    const pair = readPair(value, at);
    if (pair === undefined) {
      return undefined;
    }
    const { key, written, end } = pair;
    if (key === 'cert' || key === 'hash' || key === 'chain') {
      if (element[key] !== undefined) {
        return undefined;
      }
      element[key] = unquoted(written);
    }
    // Azure Container Apps may end the value in a semicolon.
    const isLast = value[end] === ';' && end === value.length - 1;
    if (value[end] !== ';' || isLast) {
      elements.push(element);
      element = {};
    }
    at = isLast ? value.length + 1 : end + 1;
  }
  return elements;
}

// Sticky: each is tried at one place only, so that reading takes one pass.
const keyAndEquals = /[ \t]*([A-Za-z]+)=/y;
const bareValue = /[^",;]*/y;

/**
 * The pair that starts at `from`, its value as written; `end` is where its separator stands, or the
 * text's end.
 */
function readPair(text: string, from: number): { key: string; written: string; end: number } | undefined {
  keyAndEquals.lastIndex = from;
  const key = keyAndEquals.exec(text)?.[1]?.toLowerCase();
  if (key === undefined) {
    return undefined;
  }
  const start = keyAndEquals.lastIndex;
  const end = text[start] === '"' ? behindQuoted(text, start) : behindBare(text, start);
  // Behind a closing quote comes a separator and nothing else.
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
