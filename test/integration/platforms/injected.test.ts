// Requests that a tool injects into an application, over no connection: the operator learns why none is accepted.
import { type ProblemEvent, type RefusedEvent, tlsSocket } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import inject from 'light-my-request';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { guardedApp } from '../../support/lambda.js';
import { recordedEvents } from '../../support/recorded-events.js';

let kit: TestKit;
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});

async function injected(app: unknown): Promise<number> {
  const listener = typeof app === 'function' ? app : (app as { callback(): unknown }).callback();
  const headers = { authorization: `Bearer ${kit.boundToken()}` };
  return (await inject(listener as Parameters<typeof inject>[0], { url: '/', headers })).statusCode;
}

describe.each(frameworks)('%s by light-my-request', (framework) => {
  it('with tlsSocket(): 503 whose cause names the options that fit', async () => {
    const app = guardedApp(framework, { ...kit.options, certificate: tlsSocket() });
    expect(await injected(app)).toBe(503);
    expect(refused.at(-1)?.refusal.code).toBe('internal_error');
    for (const words of ['no connection of a Node server', 'lambdaEvent()', '@mtls-bound/core/testing']) {
      expect(refused.at(-1)?.refusal.detail).toContain(words);
      expect(problems.at(-1)?.message).toContain(words);
    }
  });

  it('a request whose certificate the option gives is answered with 200', async () => {
    expect(
      await injected(guardedApp(framework, { ...kit.options, certificate: () => kit.certificate })),
    ).toBe(200);
  });
});
