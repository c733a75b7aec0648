import { afterEach, expect, it, vi } from 'vitest';
import { StreamKeeper } from '../../../packages/core/src/signals/stream-keeper.js';

afterEach(() => vi.restoreAllMocks());

it.each([
  [0, 3_599, 2],
  [3_600, 3_599, 1],
  [1e9, 3_599, 1],
  [1e9, 3_601, 2],
])(
  'min_verification_interval %i, after %i s: %i verifications are asked for',
  async (least, passed, expected) => {
    const closing = new AbortController();
    const verify = vi.fn(async () => true);
    const status = vi.fn(async () => 'enabled');
    const keeper = new StreamKeeper({
      transmitter: 'https://as.example.com',
      management: { setUp: async () => ({ minVerificationInterval: least }), status, verify } as never,
      states: { next: () => 'a-state' } as never,
      verificationInterval: 60,
      onStopped: () => undefined,
      report: () => undefined,
      closing: closing.signal,
    });
    const start = performance.now();
    const clock = vi.spyOn(performance, 'now').mockReturnValue(start);
    const running = keeper.run();
    await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(1));
    await new Promise(setImmediate);
    clock.mockReturnValue(start + passed * 1_000);
    keeper.check();
    await vi.waitFor(() => expect(status).toHaveBeenCalledTimes(2));
    await new Promise(setImmediate);
    expect(verify).toHaveBeenCalledTimes(expected);
    closing.abort();
    await running;
  },
);
