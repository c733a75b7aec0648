import {
  audience,
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../test/support/authorization-server.js';
import { close, listen } from '../../test/support/loopback.js';
import { createPki, type Pki } from '../../test/support/pki.js';
import { type ApiName, type ApiSettings, createApis } from './apis.js';

export interface Api {
  readonly url: string;
  /** The name of the API in the `aud` of a token, and its origin in DPoP proofs. */
  readonly audience: string;
}

/** All servers and clients of the demonstration. */
export interface Story {
  readonly pki: Pki;
  readonly authorizationServer: TestAuthorizationServer;
  readonly clients: ReturnType<typeof testClients>;
  readonly apis: Readonly<Record<ApiName, Api>>;
  end(): Promise<void>;
}

/** The APIs of the demonstration, and the ports on which they listen. */
export interface RunningApis {
  readonly ports: Readonly<Record<ApiName, number>>;
  close(): Promise<unknown>;
}

/** Starts the authorization server in this process, and the APIs by `startApis`. */
export async function startStory(startApis: typeof startHere = startHere): Promise<Story> {
  const pki = await createPki();
  const authorizationServer = await startAuthorizationServer(pki);
  const { issuer, secrets } = authorizationServer;
  const http = { ca: pki.ca.cert };
  const { ports, close: closeApis } = await startApis({
    tls: {
      cert: pki.server.cert,
      key: pki.server.key,
      ca: pki.ca.cert,
      requestCert: true,
      rejectUnauthorized: false,
    },
    introspecting: {
      issuer,
      clientId: 'api',
      clientSecret: secrets.api,
      audience,
      http,
      dpop: { origin: audience },
    },
    validating: { issuer, audience: jwtAudience, http, dpop: { origin: jwtAudience } },
  });
  const api = (name: ApiName, audience: string): Api => ({
    url: `https://127.0.0.1:${ports[name]}`,
    audience,
  });
  return {
    pki,
    authorizationServer,
    clients: testClients(pki),
    apis: {
      Express: api('Express', audience),
      Koa: api('Koa', audience),
      JWT: api('JWT', jwtAudience),
    },
    end: async () => {
      await Promise.all([closeApis(), authorizationServer.stop()]);
    },
  };
}

async function startHere(settings: ApiSettings): Promise<RunningApis> {
  const servers = createApis(settings);
  return {
    ports: {
      Express: await listen(servers.Express),
      Koa: await listen(servers.Koa),
      JWT: await listen(servers.JWT),
    },
    close: () => Promise.all(Object.values(servers).map(close)),
  };
}
