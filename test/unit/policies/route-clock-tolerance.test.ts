// A route's certificate policy judges the times of lists by the clockTolerance of the resource server before it.
import { type Authorization, ClientCertificate, routeCertificatePolicy } from '@mtls-bound/core';
import { beforeAll, expect, it } from 'vitest';
import {
  hour,
  pem,
  withFiles,
  writeAuthority,
  writeCertificate,
  writeList,
} from '../../support/written-status.js';

const authority = writeAuthority();
const leaf = writeCertificate({ issuer: authority });
const certificate = new ClientCertificate(leaf.certificate.der);

/** A list that expired 20 seconds ago. */
let outcomes: (...tolerances: readonly number[]) => Promise<string[]>;

beforeAll(() => {
  const list = writeList(authority, { thisUpdate: Date.now() - hour, nextUpdate: Date.now() - 20_000 });
  outcomes = (...tolerances) =>
    withFiles([pem(list)], async (crlFiles) => {
      const policy = routeCertificatePolicy({
        authorities: authority.certificate.x509.toString(),
        revocationCheck: { by: 'crl', crlFiles },
      });
      const found: string[] = [];
      for (const clockTolerance of tolerances) {
        const request = {
          authorization: { certificate } as Authorization,
          clockTolerance,
          introspect: async () => undefined,
        };
        found.push(
          await Promise.resolve()
            .then(() => policy(request))
            .then(
              () => 'accepted',
              (error) => error.code,
            ),
        );
      }
      return found;
    });
});

it('accepts an expired list within the tolerance of the server alone', async () => {
  expect(await outcomes(60)).toEqual(['accepted']);
  expect(await outcomes(5)).toEqual(['certificate_status_unknown']);
});

it('keeps the tolerances of two servers apart', async () => {
  const unknown = 'certificate_status_unknown';
  expect(await outcomes(5, 60, 5, 60)).toEqual([unknown, 'accepted', unknown, 'accepted']);
  expect(await outcomes(60, 5, 60)).toEqual(['accepted', unknown, 'accepted']);
});
