// The host names of certificates: one whose DNS server is silent holds up neither this process nor other names.
import type { LookupAddress } from 'node:dns';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createHostLookup } from '../../../packages/core/src/certificate-status/host-lookup.js';

const bySystem: LookupAddress[] = [{ address: '192.0.2.1', family: 4 }];
const byServers: LookupAddress[] = [{ address: '192.0.2.2', family: 4 }];

describe('the look-up of a host name', () => {
  let asked: { host: string; end: (error?: Error) => void }[];
  let servers: string[];
  let answerOfServers: NodeJS.ErrnoException | null;
  let resolve: (host: string) => Promise<LookupAddress[]>;

  beforeEach(() => {
    vi.useFakeTimers();
    [asked, servers, answerOfServers] = [[], [], null];
    const lookUp = createHostLookup({
      bySystem: (host, _options, callback) =>
        void asked.push({ host, end: (error) => callback(error ?? null, error ? [] : bySystem) }),
      byServers: (host, _options, callback) => {
        servers.push(host);
        callback(answerOfServers, byServers);
      },
    });
    resolve = (host) =>
      new Promise((done, failed) =>
        lookUp(host, { all: true }, (error, addresses) => (error === null ? done(addresses) : failed(error))),
      );
  });
  afterEach(() => vi.useRealTimers());

  const names = () => asked.map(({ host }) => host);
  const failure = (code: string) => Object.assign(new Error('failed'), { code });

  it('is made by the operating system, one name after the other', async () => {
    const all = ['a', 'b', 'c'].map(resolve);
    for (const at of [0, 1, 2]) {
      expect(names()).toHaveLength(at + 1);
      asked[at]?.end();
    }
    expect(await Promise.all(all)).toEqual([bySystem, bySystem, bySystem]);
    expect([names(), servers]).toEqual([['a', 'b', 'c'], []]);
  });

  it('asks the DNS servers while that of another name does not end, however long that takes', async () => {
    void resolve('silent');
    for (let minute = 0; minute < 3; minute += 1) {
      await vi.advanceTimersByTimeAsync(60_000);
      const others = ['b', 'c'].map(resolve);
      await vi.advanceTimersByTimeAsync(199);
      expect(servers).toHaveLength(2 * minute);
      await vi.advanceTimersByTimeAsync(1);
      expect(await Promise.all(others)).toEqual([byServers, byServers]);
    }
    expect(names()).toEqual(['silent']);
  });

  it('is made by the operating system again once the silent one has ended', async () => {
    const silent = resolve('silent').catch((error: Error) => error.message);
    await vi.advanceTimersByTimeAsync(10_000);
    asked[0]?.end(failure('EAI_AGAIN'));
    expect(await silent).toBe('failed');
    void resolve('b');
    expect(names()).toEqual(['silent', 'b']);
  });

  it('of a name that was silent takes no thread for ten minutes', async () => {
    void resolve('silent').catch(() => undefined);
    await vi.advanceTimersByTimeAsync(2_001);
    asked[0]?.end(failure('EAI_AGAIN'));
    answerOfServers = failure('ETIMEOUT');
    for (let minute = 0; minute < 9; minute += 1) {
      await expect(resolve('silent')).rejects.toThrow('the DNS servers gave no address of silent (ETIMEOUT)');
      await vi.advanceTimersByTimeAsync(60_000);
    }
    expect(names()).toEqual(['silent']);
    await vi.advanceTimersByTimeAsync(60_001);
    void resolve('silent');
    expect(names()).toEqual(['silent', 'silent']);
  });

  it('of a name that the DNS servers do not know is left to the operating system the next time', async () => {
    void resolve('in-hosts-file');
    await vi.advanceTimersByTimeAsync(2_001);
    asked[0]?.end();
    answerOfServers = failure('ENOTFOUND');
    await expect(resolve('in-hosts-file')).rejects.toMatchObject({
      message: expect.stringContaining(
        'of in-hosts-file (ENOTFOUND), and the operating system could not be asked',
      ),
      reason: { code: 'unreachable' },
    });
    void resolve('in-hosts-file');
    expect(names()).toEqual(['in-hosts-file', 'in-hosts-file']);
  });

  it('of a name that fails in time is left to the operating system again', async () => {
    void resolve('unknown').catch(() => undefined);
    asked[0]?.end(failure('ENOTFOUND'));
    void resolve('unknown');
    expect(names()).toEqual(['unknown', 'unknown']);
  });
});
