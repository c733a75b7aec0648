import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { close, listen } from '../../test/support/loopback.js';
import { createPki, type Identity, issueFrom, type Pki } from '../../test/support/pki.js';
import { expressApi, koaApi } from './apis.js';
import { createAuthorizationServer } from './authorization-server.js';
import { type Proxies, startProxies } from './proxies.js';

/** Everyone, by the address that clients know: the load balancer's. */
export interface Stack {
  readonly pki: Pki;
  readonly clients: Readonly<Record<ClientName, Identity>>;
  readonly issuer: string;
  readonly apis: Readonly<Record<'Express' | 'Koa', string>>;
  /** The APIs themselves, behind the proxies, where no client should get. */
  readonly around: Readonly<Record<'Express' | 'Koa', string>>;
  end(): Promise<void>;
}

/** By how each proves who it is (RFC 8705 §2.1.2, §2.2). */
export type ClientName = 'by-subject' | 'by-san' | 'by-own-certificate';

export async function startStack(ciphers: 'fapi1-final' | 'bcp195' = 'fapi1-final'): Promise<Stack> {
  const pki = await createPki();
  const clients = {
    'by-subject': pki.alice,
    'by-san': await issueFrom(pki, 'CN=tpp', [], ['tpp.example.com']),
    'by-own-certificate': pki.selfSignedRsa,
  };
  const proxySecret = randomUUID();

  // Who is asked has to be known before it can say who it is: the ports come first.
  const servers = { as: createServer(), express: createServer(), koa: createServer() };
  const behind = {
    as: `127.0.0.1:${await listen(servers.as)}`,
    express: `127.0.0.1:${await listen(servers.express)}`,
    koa: `127.0.0.1:${await listen(servers.koa)}`,
  };
  let proxies: Proxies | undefined;
  try {
    proxies = await startProxies({ pki, behind, proxySecret, ciphers });
    const issuer = `https://127.0.0.1:${proxies.ports.as}`;
    const resourceServer = { issuer, proxySecret, ca: pki.ca.cert, identity: pki.bob };
    servers.as.on('request', createAuthorizationServer({ issuer, proxySecret, clients, api: pki.bob }));
    servers.express.on('request', expressApi(resourceServer) as RequestListener);
    servers.koa.on('request', koaApi(resourceServer));
    return {
      pki,
      clients,
      issuer,
      apis: {
        Express: `https://127.0.0.1:${proxies.ports.express}`,
        Koa: `https://127.0.0.1:${proxies.ports.koa}`,
      },
      around: { Express: `http://${behind.express}`, Koa: `http://${behind.koa}` },
      end: () => end(proxies, servers),
    };
  } catch (error) {
    await end(proxies, servers);
    throw error;
  }
}

async function end(proxies: Proxies | undefined, servers: Record<string, Server>): Promise<void> {
  await Promise.all([proxies?.end(), ...Object.values(servers).map((server) => close(server))]);
}
