// The middleware for the headers of Australia's CDR, as docs/guides/fapi.md shows it for each framework.
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import request from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import type { Listener } from '../support/apis.js';
import { type Block, blocks } from './blocks.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const shown = blocks.filter(({ page, code }) => page === 'docs/guides/fapi.md' && code.includes('au-cds'));

/** An API with what the page shows, and a route that answers with the interaction id. */
function apiOf({ framework, code }: Block): Listener {
  const isKoa = framework === 'koa';
  const { fapiHeaders, mtlsBound } = isKoa ? koaMtls : expressMtls;
  const options = { ...kit.options, certificate: () => kit.certificate };
  const app = isKoa ? new Koa() : express();
  const run = new Function('app', 'fapiHeaders', 'mtlsBound', 'options', code.replace(/^import .*$/m, ''));
  run(app, fapiHeaders, mtlsBound, options);
  if ('callback' in app) {
    app.use((ctx: Koa.Context) => {
      ctx.body = ctx.state.fapi.interactionId;
    });
    return app.callback() as Listener;
  }
  app.use((req, res) => void res.send(req.fapi?.interactionId));
  return app as Listener;
}

it('is shown for Express and for Koa', () => {
  expect(shown.map(({ framework }) => framework)).toEqual(['express', 'koa']);
});

const date = 'Tue, 11 Sep 2012 19:43:31 GMT';
const id = '3F2504E0-4F89-41D3-9A0C-0305E82C3301';

describe.each(shown.map((block): [string, Block] => [block.framework, block]))('%s', (_name, block) => {
  const answered = async (headers: Record<string, string>) => {
    const call = request(apiOf(block)).get('/').auth(kit.boundToken(), { type: 'bearer' });
    const { status, body, text } = await call.set(headers);
    return { status, said: body.errors?.[0] ?? text };
  };
  const cds = (error: string, title: string, detail: string) => ({
    status: 400,
    said: { code: `urn:au-cds:error:cds-all:Header/${error}`, title, detail },
  });

  it.each<[string, Record<string, string>, object]>([
    ['no date', {}, cds('Missing', 'Missing Required Header', 'x-fapi-auth-date')],
    [
      'a date of another form',
      { 'x-fapi-auth-date': '2012-09-11' },
      cds('Invalid', 'Invalid Header', 'x-fapi-auth-date'),
    ],
    [
      'two dates on one line',
      { 'x-fapi-auth-date': `${date}, ${date}` },
      cds('Invalid', 'Invalid Header', 'x-fapi-auth-date'),
    ],
    [
      'an interaction id that is no UUID',
      { 'x-fapi-auth-date': date, 'x-fapi-interaction-id': 'one' },
      cds('Invalid', 'Invalid Header', 'x-fapi-interaction-id'),
    ],
    [
      'an empty interaction id',
      { 'x-fapi-auth-date': date, 'x-fapi-interaction-id': '' },
      cds('Invalid', 'Invalid Header', 'x-fapi-interaction-id'),
    ],
    [
      'a date and an id',
      { 'x-fapi-auth-date': date, 'x-fapi-interaction-id': id },
      { status: 200, said: id },
    ],
    [
      'a date and no id',
      { 'x-fapi-auth-date': date },
      { status: 200, said: expect.stringMatching(/^[\da-f-]{36}$/) },
    ],
  ])('%s', async (_title, headers, expected) => {
    expect(await answered(headers)).toEqual(expected);
  });

  it('a request without a token gets 401 from the guard, whatever its headers', async () => {
    expect((await request(apiOf(block)).get('/')).status).toBe(401);
  });
});
