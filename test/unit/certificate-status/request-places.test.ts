// Which requests for the status of certificates run at once: the certificates of one authority never keep out those of others.
import { describe, expect, it } from 'vitest';
import { type Release, RequestPlaces } from '../../../packages/core/src/certificate-status/request-places.js';
import { Urgency } from '../../../packages/core/src/certificate-status/urgency.js';

/** Places, and who has one, in the order in which they were given. */
function started() {
  const places = new RequestPlaces();
  const running: { name: string; release: Release }[] = [];
  const take = (name: string, authority: string, origin: string, urgency = new Urgency(true)) => {
    const taken = places.take({ authority, origin, urgency });
    return taken.then((release) => void running.push({ name, release }));
  };
  const end = async (name: string, hasAnswered?: boolean) => {
    running.find((one) => one.name === name)?.release(hasAnswered);
    await Promise.resolve();
  };
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const names = () => running.map((one) => one.name);
  return { places, take, end, names, settle };
}

/** Takes so many, each of which may wait, of an origin that `of` names. */
async function takeMany(
  { take, settle }: ReturnType<typeof started>,
  count: number,
  authority: string,
  of: (index: number) => string,
) {
  for (let index = 0; index < count; index += 1) {
    void take(`${authority}${index}`, authority, of(index)).catch(() => undefined);
  }
  await settle();
}

it('an origin has two places until it answers, and then four', async () => {
  const all = started();
  await takeMany(all, 10, 'a', () => 'http://one');
  expect(all.names()).toHaveLength(2);
  await all.end('a0', true);
  await all.settle();
  expect(all.names()).toHaveLength(5);
  await all.end('a1', false);
  await all.settle();
  expect(all.names()).toHaveLength(5);
});

it('an authority has eight places, however many origins its certificates name, and six for silent ones', async () => {
  const all = started();
  for (const index of [0, 1, 2]) {
    await all.take(`first${index}`, 'good', `http://good${index}`);
    await all.end(`first${index}`, true);
  }
  await takeMany(all, 40, 'a', (index) => `http://a${index}`);
  expect(all.names().slice(3)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5']);
  for (const index of [0, 1, 2]) {
    void all.take(`answers${index}`, 'a', `http://good${index}`);
  }
  await all.settle();
  expect(all.names().slice(9)).toEqual(['answers0', 'answers1']);
  await all.end('answers0', true);
  await all.settle();
  expect(all.names().slice(11)).toEqual(['answers2']);
  await all.take('other', 'b', 'http://b');
  expect(all.names().slice(12)).toEqual(['other']);
});

it('origins that do not answer have sixteen places together, those that answer have the others', async () => {
  const all = started();
  await all.take('first', 'good', 'http://good');
  await all.end('first', true);
  for (const authority of ['a', 'b', 'c', 'd']) {
    await takeMany(all, 8, authority, (index) => `http://${authority}${index}`);
  }
  expect(all.names()).toHaveLength(1 + 16);
  await takeMany(all, 4, 'good', () => 'http://good');
  expect(all.names()).toHaveLength(1 + 16 + 4);
});

it('24 run at once', async () => {
  const all = started();
  for (const authority of ['a', 'b', 'c', 'd']) {
    for (let index = 0; index < 8; index += 1) {
      await all.take(`first ${authority}${index}`, authority, `http://${authority}${index}`);
      await all.end(`first ${authority}${index}`, true);
    }
  }
  for (const authority of ['a', 'b', 'c', 'd']) {
    await takeMany(all, 8, authority, (index) => `http://${authority}${index}`);
  }
  expect(all.names()).toHaveLength(32 + 24);
});

it('who is awaited has the next place, also one that was not at first', async () => {
  const all = started();
  await takeMany(all, 2, 'a', () => 'http://one');
  const urgency = new Urgency(false);
  const waiting = [
    all.take('refresh', 'a', 'http://one', new Urgency(false)),
    all.take('refresh that is awaited by now', 'a', 'http://one', urgency),
  ];
  urgency.begin();
  waiting.push(all.take('awaited', 'a', 'http://one'));
  await all.end('a0', false);
  await all.end('a1', false);
  await all.settle();
  expect(all.names().slice(2)).toEqual(['refresh that is awaited by now', 'awaited']);
  await all.end('awaited', false);
  await Promise.all(waiting);
  expect(all.names().at(-1)).toBe('refresh');
});

it('the authority with the fewest places has the next one', async () => {
  const all = started();
  for (const authority of ['a', 'b', 'd']) {
    await takeMany(all, 20, authority, (index) => `http://${authority}${index}`);
  }
  void all.take('of another', 'c', 'http://c');
  await all.settle();
  expect(all.names()).toHaveLength(16);
  await all.end('a0', false);
  await all.settle();
  expect(all.names().slice(16)).toEqual(['of another']);
});

it('10,000 wait for one authority at most, and others still can', async () => {
  const all = started();
  await takeMany(all, 10_002, 'a', () => 'http://one');
  await expect(all.take('more', 'a', 'http://two')).resolves.toBeUndefined();
  await expect(all.take('more', 'a', 'http://one')).rejects.toMatchObject({
    message: expect.stringContaining('too many requests'),
    reason: { code: 'unreachable' },
  });
  await expect(all.take('other', 'b', 'http://two')).resolves.toBeUndefined();
});

it('after close() no request waits', async () => {
  const all = started();
  await takeMany(all, 2, 'a', () => 'http://one');
  const waiting = all.take('waits', 'a', 'http://one');
  all.places.close();
  await expect(waiting).rejects.toThrow('closed');
});

it('an origin that is silent for one authority still has four places for another', async () => {
  const all = started();
  await all.take('good', 'good', 'http://one');
  await all.end('good', true);
  await all.take('bad', 'bad', 'http://one');
  await all.end('bad', false);
  await takeMany(all, 10, 'good', () => 'http://one');
  expect(all.names()).toHaveLength(2 + 4);
  for (const name of ['good0', 'good1', 'good2', 'good3', 'good4', 'good5', 'good6', 'good7']) {
    await all.end(name, true);
  }
  await all.settle();
  expect(all.names()).toHaveLength(2 + 10);
  await all.end('good8', true);
  await all.end('good9', true);
  await takeMany(all, 10, 'bad', () => 'http://one');
  expect(all.names()).toHaveLength(2 + 10 + 2);
});

it('the origins of an authority take turns', async () => {
  const all = started();
  for (const [authority, count] of [
    ['a', 6],
    ['b', 6],
    ['c', 4],
  ] as const) {
    await takeMany(all, count, authority, (index) => `http://${authority}${index}`);
  }
  expect(all.names()).toHaveLength(16);
  const origins = ['http://one', 'http://one', 'http://two', 'http://three'];
  for (const [index, origin] of origins.entries()) {
    void all.take(`${index}`, 'd', origin);
  }
  for (const name of ['a0', 'a1', 'a2', 'a3']) {
    await all.end(name, false);
    await all.settle();
  }
  expect(all.names().filter((name) => name.length === 1)).toEqual(['0', '2', '3', '1']);
});

it.each([
  ['to as many origins', (index: number) => `http://a${index}`, true],
  ['of refreshes', () => 'http://one', false],
])('finds the next one of 10,000 %s as fast as of 1,000', async (_title, of, isUrgent) => {
  const timeOf = async (count: number): Promise<number> => {
    const all = started();
    for (const authority of ['a', 'b']) {
      for (let index = 0; index < count; index += 1) {
        void all.take(`${authority}${index}`, authority, of(index), new Urgency(isUrgent));
      }
    }
    await all.settle();
    const began = performance.now();
    for (let round = 0; round < 300; round += 1) {
      await all.end(all.names()[round] ?? '', false);
      await all.settle();
    }
    return performance.now() - began;
  };
  const few = Math.min(await timeOf(1_000), await timeOf(1_000));
  const many = Math.min(await timeOf(10_000), await timeOf(10_000));
  expect(many).toBeLessThan(3 * few + 50);
});

describe('when 20,000 wait', () => {
  /** Of 'one' and 'two' as many wait as may, and for origins that `of` names. */
  async function full(of: (index: number) => string = () => 'http://silent') {
    const all = started();
    const refused: string[] = [];
    for (const authority of ['one', 'two']) {
      for (let index = 0; index < 10_000; index += 1) {
        void all.take(`${authority}${index}`, authority, of(index)).catch(() => {
          refused.push(`${authority}${index}`);
        });
      }
      await all.settle();
    }
    const running = all.names().length;
    await takeMany(all, running, 'three', () => 'http://silent');
    return { ...all, refused };
  }

  it.each<[string, (index: number) => string]>([
    ['one origin', () => 'http://silent'],
    ['many origins', (index) => `http://silent${index}`],
  ])(
    'for %s of two names of an authority, another authority still can, up to its share',
    async (_title, of) => {
      const all = await full(of);
      let accepted = 0;
      for (let index = 0; index < 8_000; index += 1) {
        accepted += 1;
        void all.take(`good${index}`, 'good', 'http://good').catch(() => {
          accepted -= 1;
        });
      }
      await all.settle();
      expect(accepted).toBeGreaterThan(6_600);
      expect(accepted).toBeLessThan(6_700);
      expect(all.refused.length).toBeGreaterThan(6_600);
      all.places.close();
      await all.settle();
      const running = all.names().filter((name) => /^(?:one|two)/.test(name));
      expect(all.refused).toHaveLength(20_000 - running.length);
    },
  );

  it('the oldest request of the authority with the most is refused', async () => {
    const all = await full();
    void all.take('good', 'good', 'http://silent');
    await all.settle();
    expect(all.refused).toEqual(['two0']);
  });
});
