import { createPublicKey, type KeyObject, randomUUID } from 'node:crypto';
import { Agent, createServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { exportJWK, generateKeyPair } from 'jose';
import fetch from 'node-fetch';
import Provider, { type ClientMetadata, type Configuration } from 'oidc-provider';
import { audience } from './audience.js';
import { generateP256 } from './key-pairs.js';
import { close, listen } from './loopback.js';
import type { Identity, Pki } from './pki.js';

export { audience };

/** The identifier of an API whose tokens are JWTs (RFC 9068). */
export const jwtAudience = 'https://jwt-api.example.com';

/** The identifier of an API whose tokens are JWTs encrypted to it. */
export const encryptedAudience = 'https://encrypted-api.example.com';

const allScopes = 'accounts:read payments:write';

/** Granted to the client `revoker` alone. */
export const revokeScope = 'tokens:revoke';

export interface TestAuthorizationServer {
  readonly issuer: string;
  /** The API's own credentials, by the name of its client. */
  readonly secrets: { readonly api: string; readonly 'api-post': string; readonly 'api-secret-jwt': string };
  /** The private key of the client `api-key-jwt`, by its kid. */
  readonly apiKey: { readonly pem: string; readonly kid: string };
  /** The private key that answers to `api-encrypted` and tokens for `encryptedAudience` are encrypted to. */
  readonly decryptionKey: string;
  /** How often the introspection endpoint was asked, about anything or about one token. */
  introspections(token?: string): number;
  /** A token by the client credentials grant over mutual TLS. */
  token(client: TestClient): Promise<string>;
  revoke(client: TestClient, token: string): Promise<void>;
  /** Stops listening and drops every connection; `start` brings the same server back on the same port. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** One of the registered clients, as a test speaks for it. */
export interface TestClient {
  readonly clientId: string;
  readonly identity?: Identity;
  readonly secret?: string;
  readonly scope?: string;
  /** The resource indicator (RFC 8707); the API's audience unless told. */
  readonly resource?: string;
  /** A DPoP proof for the token endpoint: the token is bound to its key. */
  readonly proof?: string;
}

export function testClients(pki: Pki) {
  return {
    alice: { clientId: 'alice', identity: pki.alice },
    aliceEc: { clientId: 'alice-ec', identity: pki.aliceEc },
    bob: { clientId: 'bob', identity: pki.bob },
    selfSignedRsa: { clientId: 'self-signed-rsa', identity: pki.selfSignedRsa },
    selfSignedEc: { clientId: 'self-signed-ec', identity: pki.selfSignedEc },
    /** Its tokens live for two seconds at most. */
    hasty: { clientId: 'hasty', identity: pki.alice },
    /** May have tokens forgotten. */
    revoker: { clientId: 'revoker', identity: pki.proxy, scope: revokeScope },
    /** A client of old: a secret, and tokens bound to nothing. */
    unbound: { clientId: 'unbound', secret: 'the-secret-of-old' },
    /** Has no certificate; its tokens are bound to the key of the proof that it sends. */
    phone: { clientId: 'phone', secret: 'the-secret-of-the-phone' },
    /** Its tokens are bound to the key of its proof and to its certificate. */
    both: { clientId: 'both', secret: 'the-secret-of-the-phone', identity: pki.alice },
  } satisfies Record<string, TestClient>;
}

/** A real oidc-provider over TLS on a free loopback port: mutual-TLS clients, opaque bound tokens, introspection. */
export async function startAuthorizationServer(
  pki: Pki,
  { bindsTokens = true }: { readonly bindsTokens?: boolean } = {},
): Promise<TestAuthorizationServer> {
  const server = createServer({
    cert: pki.server.cert,
    key: pki.server.key,
    ca: pki.ca.cert,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const port = await listen(server);
  const issuer = `https://127.0.0.1:${port}`;
  const secrets = { api: randomUUID(), 'api-post': randomUUID(), 'api-secret-jwt': randomUUID() };
  const { privateKey } = generateP256();
  const apiKey = { pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), kid: 'api-1' };
  const encryption = generateP256();
  const configured = await configuration(pki, secrets, apiKey, encryption.publicKey, bindsTokens);
  const provider = new Provider(issuer, configured);
  let introspections = 0;
  const perToken = new Map<string, number>();
  // oidc-provider binds a token to one thing. For the client `both` its answers name the certificate too.
  const certificateOf = new Map<string, string>();
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path === '/token' && ctx.oidc?.client?.clientId === 'both' && ctx.status === 200) {
      certificateOf.set((ctx.body as { access_token: string }).access_token, thumbprintIn(ctx.socket));
    }
    const certificate = certificateOf.get(String(ctx.oidc?.params?.token));
    if (ctx.path === '/token/introspection' && certificate !== undefined) {
      Object.assign((ctx.body as { cnf: object }).cnf, { 'x5t#S256': certificate });
    }
    const token = String(ctx.oidc?.params?.token);
    if (ctx.path === '/token/introspection') {
      perToken.set(token, (perToken.get(token) ?? 0) + 1);
    }
  });
  const handle = provider.callback();
  server.on('request', (req, res) => {
    if (req.url === '/token/introspection') {
      introspections += 1;
    }
    handle(req, res);
  });

  async function post(
    path: string,
    client: TestClient,
    parameters: Record<string, string>,
  ): Promise<unknown> {
    const agent = new Agent({ ca: pki.ca.cert, cert: client.identity?.cert, key: client.identity?.key });
    const body = new URLSearchParams({ client_id: client.clientId, ...parameters });
    if (client.secret !== undefined) {
      body.set('client_secret', client.secret);
    }
    const headers = client.proof === undefined ? {} : { dpop: client.proof };
    const response = await fetch(`${issuer}${path}`, { method: 'POST', body, agent, headers });
    const answer = await response.text();
    if (!response.ok) {
      throw new Error(`${path} answered ${response.status}: ${answer}`);
    }
    return answer === '' ? undefined : JSON.parse(answer);
  }

  return {
    issuer,
    secrets,
    apiKey,
    decryptionKey: encryption.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    introspections: (token) => (token === undefined ? introspections : (perToken.get(token) ?? 0)),
    async token(client) {
      const { scope = allScopes, resource = audience } = client;
      const answer = await post('/token', client, { grant_type: 'client_credentials', scope, resource });
      return (answer as { access_token: string }).access_token;
    },
    async revoke(client, token) {
      await post('/token/revocation', client, { token });
    },
    stop: () => close(server),
    start: async () => {
      await listen(server, port);
    },
  };
}

async function configuration(
  pki: Pki,
  secrets: TestAuthorizationServer['secrets'],
  apiKey: TestAuthorizationServer['apiKey'],
  encryptionKey: KeyObject,
  bindsTokens: boolean,
): Promise<Configuration> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return {
    clients: [
      { ...resourceServer('api', 'client_secret_basic'), client_secret: secrets.api },
      { ...resourceServer('api-post', 'client_secret_post'), client_secret: secrets['api-post'] },
      {
        ...resourceServer('api-secret-jwt', 'client_secret_jwt'),
        client_secret: secrets['api-secret-jwt'],
      },
      {
        ...resourceServer('api-key-jwt', 'private_key_jwt'),
        jwks: { keys: [{ ...createPublicKey(apiKey.pem).export({ format: 'jwk' }), kid: apiKey.kid }] },
      },
      {
        ...resourceServer('api-encrypted', 'client_secret_basic'),
        client_secret: secrets.api,
        introspection_encrypted_response_alg: 'ECDH-ES',
        introspection_encrypted_response_enc: 'A128CBC-HS256',
        jwks: { keys: [{ ...encryptionKey.export({ format: 'jwk' }), use: 'enc', kid: 'enc-1' }] },
      },
      { ...bySubject('api-tls', pki.proxy), grant_types: [] },
      { ...bySubject('api-expired', pki.expired), grant_types: [] },
      { ...byOwnCertificate('api-self-signed', pki.selfSignedEc), grant_types: [] },
      { ...bySubject('revoker', pki.proxy), scope: revokeScope },
      bySubject('alice', pki.alice),
      bySubject('alice-ec', pki.aliceEc),
      bySubject('bob', pki.bob),
      bySubject('hasty', pki.alice),
      byOwnCertificate('self-signed-rsa', pki.selfSignedRsa),
      byOwnCertificate('self-signed-ec', pki.selfSignedEc),
      {
        ...machine('unbound'),
        client_secret: 'the-secret-of-old',
        token_endpoint_auth_method: 'client_secret_post',
        tls_client_certificate_bound_access_tokens: false,
      },
      withKey('phone'),
      withKey('both'),
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256', introspection_signed_response_alg: 'ES256' },
    clientAuthMethods: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'tls_client_auth',
      'self_signed_tls_client_auth',
    ],
    scopes: [...allScopes.split(' '), revokeScope],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig' }] },
    cookies: { keys: [randomUUID()] },
    formats: {
      customizers: {
        jwt: (ctx, token, { payload }) => {
          if (token.clientId === 'both') {
            Object.assign(payload?.cnf as object, { 'x5t#S256': thumbprintIn(ctx.socket) });
          }
        },
      },
    },
    features: {
      devInteractions: { enabled: false },
      encryption: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource, client) => ({
          scope: `${allScopes} ${revokeScope}`,
          audience: resource,
          ...formatOf(resource, encryptionKey),
          accessTokenTTL: client.clientId === 'hasty' ? 2 : 3600,
        }),
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: bindsTokens,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => (ctx.socket as TLSSocket).getPeerX509Certificate()?.toString(),
        certificateAuthorized: (ctx) => (ctx.socket as TLSSocket).authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_subject_dn' &&
          (ctx.socket as TLSSocket).getPeerX509Certificate()?.subject.split('\n').join(', ') === expected,
      },
    },
  };
}

function thumbprintIn(socket: object): string {
  const certificate = (socket as TLSSocket).getPeerX509Certificate();
  return Buffer.from((certificate?.fingerprint256 ?? '').replaceAll(':', ''), 'hex').toString('base64url');
}

function formatOf(resource: string, encryptionKey: KeyObject) {
  const sign = { alg: 'ES256' as const };
  switch (resource) {
    case jwtAudience:
      return { accessTokenFormat: 'jwt' as const, jwt: { sign } };
    case encryptedAudience: {
      const encrypt = { alg: 'ECDH-ES' as const, enc: 'A256GCM' as const, key: encryptionKey };
      return { accessTokenFormat: 'jwt' as const, jwt: { sign, encrypt } };
    }
    default:
      return { accessTokenFormat: 'opaque' as const };
  }
}

function resourceServer(
  clientId: string,
  method: ClientMetadata['token_endpoint_auth_method'],
): ClientMetadata {
  return {
    client_id: clientId,
    redirect_uris: [],
    response_types: [],
    grant_types: [],
    token_endpoint_auth_method: method,
  };
}

function machine(clientId: string): ClientMetadata {
  return {
    client_id: clientId,
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
    scope: allScopes,
    tls_client_certificate_bound_access_tokens: true,
  };
}

function withKey(clientId: string): ClientMetadata {
  return {
    ...machine(clientId),
    client_secret: 'the-secret-of-the-phone',
    token_endpoint_auth_method: 'client_secret_post',
    tls_client_certificate_bound_access_tokens: false,
    dpop_bound_access_tokens: true,
  };
}

function bySubject(clientId: string, { subject }: Identity): ClientMetadata {
  return {
    ...machine(clientId),
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: subject,
  };
}

function byOwnCertificate(clientId: string, { der, key }: Identity): ClientMetadata {
  return {
    ...machine(clientId),
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    jwks: { keys: [{ ...createPublicKey(key).export({ format: 'jwk' }), x5c: [der.toString('base64')] }] },
  };
}
