import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Http,
  StaleConnection,
  UntrustedServer,
} from '../../../packages/core/src/authorization-server/http.js';
import {
  createLimitedHttpClient,
  retryBroken,
} from '../../../packages/core/src/authorization-server/limited-http.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { CircuitBreaker } from '../../../packages/core/src/shared/circuit-breaker.js';
import { deferred } from '../../support/deferred.js';

const rules = { maxConcurrent: 2, maxQueued: 3, maxFailures: 3, retryInterval: 0.2, timeout: 5 };
const request = { method: 'POST', headers: {} };
const server = { role: 'authorization server', name: 'https://as.example.com' } as const;

function protect(http: Http, changes: Partial<typeof rules> = {}) {
  const report = vi.fn();
  const { send } = createLimitedHttpClient(http, server, { ...rules, ...changes }, report);
  return {
    report,
    send: () => send('https://as.example.com/x', request).then(String, (error) => error.code),
  };
}

afterEach(() => vi.restoreAllMocks());

/** Stops the clock of the breaker. Returns what moves it on, by milliseconds. */
function controlClock(): (milliseconds: number) => void {
  let now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  return (milliseconds) => {
    now += milliseconds;
  };
}

describe('for whose sake a request is sent', () => {
  const failing: Http = () => Promise.reject(new RequestRefused('authorization_server_unreachable'));
  const code = (error: unknown) => (error as RequestRefused).code;

  it('failures of one client leave the breaker closed for the others', async () => {
    const asked = vi.fn(failing);
    const { send } = createLimitedHttpClient(asked, server, rules, vi.fn());
    const sendFor = (name: string) =>
      send('https://as.example.com/x', {
        ...request,
        requester: { interactionId: undefined, countingKeys: [name] },
      }).catch(code);
    for (let i = 0; i < 6; i += 1) {
      await sendFor('alice');
    }
    expect(asked).toHaveBeenCalledTimes(3);
    expect(await sendFor('alice')).toBe('authorization_server_not_asked');
    expect(await sendFor('bob')).toBe('authorization_server_unreachable');
  });

  it('a changed Object.prototype names no client', async () => {
    const { send } = createLimitedHttpClient(failing, server, rules, vi.fn());
    const sendOnce = () => send('https://as.example.com/x', request).catch(code);
    Object.defineProperty(Object.prototype, 'requester', {
      value: { interactionId: undefined, countingKeys: ['alice'] },
      configurable: true,
    });
    try {
      for (let i = 0; i < 3; i += 1) {
        await sendOnce();
      }
    } finally {
      Reflect.deleteProperty(Object.prototype, 'requester');
    }
    // The failures were no client's, so that the breaker is open for every client.
    const requester = { interactionId: undefined, countingKeys: ['bob'] };
    expect(await send('https://as.example.com/x', { ...request, requester }).catch(code)).toBe(
      'authorization_server_not_asked',
    );
  });
});

describe('what opens the breaker', () => {
  const trouble = (code: ConstructorParameters<typeof RequestRefused>[0]) => () =>
    Promise.reject(new RequestRefused(code));
  const status = (code: number) => async () => new Response(null, { status: code });

  it.each<[string, Http, boolean]>([
    ['no connection', trouble('authorization_server_unreachable'), true],
    ['no answer in time', trouble('authorization_server_timeout'), true],
    ['502', status(502), true],
    ['503', status(503), true],
    ['504', status(504), true],
    ['500: a token of the client’s making could cause it', status(500), false],
    ['400', status(400), false],
    ['429', status(429), false],
    ['nonsense, or too much of it', trouble('authorization_server_invalid_answer'), false],
    ['our own certificate', trouble('internal_error'), false],
  ])('%s: %#', async (_title, http, opens) => {
    const asked = vi.fn(http);
    const { send, report } = protect(asked);
    for (let i = 0; i < 6; i += 1) {
      await send();
    }
    expect(asked).toHaveBeenCalledTimes(opens ? 3 : 6);
    expect(report.mock.calls.map(([code]) => code)).toEqual(opens ? ['authorization_server_suspended'] : []);
    expect(await send()).toBe(opens ? 'authorization_server_not_asked' : await protect(http).send());
  });

  it('failures have to come in a row', async () => {
    const statuses = [503, 503, 200, 503, 503, 200, 503, 503];
    const asked = vi.fn<Http>(async () => new Response(null, { status: statuses.shift() ?? 200 }));
    const { send } = protect(asked);
    for (let i = 0; i < 12; i += 1) {
      await send();
    }
    expect(asked).toHaveBeenCalledTimes(12);
  });
});

it('a request that is given up before it has a place is refused, and not sent', async () => {
  const asked = vi.fn<Http>(async () => new Response());
  const { send } = createLimitedHttpClient(asked, server, rules, vi.fn());
  const sent = send('https://as.example.com/x', { ...request, signal: AbortSignal.abort() });
  await expect(sent).rejects.toMatchObject({ code: 'authorization_server_not_asked' });
  expect(asked).not.toHaveBeenCalled();
});

it('sends one probe each interval; no request waits for it; its success closes the breaker, its failure does not', async () => {
  let answer: () => Promise<Response> = async () => new Response(null, { status: 503 });
  const asked = vi.fn<Http>(() => answer());
  const { send, report } = protect(asked);
  const pass = controlClock();
  await Promise.all([send(), send(), send()]);
  pass(220);
  // The probe has no answer yet when the other requests are refused.
  const held = deferred<Response>();
  answer = () => held.promise;
  const probe = send();
  expect(await Promise.all([send(), send()])).toEqual(
    Array.from({ length: 2 }, () => 'authorization_server_not_asked'),
  );
  held.resolve(new Response(null, { status: 503 }));
  await probe;
  expect(asked).toHaveBeenCalledTimes(4);
  pass(220);
  answer = async () => new Response(null, { status: 200 });
  await send();
  expect(await Promise.all([send(), send()])).toEqual(['[object Response]', '[object Response]']);
  expect(report.mock.calls.map(([code]) => code)).toEqual([
    'authorization_server_suspended',
    'authorization_server_resumed',
  ]);
});

it('a transmitter of Shared Signals has problems of its own', async () => {
  let status = 503;
  const report = vi.fn();
  const { send } = createLimitedHttpClient(
    async () => new Response(null, { status }),
    { role: 'transmitter', name: 'https://transmitter.example.com' },
    { ...rules, maxFailures: 1 },
    report,
  );
  const pass = controlClock();
  await send('https://transmitter.example.com/x', request);
  status = 200;
  pass(220);
  await send('https://transmitter.example.com/x', request);
  expect(report.mock.calls.map(([code]) => code)).toEqual(['transmitter_suspended', 'transmitter_resumed']);
});

it('what was under way when the breaker opened does not keep it open, nor close it', async () => {
  const breaker = new CircuitBreaker({ maxFailures: 1, probeInterval: 60 }, () => undefined);
  const judge = (_result: unknown, error: unknown) => (error === undefined ? 'answered' : 'failed') as never;
  const held = deferred<string>();
  const late = breaker.run(() => held.promise, judge);
  await breaker.run(() => Promise.reject(new Error('down')), judge).catch(() => undefined);
  held.resolve('late');
  expect(await late).toBe('late');
  await expect(breaker.run(async () => 'x', judge)).rejects.toThrow('not asked');
});

it('so many at once, so many in the queue, and the rest is told to come back', async () => {
  let underWay = 0;
  let most = 0;
  const { send } = protect(async () => {
    underWay += 1;
    most = Math.max(most, underWay);
    await sleep(30);
    underWay -= 1;
    return new Response(null, { status: 200 });
  });
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => send()));
  expect(most).toBe(2);
  expect(outcomes.filter((one) => one === '[object Response]')).toHaveLength(5);
  expect(outcomes.filter((one) => one === 'authorization_server_not_asked')).toHaveLength(3);
});

it.each([
  ['authorization_server_unreachable', 2],
  ['authorization_server_timeout', 1],
  ['authorization_server_invalid_answer', 1],
] as const)('%s: asked %s times', async (code, times) => {
  const ask = vi.fn(() => Promise.reject(new RequestRefused(code)));
  await expect(retryBroken(ask)).rejects.toThrow(code);
  expect(ask).toHaveBeenCalledTimes(times);
});

it.each(['GET', 'POST'])(
  '%s: a retry that meets a breaker opened by the first attempt tells the cause',
  async (method) => {
    const http = () => Promise.reject(new RequestRefused('authorization_server_unreachable'));
    const { send } = createLimitedHttpClient(http, server, { ...rules, maxFailures: 1 }, vi.fn());
    const ask = () =>
      retryBroken((wasCounted) => send('https://as.example.com/x', { method, headers: {}, wasCounted }));
    await expect(ask()).rejects.toMatchObject({ code: 'authorization_server_unreachable' });
    await expect(ask()).rejects.toMatchObject({ code: 'authorization_server_not_asked' });
  },
);

describe('a question that is asked again counts once', () => {
  const broken = () => new RequestRefused('authorization_server_unreachable');
  const stale = () => new StaleConnection('authorization_server_unreachable');
  const late = () => new RequestRefused('authorization_server_timeout');
  const resting = () => new Response(null, { status: 503, headers: { 'retry-after': '1' } });

  it.each<[string, (() => Error | Response)[], number]>([
    ['broken twice', [broken, broken], 5],
    ['broken, then silent', [broken, late], 5],
    ['broken, then 503 with a rest', [broken, resting], 5],
    ['a stale connection, then a broken one', [stale, broken], 6],
    ['broken, then a stale connection, then broken', [broken, stale, broken], 7],
  ])('%s', async (_title, outcomes, expected) => {
    for (const method of ['GET', 'POST']) {
      let rest: typeof outcomes = [];
      const asked = vi.fn<Http>(async () => {
        const outcome = rest.shift()?.();
        if (outcome instanceof Response) {
          return outcome;
        }
        throw outcome;
      });
      const { send } = createLimitedHttpClient(asked, server, rules, vi.fn());
      const sendIt = (wasCounted = false) =>
        send('https://as.example.com/x', { method, headers: {}, wasCounted });
      // A question by GET is asked again by itself.
      const ask = () => (method === 'GET' ? sendIt() : retryBroken(sendIt));
      const codes: string[] = [];
      for (let question = 0; question < 4; question += 1) {
        rest = [...outcomes];
        codes.push(await ask().then(String, ({ code }) => code));
      }
      // Three questions fail. The third opens the breaker, and is not asked again.
      expect(codes.slice(0, 3)).not.toContain('authorization_server_not_asked');
      expect(codes[3]).toBe('authorization_server_not_asked');
      expect(asked, method).toHaveBeenCalledTimes(expected);
    }
  });
});

describe('an open breaker', () => {
  const isOpen = async (send: () => Promise<string>) => (await send()) === 'authorization_server_not_asked';

  it('makes one attempt at a time, and the next one an interval after the end of the last', async () => {
    const ends: (() => void)[] = [];
    const asked = vi.fn<Http>(
      () => new Promise((resolve) => ends.push(() => resolve(new Response(null, { status: 503 })))),
    );
    const { send } = protect(asked, { maxFailures: 1, retryInterval: 0.1 });
    const pass = controlClock();
    const first = send();
    await vi.waitFor(() => expect(ends).toHaveLength(1));
    ends.shift()?.();
    await first;
    pass(120);
    const probe = send();
    await vi.waitFor(() => expect(ends).toHaveLength(1));
    // Longer than the interval: the probe is still under way.
    pass(150);
    expect(await isOpen(send)).toBe(true);
    ends.shift()?.();
    await probe;
    expect(await isOpen(send)).toBe(true);
    expect(asked).toHaveBeenCalledTimes(2);
    pass(120);
    const next = send();
    await vi.waitFor(() => expect(asked).toHaveBeenCalledTimes(3));
    ends.shift()?.();
    await next;
  });

  it('gives a server that asks for a rest that rest, and not for a single such answer', async () => {
    const statuses = [429, 429, 200, 429, 503, 429, 200];
    const asked = vi.fn<Http>(
      async () => new Response(null, { status: statuses.shift() ?? 200, headers: { 'retry-after': '60' } }),
    );
    const { send } = protect(asked, { retryInterval: 0.05 });
    const pass = controlClock();
    for (let i = 0; i < 6; i += 1) {
      expect(await isOpen(send)).toBe(false);
    }
    pass(200);
    // The interval is over, the rest is not.
    expect(await isOpen(send)).toBe(true);
    expect(asked).toHaveBeenCalledTimes(6);
  });

  it('tries a server that asks for a minute after 10 seconds', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const statuses = [429];
      const http: Http = async () =>
        new Response(null, { status: statuses.shift() ?? 200, headers: { 'retry-after': '60' } });
      const { send } = protect(http, { maxFailures: 1 });
      await send();
      vi.advanceTimersByTime(9_900);
      expect(await isOpen(send)).toBe(true);
      vi.advanceTimersByTime(200);
      expect(await isOpen(send)).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  it('stops exchanges with one endpoint alone', async () => {
    const http: Http = async (url) => new Response(null, { status: url.includes('down') ? 503 : 200 });
    const { send } = createLimitedHttpClient(http, server, { ...rules, maxFailures: 1 }, vi.fn());
    const codeOf = (url: string) => send(url, request).then(String, (error) => error.code);
    await codeOf('https://as.example.com/down');
    expect(await codeOf('https://as.example.com/down?x=1')).toBe('authorization_server_not_asked');
    expect(await codeOf('https://as.example.com/up')).toBe('[object Response]');
    expect(await codeOf('https://as.example.net/down')).toBe('[object Response]');
  });
});

it('a timeout after a long wait for the turn does not count', async () => {
  const waits = [160, 1_000];
  const http: Http = async (_url, { signal }) => {
    await sleep(waits.shift() ?? 0, undefined, { signal: signal as AbortSignal }).catch(() => {
      throw new RequestRefused('authorization_server_timeout');
    });
    return new Response(null);
  };
  const { send } = protect(http, { maxConcurrent: 1, maxFailures: 1, timeout: 0.2 });
  expect(await Promise.all([send(), send()])).toEqual(['[object Response]', 'authorization_server_timeout']);
  expect(await send()).toBe('[object Response]');
});

it('a server whose certificate is refused is not asked again', async () => {
  const ask = vi.fn(() => Promise.reject(new UntrustedServer('authorization_server_unreachable')));
  await expect(retryBroken(ask)).rejects.toBeInstanceOf(UntrustedServer);
  expect(ask).toHaveBeenCalledTimes(1);
});
