// Requests share a client's certificate: what one handler writes into it, no other request sees.
import { runInNewContext } from 'node:vm';
import { ClientCertificate, haproxy, proxyHeader } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import request from 'supertest';
import { beforeAll, describe, expect, it } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
let kit: TestKit;
beforeAll(async () => {
  [pki, kit] = await Promise.all([createPki(), createTestKit()]);
});

/** What a careless handler may do with the bytes of a certificate. */
function spoil(certificate: ClientCertificate | undefined): void {
  certificate?.der?.fill(0);
  certificate?.x509.raw.fill(0);
  (certificate?.x509.keyUsage as string[] | undefined)?.splice(0);
}

function start(framework: (typeof frameworks)[number]) {
  const certificate = proxyHeader(haproxy(), { trust: 'loopback' });
  const options = { ...kit.options, certificate };
  const policy = { extendedKeyUsage: 'clientAuth', requireValidNow: true } as const;
  if (framework === 'Express') {
    const app = express();
    app.use(expressMtls.mtlsBound(options));
    app.get('/spoil', (req, res) => {
      spoil(req.auth?.certificate);
      res.json({});
    });
    app.get('/look', expressMtls.requireCertificate(policy), (req, res) => {
      const { der, x509 } = req.auth?.certificate ?? {};
      res.json({ der: Buffer.from(der ?? []).toString('hex'), usage: x509?.keyUsage });
    });
    return app;
  }
  const app = new Koa();
  app.use(koaMtls.mtlsBound(options));
  app.use(async (ctx, next) => {
    if (ctx.path === '/look') {
      return next();
    }
    spoil(ctx.state.auth.certificate);
    ctx.body = {};
  });
  app.use(koaMtls.requireCertificate(policy));
  app.use((ctx) => {
    const { der, x509 } = ctx.state.auth.certificate;
    ctx.body = { der: Buffer.from(der ?? []).toString('hex'), usage: x509.keyUsage };
  });
  return app.callback();
}

describe.each(frameworks)('%s', (framework) => {
  it('a handler that writes into a certificate changes it for no other request', async () => {
    const app = start(framework);
    const token = kit.boundToken({ claims: { cnf: { 'x5t#S256': pki.alice.thumbprint } } });
    const get = (path: string) =>
      request(app)
        .get(path)
        .set('X-SSL-Client-Cert', pki.alice.der.toString('base64'))
        .auth(token, { type: 'bearer' });
    const before = (await get('/look')).body;
    expect(before).toEqual({ der: pki.alice.der.toString('hex'), usage: ['1.3.6.1.5.5.7.3.2'] });
    expect((await get('/spoil')).status).toBe(200);
    expect((await get('/look')).body).toEqual(before);
  });
});

describe('ClientCertificate', () => {
  it('keeps bytes of its own: what the caller writes into its bytes afterwards changes nothing', () => {
    const bytes = Uint8Array.from(pki.alice.der);
    const certificate = new ClientCertificate(bytes);
    bytes.fill(0);
    expect(Buffer.from(certificate.der ?? []).equals(pki.alice.der)).toBe(true);
    expect(certificate.thumbprint).toBe(pki.alice.thumbprint);
    expect(certificate.x509.subject).toContain('alice');
  });

  it('takes the bytes of another realm', () => {
    const foreign = runInNewContext('new Uint8Array(bytes)', { bytes: [...pki.alice.der] });
    expect(foreign instanceof Uint8Array).toBe(false);
    expect(new ClientCertificate(foreign).thumbprint).toBe(pki.alice.thumbprint);
  });

  it.each([
    [undefined],
    [null],
    ['text'],
    [{}],
    [{ thumbprint: 7 }],
    [{ thumbprint: 'short' }],
    [{ thumbprint: 'ab'.repeat(32) }],
    [[1, 2, 3]],
  ])('is made of nothing like %j', (from) => {
    expect(() => new ClientCertificate(from as never)).toThrow(TypeError);
  });

  it('an inherited verdict does not count', () => {
    const facts = Object.create({ verified: true }) as { verified?: boolean };
    expect(new ClientCertificate(pki.alice.der, facts).verified).toBeUndefined();
  });
});
