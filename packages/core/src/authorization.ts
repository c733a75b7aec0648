import type { TokenServer } from './authorization-server/token-server.js';
import type { ClientCertificate } from './certificate/client-certificate.js';
import { TellableError } from './errors.js';
import type { NodeRequest } from './request/node-request.js';
import type { RevokedCode } from './revocation/revocations.js';
import type { TokenClaims } from './token/token-claims.js';

/**
 * The token of a request and the server that knows it, as the first check of the request found them. Later
 * checks do not read the headers again: other code may have changed them meanwhile.
 */
export interface TokenOfRequest {
  readonly req: NodeRequest;
  readonly token: string;
  /** `hashOf(token)`. */
  readonly hash: string;
  readonly server: TokenServer;
}

/**
 * Makes the signals of the requests of one resource server. Each resource server has one such object,
 * which identifies it.
 */
export interface AuthorizationAbortSignalRegistry {
  of(
    presented: TokenOfRequest,
    tokenClaims: TokenClaims,
    turn: number,
    certificate: ClientCertificate | undefined,
  ): AbortSignal;
  follow(presented: TokenOfRequest, tokenClaims: TokenClaims, turn: number): void;
  findRevokedSince(
    presented: TokenOfRequest,
    tokenClaims: TokenClaims,
    sinceTurn: number,
  ): RevokedCode | undefined;
  findReceivedSince(
    presented: TokenOfRequest,
    tokenClaims: TokenClaims,
    sinceTurn: number,
  ): RevokedCode | undefined;
}

/**
 * Makes the `Authorization` of a request.
 *
 * @param abortSignals those of the resource server that makes this object, for the request of
 * `presented` alone; they identify that resource server
 * @param turn the turn (see `DatedClaims`) at which it was decided that `tokenClaims` may be used
 */
export let createAuthorization: (
  tokenClaims: TokenClaims,
  certificate: ClientCertificate | undefined,
  isBound: boolean,
  keyThumbprint: string | undefined,
  abortSignals: AuthorizationAbortSignalRegistry,
  presented: TokenOfRequest,
  turn: number,
) => Authorization;

/**
 * Returns whether the resource server of `abortSignals` made this very object for `request`. False for a
 * copy, for an object that inherits from one, and for an object of another copy of this package. Never
 * throws.
 */
export let isAuthorizationOf: (
  value: unknown,
  abortSignals: object,
  request: object,
) => value is Authorization;

/**
 * Lets `successor` count in place of `authorization`, which its request still holds, in every later
 * check. Throws `TypeError` if the two are not of the same resource server and request.
 */
export let replaceAuthorization: (authorization: Authorization, successor: Authorization) => void;

/** Lets another object for the certificate count, in every later check: the chain was verified. */
export let replaceCertificate: (authorization: Authorization, certificate: ClientCertificate) => void;

/** Returns a copy for a request that turned out not to prove what its token is bound to. */
export let copyAsUnbound: (authorization: Authorization) => Authorization;

/** Returns what is known of the token that `authorization` was made for. */
export let tokenClaimsOf: (authorization: Authorization) => TokenClaims;

/** Returns the token of the request that `authorization` was made for. */
export let presentedOf: (authorization: Authorization) => TokenOfRequest;

/** Returns the turn up to which `authorization` takes revocations into account. */
export let turnOf: (authorization: Authorization) => number;

/** Returns the last that replaced `authorization`, or `authorization` itself. */
export let latestAuthorization: (authorization: Authorization) => Authorization;

/** What a request was accepted with: `req.auth` in Express, `ctx.state.auth` in Koa. Frozen. */
export class Authorization {
  /**
   * Whose authorization server vouches for the token; `subject` is unique within it alone (RFC 7519
   * §4.1.2).
   */
  readonly issuer: string;
  /** `sub`: the end-user, or the client itself where no user is involved (RFC 9068 §5). */
  readonly subject: string | undefined;
  /** `client_id`: the client that the token was issued to. */
  readonly clientId: string | undefined;
  /** `scope`, one by one; empty where the token names none. */
  readonly scopes: readonly string[];
  /** `exp`; a `Date` of this request's own. */
  readonly expiresAt: Date | undefined;
  /**
   * Every claim as the authorization server gave it, deeply frozen. May be personal data (RFC 7662
   * §5).
   */
  readonly claims: Readonly<Record<string, unknown>>;
  /**
   * Undefined if the client sent none or, with `binding: 'report'`, one that can't be read. With
   * `binding: 'required'` only a token that is bound to a key (`dpop`) is accepted without one.
   */
  readonly certificate: ClientCertificate | undefined;
  /**
   * Whether the token is bound to the certificate of this request, or to the key of its proof; false
   * only where `binding` is not `required`.
   */
  readonly isBound: boolean;
  /**
   * The SHA-256 thumbprint of the key (RFC 7638) that has signed the DPoP proof of the request, as
   * `cnf.jkt` of the token has it. Undefined for a token that is bound to no key.
   */
  readonly keyThumbprint: string | undefined;

  // The signals belong to the one resource server that made this object. Only this class can write or
  // read these members.
  readonly #abortSignals: AuthorizationAbortSignalRegistry;
  readonly #presented: TokenOfRequest;
  readonly #tokenClaims: TokenClaims;
  readonly #turn: number;
  // Shared by an object and all that replace it: each finds the newest, and a long stream whose token is
  // checked many times keeps no chain of old ones.
  #shared: { latest: Authorization } | undefined;

  private constructor(
    tokenClaims: TokenClaims,
    certificate: ClientCertificate | undefined,
    isBound: boolean,
    keyThumbprint: string | undefined,
    abortSignals: AuthorizationAbortSignalRegistry,
    presented: TokenOfRequest,
    turn: number,
  ) {
    this.issuer = tokenClaims.issuer;
    this.subject = tokenClaims.subject;
    this.clientId = tokenClaims.clientId;
    this.scopes = tokenClaims.scopes;
    this.expiresAt = tokenClaims.expiresAt === undefined ? undefined : new Date(tokenClaims.expiresAt * 1000);
    this.claims = tokenClaims.claims;
    this.certificate = certificate;
    this.isBound = isBound;
    this.keyThumbprint = keyThumbprint;
    this.#abortSignals = abortSignals;
    this.#presented = presented;
    this.#tokenClaims = tokenClaims;
    this.#turn = turn;
    Object.freeze(this);
  }

  /**
   * An `AbortSignal` for what outlives the check of the request: an event stream, a WebSocket, a
   * request to another server. It fires when the token expires, when this process hears of a
   * revocation that concerns the token, and when this process is connected again after it may have
   * missed a revocation. Its `reason` is a `RequestRefused` with the code `token_expired`,
   * `token_inactive` or `revocations_unknown`. It is made at the first access and is the same for the
   * whole request. It stays silent once the response is finished or the connection is closed, and
   * after `close()` of the resource server.
   *
   * @example
   * app.get('/events', (req, res) => {
   *   const { signal } = req.auth;
   *   res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: hello\n\n');
   *   signal.addEventListener('abort', () => res.end());
   *   if (signal.aborted) {
   *     res.end();
   *   }
   * });
   */
  get signal(): AbortSignal {
    const latest = latestAuthorization(this);
    return latest.#abortSignals.of(latest.#presented, latest.#tokenClaims, latest.#turn, latest.certificate);
  }

  // Functions of this module, as they read private members. Statics would be within reach of all code that
  // has `req.auth`, by its `constructor`.
  static {
    createAuthorization = (tokenClaims, certificate, isBound, keyThumbprint, abortSignals, presented, turn) =>
      new Authorization(tokenClaims, certificate, isBound, keyThumbprint, abortSignals, presented, turn);

    isAuthorizationOf = (value, abortSignals, request): value is Authorization =>
      typeof value === 'object' &&
      value !== null &&
      #abortSignals in value &&
      value.#abortSignals === abortSignals &&
      value.#presented.req === request;

    replaceAuthorization = (authorization, successor) => {
      const latest = latestAuthorization(authorization);
      if (
        latest.#abortSignals !== successor.#abortSignals ||
        latest.#presented.req !== successor.#presented.req
      ) {
        throw new TellableError('an Authorization can only be replaced by one for the same request');
      }
      if (latest !== successor) {
        const shared = latest.#shared ?? { latest };
        shared.latest = successor;
        latest.#shared = shared;
        successor.#shared = shared;
        successor.#abortSignals.follow(successor.#presented, successor.#tokenClaims, successor.#turn);
      }
    };

    replaceCertificate = (authorization, certificate) => {
      const latest = latestAuthorization(authorization);
      const copy = new Authorization(
        latest.#tokenClaims,
        certificate,
        latest.isBound,
        latest.keyThumbprint,
        latest.#abortSignals,
        latest.#presented,
        latest.#turn,
      );
      replaceAuthorization(latest, copy);
    };

    copyAsUnbound = (authorization) =>
      new Authorization(
        authorization.#tokenClaims,
        authorization.certificate,
        false,
        undefined,
        authorization.#abortSignals,
        authorization.#presented,
        authorization.#turn,
      );

    tokenClaimsOf = (authorization) => authorization.#tokenClaims;

    presentedOf = (authorization) => authorization.#presented;

    turnOf = (authorization) => authorization.#turn;

    latestAuthorization = (authorization) => authorization.#shared?.latest ?? authorization;
  }
}

/** The `Authorization` behind a policy for certificates: there is a certificate. */
export type WithCertificate = Authorization & { readonly certificate: ClientCertificate };

/** The `Authorization` behind a policy for claims: these claims are there. */
export type WithClaims<Claims> = Authorization & { readonly claims: Readonly<Claims> };
