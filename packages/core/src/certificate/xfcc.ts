import { thumbprintOf } from './client-certificate.js';
import {
  type CertificateDecoder,
  type DecodedCertificate,
  escapedPem,
  malformed,
  none,
} from './encodings.js';

/** One element of an X-Forwarded-Client-Cert: the pairs of one hop. Keys in lower case. */
type Element = ReadonlyMap<string, string>;

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
  const cert = element?.get('cert');
  const hash = element?.get('hash');
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

// A key, "=", and a value: quoted, with backslashes before what they escape, or bare. Sticky: each step goes on where
// the last one ended, so that a quoted comma or semicolon never splits anything.
const pair = /[ \t]*([A-Za-z]+)=(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^",;]*))([,;]|$)/sy;

/** Elements apart by commas, pairs by semicolons; `undefined` for anything else, and for a Cert or Hash twice. */
function readElements(value: string): Element[] | undefined {
  const elements: Element[] = [];
  let element = new Map<string, string>();
  pair.lastIndex = 0;
  for (let separator = ';'; separator !== ''; ) {
    const match = pair.exec(value);
    if (match === null) {
      return undefined;
    }
    const [, name = '', quoted, bare = ''] = match;
    const key = name.toLowerCase();
    if (element.has(key) && (key === 'cert' || key === 'hash')) {
      return undefined;
    }
    element.set(key, quoted?.replace(/\\(.)/gs, '$1') ?? bare);
    separator = match[4] ?? '';
    if (separator !== ';') {
      elements.push(element);
      element = new Map();
    }
  }
  return elements;
}
