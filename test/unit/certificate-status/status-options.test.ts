import { rootCertificates } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { createStatusChecker } from '../../../packages/core/src/certificate-status/status-checker.js';
import {
  certificateStatusOptions,
  resolveCertificateStatus,
} from '../../../packages/core/src/certificate-status/status-options.js';
import { OptionReader } from '../../../packages/core/src/shared/option-group.js';
import { pem, withFiles, writeAuthority, writeList } from '../../support/written-status.js';

const path = 'certificatePolicy.revocationCheck';
const brokenPem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const resolve = (options: object) =>
  resolveCertificateStatus(new OptionReader(path, options, certificateStatusOptions));

describe('the options of the status of certificates', () => {
  it('have defaults', () => {
    expect(resolve({ by: 'crl' })).toEqual({
      by: ['crl'],
      mode: 'strict',
      crlFiles: undefined,
      origins: undefined,
      ca: undefined,
      refreshInterval: 300,
      timeout: 5,
      maxSize: 10_485_760,
      nonce: false,
      crlFilesOption: `${path}.crlFiles`,
    });
  });

  it('take both methods in any order', () => {
    expect(resolve({ by: ['ocsp', 'crl'] }).by).toEqual(['ocsp', 'crl']);
  });

  it.each<[string, object, string]>([
    ['no method', {}, 'by: expected'],
    ['no method in a list', { by: [] }, 'by: expected'],
    ['a method twice', { by: ['crl', 'crl'] }, 'by: expected'],
    ['another method', { by: ['crl', 'staple'] }, 'by: expected'],
    ['another mode', { by: 'crl', mode: 'lax' }, 'mode: expected'],
    [
      'files without crl',
      { by: 'ocsp', crlFiles: 'a.crl' },
      "crlFiles: expected certificatePolicy.revocationCheck.by: 'crl'",
    ],
    [
      'a nonce without ocsp',
      { by: 'crl', nonce: true },
      "nonce: expected certificatePolicy.revocationCheck.by: 'ocsp'",
    ],
    [
      'authorities of https servers without origins, where no such server is asked',
      { by: 'crl', ca: rootCertificates[0] },
      'ca: expected certificatePolicy.revocationCheck.origins next to it',
    ],
    ['an origin with a path', { by: 'crl', origins: 'http://crl.example/' }, 'origins: expected'],
    ['an origin of another scheme', { by: 'crl', origins: 'ldap://crl.example' }, 'origins: expected'],
    ['an authority that is a path', { by: 'crl', ca: 'ca.pem' }, 'ca: expected one or more certificates'],
    ['an authority of no certificate', { by: 'crl', ca: [brokenPem] }, 'ca: expected one or more'],
    ['a refresh too often', { by: 'crl', refreshInterval: 9 }, 'refreshInterval: expected'],
    ['a list too large', { by: 'crl', maxSize: 1e9 }, 'maxSize: expected'],
  ])('refuse %s', (_title, options, message) => {
    expect(() => resolve(options)).toThrow(`${path}.${message}`);
  });

  it('name a file that can not be used', async () => {
    const list = writeList(writeAuthority());
    const create = (crlFiles: readonly string[], maxSize?: number) => () =>
      createStatusChecker(
        { ...resolve({ by: 'crl' }), crlFiles, ...(maxSize && { maxSize }) },
        () => 0,
        () => undefined,
      );
    await withFiles(['no list', pem(list).slice(0, -30), list.subarray(1), list], (files) => {
      for (const file of files.slice(0, 3)) {
        expect(create([file])).toThrow(
          `${path}.crlFiles: expected files of revocation lists in PEM or DER, got ${file}`,
        );
      }
      expect(create([files[3] ?? ''], 100)).toThrow('a list has more than 100 bytes');
      expect(create([`${files[0]}.missing`])).toThrow(
        `expected files that can be read, got "${files[0]}.missing": no such file (ENOENT)`,
      );
      create([files[3] ?? ''])().close();
    });
  });
});
