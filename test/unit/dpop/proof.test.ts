import { hash, type KeyObject, sign } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createNonces } from '../../../packages/core/src/dpop/nonces.js';
import {
  createProofReader,
  type ProofRules,
  type RequestToProve,
} from '../../../packages/core/src/dpop/proof.js';
import { RequestRefused, reasonCodeOf } from '../../../packages/core/src/errors.js';
import { generateP256 } from '../../support/key-pairs.js';

/** Seconds. */
const NOW = 1_800_000_005;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW * 1000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const pair = generateP256();
const stranger = generateP256();
const jwkOf = (key: KeyObject) => key.export({ format: 'jwk' });
const ath = hash('sha256', 'token', 'base64url');
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

type Changes = Readonly<Record<string, unknown>>;

function sealed(header: Changes, claims: Changes, { privateKey } = pair): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

/** A good proof, but for the members that are given. `undefined` leaves one out. */
function proofWith(claims: Changes = {}, header: Changes = {}, keys = pair): string {
  return sealed(
    { typ: 'dpop+jwt', alg: 'ES256', jwk: jwkOf(pair.publicKey), ...header },
    { jti: 'one', htm: 'GET', htu: 'https://api.example/a', iat: NOW, ath, ...claims },
    keys,
  );
}

/** With a further claim that makes it as long. */
function proofOfLength(length: number): string {
  const lengthWith = (count: number): number => proofWith({ foo: 'a'.repeat(count) }).length;
  let count = Math.floor(((length - lengthWith(0)) * 3) / 4) - 4;
  while (lengthWith(count) < length) {
    count += 1;
  }
  const text = proofWith({ foo: 'a'.repeat(count) });
  if (text.length !== length) {
    throw new Error(`no proof has ${length} characters`);
  }
  return text;
}

const request: RequestToProve = { method: 'GET', urls: ['https://api.example/a'], tokenHash: ath };
const rules: ProofRules = {
  algorithms: ['ES256', 'PS256', 'EdDSA', 'Ed25519'],
  maxAge: 60,
  clockTolerance: 30,
  nonces: undefined,
};

/** `accepted`, or the code and the detail of the refusal. */
function outcome(text: string, more: Partial<ProofRules> = {}, of = request): string {
  const reader = createProofReader({ ...rules, ...more });
  try {
    reader.checkSignature(reader.read(text, of));
    return 'accepted';
  } catch (thrown) {
    if (!RequestRefused.isRefusal(thrown)) {
      throw thrown;
    }
    return `${thrown.status} ${thrown.error} ${thrown.message}`;
  }
}

describe('a proof is accepted', () => {
  it.each<[string, string]>([
    ['that is made for the request', proofWith()],
    ['with further claims and headers', proofWith({ foo: 'bar' }, { foo: 'bar', kid: 'a' })],
    ['with query and fragment in htu', proofWith({ htu: 'https://api.example/a?b=c#d' })],
    ['with capitals in scheme and host of htu', proofWith({ htu: 'HTTPS://API.EXAMPLE/a' })],
    ['with the default port in htu', proofWith({ htu: 'https://api.example:443/a' })],
    ['made 10 seconds ago', proofWith({ iat: NOW - 10 })],
    ['made 10 seconds ahead', proofWith({ iat: NOW + 10 })],
    ['made 89 seconds ago: maxAge and the tolerance', proofWith({ iat: NOW - 89 })],
    ['made 30 seconds ahead: the tolerance', proofWith({ iat: NOW + 30 })],
    ['made at a part of a second', proofWith({ iat: NOW + 0.5 })],
    ['with nbf now and exp in five minutes', proofWith({ nbf: NOW, exp: NOW + 300 })],
    ['with a nonce, though none was given out', proofWith({ nonce: 'any' })],
    ['whose exp is past by less than the tolerance', proofWith({ exp: NOW - 29 })],
    ['whose nbf is ahead by the tolerance', proofWith({ nbf: NOW + 30 })],
    ['of 8,192 characters', proofOfLength(8_192)],
  ])('%s', (_, text) => {
    expect(outcome(text)).toBe('accepted');
  });

  it('for one of several origins of the API', () => {
    const urls = ['https://other.example/a', 'https://api.example/a'];
    expect(outcome(proofWith(), {}, { ...request, urls })).toBe('accepted');
  });

  it('until its iat is older than maxAge and the tolerance', () => {
    const reader = createProofReader(rules);
    expect(reader.read(proofWith(), request)).toMatchObject({
      jti: 'one',
      acceptedUntil: NOW + 90,
    });
  });
});

it.each([
  ['exp ends before maxAge', { exp: NOW + 20 }, NOW + 50],
  ['exp has passed, and the tolerance has not', { exp: NOW - 20 }, NOW + 10],
  ['exp ends after maxAge', { exp: NOW + 61 }, NOW + 90],
])('a proof is accepted until the earlier end: %s', (_, claims, acceptedUntil) => {
  expect(createProofReader(rules).read(proofWith(claims), request).acceptedUntil).toBe(acceptedUntil);
});

it('a proof ends by the monotonic clock after the time for which it is accepted', () => {
  const monotonic = vi.spyOn(performance, 'now').mockReturnValue(5_000);
  const { monotonicEnd } = createProofReader(rules).read(proofWith({ iat: NOW - 10 }), request);
  monotonic.mockRestore();
  expect(monotonicEnd).toBe(85_000);
});

describe('a proof is refused', () => {
  const good = proofWith();
  const [header = '', claims = '', signature = ''] = good.split('.');
  const privateJwk = pair.privateKey.export({ format: 'jwk' });
  it.each<[string, string, string]>([
    [
      'that is no JWT',
      'proof',
      '401 invalid_dpop_proof dpop_proof_malformed: it has 1 parts, a signed JWT has 3',
    ],
    ['that is empty', '', '401 invalid_dpop_proof dpop_proof_malformed: it has 1 parts, a signed JWT has 3'],
    [
      'without signature',
      `${header}.${claims}.`,
      '401 invalid_dpop_proof dpop_proof_malformed: its signature is empty',
    ],
    [
      'of four parts',
      `${good}.a`,
      '401 invalid_dpop_proof dpop_proof_malformed: it has 4 parts, a signed JWT has 3',
    ],
    [
      'that is one of two in a line',
      `${good}, ${good}`,
      '401 invalid_dpop_proof dpop_proof_malformed: it has 5 parts, a signed JWT has 3',
    ],
    [
      'with padding',
      `${header}.${claims}.${signature}==`,
      '401 invalid_dpop_proof dpop_proof_malformed: its signature is not in base64url without padding',
    ],
    [
      'whose header is no JSON',
      `AAAA.${claims}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its header is not a JSON object',
    ],
    [
      'whose header is a list',
      `${encode([])}.${claims}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its header is not a JSON object',
    ],
    [
      'whose claims are null',
      `${header}.${encode(null)}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its claims are not a JSON object',
    ],
    [
      'whose header is a text',
      `${encode('dpop+jwt')}.${claims}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its header is not a JSON object',
    ],
    [
      'whose claims are a number',
      `${header}.${encode(1)}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its claims are not a JSON object',
    ],
    [
      'whose header is empty',
      `.${claims}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its header is not a JSON object',
    ],
    [
      'whose claims are empty',
      `${header}..${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its claims are not a JSON object',
    ],
    [
      'of five parts',
      `${good}.a.b`,
      '401 invalid_dpop_proof dpop_proof_malformed: it has 5 parts, a signed JWT has 3',
    ],
    [
      'of two parts',
      `${header}.${claims}`,
      '401 invalid_dpop_proof dpop_proof_malformed: it has 2 parts, a signed JWT has 3',
    ],
    [
      'with padding in its header',
      `${header}=.${claims}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its header is not in base64url without padding',
    ],
    [
      'with a blank in its claims',
      `${header}. ${claims}.${signature}`,
      '401 invalid_dpop_proof dpop_proof_malformed: its claims are not in base64url without padding',
    ],
    [
      'of 8,193 characters',
      'a'.repeat(8_193),
      '400 invalid_request dpop_proof_too_long: the DPoP header has 8193 characters, accepted are 8192',
    ],
    [
      'without typ',
      proofWith({}, { typ: undefined }),
      '401 invalid_dpop_proof dpop_proof_malformed: its typ is none; expected dpop+jwt',
    ],
    [
      'with typ JWT',
      proofWith({}, { typ: 'JWT' }),
      '401 invalid_dpop_proof dpop_proof_malformed: its typ is "JWT"; expected dpop+jwt',
    ],
    [
      'with an extension that must be understood',
      proofWith({}, { crit: ['b64'], b64: false }),
      '401 invalid_dpop_proof dpop_proof_malformed: its header has crit, and none of its extensions is known',
    ],
    ...(
      [
        ['without alg', undefined, 'none'],
        ['with alg none', 'none', '"none"'],
        ['with a symmetric alg', 'HS256', '"HS256"'],
        ['with RS256', 'RS256', '"RS256"'],
        ['with a list as alg', ['ES256'], 'a list of "ES256"'],
      ] as const
    ).map(([title, alg, shown]): [string, string, string] => [
      title,
      proofWith({}, { alg }),
      `401 invalid_dpop_proof dpop_proof_malformed: its alg is ${shown}; expected ES256, PS256, EdDSA, Ed25519`,
    ]),
    ...(
      [
        ['without jwk', undefined, 'its header has no jwk'],
        ['with a private key in jwk', privateJwk, 'its jwk has the member d of a private key'],
        [
          'with a symmetric key in jwk',
          { kty: 'oct', k: 'c2VjcmV0' },
          'its jwk has the member k of a symmetric key',
        ],
        ['with a text as jwk', 'key', 'its jwk is a string, not an object'],
        ['with null as jwk', null, 'its jwk is null, not an object'],
        ['with a jwk of another type', { kty: 'RSA' }, 'kty of its jwk is "RSA"; expected EC for ES256'],
        ['with a jwk without type', {}, 'kty of its jwk is none; expected EC for ES256'],
        [
          'with a jwk of another curve',
          { kty: 'EC', crv: 'P-384' },
          'crv of its jwk is "P-384"; expected P-256 for ES256',
        ],
        ['with a jwk without numbers', { kty: 'EC', crv: 'P-256' }, 'x of its jwk is missing'],
        [
          'with a jwk for encryption',
          { kty: 'EC', crv: 'P-256', use: 'enc' },
          'use of its jwk is "enc"; expected sig',
        ],
        [
          'with a jwk whose point is not on the curve',
          { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
          'its jwk can not be used for ES256: a member is wrong, or anyone can sign for the key',
        ],
      ] as const
    ).map(([title, jwk, detail]): [string, string, string] => [
      title,
      proofWith({}, { jwk }),
      `401 invalid_dpop_proof dpop_proof_malformed: ${detail}`,
    ]),
    [
      'with the signature of another key',
      proofWith({}, {}, stranger),
      '401 invalid_dpop_proof dpop_signature_invalid: the key in its header did not make its signature',
    ],
    [
      'with another claim than it was signed with',
      `${header}.${proofWith({ jti: 'two' }).split('.')[1]}.${signature}`,
      '401 invalid_dpop_proof dpop_signature_invalid: the key in its header did not make its signature',
    ],
    [
      'without jti',
      proofWith({ jti: undefined }),
      '401 invalid_dpop_proof dpop_proof_malformed: its jti is none; expected a text',
    ],
    [
      'with an empty jti',
      proofWith({ jti: '' }),
      '401 invalid_dpop_proof dpop_proof_malformed: its jti is ""; expected a text',
    ],
    [
      'with a number as jti',
      proofWith({ jti: 1 }),
      '401 invalid_dpop_proof dpop_proof_malformed: its jti is a number; expected a text',
    ],
    [
      'without iat',
      proofWith({ iat: undefined }),
      '401 invalid_dpop_proof dpop_proof_malformed: its iat is none; expected a number',
    ],
    [
      'with a text as iat',
      proofWith({ iat: String(NOW) }),
      `401 invalid_dpop_proof dpop_proof_malformed: its iat is "${NOW}"; expected a number`,
    ],
    [
      'without htm',
      proofWith({ htm: undefined }),
      '401 invalid_dpop_proof dpop_proof_for_another: its htm is none, the request is GET',
    ],
    [
      'for another method',
      proofWith({ htm: 'PUT' }),
      '401 invalid_dpop_proof dpop_proof_for_another: its htm is "PUT", the request is GET',
    ],
    [
      'for the method in another letter case',
      proofWith({ htm: 'get' }),
      '401 invalid_dpop_proof dpop_proof_for_another: its htm is "get", the request is GET',
    ],
    [
      'without htu',
      proofWith({ htu: undefined }),
      '401 invalid_dpop_proof dpop_proof_for_another: its htu is none, the request is to "https://api.example/a"',
    ],
    [
      'for another URL',
      proofWith({ htu: 'https://api.example/b' }),
      '401 invalid_dpop_proof dpop_proof_for_another: its htu is "https://api.example/b", the request is to ' +
        '"https://api.example/a"',
    ],
    [
      'for another http URL',
      proofWith({ htu: 'http://api.example/a/b' }),
      '401 invalid_dpop_proof dpop_proof_for_another: its htu is "http://api.example/a/b", the request is to ' +
        '"https://api.example/a"',
    ],
    [
      'with its URL in a list',
      proofWith({ htu: ['https://api.example/a'] }),
      '401 invalid_dpop_proof dpop_proof_for_another: its htu is a list of a text of 21 characters, the request is to ' +
        '"https://api.example/a"',
    ],
    [
      'without ath',
      proofWith({ ath: undefined }),
      '401 invalid_dpop_proof dpop_proof_for_another: it has no ath',
    ],
    [
      'for another access token',
      proofWith({ ath: hash('sha256', 'other', 'base64url') }),
      '401 invalid_dpop_proof dpop_proof_for_another: its ath is not the hash of the access token of the request',
    ],
    [
      'made an hour ago',
      proofWith({ iat: NOW - 3_600 }),
      '401 invalid_dpop_proof dpop_proof_untimely: its iat was 3600 s ago',
    ],
    [
      'made 90 seconds ago',
      proofWith({ iat: NOW - 90 }),
      '401 invalid_dpop_proof dpop_proof_untimely: its iat was 90 s ago',
    ],
    [
      'made an hour ahead',
      proofWith({ iat: NOW + 3_600 }),
      '401 invalid_dpop_proof dpop_proof_untimely: its iat is 3600 s ahead',
    ],
    [
      'made 31 seconds ahead',
      proofWith({ iat: NOW + 31 }),
      '401 invalid_dpop_proof dpop_proof_untimely: its iat is 31 s ahead',
    ],
    [
      'whose exp is past',
      proofWith({ exp: NOW - 30 }),
      `401 invalid_dpop_proof dpop_proof_untimely: its exp was 30 s ago`,
    ],
    [
      'whose nbf is ahead',
      proofWith({ nbf: NOW + 31 }),
      `401 invalid_dpop_proof dpop_proof_untimely: its nbf is 31 s ahead`,
    ],
    [
      'with a text as exp',
      proofWith({ exp: 'never' }),
      '401 invalid_dpop_proof dpop_proof_malformed: its exp is "never"; expected a number',
    ],
    [
      'with a text as nbf',
      proofWith({ nbf: 'now' }),
      '401 invalid_dpop_proof dpop_proof_malformed: its nbf is "now"; expected a number',
    ],
    [
      'of more than 8,192 characters',
      proofWith({ foo: 'a'.repeat(8_192) }),
      expect.stringMatching(
        /^400 invalid_request dpop_proof_too_long: the DPoP header has 1\d{4} characters, accepted are 8192$/,
      ) as never,
    ],
  ])('%s', (_, text, refusal) => {
    expect(outcome(text)).toEqual(refusal);
  });

  it.each<[string, string]>([
    ['typ', proofWith({}, { typ: 'secret'.repeat(4) })],
    ['alg', proofWith({}, { alg: 'secret'.repeat(4) })],
    ['kty of its jwk', proofWith({}, { jwk: { kty: 'secret'.repeat(4) } })],
    ['crv of its jwk', proofWith({}, { jwk: { kty: 'EC', crv: 'secret'.repeat(4) } })],
    ['iat', proofWith({ iat: 'secret'.repeat(4) })],
    ['exp', proofWith({ exp: 'secret'.repeat(4) })],
    ['htm', proofWith({ htm: 'secret'.repeat(4) })],
    ['htu', proofWith({ htu: 'secret'.repeat(4) })],
    ['htu', proofWith({ htu: 'secret-secret-a https://' })],
  ])('and what a client writes as %s is not quoted if it may be a secret', (name, text) => {
    expect(outcome(text)).toContain(`${name} is a text of 24 characters`);
    expect(outcome(text)).not.toContain('secret');
  });

  it('and no part of a list in htu is quoted that may be a secret', () => {
    const htu = [['secret'], 'secret'.repeat(4), 'GET'];
    expect(outcome(proofWith({ htu }))).toContain(
      'its htu is a list of a list, a text of 24 characters, "GET", the',
    );
  });

  it.each([
    ['X'.repeat(5_000), 'a text of 5000 characters'],
    ['G"\n', '"G"?"'],
    ['M-SEARCH', 'M-SEARCH'],
  ])('and a method of the request is cut: %s', (method, shown) => {
    expect(outcome(good, {}, { ...request, method })).toMatch(`the request is ${shown}`);
  });

  it('for none of several origins: each is named', () => {
    const urls = ['https://other.example/b', 'https://api.example/b'];
    expect(outcome(good, {}, { ...request, urls })).toContain(
      'the request is to "https://other.example/b" or "https://api.example/b"',
    );
  });

  it('for a target that has no URL', () => {
    for (const proof of [good, proofWith({ htu: undefined })]) {
      expect(outcome(proof, {}, { ...request, urls: [] })).toMatch(
        /dpop_proof_for_another: .* the request is to no path$/,
      );
    }
  });

  it('with RS256 that is chosen: the key must be an RSA key', () => {
    expect(outcome(proofWith({}, { alg: 'RS256' }), { algorithms: ['RS256'] })).toContain(
      'kty of its jwk is "EC"; expected RSA for RS256',
    );
  });

  it('by members that other code has added to Object.prototype', () => {
    const members = { typ: 'dpop+jwt', alg: 'ES256', jwk: jwkOf(pair.publicKey), jti: 'a', iat: NOW, ath };
    Object.assign(Object.prototype, members);
    try {
      expect(outcome(proofWith({ jti: undefined }))).toContain('its jti is none');
      expect(outcome(proofWith({}, { typ: undefined }))).toContain('its typ is none');
      expect(outcome(proofWith({ ath: undefined }))).toContain('it has no ath');
    } finally {
      for (const name of Object.keys(members)) {
        Reflect.deleteProperty(Object.prototype, name);
      }
    }
  });
});

describe('where nonces are given out', () => {
  let nonces: ReturnType<typeof createNonces>;
  beforeEach(() => {
    nonces = createNonces(['s'.repeat(32)], 300);
  });
  const noted = (nonce: unknown, claims: Changes = {}) =>
    outcome(proofWith({ nonce, ...claims }), { nonces });

  it('a proof with the latest one is accepted, whatever its iat', () => {
    expect(noted(nonces.latest(NOW))).toBe('accepted');
    expect(noted(nonces.latest(NOW), { iat: NOW - 3_600 })).toBe('accepted');
    expect(noted(nonces.latest(NOW), { iat: NOW + 3_600 })).toBe('accepted');
  });

  it('its time is that of the nonce', () => {
    const reader = createProofReader({ ...rules, nonces });
    const read = (at: number) => reader.read(proofWith({ nonce: nonces.latest(at) }), request);
    expect(read(NOW)).toMatchObject({ acceptedUntil: NOW - 5 + 300 });
    expect(read(NOW - 100)).toMatchObject({ acceptedUntil: NOW - 105 + 300 });
  });

  it.each<[string, () => unknown, string]>([
    ['no nonce', () => undefined, 'the proof has no nonce'],
    ['another text', () => 'nonce', 'its nonce is too old, or was not given out here'],
    ['a number', () => 1, 'its nonce is too old, or was not given out here'],
    [
      'a nonce of 300 seconds ago',
      () => nonces.latest(NOW - 300),
      'its nonce is too old, or was not given out here',
    ],
  ])('a proof with %s gets a new one to try again', (_, nonceOf, detail) => {
    expect(noted(nonceOf())).toBe(`401 use_dpop_nonce dpop_nonce_required: ${detail}`);
  });

  it('a proof must have an iat all the same', () => {
    expect(noted(nonces.latest(NOW), { iat: undefined })).toContain('its iat is none');
  });
});

describe('the signature of a proof', () => {
  it('is verified once if it is right', () => {
    const reader = createProofReader(rules);
    const proof = reader.read(proofWith(), request);
    expect(proof.isVerified).toBe(false);
    reader.checkSignature(proof);
    expect(proof.isVerified).toBe(true);
    proof.signature.fill(0);
    expect(() => reader.checkSignature(proof)).not.toThrow();
    // Another request with it is another proof.
    expect(reader.read(proofWith(), request).isVerified).toBe(false);
  });

  it('is verified each time if it is wrong', () => {
    const reader = createProofReader(rules);
    const forged = reader.read(proofWith({}, {}, stranger), request);
    expect(() => reader.checkSignature(forged)).toThrow('dpop_signature_invalid');
    expect(forged.isVerified).toBe(false);
    expect(() => reader.checkSignature(forged)).toThrow('dpop_signature_invalid');
  });
});

describe('the keys that are remembered', () => {
  it('a second proof of a client is checked by its own signature', () => {
    const reader = createProofReader(rules);
    const first = reader.read(proofWith(), request);
    reader.checkSignature(first);
    const second = reader.read(proofWith({ jti: 'two' }), request);
    expect(second.key).toBe(first.key);
    reader.checkSignature(second);
    const forged = reader.read(proofWith({ jti: 'three' }, {}, stranger), request);
    expect(() => reader.checkSignature(forged)).toThrow('dpop_signature_invalid');
  });

  it('a key whose signature was wrong is not among them', () => {
    const reader = createProofReader(rules);
    const forged = reader.read(proofWith({}, {}, stranger), request);
    expect(() => reader.checkSignature(forged)).toThrow('dpop_signature_invalid');
    expect(reader.read(proofWith(), request).key).not.toBe(forged.key);
  });
});

describe('the reason of a refusal has a code, by which an explanation finds its hint', () => {
  const good = proofWith();
  const [header = '', claims = '', signature = ''] = good.split('.');
  it.each<[code: string, title: string, text: string]>([
    ['not_one_jwt', 'two parts', `${header}.${claims}`],
    ['not_one_jwt', 'a signature that is no base64url', `${header}.${claims}.${signature}=`],
    ['not_one_jwt', 'claims that are no object', `${header}.${encode([])}.${signature}`],
    ['other_typ', 'another typ', proofWith({}, { typ: 'JWT' })],
    ['critical_extension', 'crit', proofWith({}, { crit: ['a'] })],
    ['other_algorithm', 'another alg', proofWith({}, { alg: 'RS512' })],
    ['private_key', 'a private key', proofWith({}, { jwk: jwkOf(pair.privateKey) })],
    ['malformed_claim', 'a jti that is no text', proofWith({ jti: 1 })],
    ['malformed_claim', 'an iat that is no number', proofWith({ iat: '1' })],
    ['malformed_claim', 'an exp that is no number', proofWith({ exp: '1' })],
    ['other_htm', 'another htm', proofWith({ htm: 'POST' })],
    ['no_htu', 'no htu', proofWith({ htu: undefined })],
    ['no_htu', 'null as htu', proofWith({ htu: null })],
    ['other_htu', 'another htu', proofWith({ htu: 'https://api.example/b' })],
    ['other_htu', 'an htu that is no text', proofWith({ htu: 1 })],
    ['other_token', 'another ath', proofWith({ ath: 'a' })],
    ['other_token', 'no ath', proofWith({ ath: undefined })],
  ])('%s for %s', (code, _title, text) => {
    let thrown: unknown;
    try {
      createProofReader(rules).read(text, request);
    } catch (refusal) {
      thrown = refusal;
    }
    expect(RequestRefused.isRefusal(thrown) && reasonCodeOf(thrown)).toBe(code);
  });
});
