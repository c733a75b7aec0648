import { createHash, createPrivateKey } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import {
  createStatusChecker,
  type StatusChecker,
} from '../../../packages/core/src/certificate-status/status-checker.js';
import type { CertificateStatusSettings } from '../../../packages/core/src/certificate-status/status-options.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { close, listen } from '../../support/loopback.js';
import { type Issued, OpensslAuthority } from '../../support/openssl-authority.js';
import { describeReal } from '../../support/programs.js';
import { defaultSettings, writeList } from '../../support/written-status.js';

describeReal('openssl', 'with authorities that openssl keeps', () => {
  let server: Server;
  let origin: string;
  let root: OpensslAuthority;
  let authority: OpensslAuthority;
  let stranger: OpensslAuthority;
  let client: Issued;
  let pointedAt: (name: string) => readonly string[];
  /** What is asked for, and answers to it by path; `ocsp` gets the request. */
  const asked: string[] = [];
  let lists: Record<string, Buffer>;
  let ocsp: (request: Buffer) => Buffer;
  let statusChecker: StatusChecker;
  const problems: string[] = [];

  beforeAll(async () => {
    server = createServer(async (req, res) => {
      asked.push(`${req.method} ${req.url}`);
      const body = Buffer.concat(await req.toArray());
      const answer = req.url === '/ocsp' ? ocsp(body) : lists[req.url ?? ''];
      const etag = `"${createHash('sha256')
        .update(answer ?? '')
        .digest('hex')}"`;
      if (req.headers['if-none-match'] === etag) {
        asked.push(`304 ${req.url}`);
        res.writeHead(304, { etag }).end();
        return;
      }
      res.writeHead(answer === undefined ? 404 : 200, { etag }).end(answer);
    });
    origin = `http://127.0.0.1:${await listen(server)}`;
    pointedAt = (name) => [
      `crlDistributionPoints=URI:${origin}/${name}.crl`,
      `authorityInfoAccess=OCSP;URI:${origin}/ocsp`,
    ];
    root = new OpensslAuthority('root');
    authority = new OpensslAuthority('authority', root, pointedAt('root'));
    stranger = new OpensslAuthority('authority');
    client = authority.issue('client', { extensions: pointedAt('authority') });
  });

  afterAll(async () => {
    await close(server);
    OpensslAuthority.removeAll();
  });

  beforeEach(() => {
    asked.length = 0;
    problems.length = 0;
    lists = { '/root.crl': root.list(), '/authority.crl': authority.list() };
    ocsp = (request) => authority.answer(request);
  });

  afterEach(() => statusChecker.close());

  const use = (settings: Partial<CertificateStatusSettings>): void => {
    statusChecker = createStatusChecker(
      { ...defaultSettings, origins: [origin], ...settings },
      () => 5,
      (_code, message) => problems.push(message),
    );
  };
  const pathOf = ({ certificate }: Issued): readonly PathCertificate[] => [
    certificate,
    authority.certificate,
    root.certificate,
  ];
  const find = async (issued: Issued) => {
    await statusChecker.prepare(pathOf(issued));
    return statusChecker.statusOf(pathOf(issued), Date.now());
  };
  /** A path below `authority`, which is trusted itself. */
  const findBelow = async (issued: Issued) => {
    const path = pathOf(issued).slice(0, 2);
    await statusChecker.prepare(path);
    return statusChecker.statusOf(path, Date.now());
  };

  it('lists of distribution points say good, and revoked with the reason', async () => {
    const other = authority.issue('other', { extensions: pointedAt('authority') });
    authority.revoke(other);
    lists['/authority.crl'] = authority.list();
    use({});
    expect(await find(client)).toMatchObject({ state: 'good' });
    expect(await find(other)).toMatchObject({
      state: 'revoked',
      at: 0,
      why: expect.stringContaining('keyComp'),
    });
    expect(asked.toSorted()).toEqual(['GET /authority.crl', 'GET /root.crl']);
  });

  it('a revoked authority is found', async () => {
    const below = new OpensslAuthority('below', root, pointedAt('root'));
    const its = below.issue('its', { extensions: pointedAt('below') });
    lists['/below.crl'] = below.list();
    root.revoke({
      ...its,
      serial: Buffer.from(below.certificate.serialNumber, 'hex').toString('hex').toUpperCase(),
    });
    lists['/root.crl'] = root.list();
    use({});
    const path = [its.certificate, below.certificate, root.certificate];
    await statusChecker.prepare(path);
    expect(statusChecker.statusOf(path, Date.now())).toMatchObject({ state: 'revoked', at: 1 });
  });

  it('requests at once share one fetch, and later ones wait for nothing', async () => {
    use({});
    await Promise.all(Array.from({ length: 20 }, () => find(client)));
    expect(asked).toHaveLength(2);
    expect(statusChecker.prepare(pathOf(client))).toBeUndefined();
  });

  it('a list by another authority of the same name does not count', async () => {
    lists['/authority.crl'] = stranger.list();
    use({});
    expect(await find(client)).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('signature is wrong'),
    });
    expect(problems).toEqual([expect.stringContaining(`${origin}/authority.crl`)]);
  });

  it('an expired list does not count', async () => {
    lists['/authority.crl'] = authority.list(1);
    use({});
    await find(client);
    expect(statusChecker.statusOf(pathOf(client), Date.now() + 7_000)).toMatchObject({
      state: 'unknown',
      why: 'the list about it has expired',
    });
  });

  it('lists with IssuingDistributionPoint count for their certificates', async () => {
    const withPoint = (...lines: string[]) => [`issuingDistributionPoint=critical,@idp`, '[idp]', ...lines];
    const verdicts: string[] = [];
    for (const lines of [
      [`fullname=URI:${origin}/authority.crl`],
      [`fullname=URI:${origin}/other.crl`],
      ['onlyuser=TRUE'],
      ['onlyCA=TRUE'],
      ['onlyAA=TRUE'],
      ['indirectCRL=TRUE'],
      ['onlysomereasons=keyCompromise'],
    ]) {
      lists['/authority.crl'] = authority.list(3_600, withPoint(...lines));
      use({});
      verdicts.push((await find(client)).state);
      statusChecker.close();
    }
    expect(verdicts).toEqual(['good', 'unknown', 'good', 'unknown', 'unknown', 'unknown', 'unknown']);
  });

  it('a delta list does not count as a proof', async () => {
    lists['/authority.crl'] = authority.list(3_600, ['2.5.29.27=critical,DER:020101']);
    use({});
    expect(await find(client)).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('delta list'),
    });
  });

  it('a new list is fetched in the background', async () => {
    const renewed = authority.issue('renewed', { extensions: pointedAt('authority') });
    use({ refreshInterval: 0.3 });
    expect(await find(renewed)).toMatchObject({ state: 'good' });
    const { generation } = statusChecker;
    await sleep(1_100);
    expect(asked).toContain('304 /authority.crl');
    expect(statusChecker.generation).toBe(generation);
    authority.revoke(renewed);
    lists['/authority.crl'] = authority.list();
    await vi.waitFor(
      () => {
        expect(statusChecker.prepare(pathOf(renewed))).toBeUndefined();
        expect(statusChecker.statusOf(pathOf(renewed), Date.now())).toMatchObject({ state: 'revoked' });
      },
      { timeout: 5_000 },
    );
    expect(statusChecker.generation).toBeGreaterThan(generation);
  });

  it('an old list that is repeated does not take the place of a newer one', async () => {
    const repeated = authority.issue('repeated', { extensions: pointedAt('authority') });
    const old = authority.list();
    await sleep(1_100);
    authority.revoke(repeated);
    lists['/authority.crl'] = authority.list();
    use({ refreshInterval: 0.3 });
    expect(await find(repeated)).toMatchObject({ state: 'revoked' });
    lists['/authority.crl'] = old;
    const { length } = asked;
    await vi.waitFor(
      () => {
        statusChecker.prepare(pathOf(repeated));
        expect(asked.slice(length).filter((line) => line.includes('authority')).length).toBeGreaterThan(1);
      },
      { timeout: 5_000 },
    );
    expect(await find(repeated)).toMatchObject({ state: 'revoked' });
  });

  it('files count before any URL is asked, and are read again when they change', async () => {
    const filed = authority.issue('filed', { extensions: pointedAt('authority') });
    const file = join(authority.folder, 'filed.crl');
    writeFileSync(file, authority.list());
    use({ crlFiles: [file] });
    expect(await findBelow(filed)).toMatchObject({ state: 'good' });
    expect(asked).toEqual([]);
    authority.revoke(filed);
    writeFileSync(`${file}.new`, 'half a list');
    renameSync(`${file}.new`, file);
    await vi.waitFor(
      () => expect(problems).toEqual([expect.stringContaining('can not be read again')]),
      8_000,
    );
    expect(await findBelow(filed)).toMatchObject({ state: 'good' });
    writeFileSync(`${file}.new`, authority.list());
    renameSync(`${file}.new`, file);
    await vi.waitFor(
      () =>
        expect(statusChecker.statusOf(pathOf(filed).slice(0, 2), Date.now())).toMatchObject({
          state: 'revoked',
        }),
      8_000,
    );
  });

  it('OCSP says good, revoked and unknown', async () => {
    const revoked = authority.issue('revoked', { extensions: pointedAt('authority') });
    authority.revoke(revoked, 'superseded');
    use({ by: ['ocsp'], nonce: true });
    expect(await findBelow(client)).toMatchObject({ state: 'good' });
    expect(await findBelow(revoked)).toMatchObject({
      state: 'revoked',
      why: expect.stringContaining('superseded'),
    });
    const answer = ocsp;
    ocsp = (request) => stranger.answer(request);
    const other = authority.issue('other', { extensions: pointedAt('authority') });
    expect(await findBelow(other)).toMatchObject({ state: 'unknown' });
    expect(statusChecker.prepare(pathOf(client).slice(0, 2))).toBeUndefined();
    ocsp = answer;
  });

  it('an OCSP responder that the authority authorized counts, and one without OCSPSigning does not', async () => {
    const signing = authority.issue('responder', {
      extensions: ['extendedKeyUsage=OCSPSigning', 'noCheck=ignored'],
    });
    const sibling = authority.issue('sibling', { extensions: ['extendedKeyUsage=clientAuth'] });
    const verdicts: unknown[] = [];
    for (const signer of [signing, sibling]) {
      ocsp = (request) => authority.answer(request, signer);
      use({ by: ['ocsp'] });
      verdicts.push(await findBelow(client));
      statusChecker.close();
    }
    expect(verdicts).toMatchObject([
      { state: 'good' },
      { state: 'unknown', why: expect.stringContaining('lacks the extended key usage OCSPSigning') },
    ]);
  });

  it('an OCSP answer to another request does not count where a nonce is demanded', async () => {
    let first: Buffer | undefined;
    ocsp = (request) => {
      first ??= authority.answer(request);
      return first;
    };
    use({ by: ['ocsp'], nonce: true });
    expect(await findBelow(client)).toMatchObject({ state: 'good' });
    statusChecker.close();
    use({ by: ['ocsp'], nonce: true });
    expect(await findBelow(client)).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('another nonce'),
    });
  });

  it('a list is looked for, whatever OCSP says, while an expired file revokes', async () => {
    const held = authority.issue('held', { extensions: pointedAt('authority') });
    const file = join(authority.folder, 'held.crl');
    const since = { thisUpdate: Date.now() - 3_600_000, nextUpdate: Date.now() - 1_800_000 };
    const key = createPrivateKey(readFileSync(join(authority.folder, 'key.pem')));
    const issuer = { certificate: authority.certificate, key };
    writeFileSync(file, writeList(issuer, { ...since, revoked: [[...Buffer.from(held.serial, 'hex')]] }));
    use({ by: ['ocsp', 'crl'], crlFiles: [file] });
    // A file is opened when a certificate needs a list of its issuer.
    await findBelow(authority.issue('without responder'));
    expect(await findBelow(held)).toMatchObject({ state: 'good' });
    expect(asked).toEqual(['POST /ocsp', 'GET /authority.crl']);
  });

  it('the second method is asked only if the first can not say', async () => {
    use({ by: ['ocsp', 'crl'] });
    expect(await findBelow(client)).toMatchObject({ state: 'good' });
    expect(asked).toEqual(['POST /ocsp']);
    statusChecker.close();
    asked.length = 0;
    ocsp = () => Buffer.from('no answer');
    use({ by: ['ocsp', 'crl'] });
    expect(await findBelow(client)).toMatchObject({ state: 'good' });
    expect(asked).toEqual(['POST /ocsp', 'GET /authority.crl']);
  });

  it('an old OCSP answer that is repeated does not take the place of a newer one', async () => {
    const repeated = authority.issue('repeated', { extensions: pointedAt('authority') });
    let old: Buffer | undefined;
    ocsp = (request) => {
      old = authority.answer(request);
      return old;
    };
    use({ by: ['ocsp'] });
    expect(await findBelow(repeated)).toMatchObject({ state: 'good' });
    statusChecker.close();
    await sleep(1_100);
    authority.revoke(repeated);
    ocsp = (request) => authority.answer(request);
    use({ by: ['ocsp'], refreshInterval: 0.3 });
    expect(await findBelow(repeated)).toMatchObject({ state: 'revoked' });
    ocsp = () => old ?? Buffer.alloc(0);
    asked.length = 0;
    await vi.waitFor(
      () => {
        statusChecker.prepare(pathOf(repeated).slice(0, 2));
        expect(asked.length).toBeGreaterThan(1);
      },
      { timeout: 5_000 },
    );
    expect(await findBelow(repeated)).toMatchObject({ state: 'revoked' });
  });

  it('lists take sixteen times the size of one at most: the one that was used longest ago is dropped', async () => {
    const issued = Array.from({ length: 18 }, (_, index) =>
      authority.issue(`of ${index}`, { extensions: pointedAt(`list-${index}`) }),
    );
    const list = authority.list();
    lists = Object.fromEntries(issued.map((_, index) => [`/list-${index}.crl`, list]));
    use({ maxSize: list.length });
    for (const one of issued) {
      expect(await findBelow(one)).toMatchObject({ state: 'good' });
    }
    expect(asked).toHaveLength(18);
    const [first, last] = [issued[0], issued.at(-1)];
    expect(statusChecker.prepare(pathOf(last ?? client).slice(0, 2))).toBeUndefined();
    // It is fetched again 10 seconds after the last time at the earliest.
    expect(await findBelow(first ?? client)).toMatchObject({ state: 'unknown', code: 'too_large' });
    expect(asked).toHaveLength(18);
  });

  it('a certificate that names nothing has an unknown status, at once', async () => {
    const bare = authority.issue('bare');
    use({ by: ['ocsp', 'crl'] });
    const path = pathOf(bare).slice(0, 2);
    expect(statusChecker.prepare(path)).toBeUndefined();
    expect(statusChecker.statusOf(path, Date.now())).toMatchObject({ state: 'unknown', at: 0 });
  });

  it('a URL of a certificate that leads to this host is not asked without origins', async () => {
    use({ origins: undefined });
    expect(await find(client)).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('name its origin'),
    });
    expect(asked).toEqual([]);
  });
});
