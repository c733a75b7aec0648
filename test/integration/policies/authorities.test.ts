// certificatePolicy.authorities: the chain of the client's certificate is verified here, wherever the certificate comes from.
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  awsAlb,
  type CertificatePolicyOptions,
  type CertificateSource,
  envoy,
  nginx,
  type ProblemEvent,
  proxyHeader,
  type RefusedEvent,
  type RoutePolicy,
  rfc9440,
  routeCertificatePolicy,
} from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { ChainVerification } from '../../../packages/core/src/chain/chain-verification.js';
import { createApi, type Framework, frameworks, mutualTls, serve } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { authority, client, type Node, rawExtension } from '../../support/chains.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import type { Identity } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = recordedEvents<RefusedEvent>('mtls-bound:refused');
const { pki, server } = await useFaultyServer();

const folder = mkdtempSync(join(tmpdir(), 'authorities-'));
afterAll(() => rmSync(folder, { recursive: true }));

const root = await authority('CN=Root, O=Directory');
const middle = await authority('CN=Issuing, O=Directory', root);
const impostor = await authority('CN=Root, O=Directory');
const expired = await authority('CN=Old, O=Directory', root, { from: -9, to: -1 });
const short = await authority('CN=Short, O=Directory', root, { pathLength: 0 });
const below = await authority('CN=Below, O=Directory', short);
const bank = Buffer.from('bank.example');
const limited = await authority('CN=Limited, O=Directory', root, {
  extensions: [rawExtension('2.5.29.30', `3012a010300e820c${bank.toString('hex')}`)],
});
const dns = (value: string) => ({
  extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value }])],
});

/** A client's certificate, and those that come behind it. */
type Chain = readonly [leaf: Node, ...between: Node[]];

const good: Chain = [await client('CN=tpp', middle), middle];
const passing: readonly (readonly [string, Chain])[] = [
  ['a chain to the authority', good],
  ['names within the name constraints', [await client('CN=tpp', limited, dns('a.bank.example')), limited]],
];
const failing: readonly (readonly [string, Chain, RegExp])[] = [
  ['another authority with the same name', [await client('CN=tpp', impostor), impostor], /no path leads/],
  ['an expired intermediate', [await client('CN=tpp', expired), expired], /has expired/],
  ['a path that is too long', [await client('CN=tpp', below), below, short], /one authority more/],
  [
    'a certificate for servers',
    [await client('CN=tpp', middle, {}, [x509.ExtendedKeyUsage.serverAuth]), middle],
    /lacks clientAuth/,
  ],
  [
    'a name that violates a name constraint',
    [await client('CN=tpp', limited, dns('evil.example')), limited],
    /violates a name constraint/,
  ],
  ['a certificate that the client issued to itself', [impostor], /no path leads/],
];

const sources = [
  'TLS',
  'a proxy that passes the chain on',
  'an Envoy that passes Cert and Chain on',
  'a proxy that sends Client-Cert and Client-Cert-Chain',
  'a proxy that passes the certificate on',
] as const;
type Source = (typeof sources)[number];

const trust = { trust: 'loopback' } as const;
const sourceOf: Record<Source, () => CertificateSource | undefined> = {
  TLS: () => undefined,
  'a proxy that passes the chain on': () => proxyHeader(awsAlb({ mode: 'passthrough' }), trust),
  'an Envoy that passes Cert and Chain on': () => proxyHeader(envoy(), trust),
  'a proxy that sends Client-Cert and Client-Cert-Chain': () =>
    proxyHeader(rfc9440({ chainHeader: 'Client-Cert-Chain' }), trust),
  'a proxy that passes the certificate on': () => proxyHeader(nginx(), trust),
};

async function startApi(
  framework: Framework,
  source: Source,
  certificatePolicy: CertificatePolicyOptions,
  binding: 'required' | 'when-bound' = 'required',
  policy?: RoutePolicy,
) {
  const certificate = sourceOf[source]();
  const { listener } = createApi(
    framework,
    {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 's',
      audience,
      http: { ca: pki.ca.cert },
      ...(certificate && { certificate }),
      certificatePolicy,
      binding,
    },
    policy,
  );
  return serve(createServer(mutualTls(pki), listener), () => 0);
}

/** The statuses of two requests, the second of which finds the token and the chain known. */
async function statuses(
  framework: Framework,
  source: Source,
  chain: Chain,
  policy: CertificatePolicyOptions = {},
): Promise<number[]> {
  // A proxy that hands on the certificate alone: the intermediates are configured.
  const between = source === 'a proxy that passes the certificate on' ? chain.slice(1) : [];
  const api = await startApi(framework, source, {
    authorities: root.cert,
    ...(between.length > 0 && { intermediates: between.map(({ cert }) => cert) }),
    ...policy,
  });
  try {
    return [await ask(api, source, chain), await ask(api, source, chain)];
  } finally {
    await api.close();
  }
}

async function ask(
  api: { url: string },
  source: Source,
  [leaf, ...between]: Chain,
  claims = {},
  path = '/',
): Promise<number> {
  const thumbprint = createHash('sha256').update(leaf.der).digest('base64url');
  server.introspection = answer(200, goodClaims(server.issuer, thumbprint, claims));
  const pem = [leaf, ...between].map(({ cert }) => cert).join('');
  const identity = { cert: pem, key: leaf.key } as Identity;
  const request = call(pki, api as never, path, source === 'TLS' ? identity : undefined).auth(
    `token-${thumbprint}`,
    { type: 'bearer' },
  );
  if (source === 'a proxy that passes the chain on') {
    request.set('x-amzn-mtls-clientcert', encodeURIComponent(pem));
  }
  if (source === 'an Envoy that passes Cert and Chain on') {
    const hash = Buffer.from(thumbprint, 'base64url').toString('hex');
    const [own, whole] = [leaf.cert, pem].map(encodeURIComponent);
    request.set('x-forwarded-client-cert', `Hash=${hash};Cert="${own}";Chain="${whole}"`);
  }
  if (source === 'a proxy that sends Client-Cert and Client-Cert-Chain') {
    const [own = '', ...rest] = [leaf, ...between].map(
      ({ der }) => `:${Buffer.from(der).toString('base64')}:`,
    );
    request.set('client-cert', own);
    if (rest.length > 0) {
      request.set('client-cert-chain', rest.join(', '));
    }
  }
  if (source === 'a proxy that passes the certificate on') {
    request.set('x-ssl-client-cert', encodeURIComponent(leaf.cert));
  }
  return (await request).status;
}

describe.each(frameworks)('%s', (framework) => {
  describe.each(sources)('%s', (source) => {
    it.each(passing)('accepts %s', async (_, chain) => {
      expect(await statuses(framework, source, chain)).toEqual([200, 200]);
    });

    it.each(failing)('refuses %s', async (_, chain, why) => {
      expect(await statuses(framework, source, chain)).toEqual([403, 403]);
      expect(refusals.map(({ refusal }) => refusal.code)).toEqual([
        'certificate_refused',
        'certificate_refused',
      ]);
      expect(refusals[0]?.refusal.detail).toMatch(/^its chain leads to none of the authorities: /);
      expect(refusals[0]?.refusal.detail).toMatch(why);
    });

    it('counts a verified chain for the rules by names', async () => {
      const policy = { subject: 'CN=tpp', issuer: 'O=Directory,CN=Issuing' };
      expect(await statuses(framework, source, good, policy)).toEqual([200, 200]);
      expect(problems.filter(({ code }) => code === 'chain_verdict_missing')).toEqual([]);
    });

    it('refuses with 401 if the policy says so', async () => {
      expect(await statuses(framework, source, [impostor], { refusalStatus: 401 })).toEqual([401, 401]);
    });

    it('reads a file of authorities again', async () => {
      const file = join(folder, `${framework}-${source}.pem`.replaceAll(' ', '-'));
      writeFileSync(file, impostor.cert);
      vi.useFakeTimers({ toFake: ['Date'] });
      const api = await startApi(framework, source, { authorities: file, intermediates: middle.cert });
      try {
        expect(await ask(api, source, good)).toBe(403);
        writeFileSync(file, `# the directory\n${impostor.cert}${root.cert}`);
        // No request came for a minute: the next one waits for the file.
        vi.setSystemTime(Date.now() + 61_000);
        expect(await ask(api, source, good)).toBe(200);
        writeFileSync(file, 'half a fi');
        vi.setSystemTime(Date.now() + 61_000);
        expect(await ask(api, source, good)).toBe(200);
        expect(problems.map(({ code }) => code)).toContain('authorities_unreadable');
      } finally {
        vi.useRealTimers();
        await api.close();
      }
    });

    it('takes authorities from a function, and answers 503 while it gives none', async () => {
      const given: (() => Promise<string>)[] = [
        () => Promise.reject(new Error('the store is down')),
        () => Promise.resolve(root.cert),
      ];
      const authorities = () => (given.shift() as () => Promise<string>)();
      const api = await startApi(framework, source, { authorities, intermediates: middle.cert });
      try {
        expect(await ask(api, source, good)).toBe(503);
        expect(await ask(api, source, good)).toBe(200);
      } finally {
        await api.close();
      }
    });
  });

  it.each(sources)('%s: a token that is refused anyway costs no look at the certificate', async (source) => {
    const authorities = vi.fn(() => root.cert);
    const api = await startApi(framework, source, { authorities, intermediates: middle.cert });
    try {
      expect(await ask(api, source, good, { active: false })).toBe(401);
      expect(await ask(api, source, good, { active: false })).toBe(401);
      expect(authorities).not.toHaveBeenCalled();
    } finally {
      await api.close();
    }
  });

  it.each(sources)('%s: a token of another certificate costs no look at the certificate', async (source) => {
    const authorities = vi.fn(() => root.cert);
    const api = await startApi(framework, source, { authorities, intermediates: middle.cert });
    const claims = { cnf: { 'x5t#S256': createHash('sha256').update('another').digest('base64url') } };
    try {
      expect(await ask(api, source, good, claims)).toBe(401);
      expect(await ask(api, source, good, claims)).toBe(401);
      expect(authorities).not.toHaveBeenCalled();
      expect(refusals.map(({ refusal }) => refusal.code)).toEqual(Array(2).fill('certificate_mismatch'));
    } finally {
      await api.close();
    }
  });

  it.each(sources)('%s: a token of another certificate builds no path to a status', async (source) => {
    const built = vi.spyOn(ChainVerification.prototype, 'verify');
    const revocationCheck = { by: 'crl' } as const;
    const api = await startApi(framework, source, { authorities: root.cert, revocationCheck });
    const claims = { cnf: { 'x5t#S256': createHash('sha256').update('another').digest('base64url') } };
    try {
      expect(await ask(api, source, good, claims)).toBe(401);
      expect(built).not.toHaveBeenCalled();
    } finally {
      built.mockRestore();
      await api.close();
    }
  });

  it('a binding that is not required: a token without one is accepted with a good chain alone', async () => {
    const api = await startApi(framework, 'TLS', { authorities: root.cert }, 'when-bound');
    const claims = { cnf: undefined };
    try {
      expect(await ask(api, 'TLS', good, claims)).toBe(200);
      expect(await ask(api, 'TLS', [impostor], claims)).toBe(403);
    } finally {
      await api.close();
    }
  });

  it('accepts requireVerified without a verdict of the proxy, next to authorities', async () => {
    const source = 'a proxy that passes the chain on';
    expect(await statuses(framework, source, good, { requireVerified: true })).toEqual([200, 200]);
    expect(await statuses(framework, source, [impostor], { requireVerified: true })).toEqual([403, 403]);
  });

  it('requireVerified refuses what TLS found untrusted, whatever the authorities', async () => {
    expect(await statuses(framework, 'TLS', good, { requireVerified: true })).toEqual([403, 403]);
    expect(refusals[0]?.refusal.detail).toMatch(/^it is not verified: TLS says /);
  });

  it('requireVerified of a route goes by the authorities of mtlsBound()', async () => {
    const policy = routeCertificatePolicy({ requireVerified: true });
    const api = await startApi(framework, 'TLS', { authorities: root.cert }, 'required', policy);
    const without = await startApi(framework, 'TLS', { requireValidNow: true }, 'required', policy);
    try {
      expect(await ask(api, 'TLS', good, {}, '/policy')).toBe(200);
      expect(await ask(api, 'TLS', [impostor], {}, '/policy')).toBe(403);
      expect(await ask(without, 'TLS', good, {}, '/policy')).toBe(403);
    } finally {
      await api.close();
      await without.close();
    }
  });
});

describe('at start-up', () => {
  const start = (certificatePolicy: CertificatePolicyOptions, certificate?: CertificateSource) => () =>
    createApi('Express', {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 's',
      audience,
      certificatePolicy,
      ...(certificate && { certificate }),
    });

  it.each<[string, CertificatePolicyOptions, RegExp]>([
    [
      'a file that is missing',
      { authorities: join(folder, 'missing.pem') },
      /certificatePolicy\.authorities: .*ENOENT/,
    ],
    ['a certificate of a client', { authorities: good[0].cert }, /"CN=tpp" is not that of an authority/],
    ['PEM that is cut off', { authorities: root.cert.slice(0, 300) }, /breaks off within a certificate/],
    ['an empty list', { authorities: [] }, /certificatePolicy\.authorities/],
    ['a number', { authorities: 1 as never }, /certificatePolicy\.authorities/],
    ['intermediates alone', { intermediates: middle.cert }, /certificatePolicy\.intermediates/],
  ])('refuses %s', (_, policy, message) => {
    expect(start(policy)).toThrow(message);
  });

  it('refuses authorities next to a preset that hands on the hash alone', () => {
    const hash = proxyHeader(nginx({ verifyHeader: 'x-verify' }), trust);
    expect(
      start({ authorities: root.cert }, Object.assign({ ...hash }, { thumbprintOnly: true }) as never),
    ).toThrow();
  });
});
