import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { mtlsBound } from 'express-mtls';
import { createTestKit } from 'express-mtls/testing';
import request from 'supertest';
import { afterAll, beforeAll, it } from 'vitest';
import { AppModule } from './app.module.js';
import { MTLS } from './mtls.token.js';
import { protect } from './protect.js';

const kit = await createTestKit();
let app: INestApplication;

beforeAll(async () => {
  const testingModule = await Test.createTestingModule({ imports: [AppModule] })
    .overrideProvider(MTLS)
    .useValue(mtlsBound({ onRefused: 'next', ...kit.options }))
    .compile();
  app = testingModule.createNestApplication();
  protect(app); // before init()
  await app.init();
});
afterAll(() => app.close());

const getAccounts = (scopes: string[], certificate = kit.certificate) =>
  kit
    .withCertificate(request(app.getHttpServer()).get('/accounts'), certificate)
    .auth(kit.boundToken({ scopes, clientId: 'my-client' }), { type: 'bearer' });

it('lists the accounts of a client with the scope', () =>
  getAccounts(['accounts:read']).expect(200, { client: 'my-client' }));

it('refuses a client without the scope', () =>
  getAccounts([])
    .expect(403)
    .expect('WWW-Authenticate', /error="insufficient_scope"/));

it('refuses the token of another client', () =>
  getAccounts(['accounts:read'], kit.otherCertificate)
    .expect(401)
    .expect('WWW-Authenticate', /error="invalid_token"/));
