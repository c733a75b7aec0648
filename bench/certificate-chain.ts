// What certificatePolicy costs with everything on: a chain of three certificates, their revocation lists, names, times
// and usage. A request with a certificate that is known, and the first request with one that is not. The lists are
// there: nothing is fetched. In a loop in one process, without a server.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CertificatePolicyOptions,
  createResourceServer,
  type NodeRequest,
  nginx,
  proxyHeader,
  readTokenClaims,
} from '@mtls-bound/core';
import { authority, client } from '../test/support/chains.js';
import { revocationList } from '../test/support/crl.js';
import { audience, claimsOf, issuer } from './harness/cast.js';
import { closeScenario } from './harness/close.js';
import { summaryOf } from './harness/record.js';
import { takeTurns } from './harness/rounds.js';
import { isQuick } from './harness/settings.js';

const calls = isQuick ? 10 : 20_000;
const firstCalls = isQuick ? 2 : 50;
/** Revoked certificates in the list of the authority of the clients. */
const revokedCount = 1_000;

const root = await authority('CN=Root');
const clients = await authority('CN=Clients', root);
const [known] = await newClients(1);
const folder = mkdtempSync(join(tmpdir(), 'certificate-chain-'));
const crlFiles = [join(folder, 'root.crl'), join(folder, 'clients.crl')] as const;
const revoked = await newClients(isQuick ? 1 : revokedCount);
writeFileSync(crlFiles[0], await revocationList(root, []));
writeFileSync(crlFiles[1], await revocationList(clients, revoked));

async function newClients(count: number) {
  const made = [];
  for (let index = 0; index < count; index += 1) {
    const { cert, der } = await client(`CN=client ${index}`, clients);
    made.push({
      cert,
      header: Buffer.from(encodeURIComponent(cert), 'latin1'),
      thumbprint: createHash('sha256').update(der).digest('base64url'),
    });
  }
  return made;
}

type Client = Awaited<ReturnType<typeof newClients>>[number];

const whole: CertificatePolicyOptions = {
  authorities: root.cert,
  intermediates: clients.cert,
  requireVerified: true,
  requireValidNow: true,
  issuer: 'CN=Clients',
  extendedKeyUsage: 'clientAuth',
  revocationCheck: { by: 'crl', crlFiles },
};

/** The thumbprint that a token is bound to is a part of the token. */
function start(certificatePolicy?: CertificatePolicyOptions) {
  return createResourceServer({
    issuer,
    audience,
    certificate: proxyHeader(nginx(), { trust: 'loopback' }),
    tokens: () => async (token) => readTokenClaims(claimsOf(token.slice(0, 43), token), issuer),
    ...(certificatePolicy && { certificatePolicy }),
  });
}

const socket = { remoteAddress: '127.0.0.1', destroyed: false };

/** Each request has texts of its own, as Node's parser makes them. */
function requestOf({ header, thumbprint }: Client): NodeRequest {
  const token = Buffer.from(`Bearer ${thumbprint}-of-a-token`, 'latin1').toString('latin1');
  const fields = ['X-SSL-Client-Cert', header.toString('latin1'), 'Authorization', token];
  return { url: '/accounts', socket, headers: {}, rawHeaders: ['Host', 'api', ...fields] } as never;
}

const servers = { off: start(), on: start(whole) };
type Name = keyof typeof servers;
for (const server of Object.values(servers)) {
  await server.authorize(requestOf(known as Client));
}

/** Nanoseconds of a request with a known certificate. */
function timeKnown(name: Name): number {
  const requests = Array.from({ length: calls }, () => requestOf(known as Client));
  const begin = process.hrtime.bigint();
  for (const request of requests) {
    if (servers[name].authorize(request) instanceof Promise) {
      throw new Error('a known certificate should not be waited for');
    }
  }
  return Number(process.hrtime.bigint() - begin) / calls;
}

/** Microseconds of the first request with each of several certificates. */
async function timeNew(name: Name): Promise<number> {
  const requests = (await newClients(firstCalls)).map(requestOf);
  const begin = performance.now();
  for (const request of requests) {
    await servers[name].authorize(request);
  }
  return (1_000 * (performance.now() - begin)) / firstCalls;
}

const measure = async (name: Name) => ({ known: timeKnown(name), new: await timeNew(name) });
const samples = await takeTurns(
  'certificate-chain',
  { off: () => measure('off'), on: () => measure('on') },
  { rounds: 21, warmUp: 3 },
);
await Promise.all(Object.values(servers).map((server) => server.close()));
rmSync(folder, { recursive: true });

const more = samples.of('on', 'known').map((time, round) => time - (samples.of('off', 'known')[round] ?? 0));
closeScenario({
  scenario: 'certificate-chain',
  unit: 'nanoseconds a call',
  rounds: samples.rounds,
  contestants: {
    'a known certificate, no policy': summaryOf(samples.of('off', 'known')),
    'a known certificate, the whole policy': summaryOf(samples.of('on', 'known')),
    'a new certificate, no policy': summaryOf(samples.of('off', 'new').map((time) => 1_000 * time)),
    'a new certificate, the whole policy': summaryOf(samples.of('on', 'new').map((time) => 1_000 * time)),
  },
  ratios: {
    'what a known certificate costs more / 1 µs': {
      ...summaryOf(more.map((time) => time / 1_000)),
      goal: { max: 1 },
    },
    'a new certificate, the whole policy / 5 ms': {
      ...summaryOf(samples.of('on', 'new').map((time) => time / 5_000)),
      goal: { max: 1 },
    },
  },
});
