// Which requests for the status of certificates run at once: the certificates of one authority never keep out those of
// others, nor those below one trust anchor those below others.
import { describe, expect, it, vi } from 'vitest';
import { type Release, RequestPlaces } from '../../../packages/core/src/certificate-status/request-places.js';
import { Urgency } from '../../../packages/core/src/certificate-status/urgency.js';

/** Places, and who has one, in the order in which they were given. */
function started() {
  const places = new RequestPlaces();
  const running: { name: string; release: Release }[] = [];
  /** An authority is named with its trust anchor, `anchor/authority`, or is below the anchor `root`. */
  const take = (name: string, authority: string, origin: string, urgency = new Urgency(true)) => {
    const [below = '', anchor = 'root'] = authority.split('/').toReversed();
    const taken = places.take({ authority: { name: `${anchor} ${below}`, anchor }, origin, urgency });
    return taken.then((release) => void running.push({ name, release }));
  };
  const end = async (name: string, hasAnswered?: boolean) => {
    running.find((one) => one.name === name)?.release(hasAnswered);
    await Promise.resolve();
  };
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const names = () => running.map((one) => one.name);
  return { places, running, take, end, names, settle };
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

/** As many wait as may, each for another authority, and for an origin that `of` names. */
async function fill(
  { take, settle }: ReturnType<typeof started>,
  authorityOf: (index: number) => string,
  of: (index: number) => string = (index) => `http://bad${index}`,
  count = 20_030,
) {
  for (let index = 0; index < count; index += 1) {
    void take(`bad ${index}`, authorityOf(index), of(index)).catch(() => undefined);
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

it('origins that do not answer have sixteen places below one trust anchor, those that answer the others', async () => {
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

it('24 run at once below one trust anchor', async () => {
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

describe('below two trust anchors', () => {
  it('32 run at once', async () => {
    const all = started();
    const authorities = ['one/a', 'one/b', 'one/c', 'two/a', 'two/b'];
    for (const authority of authorities) {
      for (let index = 0; index < 8; index += 1) {
        await all.take('first', authority, `http://${authority}${index}`);
        await all.end('first', true);
        all.running.length = 0;
      }
    }
    for (const authority of authorities) {
      await takeMany(all, 9, authority, (index) => `http://${authority}${index % 8}`);
    }
    expect(all.names().filter((name) => name.startsWith('one'))).toHaveLength(24);
    expect(all.names()).toHaveLength(32);
  });

  it.each([
    ['silent', false, 16, 6],
    ['slow', true, 24, 8],
  ] as const)(
    'many authorities of one with %s origins leave places for the other',
    async (_title, hasAnswered, most, mostOfOne) => {
      const all = started();
      for (let index = 0; index < 20 && hasAnswered; index += 1) {
        await all.take('first', `bad/${index}`, `http://bad${index}`);
        await all.end('first', true);
        all.running.length = 0;
      }
      for (let number = 0; number < 100; number += 1) {
        await takeMany(all, 20, `bad/${number}`, (index) => `http://bad${index}`);
      }
      expect(all.names()).toHaveLength(most);
      await takeMany(all, 20, 'good/a', (index) => `http://good${index}`);
      expect(all.names().slice(most)).toHaveLength(6);
      expect(all.names().filter((name) => name.startsWith('bad/0')).length).toBeLessThanOrEqual(mostOfOne);
    },
  );

  it('the one with the fewest places has the next one, and then its authority with the fewest', async () => {
    const all = started();
    for (const authority of ['bad/0', 'bad/1', 'bad/2', 'good/a']) {
      await takeMany(all, 6, authority, (index) => `http://${authority}${index}`);
    }
    await takeMany(all, 2, 'third/a', (index) => `http://third${index}`);
    expect(all.names()).toHaveLength(24);
    for (let number = 3; number < 50; number += 1) {
      void all.take(`bad/${number} waits`, `bad/${number}`, `http://bad/${number}`);
    }
    void all.take('good/a waits', 'good/a', 'http://good/a6');
    void all.take('good/b waits', 'good/b', 'http://good/b');
    for (const [index, name] of ['bad/00', 'bad/01', 'bad/02'].entries()) {
      await all.end(name, false);
      await all.settle();
      expect(all.names()).toHaveLength(25 + index);
    }
    // The one that waits for longer has six places already.
    expect(all.names().slice(24)).toEqual(['good/b waits', 'bad/3 waits', 'bad/4 waits']);
  });

  it('a request is next to those of 20,000 authorities that wait below the other one', async () => {
    const all = started();
    await fill(all, (index) => `bad/${index}`);
    for (const name of ['first', 'second', 'third', 'fourth']) {
      void all.take(name, 'good/a', 'http://good');
    }
    await all.settle();
    expect(all.names().slice(16)).toEqual(['first', 'second']);
    await all.end('first', true);
    await all.settle();
    expect(all.names().slice(16)).toEqual(['first', 'second', 'third', 'fourth']);
  });

  it('those of an authority whose name was among too many have their own share again later', async () => {
    const all = started();
    for (let index = 0; index < 100; index += 1) {
      void all.take(`bad ${index}`, `bad/${index}`, `http://bad${index}`).catch(() => undefined);
    }
    await takeMany(all, 20, 'bad/more', (index) => `http://more${index}`);
    await takeMany(all, 20, 'bad/most', (index) => `http://most${index}`);
    const countOf = (pattern: RegExp) => all.names().filter((name) => pattern.test(name)).length;
    for (let round = 0; countOf(/./) < 140; round += 1) {
      const [name = ''] = all.names().slice(round);
      await all.end(name, false);
      await all.settle();
    }
    expect(countOf(/mo/)).toBe(40);
    for (const name of all.names()) {
      await all.end(name, false);
    }
    const before = countOf(/mo/);
    await takeMany(all, 20, 'bad/more', (index) => `http://more${index}`);
    await takeMany(all, 20, 'bad/most', (index) => `http://most${index}`);
    expect(countOf(/mo/) - before).toBe(12);
  });

  it.each<[string, (index: number) => string]>([
    ['one origin', () => 'http://bad'],
    ['many origins', (index) => `http://bad${index}`],
  ])(
    'for %s, the next one of 20,000 authorities is found in as many steps as of 2,000',
    async (_title, of) => {
      const stepsFor = async (count: number): Promise<number> => {
        const all = started();
        await fill(all, (index) => `bad/${index}`, of, count);
        let steps = 0;
        const spies = [new Map().values(), new Set().values()].map((iterator) => {
          const prototype = Object.getPrototypeOf(iterator);
          const next = prototype.next;
          return vi.spyOn(prototype, 'next').mockImplementation(function (this: unknown) {
            steps += 1;
            return next.call(this);
          });
        });
        for (let round = 0; round < 5; round += 1) {
          all.running[round]?.release(false);
          await Promise.resolve();
        }
        void all.take('more', 'bad/more', 'http://more').catch(() => undefined);
        for (const spy of spies) {
          spy.mockRestore();
        }
        return steps;
      };
      const few = await stepsFor(2_000);
      expect(few).toBeGreaterThan(5);
      expect(await stepsFor(20_000)).toBeLessThan(2 * few);
    },
  );
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

  it('the trust anchor with the most gives way, however few requests each of its authorities has', async () => {
    const all = started();
    const refused: string[] = [];
    const takeOne = (name: string, authority: string, origin: string) =>
      void all.take(name, authority, origin).catch(() => refused.push(name));
    for (let index = 0; index < 9_000; index += 1) {
      takeOne(`one ${index}`, 'one/a', 'http://one');
    }
    for (let index = 0; index < 12_000; index += 1) {
      takeOne(`two ${index}`, `two/${index % 40}`, `http://two${index % 40}`);
    }
    await all.settle();
    const refusedAtFirst = refused.length;
    for (let index = 0; index < 100; index += 1) {
      takeOne(`more ${index}`, 'one/b', 'http://one');
    }
    await all.settle();
    expect(refusedAtFirst).toBeLessThan(1_000);
    expect(refused.slice(refusedAtFirst)).toHaveLength(100);
    expect(refused.filter((name) => !name.startsWith('two'))).toEqual([]);
  });
});
