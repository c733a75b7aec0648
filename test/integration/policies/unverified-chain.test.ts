// A client can make itself an authority with any name, and certificates with any name and role.
import 'reflect-metadata';
import { createServer } from 'node:https';
import {
  ClientCertificate,
  nginx,
  type ProblemEvent,
  proxyHeader,
  psd2Roles,
  type RefusedEvent,
} from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { describe, expect, it, vi } from 'vitest';
import { type Framework, frameworks, type Listener, mutualTls, serve } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { createPki, type Identity, issueFrom } from '../../support/pki.js';
import { qcStatements } from '../../support/qc-statements.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = recordedEvents<RefusedEvent>('mtls-bound:refused');
const { pki, server } = await useFaultyServer();

const PI = '0.4.0.19495.1.2';
const issueTpp = (authority: typeof pki) =>
  issueFrom(
    authority,
    'CN=tpp',
    [qcStatements(PI), new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
    ['tpp.example.com'],
  );
const genuine = await issueTpp(pki);
/** A certificate with these names and roles, by an authority that has the name of the real one. */
const forged = await issueTpp(await createPki());

interface Rule {
  readonly certificatePolicy?: expressMtls.CertificatePolicyOptions;
  readonly guard?: (library: typeof expressMtls | typeof koaMtls) => unknown;
}

const issuer = 'O=Example,CN=Test CA';
const rulesByName: readonly (readonly [string, Rule, string, 401 | 403])[] = [
  ['certificatePolicy.issuer', { certificatePolicy: { issuer } }, 'certificatePolicy.issuer', 403],
  [
    'certificatePolicy.subject',
    { certificatePolicy: { subject: 'CN=tpp' } },
    'certificatePolicy.subject',
    403,
  ],
  [
    'certificatePolicy.san',
    { certificatePolicy: { san: { dns: 'tpp.example.com' } } },
    'certificatePolicy.san',
    403,
  ],
  [
    'two of them, with 401',
    { certificatePolicy: { subject: 'CN=tpp', issuer, refusalStatus: 401 } },
    'certificatePolicy.issuer, certificatePolicy.subject',
    401,
  ],
  [
    'requireCertificate()',
    { guard: (library) => library.requireCertificate({ issuer }) },
    'requireCertificate().issuer',
    403,
  ],
  [
    'requireCertificateSubject()',
    { guard: (library) => library.requireCertificateSubject({ CN: 'tpp' }) },
    'requireCertificateSubject()',
    403,
  ],
  ['requirePsd2Role()', { guard: (library) => library.requirePsd2Role('PSP_PI') }, 'requirePsd2Role()', 403],
];
const otherRules: readonly (readonly [string, Rule])[] = [
  ['requireValidNow', { certificatePolicy: { requireValidNow: true } }],
  ['extendedKeyUsage', { certificatePolicy: { extendedKeyUsage: 'clientAuth' } }],
];

type From = 'TLS' | 'a proxy with a verdict' | 'a proxy without one';

async function startRule(framework: Framework, from: From, { certificatePolicy, guard }: Rule) {
  const preset = from === 'a proxy without one' ? nginx() : nginx({ verifyHeader: 'x-ssl-client-verify' });
  const options = {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 's',
    audience,
    http: { ca: pki.ca.cert },
    ...(from !== 'TLS' && { certificate: proxyHeader(preset, { trust: 'loopback' }) }),
    ...(certificatePolicy && { certificatePolicy }),
  };
  if (framework === 'Express') {
    const app = express().use(expressMtls.mtlsBound(options));
    if (guard !== undefined) {
      app.use(guard(expressMtls) as express.RequestHandler);
    }
    app.use((_req, res) => void res.json({}));
    return serve(createServer(mutualTls(pki), app as Listener), () => 0);
  }
  const app = new Koa().use(koaMtls.mtlsBound(options));
  if (guard !== undefined) {
    app.use(guard(koaMtls) as Koa.Middleware);
  }
  app.use((ctx) => {
    ctx.body = {};
  });
  return serve(createServer(mutualTls(pki), app.callback() as Listener), () => 0);
}

/** The statuses of two requests: the second finds the token in the cache. */
async function statuses(framework: Framework, from: From, rule: Rule, identity: Identity): Promise<number[]> {
  server.introspection = answer(200, goodClaims(server.issuer, identity.thumbprint, { tpp: 'tpp' }));
  const api = await startRule(framework, from, rule);
  const ask = async () => {
    const request = call(pki, api, '/', from === 'TLS' ? identity : undefined).auth('token', {
      type: 'bearer',
    });
    if (from !== 'TLS') {
      request.set('x-ssl-client-cert', encodeURIComponent(identity.cert));
      request.set('x-ssl-client-verify', identity === genuine ? 'SUCCESS' : 'FAILED:self signed certificate');
    }
    return (await request).status;
  };
  try {
    return [await ask(), await ask()];
  } finally {
    await api.close();
  }
}

describe.each(frameworks)('%s', (framework) => {
  describe.each(['TLS', 'a proxy with a verdict'] as const)('%s', (from) => {
    it.each(rulesByName)(
      '%s refuses names and roles of a chain that was not verified',
      async (_, rule, __, status) => {
        expect(await statuses(framework, from, rule, genuine)).toEqual([200, 200]);
        expect(await statuses(framework, from, rule, forged)).toEqual([status, status]);
        const code = status === 401 ? 'certificate_refused_401' : 'certificate_refused';
        expect(refusals.map(({ refusal }) => refusal.code)).toEqual([code, code]);
        expect(refusals[0]?.refusal.detail).toMatch(/^it is not verified: /);
        expect(problems.filter((problem) => problem.code === 'chain_verdict_missing')).toEqual([]);
      },
    );

    it.each(otherRules)('%s needs no chain', async (_, rule) => {
      expect(await statuses(framework, from, rule, forged)).toEqual([200, 200]);
    });
  });

  it.each(rulesByName)(
    'a proxy without a verdict: %s reports once that it needs one',
    async (_, rule, name) => {
      expect(await statuses(framework, 'a proxy without one', rule, forged)).toEqual([200, 200]);
      const messages = problems
        .filter(({ code }) => code === 'chain_verdict_missing')
        .map(({ message }) => message);
      expect(messages).toEqual([expect.stringContaining(`${name} goes by names or roles`)]);
      expect(messages[0]).toContain('verifyHeader');
    },
  );

  it.each(otherRules)('a proxy without a verdict: %s reports nothing', async (_, rule) => {
    await statuses(framework, 'a proxy without one', rule, forged);
    expect(problems.filter(({ code }) => code === 'chain_verdict_missing')).toEqual([]);
  });
});

it('psd2Roles() reads no role of a chain that was not verified', async () => {
  const roles = (facts: object) => psd2Roles(new ClientCertificate(forged.der, facts));
  expect(await roles({ verified: true })).toEqual(['PSP_PI']);
  expect(await roles({})).toEqual(['PSP_PI']);
  await expect(roles({ verified: false })).rejects.toMatchObject({
    code: 'certificate_refused',
    detail: 'it is not verified',
  });
  // What is no verdict makes no certificate.
  for (const verified of [null, 'yes']) {
    expect(() => roles({ verified })).toThrow('expected true, false or undefined as `verified`');
  }
});
