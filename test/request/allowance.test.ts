import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { RequestRefused } from '../../packages/core/src/errors.js';
import { FloodGuard, type FloodRules } from '../../packages/core/src/request/flood-guard.js';

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

/** Sends tokens that turn out to be active (`+`) or not (`-`), in turn. The last says how it was answered: 429 with seconds. */
function answerTo(guard: FloodGuard, tokens: string, sender = thumbprint): string {
  let answer = '';
  for (const token of tokens) {
    try {
      guard.count(guard.admit({} as never, sender), token === '+');
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
  ])('%s is answered: %s', (tokens, expected) => {
    expect(answerTo(guardWith(), tokens)).toBe(expected);
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
  ])('used up, and %s seconds later %s: %s', (later, tokens, expected) => {
    const guard = guardWith();
    answerTo(guard, '---');
    seconds += later;
    expect(answerTo(guard, tokens)).toBe(expected);
  });

  it('comes back while tokens are counted, too', () => {
    const guard = guardWith();
    answerTo(guard, '--');
    seconds += 10;
    answerTo(guard, '-');
    seconds += 10;
    expect(answerTo(guard, '-')).toBe('looked at');
    expect(answerTo(guard, '-')).toBe('429, 20');
  });

  it('is never less than none, however many were under way at once', () => {
    const guard = guardWith();
    const sources = Array.from({ length: 10 }, () => guard.admit({} as never, thumbprint));
    for (const source of sources) {
      guard.count(source, false);
    }
    expect(answerTo(guard, '-')).toBe('429, 20');
  });

  it('is remembered through any number of sources whose tokens are active', () => {
    const guard = guardWith();
    answerTo(guard, '---');
    for (let i = 0; i < 20_001; i += 1) {
      guard.count([`client ${i}`], true);
    }
    expect(answerTo(guard, '-')).toBe('429, 20');
  });
});

describe('the sources of a request', () => {
  const sourcesOf = (given: string | undefined, sender?: string) =>
    guardWith({ address: () => given }).admit({} as never, sender);

  it.each<[string, string | undefined, string | undefined, string[]]>([
    ['certificate and address', address, thumbprint, [thumbprint, address]],
    ['no certificate', address, undefined, [address]],
    ['no address', undefined, thumbprint, [thumbprint]],
    ['an address that is none', 'unknown', thumbprint, [thumbprint]],
    ['neither', undefined, undefined, []],
  ])('%s', (_title, given, sender, expected) => {
    expect(sourcesOf(given, sender)).toEqual(expected);
  });

  it('are without an address where the connection is somebody else’s', () => {
    expect(guardWith().admit({ socket: { remoteAddress: address } } as never, thumbprint)).toEqual([
      thumbprint,
    ]);
  });

  it.each([
    ['RFC 4291 §2.5.5.2: IPv4 within IPv6', '::ffff:198.51.100.7', '198.51.100.7', true],
    ['another IPv4 address', '198.51.100.7', '198.51.100.8', false],
    ['another host of a /64', '2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', true],
    ['the same /64, written in full', '2001:db8::1', '2001:0DB8:0:0:0:0:0:2', true],
    ['the next /64', '2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['a /64 of the same digits, grouped otherwise', '2001:db8:1:11::1', '2001:db8:b:7::1', false],
  ])('%s', (_title, one, other, isSame) => {
    expect(sourcesOf(one)).toHaveLength(1);
    expect(JSON.stringify(sourcesOf(one)) === JSON.stringify(sourcesOf(other))).toBe(isSame);
  });

  it('are counted each by itself: one that is used up is enough, the longest wait is told', () => {
    const guard = guardWith({ address: () => address });
    answerTo(guard, '---', 'one');
    expect(answerTo(guard, '-', 'another')).toBe('429, 20');
    const byCertificate = guardWith({ address: () => undefined });
    answerTo(byCertificate, '---', 'one');
    expect(answerTo(byCertificate, '-', 'another')).toBe('looked at');
  });

  it('wait for the one that is used up the longest', () => {
    const guard = guardWith({ address: () => address });
    guard.count([thumbprint, thumbprint, thumbprint], false);
    seconds += 5;
    guard.count([address, address, address], false);
    seconds += 5;
    expect(answerTo(guard, '-')).toBe('429, 15');
  });

  it.each([
    [true, []],
    [false, [thumbprint]],
    ['yes', [thumbprint]],
  ])('exempt says %j: %j', (says, expected) => {
    expect(guardWith({ exempt: () => says as never }).admit({} as never, thumbprint)).toEqual(expected);
  });

  it('are asked of the request itself', () => {
    const req = { headers: { 'x-probe': 'ours' } } as never;
    const [exempt, ofRequest] = [vi.fn(() => false), vi.fn(() => address)];
    guardWith({ exempt, address: ofRequest }).admit(req, undefined);
    expect([exempt.mock.calls, ofRequest.mock.calls]).toEqual([[[req]], [[req]]]);
  });
});
