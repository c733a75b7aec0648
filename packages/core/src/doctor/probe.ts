import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { connect, type SecureVersion } from 'node:tls';
import { thumbprintOf } from '../certificate/client-certificate.js';
import { TellableError } from '../errors.js';
import { redactUrl } from '../shared/shown-url.js';
import { addressOf } from './address.js';
import { type Arrival, raiseTheLimits } from './arrival.js';
import { readArrival } from './arrival-answer.js';
import { exchange } from './exchange.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { listenerHeader } from './listener.js';

/** A deployed proxy, with `mtls-doctor listen` or the API itself behind it. */
export interface ProbeOptions {
  /** Of a protected resource, by way of the proxy. */
  readonly url: URL;
  /**
   * URL of the same resource without the proxy, as an attacker within the network would call it.
   */
  readonly direct?: URL;
  /** A client's certificate and key, PEM. */
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Trusted in addition to Node's list, for the proxy's certificate. */
  readonly ca?: string | Buffer;
  /**
   * The header that the proxy sets; what is forged. Default: what the listener reads, else
   * `x-ssl-client-cert`.
   */
  readonly header?: string;
  /**
   * A token that is bound to the certificate; needed where the API itself stands behind the proxy.
   */
  readonly token?: string;
  /** Milliseconds for each request, its whole answer included. Default 10,000. */
  readonly timeoutMs?: number;
}

interface Reply {
  readonly status: number;
  /** What the listener behind the proxy saw; undefined where another answered. */
  readonly saw: Arrival | undefined;
}

/** Sends a good request and forged ones. */
export async function probe(options: ProbeOptions): Promise<Finding[]> {
  const { url, direct, cert, key } = options;
  const certificate = new X509Certificate(cert);
  const good = await sendRequest(options, url, { cert, key }, {});
  if (typeof good === 'string') {
    return [
      problem('unreachable', `${redactUrl(url)} gives no answer: ${good}`, 'check the URL, --ca and --cert'),
    ];
  }
  const findings = [goodFinding(good, thumbprintOf(certificate.raw), options)];
  // An API that refuses the good request refuses a forged one too: that proves nothing.
  if (isAdmitted(good)) {
    const header = options.header ?? good.saw?.header ?? 'x-ssl-client-cert';
    findings.push(...(await forgedFindings(options, certificate, header)));
    if (good.saw?.verifyHeader !== undefined) {
      findings.push(await verdictFinding(options, good.saw.verifyHeader));
    }
    if (direct !== undefined) {
      findings.push(await directFinding(options, direct, certificate, header, good.saw));
    }
  }
  if (url.protocol === 'https:') {
    findings.push(...(await tlsFindings(options)));
  }
  return findings;
}

/** A listener answers every request. If the API itself answers, a redirection does not admit the request. */
function isAdmitted({ status, saw }: Reply): boolean {
  return saw !== undefined || status < 300;
}

function goodFinding({ status, saw }: Reply, own: string, { url, token }: ProbeOptions): Finding {
  if (saw === undefined) {
    return status < 300
      ? ok('certificate_forwarded', `with the certificate ${url.host} answers ${status}`)
      : refusedFinding(status, url, token);
  }
  // An authority's certificate is right if it is the one that was presented.
  const isOwn = saw.thumbprint === own;
  const trouble = saw.findings.find(({ code, status }) =>
    code === 'intermediate_forwarded' ? !isOwn : status === 'problem',
  );
  if (trouble !== undefined) {
    return trouble.code === 'intermediate_forwarded' ? anotherForwarded : trouble;
  }
  if (isOwn) {
    return ok('certificate_forwarded', 'the certificate arrives as it was presented');
  }
  const readable = saw.findings.find(({ code, thumbprint }) => code === 'decodable' && thumbprint === own);
  if (readable !== undefined) {
    return warning(
      'listener_without_options',
      `the certificate arrives, but the doctor does not know the options of the API: ${readable.message}`,
      "give `mtls-doctor listen` the API's options by --config",
    );
  }
  const { message = 'none that can be read' } = saw.findings.find(({ status }) => status === 'warning') ?? {};
  return problem(
    'certificate_not_forwarded',
    saw.thumbprint === undefined
      ? `no certificate arrives: ${message}`
      : `another certificate arrives: ${saw.thumbprint}`,
    'let the proxy ask clients for a certificate and set the header; ' +
      'docs/reference/proxies has tested configurations',
  );
}

const anotherForwarded = problem(
  'intermediate_forwarded',
  "a certificate authority's certificate arrives, not the one that was presented",
  "let the proxy hand on the client's own certificate, the first of the chain",
);

function refusedFinding(status: number, { host }: URL, token: string | undefined): Finding {
  const sent =
    token === undefined ? 'with the certificate and without a token' : 'with certificate and token';
  const message = `${sent} ${host} answers ${status}`;
  switch (status) {
    case 431:
      return problem('header_too_large', message, raiseTheLimits);
    case 421:
      return problem(
        'wrong_host',
        message,
        'let --url name the host as clients do: the proxy knows its sites by name',
      );
    case 502:
    case 503:
    case 504:
      return problem(
        'api_not_reached',
        message,
        'see that the API, or `mtls-doctor listen`, runs where the proxy looks for it, in the ' +
          "proxy's log; then try `mtls-doctor check` there",
      );
    default:
      return problem(
        'good_request_refused',
        message,
        'give a token bound to --cert by --token, or put `mtls-doctor listen` in the place of the API',
      );
  }
}

/**
 * A client without a certificate may send the header of a client that has one. The proxy must
 * replace it.
 */
async function forgedFindings(
  options: ProbeOptions,
  certificate: X509Certificate,
  header: string,
): Promise<Finding[]> {
  const plain = await sendRequest(options, options.url, undefined, {});
  if (typeof plain !== 'string' && plain.saw === undefined && isAdmitted(plain)) {
    return [
      problem(
        'not_protected',
        `${redactUrl(options.url)} answers ${plain.status} without a certificate as well`,
        'let --url name a route behind mtlsBound(); if it is one, check the options binding and credentials',
      ),
    ];
  }
  const seen = typeof plain === 'string' ? undefined : plain.saw;
  // Where the header is read, or may be, a listener shows what comes through, believed or not.
  const shows = seen !== undefined && (!seen.isConfigured || seen.header === header);
  const own = thumbprintOf(certificate.raw);
  const forms = writtenForms(certificate).slice(0, shows ? 1 : undefined);
  const outcome = await tryForgedHeader(options, options.url, header, forms, ({ status, saw }, value) => {
    if (saw === undefined) {
      return status < 300;
    }
    return shows ? (saw.headers[header] ?? []).some((line) => line.includes(value)) : saw.thumbprint === own;
  });
  switch (outcome) {
    case 'believed':
      return [
        problem(
          'header_not_overwritten',
          `a forged ${header} came through the proxy`,
          `let the proxy set ${header} on every request, empty where there is no certificate; ` +
            'docs/reference/proxies has tested configurations',
        ),
      ];
    case 'not-believed':
      return [ok('header_overwritten', `a forged ${header} does not come through`)];
    case 'no-answer':
      return [ok('header_overwritten', 'the proxy rejects each client without a certificate')];
  }
}

/** No proxy writes this verdict. */
const forgedVerdict = 'mtls-doctor-forged';

/**
 * A client that can send the verdict's header verifies its own certificate: the proxy must set it
 * on every request.
 */
async function verdictFinding(options: ProbeOptions, header: string): Promise<Finding> {
  const { cert, key } = options;
  for (const identity of [{ cert, key }, undefined]) {
    const reply = await sendRequest(options, options.url, identity, { [header]: forgedVerdict });
    const lines = typeof reply === 'string' ? [] : (reply.saw?.headers[header] ?? []);
    if (lines.some((line) => line.includes(forgedVerdict))) {
      return problem(
        'verdict_not_overwritten',
        `a forged ${header} came through the proxy ` +
          `${identity === undefined ? 'without' : 'with'} a certificate`,
        `let the proxy set ${header} on every request, or do not name it as verifyHeader: a client ` +
          'can say there that its own certificate is verified',
      );
    }
  }
  return ok('verdict_overwritten', `a forged ${header} does not come through`);
}

async function directFinding(
  options: ProbeOptions,
  direct: URL,
  certificate: X509Certificate,
  header: string,
  saw: Arrival | undefined,
): Promise<Finding> {
  const own = thumbprintOf(certificate.raw);
  const tells = saw?.isConfigured ?? true;
  const forms = writtenForms(certificate).slice(0, tells ? undefined : 1);
  const outcome = await tryForgedHeader(options, direct, header, forms, (reply) =>
    reply.saw === undefined ? reply.status < 300 : reply.saw.thumbprint === own,
  );
  switch (outcome) {
    case 'believed':
      return problem(
        'believes_anyone',
        `${direct.host} trusts a forged header that does not come from the proxy`,
        "let trust name the proxy's address alone, and add a secret that only the proxy knows",
      );
    case 'not-believed':
      return warning(
        'directly_reachable',
        `${direct.host} answers requests that bypass the ` +
          `proxy${tells ? ', but does not trust the header' : ''}`,
        'let a firewall accept connections to it from the proxy only',
      );
    case 'no-answer':
      return ok('not_directly_reachable', `${direct.host} does not answer requests that bypass the proxy`);
  }
}

/** Sends the certificate in a header, without proof of its key. */
async function tryForgedHeader(
  options: ProbeOptions,
  url: URL,
  header: string,
  forms: readonly string[],
  isBelieved: (reply: Reply, value: string) => boolean,
): Promise<'believed' | 'not-believed' | 'no-answer'> {
  for (const value of forms) {
    const reply = await sendRequest(options, url, undefined, { [header]: value });
    if (typeof reply === 'string') {
      return 'no-answer';
    }
    if (isBelieved(reply, value)) {
      return 'believed';
    }
  }
  return 'not-believed';
}

/** As proxies write it: an API that believes the header believes one of these. */
function writtenForms(certificate: X509Certificate): string[] {
  const pem = certificate.toString();
  const base64 = certificate.raw.toString('base64');
  const hash = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  return [
    encodeURIComponent(pem),
    base64,
    `:${base64}:`,
    pem.trim().replaceAll('\n', ' '),
    Buffer.from(pem).toString('base64'),
    `Hash=${hash};Cert="${encodeURIComponent(pem)}"`,
    JSON.stringify([{ hash, cert: pem }]),
    hash,
    Buffer.from(hash, 'hex').toString('base64'),
  ];
}

const oldVersions: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1'];

async function tlsFindings(options: ProbeOptions): Promise<Finding[]> {
  const { host } = options.url;
  const offered: SecureVersion[] = [];
  for (const version of oldVersions) {
    if (await speaksTlsVersion(options, version)) {
      offered.push(version);
    }
  }
  return [
    offered.length === 0
      ? ok('tls_versions', `${host} offers nothing older than TLS 1.2`)
      : problem(
          'old_tls',
          `${host} offers ${offered.join(' and ')}`,
          'let it offer TLS 1.2 and 1.3 alone (RFC 9325 §3.1.1): ssl_protocols, minVersion',
        ),
  ];
}

function speaksTlsVersion({ url, cert, key }: ProbeOptions, version: SecureVersion): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({
      ...addressOf(url),
      // Some finish no handshake without them.
      cert,
      key,
      minVersion: version,
      maxVersion: version,
      // OpenSSL refuses old versions by itself above this level; nothing but the handshake is done.
      ciphers: 'ALL:@SECLEVEL=0',
      rejectUnauthorized: false,
      timeout: 5_000,
    });
    const end = (is: boolean) => () => {
      resolve(is);
      socket.destroy();
    };
    socket.once('secureConnect', end(true));
    socket.once('error', end(false));
    socket.once('timeout', end(false));
  });
}

/** The answer, or the code of the error. */
function sendRequest(
  { ca, token, timeoutMs }: ProbeOptions,
  url: URL,
  identity: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined,
  headers: Record<string, string>,
): Promise<Reply | string> {
  const all = { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  return exchange({ url, headers: all, ca, identity, timeoutMs }, readBody);
}

/** Characters; a listener's answer is far shorter. */
const MAX_BODY = 1_000_000;

async function readBody(res: IncomingMessage): Promise<Reply> {
  const status = res.statusCode ?? 0;
  if (res.headers[listenerHeader] === undefined) {
    res.destroy();
    return { status, saw: undefined };
  }
  let body = '';
  for await (const chunk of res.setEncoding('utf8')) {
    body += chunk;
    if (body.length > MAX_BODY) {
      throw new TellableError('the answer is too long');
    }
  }
  return { status, saw: readArrival(body) };
}
