// Lists that another key of the authority has signed (RFC 5280 §6.3.3 (f)): one for lists alone, and no other.
import { describe, expect, it } from 'vitest';
import { createStatusChecker } from '../../../packages/core/src/certificate-status/status-checker.js';
import { CrlSigners } from '../../../packages/core/src/chain/crl-signers.js';
import {
  type CertificatesBySubject,
  groupBySubject,
} from '../../../packages/core/src/chain/path-building.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { bits, commonName, extension } from '../../support/written-der.js';
import {
  defaultSettings,
  hour,
  issuedFor,
  statusByLists,
  type Written,
  withFiles,
  writeAuthority,
  writeCertificate,
  writeList,
} from '../../support/written-status.js';

/** keyCertSign is 4, cRLSign is 2. */
const usage = (flags: number) => extension('2.5.29.15', bits(Buffer.from([flags]), 1), true);
const forLists = [usage(0x02)];
const forBoth = [usage(0x06)];

const root = writeAuthority({ name: commonName('root'), extensions: forBoth });
const authority = writeAuthority({ issuer: root, serial: [7], extensions: forBoth });
const leaf = writeCertificate({ issuer: authority, serial: [9] });
const path = [leaf, authority, root];
const rolled = writeAuthority({ issuer: root, serial: [8], extensions: forLists });
const byRolled = writeList(authority, { signer: rolled });
const ofRoot = writeList(root);

const statusBy = (
  configured: readonly Written[],
  lists: readonly Buffer[] = [ofRoot, byRolled],
  ofPath: readonly Written[] = path,
  anchors?: readonly Written[],
) => statusByLists(ofPath, lists, 0, configured, anchors);

describe('a list by another key of the authority', () => {
  it('counts if its certificate is configured, valid and not revoked', async () => {
    expect(await statusBy([rolled])).toMatchObject({ state: 'good' });
    expect(await statusBy([])).toMatchObject({
      state: 'unknown',
      at: 0,
      code: 'wrong_signer',
      why: 'its signature is wrong',
    });
  });

  it('revokes', async () => {
    const revoking = writeList(authority, { signer: rolled, revoked: [[9]] });
    expect(await statusBy([rolled], [ofRoot, revoking])).toMatchObject({ state: 'revoked', at: 0 });
    // Next to a list by the key of the issuer that does not.
    const lists = [ofRoot, writeList(authority), revoking];
    expect(await statusBy([rolled], lists)).toMatchObject({ state: 'revoked', at: 0 });
    expect(await statusBy([], lists)).toMatchObject({ state: 'good' });
  });

  it('counts for as long as the certificate of its key is valid', async () => {
    const end = Date.now() + 60_000;
    const short = writeAuthority({ issuer: root, serial: [8], extensions: forLists, notAfter: end });
    const found = await statusBy([short], [ofRoot, writeList(authority, { signer: short })]);
    expect(found).toMatchObject({ state: 'good' });
    expect(found.validUntil).toBeLessThanOrEqual(end);
  });

  it('counts if the key issued by the authority itself is the signer, whose status a list of its own says', async () => {
    // Self-issued: the key of the certificates signed it.
    const selfIssued = writeAuthority({ issuer: authority, serial: [5], extensions: forLists });
    const byLists = writeList(authority, { signer: selfIssued, extensions: [] });
    expect(await statusBy([selfIssued], [ofRoot, byLists])).toMatchObject({ state: 'unknown', at: 0 });
    expect(await statusBy([selfIssued], [ofRoot, byLists, writeList(authority)])).toMatchObject({
      state: 'good',
    });
  });

  it('counts if the authority above has a key for lists alone, too', async () => {
    // The list about the key for lists of the authority is by the key for lists of the one above.
    const above = writeAuthority({
      name: commonName('above'),
      issuer: root,
      serial: [21],
      extensions: forLists,
    });
    const newAbove = writeAuthority({
      name: commonName('above'),
      issuer: root,
      serial: [22],
      extensions: forBoth,
    });
    const own = writeAuthority({ issuer: newAbove, serial: [23], extensions: forBoth });
    const newOwn = writeAuthority({ issuer: newAbove, serial: [24], extensions: forLists });
    const below = writeCertificate({ issuer: own, serial: [25] });
    const lists = (...revoked: number[][]) => [
      ofRoot,
      writeList(newAbove, { signer: above, revoked }),
      writeList(own, { signer: newOwn }),
    ];
    const ofPath = [below, own, newAbove, root];
    expect(await statusBy([above, newAbove, newOwn], lists(), ofPath)).toMatchObject({ state: 'good' });
    expect(await statusBy([above, newAbove, newOwn], lists([24]), ofPath)).toMatchObject({
      state: 'unknown',
      at: 0,
    });
    expect(await statusBy([newAbove, newOwn], lists(), ofPath)).toMatchObject({ state: 'unknown', at: 0 });
  });

  it('is about what its scope says', async () => {
    const other = Buffer.from([0x82, 0x01, 0xff]);
    const ofAuthorities = writeList(authority, { signer: rolled, extensions: [issuedFor(other)] });
    expect(await statusBy([rolled], [ofRoot, ofAuthorities])).toMatchObject({ state: 'unknown' });
  });
});

describe('what a list by a key for lists alone revokes is revoked', () => {
  const revoking = (signer = rolled) => writeList(authority, { signer, revoked: [[9]] });
  const own = writeList(authority);
  const otherRoot = writeAuthority({ name: commonName('other root'), extensions: forBoth });
  const crossed = writeAuthority({ issuer: otherRoot, serial: [7], keyOf: authority, extensions: forBoth });
  const ofOtherRoot = writeList(otherRoot);

  it('whichever trust anchor the client chose, and nothing else follows from the list there', async () => {
    const statusCrossed = (...lists: readonly Buffer[]) =>
      statusBy([rolled], [ofRoot, ofOtherRoot, ...lists], [leaf, crossed, otherRoot], [root, otherRoot]);
    expect(await statusCrossed(own)).toMatchObject({ state: 'good' });
    expect(await statusCrossed(own, revoking())).toMatchObject({ state: 'revoked', at: 0 });
    expect(await statusCrossed(byRolled)).toMatchObject({ state: 'unknown', at: 0, code: 'wrong_signer' });
  });

  it('while the status of its certificate is unknown, and nothing else follows from the list', async () => {
    expect(await statusBy([rolled], [own, revoking()])).toMatchObject({ state: 'revoked', at: 0 });
    expect(await statusBy([rolled], [byRolled])).toMatchObject({ state: 'unknown', at: 0 });
    // The certificate of the authority was issued by another key of the root, which has a list.
    const renewedRoot = writeAuthority({ name: commonName('root'), extensions: forBoth });
    const renewed = writeAuthority({
      issuer: renewedRoot,
      serial: [7],
      keyOf: authority,
      extensions: forBoth,
    });
    const status = (...lists: readonly Buffer[]) =>
      statusBy(
        [rolled],
        [writeList(renewedRoot), own, ...lists],
        [leaf, renewed, renewedRoot],
        [root, renewedRoot],
      );
    expect(await status()).toMatchObject({ state: 'good' });
    expect(await status(revoking())).toMatchObject({ state: 'revoked', at: 0 });
  });

  it('also if another signer of unknown status revokes its certificate', async () => {
    const another = writeAuthority({
      name: commonName('root'),
      issuer: root,
      serial: [41],
      extensions: forLists,
    });
    const lists = [writeList(root, { signer: another, revoked: [[8]] }), own, revoking()];
    expect(await statusBy([rolled, another], lists)).toMatchObject({ state: 'revoked', at: 0 });
    // Its status is known now: that the signer is revoked, too.
    expect(await statusBy([rolled, another], [ofRoot, ...lists])).toMatchObject({ state: 'good' });
    // On a path to another trust anchor, too.
    const crossedPath = [leaf, crossed, otherRoot];
    expect(
      await statusBy([rolled, another], [ofRoot, ofOtherRoot, ...lists], crossedPath, [root, otherRoot]),
    ).toMatchObject({ state: 'good' });
  });

  it.each<[string, Written, Buffer]>([
    ['is revoked', rolled, writeList(root, { revoked: [[8]] })],
    [
      'has expired',
      writeAuthority({ issuer: root, serial: [8], extensions: forLists, notAfter: Date.now() - 1_000 }),
      ofRoot,
    ],
    [
      'has no path to a trust anchor',
      writeAuthority({ issuer: writeAuthority({ name: commonName('root') }), extensions: forLists }),
      ofRoot,
    ],
    ['signs certificates too', writeAuthority({ issuer: root, serial: [8], extensions: forBoth }), ofRoot],
  ])('unless its certificate %s', async (_title, signer, ofAnchor) => {
    const lists = [ofAnchor, own, revoking(signer)];
    expect(await statusBy([signer], lists)).toMatchObject({ state: 'good' });
    const crossedPath = [leaf, crossed, otherRoot];
    expect(await statusBy([signer], [...lists, ofOtherRoot], crossedPath, [root, otherRoot])).toMatchObject({
      state: 'good',
    });
  });

  it('while the list about its certificate is still being read', async () => {
    const lists = [ofRoot, own, revoking(belowUpper), writeList(upper, { revoked: [[12]] })];
    const current = {
      authorities: groupBySubject([root.certificate]),
      intermediates: groupBySubject([belowUpper, upper].map(({ certificate }) => certificate)),
      generation: 1,
    };
    const known = new CrlSigners(() => current);
    let isPathKnown = false;
    const crlSigners = {
      get generation() {
        return isPathKnown ? 2 : 1;
      },
      othersOf: (issuer: PathCertificate) => known.othersOf(issuer),
      pathOf: (...of: Parameters<CrlSigners['pathOf']>) => (isPathKnown ? known.pathOf(...of) : undefined),
      anyPathOf: () => undefined,
    };
    await withFiles(lists, async (crlFiles) => {
      const statusChecker = createStatusChecker(
        { ...defaultSettings, crlFiles },
        () => 0,
        () => undefined,
        { crlSigners },
      );
      const certificates = path.map(({ certificate }) => certificate);
      // Opens the lists of the issuers of this path alone.
      await statusChecker.prepare(certificates);
      expect(statusChecker.statusOf(certificates, Date.now())).toMatchObject({ state: 'good' });
      isPathKnown = true;
      expect(statusChecker.statusOf(certificates, Date.now())).toMatchObject({ state: 'revoked', at: 0 });
      await statusChecker.prepare(certificates);
      expect(statusChecker.statusOf(certificates, Date.now())).toMatchObject({ state: 'good' });
      statusChecker.close();
    });
  });
});

const foreignRoot = writeAuthority({ name: commonName('root'), extensions: forBoth });
const upper = writeAuthority({ name: commonName('upper'), issuer: root, serial: [11], extensions: forBoth });
const belowUpper = writeAuthority({ issuer: upper, serial: [12], extensions: forLists });

describe('a status is unknown if the certificate of the other key', () => {
  it.each<[string, Written, Written[]]>([
    ['has no key usage', writeAuthority({ issuer: root, serial: [8] }), []],
    [
      // Its list may be about the certificates of its own key alone.
      'signs certificates too',
      writeAuthority({ issuer: root, serial: [8], extensions: forBoth }),
      [],
    ],
    [
      'may not sign lists by its key usage',
      writeAuthority({ issuer: root, serial: [8], extensions: [usage(0x04)] }),
      [],
    ],
    [
      'has expired',
      writeAuthority({ issuer: root, serial: [8], extensions: forLists, notAfter: Date.now() - 1_000 }),
      [],
    ],
    ['is of another root', writeAuthority({ extensions: forLists }), []],
    [
      'is below another root of the same name',
      writeAuthority({ issuer: foreignRoot, serial: [8], extensions: forLists }),
      [foreignRoot],
    ],
    [
      'has another name',
      writeAuthority({ name: commonName('stranger'), issuer: root, serial: [8], extensions: forLists }),
      [],
    ],
    [
      'is of a client of the authority',
      writeCertificate({ name: commonName('authority'), issuer: leaf, serial: [8], extensions: forLists }),
      [leaf],
    ],
    ['is below an authority that is not configured', belowUpper, []],
    ['is below an authority of unknown status', belowUpper, [upper]],
  ])('%s', async (_title, signer, more) => {
    const lists = [ofRoot, writeList(authority, { signer })];
    expect(await statusBy([signer, ...more], lists)).toMatchObject({ state: 'unknown', at: 0 });
  });

  it('is below another authority whose list is missing, and not if it is there', async () => {
    const lists = [ofRoot, writeList(authority, { signer: belowUpper }), writeList(upper)];
    expect(await statusBy([belowUpper, upper], lists)).toMatchObject({ state: 'good' });
  });

  it('is revoked', async () => {
    const lists = [writeList(root, { revoked: [[8]] }), byRolled];
    expect(await statusBy([rolled], lists)).toMatchObject({ state: 'unknown', at: 0 });
  });

  it('is not revoked according to a list that it signed itself alone', async () => {
    // Two keys that vouch for each other, and no list of the root.
    const second = writeAuthority({ issuer: authority, serial: [5], extensions: forLists });
    expect(await statusBy([second], [ofRoot, writeList(authority, { signer: second })])).toMatchObject({
      state: 'unknown',
      at: 0,
    });
  });

  it('is said to be good by the list of another new key alone, which depends on it', async () => {
    // Each of them has signed the list that is about the other one.
    const first = writeAuthority({ issuer: authority, serial: [31], extensions: forLists });
    const second = writeAuthority({ issuer: authority, serial: [32], extensions: forLists });
    const lists = [ofRoot, writeList(authority, { signer: first }), writeList(authority, { signer: second })];
    expect(await statusBy([first, second], lists)).toMatchObject({ state: 'unknown', at: 0 });
  });

  it('was signed with another key than that of its issuer', async () => {
    const forged = writeAuthority({
      issuer: { ...root, key: foreignRoot.key },
      serial: [8],
      extensions: forLists,
    });
    const lists = [ofRoot, writeList(authority, { signer: forged })];
    expect(await statusBy([forged], lists)).toMatchObject({ state: 'unknown', at: 0 });
  });
});

describe('eight keys for lists alone on each of three levels', () => {
  const middle = writeAuthority({
    name: commonName('middle'),
    issuer: root,
    serial: [2],
    extensions: forBoth,
  });
  const lower = writeAuthority({
    name: commonName('lower'),
    issuer: middle,
    serial: [3],
    extensions: forBoth,
  });
  const levels = [
    { name: 'root', of: root, issuer: root },
    { name: 'middle', of: middle, issuer: root },
    { name: 'lower', of: lower, issuer: middle },
  ].map(({ name, of, issuer }, level) => ({
    of,
    signers: Array.from({ length: 8 }, (_, at) =>
      writeAuthority({
        name: commonName(name),
        issuer,
        serial: [16 * (level + 1) + at],
        extensions: forLists,
      }),
    ),
  }));
  const signers = levels.flatMap((level) => level.signers);
  const own = levels.map(({ of }) => writeList(of));
  const byAll = levels.flatMap(({ of, signers: all }) => all.map((signer) => writeList(of, { signer })));

  /** Asks for the status of ten clients. Returns the states, and how many paths of signers were looked at. */
  const ask = (lists: readonly Buffer[]) =>
    withFiles(lists, async (crlFiles) => {
      let paths = 0;
      const current = {
        authorities: groupBySubject([root.certificate]),
        intermediates: groupBySubject([middle, lower, ...signers].map(({ certificate }) => certificate)),
        generation: 1,
      };
      const crlSigners = new CrlSigners(() => current);
      const statusChecker = createStatusChecker(
        { ...defaultSettings, crlFiles },
        () => 0,
        () => undefined,
        {
          crlSigners: {
            generation: 1,
            othersOf: (issuer) => crlSigners.othersOf(issuer),
            pathOf: (...of) => {
              paths += 1;
              return crlSigners.pathOf(...of);
            },
            anyPathOf: (...of) => {
              paths += 1;
              return crlSigners.anyPathOf(...of);
            },
          },
        },
      );
      const states = new Set<string>();
      let firstPaths = 0;
      for (let serial = 100; serial < 110; serial += 1) {
        const client = writeCertificate({ issuer: lower, serial: [serial] });
        const below = [client, lower, middle, root].map(({ certificate }) => certificate);
        await statusChecker.prepare(below);
        paths = 0;
        states.add(statusChecker.statusOf(below, Date.now()).state);
        firstPaths ||= paths;
      }
      statusChecker.close();
      return { states: [...states], paths, firstPaths };
    });

  it('are not looked at if they have signed no list', async () => {
    expect(await ask(own)).toEqual({ states: ['good'], paths: 0, firstPaths: 0 });
  });

  it('are looked at once for all clients', async () => {
    const found = await ask([...own, ...byAll]);
    expect(found.states).toEqual(['good']);
    expect(found.paths).toBe(0);
  });
});

describe('CrlSigners', () => {
  const use = (configured: readonly Written[], generation = 1) => {
    const current = {
      authorities: groupBySubject([root.certificate]) as CertificatesBySubject,
      intermediates: groupBySubject(configured.map(({ certificate }) => certificate)) as
        | CertificatesBySubject
        | undefined,
      generation,
    };
    return { current, signers: new CrlSigners(() => current) };
  };

  it('names at most eight certificates, none with the key of the issuer', () => {
    const many = Array.from({ length: 9 }, () => writeAuthority({ issuer: root, extensions: forLists }));
    const { signers } = use([authority, ...many]);
    const found = signers.othersOf(authority.certificate);
    expect(found).toEqual(many.slice(0, 8).map(({ certificate }) => certificate));
  });

  it('finds a path to any of the trust anchors, and no other', () => {
    const { signers, current } = use([rolled]);
    const find = () => signers.anyPathOf(rolled.certificate, Date.now());
    expect(find()?.path).toEqual([rolled.certificate, root.certificate]);
    current.authorities = groupBySubject([foreignRoot.certificate]);
    current.generation = 2;
    expect(find()).toBeUndefined();
  });

  it('keeps a path until it ends, or the certificates change', () => {
    const { signers, current } = use([rolled]);
    const find = (at = Date.now()) => signers.pathOf(rolled.certificate, root.certificate, at);
    const found = find();
    expect(found?.path.map(({ thumbprint }) => thumbprint)).toEqual(
      [rolled, root].map(({ certificate }) => certificate.thumbprint),
    );
    expect(find()).toBe(found);
    expect(find(Date.now() + 30 * hour)).toBeUndefined();
    current.generation = 2;
    expect(find()).not.toBe(found);
    expect(find()).toEqual(found);
    current.authorities = new Map();
    current.generation = 3;
    // The anchor is that of the path, whatever else is configured.
    expect(find()).toEqual(found);
    expect(signers.pathOf(rolled.certificate, foreignRoot.certificate, Date.now())).toBeUndefined();
  });

  it('looks again for a path that there was not', () => {
    const { signers, current } = use([belowUpper]);
    const find = (at = Date.now()) => signers.pathOf(belowUpper.certificate, root.certificate, at);
    expect(find()).toBeUndefined();
    current.intermediates = groupBySubject([belowUpper.certificate, upper.certificate]);
    expect(find()).toBeUndefined();
    expect(find(Date.now() + 61_000)?.path).toHaveLength(3);
  });
});
