import { randomBytes } from 'node:crypto';
import { type AuthorizationServer, processIntrospectionResponse } from 'oauth4webapi';
import { isTellable, RequestRefused, TellableError } from '../errors.js';
import { acceptedAlgorithms } from '../jose/signature-algorithms.js';
import { traceIntrospection } from '../observe/events.js';
import { onlyOptions } from '../shared/call-arguments.js';
import { withDeadline } from '../shared/deadline.js';
import { interactionHeader } from '../shared/interaction-id.js';
import { mediaTypeOf } from '../shared/media-type.js';
import {
  nestedRule,
  OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  readOptions,
  type SettingsOf,
  withDefault,
} from '../shared/option-group.js';
import { flag, isHttpsUrl, type OptionRule, textRecord } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { describeError } from '../shared/shown-error.js';
import { hasUserInfo, redactUrl } from '../shared/shown-url.js';
import { claimOf, readTokenClaims, type TokenAnswer, type TokenReader } from '../token/token-claims.js';
import { createTokenRejection } from '../token/token-rejection.js';
import type { AuthorizationServerAccess, TokenSource } from '../token/token-source.js';
import { explainOtherKindOfAnswer } from './access-token-kind.js';
import { type IntrospectionClaimNames, introspectionClaimOptions, withThumbprint } from './claim-names.js';
import { QuestionRequest } from './http.js';
import { createIntrospectionRequests } from './introspection-request.js';
import { createRemoteKeys } from './key-set.js';
import { jose } from './lazy-modules.js';
import { retryBroken } from './limited-http.js';
import type { RequesterFacts } from './requester.js';
import { looksLikeGatewayPage, readRetryAfter, serverTrouble } from './retry-after.js';
import {
  readSignedAnswer,
  type SignedAnswerFormat,
  type SignedAnswers,
  signedAnswerOptions,
  signedAnswerType,
} from './signed-introspection.js';
import { JwtRejected } from './verified-jwt.js';
import { asJson, headerOf, refusalOfReading } from './whole-answer.js';

/**
 * Parameters of the request that this package writes itself, which further ones must not replace.
 */
const ownParameters = [
  'token',
  'token_type_hint',
  'client_id',
  'client_secret',
  'client_assertion',
  'client_assertion_type',
];

const parameters: OptionRule<Readonly<Record<string, string>>> = {
  accepted: `an object whose values are strings, without ${ownParameters.join(', ')}`,
  read: (given) => {
    const record = textRecord.read(given);
    return record && ownParameters.some((name) => Object.hasOwn(record, name)) ? undefined : record;
  },
};

export const introspectionOptions = optionGroup({
  /** Sends `token_type_hint=access_token` (RFC 7662 §2.1). Default `false`. */
  tokenTypeHint: withDefault(flag, false),
  /**
   * Further parameters of the introspection request that the authorization server defines (RFC 7662
   * §2.1). Default: none.
   */
  parameters: optional(parameters),
  /**
   * Treats a 400 answer as "this token is not active". Set it only for a server that breaks RFC
   * 7662 §2.2 in this way: with any other server it hides a real error. Without it the client gets
   * 503 for a 400 answer, except for a 400 with `unsupported_token_type`, which is about the token.
   * Default `false`.
   */
  badRequestMeansInactive: withDefault(flag, false),
  /**
   * Refuses a token if the answer about it has no `token_type`. Some servers leave it out of
   * answers about refresh tokens, which must not be accepted as access tokens. An audience of your
   * own mostly prevents this too, because answers about refresh tokens seldom have one. Default:
   * `true` with `audience: 'server-enforced'`, `false` with an audience of your own.
   */
  requireTokenType: optional(flag, {
    defaultInWords: "`true` with `audience: 'server-enforced'`, `false` with an audience of your own",
  }),
  /**
   * `{ thumbprint }` names the top-level member of an answer that holds the thumbprint, for a
   * server that does not write it into `cnf` (RFC 8705 §3.2). It is used if an answer has no `cnf`.
   * Default: `cnf` alone is read.
   */
  claims: optional(
    nestedRule<SettingsOf<typeof introspectionClaimOptions>, IntrospectionClaimNames>(
      introspectionClaimOptions,
    ),
    { defaultInWords: '`cnf` alone is read' },
  ),
  /**
   * Requests signed answers (RFC 9701), and accepts only signed answers that are at most 60 seconds
   * and `clockTolerance` old. Set `true`, or an object with the algorithms and the key for encrypted
   * answers. The client must be registered for them at the server
   * (`introspection_signed_response_alg`). Default `false`.
   */
  signed: withDefault(
    nestedRule<false | SignedAnswerFormat, boolean | SignedAnswers>(signedAnswerOptions),
    false,
  ),
});

/** Options of `introspection()`. */
export interface IntrospectionOptions extends OptionsOf<typeof introspectionOptions> {}

/** Of each reader of `introspection()`: what it asks besides the token, and which answers it accepts. */
const settingsKeys = new WeakMap<TokenReader, string>();

/**
 * Returns a text of the settings of an `introspection()`: two readers with the same text get the same
 * answers of a server. Undefined for any other reader.
 */
export function settingsKeyOf(read: TokenReader): string | undefined {
  return settingsKeys.get(read);
}

/** Returns the form of signed answers, or `undefined` for plain ones. */
function readFormat(given: OptionReader<typeof introspectionOptions>): SignedAnswerFormat | undefined {
  if (given.isUnwritten('signed') || given.isExactly('signed', false)) {
    return undefined;
  }
  return given.isExactly('signed', true)
    ? readOptions(given.pathOf('signed'), {}, signedAnswerOptions)
    : given.nested('signed').settings();
}

/**
 * Asks the authorization server's introspection endpoint about each token (RFC 7662). The default
 * `tokens`.
 */
export function introspection(options?: IntrospectionOptions): TokenSource;
export function introspection(...args: [options?: IntrospectionOptions]): TokenSource {
  const given = new OptionReader(
    'introspection()',
    onlyOptions('introspection()', args),
    introspectionOptions,
  );
  const format = readFormat(given);
  const badRequestMeansInactive = given.get('badRequestMeansInactive');
  const requireTokenType = given.get('requireTokenType');
  const thumbprint = given.get('claims')?.thumbprint;
  const additionalParameters = {
    ...given.get('parameters'),
    ...(given.get('tokenTypeHint') && { token_type_hint: 'access_token' }),
  };
  const source = (access: AuthorizationServerAccess): TokenReader => {
    const { issuer, metadata, http, timeout } = access;
    const { id: clientId, authentication } = access.client();
    const algorithms = acceptedAlgorithms(
      'introspection().signed.algorithms',
      format?.algorithms,
      access.permittedAlgorithms,
    );
    const mustNameType = requireTokenType ?? access.audience === 'server-enforced';
    if (format !== undefined) {
      jose.preload();
    }
    const keys = createRemoteKeys(metadata, http);
    const viaMutualTls = authentication.identity !== undefined;
    const client = { client_id: clientId, use_mtls_endpoint_aliases: viaMutualTls };
    const createRequest = createIntrospectionRequests({
      client,
      authentication,
      additionalParameters,
      requestJwtResponse: format !== undefined,
    });
    let checked: { readonly server: AuthorizationServer; readonly endpoint: string } | undefined;
    const ask = async (token: string, requester?: RequesterFacts): Promise<TokenAnswer> => {
      const server = await metadata(requester);
      if (checked?.server !== server) {
        checked = { server, endpoint: introspectionEndpoint(server, viaMutualTls) };
      }
      const { endpoint } = checked;
      const response = await withDeadline(timeout, (deadline) =>
        // A new request each time: an assertion must not arrive twice.
        retryBroken(async (wasCounted) => {
          const { url, method, headers, body } = await createRequest(server, token, deadline);
          Object.assign(headers, interactionHeaders(requester));
          return http(url, new QuestionRequest({ method, headers, body, wasCounted, requester, deadline }));
        }),
      ).catch(rethrowWithoutMessage);
      const error = response.status === 400 ? await errorCodeOf(response) : undefined;
      if (response.status === 400 && (badRequestMeansInactive || error === aboutTheToken)) {
        return 'token_inactive';
      }
      if (response.status !== 200) {
        throw statusTrouble(response, endpoint, authentication.method, error);
      }
      try {
        const answer =
          format === undefined
            ? await plainAnswer(server, client, response)
            : await readSignedAnswer(
                await signedText(response),
                keys,
                { ...access, clientId, algorithms, format },
                requester,
              );
        return readAnswer(answer, { issuer, mustNameType, thumbprint });
      } catch (error) {
        throw refusalOfReading(error) ?? invalidAnswer(endpoint, explainInvalid(error));
      }
    };
    const introspect = (token: string, requester?: RequesterFacts): Promise<TokenAnswer> =>
      traceIntrospection({ issuer, interactionId: requester?.interactionId }, () => ask(token, requester));
    const ready = async (): Promise<void> => {
      const answer = await ask(randomBytes(32).toString('base64url'));
      if (typeof answer !== 'string') {
        throw new RequestRefused('authorization_server_unsuitable', {
          detail: `${issuer} says that a made-up token is active`,
        });
      }
    };
    const reader = Object.assign(introspect, { kind: 'introspection', ready } as const);
    const parameters = Object.entries(additionalParameters).toSorted(([one], [other]) =>
      one < other ? -1 : 1,
    );
    settingsKeys.set(
      reader,
      JSON.stringify([
        parameters,
        format !== undefined && algorithms,
        badRequestMeansInactive,
        mustNameType,
        thumbprint,
      ]),
    );
    return reader;
  };
  const needs = format === undefined ? ['introspection_endpoint'] : ['introspection_endpoint', 'jwks_uri'];
  return Object.assign(source, { needs: Object.freeze(needs) });
}

function rethrowWithoutMessage(error: unknown): never {
  if (error instanceof RequestRefused) {
    throw error;
  }
  throw new RequestRefused('internal_error', {
    detail: `the introspection request could not be made: ${describeError(error)}`,
  });
}

/** FAPI's interaction id goes on to the authorization server (FAPI 1.0 Part 1 §6.2.1). */
function interactionHeaders(requester: RequesterFacts | undefined): Record<string, string> {
  const interactionId = requester?.interactionId;
  return interactionId === undefined ? {} : { [interactionHeader]: interactionId };
}

/**
 * Returns the endpoint for mutual TLS if this API authenticates by it and the server names one (RFC
 * 8705 §5).
 */
function introspectionEndpoint(server: AuthorizationServer, viaMutualTls: boolean): string {
  const alias = viaMutualTls ? server.mtls_endpoint_aliases?.introspection_endpoint : undefined;
  const endpoint = alias ?? server.introspection_endpoint;
  if (isHttpsUrl(endpoint) && !hasUserInfo(endpoint)) {
    return endpoint;
  }
  throw new RequestRefused('authorization_server_unsuitable', {
    detail:
      `the metadata of ${server.issuer} names no introspection_endpoint with ` +
      'https and without user name',
  });
}

/** The `error` of an OAuth error response (RFC 6749 §5.2), or `undefined`. */
async function errorCodeOf(response: Response): Promise<unknown> {
  const body = Buffer.from(await response.clone().arrayBuffer());
  let answer: unknown;
  try {
    // Also if the body is not UTF-8: the code itself is ASCII.
    answer = JSON.parse(body.toString('latin1').replace(/^\xEF\xBB\xBF/, ''));
  } catch {
    return undefined;
  }
  return typeof answer === 'object' && answer !== null ? readOwnMember({ ...answer }, 'error') : undefined;
}

/**
 * oidc-provider answers so for JWTs, which it does not introspect. The error is about the token
 * (RFC 7009 §2.2.1): a client that makes up a token must not pass for an outage.
 */
const aboutTheToken: unknown = 'unsupported_token_type';

/**
 * RFC 6749 §5.2 permits 400 for these. Keycloak answers so to a client secret where it expects a
 * certificate.
 */
const aboutOurCredentials: readonly unknown[] = ['invalid_client', 'unauthorized_client'];

async function plainAnswer(
  server: AuthorizationServer,
  client: { client_id: string },
  response: Response,
): Promise<Record<string, unknown>> {
  // oauth4webapi reads JSON under any name; RFC 7662 §2.2 knows one.
  expectType(response, 'application/json');
  return processIntrospectionResponse(server, client, asJson(response));
}

/** A plain answer where a signed one was asked for is a downgrade. */
async function signedText(response: Response): Promise<string> {
  expectType(response, signedAnswerType);
  return response.text();
}

function expectType(response: Response, type: string): void {
  if (mediaTypeOf(headerOf(response, 'content-type')) !== type) {
    throw new TellableError(`its content type is not ${type}`);
  }
}

interface AnswerDemands {
  readonly issuer: string;
  readonly mustNameType: boolean;
  /** The member with the thumbprint that `cnf` should have. */
  readonly thumbprint: string | undefined;
}

function readAnswer(
  answer: Record<string, unknown>,
  { issuer, mustNameType, thumbprint }: AnswerDemands,
): TokenAnswer {
  if (readOwnMember(answer, 'active') !== true) {
    return 'token_inactive';
  }
  if (Array.isArray(answer.scope)) {
    throw new TellableError('scope is an array, not a string');
  }
  const other = explainOtherKindOfAnswer(answer);
  if (other !== undefined) {
    return other;
  }
  if (mustNameType && claimOf(answer, 'token_type') === undefined) {
    return createTokenRejection('token_wrong_type', typeNotNamed);
  }
  return readTokenClaims(withThumbprint(answer, thumbprint), issuer);
}

const typeNotNamed =
  'the answer names no token_type, so that it may be about a refresh token; set audience, or ' +
  'introspection({ requireTokenType: false })';

/** The message of an error of a library may quote the answer. */
function explainInvalid(error: unknown): string {
  return isTellable(error) || error instanceof JwtRejected ? error.message : describeError(error);
}

function invalidAnswer(endpoint: string, why: string): RequestRefused {
  return new RequestRefused('authorization_server_invalid_answer', {
    detail: `${redactUrl(endpoint)}: ${why}`,
  });
}

/**
 * An error status is never a verdict on the client's token (RFC 7662 §2.3): it is a failure between
 * the authorization server and this API.
 */
function statusTrouble(response: Response, endpoint: string, method: string, error: unknown): RequestRefused {
  const { status } = response;
  const detail = `${redactUrl(endpoint)} answered ${status}`;
  if (status === 401 || status === 403 || aboutOurCredentials.includes(error)) {
    if (looksLikeGatewayPage(response)) {
      return new RequestRefused('authorization_server_failed', {
        detail: `${detail} in HTML, most likely by a firewall or proxy in front of the server`,
        ...readRetryAfter(response.headers.get('retry-after')),
      });
    }
    const hint =
      method === 'client_secret_basic'
        ? '; a server that does not percent-decode them needs clientSecretPost()'
        : '';
    return new RequestRefused('authorization_server_refused_credentials', {
      detail:
        `${detail} to this API's ${method}; check clientId, its credential and its ` +
        `right to introspect${hint}`,
    });
  }
  return serverTrouble(response, redactUrl(endpoint)) ?? invalidAnswer(endpoint, `status ${status}`);
}
