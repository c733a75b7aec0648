// Each export that is put among the handlers itself, without being called, answers, admits nothing, and says what is wrong.
import type { ProblemEvent } from '@mtls-bound/core';
import * as core from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import request from 'supertest';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Listener } from '../../support/apis.js';
import { recordedEvents } from '../../support/recorded-events.js';

let kit: TestKit;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});

const apps: [string, typeof expressMtls | typeof koaMtls, (mounted: unknown, seen: Seen) => Listener][] = [
  ['Express', expressMtls, (...of) => expressApp(express, ...of)],
  ['Express 4', expressMtls, (...of) => expressApp(express4, ...of)],
  ['Koa', koaMtls, (...of) => koaApp(Koa, ...of)],
  ['Koa 2', koaMtls, (...of) => koaApp(Koa2, ...of)],
];

interface Seen {
  handled: number;
  error?: unknown;
}
let seen: Seen;
beforeEach(() => {
  seen = { handled: 0 };
});

function expressApp(framework: typeof express, mounted: unknown, seen: Seen): Listener {
  const app = framework();
  app.use(expressMtls.mtlsBound(kit.options));
  app.use(mounted as express.RequestHandler);
  app.use((_req, res) => {
    seen.handled += 1;
    res.send('handled');
  });
  app.use(((error, _req, res, _next) => {
    seen.error = error;
    res.status(error.status ?? 500).end();
  }) as express.ErrorRequestHandler);
  return app as Listener;
}

function koaApp(Framework: typeof Koa, mounted: unknown, seen: Seen): Listener {
  const app = new Framework();
  app.on('error', (error) => {
    seen.error = error;
  });
  app.use(koaMtls.mtlsBound(kit.options) as Koa.Middleware);
  app.use(mounted as Koa.Middleware);
  app.use((ctx) => {
    seen.handled += 1;
    ctx.body = 'handled';
  });
  return app.callback() as Listener;
}

/** They make no middleware and throw for no request: Express waits for an answer that none of them sends. */
const silent = new Set(['psd2Roles', 'readTokenClaims', 'refusalOf', 'revocationSyncStates']);

describe.each(apps)('%s', (_framework, library, start) => {
  const send = (mounted: unknown) =>
    request(start(mounted, seen))
      .get('/')
      .set('x-test-client-certificate', kit.certificate.thumbprint)
      .auth(kit.boundToken({ scopes: ['x'] }), { type: 'bearer' })
      .timeout(10_000);

  const functions = Object.entries(library).filter(([, value]) => typeof value === 'function');
  const own = functions.filter(([name]) => !Object.hasOwn(core, name));
  it('has every factory of this adapter', () => {
    expect(own.map(([name]) => name).toSorted()).toEqual([
      'fapiHeaders',
      'guard',
      'guarded',
      'mtlsBound',
      'protectedResourceMetadata',
      'requireActive',
      'requireAnyScope',
      'requireAuthentication',
      'requireAuthorizationDetails',
      'requireCertificate',
      'requireCertificateSubject',
      'requireClaims',
      'requirePsd2Role',
      'requireScopes',
      'revocationEndpoint',
      'sharedSignals',
    ]);
  });

  it.each(own)('%s answers 503, and reports that it was not called', async (name, mounted) => {
    const before = problems.length;
    expect([(await send(mounted)).status, seen.handled]).toEqual([503, 0]);
    const message = `${name}(): expected ${name}() among the handlers, got the function, which was not called`;
    expect(seen.error).toMatchObject({ name: 'ConfigurationError', message });
    expect(problems.slice(before).map(({ code }) => code)).toEqual(['middleware_not_called']);
  });

  const others = functions.filter(([name]) => Object.hasOwn(core, name) && !silent.has(name));
  it.each(others)('%s answers with an error that says why', async (_name, mounted) => {
    const { status } = await send(mounted);
    expect([status >= 500, seen.handled]).toEqual([true, 0]);
    expect(String(seen.error)).toMatch(/^(ConfigurationError|TypeError)( \[\w+\])?: ./);
  });
});
