// The Public Key Interoperability Test Suite of NIST, whose names say the outcomes: path validation with revocation lists.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { createStatusChecker } from '../../../packages/core/src/certificate-status/status-checker.js';
import { CrlSigners } from '../../../packages/core/src/chain/crl-signers.js';
import {
  buildPath,
  type CertificatesBySubject,
  groupBySubject,
} from '../../../packages/core/src/chain/path-building.js';
import {
  type PathCertificate,
  readPathCertificate,
} from '../../../packages/core/src/chain/path-certificate.js';
import { describeReal, findProgram } from '../../support/programs.js';
import { defaultSettings } from '../../support/written-status.js';

/** All of its certificates are valid then. */
const now = Date.parse('2020-01-01T00:00:00Z');

/** Paths that the suite calls valid though their names do not say so: their policies are in order. */
const validPolicies =
  /^(AllCertificates|AnyPolicy|DifferentPoliciesTest3|OverlappingPolicies|UserNotice|CPSPointer|inhibitAnyPolicyTest3)/;

/** What is refused on purpose, and why. */
const unsupported: readonly (readonly [RegExp, RegExp])[] = [
  // Keys of DSA.
  [/^ValidDSA/, /type dsa|no path/],
  // Lists by another authority than the issuer.
  [/^Valid(IDPwithindirectCRL|cRLIssuer)/, /./],
  // Lists by another key of the issuer that signs certificates too: other authorities have such lists for
  // the certificates of one key alone.
  [
    /^Valid(BasicSelfIssued(NewWithOldTest4|OldWithNewTest1)|SelfIssued|DNnameConstraintsTest19)/,
    /signature is wrong/,
  ],
  // A delta list does not end a hold, and proves nothing good by itself.
  [/^ValiddeltaCRL/, /./],
];

describeReal('PKITS_data', "NIST's PKITS", () => {
  const folder = findProgram('PKITS_data') ?? '';
  const names = folder === '' ? [] : readdirSync(join(folder, 'certs'));
  const leaves = names.filter((name) => name.endsWith('EE.crt'));
  interface Parts {
    readonly byName: ReadonlyMap<string, PathCertificate>;
    readonly anchors: CertificatesBySubject;
    readonly intermediates: CertificatesBySubject;
  }
  let parts: Parts | undefined;

  const read = async () => {
    await x509.load();
    const byName = new Map<string, PathCertificate>();
    for (const name of names) {
      const certificate = readPathCertificate(Uint8Array.from(readFileSync(join(folder, 'certs', name))));
      if (typeof certificate !== 'string') {
        byName.set(name, certificate);
      }
    }
    const intermediates = [...byName].filter(([name]) => !leaves.includes(name)).map(([, one]) => one);
    const anchor = byName.get('TrustAnchorRootCertificate.crt');
    parts = {
      byName,
      anchors: groupBySubject(anchor === undefined ? [] : [anchor]),
      intermediates: groupBySubject(intermediates),
    };
    return parts;
  };
  const crlSigners = new CrlSigners(() => ({
    authorities: parts?.anchors ?? new Map(),
    intermediates: parts?.intermediates,
    generation: 1,
  }));
  const statusBy = (crlFiles: readonly string[]) =>
    createStatusChecker(
      { ...defaultSettings, by: ['crl'], crlFiles },
      () => 0,
      () => undefined,
      { crlSigners },
    );
  /** Some lists are wrong on purpose, and refused at start-up. */
  const isReadable = (file: string): boolean => {
    try {
      statusBy([file]).close();
      return true;
    } catch {
      return false;
    }
  };
  const lists =
    folder === '' ? [] : readdirSync(join(folder, 'crls')).map((name) => join(folder, 'crls', name));
  const readable = lists.filter(isReadable);
  const status = statusBy(readable);
  afterAll(() => status.close());

  async function outcomeOf(name: string): Promise<string> {
    const { byName, anchors, intermediates } = parts ?? (await read());
    const leaf = byName.get(name);
    if (leaf === undefined) {
      return 'it can not be read';
    }
    const built = buildPath(leaf, { anchors, intermediates: [intermediates] }, now);
    if ('why' in built) {
      return built.why;
    }
    await status.prepare(built.path);
    const found = status.statusOf(built.path, now);
    return found.state === 'good' ? 'valid' : found.why;
  }

  it('has its 223 paths', () => {
    expect(leaves).toHaveLength(223);
    expect(lists.filter((file) => !readable.includes(file)).map((file) => basename(file))).toEqual([
      'BadCRLSignatureCACRL.crl',
    ]);
  });

  const isUnsupported = (name: string) => unsupported.some(([kind]) => kind.test(name));
  const isValid = (name: string) => name.startsWith('Valid') || validPolicies.test(name);

  describe('accepts', () => {
    it.each(leaves.filter((name) => isValid(name) && !isUnsupported(name)))('%s', async (name) => {
      expect(await outcomeOf(name)).toBe('valid');
    });
  });

  describe('refuses', () => {
    it.each(leaves.filter((name) => !isValid(name)))('%s', async (name) => {
      expect(await outcomeOf(name)).not.toBe('valid');
    });
  });

  describe('refuses what is not supported', () => {
    it.each(leaves.filter(isUnsupported))('%s', async (name) => {
      const [, why] = unsupported.find(([kind]) => kind.test(name)) ?? [];
      expect(await outcomeOf(name)).toMatch(why ?? /^$/);
    });
  });
});
