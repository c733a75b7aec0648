// The requests that come before the libraries for certificates are loaded wait for them, and are decided like all others.
import { type Authorization, createResourceServer, routeCertificatePolicy } from '@mtls-bound/core';
import { expect, it, vi } from 'vitest';
import { ClientCertificate } from '../../../packages/core/src/certificate/client-certificate.js';
import { createPki, issueFrom } from '../../support/pki.js';
import {
  boundClaims,
  gate,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const loading = vi.hoisted(() => ({ until: Promise.resolve() as Promise<unknown> }));
vi.mock('../../../packages/core/src/certificate/x509-library.js', async (original) => {
  await loading.until;
  return original();
});

it('waits with an introspected, a cached and a refused request, and with a route policy', async () => {
  const identity = await issueFrom(await createPki(), 'CN=client', []);
  const { opened, open } = gate();
  loading.until = opened;
  const server = (subject?: string) =>
    createResourceServer(
      optionsOver(
        pretendServer(() => boundClaims(identity)),
        new ClientCertificate(identity.der),
        subject === undefined ? {} : { certificatePolicy: { subject } },
      ),
    );
  const [plain, fitting, unfitting] = [server(), server('CN=client'), server('CN=bob')];
  let settled = 0;
  const outcome = (decide: () => unknown) =>
    outcomeOf(decide).finally(() => {
      settled += 1;
    });
  const req = requestWith('token');
  const granted = (await plain.authorize(req)) as Authorization;

  const introspected = [
    outcome(() => fitting.authorize(requestWith('token'))),
    outcome(() => unfitting.authorize(requestWith('token'))),
  ];
  // By now the answers are in the caches.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const waiting = [
    ...introspected,
    outcome(() => fitting.authorize(requestWith('token'))),
    outcome(() => unfitting.authorize(requestWith('token'))),
    outcome(() => plain.require(req, granted, routeCertificatePolicy({ subject: 'CN=client' }))),
    outcome(() => plain.require(req, granted, routeCertificatePolicy({ subject: 'CN=bob' }))),
  ];
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(settled).toBe(0);
  open();
  expect(await Promise.all(waiting)).toEqual([
    'admitted',
    'certificate_refused',
    'admitted',
    'certificate_refused',
    'admitted',
    'certificate_refused',
  ]);
  // Nothing waits any more: a known token is decided at once.
  expect(fitting.authorize(requestWith('token'))).not.toBeInstanceOf(Promise);
});
