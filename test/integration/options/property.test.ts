// The property of `req` or `ctx.state` that has the Authorization.
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import request from 'supertest';
import { describe, expect, it } from 'vitest';

const kit = await createTestKit();
type State = Record<string, unknown>;
type Options = expressMtls.ResourceServerOptions;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Another package has put a value at `auth` and at `mtls`; the handlers and the error handling answer what is there. */
const apis = {
  Express(options: Options) {
    const app = express();
    app.use((req, _res, next) => {
      Object.assign(req, { auth: 'foreign', mtls: 'forged' });
      next();
    });
    app.use(expressMtls.mtlsBound({ ...kit.options, ...options }));
    app.post('/revocations', expressMtls.revocationEndpoint('revoke'));
    app.use(
      '/policy',
      expressMtls.guard(async () => undefined),
    );
    app.use('/scope', expressMtls.requireScopes('a'));
    const shown = (req: object) => shownOf(req as State);
    app.use((req, res) => void res.json(shown(req)));
    app.use(
      ((_error, req, res, _next) => void res.status(418).json(shown(req))) as express.ErrorRequestHandler,
    );
    return app;
  },
  Koa(options: Options) {
    const app = new Koa();
    app.use(async (ctx, next) => {
      Object.assign(ctx.state, { auth: 'foreign', mtls: 'forged' });
      try {
        await next();
      } catch {
        ctx.status = 418;
        ctx.body = shownOf(ctx.state);
      }
    });
    app.use(koaMtls.mtlsBound({ ...kit.options, ...options }));
    const guards: Record<string, Koa.Middleware> = {
      '/revocations': koaMtls.revocationEndpoint('revoke'),
      '/policy': koaMtls.guard(async () => undefined) as Koa.Middleware,
      '/scope': koaMtls.requireScopes('a') as Koa.Middleware,
    };
    app.use((ctx, next) => guards[ctx.path]?.(ctx, next) ?? next());
    app.use((ctx) => {
      ctx.body = shownOf(ctx.state);
    });
    return app.callback();
  },
};

function shownOf({ auth, mtls, bound }: State): unknown {
  const told = (value: unknown) =>
    (value as { clientId?: string } | undefined)?.clientId ?? value ?? 'nothing';
  return { auth: told(auth), mtls: told(mtls), bound: told(bound) };
}

describe.each(Object.entries(apis))('%s', (_framework, api) => {
  const get = async (options: Options, path: string, scopes?: string[]): Promise<Answer> => {
    const asked = kit.withCertificate(request(api(options)).get(path));
    const token = kit.boundToken({ clientId: 'client', ...(scopes && { scopes }) });
    return scopes === undefined ? asked : asked.auth(token, { type: 'bearer' });
  };

  it.each(['/', '/policy', '/scope'])('%s: the Authorization is at auth by default', async (path) => {
    const { status, body } = await get({}, path, ['a']);
    expect([status, body]).toEqual([200, { auth: 'client', mtls: 'forged', bound: 'nothing' }]);
  });

  it.each(['/', '/policy', '/scope'])(
    '%s: with the option property it is there, and auth is left to the other package',
    async (path) => {
      const { status, body } = await get({ property: 'bound' }, path, ['a']);
      expect([status, body]).toEqual([200, { auth: 'foreign', mtls: 'forged', bound: 'client' }]);
    },
  );

  it('what another package put there is replaced, and goes for a request without credentials', async () => {
    const accepted = await get({ property: 'mtls' }, '/', ['a']);
    expect(accepted.body).toEqual({ auth: 'foreign', mtls: 'client', bound: 'nothing' });
    const anonymous = await get({ property: 'mtls', credentials: 'optional' }, '/');
    expect([anonymous.status, anonymous.body]).toEqual([
      200,
      { auth: 'foreign', mtls: 'nothing', bound: 'nothing' },
    ]);
  });

  it('guards refuse by what is at the property', async () => {
    expect((await get({ property: 'mtls' }, '/scope', ['b'])).status).toBe(403);
    expect((await get({ property: 'mtls', credentials: 'optional' }, '/scope')).status).toBe(401);
  });

  it.each([
    ['/', undefined],
    ['/scope', ['b']],
  ])("%s: with onRefused: 'next' the error handling finds nothing at the property", async (path, scopes) => {
    const { status, body } = await get({ property: 'mtls', onRefused: 'next' }, path, scopes);
    expect([status, body]).toEqual([418, { auth: 'foreign', mtls: 'nothing', bound: 'nothing' }]);
  });

  it('revocationEndpoint() reads it', async () => {
    const token = kit.boundToken({ scopes: ['revoke'] });
    const asked = request(api({ property: 'mtls' }))
      .post('/revocations')
      .type('form')
      .send({ sub: 'alice' });
    const { status } = await kit.withCertificate(asked).auth(token, { type: 'bearer' });
    expect(status).toBe(200);
  });
});

describe('a name that is not accepted', () => {
  it.each([
    ['__proto__'],
    ['constructor'],
    ['toString'],
    ['headers'],
    ['socket'],
    ['url'],
    ['on'],
    ['complete'],
    ['authority'],
    ['stream'],
    ['body'],
    ['params'],
    ['query'],
    ['ip'],
    ['get'],
    ['res'],
    ['session'],
    ['fapi'],
    [''],
    ['a b'],
    ['a.b'],
    ['1a'],
    ['ä'],
    ['a'.repeat(65)],
    [Symbol('mtls')],
    [['mtls']],
    [true],
  ])('%j', (property) => {
    const options = { ...kit.options, property } as Options;
    for (const { mtlsBound } of [expressMtls, koaMtls]) {
      expect(() => mtlsBound(options)).toThrow(/^property: expected a name of up to 64 letters, digits/);
    }
  });
});

describe('a name that is accepted', () => {
  it.each([['auth'], ['mtls'], ['user'], ['$bound'], ['_bound2'], ['a'.repeat(64)]])('%j', (property) => {
    expect(expressMtls.mtlsBound({ ...kit.options, property }).resourceServer.property).toBe(property);
  });
});

describe('a request that a second mtlsBound() refused, and an error handler passed on', () => {
  const refusing = createTestKit().then((another) => ({ ...another.options, onRefused: 'next' }) as const);
  const passedOn: Record<string, (second: Options) => Parameters<typeof request>[0]> = {
    Express(second) {
      const app = express();
      app.use(expressMtls.mtlsBound(kit.options));
      app.use(expressMtls.mtlsBound(second));
      app.use(((_error, _req, _res, next) => next()) as express.ErrorRequestHandler);
      app.use(expressMtls.requireScopes('a'));
      app.use((_req, res) => void res.end('handled'));
      return app;
    },
    Koa(second) {
      const app = new Koa();
      app.use(koaMtls.mtlsBound(kit.options));
      const middleware = koaMtls.mtlsBound(second);
      app.use(async (ctx, next) => {
        await middleware(ctx as never, async () => undefined).catch(() => undefined);
        await next();
      });
      app.use(koaMtls.requireScopes('a') as Koa.Middleware);
      app.use((ctx) => {
        ctx.body = 'handled';
      });
      return app.callback();
    },
  };
  const cases = Object.entries(passedOn).flatMap(([framework, api]) =>
    ['auth', 'pay'].map((property) => [framework, property, api] as const),
  );

  it.each(cases)('%s, property %s: no guard takes it for accepted', async (_framework, property, api) => {
    const send = (options: Options) =>
      kit
        .withCertificate(request(api(options)).get('/'))
        .auth(kit.boundToken({ scopes: ['a'] }), { type: 'bearer' });
    expect((await send({ ...kit.options, property })).text).toBe('handled');
    const { status, text } = await send({ ...(await refusing), property });
    expect([status, text.includes('handled')]).toEqual([503, false]);
  });
});

describe('a property that another middleware made read-only', () => {
  const readOnly: [string, PropertyDescriptor][] = [
    ['a value', { value: 'foreign' }],
    ['a getter', { get: () => 'foreign' }],
    ['a setter that does nothing', { get: () => 'foreign', set: () => undefined }],
  ];
  const options = { ...kit.options, onRefused: 'next' } as const;
  const withReadOnly: Record<string, (property: PropertyDescriptor) => Parameters<typeof request>[0]> = {
    Express(property) {
      const app = express();
      app.use((req, _res, next) => {
        Object.defineProperty(req, 'auth', property);
        next();
      });
      app.use(expressMtls.mtlsBound(options));
      app.use(((_error, _req, res, _next) => void res.status(418).end()) as express.ErrorRequestHandler);
      return app;
    },
    Koa(property) {
      const app = new Koa();
      app.use(async (ctx, next) => {
        Object.defineProperty(ctx.state, 'auth', property);
        try {
          await next();
        } catch {
          ctx.status = 418;
        }
      });
      app.use(koaMtls.mtlsBound(options));
      return app.callback();
    },
  };
  const cases = Object.entries(withReadOnly).flatMap(([framework, api]) =>
    readOnly.map(([what, property]) => [`${framework}, ${what}`, api(property)] as const),
  );

  it.each(cases)('%s: the refusal is answered, and not passed on', async (_title, api) => {
    const get = () => kit.withCertificate(request(api).get('/')).timeout(2_000);
    expect((await get()).status).toBe(401);
    // A token that is asked about is refused later.
    expect((await get().auth('unknown', { type: 'bearer' })).status).toBe(401);
  });
});
