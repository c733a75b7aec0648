import { Controller, Get, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { requireScopes } from 'express-mtls';

@Controller('reports')
class ReportsController {
  @Get()
  list(): string[] {
    return [];
  }
}

@Module({ controllers: [ReportsController] })
export class ReportsModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(requireScopes('reports:read')).forRoutes(ReportsController);
  }
}
