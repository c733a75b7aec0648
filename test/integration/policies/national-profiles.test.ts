import 'reflect-metadata';
import {
  ClientCertificate,
  certificateSubjectPolicy,
  type PolicyContext,
  psd2RolePolicy,
  psd2Roles,
  type RoutePolicy,
} from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';
import { describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { type Identity, issueFrom } from '../../support/pki.js';
import { qcStatements } from '../../support/qc-statements.js';
import { expectRefusal } from '../../support/refusals.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();

const AI = '0.4.0.19495.1.3';
const PI = '0.4.0.19495.1.2';

function outcome(
  policy: RoutePolicy,
  identity: Identity | undefined,
  claims: Record<string, unknown> = {},
): string {
  const certificate = identity && new ClientCertificate(identity.der);
  try {
    policy({ authorization: { certificate, claims } } as unknown as PolicyContext);
    return 'passes';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

describe('R185: Berlin Group, the role of an eIDAS certificate', () => {
  it.each<[string, string[], string[]]>([
    ['one role', [AI], ['PSP_AI']],
    ['several', [AI, PI], ['PSP_AI', 'PSP_PI']],
    [
      'ETSI TS 119 495 §5.1: all four',
      ['0.4.0.19495.1.1', '0.4.0.19495.1.2', '0.4.0.19495.1.3', '0.4.0.19495.1.4'],
      ['PSP_AS', 'PSP_PI', 'PSP_AI', 'PSP_IC'],
    ],
    ['none', [], []],
    ['an unknown one', ['0.4.0.19495.1.9'], []],
  ])('%s', async (_title, oids, roles) => {
    const identity = await issueFrom(pki, 'CN=TPP', [qcStatements(...oids)]);
    expect(await psd2Roles(new ClientCertificate(identity.der))).toEqual(roles);
  });

  it('accepts a client with the role, and refuses one without QCStatements, without a certificate, or with nonsense in it', async () => {
    const accounts = await issueFrom(pki, 'CN=TPP', [qcStatements(AI)]);
    const nonsense = await issueFrom(pki, 'CN=TPP', [
      new x509.Extension('1.3.6.1.5.5.7.1.3', false, Buffer.from('0500', 'hex')),
    ]);
    expect(outcome(psd2RolePolicy('PSP_AI'), accounts)).toBe('passes');
    expect(outcome(psd2RolePolicy('PSP_PI'), accounts)).toBe('certificate_refused');
    expect(outcome(psd2RolePolicy('PSP_AI'), pki.alice)).toBe('certificate_refused');
    expect(outcome(psd2RolePolicy('PSP_AI'), undefined)).toBe('certificate_refused');
    expect(outcome(psd2RolePolicy('PSP_AI'), nonsense)).toBe('certificate_refused');
  });
});

describe('R182: Open Finance Brasil, Open Banking UK, who the subject names', () => {
  // As Brasil's certificates write it: UID the software statement, organizationIdentifier the organisation.
  const subject =
    'CN=tpp.example.com, 2.5.4.97=OFBBR-11111111-2222, 0.9.2342.19200300.100.1.1=software-1, O=TPP, C=BR';

  it.each<[string, Parameters<typeof certificateSubjectPolicy>[0], Record<string, unknown>, string]>([
    ['UID is the claim', { UID: 'software_id' }, { software_id: 'software-1' }, 'passes'],
    ['by OID', { '0.9.2342.19200300.100.1.1': 'software_id' }, { software_id: 'software-1' }, 'passes'],
    [
      'organizationIdentifier is made of a claim',
      { organizationIdentifier: ({ org_id }) => `OFBBR-${org_id}` },
      { org_id: '11111111-2222' },
      'passes',
    ],
    ['both', { UID: 'software_id', CN: () => 'tpp.example.com' }, { software_id: 'software-1' }, 'passes'],
    ['another software', { UID: 'software_id' }, { software_id: 'software-2' }, 'certificate_refused'],
    ['in another case', { UID: 'software_id' }, { software_id: 'Software-1' }, 'certificate_refused'],
    ['a missing claim', { UID: 'software_id' }, {}, 'certificate_refused'],
    ['an empty claim', { L: 'x' }, { x: '' }, 'certificate_refused'],
    [
      'a claim of another type',
      { UID: 'software_id' },
      { software_id: ['software-1'] },
      'certificate_refused',
    ],
    [
      'one of two',
      { UID: 'software_id', CN: () => 'x' },
      { software_id: 'software-1' },
      'certificate_refused',
    ],
    ['a missing attribute', { OU: 'x' }, { x: 'y' }, 'certificate_refused'],
  ])('%s', async (_title, required, claims, expected) => {
    const identity = await issueFrom(pki, subject, []);
    expect(outcome(certificateSubjectPolicy(required), identity, claims)).toBe(expected);
    expect(outcome(certificateSubjectPolicy(required), undefined, claims)).toBe('certificate_refused');
  });
});

it.each(frameworks)('S12: %s enforces both policies on a route, over TLS', async (framework) => {
  const tpp = await issueFrom(pki, '2.5.4.97=PSDNO-FSA-1, CN=tpp', [qcStatements(AI)]);
  server.introspection = answer(200, goodClaims(server.issuer, tpp.thumbprint, { org: 'PSDNO-FSA-1' }));
  for (const [policy, status] of [
    [certificateSubjectPolicy({ organizationIdentifier: 'org' }), 200],
    [psd2RolePolicy('PSP_AI'), 200],
    [psd2RolePolicy('PSP_IC'), 403],
    [certificateSubjectPolicy({ CN: 'org' }), 403],
  ] as const) {
    const options = {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 's',
      audience,
      http: { ca: pki.ca.cert },
    };
    const api = await startApi(framework, pki, options, policy);
    try {
      const response = await call(pki, api, '/policy', tpp).auth('token', { type: 'bearer' });
      if (status === 403) {
        await expectRefusal(response, { status, error: 'access_denied' });
      } else {
        expect(response.status).toBe(status);
      }
    } finally {
      await api.close();
    }
  }
});
