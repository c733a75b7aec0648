import { describe, expect, it } from 'vitest';
import { openCrl, readCrlHead } from '../../../packages/core/src/certificate-status/crl.js';
import {
  bits,
  commonName,
  der,
  extension,
  identifier,
  integer,
  sequence,
  text,
} from '../../support/written-der.js';
import {
  ecdsaSha256,
  hour,
  issuedFor,
  type ListParts,
  pem,
  point,
  pointName,
  pointsAt,
  reason,
  statusByLists,
  type Written,
  writeAuthority,
  writeCertificate,
  writeList,
} from '../../support/written-status.js';

const root = writeAuthority({ name: commonName('root') });
const authority = writeAuthority({ issuer: root, serial: [7] });
const leaf = writeCertificate({ issuer: authority, serial: [0x00, 0x9c, 0x01] });
const uri = 'http://127.0.0.1:1/a.crl';
const pointed = writeCertificate({ issuer: authority, serial: [5], extensions: [pointsAt(point(uri))] });
const path = [leaf, authority, root];
const ofRoot = writeList(root);

const statusWith = (parts: ListParts, ofPath: readonly Written[] = path) =>
  statusByLists(ofPath, [ofRoot, writeList(authority, parts)]);

describe('by revocation lists, a path', () => {
  it('is good if no list names a certificate of it', async () => {
    expect(await statusWith({ revoked: [[1], [0x9c, 0x01]] })).toMatchObject({ state: 'good' });
    expect(await statusWith({ revoked: [] })).toMatchObject({ state: 'good' });
  });

  it('is good until the first list expires, and for the refresh interval at most', async () => {
    const { validUntil } = await statusWith({ nextUpdate: Date.now() + 100_000 });
    expect(validUntil).toBeGreaterThan(Date.now() + 95_000);
    expect(validUntil).toBeLessThanOrEqual(Date.now() + 100_000);
    expect((await statusWith({})).validUntil).toBeLessThanOrEqual(Date.now() + 300_000);
  });

  it.each([
    ['without a reason', [], 'unspecified'],
    ['with a reason', [reason(1)], 'keyCompromise'],
    ['on hold', [reason(6)], 'certificateHold'],
    ['with removeFromCRL, which complete lists do not have', [reason(8)], 'removeFromCRL'],
    ['with other extensions before the reason', [extension('1.2.3', integer(1)), reason(4)], 'superseded'],
  ])('is revoked if a list names the client certificate %s', async (_title, entryExtensions, why) => {
    const found = await statusWith({ revoked: [[9], [0x00, 0x9c, 0x01]], entryExtensions });
    expect(found).toMatchObject({ state: 'revoked', at: 0, why: expect.stringContaining(why) });
  });

  it('is revoked if the list of the root names the authority', async () => {
    const lists = [writeList(root, { revoked: [[7]] }), writeList(authority)];
    expect(await statusByLists(path, lists)).toMatchObject({ state: 'revoked', at: 1 });
  });

  it('is revoked also if the status of another certificate is unknown', async () => {
    expect(await statusByLists(path, [writeList(root, { revoked: [[7]] })])).toMatchObject({
      state: 'revoked',
      at: 1,
    });
  });

  it('compares serial numbers as numbers', async () => {
    expect(await statusWith({ revoked: [[0x00, 0x00, 0x9c, 0x01]] })).toMatchObject({ state: 'revoked' });
    const negative = writeCertificate({ issuer: authority, serial: [0x9c] });
    const found = await Promise.all(
      [
        [0xff, 0x9c],
        [0x00, 0x9c],
      ].map((serial) => statusWith({ revoked: [serial] }, [negative, authority, root])),
    );
    expect(found).toMatchObject([{ state: 'revoked' }, { state: 'good' }]);
  });

  it('reads PEM with several lists, and names in another spelling', async () => {
    const both = pem(ofRoot) + pem(writeList(authority, { issuerName: commonName('Authority', 0x13) }));
    expect(await statusByLists(path, [both])).toMatchObject({ state: 'good' });
  });

  it.each(['rsa', 'ed25519'] as const)('verifies signatures by %s', async (key) => {
    const other = writeAuthority({ key });
    const its = writeCertificate({ issuer: other, serial: [3] });
    expect(await statusByLists([its, other], [writeList(other)])).toMatchObject({ state: 'good' });
    const signature = Buffer.alloc(key === 'rsa' ? 256 : 64, 1);
    expect(await statusByLists([its, other], [writeList(other, { signature })])).toMatchObject({
      state: 'unknown',
      why: 'its signature is wrong',
    });
  });

  it('needs no status of the trust anchor', async () => {
    expect(await statusByLists([authority], [])).toMatchObject({ state: 'good' });
  });
});

const stranger = writeAuthority({ name: commonName('stranger') });
const sameName = writeAuthority();

const unusable: [string, ListParts, string, string][] = [
  ['has expired', { nextUpdate: Date.now() - 60_000 }, 'outdated', 'has expired'],
  ['is not valid yet', { thisUpdate: Date.now() + hour }, 'wrong_time', 'not valid yet'],
  ['is of another issuer', { issuerName: commonName('stranger') }, 'not_published', 'no file has one'],
  ['is signed by another key', { signer: stranger }, 'wrong_signer', 'its signature is wrong'],
  [
    'is signed by another authority of the same name',
    { signer: sameName },
    'wrong_signer',
    'its signature is wrong',
  ],
  ['has a wrong signature', { signature: Buffer.alloc(70, 1) }, 'wrong_signer', 'its signature is wrong'],
  [
    'is signed with SHA-1',
    { innerAlgorithm: sequence(identifier('1.2.840.10045.4.1')) },
    'unreadable',
    'its signature algorithm is not accepted',
  ],
  [
    'names an algorithm for another type of key',
    { innerAlgorithm: sequence(identifier('1.2.840.113549.1.1.11'), der(0x05)) },
    'unreadable',
    'does not fit the key',
  ],
  [
    'is a delta list',
    { extensions: [extension('2.5.29.27', integer(1), true)] },
    'form_not_supported',
    'it is a delta list, which is not supported',
  ],
  [
    'is an indirect list',
    { extensions: [issuedFor(text(0x84, '\xff'))] },
    'form_not_supported',
    'it is an indirect list',
  ],
  [
    'has an entry of another issuer',
    { revoked: [[1]], entryExtensions: [extension('2.5.29.29', sequence(), true)] },
    'form_not_supported',
    'it is an indirect list',
  ],
  [
    'has a critical extension that is not known',
    { extensions: [extension('1.2.3', integer(1), true)] },
    'unreadable',
    'critical extension that is not known',
  ],
  [
    'has an entry with a critical extension that is not known',
    { revoked: [[1]], entryExtensions: [extension('2.5.29.99', integer(1), true)] },
    'unreadable',
    'an entry of it has a critical extension',
  ],
  [
    'has an extension twice',
    { extensions: [reason(1), reason(1)] },
    'unreadable',
    'its extensions can not be read',
  ],
  [
    'is about authorities alone',
    { extensions: [issuedFor(text(0x82, '\xff'))] },
    'form_not_supported',
    'no list is about it',
  ],
  [
    'is about attribute certificates',
    { extensions: [issuedFor(text(0x85, '\xff'))] },
    'form_not_supported',
    'attribute certificates',
  ],
  [
    'is of another distribution point',
    { extensions: [issuedFor(pointName(uri))] },
    'form_not_supported',
    'no list is about it',
  ],
  [
    'is about some reasons alone',
    { extensions: [issuedFor(der(0x83, Buffer.from([1, 0b0110_0000])))] },
    'form_not_supported',
    'no list is about it for every reason',
  ],
  [
    'is about users and authorities alone, at once',
    { extensions: [issuedFor(text(0x81, '\xff'), text(0x82, '\xff'))] },
    'unreadable',
    'contradicts itself',
  ],
  ['has an unknown scope', { extensions: [issuedFor(text(0x8a, '\xff'))] }, 'unreadable', 'can not be read'],
];

describe('a status is unknown if the list', () => {
  it.each(unusable)('%s', async (_title, parts, code, why) => {
    expect(await statusWith(parts)).toMatchObject({
      state: 'unknown',
      at: 0,
      code,
      why: expect.stringContaining(why),
    });
  });

  it('is missing', async () => {
    expect(await statusByLists(path, [ofRoot])).toMatchObject({ state: 'unknown', at: 0 });
  });

  it('is signed by an issuer whose key usage lacks cRLSign', async () => {
    const usage = (flags: number) => extension('2.5.29.15', bits(Buffer.from([flags]), 1), true);
    const verdicts = [0x04, 0x06].map((flags) => {
      const issuer = writeAuthority({ extensions: [usage(flags)] });
      return statusByLists([writeCertificate({ issuer, serial: [3] }), issuer], [writeList(issuer)]);
    });
    expect(await Promise.all(verdicts)).toMatchObject([
      { state: 'unknown', code: 'wrong_signer', why: expect.stringContaining('cRLSign') },
      { state: 'good' },
    ]);
  });
});

describe('a list by the key of an issuer whose key usage lacks cRLSign', () => {
  // The client sends this certificate of its authority, and another one for the key has cRLSign.
  const lacking = extension('2.5.29.15', bits(Buffer.from([0x04]), 1), true);
  const issuer = writeAuthority({ extensions: [lacking] });
  const ofIssuer = [writeCertificate({ issuer, serial: [3] }), issuer];
  const isOld = { nextUpdate: Date.now() - hour, thisUpdate: Date.now() - 2 * hour };

  it('revokes', async () => {
    const revoking = writeList(issuer, { revoked: [[3]] });
    expect(await statusByLists(ofIssuer, [revoking])).toMatchObject({ state: 'revoked', at: 0 });
    const old = writeList(issuer, { revoked: [[3]], ...isOld });
    expect(await statusByLists(ofIssuer, [old])).toMatchObject({ state: 'revoked', at: 0 });
    expect(await statusByLists(ofIssuer, [old, writeList(issuer)])).toMatchObject({ state: 'unknown' });
  });

  it('says nothing if its signature is wrong', async () => {
    const forged = writeList(issuer, { revoked: [[3]], signer: authority });
    expect(await statusByLists(ofIssuer, [forged])).toMatchObject({ state: 'unknown', at: 0 });
  });
});

describe('of the lists of a distribution point', () => {
  const pointedPath = [pointed, authority, root];

  it('the one of the same name counts', async () => {
    const idp = (...uris: string[]) => ({ extensions: [issuedFor(pointName(...uris))] });
    expect(await statusWith(idp('http://other.example/', uri), pointedPath)).toMatchObject({ state: 'good' });
    expect(await statusWith(idp(`${uri}x`), pointedPath)).toMatchObject({ state: 'unknown' });
  });

  it('several cover all reasons together', async () => {
    const some = (first: number, second: number) =>
      writeList(authority, { extensions: [issuedFor(der(0x83, Buffer.from([7, first, second])))] });
    const lists = [ofRoot, some(0b0110_0000, 0), some(0b0001_1111, 0b1000_0000)];
    expect(await statusByLists(path, lists)).toMatchObject({ state: 'good' });
    expect(await statusByLists(path, lists.slice(0, 2))).toMatchObject({ state: 'unknown' });
  });

  it.each<[string, number, string]>([
    ['authorities counts', 0x82, 'revoked'],
    ['users does not count', 0x81, 'unknown'],
  ])(
    'one about %s for a client whose basic constraints say that it is an authority',
    async (_title, tag, state) => {
      // Its key usage does not allow to sign certificates.
      const digitalSignature = extension('2.5.29.15', bits(Buffer.from([0x80]), 7), true);
      const client = writeCertificate({
        issuer: root,
        serial: [7],
        isAuthority: true,
        extensions: [digitalSignature],
      });
      const list = writeList(root, { extensions: [issuedFor(text(tag, '\xff'))], revoked: [[7]] });
      expect(await statusByLists([client, root], [list])).toMatchObject({ state, at: 0 });
    },
  );

  it('one about users counts for users, and one about authorities for authorities', async () => {
    const only = (tag: number) => ({ extensions: [issuedFor(text(tag, '\xff'))] });
    const lists = (users: number, authorities: number) => [
      writeList(authority, only(users)),
      writeList(root, only(authorities)),
    ];
    expect(await statusByLists(path, lists(0x81, 0x82))).toMatchObject({ state: 'good' });
    expect(await statusByLists(path, lists(0x82, 0x82))).toMatchObject({ state: 'unknown', at: 0 });
    expect(await statusByLists(path, lists(0x81, 0x81))).toMatchObject({ state: 'unknown', at: 1 });
  });

  it('a relative name continues the name of the issuer', async () => {
    const relative = (value: string) =>
      der(0xa0, der(0xa1, sequence(identifier('2.5.4.3'), text(0x0c, value))));
    const certificate = writeCertificate({
      issuer: authority,
      serial: [5],
      extensions: [pointsAt(sequence(relative('one')))],
    });
    const verdicts = ['one', 'two'].map((value) =>
      statusWith({ extensions: [issuedFor(relative(value))] }, [certificate, authority, root]),
    );
    expect(await Promise.all(verdicts)).toMatchObject([{ state: 'good' }, { state: 'unknown' }]);
  });

  it('those count that are of its first 32 names', async () => {
    const names = (from: number, to: number) =>
      pointName(...Array.from({ length: to - from }, (_, at) => `ldap://host/${from + at}`));
    const many = writeCertificate({
      issuer: authority,
      serial: [5],
      extensions: [pointsAt(sequence(names(0, 16)), sequence(names(16, 40)))],
    });
    const found = (one: number) =>
      statusWith({ extensions: [issuedFor(names(one, one + 1))] }, [many, authority, root]);
    expect(await found(31)).toMatchObject({ state: 'good' });
    expect(await found(32)).toMatchObject({
      state: 'unknown',
      code: 'too_large',
      why: 'its distribution points have more than 32 names',
    });
  });

  it('one with more than 32 names does not count', async () => {
    const names = Array.from({ length: 33 }, (_, at) => `http://host/${at}`);
    const found = await statusWith({ extensions: [issuedFor(pointName(uri, ...names))] }, pointedPath);
    expect(found).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('its IssuingDistributionPoint has more than 32 names'),
    });
  });

  it('the names take part in the size of a list', async () => {
    const sizeWith = async (...extensions: Buffer[]) => {
      const head = readCrlHead(writeList(authority, { extensions }));
      const list = 'why' in head ? head : await openCrl(head, authority.certificate);
      return 'why' in list ? Number.NaN : list.size - list.der.length;
    };
    const names = Array.from({ length: 32 }, (_, at) => `http://host/${at}`);
    const without = await sizeWith();
    expect(await sizeWith(issuedFor(pointName(...names)))).toBe(without + 32 * 128);
  });

  it('those of a point with cRLIssuer do not count', async () => {
    const listIssuer = der(0xa2, der(0xa4, commonName('another')));
    const certificate = writeCertificate({
      issuer: authority,
      serial: [5],
      extensions: [pointsAt(point(uri, listIssuer))],
    });
    const found = await statusWith({ extensions: [issuedFor(pointName(uri))] }, [
      certificate,
      authority,
      root,
    ]);
    expect(found).toMatchObject({ state: 'unknown' });
  });
});

describe('of several lists', () => {
  const on = (nextUpdate: number) => writeList(authority, { revoked: [[0x00, 0x9c, 0x01]], nextUpdate });
  const off = writeList(authority, { nextUpdate: Date.now() + 2 * hour });

  it('one that revokes wins', async () => {
    expect(await statusByLists(path, [ofRoot, off, on(Date.now() + hour)])).toMatchObject({
      state: 'revoked',
    });
  });

  it.each([
    ['newer', 1_000, 'good'],
    ['as old', 0, 'revoked'],
    ['older', -1_000, 'revoked'],
  ])('an expired one revokes, next to a current one that is %s and does not', async (_age, later, state) => {
    const thisUpdate = Date.now() - 2 * hour;
    const expired = writeList(authority, {
      revoked: [[0x00, 0x9c, 0x01]],
      thisUpdate,
      nextUpdate: Date.now() - 60_000,
    });
    const current = writeList(authority, {
      thisUpdate: thisUpdate + later,
      nextUpdate: Date.now() + 2 * hour,
    });
    expect(await statusByLists(path, [ofRoot, expired])).toMatchObject({ state: 'revoked' });
    expect(await statusByLists(path, [ofRoot, expired, current])).toMatchObject({ state });
  });

  it('an expired delta list revokes next to the base list that is older than it', async () => {
    const delta = writeList(authority, {
      extensions: [extension('2.5.29.27', integer(1), true)],
      revoked: [[0x00, 0x9c, 0x01]],
      thisUpdate: Date.now() - hour,
      nextUpdate: Date.now() - 60_000,
    });
    const base = writeList(authority, { thisUpdate: Date.now() - 3 * hour, nextUpdate: Date.now() + hour });
    expect(await statusByLists(path, [ofRoot, base, delta])).toMatchObject({ state: 'revoked' });
  });

  it('a delta list revokes, and ends no hold', async () => {
    const delta = (code: number) =>
      writeList(authority, {
        extensions: [extension('2.5.29.27', integer(1), true)],
        revoked: [[0x00, 0x9c, 0x01]],
        entryExtensions: [reason(code)],
      });
    expect(await statusByLists(path, [ofRoot, off, delta(1)])).toMatchObject({ state: 'revoked' });
    expect(await statusByLists(path, [ofRoot, off, delta(8)])).toMatchObject({ state: 'good' });
    const held = on(Date.now() + hour);
    expect(await statusByLists(path, [ofRoot, held, delta(8)])).toMatchObject({ state: 'revoked' });
  });

  it('clocks may differ by the tolerance', async () => {
    const lists = [ofRoot, writeList(authority, { nextUpdate: Date.now() - 10_000 })];
    expect(await statusByLists(path, lists, 30)).toMatchObject({ state: 'good' });
    expect(await statusByLists(path, lists, 5)).toMatchObject({ state: 'unknown' });
  });
});

describe('bytes that are no list', () => {
  const list = writeList(authority, {
    revoked: [[1], [2]],
    extensions: [extension('2.5.29.20', integer(1))],
  });

  it.each<[string, Buffer, string, string]>([
    ['nothing', Buffer.alloc(0), 'unreadable', 'not a revocation list'],
    ['text', Buffer.from('<html>'), 'unreadable', 'not a revocation list'],
    ['bytes behind it', Buffer.concat([list, Buffer.from([0])]), 'unreadable', 'not a revocation list'],
    [
      'a list without nextUpdate',
      writeList(authority, { nextUpdate: 'none' }),
      'outdated',
      'it has no nextUpdate',
    ],
    [
      'another algorithm next to the signed part',
      writeList(authority, { outerAlgorithm: sequence(identifier('1.3.101.112')) }),
      'unreadable',
      'differ',
    ],
    [
      'extensions in version 1',
      writeList(authority, { version: 1, extensions: [extension('2.5.29.20', integer(1))] }),
      'unreadable',
      'not a revocation list',
    ],
  ])('%s', (_title, bytes, code, why) => {
    expect(readCrlHead(bytes)).toEqual({ code, why: expect.stringContaining(why) });
  });

  it('a list of version 1 is one', async () => {
    expect(await statusWith({ version: 1 })).toMatchObject({ state: 'good' });
  });

  it('entries that can not be read make the list unusable', async () => {
    for (const entry of [ecdsaSha256, integer(1), sequence(integer(1)), sequence(integer(1), integer(2))]) {
      expect(await statusWith({ more: [sequence(entry)] })).toMatchObject({
        state: 'unknown',
        code: 'unreadable',
        why: 'an entry of it can not be read',
      });
    }
  });

  it('no change of a byte, and no cut, makes a good status of a wrong list, or throws', async () => {
    for (let at = 0; at < list.length; at += 1) {
      const changed = Buffer.from(list);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      for (const bytes of [changed, list.subarray(0, at)]) {
        const head = readCrlHead(bytes);
        if (!('why' in head) && at % 16 === 0) {
          expect(await statusByLists(path, [ofRoot, bytes])).not.toMatchObject({ state: 'good' });
        }
      }
    }
  });
});
