import { isIP, isIPv6, SocketAddress } from 'node:net';
import { createBadVerdictCheck, explainUnverified } from '../certificate/bad-verdict.js';
import { extensionIds } from '../certificate/certificate-fields.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import {
  type DistinguishedName,
  decodeDistinguishedName,
  distinguishedNames,
  isSameName,
} from '../certificate/distinguished-name.js';
import { x509, x509Library } from '../certificate/lazy-x509.js';
import {
  hashAloneDetail,
  type ParsedCertificate,
  parseUnlessHashAlone,
  readExtension,
} from '../certificate/parsed-certificate.js';
import { patchTlsHandles } from '../certificate/sent-chain.js';
import { type Validity, validityOf } from '../certificate/validity.js';
import type { JsonName } from '../certificate/x509-library.js';
import { createStatusChecker } from '../certificate-status/status-checker.js';
import {
  type CertificateStatusOptions,
  type CertificateStatusSettings,
  certificateStatusOptions,
  resolveCertificateStatus,
} from '../certificate-status/status-options.js';
import { type Authorities, AuthoritySource, authoritiesRule } from '../chain/authorities.js';
import { ChainVerification } from '../chain/chain-verification.js';
import { createRefusal, RequestRefused } from '../errors.js';
import { createProblemReporter } from '../observe/events.js';
import { createMismatch, createMissingRequirement, describeOptionsObject } from '../shared/option-errors.js';
import {
  nestedRule,
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  type SettingsOf,
  withDefault,
} from '../shared/option-group.js';
import { flag, type OptionRule, oneOf, textList } from '../shared/option-rules.js';
import { callAll } from '../shared/promises.js';
import { ChainCheck } from './chain-check.js';

const refusalStatuses: OptionRule<401 | 403> = {
  accepted: '401 or 403',
  shows: 'number',
  read: (given) => (given === 401 || given === 403 ? given : undefined),
};

const addresses: OptionRule<readonly string[], string | readonly string[]> = {
  accepted: 'an IPv4 or IPv6 address, or a list of them',
  read: (given) =>
    textList.read(given)?.every((address) => isIP(address) !== 0) ? textList.read(given) : undefined,
};

export const alternativeNameOptions = optionGroup({
  /** DNS names, compared without case. Default: none. */
  dns: optional(textList),
  /** URIs, compared as they are. Default: none. */
  uri: optional(textList),
  /** IPv4 or IPv6 addresses; the spelling of IPv6 does not count. Default: none. */
  ip: optional(addresses),
  /** Mail addresses, compared as they are. Default: none. */
  email: optional(textList),
});

/** Subject alternative names, by kind. A certificate needs one of those listed, of any kind. */
export interface AlternativeNames extends OptionsOf<typeof alternativeNameOptions> {}

export const certificatePolicyOptions = optionGroup({
  /**
   * Its chain was found trusted, by Node's TLS, by the proxy or by `authorities`. Refuses one that TLS or
   * the proxy found untrusted, whatever `authorities` next to it says. In `requireCertificate()`, a chain
   * that the `certificatePolicy` of `mtlsBound()` verified by its own `authorities` counts as trusted.
   * Default `false`.
   */
  requireVerified: withDefault(flag, false),
  /** The time is between its notBefore and notAfter. Default `false`. */
  requireValidNow: withDefault(flag, false),
  /**
   * The issuer that the certificate names (not the authorization server) is one of these names, in
   * the text form of RFC 4514. Refuses a certificate that TLS or the proxy did not verify; without any
   * verdict, which is reported once, add `requireVerified`. Default: any.
   */
  issuer: optional(distinguishedNames, { defaultInWords: 'any' }),
  /**
   * Its subject is one of these names, in the text form of RFC 4514. Refuses an unverified certificate
   * as `issuer` does. Default: any.
   */
  subject: optional(distinguishedNames, { defaultInWords: 'any' }),
  /**
   * One of its alternative names is one of these. Refuses an unverified certificate as `issuer` does.
   * Default: any.
   */
  san: optional(
    nestedRule<SettingsOf<typeof alternativeNameOptions>, AlternativeNames>(alternativeNameOptions),
    {
      defaultInWords: 'any',
    },
  ),
  /**
   * A path leads from it to one of these authorities (RFC 5280 §6): PEM certificates, paths of files of
   * them, a list of these, or a function that returns PEM or a promise of it. Files are read again 10
   * seconds after they were read last, a function is called again as often, each when a request comes.
   * Signatures, dates, basic constraints, path lengths, key usage, extended key usage, name
   * constraints, policies and critical extensions are checked, for RSA keys of 2048 to 8192 bits, the
   * NIST and Brainpool curves and Ed25519 and Ed448, with SHA-2. A certificate that passes counts as
   * verified. It is refused nevertheless in two cases. TLS or the proxy says that it is revoked, says that
   * the list of revoked certificates is missing or expired, or gives no reason why it is untrusted: see
   * `mayBeRevoked` of `ClientCertificate`. Or TLS did not verify it, and the server of Node has lists in
   * its own option `crl`. Lists in `addContext()`, `SNICallback` or a proxy do not replace
   * `revocationCheck`: a client can send a wrong certificate next to its own one, and the verdict is then
   * another one than "revoked". Default: those that TLS or the proxy trusts.
   */
  authorities: optional(authoritiesRule, { defaultInWords: 'those that TLS or the proxy trusts' }),
  /**
   * Certificates of authorities in between, in the forms of `authorities`, for clients that do not send
   * them or behind a proxy that does not hand them on. Also certificates with which an authority signs its
   * revocation lists and nothing else (`cRLSign` without `keyCertSign`). Needs `authorities`. Default:
   * those that come with the client's certificate.
   */
  intermediates: optional(authoritiesRule, {
    defaultInWords: "those that come with the client's certificate",
  }),
  /**
   * Whether a certificate of the path is revoked is found out from revocation lists or OCSP responders.
   * The first request with a certificate waits for it. Later ones do not: lists and answers are fetched
   * again in the background. A revoked certificate is refused, and its tokens are revoked in every
   * process, as by `revoke({ thumbprint })`. The tokens stay with `binding: 'report'`, and in
   * `requireCertificate()`. If one above it is revoked, another path without that one is looked for first.
   * Needs `authorities`. Default: revocation is not looked at.
   */
  revocationCheck: optional(nestedRule<never, CertificateStatusOptions>(certificateStatusOptions), {
    defaultInWords: 'revocation is not looked at',
  }),
  /** Its extended key usage names `clientAuth` (RFC 5280 §4.2.1.12). Default: any. */
  extendedKeyUsage: optional(oneOf('clientAuth'), { defaultInWords: 'any' }),
  /**
   * The HTTP status of a refusal: 403 without a challenge (RFC 9440 §2.4), or 401 with one. Default 403.
   */
  refusalStatus: withDefault(refusalStatuses, 403),
});

/**
 * What a client certificate must be in addition to being the one that the token is bound to; every
 * rule that is given must hold. None is needed for RFC 8705 (§6.2): they are for ecosystems with a
 * PKI of their own.
 */
export interface CertificatePolicyOptions extends OptionsOf<typeof certificatePolicyOptions> {}

/**
 * Returns the certificate to use from now on: the same one, which counts as verified if the policy has
 * verified its chain. Throws `RequestRefused` for a certificate that does not fit. `now` in
 * milliseconds since the epoch. Calls `whenRevoked` once for a certificate that turns out to be revoked, or
 * below an authority that is.
 */
export interface CertificatePolicy {
  (
    certificate: ClientCertificate | undefined,
    now: number,
    whenRevoked?: (certificate: ClientCertificate) => void,
  ): ClientCertificate;
  /**
   * Loads what the policy needs to judge this certificate. Returns `undefined` if there is nothing to
   * wait for. Rejects with `RequestRefused`. A request without a certificate is refused at once, so
   * nothing is loaded for it.
   */
  readonly prepare: (certificate: ClientCertificate, now: number) => Promise<unknown> | undefined;
  /**
   * Loads what the policy needs to judge any certificate. Returns `undefined` if there is nothing to
   * wait for. Rejects with `RequestRefused`.
   */
  readonly load: (now: number) => Promise<unknown> | undefined;
  /**
   * Looks again at a certificate that was accepted, and calls `whenRevoked` as the policy itself does. Never
   * rejects.
   */
  readonly recheck: (
    certificate: ClientCertificate,
    whenRevoked: (certificate: ClientCertificate) => void,
  ) => Promise<void>;
  /** Fetches nothing from now on. */
  readonly close: () => void;
  /** How the policy finds out whether certificates are revoked; undefined if it does not. */
  readonly revocationCheck: CertificateStatusSettings | undefined;
}

/** The rules that need the whole certificate, not its thumbprint alone. */
export const certificateContentNames = [
  'requireValidNow',
  'issuer',
  'subject',
  'san',
  'extendedKeyUsage',
  'authorities',
] as const satisfies (keyof CertificatePolicyOptions)[];

const clientAuth = '1.3.6.1.5.5.7.3.2';

/** The rules by names. A certificate with a bad verdict is refused before them. */
const nameRules = ['issuer', 'subject', 'san'] as const satisfies (keyof CertificatePolicyOptions)[];

/**
 * Makes the policy of the options, or returns `undefined` if there is none. Throws `ConfigurationError`.
 *
 * @param clockTolerance returns the seconds that the clocks of the authorities may differ; called when
 * a certificate is judged
 */
export function createCertificatePolicy(
  given: OptionReader<typeof certificatePolicyOptions>,
  clockTolerance: () => number,
): CertificatePolicy | undefined {
  const {
    requireVerified,
    requireValidNow,
    refusalStatus,
    authorities,
    intermediates,
    revocationCheck,
    ...content
  } = given.settings();
  const rules = contentRules(content, given.pathOf('san'));
  const code = refusalStatus === 401 ? 'certificate_refused_401' : 'certificate_refused';
  const byName = nameRules.filter((name) => !given.isUnwritten(name)).map((name) => given.pathOf(name));
  const refuseBadVerdict = byName.length > 0 ? createBadVerdictCheck(byName.join(', '), code) : undefined;
  const chain = chainCheckOf(given, { authorities, intermediates }, clockTolerance);
  if (!requireVerified && !requireValidNow && rules.length === 0 && chain === undefined) {
    return undefined;
  }
  const refuse = (detail: string): never => {
    throw new RequestRefused(code, { detail });
  };
  // The content of a certificate never changes, so it is judged once.
  const ruleResults = new WeakMap<ParsedCertificate, string | true>();

  const needsLibrary = rules.length > 0 || chain !== undefined;
  if (needsLibrary) {
    x509.preload();
  }
  const check: (...args: Parameters<CertificatePolicy>) => ClientCertificate = (shown, now, whenRevoked) => {
    if (shown === undefined) {
      throw new RequestRefused('certificate_missing', { detail: 'certificatePolicy needs one' });
    }
    const chainResult = chain?.judge(shown, now);
    if (chainResult !== undefined && 'refused' in chainResult) {
      const { refused } = chainResult;
      const isRevoked = refused.code === 'revoked' || refused.code === 'authority_revoked';
      if (isRevoked && whenRevoked !== undefined && chain?.noteRevoked(shown)) {
        whenRevoked(shown);
      }
      throw createRefusal(code, refused);
    }
    chain?.noteNotRevoked(shown);
    const certificate = chainResult?.certificate ?? shown;
    if (
      requireVerified &&
      (shown.verified === false || shown.mayBeRevoked || certificate.verified !== true)
    ) {
      refuse(explainUnverified(shown));
    }
    refuseBadVerdict?.(certificate);
    const validity = requireValidNow ? requireValidity(certificate) : undefined;
    if (validity === 'unknown') {
      refuse(hashAloneDetail);
    } else if (validity !== undefined && !(validity.from <= now && now <= validity.to)) {
      refuse('it is not valid now');
    }
    if (rules.length > 0) {
      const parsed = parseUnlessHashAlone(certificate);
      if (parsed === undefined) {
        return refuse(hashAloneDetail);
      }
      const ruleResult = ruleResults.get(parsed) ?? evaluateRules(parsed, rules);
      ruleResults.set(parsed, ruleResult);
      if (ruleResult !== true) {
        refuse(ruleResult);
      }
    }
    return certificate;
  };
  const load: CertificatePolicy['load'] = (now) => {
    const loading = needsLibrary ? x509.loadUnlessLoaded() : undefined;
    const preparing = chain?.prepareAuthorities(now);
    return loading === undefined && preparing === undefined
      ? undefined
      : callAll([() => loading, () => preparing]);
  };
  const prepare: CertificatePolicy['prepare'] = (certificate, now) => {
    const loading = load(now);
    return loading === undefined
      ? chain?.prepareStatus(certificate, now)
      : prepareLater(loading, certificate);
  };
  const prepareLater = async (loading: Promise<unknown>, certificate: ClientCertificate): Promise<void> => {
    await loading;
    await chain?.prepareStatus(certificate, Date.now());
  };
  const recheck: CertificatePolicy['recheck'] = async (certificate, whenRevoked) => {
    try {
      await prepare(certificate, Date.now());
      check(certificate, Date.now(), whenRevoked);
    } catch {
      // A status that is unknown, or authorities that can not be loaded, revoke nothing.
    }
  };
  return Object.assign(check, {
    prepare,
    load,
    recheck,
    close: () => chain?.close(),
    revocationCheck: chain?.revocationCheck,
  });
}

/** Throws `ConfigurationError` for authorities that can't be read. */
function chainCheckOf(
  given: OptionReader<typeof certificatePolicyOptions>,
  { authorities, intermediates }: Record<'authorities' | 'intermediates', Authorities | undefined>,
  clockTolerance: () => number,
): ChainCheck | undefined {
  if (authorities === undefined) {
    const lonely = (['intermediates', 'revocationCheck'] as const).find((name) => !given.isUnwritten(name));
    if (lonely !== undefined) {
      throw createMissingRequirement(given.pathOf(lonely), given.pathOf('authorities'));
    }
    return undefined;
  }
  const report = createProblemReporter();
  patchTlsHandles();
  const verification = new ChainVerification(
    new AuthoritySource(authorities, given.pathOf('authorities'), report),
    intermediates === undefined
      ? undefined
      : new AuthoritySource(intermediates, given.pathOf('intermediates'), report, true),
  );
  if (given.isUnwritten('revocationCheck')) {
    return new ChainCheck(verification, undefined, report);
  }
  const settings = resolveCertificateStatus(given.nested('revocationCheck'));
  const { crlSigners } = verification;
  const statusChecker = createStatusChecker(settings, clockTolerance, report, { crlSigners });
  return new ChainCheck(verification, { statusChecker, settings }, report);
}

/**
 * A rule about a certificate's content. `holds` gives `undefined` for an extension that can't be
 * read.
 */
interface ContentRule {
  readonly detail: string;
  readonly holds: (certificate: ParsedCertificate) => boolean | undefined;
}

function contentRules(
  {
    issuer: issuers,
    subject: subjects,
    san,
    extendedKeyUsage: usage,
  }: Pick<SettingsOf<typeof certificatePolicyOptions>, 'issuer' | 'subject' | 'san' | 'extendedKeyUsage'>,
  sanPath: string,
): ContentRule[] {
  const alternatives = san && alternativeNames(sanPath, san);
  const isOneOf = (allowed: readonly DistinguishedName[], name: JsonName) => {
    const decoded = decodeDistinguishedName(name);
    return allowed.some((one) => isSameName(one, decoded));
  };
  const rules: (ContentRule | undefined)[] = [
    issuers && { detail: 'its issuer is not listed', holds: ({ issuer }) => isOneOf(issuers, issuer) },
    subjects && { detail: 'its subject is not listed', holds: ({ subject }) => isOneOf(subjects, subject) },
    alternatives && { detail: 'no alternative name is listed', holds: (c) => hasOneOf(alternatives, c) },
    usage && { detail: 'its extended key usage lacks clientAuth', holds: isForClientAuth },
  ];
  return rules.filter((rule) => rule !== undefined);
}

function evaluateRules(parsed: ParsedCertificate, rules: readonly ContentRule[]): string | true {
  for (const { detail, holds } of rules) {
    const isMet = holds(parsed);
    if (isMet !== true) {
      return isMet === undefined ? `${detail}: the extension can not be read` : detail;
    }
  }
  return true;
}

/** Throws `RequestRefused` for what is no certificate. */
function requireValidity(certificate: ClientCertificate): Validity {
  const validity = validityOf(certificate);
  if (validity === undefined) {
    throw new RequestRefused('certificate_malformed', { detail: 'not an X.509 certificate' });
  }
  return validity;
}

function alternativeNames(path: string, san: SettingsOf<typeof alternativeNameOptions>): ReadonlySet<string> {
  const listed = Object.entries(san).flatMap(([kind, values]) =>
    (values ?? []).map((value) => comparedAlternative(kind, value)),
  );
  if (listed.length === 0) {
    throw createMismatch(
      path,
      describeOptionsObject(Object.keys(alternativeNameOptions)),
      'a list of no names',
    );
  }
  return new Set(listed);
}

/** False where the extension is missing, `undefined` where it can't be read. */
function hasOneOf(allowed: ReadonlySet<string>, parsed: ParsedCertificate): boolean | undefined {
  return readExtension(parsed, extensionIds.subjectAltName, false, (der) =>
    // The library's word for a URI is "url".
    new (x509Library().SubjectAlternativeNameExtension)(der).names
      .toJSON()
      .some(({ type, value }) => allowed.has(comparedAlternative(type === 'url' ? 'uri' : type, value))),
  );
}

/**
 * DNS names have no case; addresses have several spellings; the others are compared as they are.
 */
function comparedAlternative(kind: string, value: string): string {
  const isAddress = kind === 'ip' && isIPv6(value);
  const spelling = isAddress ? new SocketAddress({ address: value, family: 'ipv6' }).address : value;
  return `${kind}:${kind === 'dns' ? spelling.toLowerCase() : spelling}`;
}

/** False where the extension is missing, `undefined` where it can't be read. */
function isForClientAuth(parsed: ParsedCertificate): boolean | undefined {
  return readExtension(parsed, extensionIds.extendedKeyUsage, false, (der) =>
    new (x509Library().ExtendedKeyUsageExtension)(der).usages.includes(clientAuth),
  );
}
