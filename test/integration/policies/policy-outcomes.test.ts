// A policy accepts a request by `undefined` alone, at once or by a promise of any make. Everything else refuses it.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { runInNewContext } from 'node:vm';
import { RequestRefused, type RoutePolicy } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { boundClaims, gate, optionsOver, pretendServer } from '../../support/pretend-server.js';

const require = createRequire(import.meta.url);

type PromiseClass = Pick<PromiseConstructor, 'resolve' | 'reject'>;

const makes: [make: string, PromiseClass][] = [
  ['Node', Promise],
  ['a subclass', class AppPromise<T> extends Promise<T> {}],
  ['bluebird', require('bluebird')],
  ['es6-promise', require('es6-promise').Promise],
  ['another realm', runInNewContext('Promise')],
];

type Callback = (value?: unknown) => void;

const thenable = (then: (resolve: Callback, reject: Callback) => void) => ({ then });

const withGetter = (get: () => unknown) => Object.defineProperty({}, 'then', { get });

const refusal = () => new RequestRefused('claims_insufficient');

let otherCopy: typeof import('@mtls-bound/core');
let kit: TestKit;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
  vi.resetModules();
  otherCopy = await import('@mtls-bound/core');
  expect(otherCopy.RequestRefused).not.toBe(RequestRefused);
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** What a policy does, and the status that the client gets. */
type Row = [title: string, policy: (request: Parameters<RoutePolicy>[0]) => unknown, status: number];

const throwing = (thrown: () => unknown) => () => {
  throw thrown();
};

const values: [title: string, value: unknown][] = [
  ['null', null],
  ['false', false],
  ['true', true],
  ['0', 0],
  ['an empty text', ''],
  ['a text', 'yes'],
  ['NaN', Number.NaN],
  ['a bigint', 1n],
  ['a symbol', Symbol('yes')],
  ['an object', {}],
  ['a list', []],
  ['a function', () => undefined],
  ['a refusal that is not thrown', refusal()],
  ['an object whose then is no function', thenable(true as never)],
];

const strange: [title: string, thrown: () => unknown][] = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['a text', () => 'no'],
  ['an object with the status 200', () => ({ status: 200, statusCode: 200, code: 'claims_insufficient' })],
  ['an Error with the status 200', () => Object.assign(new Error('no'), { status: 200, expose: true })],
  ['an object that inherits from a refusal', () => Object.create(refusal(), { status: { value: 200 } })],
  ['a refusal of another copy', () => new otherCopy.RequestRefused('claims_insufficient')],
  [
    'an object whose members throw',
    () =>
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('no');
          },
        },
      ),
  ],
];

const rows: Row[] = [
  ['returns undefined', () => undefined, 200],
  ['throws RequestRefused', throwing(refusal), 403],
  // The rejection is handled: an unhandled one would end the process.
  ...makes.map(
    ([make, Make]): Row => [
      `throws a promise by ${make} that rejects`,
      throwing(() => Make.reject(refusal())),
      503,
    ],
  ),
  ['throws an object whose getter then throws', throwing(() => withGetter(throwing(refusal))), 503],
  ['returns the authorization', ({ authorization }) => authorization, 503],
  ['returns a promise of the authorization', async ({ authorization }) => authorization, 503],
  ...values.map(([title, value]): Row => [`returns ${title}`, () => value, 503]),
  ...strange.map(([title, thrown]): Row => [`throws ${title}`, throwing(thrown), 503]),
  ...makes.flatMap(([make, Make]): Row[] => [
    [`returns a promise of undefined by ${make}`, () => Make.resolve(undefined), 200],
    [`returns a promise by ${make} that rejects with RequestRefused`, () => Make.reject(refusal()), 403],
    ...values.map(
      ([title, value]): Row => [`returns a promise of ${title} by ${make}`, () => Make.resolve(value), 503],
    ),
    ...strange.map(
      ([title, thrown]): Row => [`rejects with ${title} by ${make}`, () => Make.reject(thrown()), 503],
    ),
  ]),
  ['returns a thenable without catch that accepts', () => thenable((resolve) => resolve()), 200],
  ['returns a thenable without catch that refuses', () => thenable((_, reject) => reject(refusal())), 403],
  [
    'returns a function with then that refuses',
    () =>
      Object.assign(
        () => undefined,
        thenable((_, reject) => reject(refusal())),
      ),
    403,
  ],
  [
    'returns a thenable that accepts, then refuses',
    () =>
      thenable((resolve, reject) => {
        resolve();
        reject(refusal());
      }),
    200,
  ],
  [
    'returns a thenable that refuses, then accepts',
    () =>
      thenable((resolve, reject) => {
        reject(refusal());
        resolve();
      }),
    403,
  ],
  ['returns a thenable that resolves with false', () => thenable((resolve) => resolve(false)), 503],
  ['returns a thenable that rejects with undefined', () => thenable((_, reject) => reject()), 503],
  [
    'returns a thenable of a thenable that refuses',
    () => thenable((resolve) => resolve(thenable((_, reject) => reject(refusal())))),
    403,
  ],
  ['returns a thenable whose then throws RequestRefused', () => thenable(throwing(refusal)), 403],
  [
    'returns a thenable whose then throws after it accepted',
    () =>
      thenable((resolve) => {
        resolve();
        throw refusal();
      }),
    200,
  ],
  ['returns an object whose getter then throws', () => withGetter(throwing(refusal)), 403],
  [
    'returns an object whose getter then gives a function that refuses',
    () => withGetter(() => (_: Callback, reject: Callback) => reject(refusal())),
    403,
  ],
  ['returns an object whose getter then gives nothing', () => withGetter(() => undefined), 503],
];

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s', (framework) => {
  let policy: (request: Parameters<RoutePolicy>[0]) => unknown;
  let api: ReturnType<typeof createApi>;
  let listening: ReturnType<typeof createServer>;
  let url: string;
  beforeAll(async () => {
    const server = pretendServer(() => boundClaims(kit.certificate));
    const options = optionsOver(server, kit.certificate);
    api = createApi(framework, options, ((given) => policy(given)) as RoutePolicy);
    listening = createServer(api.listener);
    url = `http://127.0.0.1:${await listen(listening)}`;
  });
  afterAll(() => close(listening));

  const get = () => request(url).get('/policy').auth('token', { type: 'bearer' });

  it.each(rows)('a policy that %s', async (_title, given, status) => {
    policy = given;
    const before = api.handled();
    const response = await get();
    expect([response.status, api.handled() - before]).toEqual([status, status === 200 ? 1 : 0]);
  });

  it.each<[string, number, (resolve: Callback, reject: Callback) => void]>([
    ['accepts', 200, (resolve) => resolve()],
    ['refuses', 403, (_, reject) => reject(refusal())],
  ])('no handler runs before a policy %s', async (_title, status, decide) => {
    const { opened, open } = gate();
    let decideNow: () => void = () => undefined;
    policy = () =>
      thenable((resolve, reject) => {
        decideNow = () => decide(resolve, reject);
        open();
      });
    const before = api.handled();
    const answer = get().then((response) => response.status);
    await opened;
    await new Promise(setImmediate);
    expect(api.handled()).toBe(before);
    decideNow();
    expect(await answer).toBe(status);
  });
});
