// The chain behind our middleware may fail by itself, outside of any handler: that is no refusal, and is not swallowed.
import { createTestKit } from '@mtls-bound/core/testing';
import * as expressMtls from 'express-mtls';
import * as koaMtls from 'koa-mtls';
import { describe, expect, it, vi } from 'vitest';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const options = () =>
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate)),
    kit.certificate,
  );
const failure = new Error('of the chain');

/** What Express hands to a middleware; `answered` says what was written. */
function expressContext() {
  const req = requestWith('token') as never as Parameters<expressMtls.MtlsBound>[0];
  const answered = vi.fn();
  const res = {
    headersSent: false,
    writeHead: (...head: unknown[]) => {
      answered(...head);
      return res;
    },
    end: answered,
    hasHeader: () => false,
    setHeader: () => undefined,
    getHeader: () => undefined,
    vary: () => undefined,
  };
  return { req, res: res as never as Parameters<expressMtls.MtlsBound>[1], answered };
}

const waits: [string, number][] = [
  ['asked about', 0],
  ['known', 1],
];

describe('Express', () => {
  it.each(waits)(
    'mtlsBound(), a token that is %s: an error of next() itself goes to next()',
    async (_title, before) => {
      const middleware = expressMtls.mtlsBound(options());
      for (let i = 0; i < before; i += 1) {
        const { req, res } = expressContext();
        const next = vi.fn();
        middleware(req, res, next);
        await vi.waitFor(() => expect(next).toHaveBeenCalledTimes(1));
      }
      const { req, res, answered } = expressContext();
      const errors: unknown[] = [];
      const next = vi.fn((error?: unknown) => {
        if (error === undefined) {
          throw failure;
        }
        errors.push(error);
      });
      try {
        // Express itself catches what a middleware throws at once.
        middleware(req, res, next);
      } catch (error) {
        errors.push(error);
      }
      await vi.waitFor(() => expect(errors).toEqual([failure]));
      expect(answered).not.toHaveBeenCalled();
    },
  );

  it.each([
    ['at once', () => undefined],
    ['later', async () => undefined],
  ])(
    'guard(), a policy that decides %s: an error of next() itself goes to next()',
    async (_title, policy) => {
      const { req, res, answered } = expressContext();
      const next = vi.fn();
      expressMtls.mtlsBound(options())(req, res, next);
      await vi.waitFor(() => expect(next).toHaveBeenCalledTimes(1));
      const errors: unknown[] = [];
      const failing = vi.fn((error?: unknown) => {
        if (error === undefined) {
          throw failure;
        }
        errors.push(error);
      });
      try {
        expressMtls.guard(policy as expressMtls.RoutePolicy)(req, res, failing);
      } catch (error) {
        errors.push(error);
      }
      await vi.waitFor(() => expect(errors).toEqual([failure]));
      expect(answered).not.toHaveBeenCalled();
    },
  );

  it('an error of the middleware itself, as where req.auth can not be set, reaches next() and nothing passes', async () => {
    const { req, res, answered } = expressContext();
    Object.defineProperty(req, 'auth', { value: undefined, writable: false, configurable: false });
    const next = vi.fn();
    expressMtls.mtlsBound(options())(req, res, next);
    await vi.waitFor(() => expect(next.mock.calls.length + answered.mock.calls.length).toBeGreaterThan(0));
    expect(next.mock.calls.filter(([error]) => error === undefined)).toEqual([]);
  });
});

describe('Koa', () => {
  type Answered = { answered: (status: number) => void };
  const context = () =>
    ({
      req: requestWith('token'),
      request: {},
      state: {},
      answered: vi.fn(),
      set status(status: number) {
        (this as unknown as Answered).answered(status);
      },
      set: vi.fn(),
      remove: vi.fn(),
      vary: vi.fn(),
    }) as never as Parameters<koaMtls.MtlsBound>[0] & Answered;
  const failing = async () => {
    throw failure;
  };

  it.each(waits)(
    'mtlsBound(), a token that is %s: it rejects with the error of next()',
    async (_title, before) => {
      const middleware = koaMtls.mtlsBound(options());
      for (let i = 0; i < before; i += 1) {
        await middleware(context(), async () => undefined);
      }
      const ctx = context();
      await expect(middleware(ctx, failing)).rejects.toBe(failure);
      expect(ctx.answered).not.toHaveBeenCalled();
    },
  );

  it.each([
    ['at once', () => undefined],
    ['later', async () => undefined],
  ])('guard(), a policy that decides %s: it rejects with the error of next()', async (_title, policy) => {
    const ctx = context();
    await koaMtls.mtlsBound(options())(ctx, async () => undefined);
    await expect(koaMtls.guard(policy as koaMtls.RoutePolicy)(ctx as never, failing)).rejects.toBe(failure);
    expect(ctx.answered).not.toHaveBeenCalled();
  });
});
