// A real Envoy that connects to the API with the certificate of a SPIFFE id, and passes the chains of clients on.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { envoy, type ProblemEvent, proxyHeader, type RefusedEvent } from '@mtls-bound/core';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework, frameworks, serve } from '../../support/apis.js';
import { authority, client, type Node } from '../../support/chains.js';
import { mesh, issuing as meshIssuing, named, proxyId } from '../../support/named-proxy-cases.js';
import { createPki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { describeReal } from '../../support/programs.js';
import { type RealProxy, startProxy } from '../../support/real-proxies.js';
import { recordedEvents } from '../../support/recorded-events.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = recordedEvents<RefusedEvent>('mtls-bound:refused');

const clientId = 'spiffe://clients.example/tpp';
const pki = await createPki();
const root = await authority('CN=Root, O=Directory');
const upper = await authority('CN=Upper, O=Directory', root);
const issuing = await authority('CN=Issuing, O=Directory', upper);
const impostor = await authority('CN=Issuing, O=Directory', await authority('CN=Root, O=Directory'));
const withId = named(['url', clientId], ['dns', 'tpp.example.com']);
const good = await client('CN=tpp', issuing, withId);

const own = mkdtempSync(join(tmpdir(), 'mtls-bound-spiffe-'));
afterAll(() => rmSync(own, { recursive: true }));

const hash = ({ der }: Node) => createHash('sha256').update(der);

/** A client that Envoy asks for a certificate, and what the API answers. */
type Row = [title: string, chain: () => Promise<readonly Node[]>, status: number, why?: RegExp];

const rows: Row[] = [
  [
    'a chain to the authority, and a SPIFFE id that the policy lists',
    async () => [good, issuing, upper],
    200,
  ],
  ['a chain with the root behind it', async () => [good, issuing, upper, root], 200],
  ['a chain in another order', async () => [good, upper, issuing], 200],
  ['half of the chain', async () => [await client('CN=tpp', issuing, withId), issuing], 403, /no path leads/],
  [
    'a chain of another authority with the same names',
    async () => [await client('CN=tpp', impostor, withId), impostor],
    403,
    /no path leads/,
  ],
  [
    'another SPIFFE id of the same authority',
    async () => [
      await client('CN=tpp', issuing, named(['url', 'spiffe://clients.example/other'])),
      issuing,
      upper,
    ],
    403,
    /no alternative name is listed/,
  ],
  ['no certificate', async () => [], 401],
];

describeReal('envoy', 'Envoy with SPIFFE ids and Chain', () => {
  describe.each(frameworks)('%s', (framework) => {
    let api: Awaited<ReturnType<typeof startApi>>;
    let proxy: RealProxy | undefined;
    beforeEach(async () => {
      api = await startApi(framework);
    });
    afterEach(async () => {
      await proxy?.close();
      proxy = undefined;
      await api.close();
    });

    /** Starts an Envoy with this certificate of its own. */
    async function startEnvoy(
      chain: readonly [Node, ...Node[]],
      details = '{ cert: true, chain: true, uri: true }',
    ) {
      writeFileSync(join(own, 'proxy.pem'), chain.map(({ cert }) => cert).join(''));
      writeFileSync(join(own, 'proxy.key'), chain[0].key);
      proxy = await startProxy({
        program: 'envoy',
        config: 'envoy/mutual-tls-hop.yaml',
        pki,
        upstream: api.port,
        secret: 'not-used-in-this-test',
        replace: {
          'proxy.pem': `../${basename(own)}/proxy.pem`,
          'proxy.key': `../${basename(own)}/proxy.key`,
          '{ cert: true, chain: true }': details,
        },
      });
    }

    const through = (
      chain: readonly Node[],
      headers: Record<string, string> = {},
    ): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const [leaf = good] = chain;
        request(
          {
            host: '127.0.0.1',
            port: proxy?.port,
            ca: pki.ca.cert,
            servername: 'api.example.com',
            ...(chain.length > 0 && { cert: chain.map(({ cert }) => cert).join(''), key: leaf.key }),
            agent: false,
            headers: { authorization: `Bearer ${hash(leaf).digest('base64url')}`, ...headers },
          },
          (response) => {
            response.resume();
            resolve(response.statusCode);
          },
        )
          .on('error', reject)
          .end();
      });

    it('clients: each chain has its outcome, whatever the client says itself', async () => {
      await startEnvoy([await client('CN=proxy', meshIssuing, named(['url', proxyId])), meshIssuing]);
      const own = encodeURIComponent(good.cert);
      const whole = encodeURIComponent([good, issuing, upper].map(({ cert }) => cert).join(''));
      const forged = `Hash=${hash(good).digest('hex')};Cert="${own}";Chain="${whole}"`;
      for (const [title, make, status, why] of rows) {
        const chain = await make();
        const before = refusals.length;
        expect([title, await through(chain)]).toEqual([title, status]);
        expect([title, await through(chain, { 'x-forwarded-client-cert': forged })]).toEqual([title, status]);
        expect(refusals.slice(before)[0]?.refusal.detail ?? '').toMatch(why ?? /^/);
      }
      expect(api.lastHeader()).toBeUndefined();
      expect(await through([good, issuing, upper])).toBe(200);
      expect(api.lastHeader()).toMatch(
        /^Hash=[0-9a-f]{64};Cert=".*";Chain=".*";URI=spiffe:\/\/clients\.example\/tpp$/,
      );
    });

    it('the Envoy of the right SPIFFE id is trusted, and no other workload', async () => {
      const proxyCertificate = (id: string) => client('CN=proxy', mesh, named(['url', id]));
      await startEnvoy([await proxyCertificate('spiffe://mesh.example/ns/shop/sa/cart')]);
      expect(await through([good, issuing, upper])).toBe(401);
      expect(problems.map(({ code }) => code)).toContain('untrusted_proxy');
      await proxy?.close();
      await startEnvoy([await proxyCertificate(proxyId)]);
      expect(await through([good, issuing, upper])).toBe(200);
    });

    it('as the configuration has it, without URI', async () => {
      await startEnvoy(
        [await client('CN=proxy', mesh, named(['url', proxyId]))],
        '{ cert: true, chain: true }',
      );
      expect(await through([good, issuing, upper])).toBe(200);
    });
  });
});

async function startApi(framework: Framework) {
  // A token is the thumbprint that it is bound to.
  const server = pretendServer((token) => boundClaims({ thumbprint: token }));
  const certificate = proxyHeader(envoy(), {
    trust: 'loopback',
    proxyCertificate: { ca: mesh.cert, uri: proxyId },
  });
  const certificatePolicy = { authorities: root.cert, san: { uri: clientId } };
  const { listener } = createApi(
    framework,
    optionsOver(server, undefined, { certificate, certificatePolicy }),
  );
  let header: string | undefined;
  const { cert, key } = pki.server;
  const tls = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (req, res) => {
    header = req.headers['x-forwarded-client-cert'] as string | undefined;
    listener(req, res);
  });
  const api = await serve(tls, () => 0);
  return { port: api.port, close: api.close, lastHeader: () => header };
}
