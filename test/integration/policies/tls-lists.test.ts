// Where Node's TLS has lists of revoked certificates, a client with a revoked one chooses the error that TLS names, by what it
// sends with it. So each certificate that TLS did not verify is refused there.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { CertificatePolicyOptions } from '@mtls-bound/core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { type Issued, OpensslAuthority } from '../../support/openssl-authority.js';
import { describeReal } from '../../support/programs.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();

describeReal('openssl', 'TLS with lists of revoked certificates of openssl', () => {
  let root: OpensslAuthority;
  let middle: OpensslAuthority;
  /** It has the name of the real one, and another key. */
  let wrongMiddle: OpensslAuthority;
  let good: Issued;
  let revoked: Issued;
  let lists: string[];

  const pemOf = ({ certificate: { x509 } }: { certificate: Issued['certificate'] }) => x509.toString();
  const listOf = (authority: OpensslAuthority) =>
    `-----BEGIN X509 CRL-----\n${authority.list().toString('base64')}\n-----END X509 CRL-----\n`;

  beforeAll(() => {
    root = new OpensslAuthority('root');
    middle = new OpensslAuthority('middle', root);
    wrongMiddle = new OpensslAuthority('middle', new OpensslAuthority('root'));
    good = middle.issue('good');
    revoked = middle.issue('revoked');
    middle.revoke(revoked);
    lists = [listOf(root), listOf(middle)];
  });
  afterAll(() => OpensslAuthority.removeAll());

  describe.each(frameworks)('%s', (framework) => {
    const close: (() => Promise<void>)[] = [];
    afterAll(async () => {
      for (const end of close) {
        await end();
      }
    });

    async function start(certificatePolicy: CertificatePolicyOptions, crl: string[] | undefined) {
      const { listener, resourceServer } = createApi(framework, {
        issuer: server.issuer,
        clientId: 'api',
        clientSecret: 's',
        audience,
        http: { ca: pki.ca.cert },
        certificatePolicy,
      });
      const tls = { ...mutualTls(pki), ca: [pki.ca.cert, pemOf(root)], ...(crl && { crl }) };
      const api = await serve(createServer(tls, listener), () => 0);
      close.push(
        () => resourceServer.close(),
        () => api.close(),
      );
      return api;
    }

    async function statusOf(api: TestApi, leaf: Issued, sent: readonly OpensslAuthority[]): Promise<number> {
      const cert = [leaf, ...sent].map(pemOf).join('');
      const { thumbprint } = leaf.certificate;
      server.introspection = answer(200, goodClaims(server.issuer, thumbprint));
      const identity = { cert, key: readFileSync(leaf.keyFile, 'utf8'), thumbprint };
      return (await call(pki, api, '/', identity as never).auth(`t-${thumbprint}`, { type: 'bearer' }))
        .status;
    }

    it('a revoked certificate is refused, whatever its client sends with it', async () => {
      const api = await start({ authorities: pemOf(root) }, lists);
      expect(await statusOf(api, good, [middle])).toBe(200);
      expect(await statusOf(api, revoked, [middle])).toBe(403);
      expect(await statusOf(api, revoked, [wrongMiddle, middle])).toBe(403);
      expect(await statusOf(api, revoked, [middle, wrongMiddle])).toBe(403);
    });

    it('a revoked certificate is refused whose client leaves out what the API has itself', async () => {
      const api = await start({ authorities: pemOf(root), intermediates: pemOf(middle) }, lists);
      expect(await statusOf(api, revoked, [])).toBe(403);
      expect(await statusOf(api, revoked, [middle])).toBe(403);
      expect(await statusOf(api, good, [middle])).toBe(200);
    });

    it('without lists the verdict of TLS does not count', async () => {
      const api = await start({ authorities: pemOf(root), intermediates: pemOf(middle) }, undefined);
      expect(await statusOf(api, good, [])).toBe(200);
      expect(await statusOf(api, good, [wrongMiddle])).toBe(200);
    });
  });
});
