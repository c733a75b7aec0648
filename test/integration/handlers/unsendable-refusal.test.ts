// A refusal of a user's own policy may hold values that no challenge takes: it refuses as it should, without them.
import type { ProblemEvent, RefusalDetails, RoutePolicy } from '@mtls-bound/core';
import { RequestRefused } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import supertest from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import { createApi, type Framework } from '../../support/apis.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { challengeOf } from '../../support/refusals.js';

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const unsuitable: [string, keyof RefusalDetails, unknown][] = [
  ['a letter beyond ASCII', 'scope', 'tenant:Łódź'],
  ['a second parameter', 'scope', 'a", error="invalid_token'],
  ['a second challenge', 'scope', 'a", Basic realm="b'],
  ['a backslash', 'scope', 'a\\'],
  ['a second header', 'scope', 'a\r\nSet-Cookie: b=c'],
  ['a line end', 'scope', 'a\n'],
  ['a tab', 'scope', 'a\tb'],
  ['two blanks', 'scope', 'a  b'],
  ['an empty text', 'scope', ''],
  ['a list', 'scope', ['a', 'b']],
  ['an object with a text of its own', 'scope', { toString: () => 'a' }],
  ['a second parameter', 'acrValues', 'urn:a", max_age="99999'],
  ['a line end', 'acrValues', 'urn:a\r\n'],
  ['a text', 'maxAge', '5", error="invalid_token'],
  ['a negative number', 'maxAge', -1],
  ['a fraction', 'maxAge', 0.5],
  ['not a number', 'maxAge', Number.NaN],
];

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s', (framework) => {
  async function answerTo(policy: RoutePolicy, explain: boolean) {
    const { listener, handled } = createApi(framework, { ...kit.options, explain }, policy);
    const response = await kit
      .withCertificate(supertest(listener).get('/policy'))
      .auth(kit.boundToken(), { type: 'bearer' });
    expect(handled()).toBe(0);
    return response;
  }
  const refusing = (details: RefusalDetails): [string, RoutePolicy][] => [
    [
      'at once',
      () => {
        throw new RequestRefused('scope_insufficient', details);
      },
    ],
    [
      'later',
      async () => {
        await Promise.resolve();
        throw new RequestRefused('scope_insufficient', details);
      },
    ],
  ];

  it.each(unsuitable)(
    '%s in %s: 403 without it, and the problem is reported',
    async (_title, name, value) => {
      for (const [when, policy] of refusing({ [name]: value })) {
        const { status, headers, body } = await answerTo(policy, false);
        const { error_description, ...challenge } = await challengeOf(headers['www-authenticate'] ?? '');
        expect([when, status, body.error]).toEqual([when, 403, 'insufficient_scope']);
        expect(challenge).toEqual({ realm: 'api', error: 'insufficient_scope' });
        expect(body.error_description).toBe(error_description);
        expect(headers['set-cookie']).toBeUndefined();
      }
      expect(problems.map(({ code }) => code)).toEqual(['refusal_value_left_out', 'refusal_value_left_out']);
      expect(problems[0]?.message).toContain(`new RequestRefused('scope_insufficient', { ${name} })`);
    },
  );

  it.each([['30\r\nSet-Cookie: b=c'], [Number.POSITIVE_INFINITY], [-1], [1e21], [0.5]])(
    'retryAfter of %j: 503 without Retry-After',
    async (retryAfter) => {
      const { status, headers } = await answerTo(() => {
        throw new RequestRefused('authorization_server_failed', { retryAfter: retryAfter as number });
      }, false);
      expect([status, headers['retry-after'], headers['set-cookie']]).toEqual([503, undefined, undefined]);
      expect(problems.map(({ code }) => code)).toContain('refusal_value_left_out');
    },
  );

  it('explains a detail that holds a second parameter and line ends', async () => {
    const [[, policy] = []] = refusing({ detail: 'a", error="b\r\nSet-Cookie: ü' });
    const { status, headers } = await answerTo(policy as RoutePolicy, true);
    const challenge = await challengeOf(headers['www-authenticate'] ?? '');
    expect([status, challenge.error, headers['set-cookie']]).toEqual([403, 'insufficient_scope', undefined]);
    expect(challenge.error_description).toContain("a', error='b??Set-Cookie: ?");
  });

  it('values that fit are in the challenge', async () => {
    const [[, policy] = []] = refusing({ scope: 'a:b c', acrValues: 'urn:x urn:y', maxAge: 0 });
    const { headers } = await answerTo(policy as RoutePolicy, false);
    const challenge = await challengeOf(headers['www-authenticate'] ?? '');
    expect(challenge).toMatchObject({ scope: 'a:b c', acr_values: 'urn:x urn:y', max_age: '0' });
    expect(problems).toEqual([]);
  });
});
