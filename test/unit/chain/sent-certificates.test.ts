// What a client sends that is not on its path: a later check may need it, and checks do not add up.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Authorization,
  activeTokenPolicy,
  ClientCertificate,
  createResourceServer,
  proxyHeader,
  type ResourceServer,
  type ResourceServerOptions,
  rfc9440,
  routeCertificatePolicy,
} from '@mtls-bound/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { thumbprintOf } from '../../../packages/core/src/certificate/client-certificate.js';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import { ChainVerification } from '../../../packages/core/src/chain/chain-verification.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';
import { commonName } from '../../support/written-der.js';
import {
  hour,
  withFiles,
  writeAuthority,
  writeCertificate,
  writeList,
} from '../../support/written-status.js';

type Authority = ReturnType<typeof writeAuthority>;

await x509.load();
const root = writeAuthority({ name: commonName('root') });
const other = writeAuthority({ name: commonName('other root') });
/** One authority with several certificates, of the same name and key. */
const one = writeAuthority({ name: commonName('between'), serial: [11], issuer: root });
const [two, three] = [12, 13].map((serial) => certified(serial, root)) as [Authority, Authority];
const crossed = certified(21, other);
const leaf = writeCertificate({ issuer: one, serial: [7], name: commonName('client') });
const beside = Array.from({ length: 8 }, (_, at) =>
  writeCertificate({ serial: [30 + at], name: commonName(`beside ${at}`) }),
);

function certified(serial: number, issuer: Authority): Authority {
  return writeAuthority({ name: commonName('between'), serial: [serial], issuer, keyOf: one });
}

const derOf = ({ certificate }: Pick<Authority, 'certificate'>): Uint8Array => certificate.der as Uint8Array;
const pemOf = ({ certificate }: Authority): string => certificate.x509.toString();
const clientThatSends = (...sent: readonly Pick<Authority, 'certificate'>[]) =>
  new ClientCertificate(derOf(leaf), { intermediates: sent.map(derOf) });
const chainHeadersOf = (...sent: readonly Pick<Authority, 'certificate'>[]) => {
  const item = (from: Pick<Authority, 'certificate'>) => `:${Buffer.from(derOf(from)).toString('base64')}:`;
  return { 'client-cert': item(leaf), 'client-cert-chain': sent.map(item).join(', ') };
};

const open: ResourceServer[] = [];

afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(open.splice(0).map((resourceServer) => resourceServer.close()));
});

function resourceServerOf(options: Partial<ResourceServerOptions>): ResourceServer {
  const claims = { exp: Math.floor(Date.now() / 1000) + 36_000 };
  const server = pretendServer(() => boundClaims(leaf.certificate, claims));
  const resourceServer = createResourceServer(
    optionsOver(server, undefined, { floodGuard: false, ...options }),
  );
  open.push(resourceServer);
  return resourceServer;
}

describe('a stream that is checked again and again', () => {
  const trusted = { trust: ['127.0.0.1'] };
  it.each<[string, Partial<ResourceServerOptions>, Record<string, string>]>([
    ['TLS that ends in Node', { certificate: () => clientThatSends(one, crossed, ...beside) }, {}],
    [
      'a proxy',
      { certificate: proxyHeader(rfc9440({ chainHeader: 'client-cert-chain' }), trusted) },
      chainHeadersOf(one, crossed, ...beside),
    ],
  ])('keeps one certificate for each set of authorities, behind %s', async (_where, options, headers) => {
    const resourceServer = resourceServerOf({
      ...options,
      certificatePolicy: { authorities: pemOf(root) },
    });
    const guards = [
      activeTokenPolicy,
      routeCertificatePolicy({ authorities: pemOf(root) }),
      routeCertificatePolicy({ authorities: pemOf(other) }),
    ];
    const socket = Object.assign(new EventEmitter(), { remoteAddress: '127.0.0.1', destroyed: false });
    const req = requestWith('token', headers, socket);
    let latest = (await resourceServer.authorize(req)) as Authorization;
    const seen = new Set([latest.certificate]);
    for (let round = 0; round < 10; round += 1) {
      for (const guard of guards) {
        latest = await resourceServer.require(req, latest, guard);
        seen.add(latest.certificate);
      }
    }
    expect(seen.size).toBe(3);
  });
});

it('what verify() returned for a certificate is what it returns for the result', async () => {
  const chain = new ChainVerification(
    new AuthoritySource(pemOf(root), 'authorities', () => undefined),
    undefined,
  );
  const now = Date.now();
  await chain.prepare(now);
  const first = chain.verify(clientThatSends(one, two, ...beside), now);
  if ('why' in first) {
    throw new Error(first.why);
  }
  expect(first.certificate.intermediates).toHaveLength(10);
  expect(chain.verify(first.certificate, now)).toBe(first);
  expect(chain.withSentCertificates(first.certificate, first)).toBe(first);
});

it('what the client sent is kept however often the configured certificates change', async () => {
  let configured = one;
  const chain = new ChainVerification(
    new AuthoritySource(pemOf(root), 'authorities', () => undefined),
    new AuthoritySource(
      () => pemOf(configured),
      'intermediates',
      () => undefined,
    ),
  );
  const firstSent = beside.slice(0, 7).map(({ certificate }) => certificate.thumbprint);
  let now = Date.now();
  let certificate = clientThatSends(...beside);
  for (const next of [one, ...Array.from({ length: 5 }, (_, at) => certified(40 + at, root))]) {
    configured = next;
    now += 11_000;
    await chain.prepare(now);
    await new Promise(setImmediate);
    await chain.prepare(now);
    const outcome = chain.verify(certificate, now);
    certificate = 'why' in outcome ? certificate : outcome.certificate;
    const thumbprints = certificate.intermediates.map(thumbprintOf);
    expect(thumbprints[0]).toBe(next.certificate.thumbprint);
    expect(thumbprints.slice(1)).toEqual(expect.arrayContaining(firstSent));
  }
});

describe('a client whose issuer has several certificates, one of them revoked', () => {
  let lists = 0;
  /** Each list is newer than the ones before. */
  const rootList = (...serials: readonly number[]) => {
    lists += 1;
    return writeList(root, {
      revoked: serials.map((serial) => [serial]),
      thisUpdate: Date.now() - hour + 1_000 * lists,
      nextUpdate: Date.now() + 24 * hour,
    });
  };
  const listOfIssuer = () =>
    writeList(one, { thisUpdate: Date.now() - hour, nextUpdate: Date.now() + 24 * hour });

  it.each<['strict' | 'tolerant', string, () => readonly Buffer[]]>([
    ['strict', 'all lists', () => [rootList(11), listOfIssuer()]],
    ['tolerant', 'no list of the issuer', () => [rootList(11)]],
    ['tolerant', 'no list of the issuer, and nothing revoked', () => [rootList()]],
  ])(
    'passes a guard with other authorities from the first request on: %s, %s',
    async (mode, _lists, files) => {
      await withFiles([...files()], async (crlFiles) => {
        let certificate: ClientCertificate | undefined;
        const resourceServer = resourceServerOf({
          certificate: () => certificate,
          certificatePolicy: {
            authorities: pemOf(root),
            revocationCheck: { by: 'crl', crlFiles, mode },
          },
        });
        const guard = routeCertificatePolicy({ authorities: pemOf(other) });
        const pass = async () => {
          const req = requestWith('token');
          return resourceServer.require(req, await resourceServer.authorize(req), guard);
        };
        for (let connection = 0; connection < 2; connection += 1) {
          certificate = clientThatSends(one, two, crossed);
          expect(await outcomeOf(pass)).toBe('admitted');
          expect(await outcomeOf(pass)).toBe('admitted');
        }
      });
    },
  );

  it('keeps its stream and its tokens while one path is good', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'], now: Date.now() });
    const revocations: unknown[] = [];
    const note = (event: unknown) => void revocations.push(event);
    subscribe('mtls-bound:revocation', note);
    await withFiles([rootList(11), listOfIssuer()], async (crlFiles) => {
      const resourceServer = resourceServerOf({
        certificate: () => clientThatSends(one, two, three),
        certificatePolicy: {
          authorities: pemOf(root),
          revocationCheck: { by: 'crl', crlFiles, refreshInterval: 10 },
        },
      });
      const socket = Object.assign(new EventEmitter(), { remoteAddress: '127.0.0.1', destroyed: false });
      const req = requestWith('token', {}, socket);
      const { signal } = (await resourceServer.authorize(req)) as Authorization;
      const pass = async (seconds: number) => {
        for (let second = 0; second < seconds; second += 1) {
          await vi.advanceTimersByTimeAsync(1_000);
          await sleep(2);
        }
      };
      writeFileSync(crlFiles[0] as string, rootList(11, 12));
      await pass(40);
      expect([signal.aborted, revocations]).toEqual([false, []]);
      writeFileSync(crlFiles[0] as string, rootList(11, 12, 13));
      await pass(40);
      expect([signal.aborted, revocations.length]).toEqual([true, 1]);
    }).finally(() => unsubscribe('mtls-bound:revocation', note));
  });
});
