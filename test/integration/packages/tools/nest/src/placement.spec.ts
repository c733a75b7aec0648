// What the page says of Nest: which requests each place covers, and what Nest makes of errors.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Controller,
  Get,
  type INestApplication,
  type MiddlewareConsumer,
  Module,
  type ModuleMetadata,
  Post,
  VersioningType,
} from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import {
  type Authorization,
  type MtlsBound,
  mtlsBound,
  requireScopes,
  revocationEndpoint,
} from 'express-mtls';
import { createTestKit } from 'express-mtls/testing';
import request from 'supertest';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AppModule } from './app.module.js';
import { Auth } from './auth.decorator.js';
import { Guarded } from './guarded.decorator.js';
import { HttpRefusalFilter } from './http-refusal.filter.js';
import { MtlsModule } from './mtls.module.js';
import { MTLS } from './mtls.token.js';
import { mtlsFromConfig } from './mtls-from-config.js';
import { protect } from './protect.js';

const kit = await createTestKit();

@Controller('open')
class OpenController {
  @Get('auth')
  auth(@Auth() auth: Authorization | undefined): string {
    return String(auth?.clientId);
  }

  @Get('guarded')
  @Guarded(requireScopes('accounts:read'))
  guarded(): string {
    return 'reached';
  }

  @Post()
  post(): string {
    return 'reached';
  }
}

@Controller({ path: 'open', version: '2' })
class SecondController {
  @Get()
  get(): string {
    return 'reached';
  }
}

const controllers = [OpenController, SecondController];
const opened: INestApplication[] = [];
let mtls: MtlsBound;

beforeEach(() => {
  mtls = mtlsBound({ onRefused: 'next', ...kit.options });
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((app) => app.close()));
  vi.unstubAllEnvs();
});

async function open(
  metadata: ModuleMetadata,
  prepare: (app: NestExpressApplication) => unknown = () => undefined,
  configure: (consumer: MiddlewareConsumer) => unknown = () => undefined,
) {
  @Module(metadata)
  class ApiModule {
    configure(consumer: MiddlewareConsumer): void {
      configure(consumer);
    }
  }
  const testingModule = await Test.createTestingModule({ imports: [ApiModule] })
    .overrideProvider(MTLS)
    .useValue(mtls)
    .compile();
  const app = testingModule.createNestApplication<NestExpressApplication>({ logger: false });
  prepare(app);
  await app.init();
  opened.push(app);
  return request(app.getHttpServer());
}

const send = (asked: request.Test, scopes: string[] = []) =>
  kit.withCertificate(asked).auth(kit.boundToken({ scopes, clientId: 'my-client' }), { type: 'bearer' });

it('protect() covers each path, whatever the prefix and the versions are', async () => {
  const api = await open({ imports: [AppModule], controllers }, (app) => {
    app.setGlobalPrefix('api', { exclude: ['health'] });
    app.enableVersioning({ type: VersioningType.URI });
    protect(app);
  });
  await api.get('/health').expect(200, 'ok');
  for (const path of ['/api/accounts', '/api/v2/open', '/API/V2/OPEN', '/open', '/api/health']) {
    await api.get(path).expect(401, '').expect('WWW-Authenticate', 'Bearer realm="api"');
  }
  await send(api.get('/api/v2/open')).expect(200, 'reached');
});

it('a wildcard of MiddlewareConsumer covers what Nest serves, but for what it excludes', async () => {
  const unversioned = await open({ imports: [AppModule] }, undefined, (consumer) =>
    consumer.apply(mtls).exclude('health').forRoutes('{*path}'),
  );
  await unversioned.get('/health').expect(200, 'ok');
  await unversioned.get('/accounts').expect(401);
  for (const defaultVersion of [[], { defaultVersion: '1' }]) {
    const api = await open(
      { imports: [AppModule], controllers },
      (app) => app.setGlobalPrefix('api').enableVersioning({ type: VersioningType.URI, ...defaultVersion }),
      (consumer) => consumer.apply(mtls).exclude('health').forRoutes('{*path}'),
    );
    for (const path of ['/api/accounts', '/api/v1/accounts', '/api/v2/open', '/API/V2/OPEN']) {
      await api.get(path).expect(401, '').expect('WWW-Authenticate', 'Bearer realm="api"');
    }
  }
});

it('a path of MiddlewareConsumer leaves out the versions of this path', async () => {
  const api = await open(
    { controllers },
    (app) => app.enableVersioning({ type: VersioningType.URI }),
    (consumer) => consumer.apply(mtls).forRoutes('open'),
  );
  await api.post('/open').expect(401);
  await api.get('/v2/open').expect(200, 'reached');
});

it('a controller class of MiddlewareConsumer covers its versions', async () => {
  const api = await open(
    { controllers },
    (app) => app.enableVersioning({ type: VersioningType.URI }),
    (consumer) => consumer.apply(mtls).forRoutes(...controllers),
  );
  await api.post('/open').expect(401);
  await api.get('/v2/open').expect(401);
});

it('the preflight is answered before protect(), and a refusal has the header of CORS', async () => {
  const api = await open({ imports: [MtlsModule], controllers }, (app) => {
    app.enableCors({ origin: 'https://app.example.com' });
    protect(app);
  });
  await api.options('/open').set('Access-Control-Request-Method', 'POST').expect(204);
  await api.post('/open').expect(401).expect('Access-Control-Allow-Origin', 'https://app.example.com');
});

it('a token in a form is refused where a body parser ran before', async () => {
  const withForm = (api: Awaited<ReturnType<typeof open>>) =>
    send(api.post('/open')).type('form').send({ access_token: 'any' });
  const metadata = { imports: [MtlsModule], controllers };
  await withForm(await open(metadata, protect)).expect(201, 'reached');
  const refused = { error: 'invalid_request' };
  const parsed = await open(metadata, (app) => {
    app.useBodyParser('urlencoded', { extended: true });
    protect(app);
  });
  expect((await withForm(parsed).expect(400)).body).toMatchObject(refused);
  const inModule = await open(metadata, undefined, (consumer) => consumer.apply(mtls).forRoutes('{*path}'));
  expect((await withForm(inModule).expect(400)).body).toMatchObject(refused);
});

it('revocationEndpoint() reads the form itself behind protect()', async () => {
  const api = await open({ imports: [MtlsModule], controllers }, (app) => {
    protect(app);
    app.use('/revocations', revocationEndpoint('tokens:revoke'));
  });
  const asked = () => api.post('/revocations').type('form').send({ token: 'any' });
  await asked().expect(401);
  await send(asked()).expect(403);
  await send(asked(), ['tokens:revoke']).expect(200);
});

it('without the filter Nest answers without the challenge', async () => {
  const api = await open({ controllers, providers: [{ provide: MTLS, useValue: mtls }] }, protect);
  const answers = [await api.post('/open'), await send(api.get('/open/guarded'))];
  expect(answers.map(({ status, headers }) => [status, headers['www-authenticate']])).toEqual([
    [401, undefined],
    [403, undefined],
  ]);
});

it('the filter leaves the errors of Nest as they are', async () => {
  const api = await open({ imports: [AppModule] }, protect);
  const { body } = await send(api.get('/none')).expect(404);
  expect(body).toEqual({ statusCode: 404, error: 'Not Found', message: 'Cannot GET /none' });
});

it('a route without mtlsBound() gives no authorization, and a guard there refuses each request', async () => {
  const api = await open({ controllers, providers: [{ provide: MTLS, useValue: mtls }, HttpRefusalFilter] });
  await send(api.get('/open/auth')).expect(500);
  const { body } = await send(api.get('/open/guarded'), ['accounts:read']).expect(503);
  expect(body).toMatchObject({ error: 'server_error' });
});

it('a guard that fails in another way lets no request in', async () => {
  @Controller('failing')
  class FailingController {
    @Get('thrown')
    @Guarded(() => {
      throw new Error('of the guard');
    })
    thrown(): string {
      return 'reached';
    }

    @Get('next')
    @Guarded((_req, _res, next) => next('route'))
    next(): string {
      return 'reached';
    }
  }
  const api = await open({ controllers: [FailingController] });
  await api.get('/failing/thrown').expect(500);
  await api.get('/failing/next').expect(500);
});

it('the end of the application closes mtlsBound()', async () => {
  const close = vi.fn();
  mtls = Object.assign(() => undefined, mtls, { close });
  await open({ imports: [AppModule] }, protect);
  await opened.pop()?.close();
  expect(close).toHaveBeenCalledOnce();
});

const settings = {
  AS_ISSUER: 'https://as.example.com',
  API_AUDIENCE: 'https://api.example.com',
  API_CLIENT_ID: 'api',
  API_CLIENT_SECRET: 'secret',
  PROXY_SECRET: 'at-least-16-characters',
};
const compile = () =>
  Test.createTestingModule({
    imports: [ConfigModule.forRoot({ ignoreEnvFile: true, cache: false })],
    providers: [mtlsFromConfig],
  }).compile();

it('a missing or wrong option of ConfigService fails at start', async () => {
  for (const [name, value] of Object.entries(settings)) {
    vi.stubEnv(name, value);
  }
  await compile();
  vi.stubEnv('PROXY_SECRET', 'short');
  await expect(compile()).rejects.toThrow('secret');
  vi.stubEnv('PROXY_SECRET', undefined);
  await expect(compile()).rejects.toThrow('PROXY_SECRET');
});

it('variables that ConfigModule reads from a file are options of mtlsBound()', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'mtls-bound-nest-')), '.env');
  const variables = {
    MTLS_BOUND_ISSUER: settings.AS_ISSUER,
    MTLS_BOUND_AUDIENCE: settings.API_AUDIENCE,
    MTLS_BOUND_CLIENT_ID: settings.API_CLIENT_ID,
    MTLS_BOUND_CLIENT_SECRET: settings.API_CLIENT_SECRET,
    MTLS_BOUND_REALM: 'of the file',
  };
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(file, lines.join(''));
  for (const name of Object.keys(variables)) {
    vi.stubEnv(name, undefined); // put back afterwards
  }
  const imports = [ConfigModule.forRoot({ envFilePath: file, cache: false }), MtlsModule];
  const testingModule = await Test.createTestingModule({ imports }).compile();
  const app = testingModule.createNestApplication({ logger: false });
  opened.push(app);
  protect(app);
  await app.init();
  await request(app.getHttpServer()).get('/').expect('WWW-Authenticate', 'Bearer realm="of the file"');
});
