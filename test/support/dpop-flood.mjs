// An API with DPoP that is sent made-up proofs while its clients go on. Writes as JSON by how many bytes memory grew, and
// what clients and forgers were answered with. Needs --expose-gc.
import { createPrivateKey, generateKeyPairSync, hash, sign } from 'node:crypto';
import { dpopApi } from './dpop-api.mjs';

const [framework, count] = process.argv.slice(2);
const { send, close } = dpopApi(framework, {});

// Nothing is exported as a JWK after the keys are made: Node can hang then (`generateP256()` of key-pairs.ts).
function keyOf() {
  const { publicKey, privateKey: key } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { format: 'jwk' },
    privateKeyEncoding: { format: 'der', type: 'pkcs8' },
  });
  const { crv, kty, x, y } = publicKey;
  const jwk = { crv, kty, x, y };
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  return { jwk, privateKey, jkt: hash('sha256', JSON.stringify(jwk), 'base64url') };
}

let made = 0;
function proofOf(token, { jwk }, signer, header = {}) {
  made += 1;
  const claims = {
    jti: `${made}`,
    htm: 'GET',
    htu: 'https://api.example.com/',
    iat: Math.floor(Date.now() / 1000),
    ath: hash('sha256', token, 'base64url'),
  };
  const signed = [{ typ: 'dpop+jwt', alg: 'ES256', jwk, ...header }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const signature = signer
    ? sign('sha256', Buffer.from(signed), { key: signer.privateKey, dsaEncoding: 'ieee-p1363' })
    : Buffer.alloc(64, made % 251);
  return `${signed}.${signature.toString('base64url')}`;
}

const clients = Array.from({ length: 20 }, () => {
  const key = keyOf();
  return { key, token: `${key.jkt}.token` };
});
const forgers = Array.from({ length: 200 }, keyOf);
const filling = 'f'.repeat(4_000);

/** Made-up proofs: by what they lack, and what they are refused for. */
const forgeries = {
  // The victim's token and public key, and no signature of its key.
  dpop_signature_invalid: (victim) => [
    victim.token,
    proofOf(victim.token, victim.key, undefined, { kid: `${made}` }),
  ],
  // The victim's token, and a good signature of another key, whose header is another each time.
  dpop_key_mismatch: (victim, forger) => [
    victim.token,
    proofOf(victim.token, forger, forger, { kid: `${made}${filling}` }),
  ],
  // A token that is none.
  token_inactive: (_victim, forger) => [`token-${made % 100}`, proofOf(`token-${made % 100}`, forger)],
  dpop_proof_malformed: (victim) => [victim.token, `${made}.${filling}`],
  dpop_proof_too_long: (victim) => [victim.token, `${made}${filling}${filling}${filling}`],
};

const answers = {};
const note = (answer) => {
  answers[answer] = (answers[answer] ?? 0) + 1;
};

async function flood(size) {
  const makers = Object.entries(forgeries);
  for (let i = 0; i < size; i += 1) {
    const [code, make] = makers[i % makers.length];
    const outcome = await send(...make(clients[i % clients.length], forgers[i % forgers.length]));
    note(outcome === code ? 'forgery refused' : `${code}: ${outcome}`);
    if (i % 1_000 === 0) {
      for (const { key, token } of clients) {
        note(`client ${await send(token, proofOf(token, key, key))}`);
      }
      // What was freed outside of the heap is counted in a turn of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function memory() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

// Code is compiled, and what is bounded is full.
await flood(Number(count) / 5);
const before = memory();
await flood(Number(count));
const grown = memory() - before;
await close();
process.stdout.write(`${JSON.stringify({ grown, answers })}\n`);
