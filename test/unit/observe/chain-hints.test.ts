// The likely cause of each refusal by a chain or a status, for the operator: what the checks really say has a hint.
import 'reflect-metadata';
import { ClientCertificate, RequestRefused } from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import {
  certificatePolicyOptions,
  createCertificatePolicy,
} from '../../../packages/core/src/certificate-policy/certificate-policy.js';
import {
  type StatusReasonCode,
  statusReasonCodes,
} from '../../../packages/core/src/certificate-status/status-reason.js';
import { copyRefusal, createRefusal } from '../../../packages/core/src/errors.js';
import { hintForCertificateRefusal, hintForStatus } from '../../../packages/core/src/response/chain-hints.js';
import { OptionReader } from '../../../packages/core/src/shared/option-group.js';
import { authority, client, rawExtension } from '../../support/chains.js';
import { revocationList } from '../../support/crl.js';
import { withFiles } from '../../support/written-status.js';

await library.load();
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
afterAll(() => void vi.restoreAllMocks());
const root = await authority('CN=Root');
const middle = await authority('CN=Middle', root);
const short = await authority('CN=Short', root, { pathLength: 0 });
const narrow = await authority('CN=Narrow', root, {
  // permittedSubtrees: the DNS names of example.com alone.
  extensions: [rawExtension('2.5.29.30', '3011a00f300d820b6578616d706c652e636f6d')],
});
const old = await authority('CN=Old', root, { from: -20, to: -10 });
const future = await authority('CN=Future', root, { from: 2 });
const shortRsa = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 1_024,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const weak = await authority('CN=Weak', root, { keyAlgorithm: shortRsa });
const weaklySigned = await authority('CN=Weakly Signed', root, { hash: 'SHA-1' });
const leaf = await client('CN=client', middle);

/** What the policy refuses a certificate with, and the code of the hint. */
async function hintOf(der: Uint8Array, options: object, more: object = {}): Promise<[string, string]> {
  const given = new OptionReader(
    'certificatePolicy',
    { authorities: root.cert, ...options },
    certificatePolicyOptions,
  );
  const policy = createCertificatePolicy(given, () => 0);
  const certificate = new ClientCertificate(der, more);
  try {
    await policy?.prepare(certificate, Date.now());
    policy?.(certificate, Date.now());
  } catch (error) {
    const refusal = error as RequestRefused;
    return [refusal.code, hintForCertificateRefusal(refusal)?.code ?? 'none'];
  } finally {
    policy?.close();
  }
  return ['accepted', 'none'];
}

describe('a chain that leads to no authority', () => {
  const intermediates = [middle, short, narrow, old, future, weak, weaklySigned].map(({ cert }) => cert);

  it.each<[string, () => Promise<Uint8Array>, object?]>([
    ['chain_issuer_missing', async () => leaf.der, { intermediates: undefined }],
    ['chain_expired', async () => (await client('CN=a', middle, { from: -20, to: -10 })).der],
    ['chain_authority_expired', async () => (await client('CN=a', old)).der],
    ['chain_authority_not_valid_yet', async () => (await client('CN=a', future)).der],
    ['chain_authority_weak_key', async () => (await client('CN=a', weak)).der],
    ['chain_authority_weak_key', async () => (await client('CN=a', weaklySigned)).der],
    ['chain_not_valid_yet', async () => (await client('CN=a', middle, { from: 2 })).der],
    ['chain_other_purpose', async () => (await client('CN=a', middle, {}, ['1.3.6.1.5.5.7.3.1'])).der],
    [
      'chain_other_purpose',
      async () => (await client('CN=a', middle, { keyUsage: x509.KeyUsageFlags.cRLSign })).der,
    ],
    [
      'chain_name_not_permitted',
      async () => {
        const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'evil.test' }]);
        return (await client('CN=a', narrow, { extensions: [names] })).der;
      },
    ],
    [
      'chain_unknown_extension',
      async () => (await client('CN=a', middle, { extensions: [rawExtension('1.2.3.4', '0500')] })).der,
    ],
    ['chain_weak_key', async () => (await client('CN=a', middle, { keyAlgorithm: shortRsa })).der],
    ['chain_weak_key', async () => (await client('CN=a', middle, { hash: 'SHA-1' })).der],
    ['chain_not_accepted', async () => new Uint8Array([0x30, 0])],
  ])('%s', async (hint, der, options = {}) => {
    expect(await hintOf(await der(), { intermediates, ...options })).toEqual(['certificate_refused', hint]);
  });

  it.each([
    ['expired', { from: -20, to: -10 }],
    ['not valid yet', { from: 2 }],
  ])('the hint is that of a valid path before that of an authority that is %s', async (_title, times) => {
    const other = await authority('CN=Narrow', root, { keys: narrow.keys, ...times });
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'evil.test' }]);
    const { der } = await client('CN=a', narrow, { extensions: [names] });
    expect(await hintOf(der, { intermediates: [other.cert, narrow.cert] })).toEqual([
      'certificate_refused',
      'chain_name_not_permitted',
    ]);
  });

  it('chain_too_long', async () => {
    const below = await authority('CN=Below', short);
    const sent = [...intermediates, below.cert];
    expect(await hintOf((await client('CN=a', below)).der, { intermediates: sent })).toEqual([
      'certificate_refused',
      'chain_too_long',
    ]);
  });

  it('chain_not_an_authority', async () => {
    const below = await client('CN=a', leaf);
    const sent = { intermediates: [leaf.der, middle.der] };
    expect(await hintOf(below.der, {}, sent)).toEqual(['certificate_refused', 'chain_not_an_authority']);
  });

  it('chain_not_cleared', async () => {
    const verdict = { verified: false, verifyError: 'X-SSL-Client-Verify: CERT_REVOKED' };
    expect(await hintOf(leaf.der, { intermediates }, verdict)).toEqual([
      'certificate_refused',
      'chain_not_cleared',
    ]);
  });
});

describe('a certificate that is revoked, or of unknown status', () => {
  const hintWith = (lists: readonly string[], mode = 'strict') =>
    withFiles(lists, (crlFiles) =>
      hintOf(leaf.der, {
        intermediates: middle.cert,
        revocationCheck: { by: 'crl', mode, ...(lists.length > 0 && { crlFiles }) },
      }),
    );

  it('certificate_revoked', async () => {
    const lists = [await revocationList(root, []), await revocationList(middle, [leaf])];
    expect(await hintWith(lists)).toEqual(['certificate_refused', 'certificate_revoked']);
  });

  it('authority_revoked', async () => {
    const lists = [await revocationList(root, [middle]), await revocationList(middle, [])];
    expect(await hintWith(lists)).toEqual(['certificate_refused', 'authority_revoked']);
  });

  it('status_not_published', async () => {
    expect(await hintWith([])).toEqual(['certificate_status_unknown', 'status_not_published']);
  });

  it('status_wrong_signer', async () => {
    const forged = { ...middle, key: root.key };
    const lists = [await revocationList(root, []), await revocationList(forged, [])];
    expect(await hintWith(lists)).toEqual(['certificate_status_unknown', 'status_wrong_signer']);
  });
});

/** The hint of each reason for which a status is unknown. */
const hintsOfStatus: Readonly<Record<StatusReasonCode, string>> = {
  origin_not_permitted: 'status_origin_not_permitted',
  not_published: 'status_not_published',
  form_not_supported: 'status_form_not_supported',
  too_large: 'status_too_large',
  wrong_time: 'status_clock',
  outdated: 'status_outdated',
  wrong_signer: 'status_wrong_signer',
  wrong_nonce: 'status_nonce',
  unknown_to_responder: 'status_unknown_to_responder',
  server_not_trusted: 'status_server_not_trusted',
  unreachable: 'status_unreachable',
  unreadable: 'status_unreadable',
};

describe('a certificate of unknown status', () => {
  // A text chooses no hint, be it ours or a URL that an authority writes.
  it.each([
    'nothing says whether it is revoked: its signature is wrong',
    'nothing says whether it is revoked: the revocation list http://crl.example/has expired: status 404',
    '',
  ])('has the hint of its code, whatever the text says: %s', (why) => {
    const found = statusReasonCodes.map((code) => {
      const refusal = createRefusal('certificate_status_unknown', { code, why });
      return [code, hintForCertificateRefusal(refusal)?.code, hintForStatus(code).code];
    });
    expect(found).toEqual(statusReasonCodes.map((code) => [code, hintsOfStatus[code], hintsOfStatus[code]]));
  });

  it('has a hint of its own for each code', () => {
    expect(new Set(statusReasonCodes.map((code) => hintForStatus(code).text)).size).toBe(
      statusReasonCodes.length,
    );
  });

  it('keeps its hint if requests share the refusal', () => {
    const refusal = createRefusal('certificate_status_unknown', { code: 'too_large', why: 'a text' });
    expect(hintForCertificateRefusal(copyRefusal(refusal))?.code).toBe('status_too_large');
  });
});

it('another refusal has no hint of a chain', () => {
  const refusal = new RequestRefused('certificate_refused', { detail: 'its issuer is not listed' });
  expect(hintForCertificateRefusal(refusal)).toBeUndefined();
  expect(hintForCertificateRefusal(new RequestRefused('token_inactive'))).toBeUndefined();
  const detail = 'its signature is wrong';
  expect(
    hintForCertificateRefusal(new RequestRefused('certificate_status_unknown', { detail })),
  ).toBeUndefined();
});
