// Which fetched lists are dropped if there are too many: certificates of one authority may name any number of points.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CrlSource } from '../../../packages/core/src/certificate-status/crl-source.js';
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
  type Written,
  writeAuthority,
  writeCertificate,
  writeList,
} from '../../support/written-status.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() }));
afterEach(() => void vi.useRealTimers());

/** Those that are kept at most, and what they may take in times of `maxSize`. */
const mostLists = 1_000;
const mostSizes = 16;

/** As in `certificate-status.ts`: the authority right below the trust anchor, or the anchor itself. */
interface Asking {
  readonly name: string;
  readonly anchor: string;
}

interface Client {
  readonly certificate: Written;
  readonly issuer: Written;
  readonly asking: Asking;
}

function start({ maxSize = defaultSettings.maxSize } = {}) {
  const asked: string[] = [];
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
    report: () => undefined,
  } as never);
  const signers = { accepts: () => false };
  return {
    asked,
    answers,
    source,
    load: ({ certificate, issuer, asking }: Client) =>
      source.prepare(certificate.certificate, issuer.certificate, asking, signers),
    stateOf: ({ certificate, issuer }: Client) =>
      source.answer(certificate.certificate, issuer.certificate, Date.now(), signers).state,
  };
}

const honest = writeAuthority();
const hostile = writeAuthority();
const honestUri = 'http://crl.example/a';
const client: Client = {
  certificate: writeCertificate({ issuer: honest, extensions: [pointsAt(point(honestUri))] }),
  issuer: honest,
  asking: { name: 'honest', anchor: 'honest root' },
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
function flood(count: number, asking: Asking, [points, uris] = [8, 4]): Client[] {
  let named = 0;
  return Array.from({ length: Math.ceil(count / (points * uris)) }, () => {
    const all = Array.from({ length: points }, () =>
      sequence(pointName(...Array.from({ length: uris }, () => `http://crl.example/b${named++}`))),
    );
    const certificate = writeCertificate({ issuer: hostile, extensions: [pointsAt(...all)] });
    return { certificate, issuer: hostile, asking };
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
        asking: { ...below, name: `hostile ${index}` },
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
    for (const asking of [below, client.asking]) {
      for (const one of flood(2 * mostLists, asking)) {
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
        asking: below,
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
    // The anchor is known by the thumbprint of its certificate.
    const anchor = honest.certificate.thumbprint;
    const asking = { name: 'hostile', anchor };
    await load({ ...client, asking });
    for (const one of flood(2 * mostLists, asking)) {
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
    await load(second);
    expect(stateOf(second)).toBe('good');
    expect(asked.length).toBe(all.length + 1);
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
