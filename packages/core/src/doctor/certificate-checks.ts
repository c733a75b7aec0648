import type { ClientCertificate } from '../certificate/client-certificate.js';
import { x509 } from '../certificate/lazy-x509.js';
import {
  type CertificatePolicyOptions,
  certificatePolicyOptions,
} from '../certificate-policy/certificate-policy.js';
import { type Crl, lacksCrlSign, mayProve, openCrlByAny, readCrlHead } from '../certificate-status/crl.js';
import { CrlFiles, isUsable } from '../certificate-status/crl-files.js';
import { readDistributionPoints } from '../certificate-status/distribution-points.js';
import { createCertificateId, createOcspRequest } from '../certificate-status/ocsp-request.js';
import { readOcspResponse } from '../certificate-status/ocsp-response.js';
import { respondersOf } from '../certificate-status/ocsp-source.js';
import { createStatusChecker } from '../certificate-status/status-checker.js';
import { createStatusFetcher, type StatusFetcher } from '../certificate-status/status-fetcher.js';
import {
  type CertificateStatusSettings,
  certificateStatusOptions,
  resolveCertificateStatus,
} from '../certificate-status/status-options.js';
import { reasonOfError, type StatusReason, unexpected304 } from '../certificate-status/status-reason.js';
import { AuthoritySource } from '../chain/authorities.js';
import type { ChainReason } from '../chain/chain-reason.js';
import { ChainVerification } from '../chain/chain-verification.js';
import type { CrlSigners } from '../chain/crl-signers.js';
import type { CertificatesBySubject } from '../chain/path-building.js';
import { type PathCertificate, readPathCertificate } from '../chain/path-certificate.js';
import { ConfigurationError } from '../errors.js';
import { resourceServerOptions } from '../options/resource-server-options.js';
import { hintForChainCode, hintForStatus } from '../response/chain-hints.js';
import { OptionReader } from '../shared/option-group.js';
import { redactUrl } from '../shared/shown-url.js';
import { type Finding, ok, problem, warning } from './finding.js';

/** Bytes of the answer of a responder. */
const MAX_ANSWER_SIZE = 65_535;

/** Intermediate certificates that are searched for a missing issuer. */
const MAX_STEPS = 10;

const HOUR = 3_600_000;

/** What certificates are checked by. */
export interface PolicyOfApi {
  /** The name of the policy's options, for messages. */
  readonly path: string;
  readonly policy: CertificatePolicyOptions;
  /** The API's own option: seconds that the clock of an authority may differ. */
  readonly clockTolerance: number | undefined;
}

/** How lists and responders are asked, and what they are told of. */
interface StatusChecks {
  readonly settings: CertificateStatusSettings;
  readonly clockTolerance: number;
  readonly crlSigners: CrlSigners;
  readonly fetcher: StatusFetcher;
}

/**
 * Checks the chain of a certificate as a certificate policy of an API does, and its status: where its
 * lists and responders are, whether they answer, and how old they are. Never rejects for what is wrong
 * with the certificate or the options.
 */
export async function checkCertificate(
  certificate: ClientCertificate,
  { path, policy, clockTolerance }: PolicyOfApi,
): Promise<Finding[]> {
  await x509.load();
  const reported: Finding[] = [];
  const report = (code: string, message: string): void => {
    reported.push(warning(code, message, 'correct the file or the function that the message names'));
  };
  try {
    const tolerance = new OptionReader('options', { clockTolerance }, resourceServerOptions);
    const given = new OptionReader(path, policy, certificatePolicyOptions);
    const { authorities, intermediates } = given.settings();
    if (authorities === undefined) {
      const fix = 'set it in the module of --config, or name a file of authorities by --ca';
      return [problem('authorities_missing', `${path}.authorities is not set`, fix)];
    }
    const anchors = new AuthoritySource(authorities, given.pathOf('authorities'), report);
    const between =
      intermediates === undefined
        ? undefined
        : new AuthoritySource(intermediates, given.pathOf('intermediates'), report, true);
    const verification = new ChainVerification(anchors, between);
    const now = Date.now();
    await verification.prepare(now);
    const outcome = verification.verify(certificate, now);
    if ('why' in outcome) {
      const known = [anchors.current(), ...(between === undefined ? [] : [between.current()])];
      return [...reported, noChain(outcome, certificate, known, path)];
    }
    const notSet = given.isUnwritten('revocationCheck') ? given.pathOf('revocationCheck') : undefined;
    const settings = resolveCertificateStatus(
      notSet === undefined
        ? given.nested('revocationCheck')
        : new OptionReader(notSet, NOT_SET_BY, certificateStatusOptions),
    );
    const { crlSigners } = verification;
    const checks: StatusChecks = {
      settings,
      clockTolerance: tolerance.get('clockTolerance'),
      crlSigners,
      fetcher: createStatusFetcher(settings),
    };
    try {
      const findings = await checkStatus(outcome.path, checks, notSet);
      return [...reported, chainFound(outcome.path), ...findings];
    } finally {
      checks.fetcher.close();
    }
  } catch (error) {
    if (error instanceof ConfigurationError) {
      return [problem('configuration', error.message, 'set the option that it names')];
    }
    throw error;
  }
}

const NOT_SET_BY = { by: ['crl', 'ocsp'] } as const;

function chainFound(path: readonly PathCertificate[]): Finding {
  const end = Math.min(...path.map(({ notAfter }) => notAfter));
  return ok(
    'chain',
    `the chain leads to an authority and is valid until ${timeOf(end)}: ${path.map(nameOf).join(' <- ')}`,
  );
}

function noChain(
  { code, why }: ChainReason,
  certificate: ClientCertificate,
  known: readonly CertificatesBySubject[],
  path: string,
): Finding {
  const detail = `its chain leads to none of the authorities: ${why}`;
  const hint = hintForChainCode(code);
  const missing = hint.code === 'chain_issuer_missing' ? missingIssuer(certificate, known, path) : undefined;
  return problem(hint.code, missing === undefined ? detail : `${detail}; ${missing}`, hint.text);
}

/** Follows the names of issuers as far as they are known. */
function missingIssuer(
  certificate: ClientCertificate,
  known: readonly CertificatesBySubject[],
  path: string,
): string | undefined {
  const sent = certificate.intermediates.map(readPathCertificate).filter((one) => typeof one !== 'string');
  let last = readPathCertificate(certificate.der ?? new Uint8Array());
  for (let step = 0; typeof last !== 'string' && step < MAX_STEPS; step += 1) {
    const { issuerName, subjectName } = last;
    const issuers = [
      ...known.flatMap((pool) => pool.get(issuerName) ?? []),
      ...sent.filter((one) => one.subjectName === issuerName),
    ];
    const [issuer] = issuers;
    if (issuerName === subjectName && step === 0 && issuer === undefined) {
      return `${nameOf(last)} is self-signed: no authority issued it`;
    }
    if (issuerName === subjectName && step > 0) {
      return `${nameOf(last)} is a root, and not in ${path}.authorities`;
    }
    if (issuer === undefined) {
      return `no certificate is known of ${onePlace(last.x509.issuer)}, the issuer of ${nameOf(last)}`;
    }
    if (!issuers.some((one) => last !== one && typeof last !== 'string' && isSignedBy(last, one))) {
      return `the key of ${nameOf(issuer)} is not that of the issuer of ${nameOf(last)}`;
    }
    last = issuer;
  }
  return undefined;
}

function isSignedBy(certificate: PathCertificate, issuer: PathCertificate): boolean {
  try {
    return certificate.x509.verify(issuer.x509.publicKey);
  } catch {
    return false;
  }
}

/** @param notSet the name of the option `revocationCheck`, if the API does not have it */
async function checkStatus(
  path: readonly PathCertificate[],
  checks: StatusChecks,
  notSet: string | undefined,
): Promise<Finding[]> {
  const { settings, clockTolerance, crlSigners } = checks;
  const ofFiles: Finding[] = [];
  const statusChecker = createStatusChecker(
    settings,
    () => clockTolerance,
    (code, message) => code === 'crl_unreadable' && ofFiles.push(unreadableLists(message)),
    { crlSigners },
  );
  const links = path.slice(1).map((issuer, index) => [path[index] ?? issuer, issuer] as const);
  try {
    const sources = await Promise.all(
      links.map(([certificate, issuer]) => checkSources(certificate, issuer, checks)),
    );
    await statusChecker.prepare(path);
    return [
      ...ofFiles,
      ...sources.flat(),
      createStatusFinding(path, statusChecker.statusOf(path, Date.now()), settings, notSet),
    ];
  } finally {
    statusChecker.close();
  }
}

function createStatusFinding(
  path: readonly PathCertificate[],
  found: ReturnType<ReturnType<typeof createStatusChecker>['statusOf']>,
  { mode }: CertificateStatusSettings,
  notSet: string | undefined,
): Finding {
  if (found.state === 'good') {
    const message = 'none of the certificates of the chain is revoked';
    return notSet === undefined ? ok('certificate_status', message) : notAsked(message, notSet);
  }
  const which = nameOf(path[found.at] as PathCertificate);
  if (found.state === 'revoked') {
    const detail = `${which} is revoked: ${found.why}`;
    return found.at === 0
      ? problem('certificate_revoked', detail, 'get a new certificate, with a new key')
      : problem('authority_revoked', detail, 'get a certificate of another authority');
  }
  const detail = `nothing says whether ${which} is revoked: ${found.why}`;
  if (notSet !== undefined) {
    return notAsked(detail, notSet);
  }
  const hint = hintForStatus(found.code);
  const make = mode === 'strict' ? problem : warning;
  return make(hint.code, detail, hint.text);
}

function notAsked(message: string, option: string): Finding {
  return warning(
    'revocation_not_checked',
    `${message}. The API does not ask: ${option} is not set`,
    `set ${option}, or have TLS or the proxy check lists`,
  );
}

/** What the lists and the responders of one certificate answer. */
async function checkSources(
  certificate: PathCertificate,
  issuer: PathCertificate,
  checks: StatusChecks,
): Promise<Finding[]> {
  const { settings } = checks;
  const uris = settings.by.includes('crl') ? readDistributionPoints(certificate).uris : [];
  const responders = settings.by.includes('ocsp') ? respondersOf(certificate) : [];
  const found = await Promise.all([
    listsOfFiles(issuer, checks),
    ...uris.flat().map((uri) => listAt(uri, issuer, checks)),
    ...responders.map((uri) => answerOf(uri, certificate, issuer, checks)),
  ]);
  return found.flat();
}

async function listsOfFiles(issuer: PathCertificate, checks: StatusChecks): Promise<Finding[]> {
  const { crlFiles, crlFilesOption, maxSize } = checks.settings;
  if (crlFiles === undefined) {
    return [];
  }
  const files = new CrlFiles({
    paths: crlFiles,
    option: crlFilesOption,
    maxSize,
    clockTolerance: () => checks.clockTolerance,
    onChange: () => undefined,
    onFailure: () => undefined,
  });
  try {
    const others = checks.crlSigners.othersOf(issuer);
    await Promise.all([issuer, ...others].map((signer) => files.open(signer)));
    const shown = `a list of ${nameOf(issuer)} in ${crlFilesOption}`;
    // A list that another key has signed can't be opened by the key of the issuer.
    const byOthers = others.flatMap((other) => files.listsOf(other).lists).filter(isUsable);
    const byIssuer = files.listsOf(issuer).lists.filter((list) => isUsable(list) || byOthers.length === 0);
    return [...byIssuer, ...byOthers].map((list) => describeList(shown, list, issuer, checks));
  } finally {
    files.close();
  }
}

async function listAt(uri: string, issuer: PathCertificate, checks: StatusChecks): Promise<Finding> {
  const { settings, fetcher, crlSigners } = checks;
  const { maxSize } = settings;
  const shown = `the list ${redactUrl(uri)} of ${nameOf(issuer)}`;
  try {
    const fetched = await fetcher.fetch(uri, { accept: 'application/pkix-crl', maxSize });
    const head = fetched === 'unchanged' ? unexpected304 : readCrlHead(fetched.body);
    const others = crlSigners.othersOf(issuer);
    const list = 'why' in head ? head : await openCrlByAny(head, issuer, others);
    return describeList(shown, list, issuer, checks);
  } catch (error) {
    return unusable(shown, reasonOfError(error));
  }
}

function describeList(
  shown: string,
  list: Crl | StatusReason,
  issuer: PathCertificate,
  { clockTolerance }: StatusChecks,
): Finding {
  if ('why' in list) {
    return unusable(shown, list);
  }
  if (!mayProve(list, issuer)) {
    return unusable(shown, lacksCrlSign);
  }
  const { thisUpdate, nextUpdate, der } = list;
  const age = `of ${timeOf(thisUpdate)}, ${ageOf(thisUpdate)} old, until ${timeOf(nextUpdate)}`;
  return nextUpdate + 1_000 * clockTolerance < Date.now()
    ? unusable(shown, { code: 'outdated', why: `it has expired: it is ${age}` })
    : ok('crl', `${shown} is ${age}, ${der.length} bytes`);
}

async function answerOf(
  uri: string,
  certificate: PathCertificate,
  issuer: PathCertificate,
  { settings: { nonce, maxSize }, clockTolerance, fetcher }: StatusChecks,
): Promise<Finding> {
  const shown = `the OCSP responder ${redactUrl(uri)} about ${nameOf(certificate)}`;
  try {
    const request = createOcspRequest(createCertificateId(certificate, issuer), nonce);
    const fetched = await fetcher.fetch(uri, {
      accept: 'application/ocsp-response',
      maxSize: Math.min(MAX_ANSWER_SIZE, maxSize),
      post: { type: 'application/ocsp-request', body: request.der },
    });
    const rules = { request, issuer, now: Date.now(), tolerance: 1_000 * clockTolerance };
    const answer = fetched === 'unchanged' ? unexpected304 : await readOcspResponse(fetched.body, rules);
    if ('why' in answer) {
      return unusable(shown, answer);
    }
    const { state, thisUpdate, nextUpdate } = answer;
    const end = nextUpdate === undefined ? 'without an end' : `until ${timeOf(nextUpdate)}`;
    const age = `of ${timeOf(thisUpdate)}, ${ageOf(thisUpdate)} old, ${end}`;
    return ok('ocsp_answer', `${shown} says ${state}, in an answer ${age}`);
  } catch (error) {
    return unusable(shown, reasonOfError(error));
  }
}

/** Reports a list or responder that can't be used. It is no problem if another one has the answer. */
function unusable(shown: string, { code, why }: StatusReason): Finding {
  const hint = hintForStatus(code);
  return warning(hint.code, `${shown} can not be used: ${why}`, hint.text);
}

function unreadableLists(message: string): Finding {
  return warning('crl_unreadable', message, 'get new lists of the authorities that published them');
}

function nameOf({ x509: { subject }, thumbprint }: PathCertificate): string {
  return `${onePlace(subject)} (${thumbprint})`;
}

/** Node writes a name in lines; of an empty one nothing. */
function onePlace(name: string | undefined): string {
  return name === undefined || name === '' ? 'no name' : name.replaceAll('\n', ', ');
}

function timeOf(time: number): string {
  return Number.isFinite(time) ? `${new Date(time).toISOString().slice(0, 19)}Z` : 'any time';
}

function ageOf(time: number): string {
  const hours = Math.max(0, (Date.now() - time) / HOUR);
  return hours < 48 ? `${hours.toFixed(1)} hours` : `${Math.floor(hours / 24)} days`;
}
