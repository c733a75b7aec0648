import { type BeforeApplicationShutdown, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { type MtlsBound, mtlsBound } from 'express-mtls';
import { HttpRefusalFilter } from './http-refusal.filter.js';
import { MTLS } from './mtls.token.js';

@Module({
  providers: [
    { provide: MTLS, useFactory: () => mtlsBound({ onRefused: 'next' }) },
    { provide: APP_FILTER, useClass: HttpRefusalFilter },
  ],
  exports: [MTLS],
})
export class MtlsModule implements BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(@Inject(MTLS) private readonly mtls: MtlsBound) {}

  beforeApplicationShutdown(signal?: string): void {
    if (signal !== undefined) {
      setTimeout(() => process.exit(), 10_000).unref(); // the deadline for requests under way
    }
  }

  onApplicationShutdown(): Promise<void> {
    return this.mtls.close();
  }
}
