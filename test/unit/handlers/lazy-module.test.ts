import { expect, it, vi } from 'vitest';
import { createLazyModule } from '../../../packages/core/src/shared/lazy-module.js';

it('loads the module once, for calls at the same time too', async () => {
  const importModule = vi.fn(async () => ({ name: 'module' }));
  const lazy = createLazyModule('some-module', importModule);
  expect(lazy.loaded()).toBeUndefined();
  lazy.preload();
  const [one, other] = await Promise.all([lazy.load(), lazy.load()]);
  lazy.preload();
  await new Promise((resolve) => setImmediate(resolve));
  expect([one, other, lazy.loaded()]).toEqual([one, one, one]);
  expect(importModule).toHaveBeenCalledTimes(1);
});

it('rejects with a refusal that names the module, and tries again', async () => {
  const cause = Object.assign(new Error('/a/path'), { code: 'ERR_MODULE_NOT_FOUND' });
  const importModule = vi.fn(async () => ({ name: 'module' })).mockRejectedValueOnce(cause);
  const lazy = createLazyModule('some-module', importModule);
  await expect(lazy.load()).rejects.toMatchObject({
    code: 'internal_error',
    detail: 'the module some-module can not be loaded: Error ERR_MODULE_NOT_FOUND',
    cause,
  });
  expect(lazy.loaded()).toBeUndefined();
  expect(await lazy.load()).toEqual({ name: 'module' });
});

it('a module that can not be loaded in the background leaves no rejection unhandled', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const importModule = vi.fn(() => Promise.reject(new Error('no')));
  createLazyModule('some-module', importModule).preload();
  await expect.poll(() => importModule.mock.calls.length).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 10));
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});
