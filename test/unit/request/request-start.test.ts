// What a request gets when it begins: its state.
import { channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type { NodeRequest } from '@mtls-bound/core';
import { afterEach, describe, expect, it } from 'vitest';
import { knownRequestStateOf, requestStateOf } from '../../../packages/core/src/request/request-state.js';

const start = (request: object, response: object = new EventEmitter()): void =>
  channel('http.server.request.start').publish({ request, response });
const newRequest = () => ({ httpVersionMajor: 1, socket: {} }) as unknown as NodeRequest;

// A copy of its own: other tests of this process left resource servers behind, which notice requests.
const { noticeRequests }: typeof import('../../../packages/core/src/request/request-start.js') = await import(
  `${'../../../packages/core/src/request/request-start.js'}?copy`
);
let stop: (() => void) | undefined;
afterEach(() => stop?.());

describe('the state of a request', () => {
  it('is there from the start of the request with its response, and no member is added to it later', () => {
    stop = noticeRequests();
    const [req, response] = [newRequest(), new EventEmitter()];
    start(req, response);
    const members = Reflect.ownKeys(req);
    expect(knownRequestStateOf(req)).toEqual({ of: req, acceptedBy: undefined, response });
    expect(knownRequestStateOf(req)?.response).toBe(response);
    requestStateOf(req).acceptedBy = 'a resource server';
    expect(Reflect.ownKeys(req)).toEqual(members);
    expect(knownRequestStateOf(req)).toEqual({ of: req, acceptedBy: 'a resource server', response });
  });

  it('is made when it is needed for a request whose start was not announced', () => {
    const req = newRequest();
    expect(knownRequestStateOf(req)).toBeUndefined();
    expect(requestStateOf(req)).toBe(requestStateOf(req));
  });

  it.each<[string, (req: NodeRequest) => NodeRequest]>([
    ['inherits from it', (req) => Object.create(req) as NodeRequest],
    ['is a copy of it', (req) => ({ ...req }) as NodeRequest],
  ])('is not that of another one that %s, but has its response', (_, derive) => {
    const [req, response] = [newRequest(), new EventEmitter()];
    Object.assign(requestStateOf(req), { acceptedBy: 'a resource server', response });
    const other = derive(req);
    expect(knownRequestStateOf(other)?.acceptedBy).toBe('a resource server');
    requestStateOf(other).acceptedBy = undefined;
    expect(knownRequestStateOf(other)).toEqual({ of: other, acceptedBy: undefined, response });
    expect(knownRequestStateOf(req)?.acceptedBy).toBe('a resource server');
  });

  it('is missing on a frozen request, which harms no process', () => {
    stop = noticeRequests();
    const req = Object.freeze(newRequest());
    start(req);
    expect(knownRequestStateOf(req)).toBeUndefined();
    expect(() => requestStateOf(req)).toThrow(TypeError);
  });
});

describe('noticeRequests()', () => {
  /** How many notice a request: other tests of this process left resource servers behind, which do. */
  const countNoticing = (): number => {
    let count = 0;
    const message = {
      request: newRequest(),
      get response() {
        count += 1;
        return new EventEmitter();
      },
    };
    channel('http.server.request.start').publish(message);
    return count;
  };

  it('has requests noticed until each of its callers has ended this', () => {
    const others = countNoticing();
    const [one, other] = [noticeRequests(), noticeRequests()];
    expect(countNoticing()).toBe(others + 1);
    one();
    one();
    expect(countNoticing()).toBe(others + 1);
    other();
    expect(countNoticing()).toBe(others);
    stop = noticeRequests();
    expect(countNoticing()).toBe(others + 1);
  });
});
