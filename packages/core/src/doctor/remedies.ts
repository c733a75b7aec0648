import type { RefusalCode } from '../errors.js';

/** What fixes the cause of each refusal, as docs/reference/troubleshooting.md says it. */
export const remedies: Readonly<Record<RefusalCode, string>> = {
  credentials_missing: 'send the token; a proxy may have taken the header away',
  credentials_malformed: 'no quotes, commas or line ends around the token',
  credentials_repeated: 'send it once',
  headers_too_many: 'send fewer, or raise maxHeadersCount of the server',
  credentials_too_long: 'issue smaller or opaque tokens',
  credentials_in_query: 'use the header, and get a new token: that one is in logs',
  credentials_in_body: 'use the header',
  interaction_id_malformed: 'send one UUID',
  tls_unsuitable: 'fapiTlsOptions(); TLS 1.3',
  revocation_malformed:
    'one of the parameters that revocations take, as a form by POST in UTF-8, without Content-Encoding',
  certificate_malformed: 'mtls-doctor listen names what is wrong and the preset that fits',
  certificate_missing:
    "present one; the hint says when it is the proxy's header, its trust or a resumed session",
  certificate_mismatch:
    'get a new token with the present certificate; when clients in general are refused, see the hint',
  certificate_refused: 'detail says what of it does not hold',
  certificate_refused_401: 'detail says what of it does not hold',
  token_inactive:
    'get a new one; if it should be good, ask whether the server lets this API see it (for ' +
    'Keycloak, aud must name clientId)',
  token_expired: 'get a new one; if it just got it, compare the clocks: mtls-doctor check',
  token_not_yet_valid: 'NTP; mtls-doctor check',
  token_wrong_audience: 'ask for a token for this API (RFC 8707), or set audience to what the server writes',
  token_wrong_issuer: "spell issuer as the server's metadata do; see what the selector looks at",
  token_wrong_type:
    'send the access token; if the server never names token_type, set audience, or ' +
    'introspection({ requireTokenType: false })',
  token_claims_malformed:
    'correct the claim at the server, or set claims or requiredClaims of jwtAccessTokens(); ' +
    'mtls-doctor check --token says which',
  jwt_malformed: 'send the access token as it came; opaque tokens need introspection()',
  jwt_not_decryptable: "give the server this API's key, or add the key",
  jwt_algorithm_not_accepted:
    "jwtAccessTokens({ algorithms: ['RS256'] }), or another algorithm at the server",
  jwt_type_not_accepted:
    "send the access token; if it is the access token, set typ: ['JWT'] or ['absent'] of " +
    'jwtAccessTokens() and ask for a scope of the API, or have the server issue at+jwt',
  jwt_key_unknown: "compare kid with the key set; the token may be another issuer's",
  jwt_signature_invalid: 'get a new token; look for what changes it on its way',
  token_unbound: 'tls_client_certificate_bound_access_tokens, and a token over mutual TLS',
  token_bound_otherwise:
    'detail says what cnf has; let the authorization server bind tokens by certificate alone',
  scope_insufficient: 'ask for the scope that the challenge names',
  too_many_inactive_tokens: 'send tokens that are active; set the guard where many clients share an address',
  authentication_insufficient: 'have the user authenticate as the challenge says (RFC 9470)',
  claims_insufficient: 'detail names the claim',
  authorization_details_insufficient:
    'ask for every action, and one of the locations, in one detail (RFC 9396)',
  authorization_server_timeout: 'it passes by itself, or http.timeout is too short',
  authorization_server_unreachable: 'mtls-doctor check; http.ca for a private authority',
  authorization_server_overloaded: 'raise its limit for this API; cache.maxAge, sharedCache ask less',
  authorization_server_failed: 'its own log; let this API through',
  authorization_server_invalid_answer:
    'detail says what; introspection({ badRequestMeansInactive: true }) for a 400',
  authorization_server_not_asked:
    'fix the cause of the failures before it; circuitBreaker.maxConcurrent, circuitBreaker.maxQueued',
  revocations_unknown: 'see why Redis does not answer; revocations.whileLost',
  revocation_not_spread: 'fix Redis, then revoke again',
  shutting_down:
    'the client sends the request again, to another process; take it out of the load balancer before close()',
  authorization_server_refused_credentials:
    'mtls-doctor check; clientId, clientAuthentication, the right to introspect',
  authorization_server_issuer_mismatch: 'spell issuer as the metadata do, to the letter',
  authorization_server_unsuitable: 'check issuer, or give the endpoints by authorizationServerMetadata',
  internal_error:
    'the detail has the name and code of the error; refusal.cause of the event on ' +
    'mtls-bound:refused is the error itself',
};
