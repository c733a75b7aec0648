export {
  type Adapter,
  type BoundResourceServer,
  createAdapter,
  createAsyncHandler,
  type MiddlewareTypes,
} from './adapter/adapter.js';
export type { Framework } from './adapter/adapter-steps.js';
export { createHeaderKeeper, disconnectOnFailure, keepHeader } from './adapter/error-handlers.js';
export { addVary, expressFrameworkBase } from './adapter/express-framework-base.js';
export { refusingResourceServer, refusingResourceServerNext } from './adapter/refusing-resource-server.js';
export { resourceMetadataOf } from './adapter/resource-metadata-of.js';
export type { Authorization, WithCertificate, WithClaims } from './authorization.js';
export type { IntrospectionClaimNames, JwtClaimNames } from './authorization-server/claim-names.js';
export {
  bearerTokenAuthentication,
  type ClientAuthentication,
  type ClientSecret,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  privateKeyJwt,
  selfSignedTlsClientAuth,
  tlsClientAuth,
} from './authorization-server/client-authentication.js';
export type { Http, OutgoingRequest } from './authorization-server/http.js';
export {
  type IntrospectionOptions,
  introspection,
} from './authorization-server/introspection.js';
export {
  type JwtAccessTokensOptions,
  jwtAccessTokens,
} from './authorization-server/jwt.js';
export type { ReadServerMetadata } from './authorization-server/metadata.js';
export type { DecryptionKey } from './authorization-server/nested-jwt.js';
export type {
  CertificateAndKey,
  ReadCertificateAndKey,
  TlsClientAuthOptions,
} from './authorization-server/own-certificate.js';
export type { AgentFactory, ConnectionOptions } from './authorization-server/pool.js';
export type { PrivateKeyOptions } from './authorization-server/private-key.js';
export type { RequesterFacts } from './authorization-server/requester.js';
export type { SignedAnswers } from './authorization-server/signed-introspection.js';
export type { SharedLock, SharedStore } from './cache/shared-cache.js';
export {
  type CertificateFacts,
  type CertificateSource,
  ClientCertificate,
  thumbprintOf,
} from './certificate/client-certificate.js';
export type { CertificateDecoder, DecodedCertificate } from './certificate/encodings.js';
export { type LambdaEventOptions, lambdaEvent } from './certificate/lambda-event.js';
export { type Psd2Role, psd2Roles } from './certificate/psd2.js';
export { tlsSocket } from './certificate/tls-socket.js';
export type { AlternativeNames, CertificatePolicyOptions } from './certificate-policy/certificate-policy.js';
export type { Binding } from './confirmation/binding.js';
export type { ProofStore } from './dpop/proof-recorder.js';
export {
  ConfigurationError,
  MtlsBoundError,
  type RefusalCode,
  type RefusalDetails,
  RequestRefused,
  TransmitterError,
  type TransmitterErrorCode,
} from './errors.js';
export type { CipherListName, ProfileName } from './fapi/fapi-profiles.js';
export { type FapiTlsOptions, fapiTlsOptions } from './fapi/fapi-tls-options.js';
export type { SignatureAlgorithm } from './jose/signature-algorithms.js';
export type { CertificateExpiryEvent, ClientCertificateUse } from './observe/certificate-expiry.js';
export {
  type ClientRow,
  type ObserveClientsOptions,
  type ObservedClients,
  observeClients,
} from './observe/clients.js';
export type {
  AdmittedEvent,
  BreakerEvent,
  CacheEvent,
  CertificateEvent,
  Explanation,
  IntrospectionEvent,
  ProblemEvent,
  RefusedEvent,
  SignalEvent,
} from './observe/events.js';
export { type Logger, observeByLog, redactedPaths } from './observe/log.js';
export {
  observeByPrometheus,
  type PrometheusClient,
  type PrometheusRegistry,
} from './observe/prometheus.js';
export {
  type RevocationEvent,
  type RevocationSyncEvent,
  type RevocationSyncState,
  revocationSyncStates,
} from './observe/revocation-sync.js';
export { type Observer, observeEvents } from './observe/subscription.js';
export type { CacheOptions, SharedCacheOptions } from './options/cache-options.js';
export type { DpopNonceOptions, DpopOptions } from './options/dpop-options.js';
export type { FloodGuardOptions } from './options/flood-guard-options.js';
export type { CircuitBreakerOptions, HttpOptions, IssuerOptions } from './options/issuer-options.js';
export type { ResourceServerOptions } from './options/resource-server-options.js';
export type { RevocationOptions } from './options/revocation-options.js';
export {
  type AuthenticationRequirement,
  authenticationPolicy,
  type WithAuthentication,
} from './policy/authentication.js';
export {
  type AuthorizationDetailRequirement,
  authorizationDetailsPolicy,
} from './policy/authorization-details.js';
export {
  type ClaimRequirement,
  type ClaimRequirements,
  claimsPolicy,
  type WithRequiredClaims,
} from './policy/claim-values.js';
export type { GuardedCall, HandlerType } from './policy/guarded-call.js';
export type { GuardOf, Guards, GuardType } from './policy/guards.js';
export { refuseUncalledMiddleware } from './policy/middleware-not-called.js';
export {
  certificateSubjectPolicy,
  psd2RolePolicy,
  routeCertificatePolicy,
  type SubjectRequirement,
} from './policy/route-certificate.js';
export { activeTokenPolicy, type PolicyContext, type RoutePolicy } from './policy/route-policy.js';
export { anyScopePolicy, scopesPolicy } from './policy/scopes.js';
export {
  type RedisClient,
  type RedisLogClient,
  type RedisLogCommands,
  type RedisLogConnection,
  type RedisLogOptions,
  type RedisSubscriber,
  type RedisTrim,
  redisChannel,
  redisLock,
  redisLog,
  redisProofs,
} from './redis/redis.js';
export {
  type FapiHeaders,
  type FapiHeadersOptions,
  type FapiHeadersResult,
  fapiHeaderReader,
} from './request/fapi-headers.js';
export {
  type IssuerSelection,
  type IssuerSelector,
  issuerByHeader,
  issuerByHost,
  issuerByPath,
} from './request/issuer-selection.js';
export type { NodeRequest } from './request/node-request.js';
export { createResourceServer, type ResourceServer } from './resource-server.js';
export type { ErrorBody, RefusalBody, RefusalSummary } from './response/challenge.js';
export type { HttpAnswer } from './response/http-answer.js';
export { HttpRefusal } from './response/http-refusal.js';
export { refusalOf } from './response/refusal-record.js';
export type { ResourceMetadataOptions } from './response/resource-metadata.js';
export type { RevocationChannel, RevocationChannelListener } from './revocation/revocation-channel.js';
export type { RevocationLog, RevocationLogPage, RevocationLogQuery } from './revocation/revocation-log.js';
export type { Revocation } from './revocation/revocations.js';
export { interactionHeader } from './shared/interaction-id.js';
export type {
  SharedSignalsOptions,
  SignalPollOptions,
  SignalStreamOptions,
} from './signals/signal-options.js';
export { createSignalReceiver, type SignalReceiver } from './signals/signal-receiver.js';
export {
  readTokenClaims,
  type TokenAnswer,
  type TokenClaims,
  type TokenReader,
} from './token/token-claims.js';
export type { TokenRejection } from './token/token-rejection.js';
export type { AuthorizationServerAccess, TokenSource } from './token/token-source.js';
export type { NamedProxy } from './trusted-proxy/named-proxy.js';
export { type ProxyHeaderOptions, proxyHeader } from './trusted-proxy/proxy-header.js';
export {
  type ApacheOptions,
  type AwsAlbOptions,
  type AzureApplicationGatewayOptions,
  apache,
  awsAlb,
  azureApplicationGateway,
  azureAppService,
  type CaddyOptions,
  type CertificateHeader,
  type CloudFrontOptions,
  type CloudflareOptions,
  type CustomHeaderOptions,
  caddy,
  cloudFoundry,
  cloudFront,
  cloudflare,
  customHeader,
  envoy,
  type F5Options,
  f5,
  type GoogleCloudOptions,
  googleCloud,
  type HaproxyOptions,
  type HeaderNames,
  haproxy,
  ingressNginx,
  istio,
  type KongOptions,
  kong,
  nginx,
  type ProxyPreset,
  type Rfc9440Options,
  rfc9440,
  traefik,
  uniIdLibra,
  type XfccOptions,
} from './trusted-proxy/proxy-presets.js';
export type {
  ProxyCertificates,
  SharedSecret,
  TrustedPeers,
  TrustOptions,
} from './trusted-proxy/trusted-proxy.js';
