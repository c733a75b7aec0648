// A router of @koa/router with a prefix runs its middlewares for one spelling of the prefix, and its routes for each. koa-mount
// minds the spelling, too.
import Router from '@koa/router';
import { createTestKit } from '@mtls-bound/core/testing';
import Koa from 'koa';
import mount from 'koa-mount';
import { mtlsBound, requireScopes } from 'koa-mtls';
import supertest from 'supertest';
import { expect, it, vi } from 'vitest';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

function listenerOf(prepare: (app: Koa, router: Router) => void, options: { sensitive?: boolean } = {}) {
  const app = new Koa();
  app.silent = true;
  const router = new Router({ prefix: '/api', ...options });
  prepare(app, router);
  router.get('/guarded', requireScopes('read') as never, (ctx) => {
    ctx.body = 'of the handler';
  });
  return app.use(router.routes()).callback();
}

const spellings = ['/api/guarded', '/API/guarded', '/Api/guarded'];

async function answersOf(listener: ReturnType<Koa['callback']>): Promise<[number, number][]> {
  const answers: [number, number][] = [];
  for (const path of spellings) {
    const without = await supertest(listener).get(path);
    const good = await kit
      .withCertificate(supertest(listener).get(path))
      .auth(kit.boundToken({ claims: { scope: 'read' } }), { type: 'bearer' });
    answers.push([without.status, good.status]);
  }
  return answers;
}

it('mtlsBound() mounted for the application runs for each spelling', async () => {
  const listener = listenerOf((app) => app.use(mtlsBound(kit.options)));
  expect(await answersOf(listener)).toEqual([
    [401, 200],
    [401, 200],
    [401, 200],
  ]);
});

it('a guard answers 503 where the router left out mtlsBound()', async () => {
  const listener = listenerOf((_app, router) => router.use(mtlsBound(kit.options) as never));
  expect(await answersOf(listener)).toEqual([
    [401, 200],
    [503, 503],
    [503, 503],
  ]);
});

it('a router that minds the letter case has no route for another spelling', async () => {
  const prepare = (_app: Koa, router: Router) => router.use(mtlsBound(kit.options) as never);
  expect(await answersOf(listenerOf(prepare, { sensitive: true }))).toEqual([
    [401, 200],
    [404, 404],
    [404, 404],
  ]);
});

it('a guard answers 503 where a mount left out mtlsBound()', async () => {
  const listener = listenerOf((app) => app.use(mount('/api', mtlsBound(kit.options))));
  expect(await answersOf(listener)).toEqual([
    [401, 200],
    [503, 503],
    [503, 503],
  ]);
});
