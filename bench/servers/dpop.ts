// Makes proofs for one known token, and times what verifies them. Each proof is used once: authorize() refuses it afterwards.
import {
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from 'node:crypto';
import {
  createResourceServer,
  type NodeRequest,
  nginx,
  proxyHeader,
  readTokenClaims,
} from '@mtls-bound/core';
import { compactVerify, importJWK } from 'jose';
import { generateP256 } from '../../test/support/key-pairs.js';
import { issuer } from '../harness/cast.js';
import { whenAsked } from '../harness/child.js';

type Algorithm = 'ES256' | 'EdDSA';
type Contestant = 'bare' | 'authorize' | 'jose';

const origin = 'https://api.example.com';
const algorithms = {
  ES256: { ...generateP256(), digest: 'sha256' },
  EdDSA: { ...generateKeyPairSync('ed25519'), digest: null },
} as const;
const clients = { ES256: await createClient('ES256'), EdDSA: await createClient('EdDSA') };

async function createClient(algorithm: Algorithm) {
  const { publicKey, privateKey, digest } = algorithms[algorithm];
  const jwk = publicKey.export({ format: 'jwk' });
  const members = Object.entries(jwk).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const jkt = hash('sha256', JSON.stringify(Object.fromEntries(members)), 'base64url');
  const token = randomUUID();
  const header = encoded({ typ: 'dpop+jwt', alg: algorithm, jwk });
  const ath = hash('sha256', token, 'base64url');
  const server = createResourceServer({
    issuer,
    audience: origin,
    certificate: proxyHeader(nginx(), { trust: 'loopback' }),
    tokens: () => async () =>
      readTokenClaims({ aud: origin, exp: Date.now() / 1000 + 86_400, cnf: { jkt } }, issuer),
    dpop: { origin, maxAge: 10 },
  });
  return {
    token,
    server,
    // As it is imported from a proof.
    key: createPublicKey({ key: jwk as never, format: 'jwk' }),
    joseKey: await importJWK(jwk as never, algorithm),
    makeProof(): string {
      const claims = {
        jti: randomUUID(),
        htm: 'GET',
        htu: `${origin}/accounts`,
        iat: Date.now() / 1000,
        ath,
      };
      const signed = `${header}.${encoded(claims)}`;
      const signature = sign(digest, Buffer.from(signed), signing(privateKey)).toString('base64url');
      return asReceived(`${signed}.${signature}`);
    },
  };
}

/** ECDSA signatures as JWTs have them; Ed25519 has one form alone. */
function signing(key: KeyObject) {
  return { key, dsaEncoding: 'ieee-p1363' } as const;
}

/** The text as Node's parser makes it: in one piece. V8 puts the pieces of another one together when it is first read. */
function asReceived(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

const socket = { remoteAddress: '127.0.0.1', destroyed: false };

function requestWith(token: string, proof: string): NodeRequest {
  return {
    method: 'GET',
    url: '/accounts',
    socket,
    headers: {},
    rawHeaders: [
      ...['Host', 'api.example.com', 'Connection', 'keep-alive', 'Accept', 'application/json'],
      ...['Authorization', asReceived(`DPoP ${token}`), 'DPoP', proof],
    ],
  } as never;
}

/** Prepares the call for each proof, so that nothing else is timed. */
function callsOf(name: Contestant, algorithm: Algorithm, proofs: readonly string[]): (() => unknown)[] {
  const { token, server, key, joseKey } = clients[algorithm];
  const { digest } = algorithms[algorithm];
  switch (name) {
    case 'authorize':
      return proofs
        .map((proof) => requestWith(token, proof))
        .map((request) => () => server.authorize(request));
    case 'jose':
      return proofs.map((proof) => () => compactVerify(proof, joseKey));
    case 'bare':
      return proofs.map((proof) => {
        const end = proof.lastIndexOf('.');
        const signed = Buffer.from(proof.slice(0, end));
        const signature = Buffer.from(proof.slice(end + 1), 'base64url');
        const options = signing(key);
        return () => verify(digest, signed, options, signature) || fail('the signature is wrong');
      });
  }
}

function fail(reason: string): never {
  throw new Error(reason);
}

whenAsked({
  /**
   * Gives nanoseconds a call, of processor: other work on the machine does not count. With what the
   * garbage of the calls costs.
   */
  async time({ name, algorithm, count }: { name: Contestant; algorithm: Algorithm; count: number }) {
    const { token, server, makeProof } = clients[algorithm];
    // From now on the token and the key are known.
    await server.authorize(requestWith(token, makeProof()));
    const calls = callsOf(name, algorithm, Array.from({ length: count }, makeProof));
    globalThis.gc?.();
    const start = process.cpuUsage();
    for (const call of calls) {
      const outcome = call();
      if (outcome instanceof Promise) {
        await outcome;
      }
    }
    const { user, system } = process.cpuUsage(start);
    return ((user + system) * 1000) / count;
  },
});
