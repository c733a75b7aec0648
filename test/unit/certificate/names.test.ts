// Names and usages of a certificate that a looser reading would take for the required ones.
import 'reflect-metadata';
import {
  ClientCertificate,
  certificateSubjectPolicy,
  psd2RolePolicy,
  psd2Roles,
  routeCertificatePolicy,
} from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';
import * as asn1js from 'asn1js';
import { beforeAll, describe, expect, it } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import { createPki, issueFrom, type Pki } from '../../support/pki.js';

let pki: Pki;
beforeAll(async () => {
  await library.load();
  pki = await createPki();
});

type Policy = ReturnType<typeof routeCertificatePolicy>;

async function certificateWith(
  subject: string,
  extensions: x509.Extension[] = [],
): Promise<ClientCertificate> {
  return new ClientCertificate((await issueFrom(pki, subject, extensions)).der);
}

function outcome(
  policy: Policy | ReturnType<typeof psd2RolePolicy>,
  certificate: ClientCertificate,
  claims = {},
): string {
  try {
    policy({ authorization: { certificate, claims } } as never);
    return 'fits';
  } catch (thrown) {
    return String((thrown as { code?: unknown }).code);
  }
}

describe('extended key usage: clientAuth and nothing that stands for it', () => {
  const policy = routeCertificatePolicy({ extendedKeyUsage: 'clientAuth' });
  const { clientAuth, serverAuth, emailProtection } = x509.ExtendedKeyUsage;
  it.each<[string, string[], string]>([
    ['clientAuth', [clientAuth], 'fits'],
    ['clientAuth among others', [serverAuth, clientAuth, emailProtection], 'fits'],
    ['anyExtendedKeyUsage', ['2.5.29.37.0'], 'certificate_refused'],
    ['anyExtendedKeyUsage and serverAuth', ['2.5.29.37.0', serverAuth], 'certificate_refused'],
    ['serverAuth', [serverAuth], 'certificate_refused'],
    ['the arc above', ['1.3.6.1.5.5.7.3'], 'certificate_refused'],
    ['an arc below', [`${clientAuth}.1`], 'certificate_refused'],
    ['one that begins with the same digits', [`${clientAuth}0`], 'certificate_refused'],
    ['smart card logon', ['1.3.6.1.4.1.311.20.2.2'], 'certificate_refused'],
  ])('%s', async (_title, usages, expected) => {
    const certificate = await certificateWith('CN=a', [new x509.ExtendedKeyUsageExtension(usages)]);
    expect(outcome(policy, certificate)).toBe(expected);
  });

  it('a certificate without the extension is not for clients', async () => {
    expect(outcome(policy, await certificateWith('CN=a'))).toBe('certificate_refused');
  });
});

describe('alternative names are of one kind', () => {
  const kinds = ['dns', 'uri', 'ip', 'email'] as const;
  // The one text that is well-formed as each of them.
  const text = '192.0.2.1';
  it.each(kinds.flatMap((inCertificate) => kinds.map((inPolicy) => [inCertificate, inPolicy] as const)))(
    'one of kind %s in the certificate, of kind %s in the policy',
    async (inCertificate, inPolicy) => {
      const type = inCertificate === 'uri' ? 'url' : inCertificate;
      const names = new x509.SubjectAlternativeNameExtension([{ type, value: text }]);
      const certificate = await certificateWith('CN=a', [names]);
      const policy = routeCertificatePolicy({ san: { [inPolicy]: text } });
      expect(outcome(policy, certificate)).toBe(inCertificate === inPolicy ? 'fits' : 'certificate_refused');
    },
  );

  it.each<[string, string, string]>([
    ['the domain above', 'example.com', 'client.example.com'],
    ['a domain below', 'client.example.com', 'example.com'],
    ['a wildcard in the certificate', '*.example.com', 'client.example.com'],
    ['a wildcard in the policy', 'client.example.com', '*.example.com'],
    ['a domain that ends alike', 'myexample.com', 'example.com'],
    ['a domain that begins alike', 'example.com.evil.test', 'example.com'],
    ['a dot at the end', 'example.com.', 'example.com'],
    ['a dot at the beginning', '.example.com', 'example.com'],
  ])('a DNS name: %s is another', async (_title, value, listed) => {
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value }]);
    const certificate = await certificateWith('CN=a', [names]);
    expect(outcome(routeCertificatePolicy({ san: { dns: listed } }), certificate)).toBe(
      'certificate_refused',
    );
    expect(outcome(routeCertificatePolicy({ san: { dns: value } }), certificate)).toBe('fits');
  });

  it.each<[string, string, string]>([
    ['a path below', 'spiffe://lab/client/a', 'spiffe://lab/client'],
    ['a path above', 'spiffe://lab', 'spiffe://lab/client'],
    ['a slash at the end', 'spiffe://lab/client/', 'spiffe://lab/client'],
    ['another case', 'spiffe://LAB/client', 'spiffe://lab/client'],
    ['percent-encoded', 'spiffe://lab/clie%6et', 'spiffe://lab/client'],
  ])('a URI: %s is another', async (_title, value, listed) => {
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'url', value }]);
    const certificate = await certificateWith('CN=a', [names]);
    expect(outcome(routeCertificatePolicy({ san: { uri: listed } }), certificate)).toBe(
      'certificate_refused',
    );
  });

  it.each(['dns', 'email', 'uri'] as const)(
    'the common name is no alternative name of kind %s',
    async (kind) => {
      const certificate = await certificateWith('CN=client.example.com', [
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'other.example.com' }]),
      ]);
      const policy = routeCertificatePolicy({ san: { [kind]: 'client.example.com' } });
      expect(outcome(policy, certificate)).toBe('certificate_refused');
    },
  );
});

describe('distinguished names are compared as names', () => {
  it.each<[string, string, string, string]>([
    ['the same', 'C=NO, O=Example, CN=alice', 'CN=alice,O=Example,C=NO', 'fits'],
    ['one attribute less', 'C=NO, O=Example, CN=alice', 'CN=alice,O=Example', 'certificate_refused'],
    ['one attribute more', 'O=Example, CN=alice', 'CN=alice,O=Example,C=NO', 'certificate_refused'],
    ['another order', 'O=Example, CN=alice', 'O=Example,CN=alice', 'certificate_refused'],
    ['several attributes of one relative name', 'CN=alice+O=Example', 'CN=alice+O=Example', 'fits'],
    ['these in another order', 'CN=alice+O=Example', 'O=Example+CN=alice', 'fits'],
    ['these as names of their own', 'CN=alice+O=Example', 'O=Example,CN=alice', 'certificate_refused'],
    ['names of their own as these', 'O=Example, CN=alice', 'CN=alice+O=Example', 'certificate_refused'],
    ['one of these', 'CN=alice+O=Example', 'CN=alice', 'certificate_refused'],
    ['one as two', 'CN=alice', 'CN=alice+O=Example', 'certificate_refused'],
    ['another type with that value', 'OU=alice', 'CN=alice', 'certificate_refused'],
    ['a value that begins alike', 'CN=alice2', 'CN=alice', 'certificate_refused'],
    [
      'a value with another name in it',
      'CN=alice\\, O\\=Example',
      'CN=alice,O=Example',
      'certificate_refused',
    ],
    ['a value with a plus in it', 'CN=alice\\+O\\=Example', 'CN=alice+O=Example', 'certificate_refused'],
    ['one value twice', 'CN=alice, CN=alice', 'CN=alice', 'certificate_refused'],
  ])('%s', async (_title, subject, listed, expected) => {
    expect(outcome(routeCertificatePolicy({ subject: listed }), await certificateWith(subject))).toBe(
      expected,
    );
  });

  it.each<[string, string, object, string]>([
    ['the value', 'CN=a, OU=unit-1', { unit: 'unit-1' }, 'fits'],
    ['a value that begins alike', 'CN=a, OU=unit-12', { unit: 'unit-1' }, 'certificate_refused'],
    ['a value that ends alike', 'CN=a, OU=my-unit-1', { unit: 'unit-1' }, 'certificate_refused'],
    ['the value under another type', 'CN=unit-1', { unit: 'unit-1' }, 'certificate_refused'],
    ['in another type beside it', 'CN=a+O=unit-1', { unit: 'unit-1' }, 'certificate_refused'],
    ['no claim and no attribute', 'CN=a', {}, 'certificate_refused'],
    ['no claim and an attribute that says so', 'CN=a, OU=undefined', {}, 'certificate_refused'],
    ['a number', 'CN=a, OU=7', { unit: 7 }, 'certificate_refused'],
  ])('requireCertificateSubject(): %s', async (_title, subject, claims, expected) => {
    const policy = certificateSubjectPolicy({ OU: 'unit' });
    expect(outcome(policy, await certificateWith(subject), claims)).toBe(expected);
  });
});

describe('PSD2 roles are read from the one statement that names them', () => {
  const QC_STATEMENTS = '1.3.6.1.5.5.7.1.3';
  const psd2 = '0.4.0.19495.2';
  const roleOid = '0.4.0.19495.1.3';
  const oid = (value: string) => new asn1js.ObjectIdentifier({ value });
  const sequence = (...value: asn1js.AsnType[]) => new asn1js.Sequence({ value: value as never });
  const role = (id = roleOid, name = 'PSP_AI') => sequence(oid(id), new asn1js.Utf8String({ value: name }));
  const info = (...roles: asn1js.AsnType[]) =>
    sequence(
      sequence(...roles),
      new asn1js.Utf8String({ value: 'Authority' }),
      new asn1js.Utf8String({ value: 'XX-A' }),
    );
  const rolesOf = async (...statements: asn1js.AsnType[]) => {
    const extension = new x509.Extension(QC_STATEMENTS, false, sequence(...statements).toBER());
    const certificate = await certificateWith('CN=tpp', [extension]);
    return { roles: await psd2Roles(certificate), outcome: outcome(psd2RolePolicy('PSP_AI'), certificate) };
  };
  const compliance = () => sequence(oid('0.4.0.1862.1.1'));

  it('of that statement, wherever it stands', async () => {
    const fits = { roles: ['PSP_AI'], outcome: 'fits' };
    expect(await rolesOf(sequence(oid(psd2), info(role())))).toEqual(fits);
    expect(await rolesOf(compliance(), sequence(oid(psd2), info(role())))).toEqual(fits);
  });

  it.each<[string, () => asn1js.AsnType[]]>([
    ['another statement of the same form', () => [sequence(oid('1.2.3.4'), info(role()))]],
    ['the statement of compliance', () => [sequence(oid('0.4.0.1862.1.1'), info(role()))]],
    ['a statement below it', () => [sequence(oid(`${psd2}.1`), info(role()))]],
    ['the statement above it', () => [sequence(oid('0.4.0.19495'), info(role()))]],
    ['no statement around the roles', () => [info(role())]],
    ['the role by its name alone', () => [sequence(oid(psd2), info(role('1.2.3', 'PSP_AI')))]],
    [
      'another role with that name beside it',
      () => [sequence(oid(psd2), info(role('0.4.0.19495.1.1', 'PSP_AI')))],
    ],
    ['the role as the statement itself', () => [sequence(oid(roleOid), info())]],
    ['a statement without roles', () => [sequence(oid(psd2))]],
    ['an empty list of roles', () => [sequence(oid(psd2), info())]],
  ])('%s names no such role', async (_title, statements) => {
    const { roles, outcome } = await rolesOf(...statements());
    expect(roles).not.toContain('PSP_AI');
    expect(outcome).toBe('certificate_refused');
  });

  it('one role is not another', async () => {
    const all = { PSP_AS: 1, PSP_PI: 2, PSP_AI: 3, PSP_IC: 4 } as const;
    for (const [name, number] of Object.entries(all)) {
      const extension = new x509.Extension(
        QC_STATEMENTS,
        false,
        sequence(sequence(oid(psd2), info(role(`0.4.0.19495.1.${number}`, name)))).toBER(),
      );
      const certificate = await certificateWith('CN=tpp', [extension]);
      const outcomes = Object.keys(all).filter(
        (one) => outcome(psd2RolePolicy(one as never), certificate) === 'fits',
      );
      expect(outcomes).toEqual([name]);
    }
  });
});
