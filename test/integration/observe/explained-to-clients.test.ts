import { createResourceServer, nginx, proxyHeader, type ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it, vi } from 'vitest';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

/** No server listens there. */
const nowhere = 'https://127.0.0.1:9/as';

// SECURITY.md lists what `explain` tells.
describe('a client is told, with explain: true alone', () => {
  it.each<[string, () => ResourceServerOptions, () => string, string]>([
    [
      'the expected audience',
      () => kit.options,
      () => kit.boundToken({ claims: { aud: 'https://other.example.com' } }),
      'expected aud https://api.example.com',
    ],
    [
      'the expected issuer',
      () => kit.options,
      () => kit.boundToken({ claims: { iss: 'https://other.example.com' } }),
      'expected iss https://as.example.com',
    ],
    [
      "the authorization server's address and trouble",
      () => ({ issuer: nowhere, clientId: 'api', clientSecret: 'secret', audience: 'api' }),
      () => 'opaque',
      'authorization_server_unreachable: no connection to https://127.0.0.1:9/',
    ],
    [
      "the proxy's header",
      () => ({ ...kit.options, certificate: proxyHeader(nginx(), { trust: ['192.0.2.1'] }) }),
      () => kit.boundToken(),
      'no certificate came from the header x-ssl-client-cert',
    ],
  ])('%s', async (_title, options, token, expected) => {
    const told = async (explain: boolean): Promise<string> => {
      const certificate = () => kit.certificate;
      const server = createResourceServer({ certificate, ...options(), explain });
      const rawHeaders = [
        ...['authorization', `Bearer ${token()}`],
        ...['x-test-client-certificate', kit.certificate.thumbprint],
      ];
      const headers = { 'x-test-client-certificate': kit.certificate.thumbprint };
      const req = { url: '/', headers, rawHeaders, socket: {} } as never;
      try {
        await server.authorize(req);
        return 'let in';
      } catch (thrown) {
        return server.answer(thrown, req).body;
      } finally {
        await server.close();
      }
    };
    expect(await told(true)).toContain(expected);
    expect(await told(false)).not.toContain(expected);
  });
});
