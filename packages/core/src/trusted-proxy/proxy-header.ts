import { CertificateCache } from '../certificate/certificate-cache.js';
import { type CertificateSource, ClientCertificate } from '../certificate/client-certificate.js';
import { connectionOf } from '../certificate/connection.js';
import { type CertificateDecoder, certificateList, runDecoder } from '../certificate/encodings.js';
import { type FailedVerdict, readFailedVerdict } from '../certificate/verify-error.js';
import { type Reason, RequestRefused, TellableError } from '../errors.js';
import { createProblemReporter, type ReportProblem } from '../observe/events.js';
import { hasHeaderLines, indexOfLine, lineValues } from '../request/header-lines.js';
import type { NodeRequest } from '../request/node-request.js';
import { refuseFurtherArguments } from '../shared/call-arguments.js';
import type { Hint } from '../shared/hint.js';
import { createConflict, createMismatch } from '../shared/option-errors.js';
import {
  nestedRule,
  OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  readOptions,
  required,
  type SettingsOf,
  wholeNumber,
} from '../shared/option-group.js';
import { checkOption, functionLike, type OptionRule, text } from '../shared/option-rules.js';
import { isPromise } from '../shared/promises.js';
import { proxyHeaderName } from './proxy-header-name.js';
import type { ProxyPreset } from './proxy-presets.js';
import { createTrustCheck, type TrustOptions, trustOptions } from './trusted-proxy.js';

export const proxyHeaderOptions = optionGroup({
  /**
   * Longest header in characters. A longer one is answered with 400. Node's own limit for all
   * headers together is 16 KiB by default. Default 16,384; from 256 to 1,048,576.
   */
  maxLength: wholeNumber({ min: 256, max: 1_048_576, default: 16_384 }),
  /**
   * Number of certificates that are kept for each verdict of the proxy, so that the next request of
   * a client costs only a look-up. Default 1,000; from 1 to 1,000,000.
   */
  maxEntries: wholeNumber({ min: 1, max: 1_000_000, default: 1_000 }),
});

/** Options of `proxyHeader()`. `trust` is required: no proxy is trusted by default. */
export interface ProxyHeaderOptions extends TrustOptions, OptionsOf<typeof proxyHeaderOptions> {}

const presetRule: OptionRule<ProxyPreset> = {
  accepted: 'a preset such as nginx(), haproxy(), envoy() or customHeader({ header, decode })',
  read: (given) =>
    typeof given === 'object' && given !== null && 'decode' in given && 'header' in given
      ? (given as ProxyPreset)
      : undefined,
};

const decoder = functionLike<CertificateDecoder>('a function from the value to a DecodedCertificate');
const verdictTest = functionLike<(value: string) => boolean>('a function from the value to true or false');
const always: OptionRule<true> = {
  accepted: 'true',
  read: (given) => (given === true ? given : undefined),
};

const never: OptionRule<false> = {
  accepted: 'false',
  read: (given) => (given === false ? given : undefined),
};

const verdictMembers = optionGroup({
  header: required(proxyHeaderName),
  isVerified: required(verdictTest),
  checksRevocation: optional(never),
  hasErrorNumbers: optional(always),
});

const presetMembers = optionGroup({
  name: required(text),
  header: required(proxyHeaderName),
  decode: required(decoder),
  chainHeader: optional(proxyHeaderName),
  verdict: optional(nestedRule<SettingsOf<typeof verdictMembers>, ProxyPreset['verdict']>(verdictMembers)),
  alwaysVerified: optional(always),
  thumbprintOnly: optional(always),
});

/** Has every member itself, so that none comes from a changed `Object.prototype`. */
type CheckedPreset = SettingsOf<typeof presetMembers>;

/**
 * The preset, a hand-made one as well, with its header names in lower case. Throws
 * `ConfigurationError`.
 */
function parsePreset(preset: ProxyPreset): CheckedPreset {
  const path = 'proxyHeader(preset)';
  const given = new OptionReader(path, checkOption(path, presetRule, preset), presetMembers);
  if (given.get('alwaysVerified') && !given.isUnwritten('verdict')) {
    throw createConflict(given.pathOf('verdict'), 'alwaysVerified');
  }
  return given.settings();
}

/**
 * Throws if two of these headers have one name: a header that the client may write would count as one
 * that only the proxy may write.
 */
function refuseSharedNames(names: readonly (readonly [path: string, header: string | undefined])[]): void {
  for (const [index, [path, header]] of names.entries()) {
    const [other] = names.slice(0, index).find(([, taken]) => taken === header) ?? [];
    if (header !== undefined && other !== undefined) {
      throw createMismatch(path, 'a header of its own', `the header of ${other}`);
    }
  }
}

/**
 * The certificate that a trusted proxy hands on in a header, for servers behind a proxy that ends
 * TLS (RFC 9440 §4). Whether the proxy is trusted is decided by the connection, before the header
 * is looked at; from anyone else the header is ignored, and a problem says so. The TLS socket's own
 * certificate is never used in its place.
 *
 * @example
 * const secret = { header: 'x-proxy-secret', value };
 * mtlsBound({ certificate: proxyHeader(nginx(), { trust: ['10.0.0.5'], secret }) })
 */
export function proxyHeader(preset: ProxyPreset, options: ProxyHeaderOptions): CertificateSource;
export function proxyHeader(...args: [preset: ProxyPreset, options: ProxyHeaderOptions]): CertificateSource {
  refuseFurtherArguments('proxyHeader()', args, 2, 'a preset and one object of options');
  const [preset, options] = args;
  const checkedPreset = parsePreset(preset);
  const { header, decode, chainHeader, verdict: verdictRule, alwaysVerified, thumbprintOnly } = checkedPreset;
  const settings = readOptions('proxyHeader()', options, { ...trustOptions, ...proxyHeaderOptions });
  const { maxLength, maxEntries } = settings;
  const { findFault, prepare } = createTrustCheck(settings);
  const secretHeader = settings.secret?.header;
  refuseSharedNames([
    ['proxyHeader(preset).header', header],
    ['proxyHeader(preset).verdict.header', verdictRule?.header],
    ['proxyHeader(preset).chainHeader', chainHeader],
    ['proxyHeader().secret.header', secretHeader],
  ]);
  // A verdict may change while the certificate does not, so each verdict has its own.
  const verifiedOnes = new CertificateCache(maxEntries);
  const unverifiedOnes = new CertificateCache(maxEntries);
  const unjudgedOnes = new CertificateCache(maxEntries);
  const cacheFor = (verdict: boolean | undefined): CertificateCache =>
    verdict === undefined ? unjudgedOnes : verdict ? verifiedOnes : unverifiedOnes;
  const report = createProblemReporter();

  function verdictOf(req: NodeRequest): boolean | undefined {
    if (alwaysVerified || verdictRule === undefined) {
      return alwaysVerified;
    }
    const { rawHeaders } = req;
    const at = indexOfLine(rawHeaders, verdictRule.header, 0);
    return (
      at !== -1 &&
      indexOfLine(rawHeaders, verdictRule.header, at + 2) === -1 &&
      saysVerified(verdictRule.isVerified, rawHeaders[at + 1] as string)
    );
  }

  /** Why the verdict is false; undefined for any other. */
  function failureOf(req: NodeRequest, verdict: boolean | undefined): FailedVerdict | undefined {
    if (verdict !== false || verdictRule === undefined) {
      return undefined;
    }
    const { header: verdictHeader, checksRevocation = true, hasErrorNumbers = false } = verdictRule;
    const values = lineValues(req.rawHeaders, verdictHeader);
    return readFailedVerdict(verdictHeader, values, checksRevocation, hasErrorNumbers);
  }

  function refuse(why: string, where = header): never {
    const { name } = checkedPreset;
    report('certificate_malformed', `${where} from the proxy, read as ${name}() writes it: ${why}`);
    throw new RequestRefused('certificate_malformed', { detail: `${where}: ${why}` });
  }

  /** No certificate, which must not come with a chain (RFC 9440 §2.3). */
  function refuseChainAlone(chain: string): undefined {
    return chain === '' ? undefined : refuse('it came without a certificate', chainHeader);
  }

  function intermediatesIn(chain: string): readonly Uint8Array[] {
    if (chain.length > maxLength) {
      return refuse('it is longer than maxLength', chainHeader);
    }
    const listed = chain === '' ? [] : certificateList(chain);
    return typeof listed === 'string' ? refuse(listed, chainHeader) : listed;
  }

  const source = (req: NodeRequest): ClientCertificate | undefined => {
    if (!hasHeaderLines(req)) {
      throw new TellableError(noLines);
    }
    const fault = findFault(req);
    if (fault !== undefined) {
      reportUntrusted(report, req, fault.why, header);
      return undefined;
    }
    const { rawHeaders } = req;
    // A proxy may split a list into several lines (RFC 9440 §2.3).
    const chain = chainHeader === undefined ? '' : lineValues(rawHeaders, chainHeader).join(', ');
    const at = indexOfLine(rawHeaders, header, 0);
    if (at === -1) {
      return refuseChainAlone(chain);
    }
    if (indexOfLine(rawHeaders, header, at + 2) !== -1) {
      return refuse('it came several times');
    }
    const value = rawHeaders[at + 1] as string;
    const verdict = verdictOf(req);
    const failure = failureOf(req, verdict);
    const cache = cacheFor(verdict);
    // No header holds a line feed.
    const key = chain === '' ? value : `${value}\n${chain}`;
    const remembered = cache.get(key);
    if (remembered !== undefined && isOfVerdict(remembered, failure)) {
      return remembered;
    }
    if (value.length > maxLength) {
      return refuse('it is longer than maxLength');
    }
    const decoded = runDecoder(decode, value);
    if (decoded.kind === 'none') {
      return refuseChainAlone(chain);
    }
    if (decoded.kind === 'malformed') {
      return refuse(decoded.why);
    }
    const listed = intermediatesIn(chain);
    const from = decoded.kind === 'hash' ? decoded : decoded.der;
    const inValue = decoded.kind === 'certificate' ? decoded.intermediates : undefined;
    const intermediates = listed.length === 0 ? inValue : [...(inValue ?? []), ...listed];
    const certificate = new ClientCertificate(from, { verified: verdict, ...failure, intermediates });
    cache.set(key, certificate);
    return certificate;
  };
  /** Never throws. */
  const explainFault = (req: NodeRequest): Reason | undefined => {
    try {
      return findFault(req);
    } catch {
      return notChecked;
    }
  };
  const explainMissing = (req: NodeRequest): Hint => {
    const fault = explainFault(req);
    if (fault !== undefined) {
      const text = `${header} was ignored: the request ${fault.why}`;
      return { code: 'proxy_not_trusted', reason: fault.code, text };
    }
    return lineValues(req.rawHeaders, header).length === 0
      ? {
          code: 'header_missing',
          text:
            `${header} is not there: the proxy does not set it on this route, or the ` +
            'client sent no certificate',
        }
      : { code: 'no_certificate', text: `${header} says that the client sent none` };
  };
  const knowsVerified = alwaysVerified === true || verdictRule !== undefined;
  const headers = { header, verifyHeader: verdictRule?.header, chainHeader, secretHeader };
  const knows = { knowsVerified, thumbprintOnly: thumbprintOnly === true };
  return Object.freeze(Object.assign(source, headers, knows, { prepare, explainMissing }));
}

const notChecked: Reason = {
  code: 'not_checked',
  why: 'came from a peer whose trust could not be checked',
};

/** Whether a kept certificate has this verdict: one text may come with different verdicts. */
function isOfVerdict(remembered: ClientCertificate, failure: FailedVerdict | undefined): boolean {
  const { verifyError, mayBeRevoked = false } = failure ?? {};
  return remembered.verifyError === verifyError && remembered.mayBeRevoked === mayBeRevoked;
}

const noLines =
  'the request was not made by Node: it has headers, but no rawHeaders, so proxyHeader() can not know ' +
  'whether a header came twice; behind serverless-http set certificate: lambdaEvent(), or use an ' +
  'adapter that fills rawHeaders';

/**
 * Only `true` says that the certificate is verified; an exception does not. Throws `TellableError`
 * for a promise: that is a fault of the function, whatever the request holds.
 */
function saysVerified(isVerified: (value: string) => boolean, value: string): boolean {
  let verdict: unknown;
  try {
    verdict = isVerified(value);
  } catch {
    return false;
  }
  if (isPromise(verdict)) {
    throw new TellableError('isVerified of the preset returned a promise; it must return true or false');
  }
  return verdict === true;
}

/** A request of an untrusted peer is no problem while it carries no certificate. */
function reportUntrusted(report: ReportProblem, req: NodeRequest, fault: string, header: string): void {
  if (lineValues(req.rawHeaders, header).length > 0) {
    const peer = connectionOf(req)?.remoteAddress ?? 'a connection without address';
    report('untrusted_proxy', `${header} was ignored: the request, by ${peer}, ${fault}`);
  }
}
