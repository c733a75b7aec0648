// Checked by tsc (npm run check), and run so that it is counted.
import type { Authorization, ClientCertificate } from '@mtls-bound/core';
import type { Request } from 'express';
import { mtlsBound as expressBound, type FapiHeaders, type MtlsBound, requireScopes } from 'express-mtls';
import { mtlsBound as koaBound, type MtlsBoundState } from 'koa-mtls';
import { expectTypeOf, it } from 'vitest';

it('Express: req.auth is there by declaration merging, and may be missing', () => {
  expectTypeOf<Request['auth']>().toEqualTypeOf<Authorization | undefined>();
  expectTypeOf<Request['fapi']>().toEqualTypeOf<FapiHeaders | undefined>();
  expectTypeOf(expressBound).returns.toEqualTypeOf<MtlsBound>();
  expectTypeOf(requireScopes).parameters.toEqualTypeOf<string[]>();
});

it('what is in it', () => {
  expectTypeOf<Authorization['subject']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<Authorization['scopes']>().toEqualTypeOf<readonly string[]>();
  expectTypeOf<Authorization['certificate']>().toEqualTypeOf<ClientCertificate | undefined>();
  expectTypeOf<Authorization['claims']>().toEqualTypeOf<Readonly<Record<string, unknown>>>();
});

it('Koa: ctx.state.auth', () => {
  expectTypeOf(koaBound).toBeFunction();
  expectTypeOf<MtlsBoundState['auth']>().toEqualTypeOf<Authorization>();
});
