import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { FloodGuard, placesPerClient } from '../../../packages/core/src/authorization-server/flood-guard.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import type { CountingKeys } from '../../../packages/core/src/shared/counting-keys.js';
import type { TokenAnswer, TokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { runs } from '../../support/fuzzing.js';

const claims = {} as TokenClaims;
const turn = () => new Promise((resolve) => setImmediate(resolve));
const settled = async (answers: readonly Promise<unknown>[]) =>
  (await Promise.allSettled(answers)).map((one) =>
    one.status === 'fulfilled' ? 'answered' : one.reason.code,
  );

function guardWith(mostPlaces?: number, allowance = 1_000): FloodGuard<object> {
  const rules = { allowance, window: 3_600, address: undefined, exempt: undefined };
  return new FloodGuard(rules, mostPlaces);
}

/** Questions that are under way, and what ends them. */
function questions() {
  const open: { name: string; end: (answer: TokenAnswer | RequestRefused) => void }[] = [];
  const ask = (name: string) => () =>
    new Promise<TokenAnswer>((resolve, reject) => {
      open.push({ name, end: (said) => (said instanceof RequestRefused ? reject(said) : resolve(said)) });
    });
  /** Ends the oldest question, until none is under way. */
  const endAll = async () => {
    await turn();
    while (open.length > 0) {
      open.shift()?.end(claims);
      await turn();
    }
  };
  return { open, ask, endAll };
}

const findWithoutAsking = async () => undefined;

describe('the places of a client', () => {
  it.each([
    [4, 2],
    [5, 2],
    [10, 5],
    [24, 12],
    [100, 50],
    [10_000, 50],
  ])('http.maxConcurrent %i: at most %i questions under way', (maxConcurrent, places) => {
    expect(placesPerClient(maxConcurrent)).toBe(places);
  });

  it('are never more than permitted, however many of its tokens are active', async () => {
    const guard = guardWith(7);
    const { open, ask, endAll } = questions();
    for (let round = 0; round < 3; round += 1) {
      const answers = Array.from({ length: 30 }, (_, index) => [
        guard.limit(['a'], `new ${round} ${index}`, { ask: ask('unknown'), findWithoutAsking }),
        guard.limitAfresh(['a'], `good ${round} ${index}`, ask('good')),
      ]).flat();
      await turn();
      expect(open).toHaveLength(7);
      open.shift()?.end(claims);
      await turn();
      expect(open).toHaveLength(7);
      await endAll();
      expect(new Set(await settled(answers))).toEqual(new Set(['answered']));
    }
  });

  it('a question that waited for more than 10 s is refused when the next one of its client ends', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const guard = guardWith(1);
    const { open, ask } = questions();
    const names = ['good 0', 'good 1', 'good 2'];
    const early = names.map((name) => guard.limitAfresh(['a'], name, ask(name)));
    await turn();
    vi.advanceTimersByTime(10_001);
    const late = guard.limitAfresh(['a'], 'late', ask('late'));
    const outcomes = settled([...early, late]);
    await turn();
    expect(open.map(({ name }) => name)).toEqual(['good 0']);
    open.shift()?.end(claims);
    await turn();
    expect(open.map(({ name }) => name)).toEqual(['late']);
    open.shift()?.end(claims);
    vi.useRealTimers();
    expect(await outcomes).toEqual([
      'answered',
      'authorization_server_not_asked',
      'authorization_server_not_asked',
      'answered',
    ]);
  });

  it('a question about a good token that goes wrong halves them, and takes nothing from the allowance', async () => {
    const guard = guardWith(8, 1);
    const trouble = new RequestRefused('authorization_server_timeout');
    const first = guard.limitAfresh(['a'], 'good', () => Promise.reject(trouble));
    await expect(first).rejects.toBe(trouble);
    const { open, ask, endAll } = questions();
    const answers = Array.from({ length: 9 }, (_, index) =>
      guard.limitAfresh(['a'], `good ${index}`, ask('good')),
    );
    await turn();
    expect(open).toHaveLength(4);
    await endAll();
    expect(new Set(await settled(answers))).toEqual(new Set(['answered']));
    expect(await guard.limit(['a'], 'new', { ask: async () => claims, findWithoutAsking })).toBe(claims);
  });

  it('trouble leaves two, so that a question that is refused at once waits for none that has no answer', async () => {
    const guard = guardWith();
    const trouble = new RequestRefused('authorization_server_timeout');
    for (let i = 0; i < 6; i += 1) {
      await settled([
        guard.limit(['a'], `down ${i}`, { ask: () => Promise.reject(trouble), findWithoutAsking }),
      ]);
    }
    const { ask, endAll } = questions();
    const probe = guard.limit(['a'], 'probe', { ask: ask('probe'), findWithoutAsking });
    const refusal = new RequestRefused('authorization_server_not_asked');
    const refused = Array.from({ length: 5 }, (_, index) =>
      guard.limit(['a'], `new ${index}`, { ask: () => Promise.reject(refusal), findWithoutAsking }),
    );
    expect(await settled(refused)).toEqual(Array(5).fill('authorization_server_not_asked'));
    await endAll();
    expect(await settled([probe])).toEqual(['answered']);
  });

  it('a client without allowance asks about good tokens', async () => {
    const guard = guardWith(8, 1);
    await guard.limit(['a'], 'made up', { ask: async () => 'token_inactive', findWithoutAsking });
    await expect(
      guard.limit(['a'], 'more', { ask: async () => claims, findWithoutAsking }),
    ).rejects.toMatchObject({
      code: 'too_many_rejected_tokens',
    });
    expect(await guard.limitAfresh(['a'], 'good', async () => claims)).toBe(claims);
  });

  it('more than 1,000 questions that wait are refused, and the others are answered', async () => {
    const guard = guardWith(2);
    const { ask, endAll } = questions();
    const answers = Array.from({ length: 1_005 }, (_, index) =>
      guard.limitAfresh(['a'], `${index}`, ask('good')),
    );
    const all = settled(answers);
    await endAll();
    const outcomes = await all;
    expect(outcomes.slice(0, 1_002)).toEqual(Array(1_002).fill('answered'));
    expect(outcomes.slice(1_002)).toEqual(Array(3).fill('authorization_server_not_asked'));
  });

  it('a client at a shared address waits for one question, not for all those of another client there', async () => {
    const guard = guardWith(3);
    const { open, ask, endAll } = questions();
    const busy = ['busy', 'address'];
    const other = ['other', 'address'];
    const answers = Array.from({ length: 50 }, (_, index) =>
      guard.limitAfresh(busy, `${index}`, ask('busy')),
    );
    await turn();
    answers.push(guard.limitAfresh(other, 'its', ask('other')));
    await turn();
    open.shift()?.end(claims);
    await turn();
    expect(open.map(({ name }) => name)).toEqual(['busy', 'busy', 'other']);
    await endAll();
    expect(new Set(await settled(answers))).toEqual(new Set(['answered']));
  });

  it('new tokens and good ones take turns', async () => {
    const guard = guardWith(1);
    const { open, ask, endAll } = questions();
    const answers = Array.from({ length: 3 }, (_, index) => [
      guard.limit(['a'], `new ${index}`, { ask: ask('new'), findWithoutAsking }),
    ]).flat();
    await turn();
    answers.push(guard.limitAfresh(['a'], 'good', ask('good')));
    const asked: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      await turn();
      asked.push(...open.map(({ name }) => name));
      open.shift()?.end(claims);
    }
    await endAll();
    await Promise.all(answers);
    expect(asked.indexOf('good')).toBeLessThan(3);
  });
});

describe('a question about a good token', () => {
  it('begins after the request that asks it; requests that come before it begins share it', async () => {
    const guard = guardWith();
    const { open, ask } = questions();
    const answers = [guard.limitAfresh(['a'], 'one', ask('first'))];
    await turn();
    answers.push(...Array.from({ length: 20 }, () => guard.limitAfresh(['a'], 'one', ask('second'))));
    await turn();
    expect(open.map(({ name }) => name)).toEqual(['first']);
    open.shift()?.end('token_inactive');
    await turn();
    expect(open.map(({ name }) => name)).toEqual(['second']);
    open.shift()?.end(claims);
    expect(await Promise.all(answers)).toEqual(['token_inactive', ...Array(20).fill(claims)]);
  });

  it('is asked again after one that failed, or that was refused', async () => {
    const guard = guardWith(1);
    const trouble = new RequestRefused('authorization_server_failed');
    await expect(guard.limitAfresh(['a'], 'one', () => Promise.reject(trouble))).rejects.toBe(trouble);
    const { ask, endAll } = questions();
    const waiting = Array.from({ length: 1_001 }, (_, index) =>
      guard.limitAfresh(['a'], `${index}`, ask('fills')),
    );
    await turn();
    await expect(guard.limitAfresh(['a'], 'one', ask('none'))).rejects.toMatchObject({ status: 503 });
    await endAll();
    await Promise.all(waiting);
    expect(await guard.limitAfresh(['a'], 'one', async () => claims)).toBe(claims);
  });
});

it('in any order every question is answered or refused, and the places are free in the end', async () => {
  const names = fc.constantFrom('a', 'b', 'c');
  const countingKeys = fc.oneof(
    names.map((name): CountingKeys => [name]),
    fc.tuple(names, fc.constantFrom('x', 'y')).map((both): CountingKeys => both),
  );
  const endings = fc.constantFrom<TokenAnswer | RequestRefused>(
    claims,
    claims,
    'token_inactive',
    new RequestRefused('authorization_server_timeout'),
    new RequestRefused('authorization_server_not_asked'),
  );
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('unknown', 'good'), countingKeys, token: fc.nat(8) }),
    fc.record({ index: fc.nat(20), ending: endings }),
    fc.constant('turn' as const),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, places) => {
        const guard = guardWith(places, 6);
        const { open, ask, endAll } = questions();
        const answers: Promise<unknown>[] = [];
        for (const one of steps) {
          if (one === 'turn') {
            await turn();
          } else if ('index' in one) {
            open.splice(one.index % Math.max(1, open.length), 1)[0]?.end(one.ending);
          } else if (one.kind === 'unknown') {
            answers.push(
              guard.limit(one.countingKeys, `${one.token}`, {
                ask: ask(one.countingKeys.join()),
                findWithoutAsking,
              }),
            );
          } else {
            answers.push(guard.limitAfresh(one.countingKeys, `${one.token}`, ask(one.countingKeys.join())));
          }
          for (const answer of answers) {
            answer.catch(() => undefined);
          }
          for (const name of ['a', 'b', 'c', 'x', 'y']) {
            const ofSource = open.filter((question) => question.name.split(',').includes(name));
            expect(ofSource.length).toBeLessThanOrEqual(places);
          }
        }
        await endAll();
        await settled(answers);
        // One token after another is asked about again: no place is lost.
        for (const name of ['a', 'b', 'c', 'x', 'y']) {
          expect(await guard.limitAfresh([name], 'last', async () => claims)).toBe(claims);
        }
      },
    ),
    runs(300),
  );
}, 60_000);
