// Which fetched lists and answers are dropped if there are too many: one authority may have any number of clients, and
// their certificates may name any number of points.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { authorityKeyOf } from '../../../packages/core/src/certificate-status/authority-key.js';
import { CrlSource } from '../../../packages/core/src/certificate-status/crl-source.js';
import { KeptRecords } from '../../../packages/core/src/certificate-status/kept-records.js';
import { OcspSource } from '../../../packages/core/src/certificate-status/ocsp-source.js';
import type { StatusRequest } from '../../../packages/core/src/certificate-status/status-fetcher.js';
import { StatusError } from '../../../packages/core/src/certificate-status/status-reason.js';
import { deferred } from '../../support/deferred.js';
import { sequence } from '../../support/written-der.js';
import {
  defaultSettings,
  hour,
  point,
  pointName,
  pointsAt,
  responderAt,
  type Written,
  writeAuthority,
  writeCertificate,
  writeList,
  writeOcsp,
} from '../../support/written-status.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() }));
afterEach(() => void vi.useRealTimers());

/** Those that are kept at most, and what they may take in times of `maxSize`. */
const mostLists = 1_000;
const mostSizes = 16;

/** As in `status-checker.ts`: the authority right below the trust anchor, or the anchor itself. */
interface Owner {
  readonly name: string;
  readonly anchor: string;
}

interface Client {
  readonly certificate: Written;
  readonly issuer: Written;
  readonly owner: Owner;
}

function start({ maxSize = defaultSettings.maxSize } = {}) {
  const asked: string[] = [];
  const reports: string[] = [];
  const answers = new Map<string, Uint8Array | Promise<Uint8Array>>();
  const source = new CrlSource({
    settings: { ...defaultSettings, maxSize },
    fetcher: {
      fetch: async (url: string, _: StatusRequest) => {
        asked.push(url);
        const answer = await answers.get(url);
        if (answer === undefined) {
          throw new StatusError({ code: 'unreachable', why: 'status 404' });
        }
        return { body: Buffer.from(answer), etag: undefined };
      },
      close: () => undefined,
    },
    clockTolerance: 0,
    othersOf: () => [],
    onChange: () => undefined,
    report: (_code: string, message: string) => void reports.push(message),
  } as never);
  const signers = { weightOf: () => 'nothing' as const };
  const answerTo = ({ certificate, issuer }: Client) =>
    source.answer(certificate.certificate, issuer.certificate, Date.now(), signers);
  return {
    asked,
    reports,
    answers,
    source,
    load: ({ certificate, issuer, owner }: Client) =>
      source.prepare(certificate.certificate, issuer.certificate, owner, signers),
    answerTo,
    stateOf: (of: Client) => answerTo(of).state,
  };
}

const honest = writeAuthority();
const hostile = writeAuthority();
const honestUri = 'http://crl.example/a';
const client: Client = {
  certificate: writeCertificate({ issuer: honest, extensions: [pointsAt(point(honestUri))] }),
  issuer: honest,
  owner: { name: 'honest', anchor: 'honest root' },
};

interface HonestClient {
  readonly one: Client;
  readonly uri: string;
}

/** Clients of the honest authority, each with a list of its own. */
function honestClients(count: number): HonestClient[] {
  return Array.from({ length: count }, (_, index) => {
    const uri = `http://crl.example/a${index}`;
    const extensions = [pointsAt(point(uri))];
    return { one: { ...client, certificate: writeCertificate({ issuer: honest, extensions }) }, uri };
  });
}

/** Certificates that name so many lists together, each by its points and their URIs. */
function flood(count: number, owner: Owner, [points, uris] = [8, 4]): Client[] {
  let named = 0;
  return Array.from({ length: Math.ceil(count / (points * uris)) }, () => {
    const all = Array.from({ length: points }, () =>
      sequence(pointName(...Array.from({ length: uris }, () => `http://crl.example/b${named++}`))),
    );
    const certificate = writeCertificate({ issuer: hostile, extensions: [pointsAt(...all)] });
    return { certificate, issuer: hostile, owner };
  });
}

const below = { name: 'hostile', anchor: 'hostile root' };

describe('a fetched list', () => {
  it.each<[string, Client[]]>([
    ['another authority', flood(2 * mostLists, below)],
    [
      'another authority below its trust anchor',
      flood(2 * mostLists, { name: 'hostile', anchor: 'honest root' }),
    ],
    [
      'many authorities below another trust anchor',
      flood(mostLists + 100, below, [1, 1]).map((one, index) => ({
        ...one,
        owner: { ...below, name: `hostile ${index}` },
      })),
    ],
  ])('stays, whatever lists the certificates of %s name', async (_, others) => {
    const { asked, answers, load, stateOf } = start();
    answers.set(honestUri, writeList(honest));
    await load(client);
    for (const one of others) {
      await load(one);
    }
    expect(asked.length).toBeGreaterThan(mostLists);
    expect(stateOf(client)).toBe('good');
    expect(load(client)).toBeUndefined();
  });

  it('stays until it arrives, whatever lists are named meanwhile', async () => {
    const { answers, load, stateOf } = start();
    const arrival = deferred<Uint8Array>();
    answers.set(honestUri, arrival.promise);
    const waiting = load(client);
    // Also those of its own authority.
    for (const owner of [below, client.owner]) {
      for (const one of flood(2 * mostLists, owner)) {
        await load(one);
      }
    }
    arrival.resolve(writeList(honest));
    await waiting;
    expect(stateOf(client)).toBe('good');
  });

  it('stays, however large the lists of another authority are', async () => {
    const { answers, load, stateOf } = start({ maxSize: 8_000 });
    // These are more lists than those of the other one, and take less.
    const small = honestClients(100);
    const list = writeList(honest);
    for (const { one, uri } of small) {
      answers.set(uri, list);
      await load(one);
    }
    const large = writeList(hostile, { revoked: Array.from({ length: 200 }, (_, index) => [9, index]) });
    expect(large.length).toBeGreaterThan(4_000);
    const others = Array.from({ length: 4 * mostSizes }, (_, index) => {
      const uri = `http://crl.example/large${index}`;
      answers.set(uri, large);
      const extensions = [pointsAt(point(uri))];
      return {
        certificate: writeCertificate({ issuer: hostile, extensions }),
        issuer: hostile,
        owner: below,
      };
    });
    for (const one of others) {
      await load(one);
    }
    const kept = others.filter((one) => stateOf(one) === 'good').length;
    expect(kept * large.length).toBeLessThanOrEqual(mostSizes * 8_000);
    expect(kept).toBeGreaterThan(8);
    expect(stateOf(others.at(-1) as Client)).toBe('good');
    expect(small.filter(({ one }) => stateOf(one) !== 'good')).toEqual([]);
  });

  it('takes the bytes of its last version alone', async () => {
    const nextUpdate = Date.now() + 10_000 * hour;
    const revoked = [[9]];
    const { length } = writeList(honest, { revoked, nextUpdate });
    const { asked, answers, load, stateOf } = start({ maxSize: 2 * length });
    const [first, second] = honestClients(2) as [HonestClient, HonestClient];
    answers.set(second.uri, writeList(honest, { nextUpdate }));
    await load(second.one);
    for (let version = 0; version < 4 * mostSizes; version += 1) {
      vi.advanceTimersByTime(2_000 * defaultSettings.refreshInterval);
      answers.set(first.uri, writeList(honest, { revoked, nextUpdate, thisUpdate: Date.now() }));
      await load(first.one);
    }
    expect(asked.length).toBe(1 + 4 * mostSizes);
    expect([stateOf(first.one), stateOf(second.one)]).toEqual(['good', 'good']);
  });

  it('of the trust anchor stays, whichever of its authorities needed it first', async () => {
    const { answers, load, stateOf } = start();
    answers.set(honestUri, writeList(honest));
    const anchor = authorityKeyOf(honest.certificate);
    const owner = { name: 'hostile', anchor };
    await load({ ...client, owner });
    for (const one of flood(2 * mostLists, owner)) {
      await load(one);
    }
    expect(stateOf(client)).toBe('good');
  });

  it('is dropped for newer ones of its own authority, and fetched again', async () => {
    const { asked, answers, load, stateOf } = start();
    const list = writeList(honest);
    const clients = honestClients(mostLists + 100);
    for (const { uri } of clients) {
      answers.set(uri, list);
    }
    const all = clients.map(({ one }) => one);
    const [first, second] = all as [Client, Client];
    for (const one of all) {
      await load(one);
      expect(stateOf(one)).toBe('good');
      // Its last use counts.
      expect(stateOf(first)).toBe('good');
    }
    const kept = all.filter((one) => stateOf(one) === 'good');
    expect(kept.length).toBe(mostLists);
    expect(stateOf(second)).toBe('unknown');
    vi.advanceTimersByTime(10_000);
    await load(second);
    expect(stateOf(second)).toBe('good');
    expect(asked.length).toBe(all.length + 1);
  });

  it('that was dropped is not fetched again for 10 seconds, and the operator reads why', async () => {
    const list = writeList(honest);
    const { asked, answers, reports, load, answerTo, stateOf } = start({ maxSize: list.length });
    const clients = honestClients(3 * mostSizes);
    const loadAll = async () => {
      for (const { one, uri } of clients) {
        answers.set(uri, list);
        await load(one);
      }
    };
    await loadAll();
    const [first] = clients as [HonestClient];
    for (const _ of [1, 2, 3]) {
      vi.advanceTimersByTime(3_000);
      await loadAll();
      expect(asked.length).toBe(clients.length);
    }
    const reason = `the revocation list ${first.uri}: it was dropped`;
    expect(answerTo(first.one)).toMatchObject({
      state: 'unknown',
      code: 'too_large',
      why: expect.stringContaining(reason),
    });
    expect(reports).toContainEqual(expect.stringContaining(reason));
    vi.advanceTimersByTime(1_000);
    await load(first.one);
    expect(asked.slice(clients.length)).toEqual([first.uri]);
    expect(stateOf(first.one)).toBe('good');
  });

  it('that was dropped for one authority is fetched for another one at once', async () => {
    const list = writeList(honest);
    const { asked, answers, load, stateOf } = start({ maxSize: list.length });
    answers.set(honestUri, list);
    await load({ ...client, owner: below });
    for (const { one, uri } of honestClients(3 * mostSizes)) {
      answers.set(uri, list);
      await load({ ...one, owner: below });
    }
    expect(stateOf(client)).toBe('unknown');
    const { length } = asked;
    await load(client);
    expect(asked.slice(length)).toEqual([honestUri]);
    expect(stateOf(client)).toBe('good');
  });

  it('that arrives after the source was closed is not kept', async () => {
    const { answers, load, stateOf, source } = start();
    const arrival = deferred<Uint8Array>();
    answers.set(honestUri, arrival.promise);
    const waiting = load(client);
    source.close();
    arrival.resolve(writeList(honest));
    await waiting;
    expect(stateOf(client)).toBe('unknown');
  });
});

describe('when a dropped list was fetched last', () => {
  it.each<[string, (index: number) => Owner]>([
    ['another authority below its trust anchor', () => ({ name: 'hostile', anchor: 'honest root' })],
    [
      'many authorities below another trust anchor',
      (index) => ({ name: `hostile ${index}`, anchor: 'hostile root' }),
    ],
  ])('is remembered, however many lists of %s are dropped', (_title, ownerOf) => {
    const records = new KeptRecords({ count: 2, bytes: Number.POSITIVE_INFINITY, dropped: 20 });
    let now = 0;
    const addOne = (key: string, owner: Owner) => {
      now += 1;
      const record = { attemptedAt: now, close: () => undefined };
      records.add(key, owner, record);
      records.resize(key, record, 0);
    };
    for (const key of ['one', 'two', 'three']) {
      addOne(key, client.owner);
    }
    for (let index = 0; index < 100; index += 1) {
      addOne(`${index}`, ownerOf(index));
    }
    expect(records.lastAttemptOfDropped('one', client.owner)).toBe(1);
    expect(records.lastAttemptOfDropped('one', ownerOf(0))).toBeUndefined();
    expect(records.lastAttemptOfDropped('2', ownerOf(2))).toBeUndefined();
    expect(records.lastAttemptOfDropped('97', ownerOf(97))).toBe(3 + 98);
  });
});

/** Certificates whose answers are kept at most. */
const mostAnswers = 10_000;

describe('an answer of an OCSP responder', () => {
  const url = 'http://ocsp.example/a';
  const extensions = [responderAt(url)];
  const { certificate: good } = writeCertificate({ issuer: honest, serial: [7], extensions });
  const { certificate: hostileClient } = writeCertificate({ issuer: hostile, extensions });

  function startOcsp() {
    let answer: Promise<Uint8Array> | undefined;
    const source = new OcspSource({
      settings: { ...defaultSettings, by: ['ocsp'], nonce: false },
      fetcher: {
        fetch: async () => {
          const body = await answer;
          if (body === undefined) {
            throw new StatusError({ code: 'unreachable', why: 'status 404' });
          }
          return { body: Buffer.from(body), etag: undefined };
        },
        close: () => undefined,
      },
      clockTolerance: 0,
      othersOf: () => [],
      onChange: () => undefined,
      report: () => undefined,
    } as never);
    const answerWith = (next: typeof answer) => {
      answer = next;
    };
    const load = () => source.prepare(good, honest.certificate, client.owner);
    const stateOf = () => source.answer(good, honest.certificate, Date.now()).state;
    /** One client after another. Returns what is known of each. */
    const comeMany = async (owner: Owner) => {
      const clients = Array.from({ length: mostAnswers + 10 }, (_, at) =>
        Object.create(hostileClient, { thumbprint: { value: `hostile ${at}` } }),
      );
      for (const one of clients) {
        await source.prepare(one, hostile.certificate, owner);
      }
      return () =>
        clients.filter((one) => {
          const known = source.answer(one, hostile.certificate, Date.now());
          return 'why' in known && known.why.includes('404');
        }).length;
    };
    return { source, answerWith, load, stateOf, comeMany };
  }

  it('stays, however many clients another authority has', async () => {
    const { source, answerWith, load, stateOf, comeMany } = startOcsp();
    answerWith(Promise.resolve(writeOcsp(good, honest)));
    await load();
    answerWith(undefined);
    const countKnown = await comeMany({ name: 'hostile', anchor: 'honest root' });
    expect(stateOf()).toBe('good');
    expect(load()).toBeUndefined();
    expect(countKnown()).toBe(mostAnswers - 1);
    source.close();
  });

  it('stays until it arrives, however many clients of its own authority come meanwhile', async () => {
    const { source, answerWith, load, stateOf, comeMany } = startOcsp();
    const arrival = deferred<Uint8Array>();
    answerWith(arrival.promise);
    const waiting = load();
    answerWith(undefined);
    await comeMany(client.owner);
    arrival.resolve(writeOcsp(good, honest));
    await waiting;
    expect(stateOf()).toBe('good');
    source.close();
  });
});
