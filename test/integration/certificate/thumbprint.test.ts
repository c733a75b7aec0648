import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { ClientCertificate, thumbprintOf } from '@mtls-bound/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createPki, type Pki } from '../../support/pki.js';
import { itReal } from '../../support/programs.js';
import { rfc8705AppendixA, rfc9440AppendixA } from '../../support/vectors.js';

describe('the thumbprint', () => {
  let pki: Pki;
  beforeAll(async () => {
    pki = await createPki();
  });

  it('R6 R20: of the certificate of RFC 8705, Appendix A, X.509 v1 and expired, is the published one', () => {
    const { raw } = new X509Certificate(rfc8705AppendixA.pem);
    expect(thumbprintOf(raw)).toBe(rfc8705AppendixA.thumbprint);
    expect(new ClientCertificate(raw).thumbprint).toBe(rfc8705AppendixA.thumbprint);
    expect(new ClientCertificate(raw).x509.validTo).toContain('2022');
  });

  it('R6: of the leaf of RFC 9440, Appendix A, is the published one', () => {
    const der = Buffer.from(rfc9440AppendixA.leaf.slice(1, -1), 'base64');
    expect(thumbprintOf(der)).toBe(rfc9440AppendixA.thumbprint);
  });

  itReal('openssl', 'R6: agrees with openssl x509 -fingerprint -sha256', () => {
    for (const { cert, der } of Object.values(pki)) {
      const printed = execFileSync('openssl', ['x509', '-fingerprint', '-sha256', '-noout'], {
        input: cert,
        encoding: 'utf8',
      });
      const hex = printed.split('=')[1]?.trim().replaceAll(':', '') ?? '';
      expect(thumbprintOf(der)).toBe(Buffer.from(hex, 'hex').toString('base64url'));
    }
  });

  it('R6: has 43 characters of base64url', () => {
    for (const { der } of Object.values(pki)) {
      expect(thumbprintOf(der)).toMatch(/^[\w-]{43}$/);
    }
  });
});

it('a certificate of which the hash alone is known has no X.509 view, and says why', () => {
  const certificate = new ClientCertificate({ thumbprint: rfc8705AppendixA.thumbprint });
  expect(() => certificate.x509).toThrow(new TypeError("the proxy hands on the certificate's hash alone"));
  expect(certificate.der).toBeUndefined();
});
