// Under which name an authority takes part in the shares of requests, lists and answers: one, however many certificates
// it has, as a client chooses which of them it sends.
import { describe, expect, it } from 'vitest';
import {
  authorityKeyOf,
  quotaOwnerNamed,
  quotaOwnerOf,
  quotaOwnerOfLists,
} from '../../../packages/core/src/certificate-status/authority-key.js';
import type { PathCertificate } from '../../../packages/core/src/chain/path-certificate.js';
import { commonName } from '../../support/written-der.js';
import { type Written, writeAuthority, writeCertificate } from '../../support/written-status.js';

/** Another certificate of an authority, with its name and key. */
const againOf = ({ certificate }: Written, other: Written): PathCertificate => ({
  ...other.certificate,
  publicKey: certificate.publicKey,
  subjectName: certificate.subjectName,
});

const root = writeAuthority({ name: commonName('root') });
const otherRoot = writeAuthority({ name: commonName('other root') });
const authority = writeAuthority({ issuer: root });
const crossed = againOf(authority, writeAuthority({ issuer: otherRoot }));
const lower = writeAuthority({ issuer: authority, name: commonName('lower') });
const { certificate: leaf } = writeCertificate({ issuer: lower });
const pathOf = (...above: readonly PathCertificate[]) => [leaf, lower.certificate, ...above];

describe('an authority', () => {
  it('has one name for all certificates of its name and its key', () => {
    const renewed = againOf(authority, writeAuthority({ issuer: root, serial: [2] }));
    expect(renewed.thumbprint).not.toBe(authority.certificate.thumbprint);
    const name = authorityKeyOf(authority.certificate);
    expect([renewed, crossed].map(authorityKeyOf)).toEqual([name, name]);
  });

  it('has another name than one with another name, or with another key', () => {
    const { publicKey, subjectName } = authority.certificate;
    const name = authorityKeyOf(authority.certificate);
    expect(authorityKeyOf({ publicKey, subjectName: root.certificate.subjectName })).not.toBe(name);
    expect(authorityKeyOf({ publicKey: root.certificate.publicKey, subjectName })).not.toBe(name);
  });
});

describe('of a path', () => {
  it('the authority right below the trust anchor asks, by whichever certificate', () => {
    const anchor = authorityKeyOf(root.certificate);
    const name = `${anchor} ${authorityKeyOf(authority.certificate)}`;
    expect(quotaOwnerOf(pathOf(authority.certificate, root.certificate))).toEqual({ name, anchor });
    const byOther = authorityKeyOf(otherRoot.certificate);
    expect(quotaOwnerOf(pathOf(crossed, otherRoot.certificate))).toEqual({
      name: `${byOther} ${authorityKeyOf(authority.certificate)}`,
      anchor: byOther,
    });
  });

  it('the trust anchor asks if it has no authority below, and for what it says itself', () => {
    const anchor = authorityKeyOf(root.certificate);
    expect(quotaOwnerOf([leaf, root.certificate])).toEqual({ name: anchor, anchor });
    const owner = quotaOwnerOf(pathOf(authority.certificate, root.certificate));
    expect(quotaOwnerOfLists(root.certificate, owner)).toEqual({ name: anchor, anchor });
    expect(quotaOwnerOfLists(lower.certificate, owner)).toEqual(owner);
    const renewed = againOf(root, writeAuthority({ name: commonName('root') }));
    expect(quotaOwnerOfLists(renewed, owner)).toEqual({ name: anchor, anchor });
  });

  it('the name of the authority says which trust anchor it has', () => {
    for (const path of [pathOf(authority.certificate, root.certificate), [leaf, root.certificate]]) {
      const owner = quotaOwnerOf(path);
      expect(quotaOwnerNamed(owner.name)).toEqual(owner);
    }
  });
});
