import { type ArgumentsHost, Catch, HttpException } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import type { Response } from 'express';
import { HttpRefusal } from 'express-mtls';

@Catch(HttpRefusal, HttpException)
export class HttpRefusalFilter extends BaseExceptionFilter {
  override catch(error: HttpRefusal | HttpException, host: ArgumentsHost): void {
    const refusal = error instanceof HttpException ? error.cause : error;
    if (HttpRefusal.isHttpRefusal(refusal)) {
      const res = host.switchToHttp().getResponse<Response>();
      res.status(refusal.status).set(refusal.headers).json(refusal.body);
    } else {
      super.catch(error, host);
    }
  }
}
