// The products of docs/reference/proxies/more-products.md that have no preset of their own: published values, read
// by the preset that the page names, in both frameworks.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as core from '@mtls-bound/core';
import request from 'supertest';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { envoyDocumentation, rfc8705AppendixA, traefikCheese } from '../../support/vectors.js';

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

const page = readFileSync(
  new URL('../../../docs/reference/proxies/more-products.md', import.meta.url),
  'utf8',
);
const sectionOf = (product: string): string => page.split(`\n## ${product}\n`)[1]?.split('\n## ')[0] ?? '';

const { pem, thumbprint } = rfc8705AppendixA;
const base64 = new X509Certificate(pem).raw.toString('base64');
const cheese = core.thumbprintOf(Buffer.from(traefikCheese, 'base64'));
const xfccThumbprint = Buffer.from(envoyDocumentation.hashes[0], 'hex').toString('base64url');

interface Row {
  readonly product: string;
  readonly what: string;
  /** As the page writes it, or the page that it leads to. */
  readonly shown: string;
  readonly preset: core.ProxyPreset;
  readonly value: string;
  readonly thumbprint: string;
}

const gateway = (what: string, shown: string, preset: core.ProxyPreset, value: string, of: string): Row => ({
  product: 'Kubernetes Gateway API',
  what,
  shown,
  preset,
  value,
  thumbprint: of,
});

const rows: readonly Row[] = [
  {
    product: 'AWS API Gateway',
    what: 'base64 of the PEM, by a Lambda authorizer',
    shown: "apache({ encoding: 'base64', header: 'x-client-cert' })",
    preset: core.apache({ encoding: 'base64', header: 'x-client-cert' }),
    value: Buffer.from(pem).toString('base64'),
    thumbprint,
  },
  {
    product: 'AWS API Gateway',
    what: 'percent-encoded PEM, by a Lambda authorizer',
    shown: "nginx({ header: 'x-client-cert' })",
    preset: core.nginx({ header: 'x-client-cert' }),
    value: encodeURIComponent(pem),
    thumbprint,
  },
  gateway(
    'Envoy Gateway, Contour, kgateway',
    '[Envoy](envoy.md)',
    core.envoy(),
    envoyDocumentation.one,
    xfccThumbprint,
  ),
  gateway('Istio', 'Istio', core.istio(), envoyDocumentation.one, xfccThumbprint),
  gateway('NGINX Gateway Fabric', '[NGINX](nginx.md)', core.nginx(), encodeURIComponent(pem), thumbprint),
  gateway('Traefik', 'Traefik', core.traefik(), traefikCheese, cheese),
  gateway('Kong', 'Kong', core.kong(), encodeURIComponent(pem), thumbprint),
  gateway('HAProxy', 'HAProxy', core.haproxy(), base64, thumbprint),
];

describe.each(frameworks)('%s', (framework) => {
  it.each(rows)('$product, $what', async ({ product, shown, preset, value, thumbprint: own }) => {
    expect(sectionOf(product).replaceAll(/\s+/g, ' ')).toContain(shown);
    const status = async (bound: string, sent: string | undefined): Promise<number> => {
      const server = pretendServer(() => boundClaims({ thumbprint: bound }));
      const certificate = core.proxyHeader(preset, { trust: () => true });
      const { listener } = createApi(framework, optionsOver(server, undefined, { certificate }));
      const call = request(listener).get('/').auth('token', { type: 'bearer' });
      return (await (sent === undefined ? call : call.set(preset.header, sent))).status;
    };
    expect(await status(own, value)).toBe(200);
    expect(await status('A'.repeat(43), value)).toBe(401);
    expect(await status(own, undefined)).toBe(401);
    expect(await status(own, '')).toBe(401);
    expect(await status(own, 'garbage')).toBe(400);
  });
});
