import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { nginx, proxyHeader } from '@mtls-bound/core';
import { afterEach, beforeEach, expect, it, type MockInstance, vi } from 'vitest';

let compared: MockInstance<typeof crypto.timingSafeEqual>;
beforeEach(() => {
  compared = vi.spyOn(crypto, 'timingSafeEqual');
  syncBuiltinESMExports();
});
afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

const secret = 'a-secret-of-the-proxy';

it.each([
  ['the right one', secret, true],
  ['right up to the last character', `${secret.slice(0, -1)}x`, false],
  ['short', 'a', false],
  ['long', 'a'.repeat(10_000), false],
])("the proxy's secret is compared by digests, in constant time: %s", (_title, value, expected) => {
  const source = proxyHeader(nginx(), {
    trust: ['192.0.2.1'],
    secret: { header: 'x-proxy-secret', value: secret },
  });
  const rawHeaders = ['x-proxy-secret', value, 'x-ssl-client-cert', ''];
  const req = { headers: {}, rawHeaders, socket: { remoteAddress: '192.0.2.1' } } as never;
  const isTrusted = source.explainMissing?.(req)?.code === 'no_certificate';
  expect(isTrusted).toBe(expected);
  expect(compared).toHaveBeenCalledOnce();
  const [ours, presented] = compared.mock.calls[0] ?? [];
  expect([ours?.byteLength, presented?.byteLength]).toEqual([32, 32]);
});
