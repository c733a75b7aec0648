import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { Authorization } from 'express-mtls';

export const Auth = createParamDecorator((_data: unknown, context: ExecutionContext): Authorization => {
  const { auth } = context.switchToHttp().getRequest<Request>();
  if (auth === undefined) {
    throw new Error('expected a route behind mtlsBound(), got a request without req.auth');
  }
  return auth;
});
