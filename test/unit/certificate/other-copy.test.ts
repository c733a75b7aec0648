// A certificate source may be of another copy of the packages: what its certificates say is read again, not believed.
import { ClientCertificate, createResourceServer } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

let own: ClientCertificate;
let Other: typeof ClientCertificate;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  own = (await createTestKit()).certificate;
  vi.resetModules();
  ({ ClientCertificate: Other } = await import('@mtls-bound/core'));
  expect(Other).not.toBe(ClientCertificate);
});

const der = () => own.der ?? new Uint8Array();
const mark = Symbol.for('mtls-bound.ClientCertificate');

async function admitted(given: unknown) {
  const server = createResourceServer({
    ...optionsOver(
      pretendServer(() => boundClaims(own)),
      undefined,
    ),
    certificate: () => given as ClientCertificate,
  });
  const req = requestWith('token');
  return (await server.authorize(req))?.certificate;
}

it.each<[string, () => unknown, object]>([
  ['its bytes', () => new Other(der(), { verified: true }), { verified: true }],
  ['its bytes, unverified', () => new Other(der(), { verified: false }), { verified: false }],
  ['its bytes, without a verdict', () => new Other(der()), { verified: undefined }],
  ['its hash alone', () => new Other({ thumbprint: own.thumbprint }), { verified: undefined }],
])('a certificate of another copy is made again from %s', async (_title, make, facts) => {
  const certificate = await admitted(make());
  expect(ClientCertificate.isCertificate(certificate)).toBe(true);
  expect(certificate).toMatchObject({ thumbprint: own.thumbprint, ...facts });
});

it('its bytes count, not the thumbprint that it names', async () => {
  const { otherCertificate } = await createTestKit();
  const lying = { [mark]: true, der: otherCertificate.der, thumbprint: own.thumbprint };
  expect(await outcomeOf(() => admitted(lying))).toBe('certificate_mismatch');
});

describe('what only looks like a certificate is refused', () => {
  it.each<[string, () => unknown]>([
    ['without the mark', () => ({ der: der(), thumbprint: own.thumbprint })],
    ['with the mark, without anything else', () => ({ [mark]: true })],
    ['with the mark, bytes as a list', () => ({ [mark]: true, der: [...der()], thumbprint: own.thumbprint })],
    [
      'with the mark, a thumbprint that is too long',
      () => ({ [mark]: true, thumbprint: `${own.thumbprint}A` }),
    ],
    ['that inherits from one of this copy', () => Object.create(own)],
    ['that inherits from one of another copy', () => Object.create(new Other(der()))],
    ['a promise of one', () => Promise.resolve(own)],
  ])('%s', async (_title, given) => {
    expect(await outcomeOf(() => admitted(given()))).toBe('internal_error');
  });
});
