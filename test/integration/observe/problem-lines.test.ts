// An outage makes a problem of each request. The log must not get an error line for each.
import { channel } from 'node:diagnostics_channel';
import { observeByLog, RequestRefused } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import request from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { optionsOver, pretendServer } from '../../support/pretend-server.js';

let lines: [level: string, fields: object, message: string][];
let stop: () => void;
const note = (level: string) => (fields: object, message: string) => lines.push([level, fields, message]);
const publish = (code: string, message: string) => channel('mtls-bound:problem').publish({ code, message });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  lines = [];
  stop = observeByLog({ info: note('info'), warn: note('warn'), error: note('error') });
});
afterEach(() => {
  stop();
  vi.useRealTimers();
});

describe('observeByLog()', () => {
  it('writes the first problem of each code at once', () => {
    publish('a', 'first');
    publish('b', 'other');
    expect(lines).toEqual([
      ['error', { code: 'a' }, 'first'],
      ['error', { code: 'b' }, 'other'],
    ]);
  });

  it('writes further ones of that code as one line a minute, with the newest message and a count', () => {
    publish('a', 'first');
    publish('a', 'second');
    publish('a', 'third');
    vi.advanceTimersByTime(59_999);
    expect(lines).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(lines.slice(1)).toEqual([['error', { code: 'a', count: 2 }, 'third']]);
    publish('a', 'fourth');
    vi.advanceTimersByTime(60_000);
    expect(lines.slice(2)).toEqual([['error', { code: 'a', count: 1 }, 'fourth']]);
  });

  it('writes a problem at once again after a minute without one', () => {
    publish('a', 'first');
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(1);
    publish('a', 'again');
    expect(lines.slice(1)).toEqual([['error', { code: 'a' }, 'again']]);
  });

  it('writes what it has counted when it ends, and nothing after that', () => {
    publish('a', 'first');
    publish('a', 'second');
    stop();
    expect(lines.slice(1)).toEqual([['error', { code: 'a', count: 1 }, 'second']]);
    vi.advanceTimersByTime(120_000);
    expect(lines).toHaveLength(2);
  });

  it('ends no process if the logger fails in a later line', () => {
    stop();
    const error = vi.fn().mockImplementationOnce(() => undefined);
    error.mockImplementation(() => {
      throw new Error('the disk is full');
    });
    stop = observeByLog({ info: note('info'), warn: note('warn'), error });
    publish('a', 'first');
    publish('a', 'second');
    expect(() => vi.advanceTimersByTime(60_000)).not.toThrow();
    expect(error).toHaveBeenCalledTimes(2);
  });
});

it.each(frameworks)(
  '%s: an outage is one error line for each code, and a warning for each refused request',
  async (framework) => {
    const kit = await createTestKit();
    const down = pretendServer(() => {
      throw new RequestRefused('authorization_server_unreachable');
    });
    const { listener } = createApi(framework, optionsOver(down, kit.certificate));
    for (const token of ['t1', 't2', 't3', 't4', 't5']) {
      const { status } = await request(listener).get('/').auth(token, { type: 'bearer' });
      expect(status).toBe(503);
    }
    const code = 'authorization_server_unreachable';
    const refused = lines.filter(([, , message]) => message === 'request refused');
    expect(refused).toMatchObject([1, 2, 3, 4, 5].map(() => ['warn', { code }, 'request refused']));
    const problems = lines.filter(([level]) => level === 'error');
    const codes = [code, 'authorization_server_suspended'];
    expect(problems.map(([, fields]) => fields)).toEqual(codes.map((each) => ({ code: each })));
  },
);
