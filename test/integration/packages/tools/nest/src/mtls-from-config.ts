import type { FactoryProvider } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { type MtlsBound, mtlsBound, nginx, proxyHeader } from 'express-mtls';
import { MTLS } from './mtls.token.js';

export const mtlsFromConfig: FactoryProvider<MtlsBound> = {
  provide: MTLS,
  inject: [ConfigService],
  useFactory: (config: ConfigService) =>
    mtlsBound({
      issuer: config.getOrThrow<string>('AS_ISSUER'),
      audience: config.getOrThrow<string>('API_AUDIENCE'),
      clientId: config.getOrThrow<string>('API_CLIENT_ID'),
      clientSecret: config.getOrThrow<string>('API_CLIENT_SECRET'),
      certificate: proxyHeader(nginx(), {
        trust: ['127.0.0.1'], // the address that NGINX connects from
        secret: { header: 'x-proxy-secret', value: config.getOrThrow<string>('PROXY_SECRET') },
      }),
      onRefused: 'next',
    }),
};
