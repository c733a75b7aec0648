import type { FloodRules } from '../authorization-server/flood-guard.js';
import type { SharedCacheRules } from '../cache/shared-cache.js';
import type { TokenCacheRules } from '../cache/token-cache.js';
import {
  type CertificatePolicy,
  type CertificatePolicyOptions,
  certificateContentNames,
  certificatePolicy,
  certificatePolicyNames,
} from '../certificate/certificate-policy.js';
import type { CertificateSource } from '../certificate/client-certificate.js';
import { tlsSocket } from '../certificate/tls-socket.js';
import { ConfigurationError } from '../errors.js';
import type { Binding } from '../policy/binding.js';
import { type Profile, type ProfileName, profileNames, profiles } from '../policy/fapi-profiles.js';
import { type IssuerSelection, issuerSelection } from '../request/issuer-selection.js';
import type { ErrorBody } from '../response/challenge.js';
import {
  type ResourceMetadata,
  type ResourceMetadataOptions,
  resourceMetadata,
} from '../response/resource-metadata.js';
import {
  described,
  flag,
  functionLike,
  issuerUrl,
  OptionReader,
  type OptionRule,
  oneOf,
  ownVariable,
  quotable,
  seconds,
} from '../shared/option-rules.js';
import { propertyName } from './authorization-property.js';
import {
  type CacheOptions,
  type FloodGuardOptions,
  type RevocationOptions,
  type RevocationRules,
  resolveCache,
  resolveFloodGuard,
  resolveRevocations,
  resolveSharedCache,
  type SharedCacheOptions,
} from './cache-options.js';
import {
  type IssuerOptions,
  type IssuerSettings,
  issuerOptionNames,
  resolveIssuer,
} from './issuer-options.js';

/** Options of `mtlsBound()` and `createResourceServer()`. What is not given is read from the environment. */
export interface ResourceServerOptions extends IssuerOptions {
  /**
   * Several authorization servers instead of `issuer`. Each names its own `issuer`, `clientId` and credential, which
   * are never read from the environment; what is given beside the list (`audience`, `tokens`, `http`,
   * `circuitBreaker`, `authorizationServerMetadataMaxAge`)
   * holds for each that does not say otherwise. Default: the one of `issuer`.
   */
  readonly issuers?: readonly IssuerOptions[] | undefined;
  /**
   * Which of `issuers` a request's token is meant for: `issuerByHeader()`, `issuerByHost()`, `issuerByPath()`, a function, or
   * `in-order` to ask one after the other. A JWT goes to its `iss` alone; it is refused where a selector names another issuer
   * or none. Default: tokens that name no issuer are refused.
   */
  readonly selectIssuer?: IssuerSelection | undefined;
  /**
   * Whether a token must be bound to the certificate: `required`, or, for a migration, `report` or `when-bound`.
   * Default `required`. Environment: `MTLS_BOUND_BINDING`.
   */
  readonly binding?: Binding;
  /**
   * Demands what the profile demands of a resource server, and refuses options that contradict it: `fapi1-advanced` or
   * `fapi2-security`. Default: none. Environment: `MTLS_BOUND_PROFILE`.
   */
  readonly profile?: ProfileName;
  /**
   * Whether a request must carry an access token. `optional` accepts requests without an `Authorization` header, for routes that
   * are open to everyone. Default `required`.
   */
  readonly credentials?: 'required' | 'optional';
  /**
   * What this resource says of itself at its well-known URL, to which challenges point (RFC 9728). Default: nothing.
   */
  readonly resourceMetadata?: ResourceMetadataOptions;
  /**
   * Where the client certificate comes from: `tlsSocket()`, `proxyHeader()` behind a proxy that ends TLS, or a function
   * from the request to a `ClientCertificate` or `undefined`. Default `tlsSocket()`.
   */
  readonly certificate?: CertificateSource;
  /** What a client certificate must be beside bound to the token. Default: nothing. */
  readonly certificatePolicy?: CertificatePolicyOptions;
  /**
   * Seconds by which our clock and the authorization server's may differ, for `exp`, `nbf` and `iat`. Default 30; from
   * 0 to 300, with a `profile` from 10 to 60 (FAPI 2.0 §5.3.2.1).
   */
  readonly clockTolerance?: number;
  /** How long answers of the authorization server serve, and how many are kept. Default `{}`. */
  readonly cache?: CacheOptions;
  /** A second tier of the cache, shared by the processes of a fleet. Default: none. */
  readonly sharedCache?: SharedCacheOptions;
  /** What `revoke()` needs to be heard in every process, and for how long it counts. Default `{}`. */
  readonly revocations?: RevocationOptions;
  /**
   * How many tokens that turn out inactive one client may have the authorization server asked about; `false` for any number. Default
   * `{}`.
   */
  readonly floodGuard?: FloodGuardOptions | false;
  /** Told in challenges (RFC 9110 §11.5). Default `api`. Environment: `MTLS_BOUND_REALM`. */
  readonly realm?: string;
  /**
   * Tells the client why it is refused: the thumbprints, the expected issuer and audience, the authorization server's address and
   * trouble, and a hint; never what a function of yours threw. For development: true is refused if `NODE_ENV` is
   * `production`; `always` is accepted there too. Default `false`. Environment: `MTLS_BOUND_EXPLAIN`.
   */
  readonly explain?: boolean | 'always';
  /**
   * Shapes the JSON body of refusals: gets `{ status, code, body }` and the request of Node. Default: `{ error, error_description }`.
   */
  readonly errorBody?: ErrorBody;
  /**
   * `Content-Type` of the body of refusals: `application/problem+json` (RFC 9457 §3), say. Refused with `onRefused: 'next'`. Default
   * `application/json; charset=utf-8`.
   */
  readonly errorContentType?: string;
  /**
   * Who answers a request that is refused: `answer`, the middleware itself; `next`, the error handling of Express or Koa, which gets
   * an `HttpRefusal` by `next(error)` or thrown. Default `answer`.
   */
  readonly onRefused?: 'answer' | 'next';
  /**
   * Name of the property of `req` (Express) or `ctx.state` (Koa) that has the `Authorization`, for applications where another package
   * uses `auth`. In TypeScript, declare it in `MtlsBoundTypes` too. Default `auth`.
   */
  readonly property?: string;
}

/** Options checked, completed and frozen. */
export interface Settings {
  /** One or more, no two of the same name. */
  readonly issuers: readonly IssuerSettings[];
  readonly selectIssuer: IssuerSelection | undefined;
  readonly binding: Binding;
  readonly profile: Profile | undefined;
  readonly credentials: 'required' | 'optional';
  readonly resourceMetadata: ResourceMetadata | undefined;
  readonly certificate: CertificateSource;
  readonly certificatePolicy: CertificatePolicy | undefined;
  readonly clockTolerance: number;
  readonly cache: TokenCacheRules;
  readonly sharedCache: SharedCacheRules | undefined;
  readonly revocations: RevocationRules;
  readonly floodGuard: FloodRules | undefined;
  readonly realm: string;
  readonly explain: boolean;
  readonly errorBody: ErrorBody | undefined;
  readonly errorContentType: string;
  readonly onRefused: 'answer' | 'next';
  readonly property: string;
  /** The environment, not the code, leaves the audience to the authorization server. */
  readonly isAudienceUncheckedByEnvironment: boolean;
}

const optionNames = [
  ...issuerOptionNames,
  'issuers',
  'selectIssuer',
  'binding',
  'profile',
  'credentials',
  'resourceMetadata',
  'certificate',
  'certificatePolicy',
  'clockTolerance',
  'cache',
  'sharedCache',
  'revocations',
  'floodGuard',
  'realm',
  'explain',
  'errorBody',
  'errorContentType',
  'onRefused',
  'property',
] as const satisfies (keyof ResourceServerOptions)[];

const certificateSource: OptionRule<CertificateSource> = {
  accepted:
    'a certificate source: tlsSocket(), proxyHeader(preset, { trust }), or a function from the request to its ClientCertificate',
  read: (given) =>
    typeof given === 'function' && given !== tlsSocket ? (given as CertificateSource) : undefined,
};

/**
 * Checks the options, completes them from the environment and the defaults, and freezes them. Throws
 * `ConfigurationError`, which names the option, what was given and what is accepted.
 */
export function resolveSettings(options: unknown, environment: NodeJS.ProcessEnv): Settings {
  const given = new OptionReader('options', options, optionNames, environment);
  const certificate = given.optional('certificate', certificateSource) ?? tlsSocket();
  const issuers = resolveIssuers(given);
  const binding =
    given.optional('binding', oneOf('required', 'when-bound', 'report'), 'MTLS_BOUND_BINDING') ?? 'required';
  const profileName = given.optional('profile', oneOf(...profileNames), 'MTLS_BOUND_PROFILE');
  const settings = Object.freeze({
    issuers,
    selectIssuer: resolveSelection(given, issuers),
    binding,
    profile: profileName && profiles[profileName],
    credentials: given.optional('credentials', oneOf('required', 'optional')) ?? 'required',
    resourceMetadata: given.isMissing('resourceMetadata')
      ? undefined
      : given.read('resourceMetadata', (path, options) =>
          resourceMetadata(
            path,
            options,
            issuers.map(({ issuer }) => issuer),
            binding === 'required',
          ),
        ),
    certificate,
    certificatePolicy: resolveCertificatePolicy(given, certificate),
    clockTolerance: given.optional('clockTolerance', seconds(0, 300)) ?? 30,
    cache: resolveCache(given),
    sharedCache: resolveSharedCache(given),
    revocations: resolveRevocations(given),
    floodGuard: resolveFloodGuard(given, certificate),
    realm: given.optional('realm', quotable, 'MTLS_BOUND_REALM') ?? 'api',
    explain: resolveExplain(given, environment),
    errorBody: given.optional('errorBody', functionLike<ErrorBody>('a function')),
    errorContentType: given.optional('errorContentType', jsonType) ?? 'application/json; charset=utf-8',
    onRefused: resolveOnRefused(given),
    property: given.optional('property', propertyName) ?? 'auth',
    isAudienceUncheckedByEnvironment:
      given.isMissing('audience') &&
      ownVariable(environment, 'MTLS_BOUND_AUDIENCE') === 'server-enforced' &&
      issuers.some(({ audience }) => audience === 'server-enforced'),
  });
  if (profileName !== undefined) {
    refuseContradictions(profileName, settings);
  }
  return settings;
}

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

function resolveOnRefused(given: OptionReader): 'answer' | 'next' {
  const onRefused = given.optional('onRefused', oneOf('answer', 'next')) ?? 'answer';
  if (onRefused === 'next' && !given.isMissing('errorContentType')) {
    throw new ConfigurationError(
      'errorContentType',
      "it was given with onRefused: 'next'; accepted is one of the two, for the application then writes the body",
    );
  }
  return onRefused;
}

const explanations: OptionRule<boolean | 'always'> = {
  accepted: "true, false or 'always'",
  read: (given) => {
    const accepted = [true, false, 'always'] as const;
    return accepted.find((value) => value === given || String(value) === given);
  },
};

/** What helps a developer helps an attacker too: it must not be left on by oversight. */
function resolveExplain(given: OptionReader, { NODE_ENV }: NodeJS.ProcessEnv): boolean {
  const explain = given.optional('explain', explanations, 'MTLS_BOUND_EXPLAIN') ?? false;
  if (explain === true && NODE_ENV === 'production') {
    throw new ConfigurationError(
      'explain',
      "true was given while NODE_ENV is production; accepted is false, or 'always' if you mean it",
    );
  }
  return explain !== false;
}

/** What a profile demands can't be switched off beside it. */
function refuseContradictions(
  name: ProfileName,
  { binding, clockTolerance, cache, issuers }: Settings,
): void {
  const { least, most } = profiles[name].clockTolerance;
  const contradictions: [string, boolean, unknown, string][] = [
    ['binding', binding !== 'required', binding, "'required'"],
    [
      'clockTolerance',
      clockTolerance < least || clockTolerance > most,
      clockTolerance,
      `${least} to ${most} seconds`,
    ],
    ['cache.staleIfError', cache.staleIfError > 0, cache.staleIfError, '0: no answer serves beyond its time'],
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
    throw new ConfigurationError(
      option,
      `${JSON.stringify(value)} was given beside profile: '${name}'; accepted is ${accepted}`,
    );
  }
}

/** Nothing of one server may reach another by oversight: its name and our credential belong in the list. */
const ofOneIssuer = [
  'issuer',
  'authorizationServerMetadata',
  'clientId',
  'clientSecret',
  'clientAuthentication',
] as const;

function resolveIssuers(given: OptionReader): readonly IssuerSettings[] {
  if (given.isMissing('issuers')) {
    return Object.freeze([resolveIssuer(given)]);
  }
  const misplaced = ofOneIssuer.find((name) => !given.isMissing(name));
  if (misplaced !== undefined) {
    throw new ConfigurationError(misplaced, 'issuers was given too; accepted is one of the two');
  }
  const issuers = given.list('issuers', issuerOptionNames).map((one) => resolveIssuer(one, given));
  const names = issuers.map(({ issuer }) => issuer);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) {
    throw new ConfigurationError('issuers', `${repeated} was given twice; accepted is each issuer once`);
  }
  return Object.freeze(issuers);
}

function resolveSelection(
  given: OptionReader,
  issuers: readonly IssuerSettings[],
): IssuerSelection | undefined {
  const selection = given.optional('selectIssuer', issuerSelection);
  if (selection !== undefined && given.isMissing('issuers')) {
    throw new ConfigurationError('selectIssuer', 'it was given without issuers, which it selects from');
  }
  const named = typeof selection === 'function' ? (selection.issuers ?? []) : [];
  const unknown = named.find((name) => !issuers.some(({ issuer }) => issuer === name));
  if (unknown !== undefined) {
    throw new ConfigurationError(
      'selectIssuer',
      `${issuerUrl.read(unknown) ?? described(unknown)} was given; accepted are those of issuers`,
    );
  }
  return selection;
}

function resolveCertificatePolicy(
  given: OptionReader,
  certificate: CertificateSource,
): CertificatePolicy | undefined {
  const policy = given.group('certificatePolicy', certificatePolicyNames);
  const demands = certificatePolicyNames.filter((name) => name !== 'status');
  if (!given.isMissing('certificatePolicy') && demands.every((name) => policy.isMissing(name))) {
    throw new ConfigurationError(
      'certificatePolicy',
      `a policy that demands nothing was given; accepted is one with ${demands.join(' or ')}`,
    );
  }
  if (policy.optional('requireVerified', flag) && certificate.knowsVerified === false) {
    throw new ConfigurationError(
      'certificatePolicy.requireVerified',
      'true was given, but no header of a verdict is named; accepted is true where the proxy sets one, and the ' +
        "preset's option verifyHeader names it",
    );
  }
  const needsContent = certificateContentNames.find((name) =>
    name === 'requireValidNow' ? policy.optional(name, flag) === true : !policy.isMissing(name),
  );
  if (certificate.thumbprintOnly === true && needsContent !== undefined) {
    throw new ConfigurationError(
      policy.pathOf(needsContent),
      "it was given, but the proxy hands on the certificate's hash alone; accepted is a preset that hands on the " +
        'whole certificate',
    );
  }
  return certificatePolicy(policy);
}
