import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { FloodGuard, type FloodRules } from '../../../packages/core/src/authorization-server/flood-guard.js';
import { type RefusalCode, RequestRefused } from '../../../packages/core/src/errors.js';
import type { TokenClaims } from '../../../packages/core/src/token/token-claims.js';

let seconds = 0;
const clock = vi.spyOn(performance, 'now').mockImplementation(() => seconds * 1_000);
beforeEach(() => {
  seconds = 1_000;
});
afterAll(() => clock.mockRestore());

const thumbprint = 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0';
const address = '198.51.100.7';

/** Three tokens in a row, of which one comes back each 20 seconds. */
const guardWith = (more: Partial<FloodRules> = {}): FloodGuard =>
  new FloodGuard({ maxInactive: 3, window: 60, address: undefined, exempt: undefined, ...more });

let turn = 0;

/** Has a token asked about for `source`, which turns out to be active or not. */
function learn(guard: FloodGuard, source: readonly string[], isActive: boolean): Promise<unknown> {
  turn += 1;
  const answer = isActive ? ({} as TokenClaims) : 'token_inactive';
  return guard.learn(source, `token ${turn}`, { ask: async () => answer, recall: async () => undefined });
}

/** Sends tokens that turn out to be active (`+`) or not (`-`), in turn. The last says how it was answered: 429 with seconds. */
async function answerTo(guard: FloodGuard, tokens: string, sender = thumbprint): Promise<string> {
  let answer = '';
  for (const token of tokens) {
    try {
      await learn(guard, guard.sourceOf({} as never, sender), token === '+');
      answer = 'looked at';
    } catch (error) {
      expect(error).toBeInstanceOf(RequestRefused);
      const { status, code, retryAfter } = error as RequestRefused;
      expect(code).toBe('too_many_inactive_tokens');
      answer = `${status}, ${retryAfter}`;
    }
  }
  return answer;
}

describe('the allowance of a source', () => {
  it.each([
    ['---', 'looked at'],
    ['----', '429, 20'],
    ['---+', '429, 20'],
    ['--+--', 'looked at'],
    ['--+---', '429, 20'],
    ['++++++---', 'looked at'],
    ['++++++----', '429, 20'],
    ['-++++++---', 'looked at'],
    ['-++++++----', '429, 20'],
  ])('%s is answered: %s', async (tokens, expected) => {
    expect(await answerTo(guardWith(), tokens)).toBe(expected);
  });

  it.each([
    [0, '-', '429, 20'],
    [1, '-', '429, 19'],
    [5.5, '-', '429, 15'],
    [19.5, '-', '429, 1'],
    [20, '-', 'looked at'],
    [20, '--', '429, 20'],
    [30, '--', '429, 10'],
    [40, '--', 'looked at'],
    [40, '---', '429, 20'],
    [60, '---', 'looked at'],
    [60, '----', '429, 20'],
    [3_600, '---', 'looked at'],
    [3_600, '----', '429, 20'],
  ])('used up, and %s seconds later %s: %s', async (later, tokens, expected) => {
    const guard = guardWith();
    await answerTo(guard, '---');
    seconds += later;
    expect(await answerTo(guard, tokens)).toBe(expected);
  });

  it('comes back while tokens are counted, too', async () => {
    const guard = guardWith();
    await answerTo(guard, '--');
    seconds += 10;
    await answerTo(guard, '-');
    seconds += 10;
    expect(await answerTo(guard, '-')).toBe('looked at');
    expect(await answerTo(guard, '-')).toBe('429, 20');
  });

  it('questions at once are no more than the allowance, and the others are refused when it is used up', async () => {
    const guard = guardWith();
    const ends: (() => void)[] = [];
    const ask = vi.fn(
      () => new Promise<'token_inactive'>((resolve) => ends.push(() => resolve('token_inactive'))),
    );
    const source = guard.sourceOf({} as never, thumbprint);
    const answers = Array.from({ length: 10 }, (_, i) =>
      guard.learn(source, `made up ${i}`, { ask, recall: async () => undefined }).catch(({ code }) => code),
    );
    await vi.waitFor(() => expect(ask).toHaveBeenCalledTimes(3));
    ends.splice(0).forEach((end) => void end());
    expect(await Promise.all(answers)).toEqual([
      ...Array(3).fill('token_inactive'),
      ...Array(7).fill('too_many_inactive_tokens'),
    ]);
    expect(ask).toHaveBeenCalledTimes(3);
  });

  it('a client with many good tokens at once waits for its own questions, and is refused none', async () => {
    const guard = guardWith();
    const claims = {} as TokenClaims;
    let most = 0;
    let underWay = 0;
    const ask = async () => {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise((resolve) => setImmediate(resolve));
      underWay -= 1;
      return claims;
    };
    const source = guard.sourceOf({} as never, thumbprint);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        guard.learn(source, `good ${i}`, { ask, recall: async () => undefined }),
      ),
    );
    expect(new Set(answers)).toEqual(new Set([claims]));
    expect(most).toBe(3);
  });

  it('a client that sends made-up tokens alone does not wait on, though its allowance comes back meanwhile', async () => {
    const guard = guardWith();
    const source = guard.sourceOf({} as never, thumbprint);
    const ends: (() => void)[] = [];
    const ask = () => new Promise<'token_inactive'>((resolve) => ends.push(() => resolve('token_inactive')));
    const codes: unknown[] = [];
    const answers = Array.from({ length: 50 }, (_, i) =>
      guard
        .learn(source, `slow ${i}`, { ask, recall: async () => undefined })
        .then((answer) => codes.push(answer))
        .catch(({ code }) => codes.push(code)),
    );
    // Each question takes as long as it takes one token to come back, so that one is always under way.
    for (let turn = 0; turn < 10; turn += 1) {
      seconds += 20;
      ends.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    // After 10 s each of them is refused because it waited.
    const refused = ['too_many_inactive_tokens', 'authorization_server_not_asked'];
    expect(codes.filter((code) => refused.includes(String(code))).length).toBeGreaterThan(40);
    for (const end of ends) {
      end();
    }
    await Promise.all(answers);
  });

  const failing = (guard: FloodGuard, name: string, code: RefusalCode) =>
    guard.learn(guard.sourceOf({} as never, thumbprint), name, {
      ask: () => Promise.reject(new RequestRefused(code)),
      recall: async () => undefined,
    });

  it.each(['authorization_server_not_asked', 'shutting_down'] as const)(
    '%s gives back what was taken',
    async (code) => {
      const guard = guardWith();
      for (let i = 0; i < 10; i += 1) {
        await expect(failing(guard, `unlucky ${i}`, code)).rejects.toThrow(code);
      }
      expect(await answerTo(guard, '---')).toBe('looked at');
    },
  );

  it.each([
    'authorization_server_timeout',
    'authorization_server_unreachable',
    'authorization_server_overloaded',
    'authorization_server_failed',
    'authorization_server_invalid_answer',
    'internal_error',
  ] as const)('%s gives nothing back, and what follows is refused with 503', async (code) => {
    const guard = guardWith();
    for (let i = 0; i < 3; i += 1) {
      await expect(failing(guard, `trouble ${i}`, code)).rejects.toThrow(code);
    }
    await expect(failing(guard, 'one more', code)).rejects.toMatchObject({
      code: 'authorization_server_not_asked',
      status: 503,
      retryAfter: 20,
    });
    seconds += 20;
    expect(await answerTo(guard, '+++---')).toBe('looked at');
    expect(await answerTo(guard, '-')).toBe('429, 20');
  });

  it('a client that had trouble is told of the made-up tokens that it sends afterwards', async () => {
    const guard = guardWith();
    await expect(failing(guard, 'trouble', 'authorization_server_timeout')).rejects.toThrow();
    expect(await answerTo(guard, '---')).toBe('429, 20');
  });

  it('trouble that used up the allowance is told to the caches, which may know an older answer', async () => {
    const guard = guardWith();
    for (let i = 0; i < 3; i += 1) {
      await expect(failing(guard, `trouble ${i}`, 'authorization_server_timeout')).rejects.toThrow();
    }
    const older = {} as TokenClaims;
    const recall = vi.fn(async (refusal: RequestRefused) => (refusal.status === 503 ? older : undefined));
    const source = guard.sourceOf({} as never, thumbprint);
    expect(await guard.learn(source, 'known', { ask: vi.fn(), recall })).toBe(older);
  });

  it('one token costs one, however often it is sent meanwhile', async () => {
    const guard = guardWith();
    const source = guard.sourceOf({} as never, thumbprint);
    const ask = vi.fn(async () => 'token_inactive' as const);
    await Promise.all(
      Array.from({ length: 20 }, () => guard.learn(source, 'one', { ask, recall: async () => undefined })),
    );
    expect(ask).toHaveBeenCalledOnce();
    expect(await answerTo(guard, '--')).toBe('looked at');
    expect(await answerTo(guard, '-')).toBe('429, 20');
  });

  it('a token that a cache knows passes without an allowance', async () => {
    const guard = guardWith();
    await answerTo(guard, '---');
    const claims = {} as TokenClaims;
    const ask = vi.fn();
    const source = guard.sourceOf({} as never, thumbprint);
    expect(await guard.learn(source, 'known', { ask, recall: async () => claims })).toBe(claims);
    expect(ask).not.toHaveBeenCalled();
  });

  it('is displaced by more than 20,000 sources that come after it', async () => {
    const guard = guardWith();
    await answerTo(guard, '---');
    for (let i = 0; i < 20_001; i += 1) {
      await learn(guard, [`client ${i}`], true);
    }
    expect(await answerTo(guard, '-')).toBe('looked at');
  });
});

describe('the sources of a request', () => {
  const sourcesOf = (given: string | undefined, sender?: string) =>
    guardWith({ address: () => given }).sourceOf({} as never, sender);

  it.each<[string, string | undefined, string | undefined, string[]]>([
    ['certificate and address', address, thumbprint, [thumbprint, address]],
    ['no certificate', address, undefined, [address]],
    ['no address', undefined, thumbprint, [thumbprint]],
    ['an address that is none', 'unknown', thumbprint, [thumbprint]],
    ['neither: one source for all such requests', undefined, undefined, ['without certificate and address']],
  ])('%s', (_title, given, sender, expected) => {
    expect(sourcesOf(given, sender)).toEqual(expected);
  });

  it('are without an address where the connection is somebody else’s', () => {
    expect(guardWith().sourceOf({ socket: { remoteAddress: address } } as never, thumbprint)).toEqual([
      thumbprint,
    ]);
  });

  it.each([
    ['RFC 4291 §2.5.5.2: IPv4 within IPv6', '::ffff:198.51.100.7', '198.51.100.7', true],
    ['what is no address, and an address', 'no address', '198.51.100.7', false],
    ['two values that are no address', 'no address', 'no address either', true],
    ['another IPv4 address', '198.51.100.7', '198.51.100.8', false],
    ['another host of a /64', '2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', true],
    ['the same /64, written in full', '2001:db8::1', '2001:0DB8:0:0:0:0:0:2', true],
    ['the next /64', '2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['a /64 of the same digits, grouped otherwise', '2001:db8:1:11::1', '2001:db8:b:7::1', false],
  ])('%s', (_title, one, other, isSame) => {
    expect(sourcesOf(one)).toHaveLength(1);
    expect(JSON.stringify(sourcesOf(one)) === JSON.stringify(sourcesOf(other))).toBe(isSame);
  });

  it('are counted each by itself: one that is used up is enough, the longest wait is told', async () => {
    const guard = guardWith({ address: () => address });
    await answerTo(guard, '---', 'one');
    expect(await answerTo(guard, '-', 'another')).toBe('429, 20');
    const byCertificate = guardWith({ address: () => undefined });
    await answerTo(byCertificate, '---', 'one');
    expect(await answerTo(byCertificate, '-', 'another')).toBe('looked at');
  });

  it('wait for the one that is used up the longest', async () => {
    const guard = guardWith({ address: () => address });
    for (let i = 0; i < 3; i += 1) {
      await learn(guard, [thumbprint], false);
    }
    seconds += 5;
    for (let i = 0; i < 3; i += 1) {
      await learn(guard, [address], false);
    }
    seconds += 5;
    expect(await answerTo(guard, '-')).toBe('429, 15');
  });

  it.each([
    [true, []],
    [false, [thumbprint]],
    ['yes', [thumbprint]],
  ])('exempt says %j: %j', (says, expected) => {
    expect(guardWith({ exempt: () => says as never }).sourceOf({} as never, thumbprint)).toEqual(expected);
  });

  it('are asked of the request itself', () => {
    const req = { headers: { 'x-probe': 'ours' } } as never;
    const [exempt, ofRequest] = [vi.fn(() => false), vi.fn(() => address)];
    guardWith({ exempt, address: ofRequest }).sourceOf(req, undefined);
    expect([exempt.mock.calls, ofRequest.mock.calls]).toEqual([[[req]], [[req]]]);
  });
});
