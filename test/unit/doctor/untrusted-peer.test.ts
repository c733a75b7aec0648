// What mtls-doctor advises where the header of a certificate was ignored goes by the code of the condition that
// the peer does not meet.
import type { CertificateSource } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import { examine } from '../../../packages/core/src/doctor/arrival.js';

const through = 'if this request came through the proxy, let';
const certificate = `${through} proxyCertificate describe the proxy's own certificate`;

it.each<[string | undefined, string]>([
  ['other_address', `${through} trust name the proxy's address (192.0.2.1)`],
  ['no_secret', `${through} it send the value of the option secret, next to the certificate header`],
  ['wrong_secret', `${through} it send the value of the option secret, next to the certificate header`],
  ['other_certificate', certificate],
  ['not_checked', certificate],
  [undefined, certificate],
])('%s', (reason, fix) => {
  const req = { rawHeaders: [], headers: {}, socket: { remoteAddress: '192.0.2.1' } };
  for (const text of ['any words', 'is not from an address that trust names', 'lacks the shared secret']) {
    const source: CertificateSource = Object.assign(() => undefined, {
      header: 'x-cert',
      explainMissing: () => ({
        code: 'proxy_not_trusted',
        text,
        ...(reason !== undefined && { reason }),
      }),
    });
    expect(examine(req as never, source).findings).toEqual([
      { status: 'problem', code: 'proxy_not_trusted', message: text, fix },
    ]);
  }
});
