import type { AuthorizationServer } from 'oauth4webapi';
import { RequestRefused, TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import type { IssuerSelection } from '../request/issuer-selection.js';
import type { NodeRequest } from '../request/node-request.js';
import { giveUpWhenOver, withDeadline } from '../shared/deadline.js';
import { createMismatch } from '../shared/option-errors.js';
import { isPromise } from '../shared/promises.js';
import type { ClaimRules } from '../token/claims-check.js';
import {
  parseTokenAnswer,
  type TokenAnswer,
  type TokenClaims,
  type TokenReader,
} from '../token/token-claims.js';
import { describeNames } from '../token/token-rejection.js';
import type { TokenSource } from '../token/token-source.js';
import type { ClientAuthentication } from './client-authentication.js';
import { createHttpClient, type HttpRules } from './http.js';
import { settingsKeyOf } from './introspection.js';
import { createLimitedHttpClient, type RequestLimits, type SuspensionRules } from './limited-http.js';
import { createDiscovery, createStaticMetadata, type MetadataRules } from './metadata.js';
import { issuerNamedIn } from './named-issuer.js';
import type { RequesterFacts } from './requester.js';
import { type TokenServer, TroubleInOrder } from './token-server.js';

/** An authorization server whose tokens are accepted. */
export interface AcceptedIssuer {
  /** What its tokens must show. */
  readonly rules: ClaimRules;
  readonly read: TimeLimitedReader;
  /**
   * Asks the server what reading a token needs. Rejects with `RequestRefused`. For a source
   * of the user's own: what its `ready()` does, if it has one.
   */
  readonly ready: () => Promise<void>;
  /**
   * A text of all that an answer depends on: the server, the client id, `audience` and the settings of
   * `introspection()` (RFC 7662 §4). Processes share an answer only if this text is equal in them. Undefined
   * for any other token source, because it is not known what that asks.
   */
  readonly sharedId: string | undefined;
  /** Closes idle connections. */
  readonly close: () => void;
}

type TokenQuestion = (token: string, requester?: RequesterFacts) => Promise<TokenAnswer>;

/** A reader that settles within a time limit, and whose members were checked. */
export interface TimeLimitedReader {
  (token: string, requester?: RequesterFacts): Promise<TokenAnswer>;
  readonly kind: NonNullable<TokenReader['kind']>;
  /** Undefined where the authorization server can't be asked about a token. */
  readonly introspect: TokenQuestion | undefined;
}

/** The client id and the credentials of this API at an authorization server. */
export interface RegisteredClient {
  readonly id: string;
  readonly authentication: ClientAuthentication;
}

export interface AcceptedIssuerOptions extends ClaimRules {
  readonly authorizationServerMetadata: MetadataRules['metadata'];
  readonly authorizationServerMetadataMaxAge: number;
  readonly client: RegisteredClient | undefined;
  readonly requireClient: () => RegisteredClient;
  readonly tokens: TokenSource;
  readonly http: HttpRules & RequestLimits;
  readonly circuitBreaker: SuspensionRules;
  /**
   * Whether tokens must be bound to a certificate: a server that may issue others is worth a warning
   * (RFC 8705 §3.3). With `dpop` they may be bound to a key instead.
   */
  readonly mustBindToCertificate: boolean;
  /** Signature algorithms that a profile permits; undefined for any supported one. */
  readonly permittedAlgorithms: readonly string[] | undefined;
}

/**
 * Nothing is asked of the server yet. Throws `ConfigurationError` where its token source lacks
 * something.
 *
 * @param onMetadata is called with the metadata each time that they are read from the server
 */
export function createAcceptedIssuer(
  options: AcceptedIssuerOptions,
  report: ReportProblem,
  onMetadata?: (metadata: AuthorizationServer) => void,
): AcceptedIssuer {
  const { issuer, audience, clockTolerance, client, requireClient, mustBindToCertificate } = options;
  const plainHttp = createHttpClient(options.http, client?.authentication.identity);
  const { timeout, maxConcurrent, maxQueued } = options.http;
  const limits = { ...options.circuitBreaker, timeout, maxConcurrent, maxQueued };
  const limitedHttp = createLimitedHttpClient(
    plainHttp.send,
    { role: 'authorization server', name: issuer },
    limits,
    report,
  );
  const { send: http } = limitedHttp;
  const onFound = (server: AuthorizationServer): void => {
    onMetadata?.(server);
    if (mustBindToCertificate && server.tls_client_certificate_bound_access_tokens !== true) {
      report(
        'tokens_may_be_unbound',
        `${issuer} does not say tls_client_certificate_bound_access_tokens: true (RFC 8705 §3.3); ` +
          'tokens that it does not bind to a certificate are refused',
      );
    }
    const { introspection_endpoint_auth_methods_supported: methods } = server;
    const method = client?.authentication.method;
    if (Array.isArray(methods) && method !== undefined && method !== 'bearer' && !methods.includes(method)) {
      report(
        'client_authentication_unsupported',
        `${issuer} accepts ${describeNames(methods)} at its introspection endpoint, not ` +
          `${method} (RFC 8414 §2); ` +
          'set the option clientAuthentication to one of them',
      );
    }
  };
  const metadataRules = {
    issuer,
    metadata: options.authorizationServerMetadata,
    metadataMaxAge: options.authorizationServerMetadataMaxAge,
  };
  const metadata =
    createStaticMetadata(metadataRules) ?? createDiscovery(metadataRules, { http, timeout, onFound, report });
  const { permittedAlgorithms } = options;
  const access = {
    issuer,
    audience,
    clockTolerance,
    permittedAlgorithms,
    client: requireClient,
    metadata,
    http,
    timeout,
  };
  const read = options.tokens(access);
  const settingsKey = settingsKeyOf(read);
  return Object.freeze({
    rules: { issuer, audience, clockTolerance },
    read: limitTime(read, timeout),
    ready: () =>
      withDeadline(MAX_QUESTIONS * timeout, (deadline) =>
        giveUpWhenOver(deadline, async () => read.ready?.()),
      ),
    sharedId: settingsKey && JSON.stringify([issuer, client?.id, audience, settingsKey]),
    close: () => {
      limitedHttp.close();
      plainHttp.close();
    },
  });
}

/**
 * Metadata, keys, keys again and introspection: no token needs more questions, each of which has
 * `http.timeout`.
 */
const MAX_QUESTIONS = 4;

/** Returns the reader with a time limit: a token source of the user's own may never settle. */
function limitTime(read: TokenReader, timeout: number): TimeLimitedReader {
  // An `async` function returns a promise, which is refused too. Its rejection is handled here, as it
  // would end the process.
  if (isPromise(read) || typeof read !== 'function') {
    throw createMismatch('tokens', 'a function that returns a function', 'one that returned something else');
  }
  const { introspect } = read;
  // A changed `Object.prototype` must not say that the server was asked.
  const named = Object.hasOwn(read, 'kind') ? read.kind : undefined;
  // A reader that is its own `introspect` asks the server, whatever it leaves out.
  const byDefault = introspect === read ? 'introspection' : 'self-contained';
  const kind = named === undefined ? byDefault : named;
  if (kind !== 'introspection' && kind !== 'self-contained') {
    throw createMismatch(
      'tokens',
      "a function whose kind is 'introspection' or 'self-contained'",
      'one of another kind',
    );
  }
  const bounded = (ask: TokenQuestion) => (token: string, requester?: RequesterFacts) =>
    withDeadline(MAX_QUESTIONS * timeout, (deadline) =>
      giveUpWhenOver(deadline, () => ask(token, requester)).then(parseTokenAnswer, (error: unknown) => {
        if (deadline.isOver) {
          const detail = `the option tokens gave nothing within ${MAX_QUESTIONS * timeout} s`;
          throw new RequestRefused('internal_error', { detail });
        }
        throw error;
      }),
    );
  const own = bounded(read);
  if (kind === 'introspection') {
    return Object.assign(own, { kind, introspect: own });
  }
  return Object.assign(own, { kind, introspect: introspect && bounded(introspect) });
}

/**
 * Finds whom to ask about a token. Throws `RequestRefused` for one that is meant for none of them.
 */
export type ServerResolver = (token: string, req: NodeRequest) => TokenServer;

/**
 * Returns what finds the server of a token. With one issuer and no function that selects, that is its
 * server for every token. With several a token goes to no server but the one it is meant for: the one
 * in a JWT's `iss`, else the selected one. Only where the user asked for it are they asked in order.
 */
export function createServerResolver(
  issuers: readonly AcceptedIssuer[],
  selection: IssuerSelection | undefined,
): ServerResolver {
  const [first, ...others] = issuers;
  if (first !== undefined && others.length === 0 && typeof selection !== 'function') {
    const only = tokenServerOf(first, '');
    return () => only;
  }
  const byIssuer = new Map(issuers.map((one) => [one.rules.issuer, tokenServerOf(one, one.rules.issuer)]));
  const sharedIds = issuers.map(({ sharedId }) => sharedId);
  const inOrder = {
    id: 'in-order',
    sharedId: sharedIds.includes(undefined) ? undefined : sharedIds.join(),
    read: (token: string, requester?: RequesterFacts) => askInOrder(issuers, token, requester),
    readIntrospects: issuers.some(({ read }) => read.kind === 'introspection'),
    isIntrospected: ({ issuer }: TokenClaims) =>
      issuers.some(({ rules, read }) => rules.issuer === issuer && read.kind === 'introspection'),
    introspect: (token: string, { issuer }: TokenClaims, requester?: RequesterFacts) => {
      const read = issuers.find(({ rules }) => rules.issuer === issuer)?.read;
      return read?.introspect && namingIssuer(issuer, read.introspect(token, requester));
    },
  };
  return (token, req) => {
    const named = issuerNamedIn(token);
    if (selection === 'in-order' && named === undefined) {
      return inOrder;
    }
    const selected = typeof selection === 'function' ? selection(req) : undefined;
    if (isPromise(selected)) {
      throw new TellableError(
        'the option selectIssuer returned a promise; it must return an issuer or undefined',
      );
    }
    if (selected !== undefined && !byIssuer.has(selected)) {
      throw new TellableError('the option selectIssuer named an issuer that is not among issuers');
    }
    const chosen = byIssuer.get(named ?? selected ?? '');
    // A selector that names none lets no token pass, also no JWT that names its issuer.
    if (chosen === undefined || (typeof selection === 'function' && chosen.id !== selected)) {
      throw new RequestRefused('token_wrong_issuer', {
        detail: explainMismatch(named, selected, typeof selection === 'function'),
      });
    }
    return chosen;
  };
}

function tokenServerOf({ read, sharedId }: AcceptedIssuer, id: string): TokenServer {
  const readIntrospects = read.kind === 'introspection';
  return Object.freeze({
    id,
    sharedId,
    read,
    readIntrospects,
    isIntrospected: () => readIntrospects,
    introspect: (token: string, _answer: TokenClaims, requester?: RequesterFacts) =>
      read.introspect?.(token, requester),
  });
}

/**
 * Rejects with `TroubleInOrder` if the one server that was asked is in trouble. A reader of the user's own
 * may return a promise of any make.
 */
async function namingIssuer(issuer: string, answering: Promise<TokenAnswer>): Promise<TokenAnswer> {
  try {
    return await answering;
  } catch (error) {
    throw new TroubleInOrder(new Map([[issuer, error]]));
  }
}

/**
 * Asks one authorization server after the other until one knows the token. Rejects with `TroubleInOrder`
 * if none does and one could not be asked.
 */
async function askInOrder(
  issuers: readonly AcceptedIssuer[],
  token: string,
  requester: RequesterFacts | undefined,
): Promise<TokenAnswer> {
  const troubles = new Map<string, unknown>();
  for (const { rules, read } of issuers) {
    try {
      const answer = await read(token, requester);
      if (typeof answer !== 'string') {
        return answer;
      }
    } catch (error) {
      troubles.set(rules.issuer, error);
    }
  }
  if (troubles.size > 0) {
    throw new TroubleInOrder(troubles);
  }
  return 'token_inactive';
}

/** A token may name any text: the explanation holds only names from the options. */
function explainMismatch(
  named: string | undefined,
  selected: string | undefined,
  hasSelector: boolean,
): string {
  if (selected !== undefined) {
    return `selectIssuer named ${selected}, the token's iss another`;
  }
  if (hasSelector && named !== undefined) {
    return 'the option selectIssuer named none, for a token that names its issuer';
  }
  return named === undefined
    ? 'the token names no issuer, and the option selectIssuer named none'
    : "the token's iss is not among issuers";
}
