// The host names of certificates, looked up in this process and by DNS servers.
import { createSocket } from 'node:dgram';
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { askDnsServers } from '../../../packages/core/src/certificate-status/host-lookup.js';
import { createStatusFetcher } from '../../../packages/core/src/certificate-status/status-fetcher.js';
import type { ResolveHost } from '../../../packages/core/src/shared/resolve-host.js';

const dns = vi.hoisted(() => ({ lookups: [] as string[] }));
vi.mock('node:dns', async (original) => ({
  ...(await original<object>()),
  // None of them ends.
  lookup: (host: string) => void dns.lookups.push(host),
}));

it('all fetchers of a process look up one name at a time, with and without origins', async () => {
  const urls = Array.from({ length: 4 }, (_, index) => `http://${index}.invalid`);
  const fetchers = [undefined, urls, urls].map((origins) =>
    createStatusFetcher({ timeout: 0.3, origins, ca: undefined }),
  );
  const fetched = await Promise.allSettled(
    fetchers.flatMap((fetcher) => urls.map((url) => fetcher.fetch(url, { accept: '*/*', maxSize: 100 }))),
  );
  expect(new Set(fetched.map(({ status }) => status))).toEqual(new Set(['rejected']));
  expect(dns.lookups).toEqual(['0.invalid']);
  for (const fetcher of fetchers) {
    fetcher.close();
  }
});

describe('the DNS servers', () => {
  const answers = { A: [192, 0, 2, 7], AAAA: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7] };
  const socket = createSocket('udp4');
  let reply: (type: 'A' | 'AAAA') => readonly number[] | 'silence' | 'unknown';

  /** A question by its header and name, answered with one record or none. */
  socket.on('message', (question, from) => {
    const end = question.indexOf(0, 12) + 5;
    const type = question.readUInt16BE(end - 4) === 1 ? 'A' : 'AAAA';
    const data = reply(type);
    if (data === 'silence') {
      return;
    }
    const head = Buffer.from(question.subarray(0, end));
    head.writeUInt16BE(data === 'unknown' ? 0x8183 : 0x8180, 2);
    [data === 'unknown' || data.length === 0 ? 0 : 1, 0, 0].forEach((count, at) => {
      head.writeUInt16BE(count, 6 + 2 * at);
    });
    const record = [0xc0, 12, 0, type === 'A' ? 1 : 28, 0, 1, 0, 0, 0, 60, 0, data.length];
    const isEmpty = data === 'unknown' || data.length === 0;
    socket.send(isEmpty ? head : Buffer.concat([head, Buffer.from([...record, ...data])]), from.port);
  });
  beforeAll(async () => {
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
  });
  afterAll(() => void socket.close());

  const ask = (options: Parameters<ResolveHost>[1] = { all: true }) => {
    const server = `127.0.0.1:${socket.address().port}`;
    return new Promise<LookupAddress[]>((done, failed) =>
      askDnsServers(
        'crl.example.com',
        options,
        (error, addresses) => (error === null ? done(addresses) : failed(error)),
        [server],
      ),
    );
  };
  const v4 = { address: '192.0.2.7', family: 4 };
  const v6 = { address: '2001:db8::7', family: 6 };

  it('give addresses of both versions, or of the one that is asked for', async () => {
    reply = (type) => answers[type];
    expect(await ask()).toEqual([v4, v6]);
    expect(await ask({ all: true, family: 6 })).toEqual([v6]);
    expect(await ask({ all: true, family: 'IPv4' })).toEqual([v4]);
    reply = (type) => (type === 'A' ? [] : answers.AAAA);
    expect(await ask()).toEqual([v6]);
  });

  it('do not know a name', async () => {
    reply = () => 'unknown';
    await expect(ask()).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('are asked for three seconds at most', async () => {
    reply = () => 'silence';
    const began = performance.now();
    await expect(ask()).rejects.toMatchObject({ code: 'ETIMEOUT' });
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
