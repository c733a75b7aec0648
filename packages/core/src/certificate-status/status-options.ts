import type { SecureContextOptions } from 'node:tls';
import { createMissingRequirement } from '../shared/option-errors.js';
import {
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  required,
  type SettingsOf,
  seconds,
  wholeNumber,
  withDefault,
} from '../shared/option-group.js';
import {
  flag,
  type OptionRule,
  oneOf,
  originList,
  pemCertificates,
  textList,
} from '../shared/option-rules.js';

/** Where the status of a certificate is looked up. */
export type StatusMethod = 'crl' | 'ocsp';

const methods: readonly StatusMethod[] = ['crl', 'ocsp'];

const methodList: OptionRule<readonly StatusMethod[], StatusMethod | readonly StatusMethod[]> = {
  accepted: "'crl', 'ocsp', or a list of both in the order in which they are asked",
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    const read = list.flatMap((item) => methods.filter((method) => method === item));
    const isComplete = read.length === list.length && new Set(read).size === read.length;
    return isComplete && read.length > 0 ? Object.freeze(read) : undefined;
  },
};

const webOrigins = originList('an http or https origin as http://crl.example.com', ['http:', 'https:']);

export const certificateStatusOptions = optionGroup({
  /**
   * Where the status of each certificate of a path is looked up: `crl` in revocation lists (RFC 5280
   * §6.3), `ocsp` at the responder that the certificate names (RFC 6960), or a list of both in the
   * order in which they are asked. The second is asked only if the first can't say. Delta lists and
   * indirect lists prove of no certificate that it is good: one that needs such a list has an unknown
   * status. A delta list, as one of `crlFiles`, revokes the certificates that it names. Node gives
   * a server no OCSP answer that a client staples to its certificate. Required.
   */
  by: required(methodList),
  /**
   * What becomes of a certificate whose status can't be found out: `strict` refuses it, `tolerant`
   * accepts it. A revoked certificate is refused in both modes. With `tolerant` an attacker who can
   * block the requests for the status can use a revoked certificate. Default `strict`.
   */
  mode: withDefault(oneOf('strict', 'tolerant'), 'strict'),
  /**
   * Paths of files of revocation lists, in PEM (one or several in a file) or DER. Read at start, and
   * again within 5 seconds of a change. The signature of a list is verified when a client first needs it.
   * A list that can't be used is reported (`crl_unreadable`), and the others are used. An earlier list of
   * its issuer stays until the file holds a newer one that can be used. A file in which no list can be
   * read, or which is cut off, is refused at start; later the lists read before are used meanwhile. The
   * lists that a certificate names are fetched only if those of the files can't say. Refused without
   * `by: 'crl'`. Default: none.
   */
  crlFiles: optional(textList),
  /**
   * The origins that may be asked for lists and OCSP answers, as `http://crl.example.com`, at any
   * address. Name them if such a request to another server of your network could do harm, and for lists
   * and responders at https URLs, which are asked only at these origins. Default: any http origin that a
   * certificate of an accepted path names, but no loopback, link-local, multicast or unspecified address,
   * no shared one (100.64.0.0/10), and no service of a cloud for hosts.
   */
  origins: optional(webOrigins, {
    defaultInWords:
      'any http origin that a certificate of an accepted path names, but no loopback, link-local, ' +
      'multicast or unspecified address, no shared one (100.64.0.0/10), and no service of a cloud for hosts',
  }),
  /**
   * PEM certificates of the certificate authorities to trust for `https` URLs of lists and responders,
   * for a server of your own. Refused without `origins`. Default: Node's list.
   */
  ca: optional<NonNullable<SecureContextOptions['ca']>, SecureContextOptions['ca']>(pemCertificates, {
    defaultInWords: "Node's list",
  }),
  /**
   * Seconds after which lists and OCSP answers are fetched again, in the background, also if they
   * are valid for longer. A revocation takes effect after this time at the latest, once the
   * authority publishes it. Those that expire sooner are fetched sooner, every 10 seconds at most.
   * Default 300; from 10 to 86,400.
   */
  refreshInterval: seconds({ min: 10, max: 86_400, default: 300 }),
  /**
   * Seconds for one request for a list or an OCSP answer, with the body of its answer. The first
   * request with a certificate waits as long at most for each method of `by`, and again for each other
   * path that is tried. Default 5; from 0.05 to 60.
   */
  timeout: seconds({ min: 0.05, max: 60, default: 5 }),
  /**
   * Bytes of a revocation list. All lists that were fetched take sixteen times as many at most. An
   * OCSP answer may have as many too, but never more than 65,535.
   * Default 10,485,760; from 1,024 to 104,857,600.
   */
  maxSize: wholeNumber({ min: 1_024, max: 104_857_600, default: 10_485_760 }),
  /**
   * Sends a nonce of 32 bytes to OCSP responders, and refuses an answer without it (RFC 9654). An answer
   * that says `revoked` counts without it. Many public responders sign their answers in advance and know
   * no nonce. Without one, an attacker on the way can repeat an answer until its nextUpdate. Refused
   * without `by: 'ocsp'`. Default `false`.
   */
  nonce: withDefault(flag, false),
});

/** How the status of certificates is looked up: by revocation lists, by OCSP, or by both. */
export interface CertificateStatusOptions extends OptionsOf<typeof certificateStatusOptions> {}

/** `CertificateStatusOptions` checked and completed. */
export interface CertificateStatusSettings extends SettingsOf<typeof certificateStatusOptions> {
  /** The name of the option `crlFiles` in error messages. */
  readonly crlFilesOption: string;
}

/** Reads the group. Throws `ConfigurationError`. Reads no file: `createStatusChecker()` does. */
export function resolveCertificateStatus(
  given: OptionReader<typeof certificateStatusOptions>,
): CertificateStatusSettings {
  const settings = given.settings();
  const needed = [
    ['crlFiles', 'crl'],
    ['nonce', 'ocsp'],
  ] as const;
  for (const [name, method] of needed) {
    if (!given.isUnwritten(name) && !settings.by.includes(method)) {
      throw createMissingRequirement(given.pathOf(name), `${given.pathOf('by')}: '${method}'`);
    }
  }
  if (settings.ca !== undefined && settings.origins === undefined) {
    throw createMissingRequirement(given.pathOf('ca'), given.pathOf('origins'));
  }
  return Object.freeze({ ...settings, crlFilesOption: given.pathOf('crlFiles') });
}
