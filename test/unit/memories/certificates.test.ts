// What is remembered of connections and certificates, and what must not be: each request is judged by itself.
import {
  ClientCertificate,
  createResourceServer,
  nginx,
  proxyHeader,
  psd2RolePolicy,
  type ResourceServerOptions,
  routeCertificatePolicy,
  tlsSocket,
} from '@mtls-bound/core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import { createPki, type Pki } from '../../support/pki.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  type PretendServer,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

let pki: Pki;
beforeAll(async () => {
  await library.load();
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});
afterEach(() => {
  vi.useRealTimers();
});

const header = 'x-ssl-client-cert';
const handedOn = (more: Record<string, string> = {}) => ({
  [header]: encodeURIComponent(pki.alice.cert),
  ...more,
});

describe('a proxy is trusted for one request at a time', () => {
  /** Decides on requests that all come over one connection. */
  function deciding(source: ResourceServerOptions['certificate'], socket: object) {
    const server = pretendServer(() => boundClaims(pki.alice));
    const resourceServer = createResourceServer(
      optionsOver(server, undefined, source === undefined ? {} : { certificate: source }),
    );
    return (more: Record<string, string> = {}) =>
      outcomeOf(() => resourceServer.authorize(requestWith('token', handedOn(more), socket)));
  }

  it('the trust function is asked for each request of a connection, and each answer counts', async () => {
    const trust = vi.fn((_address: string | undefined, req: { headers: Record<string, unknown> }) => {
      return req.headers['x-from-the-proxy'] === 'yes';
    });
    const decide = deciding(proxyHeader(nginx(), { trust: trust as never }), { remoteAddress: '10.0.0.5' });
    const outcomes = [];
    for (const value of ['yes', 'no', 'yes', 'no']) {
      outcomes.push(await decide({ 'x-from-the-proxy': value }));
    }
    expect(outcomes).toEqual(['admitted', 'certificate_missing', 'admitted', 'certificate_missing']);
    expect(new Set(trust.mock.calls.map(([, req]) => req)).size).toBe(4);
  });

  it('the shared secret is asked of each request of a connection', async () => {
    const secret = { header: 'x-proxy-secret', value: 'a-secret-of-the-proxy' };
    const source = proxyHeader(nginx(), { trust: '10.0.0.5', secret });
    const decide = deciding(source, { remoteAddress: '10.0.0.5' });
    const outcomes = [];
    for (const value of ['a-secret-of-the-proxy', 'a-secret-of-the-proxx', 'a-secret-of-the-proxy']) {
      outcomes.push(await decide({ 'x-proxy-secret': value }));
    }
    outcomes.push(await decide());
    expect(outcomes).toEqual(['admitted', 'certificate_missing', 'admitted', 'certificate_missing']);
  });

  it('an address is trusted for its own connection alone', async () => {
    const source = proxyHeader(nginx(), { trust: '10.0.0.5' });
    const outcomes = [];
    for (const remoteAddress of ['10.0.0.5', '10.0.0.6', '10.0.0.50', '10.0.0.5']) {
      outcomes.push(await deciding(source, { remoteAddress })());
    }
    expect(outcomes).toEqual(['admitted', 'certificate_missing', 'certificate_missing', 'admitted']);
  });

  it("the proxy's own certificate is asked of each connection", async () => {
    const source = proxyHeader(nginx(), { trust: '10.0.0.5', proxyCertificate: [pki.proxy.thumbprint] });
    const connection = (der: Buffer) => ({
      remoteAddress: '10.0.0.5',
      encrypted: true,
      authorized: true,
      getProtocol: () => 'TLSv1.3',
      getPeerX509Certificate: () => ({ raw: der }),
    });
    const outcomes = [];
    for (const { der } of [pki.proxy, pki.bob, pki.proxy]) {
      outcomes.push(await deciding(source, connection(der))());
    }
    expect(outcomes).toEqual(['admitted', 'certificate_missing', 'admitted']);
  });

  it('a remembered header text of one client is never the certificate of another', async () => {
    const source = proxyHeader(nginx(), { trust: '10.0.0.5' });
    const decide = deciding(source, { remoteAddress: '10.0.0.5' });
    const outcomes = [];
    for (const { cert } of [pki.alice, pki.aliceRenewed, pki.bob, pki.alice]) {
      outcomes.push(await decide({ [header]: encodeURIComponent(cert) }));
    }
    expect(outcomes).toEqual(['admitted', 'certificate_mismatch', 'certificate_mismatch', 'admitted']);
  });
});

describe('a certificate policy judges each certificate, at each time, by each policy', () => {
  const policies: [string, ResourceServerOptions['certificatePolicy'] & object][] = [
    ['subject', { subject: 'O=Example,CN=bob' }],
    ['issuer', { issuer: 'CN=Other CA' }],
    ['san', { san: { dns: 'client.example.com' } }],
    ['requireVerified', { requireVerified: true }],
    ['requireValidNow', { requireValidNow: true }],
  ];
  const lasting = { exp: Math.floor(Date.now() / 1000) + 90 * 86_400 };

  /** One certificate object for all, as a kept-alive connection or a cached header gives it. */
  function decidingOn(certificate: ClientCertificate, server: PretendServer, more: ResourceServerOptions) {
    const resourceServer = createResourceServer(optionsOver(server, certificate, more));
    return () => outcomeOf(() => resourceServer.authorize(requestWith('token')));
  }

  it.each(policies)(
    '%s: a certificate that fits one policy does not fit another by that, nor the other way round',
    async (name, certificatePolicy) => {
      const certificate = new ClientCertificate(name === 'requireValidNow' ? pki.expired.der : pki.alice.der);
      const server = pretendServer(() => boundClaims(certificate));
      const fitting = decidingOn(certificate, server, {
        certificatePolicy: { extendedKeyUsage: 'clientAuth' },
      });
      const strict = decidingOn(certificate, server, { certificatePolicy });
      const outcomes = [];
      for (const decide of [fitting, strict, fitting, strict]) {
        outcomes.push(await decide());
      }
      expect(outcomes).toEqual(['admitted', 'certificate_refused', 'admitted', 'certificate_refused']);
    },
  );

  it('a policy of the whole API and those of two routes keep their verdicts apart', async () => {
    const certificate = new ClientCertificate(pki.alice.der);
    const server = pretendServer(() => boundClaims(certificate));
    const resourceServer = createResourceServer(
      optionsOver(server, certificate, { certificatePolicy: { issuer: 'O=Example,CN=Test CA' } }),
    );
    const bob = routeCertificatePolicy({ subject: 'O=Example,CN=bob' });
    const alice = routeCertificatePolicy({ subject: 'O=Example,CN=alice' });
    const outcomes = [];
    for (const policy of [alice, bob, alice, psd2RolePolicy('PSP_AI'), bob, alice]) {
      const req = requestWith('token');
      const authorization = await resourceServer.authorize(req);
      outcomes.push(
        await outcomeOf(async () => {
          await resourceServer.require(req, authorization, policy);
          return 'passed';
        }),
      );
    }
    expect(outcomes).toEqual([
      'admitted',
      'certificate_refused',
      'admitted',
      'certificate_refused',
      'certificate_refused',
      'admitted',
    ]);
  });

  it('two certificates of one policy keep their verdicts apart', async () => {
    const certificates = [pki.alice, pki.bob, pki.alice].map(({ der }) => new ClientCertificate(der));
    let presented = certificates[0] as ClientCertificate;
    const server = pretendServer((token) => boundClaims(token === 'alice' ? pki.alice : pki.bob));
    const resourceServer = createResourceServer(
      optionsOver(server, undefined, {
        certificate: () => presented,
        certificatePolicy: { subject: 'O=Example,CN=alice' },
      }),
    );
    const outcomes = [];
    for (const [i, token] of ['alice', 'bob', 'alice'].entries()) {
      presented = certificates[i] as ClientCertificate;
      outcomes.push(await outcomeOf(() => resourceServer.authorize(requestWith(token))));
    }
    expect(outcomes).toEqual(['admitted', 'certificate_refused', 'admitted']);
  });

  it.each<[string, ResourceServerOptions['certificatePolicy'] & object]>([
    ['requireValidNow alone', { requireValidNow: true }],
    ['requireValidNow and a rule about names', { requireValidNow: true, issuer: 'O=Example,CN=Test CA' }],
  ])(
    '%s: a certificate that expires during its connection is refused from then on',
    async (_title, policy) => {
      const certificate = new ClientCertificate(pki.alice.der);
      const server = pretendServer(() => boundClaims(certificate, lasting));
      const decide = decidingOn(certificate, server, { certificatePolicy: policy });
      expect([await decide(), await decide()]).toEqual(['admitted', 'admitted']);
      vi.useFakeTimers({ toFake: ['Date'], now: Date.parse(certificate.x509.validTo) + 1_000 });
      expect([await decide(), await decide()]).toEqual(['certificate_refused', 'certificate_refused']);
    },
  );

  it('the verdict of the proxy is looked at on each request, though the policy knows the certificate', async () => {
    const verdict = { header: 'x-verified' };
    let verified = true;
    const server = pretendServer(() => boundClaims(pki.alice));
    const resourceServer = createResourceServer(
      optionsOver(server, undefined, {
        certificate: () => new ClientCertificate(pki.alice.der, { verified }),
        certificatePolicy: { requireVerified: true, subject: 'O=Example,CN=alice' },
      }),
    );
    const outcomes = [];
    for (verified of [true, false, true]) {
      outcomes.push(await outcomeOf(() => resourceServer.authorize(requestWith('token', verdict))));
    }
    expect(outcomes).toEqual(['admitted', 'certificate_refused', 'admitted']);
  });

  const unbound = { cnf: undefined };
  it.each<[string, boolean | undefined, object, ResourceServerOptions['binding'] & string]>([
    ['a verified certificate, a bound token', true, {}, 'required'],
    ['a certificate of which no verdict is known, a bound token', undefined, {}, 'required'],
    ['a verified certificate, a bound token under when-bound', true, {}, 'when-bound'],
    ['a verified certificate, an unbound token under when-bound', true, unbound, 'when-bound'],
    ['a certificate of which no verdict is known, an unbound token', undefined, unbound, 'when-bound'],
  ])('the policy is asked of %s', async (_title, verified, claims, binding) => {
    const certificate = new ClientCertificate(pki.alice.der, { verified });
    const server = pretendServer(() => boundClaims(certificate, claims as Record<string, unknown>));
    const outcomes = [];
    for (const subject of ['O=Example,CN=alice', 'O=Example,CN=bob']) {
      const decide = decidingOn(certificate, server, { binding, certificatePolicy: { subject } });
      // The first time the server is asked, the second time the token is known.
      outcomes.push(await decide(), await decide());
    }
    expect(outcomes).toEqual(['admitted', 'admitted', 'certificate_refused', 'certificate_refused']);
  });

  it('the policy is asked of a certificate that is not verified, whose names do not count', async () => {
    const certificate = new ClientCertificate(pki.alice.der, { verified: false });
    const server = pretendServer(() => boundClaims(certificate, {}));
    const decide = decidingOn(certificate, server, { certificatePolicy: { subject: 'O=Example,CN=alice' } });
    expect([await decide(), await decide()]).toEqual(['certificate_refused', 'certificate_refused']);
  });

  it('the policy is asked of a certificate that Node has verified', async () => {
    const socket = {
      encrypted: true,
      authorized: true,
      getProtocol: () => 'TLSv1.3',
      getPeerX509Certificate: () => ({ raw: pki.alice.der }),
    };
    const server = pretendServer(() => boundClaims(pki.alice));
    const resourceServer = createResourceServer(
      optionsOver(server, undefined, {
        certificate: tlsSocket(),
        certificatePolicy: { subject: 'O=Example,CN=bob' },
      }),
    );
    expect(tlsSocket()(requestWith('token', {}, socket))?.verified).toBe(true);
    for (let i = 0; i < 2; i += 1) {
      expect(await outcomeOf(() => resourceServer.authorize(requestWith('token', {}, socket)))).toBe(
        'certificate_refused',
      );
    }
  });

  it.each(['when-bound', 'report'] as const)(
    'binding: %s, a policy and no certificate at all: nothing is taken for one',
    async (binding) => {
      const server = pretendServer(() => boundClaims(pki.alice, unbound));
      const resourceServer = createResourceServer(
        optionsOver(server, undefined, { binding, certificatePolicy: { subject: 'O=Example,CN=alice' } }),
      );
      const outcome = await outcomeOf(() => resourceServer.authorize(requestWith('token')));
      expect(outcome).toBe(binding === 'report' ? 'admitted' : 'certificate_missing');
      expect([...resourceServer.reported.values()].length > 0).toBe(binding === 'report');
    },
  );
});
