import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createHostLookup } from '../../../packages/core/src/certificate-status/host-lookup.js';
import {
  createStatusFetcher,
  type FetchRules,
  type StatusFetcher,
} from '../../../packages/core/src/certificate-status/status-fetcher.js';
import type { StatusReasonCode } from '../../../packages/core/src/certificate-status/status-reason.js';
import { Urgency } from '../../../packages/core/src/certificate-status/urgency.js';
import type { ResolveHost } from '../../../packages/core/src/shared/resolve-host.js';
import { close, listen } from '../../support/loopback.js';
import { createPki } from '../../support/pki.js';

/** What operators read, and the code by which they get a hint. */
const expectFailure = (asking: Promise<unknown>, code: StatusReasonCode, message: RegExp) =>
  expect(asking).rejects.toMatchObject({ reason: { code }, message: expect.stringMatching(message) });

describe('a fetch of a list', () => {
  let server: Server;
  let origin: string;
  let port: number;
  let asked: string[];
  let answer: (req: IncomingMessage, res: ServerResponse) => void;
  let fetcher: StatusFetcher;

  beforeAll(async () => {
    server = createServer((req, res) => {
      asked.push(`${req.method} ${req.url}`);
      answer(req, res);
    });
    port = await listen(server);
    origin = `http://127.0.0.1:${port}`;
  });
  afterAll(() => close(server));
  afterEach(() => fetcher.close());

  const use = (handler: typeof answer, rules: Partial<FetchRules> = {}, resolveHost?: ResolveHost): void => {
    asked = [];
    answer = handler;
    fetcher = createStatusFetcher({ timeout: 5, origins: [origin], ca: undefined, ...rules }, resolveHost);
  };
  const get = (path = '/a.crl', maxSize = 1_000) =>
    fetcher.fetch(path.startsWith('/') ? `${origin}${path}` : path, {
      accept: 'application/pkix-crl',
      maxSize,
    });

  it('gives the body of the answer', async () => {
    use((_req, res) => res.end('list'));
    expect(await get()).toEqual({ body: Buffer.from('list'), etag: undefined });
  });

  it('may find out that nothing is new', async () => {
    const etag = '"one"';
    use((req, res) => {
      const isSame = req.headers['if-none-match'] === etag;
      res.writeHead(isSame ? 304 : 200, { etag }).end(isSame ? undefined : 'list');
    });
    const ask = (given?: string) =>
      fetcher.fetch(`${origin}/a.crl`, { accept: '*/*', maxSize: 1_000, etag: given });
    expect(await ask()).toEqual({ body: Buffer.from('list'), etag });
    expect(await ask(etag)).toBe('unchanged');
    expect(await ask('"two"')).toMatchObject({ etag });
  });

  it('fails if the server says that nothing is new without being asked', async () => {
    use((_req, res) => res.writeHead(304).end());
    await expectFailure(get(), 'unreachable', /^status 304/);
  });

  it('is made once for all who ask at the same time', async () => {
    use((_req, res) => setTimeout(() => res.end('list'), 50));
    await Promise.all([get(), get(), get('/b.crl'), get()]);
    expect(asked.toSorted()).toEqual(['GET /a.crl', 'GET /b.crl']);
  });

  it('runs next to three others of its origin at most', async () => {
    let now = 0;
    let most = 0;
    use((_req, res) => {
      now += 1;
      most = Math.max(most, now);
      setTimeout(() => {
        now -= 1;
        res.end('list');
      }, 20);
    });
    await Promise.all(Array.from({ length: 40 }, (_, index) => get(`/${index}.crl`)));
    expect([asked.length, most]).toEqual([40, 4]);
  });

  it.each<[string, typeof answer]>([
    ['a status of an error', (_req, res) => res.writeHead(500).end()],
    ['a length above the limit', (_req, res) => res.writeHead(200, { 'content-length': 1_001 }).write('a')],
    ['more bytes than the limit', (_req, res) => res.write(Buffer.alloc(1_001))],
  ])('runs next to three others of an origin that answered with %s', async (_title, handler) => {
    let now = 0;
    let most = 0;
    use(handler);
    await expect(get()).rejects.toThrow();
    answer = (_req, res) => {
      now += 1;
      most = Math.max(most, now);
      setTimeout(() => {
        now -= 1;
        res.end('list');
      }, 50);
    };
    await Promise.all(Array.from({ length: 4 }, (_, index) => get(`/${index}.crl`)));
    expect(most).toBe(4);
  });

  it.each<[string, typeof answer, StatusReasonCode, RegExp]>([
    [
      'a redirect',
      (_req, res) => res.writeHead(302, { location: `${origin}/b.crl` }).end(),
      'unreachable',
      /redirects are not followed/,
    ],
    ['another status', (_req, res) => res.writeHead(500).end(), 'unreachable', /^status 500$/],
    ['no content', (_req, res) => res.writeHead(204).end(), 'unreachable', /^status 204$/],
    [
      'a length above the limit',
      (_req, res) => res.writeHead(200, { 'content-length': 1_001 }).write('a'),
      'too_large',
      /more than 1000 bytes/,
    ],
    [
      'more bytes than the limit',
      (_req, res) => res.write(Buffer.alloc(1_001)),
      'too_large',
      /more than 1000 bytes/,
    ],
    [
      'a compressed body',
      (_req, res) => res.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('a')),
      'unreadable',
      /compressed/,
    ],
    [
      'less than it said',
      (_req, res) => res.writeHead(200, { 'content-length': 10 }).write('a', () => res.destroy()),
      'unreachable',
      /ended early|ECONNRESET/,
    ],
    ['nothing', (req) => req.socket.destroy(), 'unreachable', /ECONNRESET/],
  ])('fails if the answer is %s', async (_title, handler, code, why) => {
    use(handler);
    await expectFailure(get(), code, why);
    expect(asked).toEqual(['GET /a.crl']);
  });

  it('fails if no server is there', async () => {
    use((_req, res) => res.end());
    const unused = createServer();
    const free = await listen(unused);
    await close(unused);
    fetcher = createStatusFetcher({ timeout: 5, origins: [`http://127.0.0.1:${free}`], ca: undefined });
    await expectFailure(get(`http://127.0.0.1:${free}/a.crl`), 'unreachable', /ECONNREFUSED/);
  });

  it.each<[string, typeof answer]>([
    ['stays silent', () => undefined],
    ['never ends', (_req, res) => void setInterval(() => res.write('a'), 10).unref()],
  ])('fails in time if the server %s', async (_title, handler) => {
    use(handler, { timeout: 0.3 });
    const since = performance.now();
    await expectFailure(get(), 'unreachable', /^no answer within 0\.3 s$/);
    expect(performance.now() - since).toBeLessThan(3_000);
  });

  it('ends early if the server sends a gigabyte', async () => {
    let sent = 0;
    const chunk = Buffer.alloc(1_048_576);
    use((_req, res) => {
      const send = (): void => {
        while (sent < 1_024 && !res.destroyed) {
          sent += 1;
          if (!res.write(chunk)) {
            res.once('drain', send);
            return;
          }
        }
      };
      send();
    });
    const before = process.memoryUsage.rss();
    await expect(get('/a.crl', 10_485_760)).rejects.toThrow('more than 10485760 bytes');
    expect(sent).toBeLessThan(200);
    expect(process.memoryUsage.rss() - before).toBeLessThan(300_000_000);
  });

  it.each<[string, string, StatusReasonCode, RegExp]>([
    ['chunks of one byte', '1\r\nx\r\n', 'too_large', /^its body comes in too many small chunks$/],
    ['chunks with long extensions', `1;${'x'.repeat(10_000)}\r\nx\r\n`, 'too_large', /too many small chunks/],
    ['interim answers', 'HTTP/1.1 103 E\r\n\r\n', 'unreadable', /^more than 10 interim answers/],
  ])('ends early if the server sends %s without end', async (_title, part, code, why) => {
    const parts = Buffer.from(part.repeat(Math.ceil(100_000 / part.length)));
    let sent = 0;
    let isClosed: Promise<unknown> | undefined;
    use((req) => {
      const { socket } = req;
      isClosed = new Promise((resolve) => socket.once('close', resolve));
      if (!part.startsWith('HTTP')) {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      }
      const send = (): void => {
        while (sent < 1_000 && !socket.destroyed) {
          sent += 1;
          if (!socket.write(parts)) {
            socket.once('drain', send);
            return;
          }
        }
      };
      send();
    });
    await expectFailure(get('/a.crl', 1_048_576), code, why);
    await isClosed;
    expect(sent).toBeLessThan(200);
  });

  it('accepts an answer behind a few interim ones, in small chunks', async () => {
    use((_req, res) => {
      for (let count = 0; count < 10; count += 1) {
        res.writeProcessing();
      }
      for (const letter of 'list') {
        res.write(letter);
      }
      res.end();
    });
    expect(await get()).toEqual({ body: Buffer.from('list'), etag: undefined });
  });

  it('is not made again right after a failure', async () => {
    use((_req, res) => res.writeHead(500).end());
    await expect(get()).rejects.toThrow('status 500');
    await expectFailure(get(), 'unreachable', /^status 500; not asked again yet$/);
    expect(asked).toHaveLength(1);
  });

  it('is made for another authority after a failure', async () => {
    use((_req, res) => res.writeHead(asked.length === 1 ? 500 : 200).end('list'));
    const ask = (authority: string) =>
      fetcher.fetch(`${origin}/a.crl`, { accept: '*/*', maxSize: 1_000, authority });
    await expect(ask('a')).rejects.toThrow('status 500');
    expect(await ask('b')).toMatchObject({ body: Buffer.from('list') });
    await expect(ask('a')).rejects.toThrow('status 500; not asked again yet');
    expect(asked).toHaveLength(2);
  });

  it('counts as one failure with those that ran at the same time', async () => {
    use((_req, res) => setTimeout(() => res.writeHead(503).end(), 100));
    const post = () =>
      fetcher.fetch(`${origin}/ocsp`, {
        accept: 'application/ocsp-response',
        maxSize: 1_000,
        post: { type: 'application/ocsp-request', body: Buffer.from('request') },
      });
    await Promise.allSettled([post(), post(), post(), post()]);
    const before = asked.length;
    expect(before).toBeGreaterThan(1);
    await expect(post()).rejects.toThrow('not asked again yet');
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await expect(post()).rejects.toThrow(/^status 503$/);
    expect(asked).toHaveLength(before + 1);
  });

  it('of one origin is not held up by the requests to another that is silent', async () => {
    const other = createServer((_req, res) => void res.end('list'));
    const answering = `http://127.0.0.1:${await listen(other)}`;
    use(() => undefined, { timeout: 3, origins: [origin, answering] });
    const silent = Array.from({ length: 40 }, (_, index) => get(`/${index}.crl`).catch(() => 'failed'));
    const since = performance.now();
    expect(await get(`${answering}/a.crl`)).toMatchObject({ body: Buffer.from('list') });
    expect(performance.now() - since).toBeLessThan(2_000);
    fetcher.close();
    expect(new Set(await Promise.all(silent))).toEqual(new Set(['failed']));
    await close(other);
  });

  it('below one trust anchor is not held up by silent servers of many authorities below another one', async () => {
    const other = createServer((_req, res) => void res.end('list'));
    const answering = `http://127.0.0.1:${await listen(other)}`;
    // Each of these is another origin to the process.
    const hosts = Array.from({ length: 60 }, (_, index) => `http://silent${index}.invalid:${port}`);
    const lookUp: ResolveHost = (_host, _options, callback) =>
      callback(null, [{ address: '127.0.0.1', family: 4 }]);
    use(() => undefined, { timeout: 60, origins: [...hosts, answering] }, lookUp);
    const rest = { accept: 'application/pkix-crl', maxSize: 1_000 };
    const silent = hosts.map((host, index) =>
      fetcher.fetch(`${host}/a.crl`, { ...rest, authority: `bad ${index}` }).catch(() => 'failed'),
    );
    const list = fetcher.fetch(`${answering}/a.crl`, { ...rest, authority: 'good authority' });
    expect(await Promise.race([list, ...silent])).toMatchObject({ body: Buffer.from('list') });
    fetcher.close();
    expect(new Set(await Promise.all(silent))).toEqual(new Set(['failed']));
    await close(other);
  });

  it('is made while the DNS server of another name is silent, also after the time of that request', async () => {
    const origins = ['silent', 'good'].map((host) => `http://${host}.invalid:${port}`);
    const lookUp = createHostLookup({
      bySystem: () => undefined,
      byServers: (host, _options, callback) =>
        host.startsWith('good') ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : undefined,
    });
    use((_req, res) => res.end('list'), { origins, timeout: 1 }, lookUp);
    const [silent, good] = origins;
    const failed = expect(get(`${silent}/a.crl`)).rejects.toThrow('no answer within 1 s');
    expect(await get(`${good}/a.crl`)).toMatchObject({ body: Buffer.from('list') });
    await failed;
    expect(await get(`${good}/b.crl`)).toMatchObject({ body: Buffer.from('list') });
  });

  it('that a client waits for comes before refreshes in the background', async () => {
    use((_req, res) => setTimeout(() => res.end('list'), 50));
    const refreshes = Array.from({ length: 12 }, (_, index) =>
      fetcher.fetch(`${origin}/${index}.crl`, { accept: '*/*', maxSize: 1_000, urgency: new Urgency(false) }),
    );
    await get('/awaited.crl');
    expect(asked.indexOf('GET /awaited.crl')).toBeLessThan(5);
    await Promise.all(refreshes);
    expect(asked).toHaveLength(13);
  });

  it('of a responder that does not accept one request is made for another', async () => {
    const post = () =>
      fetcher.fetch(`${origin}/ocsp`, {
        accept: 'application/ocsp-response',
        maxSize: 1_000,
        post: { type: 'application/ocsp-request', body: Buffer.from('request') },
      });
    use((_req, res) => res.writeHead(asked.length === 1 ? 404 : 503).end());
    await expect(post()).rejects.toThrow('status 404');
    await expect(post()).rejects.toThrow('status 503');
    await expect(post()).rejects.toThrow('not asked again yet');
    expect(asked).toEqual(['POST /ocsp', 'POST /ocsp']);
  });

  it.each<[string, () => string, StatusReasonCode, RegExp]>([
    [
      'another origin',
      () => `http://localhost:${port}/`,
      'origin_not_permitted',
      /its origin is not in origins/,
    ],
    ['another scheme', () => 'ldap://127.0.0.1/', 'unreadable', /no http or https URL/],
    ['a user name', () => `http://user@127.0.0.1:${port}/`, 'unreadable', /no http or https URL/],
  ])('fails for %s', async (_title, url, code, why) => {
    use((_req, res) => res.end());
    await expectFailure(get(url()), code, why);
    expect(asked).toEqual([]);
  });

  it.each(['127.0.0.1', 'localhost', '0x7f.1', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0', '169.254.169.254'])(
    'without origins does not go to %s',
    async (host) => {
      use((_req, res) => res.end(), { origins: undefined });
      await expectFailure(
        get(`http://${host}:${port}/`),
        'origin_not_permitted',
        /name its origin in origins/,
      );
      expect(asked).toEqual([]);
    },
  );

  it('without origins does not go to an https URL', async () => {
    const lookedUp: string[] = [];
    use(
      (_req, res) => res.end(),
      { origins: undefined },
      (host, _options, callback) => {
        lookedUp.push(host);
        callback(null, [{ address: '198.51.100.1', family: 4 }]);
      },
    );
    await expectFailure(get('HTTPS://crl.example/'), 'origin_not_permitted', /https URL .* name its origin/);
    expect(lookedUp).toEqual([]);
  });

  it('without origins does not go where a name resolves to 169.254.169.254', async () => {
    use(
      (_req, res) => res.end(),
      { origins: undefined },
      (_host, _options, callback) => callback(null, [{ address: '169.254.169.254', family: 4 }]),
    );
    await expectFailure(get('http://crl.example/'), 'origin_not_permitted', /name its origin in origins/);
  });

  it('fails over TLS unless the certificate of the server is of a trusted authority', async () => {
    const { ca, server: identity } = await createPki();
    const other = await createPki('CN=Another CA');
    const tls = createTlsServer({ cert: identity.cert, key: identity.key }, (_req, res) => res.end('list'));
    const url = `https://127.0.0.1:${await listen(tls)}`;
    use((_req, res) => res.end(), { origins: [url] });
    await expectFailure(get(`${url}/`), 'server_not_trusted', /UNABLE_TO|SELF_SIGNED/);
    use((_req, res) => res.end(), { origins: [url], ca: other.ca.cert });
    await expectFailure(get(`${url}/`), 'server_not_trusted', /UNABLE_TO|SELF_SIGNED/);
    use((_req, res) => res.end(), { origins: [url], ca: [other.ca.cert, Buffer.from(ca.cert)] });
    expect(await get(`${url}/`)).toMatchObject({ body: Buffer.from('list') });
    await close(tls);
  });

  it('ends when it is closed', async () => {
    use(() => undefined);
    const pending = get();
    setTimeout(() => fetcher.close(), 50);
    await expect(pending).rejects.toThrow();
    await expect(get('/b.crl')).rejects.toThrow('closed');
  });
});
