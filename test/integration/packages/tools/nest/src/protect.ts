import type { INestApplication } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import type { MtlsBound } from 'express-mtls';
import { MTLS } from './mtls.token.js';

export function protect(app: INestApplication): void {
  const mtls = app.get<MtlsBound>(MTLS);
  app.use((req: Request, res: Response, next: NextFunction) => {
    if (req.path === '/health') {
      next(); // needs no token and no certificate
    } else {
      mtls(req, res, next);
    }
  });
}
