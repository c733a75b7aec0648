import { mismatch } from '../../support/mismatch.js';
import 'reflect-metadata';
import {
  activeTokenPolicy,
  ClientCertificate,
  createResourceServer,
  type PolicyContext,
  psd2Roles,
} from '@mtls-bound/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import { ConfigurationError, type RequestRefused } from '../../../packages/core/src/errors.js';
import {
  certificateSubjectPolicy,
  psd2RolePolicy,
  routeCertificatePolicy,
} from '../../../packages/core/src/policy/route-certificate.js';
import { createPki, type Identity, issueFrom, type Pki } from '../../support/pki.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

let pki: Pki;
/** Its UID stands beside its CN, and its locality is an empty text. */
let tpp: Identity;
const hashAlone = () => new ClientCertificate({ thumbprint: pki.alice.thumbprint });

beforeAll(async () => {
  await library.load();
  pki = await createPki();
  tpp = await issueFrom(
    pki,
    'CN=tpp+0.9.2342.19200300.100.1.1=software-1, OU=payments, OU=accounts, C=NO, L=',
    [],
  );
});

type Policy = ReturnType<typeof certificateSubjectPolicy>;

function outcome(policy: Policy, certificate: ClientCertificate | undefined, claims = {}): string {
  try {
    policy({ authorization: { certificate, claims } } as unknown as PolicyContext & { authorization: never });
    return 'passes';
  } catch (thrown) {
    const { code, status, detail } = thrown as RequestRefused;
    return `${status} ${code}: ${detail}`;
  }
}

const needsMore =
  "403 certificate_refused: the proxy hands on the certificate's hash alone, and the rule needs the whole certificate";

describe('requireCertificateSubject()', () => {
  const refused = (type: string) => `403 certificate_refused: its ${type} is not what the token names`;

  it.each<[string, Parameters<typeof certificateSubjectPolicy>[0], Record<string, unknown>, string]>([
    ['one of several values', { OU: 'unit' }, { unit: 'accounts' }, 'passes'],
    ['the other of them', { ou: 'unit' }, { unit: 'payments' }, 'passes'],
    ['both at once, which is neither', { OU: 'unit' }, { unit: 'payments,accounts' }, refused('OU')],
    ['both of one relative name', { CN: 'cn', UID: 'uid' }, { cn: 'tpp', uid: 'software-1' }, 'passes'],
    ['the value of another type', { CN: 'cn' }, { cn: 'software-1' }, refused('CN')],
    ['an empty claim and an empty attribute', { L: 'l' }, { l: '' }, refused('L')],
    ['a function that finds nothing', { L: () => undefined }, {}, refused('L')],
    ['a list that holds the value', { UID: 'uid' }, { uid: ['software-1'] }, refused('UID')],
    ['the second of two', { C: 'c', CN: 'cn' }, { c: 'NO', cn: 'other' }, refused('CN')],
    ['named by its OID', { '2.5.4.6': 'c' }, { c: 'SE' }, refused('2.5.4.6')],
  ])('%s', (_title, required, claims, expected) => {
    expect(outcome(certificateSubjectPolicy(required), new ClientCertificate(tpp.der), claims)).toBe(
      expected,
    );
  });

  it('a certificate of which the hash alone is known is refused for that, and none for its name', () => {
    const policy = certificateSubjectPolicy({ CN: 'cn' });
    expect(outcome(policy, hashAlone(), { cn: 'tpp' })).toBe(needsMore);
    expect(outcome(policy, undefined, { cn: 'tpp' })).toBe(refused('CN'));
  });

  it('takes the text that a function makes of the claims, and no promise of it', () => {
    const certificate = new ClientCertificate(tpp.der);
    const byFunction = certificateSubjectPolicy({ UID: ({ id }) => `software-${id}` });
    expect(outcome(byFunction, certificate, { id: 1 })).toBe('passes');
    expect(outcome(byFunction, certificate, { id: 2 })).toBe(refused('UID'));
    const byPromise = certificateSubjectPolicy({ UID: (async () => 'software-1') as never });
    const request = { authorization: { certificate, claims: {} } } as unknown as PolicyContext;
    expect(() => byPromise(request)).toThrow(
      'certificateSubjectPolicy(): the function for UID returned a promise; it must return a text',
    );
  });

  it('looks into a certificate once, whichever route asks', () => {
    let looks = 0;
    const certificate = {
      get der() {
        looks += 1;
        return tpp.der;
      },
    } as unknown as ClientCertificate;
    for (const type of ['CN', 'UID', 'CN']) {
      outcome(certificateSubjectPolicy({ [type]: 'x' }), certificate, { x: 'tpp' });
    }
    expect(looks).toBe(1);
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['an empty object', {}],
    ['a type that is none beside a good one', { UID: 'uid', planet: 'x' }],
    ['something behind an OID', { '2.5.4.3x': 'cn' }],
    ['something before an OID', { 'x2.5.4.3': 'cn' }],
    ['a number for a claim', { CN: 1 }],
    ['a list for a claim', { CN: ['cn'] }],
  ])('is not made of %s', (_title, required) => {
    expect(() => certificateSubjectPolicy(required as never)).toThrow(
      mismatch(
        'certificateSubjectPolicy()',
        required === undefined ? 'undefined' : 'an object',
        'an object from attribute types, as organizationIdentifier or 2.5.4.97, to a claim or a function',
      ),
    );
  });
});

describe('requirePsd2Role()', () => {
  it.each<[string, () => ClientCertificate | undefined]>([
    ['no QCStatements', () => new ClientCertificate(pki.alice.der)],
    ['no certificate', () => undefined],
  ])('refuses where there is %s', (_title, make) => {
    expect(outcome(psd2RolePolicy('PSP_AI'), make())).toBe(
      '403 certificate_refused: its QCStatements do not name the role PSP_AI',
    );
  });

  it('takes the four roles of ETSI TS 119 495 and no other', () => {
    for (const other of ['PSP_XX', 'toString']) {
      expect(() => psd2RolePolicy(other as never)).toThrow(
        'psd2RolePolicy(): expected one of PSP_AS, PSP_PI, PSP_AI, PSP_IC, got ',
      );
    }
  });

  it('a certificate without QCStatements has no role', async () => {
    expect(await psd2Roles(new ClientCertificate(pki.alice.der))).toEqual([]);
  });

  it('refuses a certificate that is known by its hash alone for that, not for its role', async () => {
    expect(outcome(psd2RolePolicy('PSP_AI'), hashAlone())).toBe(needsMore);
    await expect(psd2Roles(hashAlone())).rejects.toThrow(needsMore.slice(4));
  });
});

describe('requireCertificate()', () => {
  it.each<[string, object, string | RegExp]>([
    [
      'a status that is none',
      { requireVerified: true, refusalStatus: 402 },
      mismatch('routeCertificatePolicy().refusalStatus', '402'),
    ],
    ['an unknown rule', { verified: true }, mismatch('routeCertificatePolicy()', 'a name of 8 characters')],
    [
      'no rule',
      {},
      mismatch('routeCertificatePolicy()', 'nothing', 'something that a certificate could lack'),
    ],
    ['a status alone', { refusalStatus: 401 }, mismatch('routeCertificatePolicy()', 'nothing')],
  ])('refuses %s, and names itself', (_title, options, message) => {
    expect(() => routeCertificatePolicy(options)).toThrow(ConfigurationError);
    expect(() => routeCertificatePolicy(options)).toThrow(message);
  });

  it('looks at the time of the request', () => {
    const policy = routeCertificatePolicy({ requireValidNow: true });
    expect(outcome(policy as Policy, new ClientCertificate(pki.alice.der))).toBe('passes');
    expect(outcome(policy as Policy, new ClientCertificate(pki.expired.der))).toBe(
      '403 certificate_refused: it is not valid now',
    );
  });

  it('for the guards behind it, a certificate that passes authorities counts as verified', async () => {
    const { cert } = pki.ca;
    const certificate = new ClientCertificate(pki.alice.der, { verified: false, mayBeRevoked: false });
    const server = createResourceServer(
      optionsOver(
        pretendServer(() => boundClaims(certificate, { cn: 'alice' })),
        certificate,
      ),
    );
    const bySubject = certificateSubjectPolicy({ CN: 'cn' });
    const req = requestWith('token');
    const granted = await server.authorize(req);
    const before = await outcomeOf(() => server.require(req, granted, bySubject));
    const verified = await server.require(req, granted, routeCertificatePolicy({ authorities: cert }));
    expect(before).toBe('certificate_refused');
    expect(verified.certificate).toMatchObject({ verified: true, thumbprint: certificate.thumbprint });
    expect(verified).toMatchObject({ isBound: true, claims: granted?.claims });
    // The request may still hold the one from before.
    for (const given of [granted, verified]) {
      expect(await server.require(req, given, bySubject)).toBe(verified);
    }
    const renewed = await server.require(req, granted, activeTokenPolicy);
    expect(renewed).not.toBe(verified);
    expect(renewed.certificate?.verified).toBe(true);
    const other = requestWith('token');
    const byAuthorities = routeCertificatePolicy({ authorities: cert });
    const both = await server.require(other, await server.authorize(other), async (context) => {
      await byAuthorities(context);
      await context.introspect();
    });
    expect(both.certificate?.verified).toBe(true);
    await server.close();
  });
});
