import { randomUUID, X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { type AcceptedIssuer, createAcceptedIssuer } from '../authorization-server/accepted-issuers.js';
import { authorityNotAmongOurs, createHttpClient, unknownCaCodes } from '../authorization-server/http.js';
import type { ReadCertificateAndKey } from '../authorization-server/own-certificate.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { type RequestRefused, toRefusal } from '../errors.js';
import type { IssuerSettings } from '../options/issuer-options.js';
import type { Settings } from '../options/resource-server-options.js';
import { describeError, describeErrorCode } from '../shared/shown-error.js';
import { redactUrl, redactUrlSpelling } from '../shared/shown-url.js';
import { withTimeLimit } from '../shared/time-limit.js';
import { addressOf } from './address.js';
import { checkDpopAlgorithms } from './dpop-checks.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { messageOf } from './input.js';
import { remedies } from './remedies.js';
import { checkToken } from './token-checks.js';

/** What the user has at hand to try with. */
export interface Sample {
  /** An access token that a client got just now. */
  readonly token: string | undefined;
  /** The client's certificate that the token is bound to. */
  readonly certificate: ClientCertificate | undefined;
  /** The thumbprint of the client's key that the token is bound to (DPoP). */
  readonly key?: string | undefined;
  /** Whose token it is, where that is not to be seen from it. */
  readonly issuer?: string | undefined;
}

/** Checks what this API needs of one authorization server. Never rejects. */
export async function checkServer(
  issuer: IssuerSettings,
  settings: Settings,
  sample: Sample,
): Promise<Finding[]> {
  const problems: Finding[] = [];
  const mustBind = settings.binding === 'required';
  const { authorizationServerMetadata: given } = issuer;
  let saysItBinds = given === undefined || given.tls_client_certificate_bound_access_tokens === true;
  let metadata: Readonly<Record<string, unknown>> | undefined = given;
  let acceptedIssuer: AcceptedIssuer;
  try {
    acceptedIssuer = createAcceptedIssuer(
      {
        ...issuer,
        clockTolerance: settings.clockTolerance,
        mustBindToCertificate: true,
        permittedAlgorithms: settings.profile?.algorithms,
      },
      (code, message) => {
        saysItBinds &&= code !== 'tokens_may_be_unbound';
        if ((code === 'tokens_may_be_unbound' && mustBind) || code === 'client_authentication_unsupported') {
          problems.push(
            warning(
              code,
              message,
              code === 'tokens_may_be_unbound'
                ? "ask the operator of the authorization server to turn it on, or set binding: 'when-bound'"
                : 'ask the operator of the authorization server to turn it on, or set clientAuthentication ' +
                    'to a method that it names',
            ),
          );
        }
      },
      (found) => {
        metadata = { ...found };
      },
    );
  } catch (error) {
    return [problem('configuration', messageOf(error), 'set the option that it names')];
  }
  try {
    const own = await checkOwnCertificate(issuer.client?.authentication.identity);
    const { findings: connection, spelling } = await checkConnection(issuer);
    const findings = [...own, ...connection];
    // What an unfit client certificate or a missing connection leads to is no problem of its own.
    if (!findings.some(({ status, code }) => status === 'problem' && code !== 'clock_skew')) {
      findings.push(...(await checkQuestion(acceptedIssuer, issuer, spelling)));
      if (settings.dpop !== undefined && metadata !== undefined) {
        const { algorithms } = settings.dpop;
        findings.push(...checkDpopAlgorithms(issuer.issuer, algorithms, metadata, given !== undefined));
      }
      if (sample.token !== undefined && !findings.some(({ status }) => status === 'problem')) {
        findings.push(
          ...(await checkToken(acceptedIssuer, sample.token, sample, {
            mustBind,
            saysItBinds,
            acceptsDpop: settings.dpop !== undefined,
          })),
        );
      }
    }
    return [...findings, ...problems];
  } finally {
    acceptedIssuer.close();
  }
}

const day = 86_400_000;

/** Seconds for a function of the user's own. */
const PATIENCE = 10;

async function checkOwnCertificate(identity: ReadCertificateAndKey | undefined): Promise<Finding[]> {
  if (identity === undefined) {
    return [];
  }
  const renew = 'renew it; files are read again when they change, without a restart';
  try {
    // The function of a user may never settle.
    const { cert } = await withTimeLimit(PATIENCE, identity);
    const { validFrom, validTo } = new X509Certificate(cert);
    const left = Date.parse(validTo) - Date.now();
    if (left < 0) {
      return [
        problem('own_certificate_expired', `this API's client certificate expired at ${validTo}`, renew),
      ];
    }
    if (Date.parse(validFrom) > Date.now()) {
      return [
        problem(
          'own_certificate_not_yet_valid',
          `this API's client certificate is valid from ${validFrom}`,
          'set the clock, or wait',
        ),
      ];
    }
    return left < 14 * day
      ? [warning('own_certificate_expires', `this API's client certificate expires at ${validTo}`, renew)]
      : [ok('own_certificate', `this API's client certificate is valid until ${validTo}`)];
  } catch (error) {
    return [problem('own_certificate_unreadable', messageOf(error), 'check clientAuthentication')];
  }
}

interface Connection {
  readonly findings: Finding[];
  /** What the authorization server calls itself, if that is not the configured issuer. */
  readonly spelling?: string | undefined;
}

/** TLS, and the two clocks. */
async function checkConnection({
  issuer,
  http,
  authorizationServerMetadata: given,
}: IssuerSettings): Promise<Connection> {
  const findings: Finding[] = [];
  // Another way than the direct one, through an HTTP proxy perhaps, is known to the user's own code
  // alone.
  if (http.agent === undefined && http.fetch === undefined) {
    const url = String(given?.introspection_endpoint ?? given?.jwks_uri ?? issuer);
    const tls = await handshake(new URL(url), http.ca);
    if (typeof tls === 'string') {
      return { findings: [connectionProblem(redactUrl(url), tls, http.ca !== undefined)] };
    }
    findings.push(ok('server_tls', `${redactUrl(url)} speaks ${tls.protocol} with ${tls.cipher}`));
  }
  let spelling: string | undefined;
  const before = Date.now();
  const { send, close } = createHttpClient(http);
  try {
    const answer = await send(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
      method: 'GET',
      headers: {},
    });
    const theirs = Date.parse(answer.headers.get('date') ?? '');
    // The header has whole seconds, and the answer took a while.
    const ahead = Math.round((theirs - (before + Date.now()) / 2) / 1000);
    if (Math.abs(ahead) > 5) {
      const whose =
        `the authorization server's clock is ${Math.abs(ahead)} s ` +
        `${ahead > 0 ? 'ahead of' : 'behind'} that of this machine`;
      const fix = 'set both clocks by NTP; clockTolerance is for a few seconds only';
      findings.push(
        Math.abs(ahead) >= 30 ? problem('clock_skew', whose, fix) : warning('clock_skew', whose, fix),
      );
    } else if (!Number.isNaN(ahead)) {
      findings.push(ok('clock', `the two clocks differ by ${Math.abs(ahead)} s`));
    }
    spelling = await otherIssuerIn(answer, issuer);
  } catch {
    // The question that follows says what is wrong.
  } finally {
    close();
  }
  return { findings, spelling };
}

function connectionProblem(url: string, why: string, namesAuthorities: boolean): Finding {
  if (unknownCaCodes.has(why)) {
    const knownTo = namesAuthorities ? 'http.ca or MTLS_BOUND_CA_FILE does not name' : 'Node does not know';
    return problem(
      'private_ca_missing',
      `the certificate of ${url} is from an authority that ${knownTo} (${why})`,
      namesAuthorities ? authorityNotAmongOurs : 'give its PEM to http.ca, or its path to MTLS_BOUND_CA_FILE',
    );
  }
  return /^(ERR_TLS_)?CERT_|^HOSTNAME_|^INVALID_/.test(why)
    ? problem(
        'server_certificate',
        `the certificate of ${url} can not be accepted: ${why}`,
        'let the option issuer use a name that the certificate has, or ask the operator of the server ' +
          'to renew the certificate',
      )
    : problem(
        'server_unreachable',
        `no connection to ${url}: ${why}`,
        'check the option issuer, DNS, firewalls and proxies, and that this port speaks TLS',
      );
}

async function otherIssuerIn(answer: Response, issuer: string): Promise<string | undefined> {
  const { issuer: named } = answer.status === 200 ? ((await answer.json()) as { issuer?: unknown }) : {};
  return typeof named === 'string' && named !== issuer && URL.canParse(named) ? named : undefined;
}

interface Handshake {
  readonly protocol: string;
  readonly cipher: string;
}

/** What TLS came to, or the code of the error. */
function handshake(url: URL, ca: IssuerSettings['http']['ca']): Promise<Handshake | string> {
  return new Promise((resolve) => {
    const socket = connect({ ...addressOf(url), ...(ca !== undefined && { ca }) });
    // One clock for the whole handshake: a server that sends a byte now and then is never silent.
    const timer = setTimeout(() => finish('ETIMEDOUT'), 5_000);
    const finish = (result: Handshake | string): void => {
      clearTimeout(timer);
      resolve(result);
      socket.destroy();
    };
    socket.once('secureConnect', () =>
      finish({ protocol: String(socket.getProtocol()), cipher: socket.getCipher().name }),
    );
    socket.once('error', (error: Error) => finish(describeErrorCode(error) ?? describeError(error)));
    socket.once('close', () => finish('ECONNRESET'));
  });
}

/**
 * Introspects a token that does not exist: a client with valid credentials learns that it is not
 * active.
 */
async function checkQuestion(
  { read }: AcceptedIssuer,
  issuer: IssuerSettings,
  spelling: string | undefined,
): Promise<Finding[]> {
  const { introspect } = read;
  const good =
    introspect === undefined
      ? ok('keys', `${issuer.issuer} publishes its keys; --token tries a token`)
      : ok('introspection', `${issuer.issuer} answers introspection requests of this API`);
  try {
    const answer = await (introspect === undefined
      ? read(jwtOfNobody(issuer.issuer))
      : introspect(`mtls-doctor-${randomUUID()}`));
    if (typeof answer === 'string') {
      return [good];
    }
    const message = `${issuer.issuer} says that a made-up token is active`;
    return [problem('server_knows_anything', message, 'do not use this server')];
  } catch (thrown) {
    return [questionProblem(toRefusal(thrown), issuer.issuer, spelling)];
  }
}

/** Checks that keys can be fetched, by a JWT whose key does not exist. */
function jwtOfNobody(iss: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 60;
  const header = { alg: 'ES256', typ: 'at+jwt', kid: `mtls-doctor-${randomUUID()}` };
  return `${part(header)}.${part({ iss, exp })}.${Buffer.alloc(64).toString('base64url')}`;
}

function questionProblem({ code, message }: RequestRefused, issuer: string, spelling?: string): Finding {
  switch (code) {
    case 'authorization_server_refused_credentials':
      return problem(
        'wrong_credentials',
        message,
        'check clientId, the secret or key, and clientAuthentication against the registration',
      );
    case 'authorization_server_issuer_mismatch':
      return problem(
        'wrong_issuer',
        message,
        "set the option issuer to the server's own spelling, to the " +
          `letter${spelling === undefined ? '' : `: ${redactUrlSpelling(spelling)}`}`,
      );
    case 'authorization_server_failed':
    case 'authorization_server_invalid_answer':
      return problem(
        'server_fails',
        message,
        'look into the log of the authorization server, or of the proxy before it; is it the one ' +
          `that the option issuer (${issuer}) means?`,
      );
    case 'authorization_server_unsuitable':
      return problem(
        'wrong_issuer',
        message,
        `check the option issuer (${issuer}), or give the endpoints by the option ` +
          'authorizationServerMetadata',
      );
    case 'authorization_server_timeout':
    case 'authorization_server_unreachable':
      return problem(
        'server_unreachable',
        message,
        'check whether the server is overloaded, and the network; http.timeout limits the time of ' +
          'an exchange',
      );
    default:
      return problem(code, message, remedies[code]);
  }
}
