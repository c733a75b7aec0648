import type { IncomingMessage } from 'node:http';
import { createRequestAdmitter, type RequestAdmitter } from './admission.js';
import type { Authorization } from './authorization.js';
import {
  type AcceptedIssuer,
  createAcceptedIssuer,
  createServerResolver,
} from './authorization-server/accepted-issuers.js';
import { FloodGuard, placesPerClient } from './authorization-server/flood-guard.js';
import { createReadinessCheck, createRevocationsCheck } from './authorization-server/readiness.js';
import { SharedCache } from './cache/shared-cache.js';
import { maxRefreshesFor, TokenCache } from './cache/token-cache.js';
import type { ClientCertificate } from './certificate/client-certificate.js';
import { createSeenCertificates } from './certificate/seen-certificates.js';
import { createDpopCheck } from './dpop/dpop-check.js';
import { type RefusalCode, RequestRefused, TellableError } from './errors.js';
import type { ClientCertificateUse } from './observe/certificate-expiry.js';
import { createProblemReporter } from './observe/events.js';
import type { Settings } from './options/resource-server-options.js';
import { type ResourceServerOptions, resolveSettings } from './options/resource-server-options.js';
import { reportUnsafeSettings } from './options/unsafe-settings.js';
import type { RoutePolicy } from './policy/route-policy.js';
import { createRefusals, factsAtRoute, type Refusals } from './refusals.js';
import { AuthorizationAbortSignals, type CertificateRecheck } from './request/authorization-abort-signals.js';
import { http2StreamOf } from './request/http2-request.js';
import type { NodeRequest } from './request/node-request.js';
import { withCloseIfBodyUnread } from './request/request-body.js';
import { createRequestChecks } from './request-checks.js';
import { createExplainer } from './response/explanation.js';
import type { HttpAnswer } from './response/http-answer.js';
import type { HttpRefusal } from './response/http-refusal.js';
import { answerUpgrade } from './response/upgrade-answer.js';
import { ChannelSync } from './revocation/channel-sync.js';
import { LogSync } from './revocation/log-sync.js';
import { readRevocationRequest } from './revocation/revocation-request.js';
import { limitToIssuer, type Revocation, Revocations } from './revocation/revocations.js';
import { createRevoke, type Revoke } from './revocation/revoke.js';
import type { UsableClaims } from './revocation/usability.js';
import { refuseFurtherArguments } from './shared/call-arguments.js';
import { ignoreRejection } from './shared/promises.js';
import { createTokenLookup } from './token-lookup.js';

/** Authorizes requests. The Express and Koa adapters use it. */
export interface ResourceServer {
  /**
   * Accepts the request, or throws `RequestRefused`. Returns the `Authorization` itself if the token
   * is cached and nothing else must be waited for, for example `dpop.store`, a certificate source or
   * what `certificatePolicy` loads. Returns a promise of it otherwise; `await` takes both. Returns
   * `undefined` for a request without credentials if the option `credentials` is `optional`.
   *
   * @param body what a form parser made of the request's body, when one ran: a token there is
   * refused, never used
   */
  authorize(req: NodeRequest, body?: unknown): Authorization | undefined | Promise<Authorization>;
  /**
   * Returns whether this resource server made `authorization`, this very object, for this very
   * request. An adapter passes a request on only if so, or if `requireOwnAuthorization` returns
   * `undefined`. It stays true after the token was revoked or has expired: `authorization.signal` shows
   * that. Never throws.
   */
  isOwnAuthorization(req: NodeRequest, authorization: unknown): authorization is Authorization;
  /**
   * Returns `outcome`, what `authorize` resolved to, if `isOwnAuthorization` holds for it, or `undefined`
   * for a request that `authorize` let pass without credentials. Checks by which resource server and
   * for which request the object was made, and nothing else: no token, binding or policy. Throws
   * `RequestRefused` for everything else.
   */
  requireOwnAuthorization(req: NodeRequest, outcome: unknown): Authorization | undefined;
  /**
   * Checks a policy. Returns the `Authorization` to use from now on, or a promise of it if the
   * policy takes its time. Throws `RequestRefused`, or rejects with it, unless `authorization` was
   * made by this resource server for `req` and the policy returns exactly `undefined`, or a promise
   * of any make that resolves to exactly that. Refuses a token that was revoked or has expired since
   * the request was accepted. If an earlier policy had the token introspected, the policy sees what the
   * authorization server said then, also if `authorization` is from before.
   */
  require(
    req: NodeRequest,
    authorization: unknown,
    policy: RoutePolicy,
  ): Authorization | Promise<Authorization>;
  /**
   * Revokes a token, or every token of a subject, client, session or certificate: in this process
   * at once, in each other process when it receives the revocation over `revocations.log` or
   * `revocations.channel`. A token that is revoked by itself is refused, for
   * the time that `revocations.longestTokenLifetime` says. Of a subject, client,
   * session or certificate, opaque tokens are introspected again, and JWTs that were issued before
   * are refused. Throws `TypeError` for a value that is no revocation, such as one whose value is
   * `undefined`: a token from client credentials may have no subject, so revoke it by its `clientId`
   * or by itself. Rejects if the revocation may not have reached the other processes, also after
   * `close()`. It holds in this process all the same.
   *
   * @param from where metrics and events say that it comes from: `signal`; for every other value
   * it is `revoke`
   */
  revoke(revocation: Revocation, from?: unknown): Promise<void>;
  /**
   * Answers a revocation request (RFC 7009 §2.1). `authorization` is that of the request, and must
   * pass `policy`. Never rejects.
   *
   * @param body what a form parser made of the request's body, when one ran
   */
  acceptRevocation(
    req: NodeRequest,
    authorization: unknown,
    policy: RoutePolicy,
    body?: unknown,
  ): Promise<HttpAnswer>;
  /**
   * Asks each authorization server about a made-up token, or for its keys if this process has none or
   * those are 10 minutes old, and for its metadata if this process has none. Resolves if this API can
   * check tokens. Rejects with `RequestRefused` otherwise, whose `code` and `detail` say why, and
   * publishes the cause as a problem. Calls at the same time share the questions, and for 10 seconds
   * after a success no further one is asked. A token source of your own is asked only if its reader has
   * `ready`.
   *
   * If tokens of an issuer can't be introspected, as with `jwtAccessTokens()` without `introspection`,
   * rejects with `revocations_unknown` while `revocations.log` can't be read: requests with such
   * tokens get 503 then. Waits for the log as these requests do. Does not look at the log with
   * `revocations.jwtsWithUnknownRevocation: 'accept'`.
   *
   * Never looks at what decides about some clients or requests alone: `dpop.store`, `sharedCache`,
   * `revocations.channel`, and the lists and responders of `certificatePolicy.revocationCheck`.
   */
  ready(): Promise<void>;
  /**
   * Waits for introspections in flight, then closes all connections. Requests with tokens that are
   * not cached are refused from now on. Afterwards nothing of this resource server keeps the process
   * alive.
   */
  close(): Promise<void>;
  /**
   * Returns the nonce for the header `DPoP-Nonce` of the response (RFC 9449 §8.2) to an accepted request
   * that had a proof. `authorization` is what `authorize()` returned for the request. Returns `undefined`
   * for any other request, and without `dpop.nonce`. Send `Cache-Control: no-store` with the nonce: a
   * client that stored the response would use it again when it is too old.
   */
  nextNonce(req: NodeRequest, authorization: unknown): string | undefined;
  /**
   * Returns the answer to a request for the metadata of this resource (RFC 9728 §3.1), or `undefined`
   * for any other request. `undefined` itself without the option `resourceMetadata`.
   */
  readonly answerResourceMetadata:
    | ((method: string | undefined, target: string | undefined) => HttpAnswer | undefined)
    | undefined;
  /**
   * Counts of the refusals that `binding: 'report'` tolerated, by their code: how often it accepted a
   * request that `required` would refuse.
   */
  readonly reported: ReadonlyMap<RefusalCode, number>;
  /**
   * Returns the certificates of the clients whose requests this resource server has accepted, and
   * when each expires. Those that expire first come first. A process knows its own requests only,
   * and those since its start. A certificate that has expired and is replaced is left out. Of each
   * client at most 4 certificates are kept; the option `maxListedClients` limits the clients.
   *
   * @example
   * const { resourceServer } = mtls;
   * const expiring = resourceServer.clientCertificates().filter(({ daysLeft = 0 }) => daysLeft < 30);
   */
  clientCertificates(): ClientCertificateUse[];
  /** The issuers whose tokens are accepted. */
  readonly issuers: readonly string[];
  /**
   * The header that answers are chosen by, to be named in `Vary` (RFC 9440 §2.4); undefined for a
   * TLS connection.
   */
  readonly vary: string | undefined;
  /**
   * The property of `req` or `ctx.state` that adapters put the `Authorization` at, by the option
   * `property`.
   */
  readonly property: string;
  /**
   * Returns the HTTP answer to whatever `authorize` or `require` threw for `req`. Throws `TypeError`
   * only if `req` is missing.
   */
  answer(thrown: unknown, req: NodeRequest): HttpAnswer;
  /**
   * Answers an upgrade (RFC 9110 §7.8) or a CONNECT request for which `authorize` or `require`
   * threw, and closes its connection. If an earlier request on the connection has no answer yet, it
   * closes the connection without an answer. A request over HTTP/2 has a response of its own: there it
   * resets the stream alone. Throws `TypeError` only if `req` is missing.
   *
   * @example
   * import { scopesPolicy } from '@mtls-bound/core';
   * import { WebSocketServer } from 'ws';
   * const { resourceServer } = mtls;
   * const sockets = new WebSocketServer({ noServer: true });
   * server.on('upgrade', async (req, socket, head) => {
   *   try {
   *     socket.on('error', () => socket.destroy());
   *     const granted = await resourceServer.authorize(req);
   *     await resourceServer.require(req, granted, scopesPolicy(['accounts:read']));
   *     sockets.handleUpgrade(req, socket, head, (webSocket) => {
   *       webSocket.on('error', () => webSocket.terminate());
   *       webSocket.send('hello');
   *     });
   *   } catch (thrown) {
   *     resourceServer.answerUpgrade(thrown, req);
   *   }
   * });
   */
  answerUpgrade(thrown: unknown, req: IncomingMessage): void;
  /**
   * Returns the error for the framework's own error handling, of whatever `authorize` or `require`
   * threw for `req`. Returns `undefined` unless the option `onRefused` is `next`. Throws `TypeError`
   * only if `req` is missing.
   */
  errorFor(thrown: unknown, req: NodeRequest): HttpRefusal | undefined;
}

/**
 * A resource server that accepts certificate-bound access tokens (RFC 8705 §3). Nothing is asked of
 * the authorization server before the first request. Throws `ConfigurationError` for a wrong
 * option.
 */
export function createResourceServer(options?: ResourceServerOptions): ResourceServer;
export function createResourceServer(...given: [options?: ResourceServerOptions]): ResourceServer {
  refuseFurtherArguments('createResourceServer()', given, 1, 'one object of options');
  const [options = {}] = given;
  const settings = resolveSettings(options, process.env);
  const { clockTolerance } = settings;
  const report = createProblemReporter();
  const issuers = settings.issuers.map((issuer) =>
    createAcceptedIssuer(
      {
        ...issuer,
        clockTolerance,
        mustBindToCertificate: settings.binding === 'required' && settings.dpop === undefined,
        permittedAlgorithms: settings.profile?.algorithms,
      },
      report,
    ),
  );
  const byIssuer = new Map(issuers.map((issuer) => [issuer.rules.issuer, issuer]));
  const acceptedIssuerOf = (name: string) => requireAccepted(byIssuer, name);
  const issuerNames = Object.freeze([...byIssuer.keys()]);

  const { channel: channelRules, log: logRules, ...memory } = settings.revocations;
  /** Whether `close()` has left the log and the channel, or is about to. */
  let hasLeftFleet = false;
  const syncedBy = logRules ? 'log' : channelRules ? 'channel' : 'alone';
  const revocations = new Revocations({ ...memory, syncedBy, clockTolerance, report });
  const shared = settings.sharedCache && new SharedCache(settings.sharedCache, report);
  const channel = channelRules && new ChannelSync(channelRules, revocations, report);
  const log = logRules && new LogSync(logRules, revocations, report);
  const revoke = createRevoke(issuerNames, { revocations, log, channel, hasLeft: () => hasLeftFleet });

  const maxConcurrent = Math.min(...settings.issuers.map(({ http }) => http.maxConcurrent));
  const cacheRules = { ...settings.cache, maxRefreshes: maxRefreshesFor(maxConcurrent) };
  const cache = new TokenCache(cacheRules, revocations, shared);
  const floodGuard =
    settings.floodGuard && new FloodGuard<UsableClaims>(settings.floodGuard, placesPerClient(maxConcurrent));

  const explainer = createExplainer(settings.certificate, settings.dpop !== undefined);
  // Revokes the tokens of the certificate in all processes. The refusal of a request does not wait for it.
  const revokeCertificate = ({ thumbprint }: ClientCertificate) =>
    ignoreRejection(revoke({ thumbprint }, 'certificate'));
  const recheck = recheckOf(settings, revokeCertificate);
  const abortSignals = new AuthorizationAbortSignals(revocations, clockTolerance, recheck);
  const dpop = settings.dpop && createDpopCheck(settings.dpop, clockTolerance, report);
  const checks = createRequestChecks(
    settings,
    (name) => acceptedIssuerOf(name).rules,
    explainer,
    abortSignals,
    dpop,
    revokeCertificate,
  );
  const seenCertificates = createSeenCertificates(settings.maxListedClients);
  const refusals = createRefusals(settings, explainer, report, dpop);
  const checkReadiness = createReadinessCheck(
    [
      ...issuers,
      {
        async ready() {
          await checks.prepareCertificateSource();
          await checks.ready();
        },
      },
    ],
    report,
  );

  const checkRevocations = createRevocationsCheck(issuers, revocations, report);

  let isClosed = false;
  /** Throws after `close()`: readings of tokens under way are finished, and no new one starts. */
  const refuseWhenClosed = (): void => {
    if (isClosed) {
      throw new RequestRefused('shutting_down');
    }
  };
  const admitter = createRequestAdmitter({
    settings,
    revocations,
    resolveServer: createServerResolver(issuers, settings.selectIssuer),
    acceptedIssuerOf,
    lookup: createTokenLookup(cache, floodGuard, refuseWhenClosed),
    checks,
    explainer,
    dpop,
    seenCertificates,
    refusals,
    refuseWhenClosed,
    abortSignals,
  });
  reportUnsafeSettings(settings, report);

  return Object.freeze({
    ...admitter,
    vary: settings.certificate.header,
    property: settings.property,
    issuers: issuerNames,
    answerResourceMetadata: settings.resourceMetadata?.answerTo,
    reported: checks.reported,
    clientCertificates: seenCertificates.uses,

    revoke: (revocation: Revocation, from?: unknown) =>
      revoke(revocation, from === 'signal' ? 'signal' : 'revoke'),

    acceptRevocation: (req: NodeRequest, authorization: unknown, policy: RoutePolicy, body?: unknown) =>
      acceptRevocation(req, admitter.require, refusals, revoke, { authorization, policy, body }),

    async ready() {
      refuseWhenClosed();
      await checkReadiness();
      await checkRevocations();
    },

    async close() {
      isClosed = true;
      await cache.settleReadings();
      hasLeftFleet = true;
      await channel?.close();
      await log?.close();
      abortSignals.close();
      settings.certificatePolicy?.close();
      seenCertificates.close();
      for (const issuer of issuers) {
        issuer.close();
      }
    },

    answer: (thrown: unknown, req: NodeRequest) => refusals.answer(thrown, requireRequest('answer', req)),
    errorFor: (thrown: unknown, req: NodeRequest) =>
      refusals.errorFor(thrown, requireRequest('errorFor', req)),
    answerUpgrade: (thrown: unknown, req: IncomingMessage) =>
      answerUpgrade(req, refusals.answer(thrown, requireRequest('answerUpgrade', req)), http2StreamOf(req)),
  });
}

/**
 * Returns the issuer of this name. A token source may be the user's own: the issuer that it names
 * must be a configured one.
 */
function requireAccepted(byIssuer: ReadonlyMap<string, AcceptedIssuer>, name: string): AcceptedIssuer {
  const issuer = byIssuer.get(name);
  if (issuer === undefined) {
    throw new TellableError('the option tokens gave claims of an issuer that is not configured');
  }
  return issuer;
}

/** Returns the request. A program in JavaScript may have called `method` without it. */
function requireRequest<Request extends NodeRequest>(method: string, req: Request): Request {
  if (typeof req !== 'object' || req === null) {
    const got = req === null ? 'null' : typeof req;
    throw new TellableError(`resourceServer.${method}(thrown, req): expected the request as req, got ${got}`);
  }
  return req;
}

/** How the certificates of open requests are looked at again; `undefined` if they are not. */
function recheckOf(
  { binding, certificatePolicy }: Pick<Settings, 'binding' | 'certificatePolicy'>,
  revokeCertificate: (certificate: ClientCertificate) => void,
): CertificateRecheck | undefined {
  const rules = certificatePolicy?.revocationCheck;
  // With `binding: 'report'` a revoked certificate is only reported: its tokens are not revoked.
  return certificatePolicy === undefined || rules === undefined || binding === 'report'
    ? undefined
    : {
        interval: rules.refreshInterval,
        check: (certificate) => void certificatePolicy.recheck(certificate, revokeCertificate),
      };
}

/** Answers a revocation request of a client that the policy accepts. Never rejects. */
async function acceptRevocation(
  req: NodeRequest,
  require: RequestAdmitter['require'],
  { publishAndThrow, answer }: Refusals,
  revoke: Revoke,
  { authorization, policy, body }: { authorization: unknown; policy: RoutePolicy; body: unknown },
): Promise<HttpAnswer> {
  try {
    const permitted = await require(req, authorization, policy);
    let revocation: unknown;
    // As a policy: if the client's own token ends while the body is read, the request is refused.
    const admitted = await require(req, permitted, async () => {
      revocation = await readRevocationRequest(req, body);
    });
    try {
      // A client may not revoke tokens of another issuer.
      const revoked = limitToIssuer(admitted.issuer, revocation as Revocation);
      await revoke(revoked, 'endpoint', admitted.clientId);
    } catch (thrown) {
      return publishAndThrow(thrown, admitted.certificate, req, factsAtRoute(admitted));
    }
    return { status: 200, headers: { 'Cache-Control': 'no-store' }, body: '' };
  } catch (refusal) {
    return withCloseIfBodyUnread(req, answer(refusal, req));
  }
}
