// The lists of files are opened once for a name and a key: any authority may certify the key of another one again.
import { constants } from 'node:buffer';
import { createPublicKey, ECDH, type X509Certificate } from 'node:crypto';
import { stat, statSync, utimesSync, writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { readCrlFile } from '../../../packages/core/src/certificate-status/crl-file-content.js';
import {
  CrlFiles,
  isUsable,
  type OpenedCrl,
} from '../../../packages/core/src/certificate-status/crl-files.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { stallFiles } from '../../support/stalled-files.js';
import {
  bits,
  commonName,
  der,
  extension,
  identifier,
  integer,
  sequence,
  time,
} from '../../support/written-der.js';
import {
  hour,
  issuedFor,
  type ListParts,
  pem,
  pointName,
  type Written,
  withFiles,
  writeAuthority,
  writeList,
} from '../../support/written-status.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const authority = writeAuthority();
const another = writeAuthority();
const otherKey = another.certificate;
const second = writeAuthority({ name: commonName('second') });

/** Another certificate for the name and the key of one. */
const certifiedAgain = (certificate: PathCertificate): PathCertificate => ({
  ...certificate,
  thumbprint: 'another',
});

/** The certificate with the same key, as OpenSSL also accepts it: a point on its curve that is compressed. */
function withCompressedKey(certificate: PathCertificate): PathCertificate {
  const point = certificate.publicKey.subarray(-65);
  const compressed = ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'compressed') as Buffer;
  const algorithm = sequence(identifier('1.2.840.10045.2.1'), identifier('1.2.840.10045.3.1.7'));
  return { ...certificate, publicKey: sequence(algorithm, bits(compressed)) };
}

/** The certificate with the same RSA key, as a key for PSS alone with this salt. */
function withPssKey(certificate: PathCertificate, saltLength: number): PathCertificate {
  const { publicKey } = certificate;
  const algorithm = sequence(identifier('1.2.840.113549.1.1.1'), der(0x05));
  const key = publicKey.subarray(Buffer.from(publicKey).indexOf(algorithm) + algorithm.length);
  const sha256 = sequence(identifier('2.16.840.1.101.3.4.2.1'), der(0x05));
  const parameters = sequence(
    der(0xa0, sha256),
    der(0xa1, sequence(identifier('1.2.840.113549.1.1.8'), sha256)),
    der(0xa2, integer(saltLength)),
  );
  const pss = sequence(sequence(identifier('1.2.840.113549.1.1.10'), parameters), key);
  const openssl = { publicKey: createPublicKey({ key: pss, format: 'der', type: 'spki' }) };
  return { ...certificate, publicKey: pss, x509: openssl as X509Certificate };
}

function filesAt(paths: readonly string[], maxSize = 1_000_000, clockTolerance = 0) {
  const changes = { count: 0 };
  const failures: string[] = [];
  const files = new CrlFiles({
    paths,
    option: 'crlFiles',
    maxSize,
    clockTolerance: () => clockTolerance,
    onChange: () => {
      changes.count += 1;
    },
    onFailure: (message) => failures.push(message),
  });
  return { files, changes, failures };
}

/** Writes a file with another time, and has it read. */
async function replace(path: string, content: string | Uint8Array, isRead: () => boolean): Promise<void> {
  const { mtimeMs } = statSync(path);
  writeFileSync(path, content);
  utimesSync(path, new Date(), new Date(mtimeMs + 10_000));
  vi.advanceTimersByTime(5_000);
  while (!isRead()) {
    await nextTurn();
  }
}

const tableOf = (list: OpenedCrl | undefined) =>
  list !== undefined && isUsable(list) ? list.entries : undefined;

describe('the lists of files', () => {
  it('are opened once for all certificates of a name and a key', async () => {
    await withFiles([writeList(authority, { revoked: [[1]] })], async (paths) => {
      const { files, changes } = filesAt(paths);
      const again = certifiedAgain(authority.certificate);
      await files.open(authority.certificate);
      expect(files.open(again)).toBeUndefined();
      expect(files.listsOf(again).lists).toBe(files.listsOf(authority.certificate).lists);
      expect(changes.count).toBe(1);
      files.close();
    });
  });

  it('have no table for a key in another form, which is not accepted', async () => {
    await withFiles([writeList(authority, { revoked: [[1]] })], async (paths) => {
      const { files } = filesAt(paths);
      const { certificate } = authority;
      const spelled = withCompressedKey(certificate);
      await Promise.all([files.open(certificate), files.open(spelled)]);
      const [own, other] = [certificate, spelled].map((one) => files.listsOf(one).lists[0]);
      expect(other).not.toBe(own);
      expect(tableOf(own)).toBeDefined();
      expect(tableOf(other)).toBeUndefined();
      files.close();
    });
  });

  it('are opened by an RSA key that is certified as one for PSS alone, once for all of its parameters', async () => {
    const withRsa = writeAuthority({ key: 'rsa' });
    await withFiles([writeList(withRsa, { revoked: [[7]] })], async (paths) => {
      const { files } = filesAt(paths);
      const [first, other] = [20, 32].map((saltLength) => withPssKey(withRsa.certificate, saltLength)) as [
        PathCertificate,
        PathCertificate,
      ];
      await files.open(first);
      const { lists } = files.listsOf(first);
      expect(tableOf(lists[0])?.reasonOf(Buffer.from([7]))).toBeDefined();
      for (const certificate of [withRsa.certificate, other]) {
        expect(files.open(certificate)).toBeUndefined();
        expect(files.listsOf(certificate).lists).toBe(lists);
      }
      files.close();
    });
  });

  it('are of no other key', async () => {
    await withFiles([writeList(authority)], async (paths) => {
      const { files } = filesAt(paths);
      await Promise.all([files.open(authority.certificate), files.open(otherKey)]);
      expect(files.listsOf(otherKey)).toMatchObject({ lists: [{ code: 'wrong_signer' }], isPending: false });
      expect(files.listsOf(authority.certificate).lists.every(isUsable)).toBe(true);
      files.close();
    });
  });

  it('are opened again when their file changes, and those of other files stay', async () => {
    const both = pem(writeList(authority)) + pem(writeList(second));
    await withFiles([writeList(authority, { revoked: [[1]] }), both], async (paths) => {
      const { files, changes } = filesAt(paths);
      await files.open(authority.certificate);
      const before = files.listsOf(authority.certificate).lists;
      await replace(
        paths[0] as string,
        writeList(authority, { thisUpdate: Date.now() - hour / 2 }),
        () => changes.count > 1,
      );
      const after = files.listsOf(authority.certificate).lists;
      expect([before.length, after.length]).toEqual([2, 2]);
      expect(after[0]).not.toBe(before[0]);
      expect(after[1]).toBe(before[1]);
      files.close();
    });
  });

  it('are not opened again for the keys that have signed none, until one of these is needed', async () => {
    await withFiles([writeList(authority)], async (paths) => {
      const { files, changes } = filesAt(paths);
      await Promise.all([files.open(authority.certificate), files.open(otherKey)]);
      await replace(paths[0] as string, writeList(authority, { revoked: [[1]] }), () => changes.count === 4);
      expect(files.open(authority.certificate)).toBeUndefined();
      expect(files.listsOf(otherKey)).toEqual({ lists: [], isPending: true });
      await files.open(otherKey);
      expect(files.listsOf(otherKey)).toMatchObject({ lists: [{ code: 'wrong_signer' }], isPending: false });
      files.close();
    });
  });

  describe('of twenty authorities', () => {
    const all = Array.from({ length: 20 }, (_, number) =>
      writeAuthority({ name: commonName(`no ${number}`) }),
    );
    const [changed] = all as [Written];
    const certificates = all.map(({ certificate }) => certificate);
    const revoke = () => writeList(changed, { thisUpdate: Date.now(), revoked: [[7]] });
    const isRevoked = (files: CrlFiles) =>
      tableOf(files.listsOf(changed.certificate).lists[0])?.reasonOf(Buffer.from([7])) !== undefined;

    it('have each name of an issuer parsed once, however many issuers are sent', async () => {
      await withFiles([...all.map((one) => writeList(one))], async (paths) => {
        const { files, changes } = filesAt(paths);
        const { Name } = await x509.load();
        const parse = vi.spyOn(Name.prototype, 'toJSON');
        try {
          await Promise.all([...certificates, otherKey, second.certificate].map((one) => files.open(one)));
          expect(parse).toHaveBeenCalledTimes(20);
          await replace(paths[0] as string, revoke(), () => isRevoked(files) && changes.count > 23);
          expect(parse).toHaveBeenCalledTimes(20);
        } finally {
          parse.mockRestore();
          files.close();
        }
      });
    });

    it.each<[string, (one: Written) => boolean]>([
      ['in a file each', () => false],
      ['in one file', () => true],
    ])('%s, are opened again for the authority of a changed list alone', async (_, isInFirst) => {
      const contentOf = (first: Uint8Array) =>
        [
          first,
          ...all
            .slice(1)
            .filter(isInFirst)
            .map((one) => lists.get(one) ?? first),
        ]
          .map(pem)
          .join('');
      const lists = new Map(all.map((one) => [one, writeList(one)]));
      const others = all.slice(1).filter((one) => !isInFirst(one));
      const contents = [contentOf(writeList(changed)), ...others.map((one) => writeList(one))];
      await withFiles(contents, async (paths) => {
        const { files, changes } = filesAt(paths);
        await Promise.all(certificates.map((one) => files.open(one)));
        const before = certificates.map((one) => files.listsOf(one).lists);
        expect(changes.count).toBe(20);
        await replace(paths[0] as string, contentOf(revoke()), () => isRevoked(files) && changes.count > 21);
        expect(changes.count).toBe(22);
        const after = certificates.map((one) => files.listsOf(one).lists);
        expect(after.map((list, index) => list === before[index])).toEqual(all.map((one) => one !== changed));
        files.close();
      });
    });

    it('are used no more for an authority whose list has gone', async () => {
      await withFiles([all.map((one) => pem(writeList(one))).join('')], async (paths) => {
        const { files, changes } = filesAt(paths);
        await Promise.all(certificates.map((one) => files.open(one)));
        const without = all.slice(1).map((one) => pem(writeList(one)));
        await replace(paths[0] as string, without.join(''), () => changes.count > 40);
        expect(files.listsOf(changed.certificate)).toEqual({ lists: [], isPending: false });
        files.close();
      });
    });
  });

  describe('of which some can not be used', () => {
    const noEnd = { nextUpdate: 'none' } as const;
    const pathsOf = (...contents: (readonly Uint8Array[])[]) =>
      contents.map((lists) => lists.map(pem).join(''));
    const revokes = (files: CrlFiles, { certificate }: Written, serial: number) =>
      files
        .listsOf(certificate)
        .lists.some((list) => tableOf(list)?.reasonOf(Buffer.from([serial])) !== undefined);
    const nextOf = (one: Written, parts: ListParts) => writeList(one, { thisUpdate: Date.now(), ...parts });

    it('are used without these at start, which are reported', async () => {
      const content = pathsOf([writeList(authority, { revoked: [[7]] }), writeList(second, noEnd)]);
      await withFiles(content, async (paths) => {
        const { files, failures } = filesAt(paths);
        expect(failures).toEqual([`${paths[0]}: 1 of 2 lists can not be used: list 2: it has no nextUpdate`]);
        await Promise.all([files.open(authority.certificate), files.open(second.certificate)]);
        expect(revokes(files, authority, 7)).toBe(true);
        expect(files.listsOf(second.certificate)).toEqual({ lists: [], isPending: false });
        files.close();
      });
    });

    it.each<[string, (one: Written) => Uint8Array]>([
      ['lacks nextUpdate', (one) => nextOf(one, noEnd)],
      ['is too large', (one) => nextOf(one, { signature: Buffer.alloc(1_000_001) })],
      ['is no list', () => Buffer.from('no list')],
    ])(
      'are used if one of another authority %s, whose earlier list stays until the next',
      async (_, write) => {
        const before = pathsOf([writeList(authority), writeList(second, { revoked: [[8]] })]);
        await withFiles(before, async (paths) => {
          const { files, failures } = filesAt(paths);
          await Promise.all([files.open(authority.certificate), files.open(second.certificate)]);
          const read = (lists: readonly Uint8Array[], isRead: () => boolean) =>
            replace(paths[0] as string, lists.map(pem).join(''), isRead);
          for (const serial of [7, 9]) {
            // The first list of this authority is not kept next to the new one.
            const own = nextOf(authority, {
              thisUpdate: Date.now() - hour / 2 + serial * 1_000,
              revoked: [[serial]],
            });
            await read([own, write(second)], () => revokes(files, authority, serial));
            expect(files.listsOf(authority.certificate).lists).toHaveLength(1);
            expect(files.listsOf(second.certificate).lists.map(isUsable)).toEqual([true]);
            expect(revokes(files, second, 8)).toBe(true);
          }
          expect(failures.at(-1)).toContain('1 of 2 lists can not be used: list 2: ');
          expect(failures.at(-1)).toContain('that were read before are still used');
          await read([writeList(authority), nextOf(second, {})], () => !revokes(files, second, 8));
          expect(files.listsOf(second.certificate).lists).toHaveLength(1);
          expect(failures).toHaveLength(2);
          files.close();
        });
      },
    );

    it('leave no list of an authority whose lists are no longer in the file', async () => {
      const third = writeAuthority({ name: commonName('third') });
      await withFiles(pathsOf([authority, second, third].map((one) => writeList(one))), async (paths) => {
        const { files, changes } = filesAt(paths);
        await Promise.all([authority, second, third].map((one) => files.open(one.certificate)));
        const content = pathsOf([nextOf(authority, {}), nextOf(second, noEnd)]);
        await replace(paths[0] as string, content.join(''), () => changes.count > 5);
        const counts = [authority, second, third].map((one) => files.listsOf(one.certificate).lists.length);
        expect(counts).toEqual([1, 1, 0]);
        files.close();
      });
    });

    it('keep a list of another point of their issuer, whose next one may be among these', async () => {
      const pointOf = (uri: string) => ({ extensions: [issuedFor(pointName(uri))] });
      const [one, other] = [pointOf('http://a.test/1'), pointOf('http://a.test/2')];
      const before = [
        writeList(authority, { ...one, revoked: [[1]] }),
        writeList(authority, { ...other, revoked: [[2]] }),
      ];
      await withFiles(pathsOf(before), async (paths) => {
        const { files } = filesAt(paths);
        await files.open(authority.certificate);
        const next = [
          nextOf(authority, { ...one, revoked: [[3]] }),
          nextOf(authority, { ...other, ...noEnd }),
        ];
        await replace(paths[0] as string, next.map(pem).join(''), () => revokes(files, authority, 3));
        expect([1, 2, 3].map((serial) => revokes(files, authority, serial))).toEqual([false, true, true]);
        files.close();
      });
    });

    it('keep a list until a newer one by its own key is open, whatever another key of this name says', async () => {
      const revoking = writeList(authority, { revoked: [[7]], thisUpdate: Date.now() - hour / 2 });
      await withFiles([pem(revoking), pem(writeList(authority))], async (paths) => {
        const { files, changes, failures } = filesAt(paths);
        await Promise.all([files.open(authority.certificate), files.open(otherKey)]);
        const read = async (list: Uint8Array) => {
          const { count } = changes;
          const content = pathsOf([nextOf(authority, noEnd), list]).join('');
          await replace(paths[0] as string, content, () => changes.count > count + 1);
        };
        for (const list of [
          writeList(another, { thisUpdate: Date.now() }),
          nextOf(authority, { signature: Buffer.alloc(70) }),
          writeList(authority, { thisUpdate: Date.now() + hour }),
        ]) {
          await read(list);
          await files.open(authority.certificate);
          expect(revokes(files, authority, 7)).toBe(true);
        }
        await read(nextOf(authority, {}));
        expect(revokes(files, authority, 7)).toBe(false);
        const single = failures.filter((message) => message.includes(' 1 of '));
        expect(single.filter((message) => message.includes('list 1: it has no nextUpdate'))).toHaveLength(4);
        expect(single.filter((message) => message.includes('list 2: its signature is wrong'))).toHaveLength(
          2,
        );
        expect(single.at(-2)).toContain('list 2: its thisUpdate is in the future');
        expect(failures).toHaveLength(7);
        files.close();
      });
    });

    it('keep no list that a newer one with another Next CRL Publish of AD CS replaces', async () => {
      const issue = (number: number) => {
        const nextPublish = time(Date.now() + hour + number * 1_000, true);
        const extensions = [extension('1.3.6.1.4.1.311.21.4', nextPublish)];
        return writeList(second, { thisUpdate: Date.now() - hour + number * 1_000, extensions });
      };
      await withFiles(pathsOf([issue(0)]), async (paths) => {
        const { files, changes } = filesAt(paths);
        await files.open(second.certificate);
        for (let number = 1; number <= 40; number += 1) {
          const { count } = changes;
          const content = pathsOf([issue(number), Buffer.from('no list')]).join('');
          await replace(paths[0] as string, content, () => changes.count > count + 1);
          expect(files.listsOf(second.certificate).lists.length).toBeLessThanOrEqual(2);
        }
        files.close();
      });
    });

    it.each<[string, number, number]>([
      ['a hundred', 70, 100],
      ['four times maxSize', 900_000, 5],
    ])('keep %s at most, and first those that a key has signed', async (_, size, most) => {
      await withFiles(pathsOf([writeList(authority, { revoked: [[7]] })]), async (paths) => {
        const { files, changes } = filesAt(paths);
        await files.open(authority.certificate);
        for (let number = 1; number <= most + 5; number += 1) {
          const { count } = changes;
          const forged = { nextUpdate: Date.now() + 24 * hour, signature: Buffer.alloc(size, number) };
          const content = pathsOf([nextOf(authority, forged), nextOf(authority, noEnd)]).join('');
          await replace(paths[0] as string, content, () => changes.count > count + 1);
        }
        // The last of the file is none that is kept.
        expect(files.listsOf(authority.certificate).lists).toHaveLength(most + 1);
        expect(revokes(files, authority, 7)).toBe(true);
        files.close();
      });
    });

    it('stay one for each that is too large now, whatever they take together', async () => {
      const issuers = Array.from({ length: 6 }, (_, number) =>
        writeAuthority({ name: commonName(`${number}`) }),
      );
      const all = (size: number): string[] =>
        issuers.map((issuer) =>
          pem(writeList(issuer, { extensions: [extension('1.2.3', Buffer.alloc(size))] })),
        );
      await withFiles([[...all(900_000), pem(writeList(second))].join('')], async (paths) => {
        const { files, changes } = filesAt(paths);
        await Promise.all([second, ...issuers].map(({ certificate }) => files.open(certificate)));
        const { count } = changes;
        const content = [...all(1_100_000), pem(nextOf(second, {}))].join('');
        await replace(paths[0] as string, content, () => changes.count > count + 1);
        const left = issuers.map(({ certificate }) => files.listsOf(certificate).lists.length);
        expect(left).toEqual(issuers.map(() => 1));
        files.close();
      });
    });

    it('stay for the one that is cut off, first of all that are kept', async () => {
      const issuers = Array.from({ length: 120 }, (_, number) =>
        writeAuthority({ name: commonName(`${number}`) }),
      );
      for (const [count, maxSize, size] of [
        [120, 1_000_000, 10],
        [6, 10_000, 9_000],
      ] as const) {
        const write = (issuer: Written, number: number, thisUpdate: number) =>
          writeList(issuer, {
            revoked: [[7]],
            thisUpdate,
            nextUpdate: thisUpdate + 2 * hour + number * 1_000,
            extensions: [extension('1.2.3', Buffer.alloc(size))],
          });
        const contentAt = (time: number) =>
          issuers.slice(0, count).map((issuer, number) => write(issuer, number, time));
        await withFiles(pathsOf(contentAt(Date.now() - hour)), async (paths) => {
          const { files, changes } = filesAt(paths, maxSize);
          const [cut = Buffer.of(), ...others] = contentAt(Date.now());
          const content = pathsOf([cut.subarray(0, -20), ...others]).join('');
          await replace(paths[0] as string, content, () => changes.count > 0);
          const [first] = issuers as [Written];
          await files.open(first.certificate);
          expect(revokes(files, first, 7)).toBe(true);
          files.close();
        });
      }
    });

    it('stay for each issuer, however many lists of another one are kept', async () => {
      await withFiles(
        pathsOf([writeList(authority, { revoked: [[7]] }), writeList(second)]),
        async (paths) => {
          const { files, changes } = filesAt(paths, 10_000);
          await Promise.all([authority, second].map(({ certificate }) => files.open(certificate)));
          const large = (size: number) => extension('1.2.3', Buffer.alloc(size));
          for (let number = 0; number < 8; number += 1) {
            const { count } = changes;
            const own = nextOf(second, {
              nextUpdate: Date.now() + 24 * hour,
              extensions: [issuedFor(pointName(`http://a.test/${number}`)), large(9_000)],
            });
            const tooLarge = nextOf(authority, { extensions: [large(11_000)] });
            const content = pathsOf([own, nextOf(second, noEnd), tooLarge]).join('');
            await replace(paths[0] as string, content, () => changes.count > count + 1);
          }
          expect(revokes(files, authority, 7)).toBe(true);
          expect(files.listsOf(second.certificate).lists.length).toBeLessThanOrEqual(5);
          files.close();
        },
      );
    });

    it('are not said to be kept for an authority that had none', async () => {
      await withFiles(pathsOf([writeList(authority)]), async (paths) => {
        const { files, changes, failures } = filesAt(paths);
        for (const isOpen of [false, true]) {
          await (isOpen ? files.open(authority.certificate) : undefined);
          const { count } = changes;
          const content = pathsOf([nextOf(authority, {}), Buffer.from('no list')]).join('');
          await replace(paths[0] as string, content, () => changes.count > count);
        }
        const message = `${paths[0]}: 1 of 2 lists can not be used: list 2: it is not a revocation list in DER`;
        expect(failures).toEqual([message, message]);
        files.close();
      });
    });

    it('stay while the files stall, which is reported, and are replaced by what is read late', async () => {
      await withFiles([writeList(authority), writeList(second)], async (paths) => {
        vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
        const { files, failures, changes } = filesAt(paths);
        await files.open(authority.certificate);
        const { lists } = files.listsOf(authority.certificate);
        const { count } = changes;
        using stalled = stallFiles();
        writeFileSync(paths[0] as string, nextOf(authority, { revoked: [[7]] }));
        await vi.advanceTimersByTimeAsync(9_900);
        expect([failures, stalled.waiting()]).toEqual([[], 1]);
        await vi.advanceTimersByTimeAsync(200);
        const kept = `${paths[0]} can not be read again, the lists read before are still used`;
        expect(failures).toEqual([`${kept}: no answer within 5 s`]);
        // No further reading begins.
        await vi.advanceTimersByTimeAsync(5_000);
        expect(failures.slice(1)).toEqual([`${kept}: an earlier reading has not ended`]);
        expect(stalled.waiting()).toBe(1);
        expect([files.listsOf(authority.certificate).lists, changes.count]).toEqual([lists, count]);

        stalled.release();
        await vi.waitFor(() => expect(changes.count).toBeGreaterThan(count));
        expect(files.listsOf(authority.certificate).lists).not.toBe(lists);
        const { count: countThen } = changes;
        await replace(paths[1] as string, nextOf(second, {}), () => changes.count > countThen);
        expect(failures).toHaveLength(2);
        files.close();
      });
    });

    it('are left alone after close(), also by a reading that ends late', async () => {
      await withFiles([writeList(authority)], async (paths) => {
        vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
        const { files, failures, changes } = filesAt(paths);
        await files.open(authority.certificate);
        const { count } = changes;
        using stalled = stallFiles();
        writeFileSync(paths[0] as string, nextOf(authority, { revoked: [[7]] }));
        await vi.advanceTimersByTimeAsync(5_100);
        expect(stalled.waiting()).toBe(1);
        files.close();
        await vi.advanceTimersByTimeAsync(20_000);
        stalled.release();
        await vi.advanceTimersByTimeAsync(20_000);
        expect([failures, changes.count]).toEqual([[], count]);
      });
    });

    it('stay all if the file was joined without a line end, which is refused at start', async () => {
      const [one, two] = [pem(writeList(authority)), pem(writeList(second))];
      const why = 'a BEGIN or END marker is not a line of its own';
      await withFiles([one + two, one.trim() + two], async ([path = '', joined = '']) => {
        expect(() => filesAt([joined])).toThrow(
          `crlFiles: expected files of revocation lists in PEM or DER, got ${joined}: ${why}`,
        );
        const { files, failures } = filesAt([path]);
        await files.open(authority.certificate);
        const { lists } = files.listsOf(authority.certificate);
        await replace(path, one.trim() + two, () => failures.length > 0);
        expect(failures[0]).toContain(`the lists read before are still used: ${why}`);
        expect(files.listsOf(authority.certificate).lists).toBe(lists);
        files.close();
      });
    });

    it('stay all if the file is cut off', async () => {
      await withFiles(pathsOf([writeList(authority), writeList(second)]), async (paths) => {
        const { files, failures } = filesAt(paths);
        await files.open(authority.certificate);
        const { lists } = files.listsOf(authority.certificate);
        const cut = pathsOf([nextOf(authority, { revoked: [[7]] }), writeList(second)])
          .join('')
          .slice(0, -40);
        await replace(paths[0] as string, cut, () => failures.length > 0);
        expect(failures[0]).toContain(
          'the lists read before are still used: it holds no whole revocation list',
        );
        expect(files.listsOf(authority.certificate).lists).toBe(lists);
        files.close();
      });
    });
  });

  describe('that can be read, but not used', () => {
    const revokes = (files: CrlFiles, { certificate }: Written, serial: number) =>
      files
        .listsOf(certificate)
        .lists.some((list) => tableOf(list)?.reasonOf(Buffer.from([serial])) !== undefined);
    const manyExtensions = Array.from({ length: 17 }, (_, number) =>
      extension(`1.2.${number + 3}`, der(0x05)),
    );
    const earlier = writeList(authority, { revoked: [[7]], thisUpdate: Date.now() - hour / 2 });
    const nextOf = (parts: ListParts) => writeList(authority, { thisUpdate: Date.now(), ...parts });
    const unusable: [string, ListParts][] = [
      ['its signature is wrong', { signature: Buffer.alloc(70, 1) }],
      [
        'it has a critical extension that is not known',
        { extensions: [extension('1.2.3', der(0x05), true)] },
      ],
      ['it is an indirect list', { extensions: [issuedFor(der(0x84, Buffer.of(0xff)))] }],
      ['an entry of it has more than 16 extensions', { revoked: [[8]], entryExtensions: manyExtensions }],
      ['its thisUpdate is in the future', { thisUpdate: Date.now() + 600_000 }],
    ];

    it.each(unusable)(
      'as %s, take no place of an earlier list until the next, and are reported once',
      async (why, parts) => {
        await withFiles([pem(earlier), pem(writeList(authority))], async (paths) => {
          const { files, changes, failures } = filesAt(paths);
          await files.open(authority.certificate);
          const read = async (changesThen: number, ...lists: readonly Uint8Array[]) => {
            const { count } = changes;
            await replace(
              paths[0] as string,
              lists.map(pem).join(''),
              () => changes.count === count + changesThen,
            );
          };
          const list = nextOf(parts);
          // The second time the lists of this authority have not changed.
          for (const changesThen of [2, 1]) {
            await read(changesThen, writeList(second, { revoked: [[changesThen]] }), list);
            await files.open(authority.certificate);
            expect(revokes(files, authority, 7)).toBe(true);
          }
          // Another one that can't be used.
          await read(2, nextOf({ ...parts, nextUpdate: Date.now() + 2 * hour }));
          expect(revokes(files, authority, 7)).toBe(true);
          const kept = '. Lists of these issuers that were read before are still used';
          expect(failures).toHaveLength(2);
          expect(failures[0]).toContain(`${paths[0]}: 1 of 2 lists can not be used: list 2: ${why}`);
          expect(failures[0]).toContain(kept);
          expect(failures[1]).toContain(`1 of 1 lists can not be used: list 1: ${why}`);
          await read(2, nextOf({ revoked: [[9]] }));
          expect([7, 9].map((serial) => revokes(files, authority, serial))).toEqual([false, true]);
          expect(files.listsOf(authority.certificate).lists).toHaveLength(2);
          expect(failures).toHaveLength(2);
          files.close();
        });
      },
    );

    it.each(unusable)('as %s, take no place of one that no key has opened', async (_, parts) => {
      await withFiles([pem(earlier)], async (paths) => {
        const { files, changes } = filesAt(paths);
        await replace(paths[0] as string, pem(nextOf(parts)), () => changes.count > 0);
        await files.open(authority.certificate);
        expect(revokes(files, authority, 7)).toBe(true);
        files.close();
      });
    });

    it.each(unusable)(
      'as %s, take no place of one that no key has opened when another list of the file changes',
      async (_, parts) => {
        await withFiles([pem(earlier)], async (paths) => {
          const { files, changes } = filesAt(paths);
          const list = nextOf(parts);
          for (let number = 1; number <= 3; number += 1) {
            const content = pem(list) + pem(writeList(second, { revoked: [[number]] }));
            await replace(paths[0] as string, content, () => changes.count === number);
          }
          await files.open(authority.certificate);
          expect(revokes(files, authority, 7)).toBe(true);
          files.close();
        });
      },
    );

    it('are not opened again before the file changes', async () => {
      await withFiles([pem(earlier)], async (paths) => {
        const { files, changes } = filesAt(paths);
        await files.open(authority.certificate);
        const list = nextOf({ signature: Buffer.alloc(70, 1) });
        await replace(paths[0] as string, pem(list), () => changes.count > 2);
        const { lists } = files.listsOf(authority.certificate);
        expect(lists).toHaveLength(2);
        for (let look = 0; look < 3; look += 1) {
          vi.advanceTimersByTime(5_000);
          await new Promise((resolve) => void stat(paths[0] as string, resolve));
          await nextTurn();
        }
        expect(files.open(authority.certificate)).toBeUndefined();
        expect(files.listsOf(authority.certificate).lists).toBe(lists);
        expect(changes.count).toBe(3);
        files.close();
      });
    });

    it('are reported at start once their own key has signed them, and not for another key', async () => {
      const [, parts] = unusable[1] as [string, ListParts];
      await withFiles(
        [pem(nextOf(parts)) + pem(nextOf({ signature: Buffer.alloc(70, 1) }))],
        async (paths) => {
          const { files, failures } = filesAt(paths);
          await files.open(otherKey);
          expect(failures).toEqual([]);
          await files.open(authority.certificate);
          expect(failures).toEqual([
            `${paths[0]}: 1 of 2 lists can not be used: list 1: it has a critical extension that is not known`,
          ]);
          files.close();
        },
      );
    });

    it('are none if they are from the future within the tolerance of clocks', async () => {
      await withFiles([pem(earlier)], async (paths) => {
        const { files, changes, failures } = filesAt(paths, 1_000_000, 30);
        await files.open(authority.certificate);
        const list = nextOf({ thisUpdate: Date.now() + 20_000 });
        await replace(paths[0] as string, pem(list), () => changes.count > 2);
        expect(files.listsOf(authority.certificate).lists).toHaveLength(1);
        expect(failures).toEqual([]);
        files.close();
      });
    });

    it('may be of another key of this name: the earlier list goes once that key has opened them', async () => {
      await withFiles([pem(earlier)], async (paths) => {
        const { files, changes } = filesAt(paths);
        await files.open(authority.certificate);
        await replace(paths[0] as string, pem(writeList(another)), () => changes.count > 2);
        expect(revokes(files, authority, 7)).toBe(true);
        await files.open(otherKey);
        expect(files.listsOf(authority.certificate)).toMatchObject({ lists: [{ code: 'wrong_signer' }] });
        files.close();
      });
    });

    it('do not become more and more while no key opens them', async () => {
      await withFiles([pem(earlier)], async (paths) => {
        const { files, changes } = filesAt(paths);
        for (let number = 1; number <= 5; number += 1) {
          const list = nextOf({ thisUpdate: Date.now() - hour / 4 + number });
          await replace(paths[0] as string, pem(list), () => changes.count === number);
        }
        await files.open(otherKey);
        expect(files.listsOf(otherKey).lists).toHaveLength(2);
        await files.open(authority.certificate);
        expect(files.listsOf(authority.certificate).lists).toHaveLength(1);
        expect(files.listsOf(otherKey).lists).toHaveLength(1);
        files.close();
      });
    });

    it('are opened for other keys without a list that is dropped meanwhile', async () => {
      const others = Array.from({ length: 8 }, () => writeAuthority().certificate);
      await withFiles([pem(earlier)], async (paths) => {
        const { files, changes } = filesAt(paths);
        await replace(paths[0] as string, pem(nextOf({})), () => changes.count > 0);
        await Promise.all([authority.certificate, ...others].map((one) => files.open(one)));
        const counts = others.map((one) => files.listsOf(one).lists.length);
        expect(counts).toEqual(others.map(() => 1));
        files.close();
      });
    });
  });

  it('stay if their file is cut off within a line that begins a list', async () => {
    const [first, last] = [pem(writeList(authority)), pem(writeList(second, { revoked: [[7]] }))];
    await withFiles([first + last], async (paths) => {
      const { files, failures } = filesAt(paths);
      await files.open(second.certificate);
      const { lists } = files.listsOf(second.certificate);
      for (const length of [1, 5, 12, 23, 24]) {
        const { length: count } = failures;
        await replace(paths[0] as string, first + last.slice(0, length), () => failures.length > count);
        expect(failures.at(-1)).toContain('it holds no whole revocation list');
        expect(files.listsOf(second.certificate).lists).toBe(lists);
      }
      files.close();
    });
  });

  it('are refused in a PEM file that is longer than a text may be', () => {
    const content = Buffer.alloc(constants.MAX_STRING_LENGTH + 1);
    content.write('-----BEGIN X509 CRL-----');
    const why = `in PEM it has more than ${constants.MAX_STRING_LENGTH} bytes`;
    expect(readCrlFile(content, 1_000)).toEqual({ why });
  });

  describe('while chains of other authorities fill the memory for issuers', () => {
    // Each certificate counts with its bytes: eight of them displace all that were opened before.
    const large = (name: string, number: number): PathCertificate => ({
      ...authority.certificate,
      subjectName: name,
      publicKey: Buffer.from([number]),
      der: Buffer.alloc(1_048_576),
    });
    const displaceAll = (files: CrlFiles, name: string) =>
      Promise.all(Array.from({ length: 9 }, (_, number) => files.open(large(name, number))));

    it('stay open for the key that has signed them', async () => {
      await withFiles([writeList(authority, { revoked: [[1]] })], async (paths) => {
        const { files } = filesAt(paths);
        await files.open(authority.certificate);
        const { lists } = files.listsOf(authority.certificate);
        await displaceAll(files, 'another');
        expect(files.open(authority.certificate)).toBeDefined();
        expect(files.listsOf(authority.certificate)).toEqual({ lists, isPending: false });
        files.close();
      });
    });

    it('are pending for another key of this name, until it is opened again', async () => {
      await withFiles([writeList(authority)], async (paths) => {
        const { files } = filesAt(paths);
        await files.open(otherKey);
        await displaceAll(files, 'another');
        expect(files.listsOf(otherKey)).toEqual({ lists: [], isPending: true });
        await files.open(otherKey);
        expect(files.listsOf(otherKey)).toMatchObject({ isPending: false });
        files.close();
      });
    });

    it('are not pending for an issuer of another name', async () => {
      await withFiles([writeList(authority)], async (paths) => {
        const { files } = filesAt(paths);
        expect(files.listsOf(second.certificate)).toEqual({ lists: [], isPending: false });
        files.close();
      });
    });
  });
});
