import { createPublicKey, randomUUID, X509Certificate } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type ClientMetadata, type Configuration } from 'oidc-provider';
import type { Identity } from '../../test/support/pki.js';
import type { ClientName } from './stack.js';

/** What the API is called in tokens. */
export const audience = 'https://api.example.com';
export const redirectUri = 'https://tpp.example.com/callback';
export const scope = 'accounts:read';

/** Who may log in. */
export const user = { name: 'ada', password: 'correct horse' };

interface Options {
  readonly issuer: string;
  readonly proxySecret: string;
  readonly clients: Readonly<Record<ClientName, Identity>>;
  /** The resource server's own certificate. */
  readonly api: Identity;
}

/**
 * oidc-provider behind NGINX: pushed authorization requests alone, PKCE, tokens bound to the client's certificate, which
 * comes in a header. The header counts only with the secret that NGINX adds: a client that bypasses NGINX has no
 * certificate.
 */
export function createAuthorizationServer(options: Options): RequestListener {
  const ready = createProvider(options);
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    if (req.headers['x-proxy-secret'] !== options.proxySecret) {
      delete req.headers['x-fapi-client-cert'];
      delete req.headers['x-ssl-client-verify'];
    }
    const provider = await ready;
    await (req.url?.startsWith('/interaction/')
      ? interact(provider, req, res)
      : provider.callback()(req, res));
  };
  // Node ends the process when a promise rejects and no code catches the error, so each request catches its own.
  return (req, res) => {
    answer(req, res).catch((error: unknown) => refuse(res, error));
  };
}

/** Answers 4xx where the request is at fault, which oidc-provider's errors say by `statusCode`, and 500 otherwise. */
function refuse(res: ServerResponse, error: unknown): void {
  const statusCode = (error as { statusCode?: unknown } | undefined)?.statusCode;
  if (res.headersSent) {
    res.destroy();
    return;
  }
  // The rest of the body is not read, so the connection can't carry another request.
  res.writeHead(typeof statusCode === 'number' ? statusCode : 500, { connection: 'close' });
  res.end(typeof statusCode === 'number' ? 'the request can not be answered' : 'internal error');
}

async function createProvider(options: Options): Promise<Provider> {
  const { privateKey } = await generateKeyPair('PS256', { extractable: true });
  const jwks = { keys: [{ ...(await exportJWK(privateKey)), alg: 'PS256', use: 'sig' }] };
  const provider = new Provider(options.issuer, { ...configuration(options), jwks });
  // X-Forwarded-Proto is NGINX's.
  provider.proxy = true;
  return provider;
}

/** What a person would do in a browser, one prompt at a time: log in, then consent. */
async function interact(provider: Provider, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { prompt, params, session } = await provider.interactionDetails(req, res);
  const form = new URLSearchParams(await bodyOf(req));
  if (req.method !== 'POST') {
    res.end(prompt.name);
  } else if (prompt.name === 'login') {
    const isRight = form.get('name') === user.name && form.get('password') === user.password;
    const login = isRight
      ? { login: { accountId: user.name } }
      : { error: 'access_denied', error_description: 'wrong password' };
    await provider.interactionFinished(req, res, login);
  } else {
    const grant = new provider.Grant({
      accountId: String(session?.accountId),
      clientId: String(params.client_id),
    });
    grant.addOIDCScope(scope);
    grant.addResourceScope(audience, scope);
    const consent =
      form.get('consent') === 'yes'
        ? { consent: { grantId: await grant.save() } }
        : { error: 'access_denied' };
    await provider.interactionFinished(req, res, consent, { mergeWithLastSubmission: true });
  }
}

/** The two forms are a few dozen bytes. */
const maxBody = 4_096;

/** Reads a form. A body that never ends is cut off by Node's `requestTimeout`, which makes this reject. */
async function bodyOf(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of req) {
    length += (chunk as Buffer).length;
    if (length > maxBody) {
      throw Object.assign(new Error('the form is too long'), { statusCode: 413 });
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** NGINX's `$ssl_client_escaped_cert`. */
function readPeerCertificate(req: IncomingMessage): X509Certificate | undefined {
  const header = req.headers['x-fapi-client-cert'];
  return typeof header === 'string' && header !== ''
    ? new X509Certificate(decodeURIComponent(header))
    : undefined;
}

function configuration({ clients, api }: Options): Configuration {
  const subjectDn = (identity: Identity) => ({
    token_endpoint_auth_method: 'tls_client_auth' as const,
    tls_client_auth_subject_dn: identity.subject,
  });
  const client = (name: ClientName, more: Partial<ClientMetadata>): ClientMetadata => ({
    client_id: name,
    redirect_uris: [redirectUri],
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token'],
    scope,
    require_pushed_authorization_requests: true,
    tls_client_certificate_bound_access_tokens: true,
    ...more,
  });
  const own = clients['by-own-certificate'];
  return {
    clients: [
      client('by-subject', subjectDn(clients['by-subject'])),
      client('by-san', {
        token_endpoint_auth_method: 'tls_client_auth',
        tls_client_auth_san_dns: 'tpp.example.com',
      }),
      client('by-own-certificate', {
        token_endpoint_auth_method: 'self_signed_tls_client_auth',
        jwks: {
          keys: [
            { ...createPublicKey(own.key).export({ format: 'jwk' }), x5c: [own.der.toString('base64')] },
          ],
        },
      }),
      {
        client_id: 'api',
        redirect_uris: [],
        response_types: [],
        grant_types: [],
        ...subjectDn(api),
      },
    ],
    clientDefaults: { id_token_signed_response_alg: 'PS256' },
    clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
    scopes: [scope],
    cookies: { keys: [randomUUID()] },
    pkce: { required: () => true },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: async () => ({ sub }) }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: async () => true,
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      Grant: 3_600,
      Interaction: 600,
      RefreshToken: 3_600,
      Session: 3_600,
    },
    features: {
      devInteractions: { enabled: false },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ scope, audience, accessTokenFormat: 'opaque' }),
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => readPeerCertificate(ctx.req)?.toString(),
        certificateAuthorized: (ctx) => ctx.req.headers['x-ssl-client-verify'] === 'SUCCESS',
        certificateSubjectMatches: (ctx, property, expected) => {
          const certificate = readPeerCertificate(ctx.req);
          return property === 'tls_client_auth_subject_dn'
            ? certificate?.subject.split('\n').join(', ') === expected
            : certificate?.subjectAltName === `DNS:${expected}`;
        },
      },
    },
  };
}
