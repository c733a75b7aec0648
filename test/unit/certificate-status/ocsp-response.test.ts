import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  createCertificateId,
  createOcspRequest,
} from '../../../packages/core/src/certificate-status/ocsp-request.js';
import { readOcspResponse } from '../../../packages/core/src/certificate-status/ocsp-response.js';
import { commonName, extension, identifier, integer, sequence } from '../../support/written-der.js';
import {
  hour,
  type OcspParts,
  type Written,
  writeAuthority,
  writeCertificate,
  writeOcsp,
} from '../../support/written-status.js';

const authority = writeAuthority();
const leaf = writeCertificate({ issuer: authority, serial: [0x00, 0x9c, 0x01] });
const stranger = writeAuthority({ name: commonName('stranger') });

const usage = (purpose: string): Buffer => extension('2.5.29.37', sequence(identifier(purpose)));
const ocspSigning = usage('1.3.6.1.5.5.7.3.9');

const responder = (issuer: Written, extensions: readonly Buffer[], notAfter = Date.now() + hour): Written =>
  writeCertificate({ issuer, serial: [8], name: commonName('responder'), extensions, notAfter });

const delegated = responder(authority, [ocspSigning]);

const read = (parts: OcspParts = {}, nonce = false) => {
  const request = createOcspRequest(createCertificateId(leaf.certificate, authority.certificate), nonce);
  const sent = parts.nonce === undefined ? request : { ...request, nonce: parts.nonce };
  const rules = {
    request: nonce ? sent : request,
    issuer: authority.certificate,
    now: Date.now(),
    tolerance: 0,
  };
  return readOcspResponse(writeOcsp(leaf.certificate, authority, parts), rules);
};

const by = (signer: Written, ...more: Written[]): OcspParts => ({
  signer,
  certificates: [signer, ...more].map(({ certificate }) => certificate.der),
});

describe('an OCSP answer', () => {
  it.each(['good', 'revoked', 'unknown'] as const)('says %s', async (status) => {
    expect(await read({ status })).toMatchObject({ state: status });
    expect(await read({ status, byKey: true })).toMatchObject({ state: status });
  });

  it('names the reason of a revocation', async () => {
    expect(await read({ status: 'revoked' })).toMatchObject({ reason: 'keyCompromise' });
  });

  it('counts if a responder signed it that the issuer authorized', async () => {
    expect(await read(by(delegated))).toMatchObject({ state: 'good' });
    expect(await read({ ...by(stranger, delegated), signer: delegated, byKey: true })).toMatchObject({
      state: 'good',
    });
  });

  it('counts if the issuer signed it by another spelling of its name', async () => {
    const { subject } = authority.certificate;
    const spelt = { ...authority.certificate, subject: commonName('AUTHORITY ', 0x13) };
    expect(spelt.subject).not.toEqual(subject);
    const signer = { ...authority, certificate: spelt };
    expect(await read({ signer, status: 'revoked' })).toMatchObject({ state: 'revoked' });
    const another = { ...spelt, subject: commonName('another authority', 0x13) };
    expect(await read({ signer: { ...signer, certificate: another } })).toMatchObject({
      why: expect.stringContaining('is missing'),
    });
  });

  it('counts if it has no nextUpdate', async () => {
    expect(await read({ nextUpdate: 'none' })).toMatchObject({ state: 'good', nextUpdate: undefined });
  });

  it('counts if it has the nonce that was sent', async () => {
    expect(await read({ nonce: randomBytes(32) }, true)).toMatchObject({ state: 'good' });
  });

  it('revokes if one of two statuses of the certificate does', async () => {
    expect(await read({ status: 'revoked', times: 2 })).toMatchObject({ state: 'revoked' });
  });

  it.each(['no nonce', 'another nonce'])(
    'revokes with %s in place of the one that was sent',
    async (which) => {
      const request = createOcspRequest(createCertificateId(leaf.certificate, authority.certificate), true);
      const rules = { request, issuer: authority.certificate, now: Date.now(), tolerance: 0 };
      const nonce = which === 'no nonce' ? {} : { nonce: randomBytes(32) };
      const found = await Promise.all(
        (['revoked', 'unknown'] as const).map((status) =>
          readOcspResponse(writeOcsp(leaf.certificate, authority, { status, ...nonce }), rules),
        ),
      );
      expect(found).toMatchObject([{ state: 'revoked' }, { code: 'wrong_nonce' }]);
      const forged = writeOcsp(leaf.certificate, authority, {
        status: 'revoked',
        ...nonce,
        signer: stranger,
      });
      expect(await readOcspResponse(forged, rules)).toMatchObject({ code: 'wrong_signer' });
    },
  );

  it('revokes for good, also after its nextUpdate', async () => {
    expect(await read({ status: 'revoked', nextUpdate: Date.now() - 60_000 })).toMatchObject({
      state: 'revoked',
    });
  });
});

const otherUsage = responder(authority, [usage('1.3.6.1.5.5.7.3.2')]);
const withoutUsage = responder(authority, []);
const anyUsage = responder(authority, [usage('2.5.29.37.0')]);
const ofStranger = responder(stranger, [ocspSigning]);
const expired = responder(authority, [ocspSigning], Date.now() - 60_000);
// It has the name of the issuer, and another key.
const namesake = writeAuthority();
const ofNamesake = responder(namesake, [ocspSigning]);

const unusable: [string, OcspParts, string, string][] = [
  ['is signed by a stranger', by(stranger), 'wrong_signer', 'is not signed by the issuer'],
  [
    'is signed by a stranger who authorized itself',
    by(ofStranger, stranger),
    'wrong_signer',
    'is not signed by the issuer',
  ],
  [
    'is signed by a stranger with the name of the issuer',
    by(namesake),
    'wrong_signer',
    'its signature is wrong',
  ],
  [
    'is signed by a responder of an authority of the same name',
    by(ofNamesake),
    'wrong_signer',
    'is not signed by the issuer',
  ],
  [
    'is signed by a certificate for another purpose',
    by(otherUsage),
    'wrong_signer',
    'lacks the extended key usage OCSPSigning',
  ],
  [
    'is signed by a certificate without a purpose',
    by(withoutUsage),
    'wrong_signer',
    'lacks the extended key usage OCSPSigning',
  ],
  [
    'is signed by a certificate for any purpose',
    by(anyUsage),
    'wrong_signer',
    'lacks the extended key usage OCSPSigning',
  ],
  [
    'is signed by the certificate itself',
    by(leaf),
    'wrong_signer',
    'lacks the extended key usage OCSPSigning',
  ],
  ['is signed by a responder that has expired', by(expired), 'wrong_signer', 'is not valid now'],
  ['comes without the certificate of its signer', { signer: delegated }, 'wrong_signer', 'is missing'],
  [
    'comes with the certificate of another responder',
    { ...by(delegated), signer: stranger },
    'wrong_signer',
    'is missing',
  ],
  ['has a wrong signature', { signature: Buffer.alloc(70, 1) }, 'wrong_signer', 'its signature is wrong'],
  ['is about another serial number', { serial: Buffer.from([2]) }, 'unreadable', 'about another certificate'],
  [
    'is about another issuer',
    { issuerName: commonName('stranger') },
    'unreadable',
    'about another certificate',
  ],
  [
    'is about another key of the issuer',
    { issuerKey: Buffer.alloc(65) },
    'unreadable',
    'about another certificate',
  ],
  ['uses another hash', { hash: '2.16.840.1.101.3.4.2.1' }, 'unreadable', 'about another certificate'],
  [
    'is of yesterday',
    { thisUpdate: Date.now() - 25 * hour, nextUpdate: Date.now() - hour },
    'outdated',
    'its answer has expired',
  ],
  ['is of tomorrow', { thisUpdate: Date.now() + hour }, 'wrong_time', 'is in the future'],
  ['has a nonce that was not sent', { nonce: randomBytes(32) }, 'wrong_nonce', 'another nonce'],
  ['has two statuses of the certificate', { times: 2 }, 'unreadable', 'more than once'],
  ['has none', { times: 0 }, 'unreadable', 'about another certificate'],
  ['is an error', { responseStatus: 6 }, 'unreadable', 'the status unauthorized'],
  [
    'has a critical extension',
    { singleExtensions: [extension('1.2.3', integer(1), true)] },
    'unreadable',
    'an extension that can not be read',
  ],
];

describe('an OCSP answer can not be used if it', () => {
  it.each(unusable)('%s', async (_title, parts, code, why) => {
    expect(await read(parts)).toEqual({ code, why: expect.stringContaining(why) });
  });

  it('is read by a clock that gives NaN', async () => {
    const request = createOcspRequest(createCertificateId(leaf.certificate, authority.certificate), false);
    const rules = { request, issuer: authority.certificate, now: Number.NaN, tolerance: 0 };
    expect(await readOcspResponse(writeOcsp(leaf.certificate, authority), rules)).toMatchObject({
      code: 'wrong_time',
    });
  });

  it('has another nonce than the one that was sent, or none', async () => {
    const request = createOcspRequest(createCertificateId(leaf.certificate, authority.certificate), true);
    const rules = { request, issuer: authority.certificate, now: Date.now(), tolerance: 0 };
    const answers = [{}, { nonce: randomBytes(32) }].map((parts) =>
      readOcspResponse(writeOcsp(leaf.certificate, authority, parts), rules),
    );
    expect(await Promise.all(answers)).toEqual([
      { code: 'wrong_nonce', why: 'its answer has no nonce' },
      { code: 'wrong_nonce', why: 'its answer has another nonce' },
    ]);
  });

  it('is changed or cut anywhere', async () => {
    const answer = writeOcsp(leaf.certificate, authority, { ...by(delegated) });
    const request = createOcspRequest(createCertificateId(leaf.certificate, authority.certificate), false);
    const rules = { request, issuer: authority.certificate, now: Date.now(), tolerance: 0 };
    const signedTo = answer.length - delegated.certificate.der.length - 8;
    for (let at = 0; at < signedTo; at += 1) {
      const changed = Buffer.from(answer);
      changed[at] = (changed[at] ?? 0) ^ 1;
      for (const bytes of [changed, answer.subarray(0, at)]) {
        expect([at, await readOcspResponse(bytes, rules)]).toEqual([
          at,
          { code: expect.any(String), why: expect.any(String) },
        ]);
      }
    }
  });
});

it('a request has a nonce of 32 bytes only if one is wanted', () => {
  const id = createCertificateId(leaf.certificate, authority.certificate);
  const requests = [createOcspRequest(id, true), createOcspRequest(id, true), createOcspRequest(id, false)];
  expect(requests.map(({ nonce }) => nonce?.length)).toEqual([32, 32, undefined]);
  expect(requests[0]?.nonce).not.toEqual(requests[1]?.nonce);
});
