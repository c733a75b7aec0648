import { randomUUID, X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { type Authority, createAuthority } from '../authorization-server/authorities.js';
import type { ClientIdentity } from '../authorization-server/client-identity.js';
import { createHttp, unknownAuthority } from '../authorization-server/http.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { asRefusal, type RequestRefused } from '../errors.js';
import { mismatchHint } from '../explanation.js';
import type { IssuerSettings } from '../issuer-options.js';
import type { Settings } from '../options.js';
import { checkBinding } from '../policy/binding.js';
import { checkClaims } from '../policy/claims.js';
import type { TokenClaims } from '../token-claims.js';
import { type Finding, ok, problem, warning } from './finding.js';

/** What the user has at hand to try with. */
export interface Sample {
  /** An access token that a client got just now. */
  readonly token: string | undefined;
  /** The client's certificate that the token is bound to. */
  readonly certificate: ClientCertificate | undefined;
}

/** Checks what stands between us and one authorization server. Never rejects. */
export async function checkServer(
  issuer: IssuerSettings,
  settings: Settings,
  sample: Sample,
): Promise<Finding[]> {
  const problems: Finding[] = [];
  let authority: Authority;
  try {
    authority = createAuthority(
      {
        ...issuer,
        clockTolerance: settings.clockTolerance,
        mustBind: settings.binding === 'required',
        permittedAlgorithms: settings.profile?.algorithms,
      },
      (code, message) => {
        if (code === 'tokens_may_be_unbound' || code === 'client_authentication_unsupported') {
          problems.push(
            warning(code, message, 'ask who runs the authorization server to turn it on, or set the option'),
          );
        }
      },
    );
  } catch (error) {
    return [problem('configuration', (error as Error).message, 'set the option that it names')];
  }
  try {
    const findings = [...(await checkOwnCertificate(issuer.client?.authentication.identity))];
    findings.push(...(await checkConnection(issuer)));
    const isReachable = !findings.some(
      ({ code }) => code === 'private_ca_missing' || code === 'server_unreachable',
    );
    if (isReachable) {
      findings.push(...(await checkQuestion(authority, issuer)));
      if (sample.token !== undefined && !findings.some(({ status }) => status === 'problem')) {
        findings.push(...(await checkToken(authority, sample.token, sample.certificate, problems)));
      }
    }
    return [...findings, ...problems];
  } finally {
    authority.close();
  }
}

const day = 86_400_000;

async function checkOwnCertificate(identity: ClientIdentity | undefined): Promise<Finding[]> {
  if (identity === undefined) {
    return [];
  }
  const renew = 'renew it; files are read anew when they change, without a restart';
  try {
    const { validFrom, validTo } = new X509Certificate((await identity()).cert);
    const left = Date.parse(validTo) - Date.now();
    if (left < 0) {
      return [problem('own_certificate_expired', `our own client certificate expired at ${validTo}`, renew)];
    }
    if (Date.parse(validFrom) > Date.now()) {
      return [
        problem(
          'own_certificate_not_yet_valid',
          `our own client certificate is valid from ${validFrom}`,
          'set the clock, or wait',
        ),
      ];
    }
    return left < 14 * day
      ? [warning('own_certificate_expires', `our own client certificate expires at ${validTo}`, renew)]
      : [ok('own_certificate', `our own client certificate is valid until ${validTo}`)];
  } catch (error) {
    return [problem('own_certificate_unreadable', (error as Error).message, 'check clientAuthentication')];
  }
}

/** TLS, and the two clocks. */
async function checkConnection({ issuer, http, metadata }: IssuerSettings): Promise<Finding[]> {
  const url = String(metadata?.introspection_endpoint ?? metadata?.jwks_uri ?? issuer);
  const tls = await handshake(new URL(url), http.ca);
  if (typeof tls === 'string') {
    return [
      unknownAuthority.has(tls)
        ? problem(
            'private_ca_missing',
            `the certificate of ${url} is from an authority that Node does not know (${tls})`,
            'give its PEM to http.ca, or its path to MTLS_BOUND_CA_FILE',
          )
        : problem(
            'server_unreachable',
            `no connection to ${url}: ${tls}`,
            'check the option issuer, DNS, firewalls and proxies',
          ),
    ];
  }
  const findings = [ok('server_tls', `${url} speaks ${tls.protocol} with ${tls.cipher}`)];
  const before = Date.now();
  const { send, close } = createHttp(http);
  try {
    const answer = await send(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
      method: 'GET',
      headers: {},
    });
    const theirs = Date.parse(answer.headers.get('date') ?? '');
    // The header has whole seconds, and the answer took a while.
    const ahead = Math.round((theirs - (before + Date.now()) / 2) / 1000);
    if (Math.abs(ahead) > 5) {
      const whose = `the authorization server's clock is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} ours`;
      const fix = 'let both follow NTP; clockTolerance bridges a few seconds, not more';
      findings.push(
        Math.abs(ahead) >= 30 ? problem('clock_skew', whose, fix) : warning('clock_skew', whose, fix),
      );
    } else if (!Number.isNaN(ahead)) {
      findings.push(ok('clock', `the two clocks differ by ${Math.abs(ahead)} s`));
    }
  } catch {
    // The question that follows says what is wrong.
  } finally {
    close();
  }
  return findings;
}

interface Handshake {
  readonly protocol: string;
  readonly cipher: string;
}

/** What TLS came to, or the code of the error. */
function handshake(url: URL, ca: IssuerSettings['http']['ca']): Promise<Handshake | string> {
  const { hostname, port } = url;
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname,
      port: Number(port || 443),
      ...(/^[\d.]+$|:/.test(hostname) ? {} : { servername: hostname }),
      ...(ca !== undefined && { ca }),
      timeout: 5_000,
    });
    socket.once('secureConnect', () => {
      resolve({ protocol: String(socket.getProtocol()), cipher: socket.getCipher().name });
      socket.destroy();
    });
    socket.once('timeout', () => {
      resolve('ETIMEDOUT');
      socket.destroy();
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Asks about a token that nobody issued: who is let ask learns that it is not active. */
async function checkQuestion({ read }: Authority, issuer: IssuerSettings): Promise<Finding[]> {
  const { introspect } = read;
  const good =
    introspect === undefined
      ? ok('keys', `${issuer.issuer} publishes its keys; --token tries a token`)
      : ok('introspection', `${issuer.issuer} answers our questions about tokens`);
  try {
    const answer = await (introspect === undefined
      ? read(jwtOfNobody(issuer.issuer))
      : introspect(`mtls-doctor-${randomUUID()}`));
    if (typeof answer === 'string') {
      return [good];
    }
    const message = `${issuer.issuer} calls a made-up token active`;
    return [problem('server_knows_anything', message, 'do not use this server')];
  } catch (thrown) {
    return [questionProblem(asRefusal(thrown), issuer.issuer)];
  }
}

/** Where tokens are validated here: what it takes to look for the key, which nobody has. */
function jwtOfNobody(iss: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 60;
  const header = { alg: 'ES256', typ: 'at+jwt', kid: `mtls-doctor-${randomUUID()}` };
  return `${part(header)}.${part({ iss, exp })}.${Buffer.alloc(64).toString('base64url')}`;
}

function questionProblem({ code, message }: RequestRefused, issuer: string): Finding {
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
        "set the option issuer to the server's own spelling, to the letter",
      );
    case 'authorization_server_unsuitable':
    case 'authorization_server_failed':
      return problem(
        'wrong_issuer',
        message,
        `check the option issuer (${issuer}), or give the endpoints by the option metadata`,
      );
    default:
      return problem(code, message, 'see the message; docs/answers.md explains each code');
  }
}

async function checkToken(
  { read, rules }: Authority,
  token: string,
  certificate: ClientCertificate | undefined,
  found: readonly Finding[],
): Promise<Finding[]> {
  let answer: TokenClaims | string;
  try {
    answer = await read(token);
  } catch (thrown) {
    const { code, message } = asRefusal(thrown);
    return [problem(code, message, 'see the message; docs/answers.md explains each code')];
  }
  if (typeof answer === 'string') {
    const why = 'the authorization server says that the token is not active';
    return [
      problem(
        answer,
        why,
        'get a new one; if that one is good, the server may not let us see it: ask who runs it',
      ),
    ];
  }
  const findings = [ok('token', 'the authorization server knows the token'), ...claimFindings(answer, rules)];
  if (answer.confirmation === undefined) {
    const serverBinds = !found.some(({ code }) => code === 'tokens_may_be_unbound');
    findings.push(
      serverBinds
        ? problem(
            'unbound_client',
            'the token has no cnf, though the authorization server says that it binds tokens',
            'register the client with tls_client_certificate_bound_access_tokens, and let it get tokens over mutual TLS',
          )
        : problem(
            'no_cnf',
            'the token has no cnf, and the authorization server does not say that it binds tokens',
            'turn certificate-bound access tokens on at the authorization server (RFC 8705 §3)',
          ),
    );
  } else if (certificate !== undefined) {
    findings.push(bindingFinding(answer.confirmation, certificate));
  }
  return findings;
}

function claimFindings(token: TokenClaims, rules: Authority['rules']): Finding[] {
  try {
    checkClaims(token, rules, Date.now() / 1000);
    return [];
  } catch (thrown) {
    const { code, message } = asRefusal(thrown);
    if (code === 'token_wrong_audience') {
      const theirs = token.audience?.join(', ') ?? 'none';
      return [
        problem(
          'wrong_audience',
          `the token's aud is ${theirs}; ours is ${String(rules.audience)}`,
          'set the option audience to what the server writes, or let clients ask for this API (RFC 8707)',
        ),
      ];
    }
    return [problem(code, message, 'see docs/answers.md')];
  }
}

function bindingFinding(confirmation: unknown, certificate: ClientCertificate): Finding {
  try {
    checkBinding(confirmation, certificate.thumbprint, 'required');
    return ok('binding', 'the token is bound to the certificate');
  } catch (thrown) {
    const { code, message, expectedThumbprint } = asRefusal(thrown);
    const hint = expectedThumbprint && mismatchHint(expectedThumbprint, certificate, undefined);
    const both =
      expectedThumbprint &&
      `the token is bound to ${expectedThumbprint}, the certificate is ${certificate.thumbprint}`;
    return problem(
      code,
      both ?? message,
      hint ?? 'present the certificate with which the client got the token',
    );
  }
}
