// The probe forges a certificate in each form that a preset reads: an API that believes one form alone is found.
import { createServer } from 'node:http';
import {
  apache,
  caddy,
  envoy,
  googleCloud,
  haproxy,
  nginx,
  type ProxyPreset,
  proxyHeader,
} from '@mtls-bound/core';
import { beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { Finding } from '../../../packages/core/src/doctor/finding.js';
import { createListener } from '../../../packages/core/src/doctor/listener.js';
import { probe } from '../../../packages/core/src/doctor/probe.js';
import { createApi } from '../../support/apis.js';
import { startCarelessProxy } from '../../support/careless-proxy.js';
import { codesOf } from '../../support/findings.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

/** Reads one of the forms that Envoy writes, and no other. */
const envoyWriting = (isRead: (value: string) => boolean): ProxyPreset => {
  const preset = envoy();
  return {
    ...preset,
    decode: (value) =>
      value === '' || isRead(value) ? preset.decode(value) : { kind: 'malformed', why: 'another form' },
  };
};
const isJson = (value: string): boolean => value.startsWith('[');

const hashOf = ({ thumbprint }: Identity): Buffer => Buffer.from(thumbprint, 'base64url');

/** Each form with a preset that reads no other form, and with how the proxy writes it. */
const forms: [string, () => ProxyPreset, (identity: Identity) => string][] = [
  ['percent-encoded PEM', () => nginx(), ({ cert }) => encodeURIComponent(cert)],
  ['base64 of the DER', () => haproxy(), ({ der }) => der.toString('base64')],
  ['a Byte Sequence', () => caddy(), ({ der }) => `:${der.toString('base64')}:`],
  ['PEM on one line', () => apache(), ({ cert }) => cert.trim().replaceAll('\n', ' ')],
  [
    'base64 of the PEM',
    () => apache({ encoding: 'base64' }),
    ({ cert }) => Buffer.from(cert).toString('base64'),
  ],
  [
    "Envoy's elements",
    () => envoyWriting((value) => !isJson(value)),
    (one) => `Hash=${hashOf(one).toString('hex')}`,
  ],
  [
    "Envoy's JSON",
    () => envoyWriting(isJson),
    (one) => JSON.stringify([{ hash: hashOf(one).toString('hex') }]),
  ],
  ['the hash in hex', () => haproxy({ encoding: 'sha256' }), (one) => hashOf(one).toString('hex')],
  ['the hash in base64', () => googleCloud({ encoding: 'sha256' }), (one) => hashOf(one).toString('base64')],
];

/** What the probe finds of an API behind a proxy that sets the header only with a certificate. */
async function probedApi(preset: ProxyPreset, write: (identity: Identity) => string): Promise<Finding[]> {
  const server = pretendServer(() => boundClaims(pki.alice));
  const certificate = proxyHeader(preset, { trust: 'loopback' });
  const { listener } = createApi('Express', optionsOver(server, undefined, { certificate }));
  const api = createServer(listener);
  const port = await listen(api as never);
  const proxy = await startCarelessProxy(pki, port, (headers, der) =>
    der === undefined ? headers : { ...headers, [preset.header]: write(pki.alice) },
  );
  const { cert, key } = pki.alice;
  try {
    const direct = new URL(`http://127.0.0.1:${port}/`);
    const { header } = preset;
    return await probe({ url: proxy.url, direct, cert, key, ca: pki.ca.cert, header, token: 'token' });
  } finally {
    await proxy.close();
    await close(api as never);
  }
}

it.each(forms)('finds an API that believes %s from a client', async (_form, make, write) => {
  expect(codesOf(await probedApi(make(), write))).toEqual([
    'ok certificate_forwarded',
    'problem header_not_overwritten',
    'problem believes_anyone',
    'ok tls_versions',
  ]);
});

it.each<[string, string, (identity: Identity) => string]>([
  ['the hash in hex', "haproxy({ encoding: 'sha256' })", (one) => hashOf(one).toString('hex')],
  [
    'the hash in base64',
    "googleCloud({ header: 'x-ssl-client-cert', encoding: 'sha256' })",
    (one) => hashOf(one).toString('base64'),
  ],
  [
    "Envoy's JSON",
    "envoy({ header: 'x-ssl-client-cert' })",
    (one) => JSON.stringify([{ hash: hashOf(one).toString('hex'), cert: one.cert }]),
  ],
])('names the preset that reads %s, where the options name another', async (_form, call, write) => {
  const found: Finding[] = [];
  const source = proxyHeader(nginx(), { trust: 'loopback' });
  const listener = createListener({ source, onArrival: ({ findings }) => found.push(...findings) });
  const port = await listen(listener);
  try {
    await fetch(`http://127.0.0.1:${port}/`, { headers: { 'x-ssl-client-cert': write(pki.alice) } });
  } finally {
    await close(listener);
  }
  expect(found.map(({ code, fix }) => [code, fix])).toEqual([
    ['wrong_encoding', `the value is as ${call} reads it: use that preset`],
  ]);
});
