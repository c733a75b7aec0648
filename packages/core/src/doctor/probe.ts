import { X509Certificate } from 'node:crypto';
import { type IncomingMessage, request as requestPlain } from 'node:http';
import { type RequestOptions, request as requestTls } from 'node:https';
import { connect, type SecureVersion } from 'node:tls';
import { thumbprintOf } from '../certificate/client-certificate.js';
import type { Arrival } from './arrival.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { listenerHeader } from './listener.js';

/** A deployed proxy, with a `listen` of ours or the API itself behind it. */
export interface ProbeOptions {
  /** Of a protected resource, by way of the proxy. */
  readonly url: URL;
  /** The same resource without the proxy: as who got into the network would ask. */
  readonly direct?: URL;
  /** A client's certificate and key, PEM. */
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Trusted beside Node's list, for the proxy's certificate. */
  readonly ca?: string | Buffer;
  /** The header that the proxy sets; what is forged. Default `x-ssl-client-cert`. */
  readonly header?: string;
  /** A token that is bound to the certificate; needed where the API itself stands behind the proxy. */
  readonly token?: string;
}

interface Reply {
  readonly status: number;
  /** What the listener behind the proxy saw; undefined where another answered. */
  readonly saw: Arrival | undefined;
}

/** Sends a good request and forged ones. Never rejects. */
export async function probe(options: ProbeOptions): Promise<Finding[]> {
  const { url, direct, cert, key, header = 'x-ssl-client-cert' } = options;
  const own = thumbprintOf(new X509Certificate(cert).raw);
  const forged = {
    [header]: encodeURIComponent(String(cert)),
    [`${header.replace(/cert$/, 'verify')}`]: 'SUCCESS',
  };
  const good = await sent(options, url, { cert, key }, {});
  if (typeof good === 'string') {
    return [problem('unreachable', `${url.href} gives no answer: ${good}`, 'check the URL, --ca and --cert')];
  }
  const findings = [goodFinding(good, own)];
  findings.push(forgedFinding(await sent(options, url, undefined, forged), header));
  if (direct !== undefined) {
    findings.push(directFinding(await sent(options, direct, undefined, forged), own, direct));
  }
  if (url.protocol === 'https:') {
    findings.push(...(await tlsFindings(url)));
  }
  return findings;
}

function goodFinding({ status, saw }: Reply, own: string): Finding {
  if (saw === undefined) {
    return status < 400
      ? ok('certificate_forwarded', `with the certificate the API answers ${status}`)
      : problem(
          'good_request_refused',
          `with certificate and token the API answers ${status}`,
          'give a token bound to --cert by --token, or put `mtls-doctor listen` in the place of the API',
        );
  }
  const trouble = saw.findings.find((finding) => finding.status === 'problem');
  if (trouble !== undefined) {
    return trouble;
  }
  return saw.thumbprint === own
    ? ok('certificate_forwarded', 'the certificate arrives as it was presented')
    : problem(
        'certificate_not_forwarded',
        saw.thumbprint === undefined
          ? 'no certificate arrives'
          : `another certificate arrives: ${saw.thumbprint}`,
        'let the proxy ask clients for a certificate and set the header; docs/proxies has tested configurations',
      );
}

/** Whoever connects without a certificate may send the header of one who has: the proxy must set it, whatever came. */
function forgedFinding(reply: Reply | string, header: string): Finding {
  if (typeof reply === 'string') {
    return ok('header_overwritten', 'without a certificate the proxy lets nobody in');
  }
  const cameThrough =
    reply.saw === undefined
      ? reply.status < 400
      : (reply.saw.headers[header] ?? []).some((value) => value !== '');
  return cameThrough
    ? problem(
        'header_not_overwritten',
        `a forged ${header} came through the proxy`,
        `let the proxy set ${header} on every request, empty where there is no certificate; docs/proxies has tested configurations`,
      )
    : ok('header_overwritten', `a forged ${header} does not come through`);
}

function directFinding(reply: Reply | string, own: string, url: URL): Finding {
  if (typeof reply === 'string') {
    return ok('not_directly_reachable', `${url.host} does not answer who comes around the proxy`);
  }
  const isBelieved = reply.saw === undefined ? reply.status < 400 : reply.saw.thumbprint === own;
  return isBelieved
    ? problem(
        'believes_anyone',
        `${url.host} believes a forged header that does not come from the proxy`,
        "let trust name the proxy's address alone, and add a secret that only the proxy knows",
      )
    : warning(
        'directly_reachable',
        `${url.host} answers who comes around the proxy, but does not believe the header`,
        'let a firewall admit the proxy alone',
      );
}

const oldVersions: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1'];

async function tlsFindings(url: URL): Promise<Finding[]> {
  const offered: SecureVersion[] = [];
  for (const version of oldVersions) {
    if (await speaks(url, version)) {
      offered.push(version);
    }
  }
  return [
    offered.length === 0
      ? ok('tls_versions', `${url.host} offers nothing older than TLS 1.2`)
      : problem(
          'old_tls',
          `${url.host} offers ${offered.join(' and ')}`,
          'let it offer TLS 1.2 and 1.3 alone (RFC 9325 §3.1.1): ssl_protocols, minVersion',
        ),
  ];
}

function speaks({ hostname, port }: URL, version: SecureVersion): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname,
      port: Number(port || 443),
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
function sent(
  { ca, token }: ProbeOptions,
  url: URL,
  identity: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined,
  headers: Record<string, string>,
): Promise<Reply | string> {
  return new Promise((resolve) => {
    const options: RequestOptions = {
      headers: { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      agent: false,
      timeout: 5_000,
      ...(ca !== undefined && { ca }),
      ...identity,
    };
    const request = url.protocol === 'https:' ? requestTls : requestPlain;
    const call = request(url, options, (res) => {
      read(res).then(resolve, (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    call.once('timeout', () => call.destroy(new Error('no answer within 5 s')));
    call.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    call.end();
  });
}

/** Characters; a listener's answer is far shorter. */
const MAX_BODY = 1_000_000;

async function read(res: IncomingMessage): Promise<Reply> {
  const status = res.statusCode ?? 0;
  if (res.headers[listenerHeader] === undefined) {
    res.destroy();
    return { status, saw: undefined };
  }
  let body = '';
  for await (const chunk of res.setEncoding('utf8')) {
    body += chunk;
    if (body.length > MAX_BODY) {
      throw new Error('the answer is too long');
    }
  }
  return { status, saw: JSON.parse(body) as Arrival };
}
