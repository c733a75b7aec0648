import { type CanActivate, type ExecutionContext, UseGuards } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { Guard } from 'express-mtls';

export const Guarded = (...guards: Guard[]) => UseGuards(...guards.map(toNestGuard));

function toNestGuard(guard: Guard): CanActivate {
  return {
    canActivate(context: ExecutionContext): Promise<boolean> {
      const http = context.switchToHttp();
      return new Promise((resolve, reject) => {
        guard(http.getRequest<Request>(), http.getResponse<Response>(), (error?: unknown) => {
          if (error === undefined) {
            resolve(true);
          } else {
            reject(error);
          }
        });
      });
    },
  };
}
