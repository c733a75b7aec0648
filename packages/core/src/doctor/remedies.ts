import type { RefusalCode } from '../errors.js';

/** What fixes the cause of each refusal, as docs/reference/troubleshooting.md says it. */
export const remedies: Readonly<Record<RefusalCode, string>> = {
  credentials_missing: 'send the token. If the client sends it, check whether a proxy removes the header',
  credentials_malformed: 'send the token without quotes, commas or line ends around it',
  credentials_repeated: 'send the header once',
  headers_too_many: 'send fewer header lines, or raise maxHeadersCount of the server',
  credentials_too_long: 'issue smaller tokens, or opaque ones',
  credentials_in_query: 'send the token in the header, and get a new token: servers log queries',
  credentials_in_body: 'send the token in the header',
  interaction_id_malformed: 'send one UUID',
  tls_unsuitable: 'use TLS 1.3, or the settings of fapiTlsOptions()',
  revocation_malformed:
    'send one of the parameters that revocations take, as a form by POST in UTF-8, without Content-Encoding',
  certificate_malformed: 'run mtls-doctor listen: it names the fault and the preset that fits',
  certificate_missing:
    "present a certificate. If the cause is the proxy's header, its trust or a resumed session, " +
    'the hint says so',
  certificate_mismatch:
    'get a new token with the present certificate. If all clients are refused, read the hint',
  certificate_refused: 'read detail: it names the rule that the certificate does not meet',
  certificate_refused_401: 'read detail: it names the rule that the certificate does not meet',
  token_inactive:
    'get a new token. If the token should be active, check whether the server lets this API ' +
    'introspect it (for Keycloak, aud must name clientId)',
  token_expired: 'get a new token. If it is new, compare the clocks: run mtls-doctor check',
  token_not_yet_valid: 'set the clocks by NTP. mtls-doctor check compares them',
  token_wrong_audience:
    'request a token for this API (RFC 8707), or set audience to the value that the server writes',
  token_wrong_issuer: "spell issuer as in the server's metadata, and check what the selector reads",
  token_wrong_type:
    'send the access token. If the server never names token_type, set audience, or ' +
    'introspection({ requireTokenType: false })',
  token_claims_malformed:
    'correct the claim at the server, or set claims or requiredClaims of jwtAccessTokens(). ' +
    'mtls-doctor check --token says which',
  jwt_malformed: 'send the access token unchanged. For opaque tokens, use introspection()',
  jwt_not_decryptable: "give the server this API's key, or add the key to the option",
  jwt_algorithm_not_accepted:
    "set jwtAccessTokens({ algorithms: ['RS256'] }), or choose another algorithm at the server",
  jwt_type_not_accepted:
    "send the access token. If it is the access token, set typ: ['JWT'] or ['absent'] of " +
    'jwtAccessTokens() and request a scope of the API, or have the server issue at+jwt',
  jwt_key_unknown: 'compare kid with the key set. The token may be from another issuer',
  jwt_signature_invalid: 'get a new token, and check what changes the token on its way',
  token_unbound:
    'set tls_client_certificate_bound_access_tokens of the client, and request the token over mutual TLS',
  token_bound_otherwise:
    'set dpop, or have the authorization server bind tokens by certificate only. ' +
    'detail says what cnf contains',
  dpop_scheme_missing: 'send the token with the scheme DPoP, and a proof in the header DPoP',
  dpop_token_unbound:
    'send a proof to the token endpoint, too, so that the authorization server binds the token to the key',
  dpop_key_mismatch: 'sign proofs with the key that the token was requested with',
  dpop_proof_missing: 'send a new proof in the header DPoP with each request',
  dpop_proof_repeated: 'send the header DPoP once. If the client does, check what a proxy adds',
  dpop_proof_too_long: 'send a proof of at most 8,192 characters',
  dpop_proof_malformed: 'read detail: it names the part that is wrong. Write the proof as RFC 9449 §4.2 says',
  dpop_proof_for_another:
    'read detail. If htu differs, compare dpop.origin and dpop.pathPrefix with the URL that clients use',
  dpop_proof_untimely: 'set the clock of the client by NTP, or demand nonces by dpop.nonce',
  dpop_nonce_required: 'make a new proof with the nonce of the header DPoP-Nonce of the answer',
  dpop_signature_invalid: 'sign with the private key of the jwk in the header of the proof',
  dpop_proof_replayed: 'make a proof with a new jti for each request, also for a request that is repeated',
  dpop_proofs_too_many: 'check why one client sends so many requests, or use several keys',
  dpop_proofs_not_recorded:
    'read detail. Repair the store of dpop.store, or set dpop.onStoreFailure. ' +
    'If the memory for used proofs is full, look for clients with many keys, or start more processes',
  scope_insufficient: 'request the scope that the challenge names',
  too_many_rejected_tokens: 'send active tokens. If many clients share an address, set the flood guard',
  authentication_insufficient: 'have the user authenticate as the challenge says (RFC 9470)',
  claims_insufficient: 'read detail: it names the claim',
  authorization_details_insufficient:
    'request all of the actions and one of the locations in one detail (RFC 9396)',
  authorization_server_timeout: 'wait, or raise http.timeout if it is too short',
  authorization_server_unreachable: 'run mtls-doctor check. For a private certificate authority, set http.ca',
  authorization_server_overloaded:
    "raise the server's limit for this API, or introspect less: cache.maxAge, sharedCache",
  authorization_server_failed: "read the log of the server, and let the firewall pass this API's requests",
  authorization_server_invalid_answer:
    'read detail. For a 400, introspection({ badRequestMeansInactive: true }) may help',
  authorization_server_not_asked:
    'fix the cause of the earlier failures, or change http.maxConcurrent and http.maxQueued',
  revocation_not_spread: 'fix Redis, then revoke again',
  certificate_status_unknown:
    'check why the revocation list or the OCSP responder that the detail names can not be read. ' +
    'certificatePolicy.revocationCheck.mode decides about the certificate meanwhile',
  revocations_unknown:
    'check why Redis does not answer. revocations.jwtsWithUnknownRevocation decides about JWTs meanwhile',
  shutting_down:
    'send the request again, to another process. Take a process out of the load balancer before close()',
  authorization_server_refused_credentials:
    'run mtls-doctor check. Compare clientId and clientAuthentication, and check whether the ' +
    'client may introspect',
  authorization_server_issuer_mismatch: 'spell issuer exactly as in the metadata',
  authorization_server_unsuitable: 'check issuer, or set the endpoints in authorizationServerMetadata',
  internal_error:
    'read detail: it has the name and code of the error. refusal.cause of the event on ' +
    'mtls-bound:refused is the error itself',
};
