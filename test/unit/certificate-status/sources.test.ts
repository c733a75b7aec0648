// What lists and responders say over time: which are asked, how long an answer counts, and that no old one undoes a
// revocation. What is sent over sockets has tests in test/integration/certificate-status.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { authorityKeyOf } from '../../../packages/core/src/certificate-status/authority-key.js';
import { CrlSource } from '../../../packages/core/src/certificate-status/crl-source.js';
import { OcspSource } from '../../../packages/core/src/certificate-status/ocsp-source.js';
import type {
  StatusBody,
  StatusRequest,
} from '../../../packages/core/src/certificate-status/status-fetcher.js';
import type { CertificateStatusSettings } from '../../../packages/core/src/certificate-status/status-options.js';
import { StatusError } from '../../../packages/core/src/certificate-status/status-reason.js';
import type { SignerWeights } from '../../../packages/core/src/certificate-status/status-source.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { deferred } from '../../support/deferred.js';
import {
  commonName,
  der,
  extension,
  identifier,
  integer,
  sequence,
  text,
} from '../../support/written-der.js';
import {
  defaultSettings,
  hour,
  issuedFor,
  type ListParts,
  type OcspParts,
  point,
  pointName,
  pointsAt,
  reason,
  responderAt,
  type Written,
  withFiles,
  writeAuthority,
  writeCertificate,
  writeList,
  writeOcsp,
} from '../../support/written-status.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() }));
afterEach(() => void vi.useRealTimers());

type Answer = Uint8Array | 'unchanged' | Error;

const notFound = new StatusError({ code: 'unreachable', why: 'status 404' });

/** What a source asks for, and what it is answered. */
function world(
  settings: Partial<CertificateStatusSettings> = {},
  clockTolerance = 0,
  others: readonly Written[] = [],
) {
  const asked: [url: string, request: StatusRequest][] = [];
  const reports: string[] = [];
  const answers = new Map<string, Answer | Promise<Answer>>();
  let changes = 0;
  const parts = {
    settings: { ...defaultSettings, ...settings },
    fetcher: {
      fetch: async (url: string, request: StatusRequest): Promise<StatusBody | 'unchanged'> => {
        asked.push([url, request]);
        const answer = (await answers.get(url)) ?? notFound;
        if (answer instanceof Error) {
          throw answer;
        }
        return answer === 'unchanged' ? answer : { body: Buffer.from(answer), etag: `"${asked.length}"` };
      },
      close: () => undefined,
    },
    clockTolerance,
    othersOf: () => others.map(({ certificate }) => certificate),
    onChange: () => {
      changes += 1;
    },
    report: (code: string, message: string) => void reports.push(`${code}: ${message}`),
  };
  return { parts: parts as never, asked, reports, answers, changes: () => changes };
}

const authority = writeAuthority();
const owner = { name: 'authority', anchor: 'anchor' };
/** Another authority certifies the key of the authority, and does not say that it may sign lists. */
const crossed = writeAuthority({
  issuer: writeAuthority({ name: commonName('other authority') }),
  keyOf: authority,
  extensions: [extension('2.5.29.15', der(0x03, Buffer.from([2, 0x04])), true)],
});
const byOther = { name: 'other', anchor: 'anchor' };
const interval = 1_000 * defaultSettings.refreshInterval;

describe('an OCSP responder', () => {
  const url = 'http://ocsp.example/a?token=secret';
  const leaf = writeCertificate({ issuer: authority, serial: [7], extensions: [responderAt(url)] });
  const asks = (...urls: string[]) =>
    extension(
      '1.3.6.1.5.5.7.1.1',
      sequence(...urls.map((one) => sequence(identifier('1.3.6.1.5.5.7.48.1'), text(0x86, one)))),
    );
  const answer = (parts: OcspParts = {}, of: Written = leaf) => writeOcsp(of.certificate, authority, parts);
  function start(settings: Partial<CertificateStatusSettings> = {}, clockTolerance = 0) {
    const { parts, ...rest } = world({ by: ['ocsp'], ...settings }, clockTolerance);
    const source = new OcspSource(parts);
    const status = (of: Written = leaf, by: Written = authority) =>
      source.answer(of.certificate, by.certificate, Date.now());
    const load = (of: Written = leaf, by: Written = authority) =>
      source.prepare(of.certificate, by.certificate, owner);
    return { source, status, load, ...rest };
  }

  it('is asked by POST for the status of the certificate, once', async () => {
    const { status, load, answers, asked, changes } = start();
    answers.set(url, answer());
    expect(status()).toEqual({
      state: 'unknown',
      code: 'unreachable',
      why: 'its OCSP responder did not answer in time',
    });
    await load();
    expect(status()).toMatchObject({ state: 'good' });
    expect(load()).toBeUndefined();
    expect(asked).toEqual([
      [
        url,
        {
          accept: 'application/ocsp-response',
          maxSize: 65_535,
          post: { type: 'application/ocsp-request', body: expect.any(Uint8Array) },
          authority: 'authority',
          urgency: expect.objectContaining({ isUrgent: true }),
        },
      ],
    ]);
    expect(changes()).toBe(1);
  });

  it('is asked about an authority in the turn of that authority, not in that of the trust anchor', async () => {
    const { source, asked } = start();
    const below = { name: 'authority', anchor: authorityKeyOf(authority.certificate) };
    await source.prepare(leaf.certificate, authority.certificate, below);
    expect(asked.map(([, given]) => given.authority)).toEqual(['authority']);
  });

  it('is asked for each authority in its turn, and the newest answer counts', async () => {
    const { source, status, load, asked, answers } = start();
    const slow = deferred<Uint8Array>();
    answers.set(url, slow.promise);
    const other = source.prepare(leaf.certificate, authority.certificate, { ...owner, name: 'other' });
    answers.set(url, answer({ status: 'revoked', thisUpdate: Date.now() - 60_000 }));
    await load();
    expect(asked.map(([, given]) => given.authority)).toEqual(['other', 'authority']);
    expect(status()).toMatchObject({ state: 'revoked' });
    slow.resolve(answer({ thisUpdate: Date.now() - 120_000 }));
    await other;
    expect(status()).toMatchObject({ state: 'revoked' });
  });

  it('has answered about each path through the key of the issuer, whichever certificate is sent', async () => {
    const { source, status, load, asked, answers } = start();
    answers.set(url, answer({ thisUpdate: Date.now() - 120_000 }));
    await source.prepare(leaf.certificate, crossed.certificate, byOther);
    answers.set(url, answer({ status: 'revoked', thisUpdate: Date.now() - 60_000 }));
    await load();
    expect(asked.map(([, given]) => given.authority)).toEqual(['other', 'authority']);
    expect(status()).toMatchObject({ state: 'revoked' });
    expect(status(leaf, crossed)).toMatchObject({ state: 'revoked' });
  });

  it('may answer with as many bytes as the option says, if these are fewer', async () => {
    const { load, asked } = start({ maxSize: 1_000 });
    await load();
    expect(asked[0]?.[1].maxSize).toBe(1_000);
  });

  it('is not asked about a certificate that names none', () => {
    const { status, load, asked } = start();
    const silent = writeCertificate({ issuer: authority });
    const other = writeCertificate({ issuer: authority, extensions: [responderAt('ldap://ocsp.example')] });
    for (const one of [silent, other]) {
      expect(load(one)).toBeUndefined();
      expect(status(one)).toEqual({
        state: 'unknown',
        code: 'not_published',
        why: 'it names no OCSP responder that can be asked',
      });
    }
    expect(asked).toEqual([]);
  });

  it('says good until its nextUpdate, and as long as clocks may differ', async () => {
    const { status, load, answers } = start({}, 30);
    answers.set(url, answer({ nextUpdate: Date.now() + hour }));
    await load();
    const { until } = status() as { until: number };
    // Times in certificates are whole seconds.
    expect(Math.abs(until - Date.now() - hour - 30_000)).toBeLessThan(1_000);
    vi.setSystemTime(until);
    expect(status()).toEqual({ state: 'good', until });
    vi.setSystemTime(until + 1);
    expect(status()).toEqual({
      state: 'unknown',
      code: 'outdated',
      why: 'the answer of its OCSP responder has expired',
    });
  });

  it.each([
    [300, hour],
    [3_000, 6_000_000],
  ])(
    'without nextUpdate says good for an hour, or for two intervals: %i s',
    async (refreshInterval, lasts) => {
      const { status, load, answers } = start({ refreshInterval });
      const thisUpdate = Math.floor(Date.now() / 1_000) * 1_000;
      answers.set(url, answer({ thisUpdate, nextUpdate: 'none' }));
      await load();
      expect(status()).toEqual({ state: 'good', until: thisUpdate + lasts });
    },
  );

  it('that does not know the certificate makes nothing good', async () => {
    const { status, load, answers } = start();
    answers.set(url, answer({ status: 'unknown' }));
    await load();
    expect(status()).toEqual({
      state: 'unknown',
      code: 'unknown_to_responder',
      why: 'its OCSP responder does not know it',
    });
  });

  it('that said revoked is believed for good', async () => {
    const { status, load, answers } = start();
    answers.set(url, answer({ status: 'revoked' }));
    await load();
    const revoked = { state: 'revoked', why: 'its OCSP responder says keyCompromise' };
    expect(status()).toEqual(revoked);
    vi.advanceTimersByTime(10 * hour);
    expect(status()).toEqual(revoked);
  });

  it('that repeats an old answer undoes no newer one', async () => {
    const { status, load, answers } = start();
    const good = answer({ thisUpdate: Date.now() - 120_000 });
    const revoked = answer({ status: 'revoked', thisUpdate: Date.now() - 60_000 });
    for (const [given, state] of [
      [good, 'good'],
      [revoked, 'revoked'],
      [good, 'revoked'],
    ] as const) {
      answers.set(url, given);
      await load();
      expect(status()).toMatchObject({ state });
      vi.advanceTimersByTime(2 * interval);
    }
  });

  it('is believed that the certificate is good again, in a newer answer', async () => {
    const { status, load, answers } = start();
    answers.set(url, answer({ status: 'revoked', thisUpdate: Date.now() - 60_000 }));
    await load();
    vi.advanceTimersByTime(2 * interval);
    answers.set(url, answer({ thisUpdate: Date.now() }));
    await load();
    expect(status()).toMatchObject({ state: 'good' });
  });

  it('is not believed to be no longer revoked by a newer answer that does not know it', async () => {
    const { status, load, answers } = start();
    answers.set(url, answer({ status: 'revoked', thisUpdate: Date.now() - 60_000 }));
    await load();
    vi.advanceTimersByTime(2 * interval);
    answers.set(url, answer({ status: 'unknown', thisUpdate: Date.now() }));
    await load();
    expect(status()).toMatchObject({ state: 'revoked' });
  });

  it.each([
    [['unknown', 'revoked'], 'revoked'],
    [['revoked', 'unknown'], 'revoked'],
    [['unknown', 'revoked', 'good'], 'revoked'],
    [['good', 'unknown'], 'unknown'],
    [['unknown', 'good'], 'unknown'],
  ] as const)(
    'that answers %j is believed that it is %s, for one or several authorities',
    async (order, state) => {
      // Each of these is older than the ones before it in this list.
      const ages = ['unknown', 'revoked', 'good'];
      const { status, load, answers } = start();
      const several = start();
      const began = Date.now();
      for (const said of order) {
        const given = answer({ status: said, thisUpdate: began - 60_000 * (1 + ages.indexOf(said)) });
        answers.set(url, given);
        await load();
        several.answers.set(url, given);
        await several.source.prepare(leaf.certificate, authority.certificate, { ...owner, name: said });
        vi.advanceTimersByTime(2 * interval);
      }
      expect(status()).toMatchObject({ state });
      expect(several.status()).toMatchObject({ state });
    },
  );

  it('that knew the certificate, and then did not, undoes no answer that it is good again', async () => {
    const { status, load, answers } = start();
    const revoked = answer({ status: 'revoked', thisUpdate: Date.now() - 60_000 });
    for (const given of [
      revoked,
      answer({ thisUpdate: Date.now() - 30_000 }),
      answer({ status: 'unknown', thisUpdate: Date.now() - 10_000 }),
      revoked,
    ]) {
      answers.set(url, given);
      await load();
      vi.advanceTimersByTime(2 * interval);
    }
    expect(status()).toMatchObject({ state: 'unknown' });
  });

  it('of two answers of one time believes the one that revokes', async () => {
    const thisUpdate = Date.now() - 60_000;
    for (const order of [
      ['good', 'revoked'],
      ['revoked', 'good'],
    ] as const) {
      const { status, load, answers } = start();
      for (const state of order) {
        answers.set(url, answer({ status: state, thisUpdate }));
        await load();
        vi.advanceTimersByTime(2 * interval);
      }
      expect(status()).toMatchObject({ state: 'revoked' });
    }
  });

  it('that answers the same again changes nothing', async () => {
    const { load, answers, changes } = start();
    answers.set(url, answer({ thisUpdate: Date.now() - 1_000 }));
    await load();
    vi.advanceTimersByTime(2 * interval);
    await load();
    expect(changes()).toBe(1);
  });

  it('that fails is reported once, and what it said before still counts', async () => {
    const { status, load, answers, reports } = start();
    answers.set(url, answer());
    await load();
    answers.delete(url);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      vi.advanceTimersByTime(2 * interval);
      await load();
    }
    expect(status()).toMatchObject({ state: 'good' });
    expect(reports).toEqual([
      expect.stringMatching(/^ocsp_unavailable: the OCSP responder http:\/\/ocsp\.example\/\S*: status 404$/),
    ]);
    expect(reports[0]).not.toContain('secret');
    vi.advanceTimersByTime(hour);
    expect(status()).toEqual({
      state: 'unknown',
      code: 'unreachable',
      why: expect.stringContaining('status 404'),
    });
  });

  it.each<[string, () => Answer, string, string]>([
    ['says that nothing is new', () => 'unchanged', 'unreachable', 'status 304'],
    [
      'answers with something else',
      () => Buffer.from('nothing'),
      'unreadable',
      'its answer is no OCSP response',
    ],
    [
      'answers with what has expired',
      () => answer({ thisUpdate: Date.now() - 3 * hour, nextUpdate: 'none' }),
      'outdated',
      'its answer has expired',
    ],
  ])('that %s says nothing', async (_, given, code, why) => {
    const { status, load, answers } = start();
    answers.set(url, given());
    await load();
    expect(status()).toEqual({ state: 'unknown', code, why: expect.stringContaining(why) });
  });

  it('that has no answer is followed by the next one, four at most', async () => {
    const urls = Array.from({ length: 6 }, (_, number) => `http://ocsp${number}.example/`);
    const many = writeCertificate({ issuer: authority, serial: [8], extensions: [asks(...urls)] });
    const first = start();
    await first.load(many);
    expect(first.asked.map(([one]) => one)).toEqual(urls.slice(0, 4));
    expect(first.status(many)).toMatchObject({ why: expect.stringContaining('ocsp3.example') });
    const second = start();
    second.answers.set(urls[1] as string, answer({}, many));
    await second.load(many);
    expect(second.asked.map(([one]) => one)).toEqual(urls.slice(0, 2));
    expect(second.status(many)).toMatchObject({ state: 'good' });
  });

  it('is asked for each issuer of a certificate, and for each certificate', async () => {
    const { status, load, answers, asked } = start();
    const other = writeCertificate({ issuer: authority, serial: [9], extensions: [responderAt(url)] });
    const namesake = writeAuthority();
    answers.set(url, answer());
    await load();
    expect(status(other)).toMatchObject({ state: 'unknown' });
    expect(status(leaf, namesake)).toMatchObject({ state: 'unknown' });
    await load(other);
    await load(leaf, namesake);
    expect(asked).toHaveLength(3);
    expect(status(other)).toMatchObject({
      code: 'unreadable',
      why: expect.stringContaining('about another certificate'),
    });
    expect(status(leaf, namesake)).toMatchObject({ state: 'unknown' });
  });

  it('must repeat the nonce, if one is sent', async () => {
    const { status, load, answers } = start({ nonce: true });
    answers.set(url, answer());
    await load();
    expect(status()).toMatchObject({
      state: 'unknown',
      code: 'wrong_nonce',
      why: expect.stringContaining('no nonce'),
    });
    vi.advanceTimersByTime(2 * interval);
    answers.set(url, answer({ status: 'revoked' }));
    await load();
    expect(status()).toMatchObject({ state: 'revoked' });
    // No proof that it is good takes that back without a nonce.
    vi.advanceTimersByTime(2 * interval);
    answers.set(url, answer({ thisUpdate: Date.now() }));
    await load();
    expect(status()).toMatchObject({ state: 'revoked' });
  });

  it('is forgotten with the source', async () => {
    const { source, status, load, answers } = start();
    answers.set(url, answer());
    await load();
    source.close();
    expect(status()).toMatchObject({ state: 'unknown' });
  });
});

/** Lists by the keys of these certificates count, too. */
const signedBy = (...signers: Written[]) => ({
  weightOf: (one: PathCertificate) =>
    signers.some(({ certificate }) => certificate === one) ? ('all' as const) : ('nothing' as const),
});

describe('a revocation list at a URI', () => {
  const uri = 'http://crl.example/a';
  const at = (...points: Uint8Array[]) =>
    writeCertificate({ issuer: authority, serial: [7], extensions: [pointsAt(...points)] });
  const leaf = at(point(uri));
  const list = (parts: ListParts = {}) => writeList(authority, parts);
  function start(settings: Partial<CertificateStatusSettings> = {}, clockTolerance = 0) {
    const { parts, ...rest } = world(settings, clockTolerance);
    const source = new CrlSource(parts);
    const status = (of: Written = leaf) =>
      source.answer(of.certificate, authority.certificate, Date.now(), signedBy());
    const load = (of: Written = leaf) =>
      source.prepare(of.certificate, authority.certificate, owner, signedBy());
    return { source, status, load, ...rest };
  }

  it('is fetched once, and says whether the certificate is revoked', async () => {
    const { status, load, answers, asked } = start();
    answers.set(uri, list({ revoked: [[8]] }));
    expect(status()).toEqual({
      state: 'unknown',
      code: 'unreachable',
      why: 'its revocation list was not fetched in time',
    });
    await load();
    expect(status()).toMatchObject({ state: 'good' });
    expect(load()).toBeUndefined();
    expect(asked).toEqual([
      [
        uri,
        {
          accept: 'application/pkix-crl',
          maxSize: defaultSettings.maxSize,
          etag: undefined,
          authority: 'authority',
          urgency: expect.objectContaining({ isUrgent: true }),
        },
      ],
    ]);
    const revoked = start();
    revoked.answers.set(uri, list({ revoked: [[7]] }));
    await revoked.load();
    expect(revoked.status()).toEqual({ state: 'revoked', why: 'its revocation list says unspecified' });
  });

  it('of the trust anchor has a turn of its own, whichever authority below asks first', async () => {
    const { source, answers, asked } = start();
    answers.set(uri, list());
    const below = { name: 'authority', anchor: authorityKeyOf(authority.certificate) };
    await source.prepare(leaf.certificate, authority.certificate, below, signedBy());
    expect(asked.map(([, given]) => given.authority)).toEqual([below.anchor]);
  });

  it('is fetched for each authority in its turn, and the newest list counts', async () => {
    const { source, status, load, asked, answers } = start();
    const slow = deferred<Uint8Array>();
    answers.set(uri, slow.promise);
    const by = { ...owner, name: 'other' };
    const other = source.prepare(leaf.certificate, authority.certificate, by, signedBy());
    answers.set(uri, list({ revoked: [[7]], thisUpdate: Date.now() - 60_000 }));
    await load();
    expect(asked.map(([, given]) => given.authority)).toEqual(['other', 'authority']);
    expect(status()).toMatchObject({ state: 'revoked' });
    slow.resolve(list({ thisUpdate: Date.now() - 120_000 }));
    await other;
    expect(status()).toMatchObject({ state: 'revoked' });
  });

  it('counts for each path through the key of the issuer, whichever certificate is sent', async () => {
    const { source, status, load, asked, answers } = start();
    const prepareCrossed = () => source.prepare(leaf.certificate, crossed.certificate, byOther, signedBy());
    const statusCrossed = () => source.answer(leaf.certificate, crossed.certificate, Date.now(), signedBy());
    answers.set(uri, list({ thisUpdate: Date.now() - 120_000 }));
    await prepareCrossed();
    await load();
    expect(status()).toMatchObject({ state: 'good' });
    // The key usage of this certificate lacks cRLSign.
    expect(statusCrossed()).toMatchObject({ state: 'unknown', code: 'wrong_signer' });
    vi.advanceTimersByTime(2 * interval);
    answers.set(uri, list({ revoked: [[7]], thisUpdate: Date.now() - 60_000 }));
    await load();
    expect(asked.map(([, given]) => given.authority)).toEqual(['other', 'authority', 'authority']);
    expect(statusCrossed()).toMatchObject({ state: 'revoked' });
    vi.advanceTimersByTime(2 * interval);
    answers.set(uri, list({ thisUpdate: Date.now() }));
    await prepareCrossed();
    // A list is a proof by the certificate of the path, not by the one that it was fetched for.
    expect(status()).toMatchObject({ state: 'good' });
  });

  it('of two of one time, fetched for two authorities, counts if it revokes', async () => {
    const { source, status, load, answers } = start();
    answers.set(uri, list({ revoked: [[7]] }));
    const by = { ...owner, name: 'other' };
    await source.prepare(leaf.certificate, authority.certificate, by, signedBy());
    answers.set(uri, list());
    await load();
    expect(status()).toMatchObject({ state: 'revoked' });
  });

  it('is fetched again with its ETag, and stays if it is the same', async () => {
    const { status, load, answers, asked, changes } = start();
    const same = list();
    answers.set(uri, same);
    await load();
    for (const again of ['unchanged', same] as const) {
      vi.advanceTimersByTime(2 * interval);
      answers.set(uri, again);
      await load();
      expect(status()).toMatchObject({ state: 'good' });
    }
    expect(asked.map(([, { etag }]) => etag)).toEqual([undefined, '"1"', '"1"']);
    expect(changes()).toBe(1);
  });

  it('is fetched without its ETag after three requests with it, which may be that of another list', async () => {
    const { status, load, answers, asked } = start();
    answers.set(uri, list());
    await load();
    answers.set(uri, 'unchanged');
    for (let count = 0; count < 3; count += 1) {
      vi.advanceTimersByTime(2 * interval);
      await load();
    }
    expect(status()).toMatchObject({ state: 'good' });
    for (const answer of [notFound, list({ revoked: [[7]], thisUpdate: Date.now() })]) {
      vi.advanceTimersByTime(2 * interval);
      answers.set(uri, answer);
      await load();
    }
    expect(status()).toMatchObject({ state: 'revoked' });
    vi.advanceTimersByTime(2 * interval);
    await load();
    expect(asked.map(([, { etag }]) => etag)).toEqual([
      undefined,
      ...['"1"', '"1"', '"1"'],
      ...[undefined, undefined],
      '"6"',
    ]);
  });

  describe('by a key for lists alone', () => {
    const forLists = writeAuthority();
    const renewed = { ...writeAuthority(), key: forLists.key };
    const byOther = (parts: ListParts = {}) => list({ ...parts, signer: forLists });
    function startWith(...others: Written[]) {
      const { parts, ...rest } = world({}, 0, others);
      const source = new CrlSource(parts);
      const load = async (given: Uint8Array) => {
        vi.advanceTimersByTime(2 * interval);
        rest.answers.set(uri, given);
        await source.prepare(leaf.certificate, authority.certificate, owner, signedBy());
      };
      const statusBy = (signers: SignerWeights) =>
        source.answer(leaf.certificate, authority.certificate, Date.now(), signers);
      return { load, statusBy, status: (...signers: Written[]) => statusBy(signedBy(...signers)) };
    }

    it('counts only while its signer does', async () => {
      const { load, status } = startWith(forLists);
      await load(byOther());
      expect(status(forLists)).toMatchObject({ state: 'good' });
      expect(status()).toMatchObject({
        state: 'unknown',
        code: 'wrong_signer',
        why: expect.stringContaining('another certificate'),
      });
    });

    it('revokes, and is no proof, if its signer counts for revocations alone', async () => {
      const revocations = { weightOf: () => 'revocations' as const };
      const { load, statusBy } = startWith(forLists);
      await load(byOther());
      expect(statusBy(revocations)).toMatchObject({
        state: 'unknown',
        code: 'wrong_signer',
        why: expect.stringContaining('another certificate'),
      });
      await load(list());
      expect(statusBy(revocations)).toMatchObject({ state: 'good' });
      await load(byOther({ revoked: [[7]], thisUpdate: Date.now() }));
      expect(statusBy(revocations)).toMatchObject({ state: 'revoked' });
    });

    it('takes no place of one by the key of the issuer', async () => {
      const { load, status } = startWith(forLists);
      await load(list({ revoked: [[7]] }));
      await load(byOther({ thisUpdate: Date.now() }));
      // Whether its signer counts or not.
      expect(status()).toMatchObject({ state: 'revoked' });
      expect(status(forLists)).toMatchObject({ state: 'revoked' });
      await load(list({ thisUpdate: Date.now() }));
      expect(status()).toMatchObject({ state: 'good' });
    });

    it('revokes next to one by the key of the issuer', async () => {
      const { load, status } = startWith(forLists);
      await load(list());
      await load(byOther({ revoked: [[7]] }));
      expect(status(forLists)).toMatchObject({ state: 'revoked' });
      expect(status()).toMatchObject({ state: 'good' });
    });

    it('overrules no expired list by the key of the issuer that revokes', async () => {
      const { load, status } = startWith(forLists);
      await load(list({ revoked: [[7]], nextUpdate: Date.now() + 3 * interval }));
      vi.advanceTimersByTime(4 * interval);
      await load(byOther({ thisUpdate: Date.now(), nextUpdate: Date.now() + hour }));
      expect(status(forLists)).toMatchObject({ state: 'revoked' });
      await load(list({ thisUpdate: Date.now(), nextUpdate: Date.now() + hour }));
      expect(status(forLists)).toMatchObject({ state: 'good' });
    });

    it('counts by each certificate of its key', async () => {
      const sameKey = { ...renewed.certificate, publicKey: forLists.certificate.publicKey };
      const other = { certificate: sameKey, key: forLists.key } as Written;
      const { load, status } = startWith(forLists, other);
      await load(byOther());
      expect(status(other)).toMatchObject({ state: 'good' });
    });
  });

  it('that is older does not take the place of a newer one', async () => {
    const { status, load, answers } = start();
    const old = list({ thisUpdate: Date.now() - 2 * hour });
    answers.set(uri, list({ revoked: [[7]], thisUpdate: Date.now() - hour }));
    await load();
    vi.advanceTimersByTime(2 * interval);
    answers.set(uri, old);
    await load();
    expect(status()).toMatchObject({ state: 'revoked' });
    vi.advanceTimersByTime(2 * interval);
    answers.set(uri, list({ thisUpdate: Date.now() }));
    await load();
    expect(status()).toMatchObject({ state: 'good' });
  });

  describe('that revokes', () => {
    const bits = (tag: number, ...content: number[]) => der(tag, Buffer.from(content));
    const kinds: [string, Uint8Array[]][] = [
      ['about authorities alone', [issuedFor(bits(0x82, 255))]],
      ['of changes', [extension('2.5.29.27', integer(1), true)]],
      ['of another distribution point', [issuedFor(pointName('http://crl.example/other'))]],
      ['for one reason', [issuedFor(bits(0x83, 6, 0x40))]],
    ];

    it.each(kinds)('is not replaced by a newer one %s, nor is one that does not', async (_, extensions) => {
      for (const [revoked, state] of [
        [[[7]], 'revoked'],
        [[], 'good'],
      ] as const) {
        const { status, load, answers } = start();
        const parts = { nextUpdate: Date.now() + 100 * hour };
        answers.set(uri, list({ ...parts, revoked, thisUpdate: Date.now() - 60_000 }));
        await load();
        vi.advanceTimersByTime(2 * interval);
        answers.set(uri, list({ ...parts, extensions, thisUpdate: Date.now() - 30_000 }));
        await load();
        expect(status()).toMatchObject({ state });
        // The next one of its own kind takes its place.
        vi.advanceTimersByTime(2 * interval);
        const other = revoked.length > 0 ? [] : [[7]];
        answers.set(uri, list({ ...parts, revoked: other, thisUpdate: Date.now() }));
        await load();
        expect(status()).toMatchObject({ state: revoked.length > 0 ? 'good' : 'revoked' });
      }
    });

    it('stays, however many lists of other points are sent from its place', async () => {
      const { status, load, answers } = start();
      answers.set(uri, list({ revoked: [[7]], nextUpdate: Date.now() + 100 * hour }));
      await load();
      for (let number = 0; number < 12; number += 1) {
        vi.advanceTimersByTime(2 * interval);
        const extensions = [issuedFor(pointName(`http://crl.example/${number}`))];
        answers.set(uri, list({ extensions, thisUpdate: Date.now(), nextUpdate: Date.now() + hour }));
        await load();
      }
      expect(status()).toMatchObject({ state: 'revoked' });
    });

    it('stays, however many lists of changes are sent from its place', async () => {
      const { status, load, answers } = start();
      answers.set(uri, list({ revoked: [[7]], nextUpdate: Date.now() + 100 * hour }));
      await load();
      for (let number = 0; number < 12; number += 1) {
        vi.advanceTimersByTime(2 * interval);
        const extensions = [extension('2.5.29.27', integer(number), true)];
        answers.set(uri, list({ extensions, thisUpdate: Date.now(), nextUpdate: Date.now() + hour }));
        await load();
      }
      expect(status()).toMatchObject({ state: 'revoked' });
    });

    it('of changes stays until a newer complete one, or changes that remove the certificate', async () => {
      const changes = (base: number, parts: ListParts) =>
        list({ extensions: [extension('2.5.29.27', integer(base), true)], ...parts });
      const revoking = { revoked: [[7]], entryExtensions: [reason(6)] };
      const cases: [(now: number) => Uint8Array, string][] = [
        [(now) => changes(2, { thisUpdate: now }), 'revoked'],
        [(now) => changes(2, { thisUpdate: now - 2 * hour, ...revoking }), 'revoked'],
        [(now) => changes(2, { thisUpdate: now, ...revoking, entryExtensions: [reason(8)] }), 'unknown'],
        [(now) => changes(1, { thisUpdate: now }), 'unknown'],
        [(now) => list({ thisUpdate: now - 2 * hour }), 'revoked'],
        [(now) => list({ thisUpdate: now }), 'good'],
      ];
      for (const [next, state] of cases) {
        const { status, load, answers } = start();
        answers.set(uri, changes(1, { ...revoking, nextUpdate: Date.now() + 2 * hour }));
        await load();
        expect(status()).toMatchObject({ state: 'revoked' });
        vi.advanceTimersByTime(2 * interval);
        answers.set(uri, next(Date.now()));
        await load();
        expect(status()).toMatchObject({ state });
      }
    });

    it('from one URI of a point does not count once a newer one from another URI is there', async () => {
      const [one, two] = ['http://one.example/', 'http://two.example/'];
      const mirrored = at(sequence(pointName(one, two)));
      const { status, load, answers } = start();
      const nextUpdate = Date.now() + 100 * hour;
      answers.set(two, list({ revoked: [[7]], nextUpdate }));
      await load(mirrored);
      expect(status(mirrored)).toMatchObject({ state: 'revoked' });
      vi.advanceTimersByTime(2 * interval);
      answers.set(one, list({ thisUpdate: Date.now(), nextUpdate }));
      await load(mirrored);
      expect(status(mirrored)).toMatchObject({ state: 'good' });
    });

    it('in a file counts once it is open, and nothing says that the certificate is good before', async () => {
      await withFiles([list({ revoked: [[7]] })], async (crlFiles) => {
        const { source, status, load, answers } = start({ crlFiles });
        answers.set(uri, list());
        expect(status()).toMatchObject({ state: 'unknown', isPending: true });
        await load();
        expect(status()).toMatchObject({ state: 'revoked' });
        source.close();
      });
    });

    it('in a file is looked for at its URI once it has expired', async () => {
      const expired = { thisUpdate: Date.now() - 3 * hour, nextUpdate: Date.now() - 2 * hour };
      for (const [parts, isFetched] of [
        [expired, true],
        [{}, false],
      ] as const) {
        await withFiles([list({ ...parts, revoked: [[7]] })], async (crlFiles) => {
          const { source, status, load, answers, asked } = start({ crlFiles });
          await load();
          expect(status()).toMatchObject({ state: 'revoked' });
          vi.advanceTimersByTime(2 * interval);
          answers.set(uri, list({ thisUpdate: Date.now() }));
          await load();
          expect(status()).toMatchObject({ state: isFetched ? 'good' : 'revoked' });
          expect(asked.length > 0).toBe(isFetched);
          source.close();
        });
      }
    });
  });

  it.each<[string, () => Answer, string, string]>([
    ['that is not there', () => notFound, 'unreachable', 'status 404'],
    [
      'of which the server says that it is unchanged at first',
      () => 'unchanged',
      'unreachable',
      'status 304',
    ],
    [
      'that is none',
      () => Buffer.from('nothing'),
      'unreadable',
      'the revocation list http://crl.example/a: ',
    ],
    [
      'of the future',
      () => list({ thisUpdate: Date.now() + 60_000 }),
      'wrong_time',
      'its thisUpdate is in the future',
    ],
    [
      'with a wrong signature',
      () => list({ signature: Buffer.alloc(70, 1) }),
      'wrong_signer',
      'its signature is wrong',
    ],
    [
      'of another issuer',
      () => writeList(writeAuthority({ name: text(0x30, '') })),
      'wrong_signer',
      'it is of another issuer',
    ],
  ])('%s says nothing, and is reported', async (_, given, code, why) => {
    const { status, load, answers, reports } = start();
    answers.set(uri, given());
    await load();
    expect(status()).toEqual({ state: 'unknown', code, why: expect.stringContaining(why) });
    expect(reports).toEqual([expect.stringMatching(/^crl_unavailable: the revocation list http/)]);
  });

  it('of the future counts within the tolerance of clocks', async () => {
    const { status, load, answers } = start({}, 60);
    answers.set(uri, list({ thisUpdate: Date.now() + 50_000, nextUpdate: Date.now() + hour }));
    await load();
    const { until } = status() as { until: number };
    expect(Math.abs(until - Date.now() - hour - 60_000)).toBeLessThan(1_000);
  });

  it('counts until its nextUpdate', async () => {
    const { status, load, answers } = start();
    answers.set(uri, list());
    await load();
    const { until } = status() as { until: number };
    vi.setSystemTime(until);
    expect(status()).toEqual({ state: 'good', until });
    vi.setSystemTime(until + 1);
    expect(status()).toEqual({ state: 'unknown', code: 'outdated', why: 'the list about it has expired' });
  });

  it('is fetched from the next URI of its point, if one fails, of four at most', async () => {
    const uris = Array.from({ length: 6 }, (_, number) => `http://crl${number}.example/`);
    const many = at(sequence(pointName(...uris)));
    const first = start();
    await first.load(many);
    expect(first.asked.map(([one]) => one)).toEqual(uris.slice(0, 4));
    const second = start();
    second.answers.set(uris[1] as string, list());
    await second.load(many);
    expect(second.asked.map(([one]) => one)).toEqual(uris.slice(0, 2));
    expect(second.status(many)).toMatchObject({ state: 'good' });
    // Nothing to wait for: the first failed just now, the second is there.
    expect(second.load(many)).toBeUndefined();
  });

  it('is fetched for each point, eight at most, since each may be about other reasons', async () => {
    const uris = Array.from({ length: 10 }, (_, number) => `http://crl${number}.example/`);
    const many = at(...uris.map((one) => point(one)));
    const { load, asked } = start();
    await load(many);
    expect(asked.map(([one]) => one)).toEqual(uris.slice(0, 8));
  });

  it('of some reasons needs others for the rest', async () => {
    const [some, rest] = ['http://crl.example/some', 'http://crl.example/rest'];
    const flags = (unused: number, ...bytes: number[]) => der(0x83, Buffer.from([unused, ...bytes]));
    const both = at(point(some), point(rest));
    const of = (one: string, reasons: Buffer) => list({ extensions: [issuedFor(pointName(one), reasons)] });
    const { status, load, answers } = start();
    answers.set(some, of(some, flags(6, 0x40)));
    await load(both);
    expect(status(both)).toMatchObject({ state: 'unknown', why: expect.stringContaining('status 404') });
    const complete = start();
    complete.answers.set(some, of(some, flags(6, 0x40)));
    complete.answers.set(rest, of(rest, flags(7, 0x3f, 0x80)));
    await complete.load(both);
    expect(complete.status(both)).toMatchObject({ state: 'good' });
  });

  it('of another point is not about the certificate', async () => {
    const { status, load, answers } = start();
    answers.set(uri, list({ extensions: [issuedFor(pointName('http://crl.example/other'))] }));
    await load();
    expect(status()).toEqual({
      state: 'unknown',
      code: 'form_not_supported',
      why: 'no list is about it for every reason',
    });
  });

  it('is not looked for where a certificate names none', () => {
    const { status, load, asked } = start();
    const silent = writeCertificate({ issuer: authority });
    expect(load(silent)).toBeUndefined();
    expect(status(silent)).toMatchObject({
      code: 'not_published',
      why: expect.stringContaining('names no revocation list'),
    });
    expect(asked).toEqual([]);
  });

  it('is dropped for newer ones, where all take more than sixteen times the size of one', async () => {
    const bytes = list();
    const certificates = Array.from({ length: 40 }, (_, number) => at(point(`${uri}/${number}`)));
    const { status, load, answers } = start({ maxSize: bytes.length });
    for (const [number, certificate] of certificates.entries()) {
      answers.set(`${uri}/${number}`, bytes);
      await load(certificate);
    }
    const good = certificates.filter((certificate) => status(certificate).state === 'good').length;
    expect(good).toBeGreaterThan(8);
    expect(good).toBeLessThanOrEqual(16);
    expect(status(certificates[39])).toMatchObject({ state: 'good' });
  });

  it('is forgotten with the source', async () => {
    const { source, status, load, answers } = start();
    answers.set(uri, list());
    await load();
    source.close();
    expect(status()).toMatchObject({ state: 'unknown' });
  });
});
