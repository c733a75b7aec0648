import type { FloodRules } from '../authorization-server/flood-guard.js';
import { isJwtSource } from '../authorization-server/jwt.js';
import type { CertificateSource } from '../certificate/client-certificate.js';
import { tlsSocket } from '../certificate/tls-socket.js';
import {
  type CertificatePolicy,
  type CertificatePolicyOptions,
  certificateContentNames,
  certificatePolicyOptions,
  createCertificatePolicy,
} from '../certificate-policy/certificate-policy.js';
import type { Binding } from '../confirmation/binding.js';
import { type Profile, type ProfileName, profileNames, profiles } from '../fapi/fapi-profiles.js';
import { type IssuerSelection, issuerSelection } from '../request/issuer-selection.js';
import type { ErrorBody } from '../response/challenge.js';
import {
  createResourceMetadata,
  type ResourceMetadata,
  type ResourceMetadataOptions,
  resourceMetadataOptions,
} from '../response/resource-metadata.js';
import { MAX_CLOCK_TOLERANCE } from '../shared/clock-difference.js';
import {
  createConflict,
  createMismatch,
  createMissingRequirement,
  described,
  refuseMisspeltVariable,
} from '../shared/option-errors.js';
import {
  nestedGroup,
  nestedRule,
  OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  type SettingsOf,
  seconds,
  variablesOf,
  wholeNumber,
  withCreatedDefault,
  withDefault,
} from '../shared/option-group.js';
import {
  functionLike,
  issuerUrl,
  nonEmptyList,
  type OptionRule,
  oneOf,
  ownVariable,
  quotable,
} from '../shared/option-rules.js';
import { isProduction } from '../shared/production.js';
import { propertyName } from './authorization-property.js';
import {
  type CacheOptions,
  cacheOptions,
  resolveCache,
  resolveSharedCache,
  type SharedCacheOptions,
  sharedCacheOptions,
} from './cache-options.js';
import { type DpopOptions, type DpopSettings, dpopOptions, resolveDpop } from './dpop-options.js';
import { type FloodGuardOptions, floodGuardOptions, resolveFloodGuard } from './flood-guard-options.js';
import {
  type IssuerOptions,
  type IssuerSettings,
  issuerOptions,
  ownOptionsOfIssuer,
  resolveIssuer,
} from './issuer-options.js';
import {
  type RevocationOptions,
  type RevocationRules,
  resolveRevocations,
  revocationOptions,
} from './revocation-options.js';

const certificateSource: OptionRule<CertificateSource> = {
  accepted:
    'a certificate source: tlsSocket(), proxyHeader(preset, { trust }), or a function from the ' +
    'request to its ClientCertificate',
  read: (given) =>
    typeof given === 'function' && given !== tlsSocket ? (given as CertificateSource) : undefined,
};

/** RFC 9110 §8.3.1, for JSON alone (RFC 6839 §3.1). */
const jsonType: OptionRule<string> = {
  accepted:
    'application/json, or application/ with a subtype that ends in +json, with or without ; charset=utf-8',
  read: (given) =>
    typeof given === 'string' &&
    given.length <= 100 &&
    /^application\/(?:json|[a-z\d][\w.-]*\+json)(?:; ?charset=utf-8)?$/i.test(given)
      ? given
      : undefined,
};

const explanations: OptionRule<boolean | 'always'> = {
  accepted: "true, false or 'always'",
  read: (given) => {
    const accepted = [true, false, 'always'] as const;
    return accepted.find((value) => value === given || String(value) === given);
  },
};

export const resourceServerOptions = optionGroup({
  /**
   * Several authorization servers instead of `issuer`. Each names its own `issuer`, `clientId` and
   * credential, which are never read from the environment. `audience`, `tokens`, `http`,
   * `circuitBreaker` and `authorizationServerMetadataMaxAge` next to the list apply to each issuer
   * that does not set its own. Default: the one of `issuer`.
   */
  issuers: optional(
    {
      ...nestedRule<never, readonly IssuerOptions[] | undefined>(issuerOptions),
      accepted: nonEmptyList.accepted,
    },
    { defaultInWords: 'the one of `issuer`' },
  ),
  /**
   * Selects the issuer in `issuers` that is asked about the token of a request: `issuerByHeader()`,
   * `issuerByHost()`, `issuerByPath()`, a function, or `in-order` to ask one after the other. A JWT
   * goes only to the issuer in its `iss`. It is refused if the selector returns another issuer or
   * none. Default: tokens that name no issuer are refused.
   */
  selectIssuer: optional<IssuerSelection, IssuerSelection | undefined>(issuerSelection, {
    defaultInWords: 'tokens that name no issuer are refused',
  }),
  /**
   * Whether a token must be bound to the certificate or the key: `required`, or, for a migration, `report` or
   * `when-bound`. Default `required`. Environment: `MTLS_BOUND_BINDING`.
   */
  binding: withDefault<Binding, Binding>(oneOf('required', 'when-bound', 'report'), 'required', {
    environment: 'MTLS_BOUND_BINDING',
  }),
  /**
   * Enforces what the profile requires of a resource server, and refuses options that contradict
   * it: `fapi1-advanced` or `fapi2-security`. Default: none. Environment: `MTLS_BOUND_PROFILE`.
   */
  profile: optional<ProfileName, ProfileName>(oneOf(...profileNames), { environment: 'MTLS_BOUND_PROFILE' }),
  /**
   * Whether a request must carry an access token. `optional` accepts requests without one, for routes
   * that are open to everyone: without an `Authorization` header, and also with one of another scheme
   * than Bearer, such as Basic. The scheme DPoP is another one unless `dpop` is set. Default
   * `required`.
   */
  credentials: withDefault(oneOf('required', 'optional'), 'required'),
  /**
   * The metadata of this API at its well-known URL, to which challenges point (RFC 9728). Default:
   * nothing.
   */
  resourceMetadata: optional(nestedRule<never, ResourceMetadataOptions>(resourceMetadataOptions), {
    defaultInWords: 'nothing',
  }),
  /**
   * Accepts access tokens that are bound to a key of the client, too (DPoP, RFC 9449). A token that
   * is bound to both needs both. Refused with the profile `fapi1-advanced`. Default: they are
   * refused.
   */
  dpop: optional(nestedRule<never, DpopOptions>(dpopOptions), { defaultInWords: 'they are refused' }),
  /**
   * Where the client certificate comes from: `tlsSocket()`, `proxyHeader()` behind a proxy that
   * ends TLS, or a function from the request to a `ClientCertificate` or `undefined`. Default
   * `tlsSocket()`.
   */
  certificate: withCreatedDefault(certificateSource, 'tlsSocket()', tlsSocket),
  /**
   * What a client certificate must be in addition to being bound to the token. Default: nothing.
   */
  certificatePolicy: optional(nestedRule<never, CertificatePolicyOptions>(certificatePolicyOptions), {
    defaultInWords: 'nothing',
  }),
  /**
   * Number of clients of each issuer whose certificates `clientCertificates()` of the resource server lists.
   * Beyond it, the client that was seen least recently is removed. `0` disables the list, its metrics
   * and the events before a certificate expires. Default 10,000; from 0 to 1,000,000.
   */
  maxListedClients: wholeNumber({ min: 0, max: 1_000_000, default: 10_000 }),
  /**
   * Seconds by which the clocks of your API and of the authorization server may differ, for `exp`,
   * `nbf` and `iat`. Default 30; from 0 to 300, with a `profile` from 10 to 60 (FAPI 2.0 §5.3.2.1).
   */
  clockTolerance: seconds({
    min: 0,
    max: MAX_CLOCK_TOLERANCE,
    default: 30,
    limitsNote: ', with a `profile` from 10 to 60 (FAPI 2.0 §5.3.2.1)',
  }),
  /** How long answers of the authorization server are used, and how many are kept. Default `{}`. */
  cache: nestedGroup<typeof cacheOptions, CacheOptions>(cacheOptions),
  /**
   * A second tier of the cache, shared by the processes of a fleet, for answers of `introspection()`.
   * Refused if each issuer has `jwtAccessTokens()`. Default: none.
   */
  sharedCache: optional(
    nestedRule<SettingsOf<typeof sharedCacheOptions>, SharedCacheOptions>(sharedCacheOptions),
  ),
  /**
   * How a revocation reaches every process, and for how long the processes remember it. Default
   * `{}`.
   */
  revocations: nestedGroup<typeof revocationOptions, RevocationOptions>(revocationOptions),
  /**
   * How many unknown tokens that are rejected one client may send. A JWT whose verification
   * fails counts, too, though no server is asked about it. `false` disables the limit. Default: `{}`.
   */
  floodGuard: optional(nestedRule<never, FloodGuardOptions | false>(floodGuardOptions), {
    defaultInWords: '`{}`',
  }),
  /**
   * The protection space that challenges name (RFC 9110 §11.5). Default `api`. Environment:
   * `MTLS_BOUND_REALM`.
   */
  realm: withDefault(quotable, 'api', { environment: 'MTLS_BOUND_REALM' }),
  /**
   * Explains each refusal to the client: the thumbprints, the expected issuer and audience, the
   * address of the authorization server and its errors, and a hint. It never shows an error of your
   * own functions. For development: `true` is refused if `NODE_ENV` is `production`; `always` is
   * accepted there too. Default `false`. Environment: `MTLS_BOUND_EXPLAIN`.
   */
  explain: withDefault<boolean | 'always', boolean | 'always'>(explanations, false, {
    environment: 'MTLS_BOUND_EXPLAIN',
  }),
  /**
   * A function that returns the JSON body of a refusal. It gets `{ status, code, body }` and the
   * request of Node. Default: `{ error, error_description }`.
   */
  errorBody: optional(functionLike<ErrorBody>('a function'), {
    defaultInWords: '`{ error, error_description }`',
  }),
  /**
   * `Content-Type` of the body of refusals, for example `application/problem+json` (RFC 9457 §3).
   * Refused with `onRefused: 'next'`. Default `application/json; charset=utf-8`.
   */
  errorContentType: withDefault(jsonType, 'application/json; charset=utf-8'),
  /**
   * What happens with a request that is refused. `answer`: the middleware answers it. `next`: the
   * error handling of Express or Koa answers it, and gets an `HttpRefusal` by `next(error)` or as a
   * thrown error. `revocationEndpoint()` and `sharedSignals()` always answer by themselves, as their
   * standards require. Default `answer`.
   */
  onRefused: withDefault(oneOf('answer', 'next'), 'answer'),
  /**
   * Name of the property of `req` (Express) or `ctx.state` (Koa) that has the `Authorization`, for
   * applications where another package uses `auth`. In TypeScript, declare it in `MtlsBoundTypes`
   * too. Default `auth`.
   */
  property: withDefault(propertyName, 'auth'),
});

/**
 * Options of `mtlsBound()` and `createResourceServer()`. An option that is not given is read from
 * the environment.
 */
export interface ResourceServerOptions extends IssuerOptions, OptionsOf<typeof resourceServerOptions> {}

const allOptions = optionGroup({ ...issuerOptions, ...resourceServerOptions });

type ResourceServerReader = OptionReader<typeof allOptions>;

/** Options checked, completed and frozen. */
export interface Settings {
  /** One or more, no two of the same name. */
  readonly issuers: readonly IssuerSettings[];
  readonly selectIssuer: IssuerSelection | undefined;
  readonly binding: Binding;
  readonly profile: Profile | undefined;
  readonly credentials: 'required' | 'optional';
  readonly resourceMetadata: ResourceMetadata | undefined;
  readonly dpop: DpopSettings | undefined;
  readonly certificate: CertificateSource;
  readonly certificatePolicy: CertificatePolicy | undefined;
  readonly maxListedClients: number;
  readonly clockTolerance: number;
  readonly cache: SettingsOf<typeof cacheOptions>;
  readonly sharedCache: SettingsOf<typeof sharedCacheOptions> | undefined;
  readonly revocations: RevocationRules;
  readonly floodGuard: FloodRules | undefined;
  readonly realm: string;
  readonly explain: boolean;
  readonly errorBody: ErrorBody | undefined;
  readonly errorContentType: string;
  /** Whether the error handling of the framework gets each refusal: `onRefused: 'next'`. */
  readonly raisesRefusals: boolean;
  readonly property: string;
  /** The environment, not the code, leaves the audience to the authorization server. */
  readonly isAudienceUncheckedByEnvironment: boolean;
}

/**
 * Checks the options, completes them from the environment and the defaults, and freezes them.
 * Throws `ConfigurationError`, which names the option, what was expected and what it got.
 */
export function resolveSettings(options: unknown, environment: NodeJS.ProcessEnv): Settings {
  const given = new OptionReader('options', options, allOptions, environment);
  refuseMisspeltVariable(environment, variablesOf(allOptions));
  const certificate = given.get('certificate');
  const issuers = resolveIssuers(given);
  const binding = given.get('binding');
  const profileName = given.get('profile');
  const cache = resolveCache(given.nested('cache'));
  const metadata = given.isUnwritten('resourceMetadata')
    ? undefined
    : (given.nested('resourceMetadata').settings() as SettingsOf<typeof resourceMetadataOptions>);
  const dpop = given.isUnwritten('dpop')
    ? undefined
    : resolveDpop(given.nested('dpop'), metadata?.resource, profileName && profiles[profileName].algorithms);
  const settings = Object.freeze({
    issuers,
    selectIssuer: resolveSelection(given, issuers),
    binding,
    profile: profileName && profiles[profileName],
    credentials: given.get('credentials'),
    resourceMetadata:
      metadata &&
      createResourceMetadata(
        metadata,
        issuers.map(({ issuer }) => issuer),
        binding === 'required',
        dpop?.algorithms,
      ),
    dpop,
    certificate,
    certificatePolicy: resolveCertificatePolicy(given, certificate),
    maxListedClients: given.get('maxListedClients'),
    clockTolerance: given.get('clockTolerance'),
    cache,
    sharedCache: given.isUnwritten('sharedCache')
      ? undefined
      : resolveSharedCache(given.nested('sharedCache'), !issuers.every(({ tokens }) => isJwtSource(tokens))),
    revocations: resolveRevocations(given.nested('revocations'), cache, !given.isUnwritten('sharedCache')),
    floodGuard: given.isExactly('floodGuard', false)
      ? undefined
      : resolveFloodGuard(given.nested('floodGuard'), certificate),
    realm: given.get('realm'),
    explain: resolveExplain(given, environment),
    errorBody: given.get('errorBody'),
    errorContentType: given.get('errorContentType'),
    raisesRefusals: readRaisesRefusals(given),
    property: given.get('property'),
    isAudienceUncheckedByEnvironment:
      given.isUnwritten('audience') &&
      ownVariable(environment, 'MTLS_BOUND_AUDIENCE') === 'server-enforced' &&
      issuers.some(({ audience }) => audience === 'server-enforced'),
  });
  if (profileName !== undefined) {
    refuseContradictions(profileName, settings);
  }
  return settings;
}

function readRaisesRefusals(given: ResourceServerReader): boolean {
  const raisesRefusals = given.get('onRefused') === 'next';
  if (raisesRefusals && !given.isUnwritten('errorContentType')) {
    throw createConflict('errorContentType', "onRefused: 'next', with which the application writes the body");
  }
  return raisesRefusals;
}

/** What helps a developer helps an attacker too: it must not be left on by oversight. */
function resolveExplain(given: ResourceServerReader, environment: NodeJS.ProcessEnv): boolean {
  const explain = given.get('explain');
  if (isProduction(environment) && explain === true) {
    throw createMismatch('explain', "false in production, or 'always' if you mean it", 'true');
  }
  return explain !== false;
}

/** An option can't switch off what a profile demands. */
function refuseContradictions(
  name: ProfileName,
  { binding, dpop, clockTolerance, cache, issuers }: Settings,
): void {
  const { least, most } = profiles[name].clockTolerance;
  const contradictions: [string, boolean, unknown, string][] = [
    ['binding', binding !== 'required', binding, "'required'"],
    ['dpop', name === 'fapi1-advanced' && dpop !== undefined, {}, 'nothing: certificates alone'],
    [
      'clockTolerance',
      clockTolerance < least || clockTolerance > most,
      clockTolerance,
      `${least} to ${most} seconds`,
    ],
    [
      'cache.staleIfError',
      cache.staleIfError > 0,
      cache.staleIfError,
      '0: no answer is used beyond its time',
    ],
    [
      'audience',
      issuers.some(({ audience }) => audience === 'server-enforced'),
      'server-enforced',
      'the identifier of this API',
    ],
  ];
  const found = contradictions.find(([, isContradiction]) => isContradiction);
  if (found !== undefined) {
    const [option, , value, accepted] = found;
    throw createMismatch(option, `${accepted} next to profile: '${name}'`, JSON.stringify(value));
  }
}

function resolveIssuers(given: ResourceServerReader): readonly IssuerSettings[] {
  if (given.isUnwritten('issuers')) {
    return Object.freeze([resolveIssuer(given as never)]);
  }
  const misplaced = ownOptionsOfIssuer.find((name) => !given.isUnwritten(name));
  if (misplaced !== undefined) {
    throw createConflict(misplaced, 'issuers');
  }
  const issuers = given
    .list('issuers', given as never, ownOptionsOfIssuer)
    .map((one) => resolveIssuer(one as never));
  const names = issuers.map(({ issuer }) => issuer);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) {
    throw createMismatch('issuers', 'each issuer once', `${repeated} twice`);
  }
  const isDiscovered = issuers.some(
    ({ authorizationServerMetadata }) => authorizationServerMetadata === undefined,
  );
  if (!isDiscovered && !given.isUnwritten('authorizationServerMetadataMaxAge')) {
    throw createConflict(
      'authorizationServerMetadataMaxAge',
      'authorizationServerMetadata of each issuer, which are not read again',
    );
  }
  return Object.freeze(issuers);
}

function resolveSelection(
  given: ResourceServerReader,
  issuers: readonly IssuerSettings[],
): IssuerSelection | undefined {
  const selection = given.get('selectIssuer');
  if (selection !== undefined && given.isUnwritten('issuers')) {
    throw createMissingRequirement('selectIssuer', 'issuers, which it selects from');
  }
  const named = typeof selection === 'function' ? (selection.issuers ?? []) : [];
  const unknown = named.find((name) => !issuers.some(({ issuer }) => issuer === name));
  if (unknown !== undefined) {
    throw createMismatch('selectIssuer', 'one of issuers', issuerUrl.read(unknown) ?? described(unknown));
  }
  return selection;
}

function resolveCertificatePolicy(
  given: ResourceServerReader,
  certificate: CertificateSource,
): CertificatePolicy | undefined {
  const policy = given.nested('certificatePolicy');
  const demands = Object.keys(certificatePolicyOptions).filter(
    (name) => name !== 'refusalStatus',
  ) as (keyof CertificatePolicyOptions)[];
  if (!given.isUnwritten('certificatePolicy') && demands.every((name) => policy.isUnwritten(name))) {
    throw createMismatch(
      'certificatePolicy',
      `a policy with ${demands.join(' or ')}`,
      'one that demands nothing',
    );
  }
  if (
    policy.get('requireVerified') &&
    certificate.knowsVerified === false &&
    policy.isUnwritten('authorities')
  ) {
    throw createMismatch(
      'certificatePolicy.requireVerified',
      "true next to a preset whose option verifyHeader names the proxy's header of the verdict",
      'true next to one without',
    );
  }
  const needsContent = certificateContentNames.find((name) =>
    name === 'requireValidNow' ? policy.get(name) === true : !policy.isUnwritten(name),
  );
  if (certificate.thumbprintOnly === true && needsContent !== undefined) {
    throw createMismatch(
      policy.pathOf(needsContent),
      'a preset that hands on the whole certificate next to it',
      'one that hands on its hash alone',
    );
  }
  const clockTolerance = given.get('clockTolerance');
  return createCertificatePolicy(policy, () => clockTolerance);
}
