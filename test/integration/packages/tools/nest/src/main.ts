import { readFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { protect } from './protect.js';

const tls = { cert: readFileSync('server.pem'), key: readFileSync('server.key') };
const app = await NestFactory.create(AppModule, {
  httpsOptions: { ...tls, requestCert: true, rejectUnauthorized: false },
});
app.enableShutdownHooks();
protect(app); // before listen()
await app.listen(process.env.PORT ?? 8443, '127.0.0.1');
