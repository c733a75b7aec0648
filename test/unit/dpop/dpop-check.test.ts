import { hash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDpopCheck } from '../../../packages/core/src/dpop/dpop-check.js';
import type { DpopSettings } from '../../../packages/core/src/options/dpop-options.js';
import type { NodeRequest } from '../../../packages/core/src/request/node-request.js';
import { dpopClient } from '../../support/dpop-client.js';

const NOW = 1_800_000_000;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW * 1000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const client = dpopClient();
const tokenHash = hash('sha256', 'token', 'base64url');
const settings: DpopSettings = {
  bases: ['https://api.example.com', 'https://other.example/v1'],
  algorithms: ['ES256'],
  maxAge: 60,
  nonce: undefined,
  store: undefined,
  timeout: 0.5,
  acceptsWithoutStore: false,
};
const check = (more: Partial<DpopSettings> = {}) =>
  createDpopCheck({ ...settings, ...more }, 30, () => undefined);
const request = (proofs: readonly string[], url = '/', method = 'GET'): NodeRequest =>
  ({
    method,
    url,
    headers: {},
    rawHeaders: ['Host', 'a', ...proofs.flatMap((proof) => ['DPoP', proof])],
  }) as never;

describe('the proof of a request', () => {
  it.each<[string, string, string, string]>([
    ['of the first origin', 'https://api.example.com/', '/', 'GET'],
    ['of another origin, behind its prefix', 'https://other.example/v1/a', '/a', 'GET'],
    ['of another method', 'https://api.example.com/a', '/a?b', 'DELETE'],
  ])('is read: %s', (_, htu, url, method) => {
    const { readProof, checkSignature, useUp } = check();
    const text = client.proof('token', { claims: { htu, htm: method } });
    const { proof } = readProof(request([text], url, method), tokenHash);
    expect(proof).toMatchObject({ key: { jkt: client.jkt }, acceptedUntil: NOW + 90 });
    expect(() => checkSignature(proof)).not.toThrow();
    expect(useUp(proof)).toBeUndefined();
    expect(() => useUp(proof)).toThrow('dpop_proof_replayed');
  });

  it.each<[string, () => NodeRequest, string]>([
    ['there is none', () => request([]), 'dpop_proof_missing'],
    ['there are two', () => request([client.proof('token'), client.proof('token')]), 'dpop_proof_repeated'],
    ['it is for another path', () => request([client.proof('token')], '/a'), 'dpop_proof_for_another'],
    [
      'it is for another method',
      () => request([client.proof('token')], '/', 'PUT'),
      'dpop_proof_for_another',
    ],
    ['it is for another token', () => request([client.proof('other')]), 'dpop_proof_for_another'],
    [
      'its algorithm is not accepted',
      () => request([client.proof('token', { header: { alg: 'PS256' } })]),
      'dpop_proof_malformed',
    ],
    [
      'it is older than maxAge and the tolerance',
      () => request([client.proof('token', { claims: { iat: NOW - 90 } })]),
      'dpop_proof_untimely',
    ],
    [
      'it is further ahead than the tolerance',
      () => request([client.proof('token', { claims: { iat: NOW + 31 } })]),
      'dpop_proof_untimely',
    ],
  ])('is refused if %s', (_, make, code) => {
    expect(() => check().readProof(make(), tokenHash)).toThrow(code);
  });
});

it('a proof is used up in the store, for as long as any process may accept it whose clock is wrong', async () => {
  const added: [string, number][] = [];
  const add = async (...one: [string, number]) => added.push(one) === 1;
  const { readProof, useUp } = check({ store: { add } });
  const { proof } = readProof(request([client.proof('token')]), tokenHash);
  expect(await useUp(proof)).toBeUndefined();
  expect(added).toEqual([[expect.any(String), 150_000]]);
  const { proof: other } = readProof(request([client.proof('token')]), tokenHash);
  await expect(useUp(other)).rejects.toThrow('dpop_proof_replayed: dpop.store has it');
});

it('a proof whose exp passes while the store is asked is refused', async () => {
  const add = async () => {
    vi.setSystemTime((NOW + 41) * 1000);
    return true;
  };
  const { readProof, useUp } = check({ store: { add } });
  const proofUntil = (exp: number) =>
    readProof(request([client.proof('token', { claims: { exp } })]), tokenHash).proof;
  const [short, long] = [proofUntil(NOW + 11), proofUntil(NOW + 12)];
  await expect(useUp(short)).rejects.toThrow('dpop_proof_untimely: it became too old during the check');
  expect(await useUp(long)).toBeUndefined();
});

describe('nonces', () => {
  const nonce = { secret: ['n'.repeat(32)], maxAge: 300 };

  it('are demanded if they are set, and the latest is given out', () => {
    const { readProof, latestNonce } = check({ nonce });
    expect(() => readProof(request([client.proof('token')]), tokenHash)).toThrow('dpop_nonce_required');
    const latest = latestNonce();
    const { proof } = readProof(request([client.proof('token', { claims: { nonce: latest } })]), tokenHash);
    expect(proof).toMatchObject({ acceptedUntil: NOW + 300 });
    vi.setSystemTime((NOW + 100) * 1000);
    expect(latestNonce()).not.toBe(latest);
  });

  it.each([
    ['set', { nonce }, 'dpop_nonce_required'],
    ['not set', {}, 'dpop_proof_untimely'],
  ])('if they are %s, a proof that ends before it is used up is told what to do', (_, more, code) => {
    const { readProof, useUp, latestNonce } = check(more);
    const text = client.proof('token', { claims: { nonce: latestNonce() } });
    const { proof } = readProof(request([text]), tokenHash);
    vi.setSystemTime((NOW + 300) * 1000);
    expect(() => useUp(proof)).toThrow(code);
  });

  it('are none if they are not set', () => {
    expect(check().latestNonce()).toBeUndefined();
  });
});

describe('a request that is checked again', () => {
  type Shown = NodeRequest & { method: string; url: string; rawHeaders: string[] };
  const shownRequest = (): Shown => request([client.proof('token')]) as never;

  it.each<[string, boolean, (req: Shown) => void]>([
    ['nothing of it has changed', true, () => undefined],
    ['its query is another', false, (req) => Object.assign(req, { url: '/?a' })],
    [
      'its list of headers is another',
      false,
      (req) => Object.assign(req, { rawHeaders: [...req.rawHeaders] }),
    ],
    ['its proof is another', false, (req) => req.rawHeaders.splice(3, 1, client.proof('token'))],
  ])('has used up its proof if an earlier check did, and %s: %j', (_, isUsedUp, change) => {
    const { readProof, proofOf } = check();
    const req = shownRequest();
    expect(proofOf(req, tokenHash)).toBeUndefined();
    const first = readProof(req, tokenHash);
    expect(first.isUsedUp).toBe(false);
    const second = readProof(req, tokenHash);
    expect(second.isUsedUp).toBe(false);
    expect(proofOf(req, tokenHash)).toBe(second);
    second.isUsedUp = true;
    change(req);
    expect(readProof(req, tokenHash).isUsedUp).toBe(isUsedUp);
  });

  it.each([
    ['its iat is too old by then', {}, {}],
    ['its exp has passed by then', {}, { exp: NOW + 10 }],
    ['its nonce is too old by then', { nonce: { secret: ['n'.repeat(32)], maxAge: 30 } }, {}],
  ])('counts for the second check of one request, however late that comes: %s', (_, more, claims) => {
    const { readProof, latestNonce } = check(more);
    const proof = client.proof('token', { claims: { nonce: latestNonce(), ...claims } });
    const [req, other] = [request([proof]), request([proof])];
    const first = readProof(req, tokenHash);
    const unused = readProof(other, tokenHash);
    first.isUsedUp = true;
    vi.setSystemTime((NOW + 300) * 1000);
    expect(readProof(req, tokenHash)).toBe(first);
    // Of another request with the proof, and of a request whose proof was not used up, the time counts.
    expect(() => readProof(request([proof]), tokenHash)).toThrow(/dpop_proof_untimely|dpop_nonce_required/);
    expect(unused.isUsedUp).toBe(false);
    expect(() => readProof(other, tokenHash)).toThrow(/dpop_proof_untimely|dpop_nonce_required/);
  });

  it('has no proof any more if its proof is refused then, and still a key', () => {
    const { readProof, proofOf, keyThumbprintOf } = check();
    const req = shownRequest();
    expect(keyThumbprintOf(req, tokenHash)).toBeUndefined();
    readProof(req, tokenHash);
    expect(keyThumbprintOf(req, tokenHash)).toBe(client.jkt);
    req.method = 'PUT';
    expect(() => readProof(req, tokenHash)).toThrow('dpop_proof_for_another');
    expect([proofOf(req, tokenHash), keyThumbprintOf(req, tokenHash)]).toEqual([undefined, client.jkt]);
  });

  it('still has the key of a refused proof if a later one names none that can be read', () => {
    const { readProof, keyThumbprintOf } = check();
    const req = request([client.proof('token')], '/a') as Shown;
    expect(() => readProof(req, tokenHash)).toThrow('dpop_proof_for_another');
    req.rawHeaders.splice(3, 1, client.proof('token', { header: { jwk: {} } }));
    expect(() => readProof(req, tokenHash)).toThrow('dpop_proof_malformed');
    expect(keyThumbprintOf(req, tokenHash)).toBe(client.jkt);
  });

  it('has neither proof nor key for another token than the one that its proof came with', () => {
    const { readProof, proofOf, keyThumbprintOf } = check();
    const req = shownRequest();
    const other = hash('sha256', 'other', 'base64url');
    readProof(req, tokenHash);
    expect([proofOf(req, other), keyThumbprintOf(req, other)]).toEqual([undefined, undefined]);
    expect(() => readProof(req, other)).toThrow('dpop_proof_for_another');
    expect([proofOf(req, tokenHash), keyThumbprintOf(req, tokenHash)]).toEqual([undefined, undefined]);
    expect([proofOf(req, other), keyThumbprintOf(req, other)]).toEqual([undefined, client.jkt]);
  });

  it('has no key if its first proof names none that can be read', () => {
    const { readProof, keyThumbprintOf } = check();
    const req = request([client.proof('token', { header: { jwk: {} } })]);
    expect(() => readProof(req, tokenHash)).toThrow('dpop_proof_malformed');
    expect(keyThumbprintOf(req, tokenHash)).toBeUndefined();
  });
});

it.each([
  ['no header DPoP', [], false],
  ['one', ['a'], true],
  ['two', ['a', 'b'], true],
  ['an empty one', [''], true],
])('a request with %s (%j) may have a proof: %s', (_, proofs, expected) => {
  expect(check().hasHeader(request(proofs))).toBe(expected);
});
