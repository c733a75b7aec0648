import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Authorization } from './authorization.js';
import {
  type AcceptedIssuer,
  createAcceptedIssuer,
  createTargetResolver,
} from './authorization-server/accepted-issuers.js';
import { untilAborted, withDeadline } from './authorization-server/deadline.js';
import { FloodGuard, NAMELESS, placesOfOne, type Source } from './authorization-server/flood-guard.js';
import { type Requester, runForRequester } from './authorization-server/requester.js';
import { SharedCache } from './cache/shared-cache.js';
import { refreshesAtOnce, TokenCache, type TokenTarget } from './cache/token-cache.js';
import type { ClientCertificate } from './certificate/client-certificate.js';
import { copyRefusal, type RefusalCode, RequestRefused, TellableError, toRefusal } from './errors.js';
import {
  type Explanation,
  problemReporter,
  publishAdmitted,
  publishCache,
  publishRefused,
  type RefusedEvent,
} from './observe/events.js';
import { publishRevocation, type RevocationEvent } from './observe/revocation-sync.js';
import { type ResourceServerOptions, resolveSettings } from './options/resource-server-options.js';
import type { RoutePolicy } from './policy/route-policy.js';
import { readBearerToken } from './request/bearer-token.js';
import type { NodeRequest } from './request/node-request.js';
import { closing } from './request/request-body.js';
import { RequestSignals } from './request/request-signals.js';
import { createRequestDecider } from './request-decider.js';
import {
  type Answer,
  type ChallengeRules,
  createRefusalResponse,
  createRefusedResponse,
} from './response/challenge.js';
import { createExplainer, describeExplanation } from './response/explanation.js';
import { HttpRefusal } from './response/http-refusal.js';
import { recordRefusal } from './response/request-refusal.js';
import { answerUpgrade } from './response/upgrade-answer.js';
import { RevocationFeed } from './revocation/revocation-channel.js';
import { LogFeed } from './revocation/revocation-log.js';
import { readRevocationRequest } from './revocation/revocation-request.js';
import {
  limitToIssuer,
  parseRevocation,
  type Revocation,
  Revocations,
  withoutToken,
} from './revocation/revocations.js';
import { describeStoreError } from './shared/bounded-wait.js';
import { interactionOf } from './shared/interaction-id.js';
import { ignoreRejection } from './shared/promises.js';
import { agreedClaims } from './token/agreed-claims.js';
import type { TokenAnswer } from './token/token-claims.js';

/** Decides about requests; what the adapters stand on. */
export interface ResourceServer {
  /**
   * Lets the request in, or throws `RequestRefused`. The `Authorization` comes at once when the token is known, a
   * promise of it otherwise; `await` takes both. Undefined for a request without credentials where the option `optional`
   * lets it pass.
   *
   * @param body what a form parser made of the request's body, when one ran: a token there is refused, never used
   */
  authorize(req: NodeRequest, body?: unknown): Authorization | undefined | Promise<Authorization>;
  /**
   * Returns whether this resource server made `authorization`, this very object, for this very request. An adapter passes a
   * request on only if so, or if `confirm` returns `undefined`. Never throws.
   */
  isGranted(req: NodeRequest, authorization: unknown): authorization is Authorization;
  /**
   * Returns what `authorize` resolved to, if `isGranted` holds for it, or `undefined` for a request that `authorize` let
   * pass without credentials. Throws `RequestRefused` for everything else.
   */
  confirm(req: NodeRequest, outcome: unknown): Authorization | undefined;
  /**
   * Checks a policy. Returns the `Authorization` to use from now on, or a promise of it if the policy takes its time. Throws
   * `RequestRefused`, or rejects with it, unless `authorization` was made by this resource server for `req` and the policy
   * returns exactly `undefined`, or a promise of any make that resolves to exactly that. If an earlier policy had the token
   * introspected, the policy sees what the authorization server said then, also if `authorization` is from before.
   */
  require(
    req: NodeRequest,
    authorization: unknown,
    policy: RoutePolicy,
  ): Authorization | Promise<Authorization>;
  /**
   * Revokes a token, or every token of a subject, client or certificate: from now on here, and in every process once they
   * heard of it over `revocations.channel`. The one token is refused. Of the others an opaque token is asked about anew, a JWT
   * that was issued before is refused. Throws `TypeError` for anything else; rejects when the others may not have been told, while it holds here.
   *
   * @param origin where metrics and events say that it comes from: `signal`; for each other value it is `revoke`
   */
  revoke(revocation: Revocation, origin?: unknown): Promise<void>;
  /**
   * Answers a revocation request (RFC 7009 §2.1) of who was let in with `authorization`, which must grant `scope`. Never
   * rejects.
   *
   * @param body what a form parser made of the request's body, when one ran
   */
  acceptRevocation(
    req: NodeRequest,
    authorization: unknown,
    scope: RoutePolicy,
    body?: unknown,
  ): Promise<Answer>;
  /**
   * Asks each authorization server for its metadata, and for its keys or about a made-up token. Resolves if this API can check
   * tokens. Rejects with `RequestRefused` otherwise, whose `code` and `detail` say why, and publishes the cause as a problem. Calls
   * at the same time share the questions, and for 10 seconds after a success no further one is asked. A token source of your own
   * is asked only if its reader has `ready`.
   */
  ready(): Promise<void>;
  /**
   * Ends what is open, once the introspections under way have ended: connections, the channel. Requests with tokens that
   * are not known are refused from now on. Nothing keeps the process alive then.
   */
  close(): Promise<void>;
  /** The answer to a request for this resource's metadata (RFC 9728 §3.1); undefined for any other. */
  readonly metadata:
    | ((method: string | undefined, target: string | undefined) => Answer | undefined)
    | undefined;
  /** What `binding: 'report'` let in that `required` would refuse: how often, by code. */
  readonly reported: ReadonlyMap<RefusalCode, number>;
  /** The issuers whose tokens are accepted. */
  readonly issuers: readonly string[];
  /** The header that answers are chosen by, to be named in `Vary` (RFC 9440 §2.4); undefined for a TLS connection. */
  readonly vary: string | undefined;
  /** The property of `req` or `ctx.state` that adapters put the `Authorization` at, by the option `property`. */
  readonly property: string;
  /** The HTTP answer to whatever `authorize` or `require` threw for `req`. Never throws. */
  answer(thrown: unknown, req: NodeRequest): Answer;
  /**
   * Answers an upgrade (RFC 9110 §7.8) or a CONNECT request for which `authorize` or `require` threw, and closes its connection. Never
   * throws. Without an answer it closes a connection on which a request before this one has no answer yet.
   *
   * @example
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
   * The error for the framework's own error handling, of whatever `authorize` or `require` threw for `req`; `undefined` unless the
   * option `onRefused` is `next`. Never throws.
   */
  errorFor(thrown: unknown, req: NodeRequest): HttpRefusal | undefined;
}

/** What an operator must know of a binding that is not required, wherever the setting comes from. */
const bindingsNotEnforced = {
  report:
    "binding: 'report' lets in tokens that are bound to nothing or to another certificate; it is for a trial before 'required'",
  'when-bound':
    "binding: 'when-bound' accepts tokens that are bound to no certificate; set binding to 'required' when every client's are bound",
} as const;

const clientsIndistinct =
  'clients without certificate share one allowance of unknown tokens, as floodGuard.address names no address for them; ' +
  'set it to a function from the request to the address of the client';

const audienceNotEnforced =
  "MTLS_BOUND_AUDIENCE is 'server-enforced': tokens for other APIs are accepted unless the authorization server refuses " +
  "them; name this API's identifier, or set audience: 'server-enforced' in code";

/**
 * A resource server that accepts certificate-bound access tokens (RFC 8705 §3). Nothing is asked of the authorization
 * server before the first request. Throws `ConfigurationError` for a wrong option.
 */
export function createResourceServer(options: ResourceServerOptions = {}): ResourceServer {
  const settings = resolveSettings(options, process.env);
  const report = problemReporter();
  const authorities = settings.issuers.map((issuer) =>
    createAcceptedIssuer(
      {
        ...issuer,
        clockTolerance: settings.clockTolerance,
        mustBind: settings.binding === 'required',
        permittedAlgorithms: settings.profile?.algorithms,
      },
      report,
    ),
  );
  const byIssuer = new Map(authorities.map((authority) => [authority.rules.issuer, authority]));
  const resolveTarget = createTargetResolver(authorities, settings.selectIssuer);
  const { feed: feedRules, log: logRules, ...memory } = settings.revocations;
  const from = logRules ? 'log' : feedRules ? 'channel' : 'alone';
  const revocations = new Revocations({ ...memory, from, clockTolerance: settings.clockTolerance, report });
  const shared = settings.sharedCache && new SharedCache(settings.sharedCache, report);
  const feed = feedRules && new RevocationFeed(feedRules, revocations, shared, report);
  const log = logRules && new LogFeed(logRules, revocations, report);
  const maxConcurrent = Math.min(
    ...settings.issuers.map(({ circuitBreaker }) => circuitBreaker.maxConcurrent),
  );
  const cache = new TokenCache(
    { ...settings.cache, maxRefreshes: refreshesAtOnce(maxConcurrent) },
    revocations,
    shared,
  );
  const floodGuard = settings.floodGuard && new FloodGuard(settings.floodGuard, placesOfOne(maxConcurrent));
  const explainer = createExplainer(settings.certificate);
  /** What every `Authorization` of this resource server carries, and no other. */
  const identity = new RequestSignals(revocations, settings.clockTolerance);
  /** The requests without credentials that the option `optional` let pass. */
  const anonymous = new WeakSet<NodeRequest>();
  const decider = createRequestDecider(
    settings,
    (issuer) => acceptedIssuerOf(issuer).rules,
    explainer,
    identity,
  );
  /** Of refusals on their way to be answered. */
  const explanations = new WeakMap<RequestRefused, Explanation>();
  const challengeRules: ChallengeRules = {
    describe: (refusal: RequestRefused) => {
      const explanation = explanations.get(refusal);
      return explanation && describeExplanation(refusal, explanation);
    },
    realm: settings.realm,
    errorBody: settings.errorBody,
    errorContentType: settings.errorContentType,
    resourceMetadata: settings.resourceMetadata?.url,
    report,
  };
  let isClosed = false;
  let readiness: { readonly result: Promise<void>; readonly until: number } | undefined;
  if (settings.isAudienceUncheckedByEnvironment) {
    report('audience_not_enforced', audienceNotEnforced);
  }
  const notEnforced = settings.binding === 'required' ? undefined : bindingsNotEnforced[settings.binding];
  if (notEnforced !== undefined) {
    report('binding_not_enforced', notEnforced);
    if (settings.floodGuard !== undefined && settings.floodGuard.address === undefined) {
      report('clients_indistinct', clientsIndistinct);
    }
  }

  /** Learns about a token at the expense of the client that sends it, which may have used up its allowance. */
  function learnFor(
    token: string,
    target: TokenTarget,
    thumbprint: string | undefined,
    req: NodeRequest,
  ): Promise<TokenAnswer> {
    const counted = floodGuard?.sourceOf(req, thumbprint) ?? [];
    const asker = requesterOf(req, thumbprint, counted);
    const ask = async () => {
      // The request may have waited for its turn: by now the server may be closed, or the token known.
      refuseWhenClosed();
      return cache.known(token, target) ?? runForRequester(asker, () => cache.learn(token, target));
    };
    return floodGuard === undefined || counted.length === 0
      ? ask()
      : floodGuard.learn(counted, `${target.id} ${token}`, {
          ask,
          recall: (refusal) => cache.recall(token, target, refusal),
        });
  }

  /** Asks about a token that is known to be good, at a place of the client that sends it. */
  function confirmFor(
    token: string,
    target: TokenTarget,
    thumbprint: string | undefined,
    req: NodeRequest,
  ): Promise<TokenAnswer> {
    const counted = floodGuard?.sourceOf(req, thumbprint) ?? [];
    const asker = requesterOf(req, thumbprint, counted);
    const ask = async () => {
      // The request may have waited for its turn.
      refuseWhenClosed();
      return runForRequester(asker, () => cache.confirm(token, target));
    };
    return floodGuard === undefined || counted.length === 0
      ? ask()
      : floodGuard.confirm(counted, `${target.id} ${token}`, ask);
  }

  function clientOf(req: NodeRequest, thumbprint: string | undefined): Requester {
    return requesterOf(req, thumbprint, floodGuard?.sourceOf(req, thumbprint) ?? []);
  }

  /** Failures of the authorization server count for the client whose question met them. */
  function requesterOf(req: NodeRequest, thumbprint: string | undefined, counted: Source): Requester {
    const uncounted = thumbprint === undefined ? NAMELESS : [thumbprint];
    return { interactionId: interactionOf(req), source: counted.length === 0 ? uncounted : counted };
  }

  /** What is under way is waited for; nothing new is asked. */
  function refuseWhenClosed(): void {
    if (isClosed) {
      throw new RequestRefused('shutting_down');
    }
  }

  async function askWhetherReady(): Promise<void> {
    try {
      await Promise.all(authorities.map((authority) => authority.ready()));
    } catch (thrown) {
      const refusal = toRefusal(thrown);
      report(refusal.code, refusal.message);
      throw refusal;
    }
  }

  /** Token sources may be the user's own: what they name is looked up, not believed. */
  function acceptedIssuerOf(issuer: string): AcceptedIssuer {
    const authority = byIssuer.get(issuer);
    if (authority === undefined) {
      throw new TellableError('the option tokens gave claims of an issuer that is not configured');
    }
    return authority;
  }

  /** The whole check again, with what the authorization server says now. What a token that speaks for itself says counts on. */
  async function introspect(req: NodeRequest, authorization: Authorization): Promise<Authorization> {
    const { issuer, certificate } = authorization;
    const { read } = acceptedIssuerOf(issuer);
    if (read.introspect === undefined) {
      throw new TellableError('requireActive() needs jwtAccessTokens({ introspection: introspection() })');
    }
    refuseWhenClosed();
    const since = revocations.latestTurn;
    const token = readBearerToken(req, undefined);
    const { introspect: ask } = read;
    const own = Authorization.tokenOf(authorization);
    const askAndAgree = async (text: string) => agreedClaims(own, await ask(text));
    const target = { ...resolveTarget(token, req), read: ask === read ? ask : askAndAgree };
    const answer = await confirmFor(token, target, certificate?.thumbprint, req);
    const fresh = decider.decide(answer, certificate, req, since);
    Authorization.replace(authorization, fresh);
    return fresh;
  }

  /** Asks about a token that is not cached. */
  async function learn(
    token: string,
    target: TokenTarget,
    certificate: ClientCertificate | undefined,
    req: NodeRequest,
    since: number,
  ): Promise<Authorization> {
    let answer: TokenAnswer | undefined;
    try {
      answer = await learnFor(token, target, certificate?.thumbprint, req);
      return admit(answer, certificate, req, since);
    } catch (thrown) {
      return refuse(thrown, certificate, req, refusedTokenFacts(answer));
    }
  }

  /** Refuses unless the policy, and every introspection that it began, comes to a good end. */
  async function decided(
    req: NodeRequest,
    authorization: Authorization,
    outcome: unknown,
    fresh: () => Promise<Authorization> | undefined,
  ): Promise<Authorization> {
    try {
      const value: unknown = await awaitPolicy(outcome);
      if (value !== undefined) {
        throw new TellableError(wrongOutcome(value));
      }
      // A policy may have forgotten to await it.
      return (await fresh()) ?? authorization;
    } catch (thrown) {
      return refuse(thrown, authorization.certificate, req, afterAdmission(authorization));
    }
  }

  function admit(
    answer: TokenAnswer,
    certificate: ClientCertificate | undefined,
    req: NodeRequest,
    since: number,
  ): Authorization {
    const authorization = decider.decide(answer, certificate, req, since);
    publishAdmitted(authorization, req, () => decider.reportedFor(req));
    return authorization;
  }

  function refuse(
    thrown: unknown,
    certificate: ClientCertificate | undefined,
    req: NodeRequest,
    known: RefusedTokenFacts = unknownToken,
  ): never {
    const refusal = ownRefusal(thrown);
    const { thumbprint } = certificate ?? {};
    const explain = () => explainer.explain(refusal, certificate, req);
    publishRefused({ refusal, ...known, thumbprint, interactionId: interactionOf(req) }, explain);
    if (settings.explain) {
      explanations.set(refusal, explain());
    }
    // A process that ends is no problem that an operator has to solve.
    if (refusal.status === 503 && refusal.code !== 'shutting_down') {
      report(refusal.code, refusal.message);
    }
    throw refusal;
  }

  /** Returns what `answer` makes with the hook of the option `errorBody`, or without it if the hook fails. */
  function shaped<T>(answer: (rules: ChallengeRules) => T): T {
    try {
      return answer(challengeRules);
    } catch (error) {
      report(
        'error_body_failed',
        `the option errorBody failed; the plain body was sent: ${toRefusal(error).detail}`,
      );
      return answer({ ...challengeRules, errorBody: undefined });
    }
  }

  async function revoke(given: Revocation, origin: RevocationEvent['origin']): Promise<void> {
    const revocation = withoutToken(parseRevocation(given, [...byIssuer.keys()]));
    const notice = { revocation, at: Date.now(), id: randomUUID() };
    revocations.add(notice);
    publishRevocation(revocation, origin);
    try {
      await log?.publish(notice);
      await feed?.publish(notice);
    } catch (error) {
      const detail = `revocations.${log ? 'log' : 'channel'}: ${describeStoreError(error)}; it holds in this process`;
      throw new RequestRefused('revocation_not_spread', { detail, cause: error });
    }
  }

  const server: ResourceServer = Object.freeze({
    vary: settings.certificate.header,
    property: settings.property,
    issuers: Object.freeze([...byIssuer.keys()]),
    metadata: settings.resourceMetadata?.answerTo,
    reported: decider.reported,

    authorize(req: NodeRequest, body?: unknown) {
      let token: string;
      try {
        token = readBearerToken(req, body);
      } catch (thrown) {
        const { code } = toRefusal(thrown);
        if (code === 'credentials_missing' && settings.credentials === 'optional') {
          anonymous.add(req);
          return undefined;
        }
        return refuse(thrown, undefined, req);
      }
      let certificate: ClientCertificate | undefined;
      let known: TokenAnswer | undefined;
      const since = revocations.latestTurn;
      try {
        certificate = decider.certificateOf(req);
        if (certificate === undefined && settings.binding === 'required') {
          throw new RequestRefused('certificate_missing');
        }
        const target = resolveTarget(token, req);
        known = cache.known(token, target, () => clientOf(req, certificate?.thumbprint));
        if (known !== undefined) {
          publishCache(typeof known === 'string' ? 'inactive_hit' : 'hit');
          return admit(known, certificate, req, since);
        }
        publishCache('miss');
        refuseWhenClosed();
        explainer.remember(certificate);
        return learn(token, target, certificate, req, since);
      } catch (thrown) {
        return refuse(thrown, certificate, req, refusedTokenFacts(known));
      }
    },

    isGranted(req: NodeRequest, authorization: unknown): authorization is Authorization {
      return Authorization.isOf(authorization, identity, req);
    },

    confirm(req: NodeRequest, outcome: unknown) {
      if (Authorization.isOf(outcome, identity, req)) {
        return outcome;
      }
      if (outcome === undefined && anonymous.has(req)) {
        return undefined;
      }
      return refuse(new TellableError('what accepts a request was not made for it'), undefined, req);
    },

    require(req: NodeRequest, given: unknown, policy: RoutePolicy) {
      if (!Authorization.isOf(given, identity, req)) {
        const isAnonymous = given === undefined && anonymous.has(req);
        return refuse(
          isAnonymous ? new RequestRefused('credentials_missing') : new TellableError(notGranted),
          undefined,
          req,
        );
      }
      // The request may hold the one from before an introspection.
      const authorization = Authorization.latest(given);
      let fresh: Promise<Authorization> | undefined;
      const renew = (): Promise<void> => {
        fresh ??= introspect(req, authorization);
        const renewed = fresh.then(() => undefined);
        // A policy that does not wait for it, or that throws meanwhile, leaves no rejection unhandled.
        ignoreRejection(renewed);
        return renewed;
      };
      let outcome: unknown;
      try {
        outcome = policy({ authorization, clockTolerance: settings.clockTolerance, introspect: renew });
      } catch (thrown) {
        return refuse(thrown, authorization.certificate, req, afterAdmission(authorization));
      }
      return outcome === undefined && fresh === undefined
        ? authorization
        : decided(req, authorization, outcome, () => fresh);
    },

    async revoke(revocation: Revocation, origin?: unknown) {
      await revoke(revocation, origin === 'signal' ? 'signal' : 'revoke');
    },

    async acceptRevocation(req: NodeRequest, authorization: unknown, scope: RoutePolicy, body?: unknown) {
      try {
        const admitted = await server.require(req, authorization, scope);
        const { certificate, issuer } = admitted;
        try {
          const revocation = (await readRevocationRequest(req, body)) as unknown as Revocation;
          // Tokens of other issuers are not for this one's clients to revoke.
          await revoke(limitToIssuer(issuer, revocation), 'endpoint');
        } catch (thrown) {
          return refuse(thrown, certificate, req, afterAdmission(admitted));
        }
        return { status: 200, headers: { 'Cache-Control': 'no-store' }, body: '' };
      } catch (refusal) {
        return closing(req, server.answer(refusal, req));
      }
    },

    async ready() {
      refuseWhenClosed();
      if (readiness === undefined || readiness.until < performance.now()) {
        const target = { result: askWhetherReady(), until: Number.POSITIVE_INFINITY };
        readiness = target;
        const expireAfter = (time: number) => () => {
          target.until = performance.now() + time;
        };
        target.result.then(expireAfter(READY_FOR), expireAfter(-1));
      }
      await readiness.result;
    },

    async close() {
      isClosed = true;
      await cache.settled();
      await feed?.close();
      await log?.close();
      identity.close();
      for (const authority of authorities) {
        authority.close();
      }
    },

    answer(thrown: unknown, req: NodeRequest) {
      const refusal = recordRefusal(req, toRefusal(thrown));
      return shaped((rules) => createRefusalResponse(refusal, req, rules));
    },

    answerUpgrade(thrown: unknown, req: IncomingMessage) {
      answerUpgrade(req, server.answer(thrown, req));
    },

    errorFor(thrown: unknown, req: NodeRequest) {
      if (settings.onRefused !== 'next') {
        return undefined;
      }
      const refusal = recordRefusal(req, toRefusal(thrown));
      return new HttpRefusal(
        refusal,
        shaped((rules) => createRefusedResponse(refusal, req, rules)),
      );
    },
  });
  return server;
}

/** What an event tells of the token of a refused request. */
type RefusedTokenFacts = Pick<RefusedEvent, 'stage' | 'issuer' | 'clientId'>;

const unknownToken: RefusedTokenFacts = { stage: 'request', issuer: undefined, clientId: undefined };

function refusedTokenFacts(answer: TokenAnswer | undefined): RefusedTokenFacts {
  return answer === undefined || typeof answer === 'string'
    ? unknownToken
    : { stage: 'request', issuer: answer.issuer, clientId: answer.clientId };
}

function afterAdmission({ issuer, clientId }: Authorization): RefusedTokenFacts {
  return { stage: 'route', issuer, clientId };
}

/** Milliseconds for which `ready()` believes the last answer. */
const READY_FOR = 10_000;

const notGranted =
  'a guard of a route ran on a request that this mtlsBound() did not accept, or on another req.auth';

const answered = new WeakSet<RequestRefused>();

/** A refusal is one request's own: those that share a question, or a policy that keeps one, each get a copy. */
function ownRefusal(thrown: unknown): RequestRefused {
  const refusal = toRefusal(thrown);
  const own = answered.has(refusal) ? copyRefusal(refusal) : refusal;
  answered.add(own);
  return own;
}

/** Seconds. A policy that does not settle holds its request, and nothing else of a resource server. */
const POLICY_TIMEOUT = 60;

/** Waits for what a policy returned, of any make, and rejects when it does not settle in time. */
async function awaitPolicy(outcome: unknown): Promise<unknown> {
  // Bluebird as the global `Promise` has the race below look at it too late: its rejection would end the process.
  ignoreRejection(outcome);
  return withDeadline(POLICY_TIMEOUT, (signal) =>
    untilAborted(signal, () => outcome).catch((error: unknown) => {
      throw signal.aborted
        ? new TellableError(`a route policy did not settle within ${POLICY_TIMEOUT} s`)
        : error;
    }),
  );
}

function wrongOutcome(value: unknown): string {
  const given =
    value === null ? 'null' : typeof value === 'boolean' ? String(value) : `a value of type ${typeof value}`;
  return `a route policy returned ${given}; to accept a request it must return undefined, to refuse one it must throw RequestRefused`;
}
