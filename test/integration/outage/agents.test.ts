import { createServer } from 'node:http';
import { Agent } from 'node:https';
import { connect } from 'node:net';
import {
  type ClientCertificate,
  createResourceServer,
  type HttpOptions,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { blocks } from '../../docs/blocks.js';
import { audience } from '../../support/audience.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { outcomeOf, requestWith } from '../../support/pretend-server.js';

let pki: Pki;
let server: FaultyServer;
let certificate: ClientCertificate;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  certificate = (await createTestKit()).certificate;
});
beforeEach(async () => {
  server = await startFaultyServer(pki);
  server.introspection = answer(200, goodClaims(server.issuer, certificate.thumbprint));
  return () => server.close();
});
afterAll(() => vi.restoreAllMocks());

const options = (agent: NonNullable<HttpOptions['agent']>): ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'a-secret',
  audience,
  certificate: () => certificate,
  http: { ca: pki.ca.cert, timeout: 20, agent },
});
const idle = (agent: Agent) => Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);

it('close() leaves connections of an agent that two resource servers share', async () => {
  const shared = new Agent({ keepAlive: true, ca: pki.ca.cert });
  const [one, two] = [
    createResourceServer(options(() => shared)),
    createResourceServer(options(() => shared)),
  ];
  try {
    expect(await outcomeOf(() => one.authorize(requestWith('first')))).toBe('admitted');
    await vi.waitFor(() => expect(idle(shared)).toHaveLength(1));
    const [connection] = idle(shared);
    await one.close();
    expect(await outcomeOf(() => two.authorize(requestWith('second')))).toBe('admitted');
    await vi.waitFor(() => expect(idle(shared)).toEqual([connection]));
    expect(connection?.destroyed).toBe(false);
  } finally {
    await two.close();
    shared.destroy();
  }
});

/** The agent that the page shows, through the proxy on this port. */
async function shownAgent(port: number): Promise<NonNullable<HttpOptions['agent']>> {
  const { code = '' } = blocks.find((block) => block.code.includes("method: 'CONNECT'")) ?? {};
  const variables = 'const [issuer, clientId, clientSecret, audience] = [];';
  const module = `${variables}\nlet shown;\nconst mtlsBound = ({ http }) => { shown = http.agent; };\n${code}\nexport { shown };`;
  const { shown } = await import(
    `data:text/javascript,${encodeURIComponent(module.replace('port: 3128', `port: ${port}`))}`
  );
  return shown;
}

it.each([
  [200, 'admitted'],
  [407, 'authorization_server_unreachable'],
])(
  'the agent that docs/reference/http-proxy.md shows goes through an HTTP proxy that answers %s',
  async (status, outcome) => {
    const tunnels: (string | undefined)[] = [];
    const proxy = createServer().on('connect', (req, client) => {
      tunnels.push(req.url);
      client.on('error', () => undefined);
      client.write(`HTTP/1.1 ${status} Proxy\r\n\r\n`);
      const upstream = connect(Number(new URL(server.issuer).port), '127.0.0.1').on('error', () => undefined);
      client.pipe(upstream).pipe(client);
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
    const port = await listen(proxy);
    const resourceServer = createResourceServer({
      ...options(await shownAgent(port)),
      authorizationServerMetadata: { introspection_endpoint: `${server.issuer}/introspect` },
    });
    try {
      // Trusts `http.ca` within the tunnel, too.
      expect(await outcomeOf(() => resourceServer.authorize(requestWith('token')))).toBe(outcome);
      expect(new Set(tunnels)).toEqual(new Set([new URL(server.issuer).host]));
      expect(server.requests).toHaveLength(status === 200 ? 1 : 0);
    } finally {
      await resourceServer.close();
      await server.close();
      await close(proxy);
    }
  },
);
