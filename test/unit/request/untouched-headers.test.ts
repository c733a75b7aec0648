// Node makes `headers` when it is first read, which costs as much as the rest of a check of a known token.
import {
  ClientCertificate,
  createResourceServer,
  nginx,
  proxyHeader,
  readTokenClaims,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { boundClaims } from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);

it('a request with a known token is accepted without a look at its headers object', async () => {
  const kit = await createTestKit();
  const { der } = kit.certificate;
  const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(der ?? []).toString('base64')}\n-----END CERTIFICATE-----\n`;
  const { thumbprint } = new ClientCertificate(der ?? new Uint8Array());
  const issuer = 'https://as.example.com';
  const server = createResourceServer({
    issuer,
    audience,
    certificate: proxyHeader(nginx(), { trust: 'loopback' }),
    tokens: () => async () => readTokenClaims({ ...boundClaims({ thumbprint }) }, issuer),
  });
  const readHeaders = vi.fn(() => ({}));
  class NodeLikeRequest {
    readonly url = '/';
    readonly httpVersionMajor = 1;
    readonly socket = { remoteAddress: '127.0.0.1', destroyed: false };
    readonly rawHeaders = [
      'Authorization',
      'Bearer token',
      'X-SSL-Client-Cert',
      encodeURIComponent(pem),
      'X-SSL-Client-Verify',
      'SUCCESS',
    ];
    get headers() {
      return readHeaders();
    }
  }
  const request = () => new NodeLikeRequest() as never;
  await server.authorize(request());
  readHeaders.mockClear();
  const granted = request();
  expect(server.isOwnAuthorization(granted, server.authorize(granted))).toBe(true);
  expect(readHeaders).not.toHaveBeenCalled();
});
