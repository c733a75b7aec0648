import 'reflect-metadata';
import { Controller, Get, type MiddlewareConsumer, Module, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { mtlsBound, requireCertificateSubject } from 'express-mtls';
import { ask, startAuthorizationServer, tls } from './authorization-server.js';

const { options } = await startAuthorizationServer();

@Controller('accounts')
class Accounts {
  @Get()
  read(@Req() req: Express.Request): string | undefined {
    return req.auth?.clientId;
  }
}

@Module({ controllers: [Accounts] })
class Api {
  configure(consumer: MiddlewareConsumer): void {
    const bound = mtlsBound({ ...options, certificatePolicy: { extendedKeyUsage: 'clientAuth' } });
    consumer.apply(bound, requireCertificateSubject({ CN: 'client_id' })).forRoutes('*path');
  }
}

const app = await NestFactory.create(Api, { httpsOptions: tls, logger: ['error'] });
await app.listen(0, 'localhost');
const { port } = app.getHttpServer().address();
const path = '/accounts';
const answers = [await ask(port, 'good', undefined, path), await ask(port, 'other', undefined, path)];
const isRight = answers[0] === '200 client' && /^401 .*invalid_token/.test(answers[1] ?? '');
process.stdout.write(isRight ? '\nok' : `\n${answers.join('\n')}`);
process.exit(isRight ? 0 : 1);
