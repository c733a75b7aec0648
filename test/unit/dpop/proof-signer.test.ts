import { generateKeyPairSync, hash, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createProofReader } from '../../../packages/core/src/dpop/proof.js';
import { normalizeProofUrl } from '../../../packages/core/src/dpop/proof-url.js';
import { createProofSigner } from '../../../packages/core/src/testing/proof-signer.js';
import { generateP256 } from '../../support/key-pairs.js';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;
const ed25519 = generateKeyPairSync('ed25519').privateKey;
const p256 = generateP256().privateKey;
const target = { method: 'POST', url: 'https://api.example/a?b=c#d', token: 'token' };
const url = normalizeProofUrl('https://api.example/a');

describe.each<[string, KeyObject, 'PS256' | 'RS256' | 'ES256' | 'EdDSA' | 'Ed25519' | undefined, string]>([
  ['an RSA key', rsa, undefined, 'PS256'],
  ['an RSA key for RS256', rsa, 'RS256', 'RS256'],
  ['a key of P-256', p256, undefined, 'ES256'],
  ['a key of Ed25519', ed25519, undefined, 'EdDSA'],
  ['a key of Ed25519 under the newer name', ed25519, 'Ed25519', 'Ed25519'],
])('%s', (_, key, wanted, algorithm) => {
  it('makes proofs that are accepted for their request', () => {
    const signer = createProofSigner(key, wanted);
    const reader = createProofReader({
      algorithms: [signer.algorithm],
      maxAge: 60,
      clockTolerance: 30,
      nonces: undefined,
    });
    expect(signer.algorithm).toBe(algorithm);
    const proof = reader.read(signer.createProof(target), {
      method: 'POST',
      urls: [String(url)],
      tokenHash: hash('sha256', 'token', 'base64url'),
    });
    reader.checkSignature(proof);
    expect(proof.key.jkt).toBe(signer.jkt);
  });
});

const partsOf = (proof: string) =>
  proof.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as object);

it('writes what RFC 9449 §4.2 demands, and no more', () => {
  const signer = createProofSigner(p256);
  const [header, claims] = partsOf(signer.createProof(target));
  const { kty, crv, x, y } = p256.export({ format: 'jwk' });
  expect(header).toEqual({ typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } });
  expect(claims).toEqual({
    jti: expect.stringMatching(/^[\da-f-]{36}$/),
    htm: 'POST',
    htu: 'https://api.example/a',
    iat: expect.closeTo(Date.now() / 1000, -1),
    ath: hash('sha256', 'token', 'base64url'),
  });
  expect(partsOf(signer.createProof(target))[1]).not.toMatchObject({ jti: (claims as { jti: string }).jti });
});

it('writes other members, further ones, and leaves some out', () => {
  const proof = createProofSigner(p256).createProof(target, {
    header: { typ: 'JWT', kid: 'k' },
    claims: { htm: 'PUT', nonce: 'n', ath: undefined },
  });
  const [header, claims] = partsOf(proof);
  expect(header).toMatchObject({ typ: 'JWT', kid: 'k', alg: 'ES256' });
  expect(claims).toMatchObject({ htm: 'PUT', nonce: 'n' });
  expect(claims).not.toHaveProperty('ath');
});

it.each<[string, KeyObject, 'ES256' | undefined]>([
  ['of another curve', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey, undefined],
  ['of 1,024 bits', generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey, undefined],
  ['that does not fit the algorithm', rsa, 'ES256'],
])('refuses a key %s', (_, key, algorithm) => {
  expect(() => createProofSigner(key, algorithm)).toThrow('expected a private key for');
});
