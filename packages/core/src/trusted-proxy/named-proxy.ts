import { isIP } from 'node:net';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import type { DerElement } from '../certificate/der-elements.js';
import { sequenceOf } from '../certificate/der-members.js';
import { distinguishedNames } from '../certificate/distinguished-name.js';
import { x509Library } from '../certificate/lazy-x509.js';
import { patchTlsHandles } from '../certificate/sent-chain.js';
import { AuthoritySource, authoritiesRule } from '../chain/authorities.js';
import { ChainVerification } from '../chain/chain-verification.js';
import { extensionOf, pathExtensionIds } from '../chain/extension-values.js';
import { readGeneralName } from '../chain/general-names.js';
import { type PathCertificate, readPathCertificate } from '../chain/path-certificate.js';
import type { ReportProblem } from '../observe/events.js';
import { createConflict, createMismatch } from '../shared/option-errors.js';
import { OptionReader, type OptionsOf, optional, optionGroup, required } from '../shared/option-group.js';
import { type OptionRule, textList } from '../shared/option-rules.js';
import { redactIdentifier } from '../shared/shown-url.js';

/** Certificates of each named proxy whose outcome is kept. */
const MAX_OUTCOMES = 1_000;

/** Characters of a URI (SPIFFE ID §2.3), and of a host name (RFC 1035 §2.3.4). */
const MAX_URI = 2_048;
const MAX_HOST = 253;

const uriText = /^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$/;

/** The id of a workload: a trust domain and a path (SPIFFE ID §2). */
const spiffeId = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/;

const hostText = /^[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*$/;

function listRule(
  accepted: string,
  isAccepted: (text: string) => boolean,
): OptionRule<readonly string[], string | readonly string[]> {
  return {
    accepted,
    read: (given) => {
      const list = textList.read(given);
      return list?.every(isAccepted) ? list : undefined;
    },
  };
}

const uris = listRule(
  'a URI as RFC 3986 writes it, a SPIFFE id with its path if it begins with spiffe:, or a list of them',
  (text) => text.length <= MAX_URI && (/^spiffe:/i.test(text) ? spiffeId : uriText).test(text),
);

const hosts = listRule(
  'a host name without a wildcard, or a list of them',
  (text) => text.length <= MAX_HOST && hostText.test(text) && isIP(text) === 0,
);

export const namedProxyOptions = optionGroup({
  /**
   * The authorities that issue the proxy's certificates, in the forms of
   * `certificatePolicy.authorities`: PEM, paths of files, a list of these, or a function. Files are read
   * again while your API runs. Required.
   */
  ca: required(authoritiesRule),
  /**
   * A URI among the alternative names of the proxy's certificate, such as its SPIFFE id. Each character
   * counts. A certificate with a SPIFFE id must have no other URI. Default: none.
   */
  uri: optional(uris),
  /**
   * A DNS name among the alternative names of the proxy's certificate, compared without case. A wildcard
   * in the certificate matches nothing. Default: none.
   */
  dns: optional(hosts),
  /**
   * The subject of the proxy's certificate, in the text form of RFC 4514, compared as
   * `certificatePolicy.subject` is. Default: none.
   */
  subject: optional(distinguishedNames),
});

/**
 * A proxy that is known by its name, whichever certificate it has: its certificates are by one of the
 * authorities `ca`, and have one of the names of `uri`, `dns` or `subject`. Exactly one of these three
 * is given.
 */
export interface NamedProxy extends OptionsOf<typeof namedProxyOptions> {}

/** Why a certificate with the right name does not count. What is wrong with its chain follows. */
const noPath = 'and its chain leads to none of the authorities of ca';

type Kind = 'uri' | 'dns' | 'subject';

const kinds = ['uri', 'dns', 'subject'] as const satisfies Kind[];

type AlternativeTexts = Readonly<Record<'uri' | 'dns', readonly string[]>>;

/** Recognizes the certificates of one named proxy. Each is verified once, then looked up. */
export class ProxyRecognition {
  /** The name of the option, without that of the function that takes it. */
  readonly #shownOption: string;
  readonly #verification: ChainVerification;
  readonly #kind: Kind;
  /** As they are compared. */
  readonly #names: ReadonlySet<string>;
  /** As the operator wrote them. */
  readonly #written: string;
  /** What is wrong with the names of a certificate. */
  readonly #nameFaults = new WeakMap<ClientCertificate, { readonly fault: string | undefined }>();

  /**
   * Throws `ConfigurationError` for options that are wrong, and for a file that can't be read.
   *
   * @param optionPath the option's name, for errors
   */
  constructor(optionPath: string, options: unknown, report: ReportProblem) {
    const given = new OptionReader(optionPath, options, namedProxyOptions);
    const [kind, another] = kinds.filter((name) => !given.isUnwritten(name));
    if (kind === undefined) {
      throw createMismatch(optionPath, 'one of uri, dns and subject', 'none of them');
    }
    if (another !== undefined) {
      throw createConflict(given.pathOf(another), kind);
    }
    const { ca, uri, dns, subject } = given.settings();
    this.#shownOption = optionPath.slice(optionPath.indexOf('.') + 1);
    this.#kind = kind;
    this.#names = new Set(
      uri ?? dns?.map((name) => name.toLowerCase()) ?? subject?.map((name) => JSON.stringify(name)),
    );
    this.#written = list((options as Record<Kind, string | readonly string[]>)[kind]);
    const authorities = new AuthoritySource(ca, given.pathOf('ca'), report);
    patchTlsHandles();
    this.#verification = new ChainVerification(authorities, undefined, MAX_OUTCOMES);
  }

  /**
   * Returns what to wait for before `explainMismatch()`; `undefined` if there is nothing. Rejects with
   * `RequestRefused`.
   */
  prepare(now: number): Promise<unknown> | undefined {
    return this.#verification.prepare(now);
  }

  /**
   * Returns why a certificate is none of this proxy, or `undefined` if it is one. Needs `x509.load()`.
   *
   * @param now milliseconds since the epoch
   */
  explainMismatch(certificate: ClientCertificate, now: number): string | undefined {
    // The names first: a path costs much more, and each peer that is trusted can ask for one.
    const why = this.#explainNames(certificate) ?? this.#explainChain(certificate, now);
    return why === undefined
      ? undefined
      : `${this.#shownOption} expects ${this.#kind} ${this.#written}, ${why}`;
  }

  #explainChain(certificate: ClientCertificate, now: number): string | undefined {
    const outcome = this.#verification.verify(certificate, now);
    return 'why' in outcome ? `${noPath}: ${outcome.why}` : undefined;
  }

  #explainNames(certificate: ClientCertificate): string | undefined {
    const known = this.#nameFaults.get(certificate);
    if (known !== undefined) {
      return known.fault;
    }
    const { der } = certificate;
    const leaf = der === undefined ? unknownBytes : readPathCertificate(der);
    const fault =
      typeof leaf === 'string' ? `and its names can not be read: ${leaf}` : this.#explainNamesOf(leaf);
    this.#nameFaults.set(certificate, { fault });
    return fault;
  }

  #explainNamesOf(leaf: PathCertificate): string | undefined {
    if (this.#kind === 'subject') {
      return this.#names.has(leaf.subjectName) ? undefined : 'and its subject is another';
    }
    const alternatives = alternativesOf(leaf);
    if (alternatives === undefined) {
      return 'and its alternative names can not be read';
    }
    const names = alternatives[this.#kind];
    const found = names.find((name) => this.#names.has(this.#kind === 'dns' ? name.toLowerCase() : name));
    if (found === undefined) {
      return names.length === 0 ? 'and it has none' : 'and it has another';
    }
    // The certificate of a workload has its SPIFFE id as its only URI (X509-SVID §2).
    const isShared = this.#kind === 'uri' && found.startsWith('spiffe:') && names.length > 1;
    return isShared ? `and it has ${names.length} URIs, where a SPIFFE id must be the only one` : undefined;
  }
}

/** The URIs and DNS names of a certificate; `undefined` if they can't be read. */
function alternativesOf(leaf: PathCertificate): AlternativeTexts | undefined {
  const read = extensionOf(leaf, pathExtensionIds.subjectAltName, readTexts);
  return read === 'missing' ? { uri: [], dns: [] } : read === 'malformed' ? undefined : read;
}

/** The URIs and DNS names of a SubjectAltName. The other kinds are not parsed. */
function readTexts(value: Uint8Array): AlternativeTexts | undefined {
  const elements = sequenceOf(value);
  if (elements === undefined || elements.length === 0) {
    return undefined;
  }
  // Also elements with the constructed tag that BER allows: `textOf()` can't read them, so that the names
  // count as unreadable.
  const textsOf = (tag: number) => elements.filter((element) => (element.tag & 0xdf) === tag).map(textOf);
  const [uri, dns] = [textsOf(0x86), textsOf(0x82)];
  return isComplete(uri) && isComplete(dns) ? { uri, dns } : undefined;
}

function isComplete(texts: readonly (string | undefined)[]): texts is readonly string[] {
  return !texts.includes(undefined);
}

/** `undefined` for what is not printable ASCII, such as a NUL. */
function textOf(element: DerElement): string | undefined {
  const name = readGeneralName(element);
  return name !== undefined && 'text' in name ? name.text : undefined;
}

const unknownBytes = 'its bytes are not known';

/** Names that are shown of each kind, and characters of each. */
const MAX_SHOWN = 3;
const MAX_SHOWN_LENGTH = 200;

/** Returns the names of a certificate in words for operators. Never throws. Needs `x509.load()`. */
export function describeProxyCertificate({ der, thumbprint }: ClientCertificate): string {
  const leaf = der === undefined ? unknownBytes : readPathCertificate(der);
  const parts = [`thumbprint ${thumbprint}`];
  if (typeof leaf === 'string') {
    parts.push(leaf);
  } else {
    const alternatives = alternativesOf(leaf);
    const { uri = [], dns = [] } = alternatives ?? {};
    parts.push(
      ...(alternatives === undefined ? ['alternative names that can not be read'] : []),
      ...(uri.length > 0 ? [`uri ${list(uri.map(redactIdentifier))}`] : []),
      ...(dns.length > 0 ? [`dns ${list(dns)}`] : []),
      `subject ${list(subjectOf(leaf))}`,
    );
  }
  return parts.join(', ');
}

function subjectOf({ subject }: PathCertificate): string {
  try {
    return new (x509Library().Name)(subject).toString();
  } catch {
    return '';
  }
}

function list(texts: string | readonly string[]): string {
  const all = typeof texts === 'string' ? [texts] : texts;
  const shown = all.slice(0, MAX_SHOWN).map((text) => JSON.stringify(text.slice(0, MAX_SHOWN_LENGTH)));
  const more = all.length > MAX_SHOWN ? ` and ${all.length - MAX_SHOWN} more` : '';
  return `${shown.join(' or ').replaceAll(/[^\x20-\x7e]/g, '?')}${more}`;
}
