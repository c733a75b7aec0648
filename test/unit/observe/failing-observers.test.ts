// An observer watches requests. What it throws, rejects with or returns changes no answer and ends no process.
import { setImmediate as turn } from 'node:timers/promises';
import { createResourceServer, type Observer, observeEvents } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const kit = await createTestKit();

const ended = vi.fn();
let warning: MockInstance;
let stop: () => void = () => undefined;
beforeEach(() => {
  ended.mockClear();
  process.on('uncaughtException', ended);
  process.on('unhandledRejection', ended);
  warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  stop();
  process.off('uncaughtException', ended);
  process.off('unhandledRejection', ended);
  vi.restoreAllMocks();
});

const secret = 'tok-of-the-observer';
const fail = (): never => {
  throw new Error(secret);
};
type Then = (resolve: () => void, reject: (error: unknown) => void) => void;
const thenable = (then: Then) => ({ then });

const failures: [string, () => unknown][] = [
  ['throws', fail],
  ['rejects with undefined', () => Promise.reject(undefined)],
  ['rejects', async () => fail()],
  ['returns a thenable that rejects', () => thenable((_, reject) => reject(0))],
  ['returns an object whose getter then throws', () => Object.defineProperty({}, 'then', { get: fail })],
];

/** One request that is admitted, one that is refused, and one that is reported. */
async function outcomes(): Promise<string[]> {
  const good = () => boundClaims(kit.certificate);
  const trial = optionsOver(pretendServer(good), undefined, { binding: 'report' });
  const servers = [
    createResourceServer(optionsOver(pretendServer(good), kit.certificate)),
    createResourceServer(
      optionsOver(
        pretendServer(() => ({ active: false })),
        kit.certificate,
      ),
    ),
    createResourceServer(trial),
  ];
  const found = [];
  for (const server of servers) {
    found.push(await outcomeOf(() => server.authorize(requestWith('token'))));
  }
  await turn();
  await turn();
  return found;
}

const expected = ['admitted', 'token_inactive', 'admitted'];
const observerWarnings = () =>
  warning.mock.calls
    .filter(([, { code }]) => code === 'MTLS_BOUND_OBSERVER_FAILED')
    .map(([message]) => message);

describe.each(['admitted', 'refused', 'reported', 'cache', 'problem', 'introspection'] as const)(
  'the function %s of an observer',
  (name) => {
    it.each(failures)('that %s harms no request, and is one warning', async (_title, run) => {
      const called = vi.fn(run);
      stop = observeEvents({ [name]: called } as Observer);
      expect(await outcomes()).toEqual(expected);
      expect(called).toHaveBeenCalled();
      expect(ended).not.toHaveBeenCalled();
      expect(observerWarnings()).toEqual([expect.stringContaining(`the function ${name} failed`)]);
      expect(observerWarnings().join()).not.toContain(secret);
    });
  },
);

it.each<[string, unknown]>([
  ['nothing', undefined],
  ['null', null],
  ['an object', {}],
  ['a text', 'end'],
])(
  'introspection() that returns %s instead of a function is called, and nothing else is',
  async (_title, end) => {
    const begin = vi.fn(() => end);
    stop = observeEvents({ introspection: begin as never });
    expect(await outcomes()).toEqual(expected);
    expect(begin).toHaveBeenCalledTimes(3);
    expect(ended).not.toHaveBeenCalled();
    expect(observerWarnings()).toEqual([]);
  },
);

it.each(failures)(
  'the function that introspection() returns %s: no request is harmed',
  async (_title, run) => {
    const end = vi.fn(run);
    stop = observeEvents({ introspection: () => end as never });
    expect(await outcomes()).toEqual(expected);
    expect(end.mock.calls.map(([outcome]: unknown[]) => outcome)).toEqual([
      'active',
      'token_inactive',
      'active',
    ]);
    expect(ended).not.toHaveBeenCalled();
    expect(observerWarnings()).toHaveLength(1);
  },
);
