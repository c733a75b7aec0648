import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fetch from 'node-fetch';
import { audience } from './audience.js';
import { freePort, startServer } from './background-program.js';
import type { Identity, Pki } from './pki.js';
import { findProgram } from './programs.js';
import {
  type IssuedTokens,
  type IssuingClient,
  otherAudience,
  type RealAuthorizationServer,
} from './real-authorization-server.js';

/** What only Keycloak has, next to what each authorization server has. */
export interface Keycloak extends RealAuthorizationServer {
  /** Clients that differ from `alice` in one setting. */
  readonly variants: Readonly<Record<keyof typeof variants, IssuingClient>>;
  /** A token of a user, by the password grant of the client, which is bound to `pki.alice`. */
  issueToUser(client: IssuingClient): Promise<IssuedTokens>;
}

/** The options of `kc.sh build`. If they differ, Keycloak builds itself again at each start. */
const buildOptions = ['--db=dev-mem', '--https-client-auth=request'];

/** How long the slowest machine takes: a build and a start. */
export const startTimeout = 300_000;

const realm = 'bank';
const allScopes = 'accounts:read payments:write';

/** The client scope that puts an API into `aud`. */
const scopeOf: Readonly<Record<string, string>> = { [audience]: 'api', [otherAudience]: 'other-api' };

/** Attributes of clients, by what they show. */
const variants = {
  lightweight: { 'client.use.lightweight.access.token.enabled': 'true' },
  typJwt: { 'access.token.header.type.rfc9068': 'false' },
  rs256: { 'access.token.signed.response.alg': 'RS256' },
  es256: { 'access.token.signed.response.alg': 'ES256' },
  forUsers: {},
  forUsersWithClientId: {},
} as const;

/** Starts a real Keycloak with one realm, over TLS with client certificates, on a free loopback port. */
export async function startKeycloak(pki: Pki): Promise<Keycloak> {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-keycloak-'));
  const port = await freePort();
  const origin = `https://127.0.0.1:${port}`;
  const admin = { id: 'admin', secret: randomUUID() };
  const program = start(folder, port, pki, admin);
  const stop = async (): Promise<void> => {
    await program.end();
    rmSync(folder, { recursive: true, force: true });
  };
  const send = sender(origin, pki);

  async function administer(method: string, path: string, json?: object): Promise<unknown> {
    // This token lives for a minute.
    const form = { grant_type: 'client_credentials', client_id: admin.id, client_secret: admin.secret };
    const { access_token } = (await send('POST', `${endpoints('master')}/token`, { form })) as IssuedTokens;
    return send(method, `/admin/realms${path}`, { json, token: access_token });
  }

  const apiSecret = randomUUID();
  try {
    await program.listening;
    await administer('POST', '', realmOf());
    for (const scope of clientScopes) {
      await administer('POST', `/${realm}/client-scopes`, scope);
    }
    const clients = [
      ...clientsOf(pki),
      apiClient(audience, apiSecret),
      apiClient(otherAudience, randomUUID()),
    ];
    await Promise.all(clients.map((client) => administer('POST', `/${realm}/clients`, client)));
  } catch (error) {
    await stop();
    throw error;
  }

  const byAlice = (clientId: string): IssuingClient => ({ clientId, identity: pki.alice });
  const post = (
    path: string,
    { clientId, identity, secret }: IssuingClient,
    more: Record<string, string>,
  ) => {
    const form = { client_id: clientId, ...(secret !== undefined && { client_secret: secret }), ...more };
    return send('POST', `${endpoints(realm)}/${path}`, { form, identity });
  };
  const scopesOf = ({ scope = allScopes, resource = audience }: IssuingClient): string =>
    resource === null ? scope : `${scope} ${scopeOf[resource]}`;

  return {
    issuer: `${origin}/realms/${realm}`,
    origin,
    apiSecret,
    tokensOfWithdrawnKeys: 'inactive',
    clients: {
      alice: { clientId: 'alice', identity: pki.alice },
      selfSigned: { clientId: 'self-signed', identity: pki.selfSignedEc },
      hasty: { clientId: 'hasty', identity: pki.alice },
      everything: { clientId: 'everything', identity: pki.alice, scope: `openid ${allScopes}` },
      unbound: { clientId: 'unbound', secret: unboundSecret },
    },
    variants: {
      lightweight: byAlice('lightweight'),
      typJwt: byAlice('typJwt'),
      rs256: byAlice('rs256'),
      es256: byAlice('es256'),
      forUsers: byAlice('forUsers'),
      forUsersWithClientId: byAlice('forUsersWithClientId'),
    },
    async issue(client) {
      const form = { grant_type: 'client_credentials', scope: scopesOf(client) };
      return (await post('token', client, form)) as IssuedTokens;
    },
    async issueToUser(client) {
      const form = { grant_type: 'password', ...user, scope: scopesOf(client) };
      return (await post('token', client, form)) as IssuedTokens;
    },
    async revoke(client, token) {
      await post('revoke', client, { token });
    },
    async apiAuthenticatesBy(method) {
      const query = `clientId=${encodeURIComponent(audience)}`;
      const [client] = (await administer('GET', `/${realm}/clients?${query}`)) as { id: string }[];
      await administer('PUT', `/${realm}/clients/${client?.id}`, {
        ...client,
        ...(method === 'client_secret' ? bySecret(apiSecret) : bySubject(pki.proxy, pki.ca)),
      });
    },
    async rotateKeys() {
      const { id: parentId } = (await administer('GET', `/${realm}`)) as { id: string };
      const query = `parent=${parentId}&type=${keyProvider}`;
      const old = (await administer('GET', `/${realm}/components?${query}`)) as KeyComponent[];
      const priority = String(100 + old.length);
      await administer('POST', `/${realm}/components`, {
        ...signingKey(priority),
        providerType: keyProvider,
        parentId,
      });
      return {
        async withdrawOldKeys() {
          for (const { id } of old) {
            await administer('DELETE', `/${realm}/components/${id}`);
          }
        },
      };
    },
    stop,
  };
}

interface KeyComponent {
  readonly id: string;
}

interface Credentials {
  readonly id: string;
  readonly secret: string;
}

/** The program in the foreground of a shell of its own. */
function start(folder: string, port: number, pki: Pki, admin: Credentials) {
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const args = [
    'start',
    ...buildOptions,
    '--cache=local',
    '--http-enabled=false',
    '--http-host=127.0.0.1',
    `--https-port=${port}`,
    `--hostname=https://127.0.0.1:${port}`,
    `--https-certificate-file=${write('server.pem', pki.server.cert)}`,
    `--https-certificate-key-file=${write('server.key', pki.server.key)}`,
    // Keycloak ends the handshake of a certificate that it does not trust, also of a self-signed one.
    `--https-trust-store-file=${write('clients.pem', pki.ca.cert + pki.selfSignedEc.cert)}`,
  ];
  return startServer({
    program: findProgram('kc.sh') ?? 'kc.sh',
    args,
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      ...(process.env.JAVA_HOME !== undefined && { JAVA_HOME: process.env.JAVA_HOME }),
      JAVA_OPTS_KC_HEAP: '-Xms64m -Xmx700m',
      // It runs for a minute or two: to compile less takes less time.
      JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1',
      KC_BOOTSTRAP_ADMIN_CLIENT_ID: admin.id,
      KC_BOOTSTRAP_ADMIN_CLIENT_SECRET: admin.secret,
    },
    sign: 'Listening on:',
  });
}

interface Content {
  readonly form?: Record<string, string>;
  readonly json?: object | undefined;
  readonly token?: string;
  readonly identity?: Identity | undefined;
}

function sender(origin: string, pki: Pki) {
  return async (method: string, path: string, { form, json, token, identity }: Content): Promise<unknown> => {
    const agent = new Agent({ ca: pki.ca.cert, cert: identity?.cert, key: identity?.key });
    const response = await fetch(`${origin}${path}`, {
      method,
      agent,
      headers: {
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      ...(form !== undefined && { body: new URLSearchParams(form) }),
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    const answer = await response.text();
    if (!response.ok) {
      throw new Error(`${method} ${path} answered ${response.status}: ${answer}`);
    }
    return answer === '' ? undefined : JSON.parse(answer);
  };
}

const endpoints = (name: string): string => `/realms/${name}/protocol/openid-connect`;

const keyProvider = 'org.keycloak.keys.KeyProvider';

/** Keycloak signs with the key of the highest priority. */
const signingKey = (priority: string) => ({
  name: `ps256-${priority}`,
  providerId: 'rsa-generated',
  config: { algorithm: ['PS256'], priority: [priority] },
});

const user = { username: 'carol', password: 'the-password-of-carol' };
const unboundSecret = 'the-secret-of-old';

function realmOf() {
  return {
    realm,
    enabled: true,
    sslRequired: 'all',
    defaultSignatureAlgorithm: 'PS256',
    components: { [keyProvider]: [signingKey('100')] },
    users: [
      {
        username: user.username,
        enabled: true,
        email: 'carol@example.com',
        emailVerified: true,
        firstName: 'Carol',
        lastName: 'Example',
        credentials: [{ type: 'password', value: user.password, temporary: false }],
      },
    ],
  };
}

/** Scopes that routes ask for, and those that put an API's client into `aud`. */
const clientScopes = [
  ...allScopes.split(' ').map((name) => ({
    name,
    protocol: 'openid-connect',
    attributes: { 'include.in.token.scope': 'true' },
  })),
  ...Object.entries(scopeOf).map(([clientId, name]) => ({
    name,
    protocol: 'openid-connect',
    attributes: { 'include.in.token.scope': 'false' },
    protocolMappers: [
      {
        name: 'audience',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-audience-mapper',
        config: {
          'included.client.audience': clientId,
          'access.token.claim': 'true',
          'introspection.token.claim': 'true',
          'lightweight.claim': 'true',
        },
      },
    ],
  })),
];

const bound = {
  'tls.client.certificate.bound.access.tokens': 'true',
  'access.token.header.type.rfc9068': 'true',
};

function clientsOf(pki: Pki): object[] {
  const byAlice = (clientId: string, attributes: Readonly<Record<string, string>> = {}) =>
    machine(clientId, bySubject(pki.alice, pki.ca), { ...bound, ...attributes });
  const forUsers = (clientId: string) => ({
    ...byAlice(clientId),
    serviceAccountsEnabled: false,
    directAccessGrantsEnabled: true,
  });
  return [
    byAlice('alice'),
    byAlice('hasty', { 'access.token.lifespan': '2' }),
    byAlice('everything', { 'client_credentials.use_refresh_token': 'true' }),
    machine('self-signed', bySubject(pki.selfSignedEc, pki.selfSignedEc), bound),
    machine('unbound', bySecret(unboundSecret), { 'access.token.header.type.rfc9068': 'true' }),
    byAlice('lightweight', variants.lightweight),
    byAlice('typJwt', variants.typJwt),
    byAlice('rs256', variants.rs256),
    byAlice('es256', variants.es256),
    forUsers('forUsers'),
    {
      ...forUsers('forUsersWithClientId'),
      protocolMappers: [
        {
          name: 'client_id',
          protocol: 'openid-connect',
          protocolMapper: 'oidc-hardcoded-claim-mapper',
          config: {
            'claim.name': 'client_id',
            'claim.value': 'forUsersWithClientId',
            'jsonType.label': 'String',
            'access.token.claim': 'true',
          },
        },
      ],
    },
  ];
}

interface Authenticator {
  readonly clientAuthenticatorType: string;
  readonly secret?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

const bySecret = (secret: string): Authenticator => ({ clientAuthenticatorType: 'client-secret', secret });

const bySubject = (client: Identity, authority: Identity): Authenticator => ({
  clientAuthenticatorType: 'client-x509',
  attributes: {
    'x509.subjectdn': rfc4514(client.subject),
    'x509.casubjectdn': rfc4514(authority.subject),
    // Otherwise the name is a regular expression.
    'x509.allow.regex.pattern.comparison': 'false',
  },
});

/** RFC 4514 §2.1 writes the last part of a name first. */
const rfc4514 = (subject: string): string => subject.split(', ').reverse().join(',');

function machine(
  clientId: string,
  authenticator: Authenticator,
  attributes: Readonly<Record<string, string>>,
) {
  return {
    clientId,
    protocol: 'openid-connect',
    publicClient: false,
    standardFlowEnabled: false,
    serviceAccountsEnabled: true,
    ...authenticator,
    attributes: { ...authenticator.attributes, ...attributes },
    // What Keycloak gives a client of the console; a client with lists of its own gets these alone.
    defaultClientScopes: ['basic', 'acr', 'roles', 'profile', 'email', 'web-origins', 'service_account'],
    optionalClientScopes: [...allScopes.split(' '), ...Object.values(scopeOf)],
  };
}

/** The API itself: its client id is what tokens name in `aud`. */
function apiClient(clientId: string, secret: string) {
  return {
    clientId,
    protocol: 'openid-connect',
    publicClient: false,
    standardFlowEnabled: false,
    ...bySecret(secret),
  };
}
