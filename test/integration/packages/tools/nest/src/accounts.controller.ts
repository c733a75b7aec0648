import { Controller, Get, Post } from '@nestjs/common';
import { type Authorization, requireActive, requireScopes } from 'express-mtls';
import { Auth } from './auth.decorator.js';
import { Guarded } from './guarded.decorator.js';

@Controller('accounts')
export class AccountsController {
  @Get()
  @Guarded(requireScopes('accounts:read'))
  list(@Auth() auth: Authorization) {
    return { client: auth.clientId };
  }

  @Post('payments')
  @Guarded(requireActive(), requireScopes('payments:write'))
  pay(@Auth() auth: Authorization) {
    return { payer: auth.clientId };
  }
}
