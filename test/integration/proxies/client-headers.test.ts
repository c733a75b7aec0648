import { createServer, request } from 'node:http';
import {
  envoy,
  haproxy,
  nginx,
  type ProxyPreset,
  proxyHeader,
  type ResourceServerOptions,
  rfc9440,
} from '@mtls-bound/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { routeCertificatePolicy } from '../../../packages/core/src/policy/route-certificate.js';
import { createApi, type Framework, frameworks } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { mismatch } from '../../support/mismatch.js';
import type { Identity } from '../../support/pki.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
});

const secret = { header: 'x-proxy-secret', value: 'a-secret-of-the-proxy' };
const onVerified = () => routeCertificatePolicy({ requireVerified: true });

/** The status of a request whose headers the proxy hands on, with a token that is bound to alice's certificate. */
async function status(
  framework: Framework,
  preset: ProxyPreset,
  headers: Record<string, string>,
  more: ResourceServerOptions = {},
): Promise<number | undefined> {
  const options = {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'secret',
    audience,
    http: { ca: pki.ca.cert },
    certificate: proxyHeader(preset, { trust: 'loopback', secret }),
    ...more,
  };
  const api = createServer(createApi(framework, options, onVerified()).listener);
  const port = await listen(api as never);
  try {
    return await new Promise((resolve, reject) => {
      const head = { Authorization: 'Bearer token', 'X-Proxy-Secret': secret.value, ...headers };
      request({ host: '127.0.0.1', port, path: '/policy', agent: false, headers: head }, (res) => {
        res.resume();
        resolve(res.statusCode);
      })
        .once('error', reject)
        .end();
    });
  } finally {
    await close(api as never);
  }
}

const hashOf = ({ thumbprint }: Identity): string => Buffer.from(thumbprint, 'base64url').toString('hex');
const byteSequence = ({ der }: Identity): string => `:${der.toString('base64')}:`;

describe.each(frameworks)('%s', (framework) => {
  it('a client does not verify itself where the verdict’s header is not named', async () => {
    const cert = { 'X-SSL-Client-Cert': encodeURIComponent(pki.alice.cert) };
    const der = { 'X-SSL-Client-Cert': pki.alice.der.toString('base64') };
    const said = (verdict: string) => ({ 'X-SSL-Client-Verify': verdict });
    expect(await status(framework, nginx(), { ...cert, ...said('SUCCESS') })).toBe(403);
    expect(await status(framework, haproxy(), { ...der, ...said('0') })).toBe(403);
    const naming = { verifyHeader: 'X-SSL-Client-Verify' };
    expect(await status(framework, nginx(naming), { ...cert, ...said('SUCCESS') })).toBe(200);
    expect(await status(framework, haproxy(naming), { ...der, ...said('0') })).toBe(200);
    expect(await status(framework, nginx(naming), { ...cert, ...said('NONE') })).toBe(403);
  });

  it('requireVerified is refused at start-up where no header of a verdict is named', async () => {
    const more = { certificatePolicy: { requireVerified: true } };
    await expect(status(framework, nginx(), {}, more)).rejects.toThrow(
      mismatch('certificatePolicy.requireVerified', 'true next to one without'),
    );
  });

  it('a renamed header is the only one that is read', async () => {
    const preset = rfc9440({ header: 'X-Client-Cert' });
    expect(await status(framework, preset, { 'Client-Cert': byteSequence(pki.alice) })).toBe(401);
    // The certificate counts; only the route's requireVerified refuses.
    expect(await status(framework, preset, { 'X-Client-Cert': byteSequence(pki.alice) })).toBe(403);
  });

  it('an open quote in the header and a quote in a name do not hide the proxy’s element', async () => {
    const preset = envoy({ forward: 'append-forward' });
    const sent = `Hash=${hashOf(pki.alice)};By="`;
    const own = (name: string) => `By=spiffe://api;Hash=${hashOf(pki.bob)};${name}=a"`;
    for (const name of ['URI', 'DNS']) {
      const value = `${sent},${own(name)}`;
      expect(await status(framework, preset, { 'X-Forwarded-Client-Cert': value })).toBe(400);
    }
    expect(
      await status(framework, preset, { 'X-Forwarded-Client-Cert': `Hash=${hashOf(pki.bob)};URI=` }),
    ).toBe(401);
  });

  it('a list that a client begins and a name of its certificate ends: 400', async () => {
    const preset = envoy({ forward: 'append-forward' });
    const value = `[{"hash":"${hashOf(pki.alice)}","x":",Hash=${hashOf(pki.bob)};URI=a"}]`;
    expect(await status(framework, preset, { 'X-Forwarded-Client-Cert': value })).toBe(400);
    const list = JSON.stringify([{ hash: hashOf(pki.bob), uri: ['a"}]'] }]);
    expect(await status(framework, preset, { 'X-Forwarded-Client-Cert': list })).toBe(401);
  });

  it('a decoder of a hand-made preset that throws: 400', async () => {
    const preset: ProxyPreset = { name: 'mine', header: 'X-Cert', decode: () => JSON.parse('{') };
    expect(await status(framework, preset, { 'X-Cert': 'any' })).toBe(400);
  });
});
