import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChannelSync } from '../../../packages/core/src/revocation/channel-sync.js';
import type { RevocationChannelListener } from '../../../packages/core/src/revocation/revocation-channel.js';
import type { Revocations } from '../../../packages/core/src/revocation/revocations.js';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';

const now = 1_800_000_000_000;
const secret = 'a secret of at least 32 characters';
const older = 'another one, of 32 characters or more';

/** A channel in the test's hands, and what becomes of what it says. */
function feedOver(secrets = [secret], id?: string) {
  const listeners: RevocationChannelListener[] = [];
  const end = vi.fn(async () => undefined);
  const channel = {
    ...(id !== undefined && { id }),
    publish: vi.fn(async (_message: string): Promise<unknown> => undefined),
    subscribe: vi.fn(async (listener: RevocationChannelListener) => {
      listeners.push(listener);
      return end;
    }),
  };
  const revocations = { add: vi.fn(), markUnsynced: vi.fn(), markRestored: vi.fn() };
  const report = vi.fn();
  const feed = () =>
    new ChannelSync(
      { channel, secrets, maxAgeWhileUnsynced: 5 },
      revocations as unknown as Revocations,
      report,
    );
  return {
    feed,
    channel,
    revocations,
    report,
    end,
    listener: () => listeners.at(-1) as RevocationChannelListener,
  };
}

const settled = () => vi.advanceTimersByTimeAsync(0);
const sealed = (content: object, by = secret) =>
  createSeal(by, 'revocation').seal('revocation', JSON.stringify(content));

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(now);
});
afterEach(() => {
  vi.useRealTimers();
});

describe('who joins', () => {
  it('takes all that is known from before for outdated, also what others shared', async () => {
    const { feed, revocations, report } = feedOver();
    feed();
    expect(revocations.markUnsynced).toHaveBeenCalledOnce();
    expect(revocations.markRestored).not.toHaveBeenCalled();
    await settled();
    expect(revocations.markRestored).toHaveBeenCalledOnce();
    expect(report).not.toHaveBeenCalled();
  });

  it('tries again after a second when it can not, and tells', async () => {
    const { feed, channel, revocations, report } = feedOver();
    channel.subscribe.mockRejectedValueOnce(new Error('ECONNREFUSED'));
    feed();
    await settled();
    expect(report.mock.calls).toEqual([
      [
        'revocations_unsynced',
        'the channel of revocations can not be joined: ECONNREFUSED; until it is back, answers serve for revocations.maxAgeWhileUnsynced',
      ],
    ]);
    expect(revocations.markUnsynced).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(999);
    expect(channel.subscribe).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(channel.subscribe).toHaveBeenCalledTimes(2);
    expect(revocations.markRestored).toHaveBeenCalledOnce();
  });
});

describe('a subscription that does not settle', () => {
  const never = () => new Promise<never>(() => undefined);

  it('is reported after 10 s, once, and is still waited for', async () => {
    const { feed, channel, revocations, report, end } = feedOver();
    let settle: (given: typeof end) => void = () => undefined;
    channel.subscribe.mockImplementation(() => new Promise((resolve) => (settle = resolve)));
    feed();
    await vi.advanceTimersByTimeAsync(9_999);
    expect(report).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(60_001);
    expect(report.mock.calls).toEqual([
      [
        'revocations_unsynced',
        'the channel of revocations is not joined: subscribe() has not settled for 10 s; until it is back, answers serve for revocations.maxAgeWhileUnsynced',
      ],
    ]);
    expect(channel.subscribe).toHaveBeenCalledOnce();
    expect(revocations.markRestored).not.toHaveBeenCalled();
    settle(end);
    await settled();
    expect(revocations.markRestored).toHaveBeenCalledOnce();
  });

  it.each<[string, () => Promise<() => Promise<undefined>>]>([
    ['settles', async () => async () => undefined],
    ['rejects', async () => Promise.reject(new Error('ECONNREFUSED'))],
  ])('is not reported if it %s in time', async (_title, subscribe) => {
    const { feed, channel, report } = feedOver();
    channel.subscribe.mockImplementationOnce(subscribe as never);
    feed();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(report.mock.calls.filter(([, message]) => message.includes('has not settled'))).toEqual([]);
  });

  it('does not keep close() waiting, and is not reported after it', async () => {
    const { feed, channel, report } = feedOver();
    channel.subscribe.mockImplementation(never);
    await feed().close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(report).not.toHaveBeenCalled();
  });
});

describe('a channel that is interrupted and comes back', () => {
  it('whatever is known from before is outdated, and both are told', async () => {
    const { feed, revocations, report, listener } = feedOver();
    feed();
    await settled();
    listener().interrupted();
    vi.setSystemTime(now + 60_000);
    listener().restored();
    expect(revocations.markUnsynced).toHaveBeenCalledTimes(2);
    expect(revocations.markRestored).toHaveBeenCalledTimes(2);
    expect(report.mock.calls).toEqual([
      [
        'revocations_unsynced',
        'the connection to the channel of revocations is interrupted; until it is back, answers serve for revocations.maxAgeWhileUnsynced',
      ],
      ['revocations_synced', 'the channel of revocations is back'],
    ]);
  });
});

describe('an outage of the channel', () => {
  const codes = (report: ReturnType<typeof feedOver>['report']) => report.mock.calls.map(([code]) => code);

  it('is reported once, however often the client says so and joining is tried, and its end once', async () => {
    const { feed, channel, report, listener } = feedOver();
    feed();
    await settled();
    listener().interrupted();
    listener().interrupted();
    await vi.advanceTimersByTimeAsync(60_000);
    listener().interrupted();
    expect(codes(report)).toEqual(['revocations_unsynced']);
    listener().restored();
    expect(codes(report)).toEqual(['revocations_unsynced', 'revocations_synced']);
    listener().interrupted();
    expect(codes(report)).toEqual(['revocations_unsynced', 'revocations_synced', 'revocations_unsynced']);
    expect(channel.subscribe).toHaveBeenCalled();
  });

  it('is reported once where the process has never joined, and its end once', async () => {
    const { feed, channel, report, end } = feedOver();
    channel.subscribe.mockRejectedValue(new Error('ECONNREFUSED'));
    feed();
    await vi.advanceTimersByTimeAsync(10_500);
    expect(channel.subscribe.mock.calls.length).toBeGreaterThan(5);
    expect(codes(report)).toEqual(['revocations_unsynced']);
    channel.subscribe.mockResolvedValue(end);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(codes(report)).toEqual(['revocations_unsynced', 'revocations_synced']);
  });
});

describe('what is heard', () => {
  const revocation = { subject: 'alice' };

  it.each([
    ['just now', 0],
    ['from a clock that is behind', -60_000],
    ['from a clock that is ahead', 60_000],
    ['five minutes old', -300_000],
    ['five minutes ahead', 300_000],
  ])('%s: with the later moment of both clocks', async (_, difference) => {
    const { feed, revocations, report, listener } = feedOver();
    feed();
    await settled();
    listener().message(sealed({ revocation, at: now + difference, id: 'one' }));
    const at = Math.max(now, now + difference);
    expect(revocations.add.mock.calls).toEqual([[{ revocation, at, id: 'one' }]]);
    expect(report).not.toHaveBeenCalled();
  });

  it.each([
    ['older', -300_001],
    ['further ahead', 300_001],
  ])('%s than five minutes it is played back, and counts for nothing', async (_, difference) => {
    const { feed, revocations, report, listener } = feedOver();
    feed();
    await settled();
    listener().message(sealed({ revocation, at: now + difference }));
    expect(revocations.add).not.toHaveBeenCalled();
    expect(report.mock.calls).toMatchObject([['revocation_not_ours', expect.stringContaining('clock')]]);
  });

  it('a message is accepted with any secret in the list, and with no other', async () => {
    const { feed, revocations, report, listener } = feedOver([secret, older]);
    feed();
    await settled();
    listener().message(sealed({ revocation, at: now }, older));
    expect(revocations.add).toHaveBeenCalledOnce();
    listener().message(sealed({ revocation, at: now }, 'one that is not in the list of secrets'));
    listener().message('nonsense');
    expect(revocations.add).toHaveBeenCalledOnce();
    const told = [
      'revocation_not_ours',
      'a message on the channel of revocations was not sealed with revocations.secret; ignored',
    ];
    expect(report.mock.calls).toEqual([told, told]);
  });
});

describe('what is said', () => {
  it('is sealed by the first secret, and says what is revoked and when', async () => {
    const { feed, channel } = feedOver([secret, older]);
    channel.subscribe.mockReturnValue(new Promise(() => undefined));
    const notice = { revocation: { tokenHash: 'h' }, at: now, id: 'one' };
    await feed().publish(notice);
    const [[message]] = channel.publish.mock.calls as [[string]];
    expect(createSeal(older, 'revocation').open('revocation', message)).toBeUndefined();
    expect(JSON.parse(createSeal(secret, 'revocation').open('revocation', message) ?? '')).toEqual(notice);
  });

  it('names the channel, if that has an id', async () => {
    const { feed, channel } = feedOver([secret], 'payments');
    channel.subscribe.mockReturnValue(new Promise(() => undefined));
    const notice = { revocation: { tokenHash: 'h' }, at: now, id: 'one' };
    await feed().publish(notice);
    const [[message]] = channel.publish.mock.calls as [[string]];
    const text = createSeal(secret, 'revocation').open('revocation', message) ?? '';
    expect(JSON.parse(text)).toEqual({ ...notice, channel: 'payments' });
  });

  it.each([
    ['payments', 'payments', true],
    ['payments', 'accounts', false],
    // As an earlier version sends it.
    ['payments', undefined, true],
    [undefined, 'accounts', true],
  ])('on the channel %s with the name %s is believed: %s', async (id, channel, isBelieved) => {
    const { feed, revocations, report, listener } = feedOver([secret], id);
    feed();
    await settled();
    const notice = { revocation: { subject: 'alice' }, at: now, id: 'one' };
    listener().message(sealed({ ...notice, channel }));
    expect(revocations.add.mock.calls).toEqual(isBelieved ? [[notice]] : []);
    expect(report.mock.calls).toEqual(
      isBelieved
        ? []
        : [
            [
              'revocation_not_ours',
              'a message on the channel of revocations was sent on another channel, and played back on ' +
                'this one; ignored',
            ],
          ],
    );
  });

  it('is given two seconds', async () => {
    const { feed, channel } = feedOver();
    channel.publish.mockReturnValue(new Promise(() => undefined));
    let error: unknown;
    feed()
      .publish({ revocation: { tokenHash: 'h' }, at: now, id: 'one' })
      .catch((thrown: unknown) => {
        error = thrown;
      });
    await vi.advanceTimersByTimeAsync(1_999);
    expect(error).toBeUndefined();
    await vi.advanceTimersByTimeAsync(10);
    expect(error).toMatchObject({ name: 'TypeError', message: 'no answer within 2 s' });
  });
});

describe('close()', () => {
  it('ends the channel, and its later messages reach no listener', async () => {
    const { feed, end, report, revocations, listener } = feedOver();
    const one = feed();
    await settled();
    await one.close();
    expect(end).toHaveBeenCalledOnce();
    listener().interrupted();
    expect(report).not.toHaveBeenCalled();
    expect(revocations.markUnsynced).toHaveBeenCalledTimes(3);
  });

  it('means that revocations may be missed from now on', async () => {
    const { feed, revocations } = feedOver();
    const joined = feed();
    await settled();
    expect(revocations.markUnsynced).toHaveBeenCalledTimes(1);
    await joined.close();
    expect(revocations.markUnsynced).toHaveBeenCalledTimes(2);
  });

  it('ends a subscription that succeeds later', async () => {
    const { feed, channel, end, revocations } = feedOver();
    let listening = (_: typeof end): void => undefined;
    channel.subscribe.mockImplementation(
      () =>
        new Promise((resolve) => {
          listening = resolve;
        }),
    );
    const joining = feed();
    await joining.close();
    listening(end);
    await settled();
    expect(end).toHaveBeenCalledOnce();
    expect(revocations.markRestored).not.toHaveBeenCalled();
  });

  it('resolves where the channel can not be ended, and where it was never joined', async () => {
    const joined = feedOver();
    joined.end.mockRejectedValue(new Error('gone'));
    const one = joined.feed();
    await settled();
    await expect(one.close()).resolves.toBeUndefined();
    const never = feedOver();
    never.channel.subscribe.mockReturnValue(new Promise(() => undefined));
    await expect(never.feed().close()).resolves.toBeUndefined();
  });

  it('tries to join no more', async () => {
    const waiting = feedOver();
    waiting.channel.subscribe.mockRejectedValue(new Error('ECONNREFUSED'));
    const one = waiting.feed();
    await settled();
    await one.close();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(waiting.channel.subscribe).toHaveBeenCalledTimes(1);

    const trying = feedOver();
    trying.channel.subscribe.mockRejectedValue(new Error('ECONNREFUSED'));
    await trying.feed().close();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(trying.channel.subscribe).toHaveBeenCalledTimes(1);
    expect(trying.report).not.toHaveBeenCalled();
  });
});

describe('a channel that falls silent', () => {
  const joined = async (echoes: boolean) => {
    const parts = feedOver();
    let isDead = false;
    parts.channel.publish.mockImplementation(async (message) => {
      if (echoes && !isDead) {
        parts.listener().message(message);
      }
    });
    const feed = parts.feed();
    await settled();
    return {
      ...parts,
      feed,
      die: () => {
        isDead = true;
      },
    };
  };

  it('counts as interrupted after maxAgeWhileUnsynced, and is joined again', async () => {
    const { channel, end, report, revocations, die } = await joined(true);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(report).not.toHaveBeenCalled();
    die();
    await vi.advanceTimersByTimeAsync(7_000);
    expect(report.mock.calls).toMatchObject([['revocations_unsynced', expect.stringContaining('is silent')]]);
    expect(end).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(channel.subscribe).toHaveBeenCalledTimes(2);
    expect(revocations.markRestored).toHaveBeenCalledTimes(2);
  });

  it('is not told from one that does not bring one’s own messages', async () => {
    const { report } = await joined(false);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(report).not.toHaveBeenCalled();
  });

  it('is asked nothing any more after close()', async () => {
    const { channel, feed } = await joined(true);
    await feed.close();
    const sent = channel.publish.mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(channel.publish).toHaveBeenCalledTimes(sent);
  });
});
