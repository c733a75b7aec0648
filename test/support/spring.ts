import { createHash, createPublicKey, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fetch, { type Response } from 'node-fetch';
import { audience } from './audience.js';
import { freePort, startServer } from './background-program.js';
import { generateP256 } from './key-pairs.js';
import { close, listen } from './loopback.js';
import type { Identity, Pki } from './pki.js';
import { findProgram } from './programs.js';
import type {
  IssuedTokens,
  IssuingClient,
  RealAuthorizationServer,
  RealClients,
} from './real-authorization-server.js';

/** What only Spring has, next to what each authorization server has. */
export interface Spring extends RealAuthorizationServer {
  readonly clientsOfOpaqueTokens: RealClients;
  /** Clients whose tokens lack one thing that the customizer of the page writes. */
  readonly variants: Readonly<Record<(typeof variants)[number], IssuingClient>>;
}

/** What Maven builds of `spring-authorization-server/`. */
export const springProgram = 'authorization-server.jar';

/** How long the slowest machine takes to start it. */
export const startTimeout = 120_000;

const variants = [
  'unchanged',
  'audience-only',
  'rs256',
  'without-typ',
  'scope-list',
  'without-client-id',
] as const;

const allScopes = 'accounts:read payments:write';
const callback = 'https://client.example.com/callback';

/** Starts a real Spring Authorization Server over TLS, on two free loopback ports: one asks for client certificates. */
export async function startSpring(pki: Pki): Promise<Spring> {
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-spring-'));
  const keys = new SigningKeys(join(folder, 'keys.json'));
  const jwkSet = createServer((_req, res) => {
    res.setHeader('content-type', 'application/json').end(JSON.stringify(jwkSetOf(pki.selfSignedEc)));
  });
  const [port, mutualTlsPort, jwkSetPort] = [await freePort(), await freePort(), await listen(jwkSet)];
  const origin = `https://127.0.0.1:${port}`;
  const mutualTls = `https://127.0.0.1:${mutualTlsPort}`;
  const secrets = { api: randomUUID(), unbound: randomUUID(), carol: randomUUID() };
  const write = (name: string, text: string): void =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  write('server.pem', pki.server.cert);
  write('server.key', pki.server.key);
  // Tomcat ends the handshake of a certificate that it does not trust, also of a self-signed one.
  write('clients-ca.pem', pki.ca.cert + pki.selfSignedEc.cert);
  write(
    'application.properties',
    `
spring.main.banner-mode=off
spring.security.oauth2.authorizationserver.issuer=${origin}
server.address=127.0.0.1
server.port=${mutualTlsPort}
server.ssl.bundle=server
server.ssl.client-auth=want
spring.ssl.bundle.pem.server.keystore.certificate=server.pem
spring.ssl.bundle.pem.server.keystore.private-key=server.key
spring.ssl.bundle.pem.server.truststore.certificate=clients-ca.pem
bank.port=${port}
bank.mutual-tls=${mutualTls}
bank.api-secret=${secrets.api}
bank.unbound-secret=${secrets.unbound}
bank.user-password=${secrets.carol}
bank.jwk-set-url=http://127.0.0.1:${jwkSetPort}/
`,
  );
  const program = startServer({
    program: 'java',
    // It runs for a minute: to compile less takes less time.
    args: [
      '-Xmx256m',
      '-XX:TieredStopAtLevel=1',
      '-XX:+UseSerialGC',
      '-jar',
      findProgram(springProgram) ?? springProgram,
    ],
    cwd: folder,
    env: { PATH: process.env.PATH },
    sign: 'Started AuthorizationServer',
  });
  const stop = async (): Promise<void> => {
    await program.end();
    await close(jwkSet);
    rmSync(folder, { recursive: true, force: true });
  };

  /** Requests of clients, to the port that asks for certificates. */
  async function post(path: string, client: IssuingClient, more: Record<string, string>): Promise<unknown> {
    const { clientId, identity, secret } = client;
    const form = { client_id: clientId, ...(secret !== undefined && { client_secret: secret }), ...more };
    const response = await fetch(`${mutualTls}/oauth2/${path}`, {
      method: 'POST',
      agent: new Agent({ ca: pki.ca.cert, cert: identity && chainOf(identity), key: identity?.key }),
      body: new URLSearchParams(form),
    });
    const answer = await response.text();
    if (!response.ok) {
      throw new Error(`${path} answered ${response.status}: ${answer}`);
    }
    return answer === '' ? undefined : JSON.parse(answer);
  }

  /** Spring takes a certificate that comes without that of its authority for a self-signed one. */
  const chainOf = (identity: Identity): string =>
    identity === pki.selfSignedEc ? identity.cert : identity.cert + pki.ca.cert;

  /** A code for a user who logs in without a browser. */
  async function authorize({ clientId }: IssuingClient, scope: string, verifier: string): Promise<string> {
    const agent = new Agent({ ca: pki.ca.cert });
    const login = await fetch(`${origin}/login`, {
      method: 'POST',
      agent,
      redirect: 'manual',
      body: new URLSearchParams({ username: 'carol', password: secrets.carol }),
    });
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: clientId,
      redirect_uri: callback,
      scope,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    });
    const answer = await fetch(`${origin}/oauth2/authorize?${query}`, {
      agent,
      redirect: 'manual',
      headers: { cookie: cookieOf(login) },
    });
    const code = new URL(answer.headers.get('location') ?? '', origin).searchParams.get('code');
    if (code === null) {
      throw new Error(`/oauth2/authorize answered ${answer.status} without a code`);
    }
    return code;
  }

  try {
    await program.listening;
  } catch (error) {
    await stop();
    throw error;
  }

  const byAlice = (clientId: string): IssuingClient => ({ clientId, identity: pki.alice });
  const clientsWith = (suffix: string): RealClients => ({
    alice: { clientId: `alice${suffix}`, identity: pki.alice },
    selfSigned: { clientId: `self-signed${suffix}`, identity: pki.selfSignedEc },
    hasty: { clientId: `hasty${suffix}`, identity: pki.alice },
    everything: { clientId: `everything${suffix}`, identity: pki.alice, scope: `openid ${allScopes}` },
    unbound: { clientId: `unbound${suffix}`, secret: secrets.unbound },
  });

  return {
    issuer: origin,
    origin,
    apiSecret: secrets.api,
    tokensOfWithdrawnKeys: 'active',
    clients: clientsWith(''),
    clientsOfOpaqueTokens: clientsWith('-opaque'),
    variants: {
      unchanged: byAlice('unchanged'),
      'audience-only': byAlice('audience-only'),
      rs256: byAlice('rs256'),
      'without-typ': byAlice('without-typ'),
      'scope-list': byAlice('scope-list'),
      'without-client-id': byAlice('without-client-id'),
    },
    async issue(client) {
      const { scope = allScopes, resource = audience } = client;
      const target = resource === null ? {} : { resource };
      if (!scope.includes('openid')) {
        const form = { grant_type: 'client_credentials', scope, ...target };
        return (await post('token', client, form)) as IssuedTokens;
      }
      const verifier = randomBytes(32).toString('base64url');
      const form = {
        grant_type: 'authorization_code',
        code: await authorize(client, scope, verifier),
        code_verifier: verifier,
        redirect_uri: callback,
        ...target,
      };
      return (await post('token', client, form)) as IssuedTokens;
    },
    async revoke(client, token) {
      await post('revoke', client, { token });
    },
    // The API's client has both credentials at any time.
    async apiAuthenticatesBy() {},
    async rotateKeys() {
      keys.add();
      return { withdrawOldKeys: async () => keys.withdrawOld() };
    },
    stop,
  };
}

/** The file from which Spring reads its keys each time: the first one of an algorithm signs. */
class SigningKeys {
  private keys: object[] = [keyOf('rsa')];

  constructor(private readonly file: string) {
    this.add();
  }

  add(): void {
    this.write([keyOf('ec'), ...this.keys]);
  }

  withdrawOld(): void {
    this.write(this.keys.slice(0, 1));
  }

  private write(keys: object[]): void {
    this.keys = keys;
    // Spring never reads half a file.
    writeFileSync(`${this.file}.new`, JSON.stringify({ keys }), { mode: 0o600 });
    renameSync(`${this.file}.new`, this.file);
  }
}

function keyOf(type: 'ec' | 'rsa'): object {
  const { privateKey } = type === 'ec' ? generateP256() : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: randomUUID() };
}

/** What a client with a self-signed certificate publishes (RFC 8705 §2.2.2). */
const jwkSetOf = ({ der, key }: Identity): object => ({
  keys: [{ ...createPublicKey(key).export({ format: 'jwk' }), x5c: [der.toString('base64')] }],
});

const cookieOf = (response: Response): string =>
  (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
