import { Module } from '@nestjs/common';
import { AccountsController } from './accounts.controller.js';
import { HealthController } from './health.controller.js';
import { MtlsModule } from './mtls.module.js';
import { ReportsModule } from './reports.module.js';

@Module({
  imports: [MtlsModule, ReportsModule],
  controllers: [AccountsController, HealthController],
})
export class AppModule {}
