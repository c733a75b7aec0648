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

/** Allows three inactive tokens in a row. The allowance of one returns every 20 seconds. */
const guardWith = (more: Partial<FloodRules> = {}): FloodGuard<object> =>
  new FloodGuard({ allowance: 3, window: 60, address: undefined, exempt: undefined, ...more });

let turn = 0;

/** Asks about a new token for `countingKeys`, which turns out to be active or not. */
function askAbout(
  guard: FloodGuard<object>,
  countingKeys: readonly string[],
  isActive: boolean,
): Promise<unknown> {
  turn += 1;
  const answer = isActive ? ({} as TokenClaims) : 'token_inactive';
  return guard.limit(countingKeys, `token ${turn}`, {
    ask: async () => answer,
    findWithoutAsking: async () => undefined,
  });
}

/** Sends tokens that are active (`+`) or not (`-`), in turn. Returns how the last one was answered. */
async function answerTo(guard: FloodGuard<object>, tokens: string, sender = thumbprint): Promise<string> {
  let answer = '';
  for (const token of tokens) {
    try {
      await askAbout(guard, guard.countingKeysOf({} as never, sender), token === '+');
      answer = 'asked about';
    } catch (error) {
      expect(error).toBeInstanceOf(RequestRefused);
      const { status, code, retryAfter } = error as RequestRefused;
      expect(code).toBe('too_many_rejected_tokens');
      answer = `${status}, ${retryAfter}`;
    }
  }
  return answer;
}

describe('the allowance of a client', () => {
  it.each([
    ['---', 'asked about'],
    ['----', '429, 20'],
    ['---+', '429, 20'],
    ['--+--', 'asked about'],
    ['--+---', '429, 20'],
    ['++++++---', 'asked about'],
    ['++++++----', '429, 20'],
    ['-++++++---', 'asked about'],
    ['-++++++----', '429, 20'],
  ])('after %s the last token is: %s', async (tokens, expected) => {
    expect(await answerTo(guardWith(), tokens)).toBe(expected);
  });

  it.each([
    [0, '-', '429, 20'],
    [1, '-', '429, 19'],
    [5.5, '-', '429, 15'],
    [19.5, '-', '429, 1'],
    [20, '-', 'asked about'],
    [20, '--', '429, 20'],
    [30, '--', '429, 10'],
    [40, '--', 'asked about'],
    [40, '---', '429, 20'],
    [60, '---', 'asked about'],
    [60, '----', '429, 20'],
    [3_600, '---', 'asked about'],
    [3_600, '----', '429, 20'],
  ])('an allowance is used up, and %s seconds later %s is: %s', async (later, tokens, expected) => {
    const guard = guardWith();
    await answerTo(guard, '---');
    seconds += later;
    expect(await answerTo(guard, tokens)).toBe(expected);
  });

  it('an allowance returns while tokens are counted, too', async () => {
    const guard = guardWith();
    await answerTo(guard, '--');
    seconds += 10;
    await answerTo(guard, '-');
    seconds += 10;
    expect(await answerTo(guard, '-')).toBe('asked about');
    expect(await answerTo(guard, '-')).toBe('429, 20');
  });

  it('no more questions than the allowance are under way, and the others are refused once it is used up', async () => {
    const guard = guardWith();
    const ends: (() => void)[] = [];
    const ask = vi.fn(
      () => new Promise<'token_inactive'>((resolve) => ends.push(() => resolve('token_inactive'))),
    );
    const countingKeys = guard.countingKeysOf({} as never, thumbprint);
    const answers = Array.from({ length: 10 }, (_, i) =>
      guard
        .limit(countingKeys, `made up ${i}`, { ask, findWithoutAsking: async () => undefined })
        .catch(({ code }) => code),
    );
    await vi.waitFor(() => expect(ask).toHaveBeenCalledTimes(3));
    ends.splice(0).forEach((end) => void end());
    expect(await Promise.all(answers)).toEqual([
      ...Array(3).fill('token_inactive'),
      ...Array(7).fill('too_many_rejected_tokens'),
    ]);
    expect(ask).toHaveBeenCalledTimes(3);
  });

  it('a client that sends many active tokens at once waits for its own questions, and none is refused', async () => {
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
    const countingKeys = guard.countingKeysOf({} as never, thumbprint);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        guard.limit(countingKeys, `good ${i}`, { ask, findWithoutAsking: async () => undefined }),
      ),
    );
    expect(new Set(answers)).toEqual(new Set([claims]));
    expect(most).toBe(3);
  });

  it('a client that sends only made-up tokens does not wait on, though its allowance returns meanwhile', async () => {
    const guard = guardWith();
    const countingKeys = guard.countingKeysOf({} as never, thumbprint);
    const ends: (() => void)[] = [];
    const ask = () => new Promise<'token_inactive'>((resolve) => ends.push(() => resolve('token_inactive')));
    const codes: unknown[] = [];
    const answers = Array.from({ length: 50 }, (_, i) =>
      guard
        .limit(countingKeys, `slow ${i}`, { ask, findWithoutAsking: async () => undefined })
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
    const refused = ['too_many_rejected_tokens', 'authorization_server_not_asked'];
    expect(codes.filter((code) => refused.includes(String(code))).length).toBeGreaterThan(40);
    for (const end of ends) {
      end();
    }
    await Promise.all(answers);
  });

  const failing = (guard: FloodGuard<object>, name: string, code: RefusalCode) =>
    guard.limit(guard.countingKeysOf({} as never, thumbprint), name, {
      ask: () => Promise.reject(new RequestRefused(code)),
      findWithoutAsking: async () => undefined,
    });

  it.each(['authorization_server_not_asked', 'shutting_down'] as const)(
    '%s gives the allowance back',
    async (code) => {
      const guard = guardWith();
      for (let i = 0; i < 10; i += 1) {
        await expect(failing(guard, `unlucky ${i}`, code)).rejects.toThrow(code);
      }
      expect(await answerTo(guard, '---')).toBe('asked about');
    },
  );

  it.each([
    'authorization_server_timeout',
    'authorization_server_unreachable',
    'authorization_server_overloaded',
    'authorization_server_failed',
    'authorization_server_invalid_answer',
    'internal_error',
  ] as const)('%s gives nothing back, and the next question is refused with 503', async (code) => {
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
    expect(await answerTo(guard, '+++---')).toBe('asked about');
    expect(await answerTo(guard, '-')).toBe('429, 20');
  });

  it('made-up tokens after a failure of the server are refused with 429', async () => {
    const guard = guardWith();
    await expect(failing(guard, 'trouble', 'authorization_server_timeout')).rejects.toThrow();
    expect(await answerTo(guard, '---')).toBe('429, 20');
  });

  it('a good token is asked about without any allowance left, and costs none', async () => {
    const guard = guardWith();
    const countingKeys = guard.countingKeysOf({} as never, thumbprint);
    await answerTo(guard, '---');
    for (const answer of ['token_inactive', {} as TokenClaims] as const) {
      const lookups = { ask: async () => answer, findWithoutAsking: async () => undefined };
      expect(await guard.limit(countingKeys, 'known', lookups, 'known')).toBe(answer);
    }
    expect(await answerTo(guard, '-')).toBe('429, 20');
  });

  it('one token costs one question, however often it is sent meanwhile', async () => {
    const guard = guardWith();
    const countingKeys = guard.countingKeysOf({} as never, thumbprint);
    const ask = vi.fn(async () => 'token_inactive' as const);
    await Promise.all(
      Array.from({ length: 20 }, () =>
        guard.limit(countingKeys, 'one', { ask, findWithoutAsking: async () => undefined }),
      ),
    );
    expect(ask).toHaveBeenCalledOnce();
    expect(await answerTo(guard, '--')).toBe('asked about');
    expect(await answerTo(guard, '-')).toBe('429, 20');
  });

  it('a token that a cache knows is accepted without any allowance left', async () => {
    const guard = guardWith();
    await answerTo(guard, '---');
    const claims = {} as TokenClaims;
    const ask = vi.fn();
    const countingKeys = guard.countingKeysOf({} as never, thumbprint);
    expect(await guard.limit(countingKeys, 'known', { ask, findWithoutAsking: async () => claims })).toBe(
      claims,
    );
    expect(ask).not.toHaveBeenCalled();
  });

  it('an allowance is forgotten after more than 20,000 other clients', async () => {
    const guard = guardWith();
    await answerTo(guard, '---');
    for (let i = 0; i < 20_001; i += 1) {
      await askAbout(guard, [`client ${i}`], true);
    }
    expect(await answerTo(guard, '-')).toBe('asked about');
  });
});

describe('the client names of a request', () => {
  const namesGiven = (given: string | undefined, sender?: string) =>
    guardWith({ address: () => given }).countingKeysOf({} as never, sender);

  it.each<[string, string | undefined, string | undefined, string[]]>([
    [
      'a request with a certificate and an address counts for both',
      address,
      thumbprint,
      [thumbprint, address],
    ],
    ['a request without a certificate counts for its address', address, undefined, [address]],
    ['a request without an address counts for its certificate', undefined, thumbprint, [thumbprint]],
    ['a text that is no address does not count', 'unknown', thumbprint, [thumbprint]],
    [
      'all requests with neither count for one client',
      undefined,
      undefined,
      ['without certificate and address'],
    ],
  ])('%s', (_title, given, sender, expected) => {
    expect(namesGiven(given, sender)).toEqual(expected);
  });

  it('the address of the connection does not count if a proxy may share it', () => {
    expect(guardWith().countingKeysOf({ socket: { remoteAddress: address } } as never, thumbprint)).toEqual([
      thumbprint,
    ]);
  });

  it.each([
    [
      'RFC 4291 §2.5.5.2: an IPv4 address within IPv6 and the address itself',
      '::ffff:198.51.100.7',
      '198.51.100.7',
      true,
    ],
    ['a text that is no address and an address', 'no address', '198.51.100.7', false],
    ['two texts that are no address', 'no address', 'no address either', true],
    ['two IPv4 addresses', '198.51.100.7', '198.51.100.8', false],
    ['two hosts of one /64', '2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', true],
    ['two spellings of one /64', '2001:db8::1', '2001:0DB8:0:0:0:0:0:2', true],
    ['two neighbouring /64', '2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['two /64 of the same digits, grouped differently', '2001:db8:1:11::1', '2001:db8:b:7::1', false],
  ])('%s (%s and %s) count for one client: %s', (_title, one, other, isSame) => {
    expect(namesGiven(one)).toHaveLength(1);
    expect(JSON.stringify(namesGiven(one)) === JSON.stringify(namesGiven(other))).toBe(isSame);
  });

  it('each name counts by itself, and one that is used up is enough to refuse', async () => {
    const guard = guardWith({ address: () => address });
    await answerTo(guard, '---', 'one');
    expect(await answerTo(guard, '-', 'another')).toBe('429, 20');
    const byCertificate = guardWith({ address: () => undefined });
    await answerTo(byCertificate, '---', 'one');
    expect(await answerTo(byCertificate, '-', 'another')).toBe('asked about');
  });

  it('Retry-After names the longest wait', async () => {
    const guard = guardWith({ address: () => address });
    for (let i = 0; i < 3; i += 1) {
      await askAbout(guard, [thumbprint], false);
    }
    seconds += 5;
    for (let i = 0; i < 3; i += 1) {
      await askAbout(guard, [address], false);
    }
    seconds += 5;
    expect(await answerTo(guard, '-')).toBe('429, 15');
  });

  it.each([
    [true, []],
    [false, [thumbprint]],
    ['yes', [thumbprint]],
  ])('if exempt returns %j, the client names are %j', (says, expected) => {
    expect(guardWith({ exempt: () => says as never }).countingKeysOf({} as never, thumbprint)).toEqual(
      expected,
    );
  });

  it('the options exempt and address get the request itself', () => {
    const req = { headers: { 'x-probe': 'ours' } } as never;
    const [exempt, ofRequest] = [vi.fn(() => false), vi.fn(() => address)];
    guardWith({ exempt, address: ofRequest }).countingKeysOf(req, undefined);
    expect([exempt.mock.calls, ofRequest.mock.calls]).toEqual([[[req]], [[req]]]);
  });
});
