import { createHash, createPrivateKey, generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  explainUnfitKey,
  importProofKey,
  isSignedBy,
  type ProofKey,
} from '../../../packages/core/src/dpop/proof-key.js';
import type { SignatureAlgorithm } from '../../../packages/core/src/jose/signature-algorithms.js';
import { generateP256 } from '../../support/key-pairs.js';

/** RFC 9449 §4.1: the key of the examples. */
const rfc9449 = {
  kty: 'EC',
  crv: 'P-256',
  x: 'l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs',
  y: '9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA',
};

/** RFC 7638 §3.1. */
const rfc7638 = {
  kty: 'RSA',
  n:
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX' +
    'jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqz' +
    's8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_' +
    'xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
  e: 'AQAB',
  kid: '2011-04-29',
};

/** RFC 8037 §A.2. */
const rfc8037 = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };

describe('R239: the thumbprint of a key', () => {
  it.each([
    ['RFC 9449 §6.1', 'ES256', rfc9449, '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'],
    ['RFC 7638 §3.1', 'RS256', { ...rfc7638, alg: 'RS256' }, 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'],
    ['RFC 8037 §A.3', 'EdDSA', rfc8037, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'],
  ] as const)('is the one that %s gives', (_, algorithm, jwk, jkt) => {
    expect(importProofKey(algorithm, jwk)?.jkt).toBe(jkt);
  });

  it('does not depend on the order and the number of the members', () => {
    const { kty, crv, x, y } = rfc9449;
    expect(importProofKey('ES256', { use: 'sig', y, x, kid: 'a', crv, kty })?.jkt).toBe(
      '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I',
    );
  });

  it('is that of the number, however the text writes its last bits', () => {
    // The last character of 43 holds two bits that no byte needs.
    const respelled = `${rfc8037.x.slice(0, -1)}p`;
    expect(Buffer.from(respelled, 'base64url')).toEqual(Buffer.from(rfc8037.x, 'base64url'));
    expect(importProofKey('EdDSA', { ...rfc8037, x: respelled })?.jkt).toBe(
      'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
    );
  });
});

it('an RSA key may have any exponent below 2^32 that is no weak one, however its text begins', () => {
  const { jkt } = importProofKey('PS256', rfc7638) ?? {};
  expect(importProofKey('PS256', { ...rfc7638, e: '_____w' })).toBeDefined();
  expect(importProofKey('PS256', { ...rfc7638, e: 'AAAAAAABAAE' })?.jkt).toBe(jkt);
});

describe('a key that is refused', () => {
  const longExponent = Buffer.from(`7f${'ff'.repeat(31)}`, 'hex').toString('base64url');
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ format: 'jwk' });
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' });
  it.each<[string, SignatureAlgorithm, unknown]>([
    ['nothing', 'ES256', undefined],
    ['null', 'ES256', null],
    ['a text', 'ES256', 'key'],
    ['a list', 'ES256', [rfc9449]],
    ['an empty object', 'ES256', {}],
    ['a point that is not on the curve', 'ES256', { ...rfc9449, y: rfc9449.x }],
    ['a key of another curve for ES256', 'ES256', p384],
    ['an RSA key for ES256', 'ES256', rfc7638],
    ['an EC key for PS256', 'PS256', rfc9449],
    ['an EC key for EdDSA', 'EdDSA', rfc9449],
    ['an RSA key of 1,024 bits', 'PS256', rsa1024],
    ['an RSA key with exponent 1', 'PS256', { ...rfc7638, e: 'AQ' }],
    ['an RSA key with an exponent above 2^32', 'PS256', { ...rfc7638, e: 'AQAAAAE' }],
    ['an RSA key with an exponent of 255 bits', 'RS256', { ...rfc7638, e: longExponent }],
    ['an Ed25519 point of small order', 'EdDSA', { ...rfc8037, x: 'A'.repeat(43) }],
    ['an RSA key of 8,200 bits', 'PS256', { ...rfc7638, n: `__${'A'.repeat(1_365)}` }],
    ['an RSA key without modulus', 'PS256', { ...rfc7638, n: undefined }],
    ['an RSA key whose modulus is a number', 'PS256', { ...rfc7638, n: 7 }],
    ['a symmetric key', 'ES256', { kty: 'oct', k: 'AAAA' }],
    ...(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const).map(
      (name): [string, SignatureAlgorithm, unknown] => [
        `a key with the private member ${name}`,
        'ES256',
        { ...rfc9449, [name]: 'AQ' },
      ],
    ),
  ])('%s', (_, algorithm, jwk) => {
    expect(importProofKey(algorithm, jwk)).toBeUndefined();
  });
});

describe('a key of another type or size is refused before it is read', () => {
  // To make a key of a JWK is to read each of its numbers.
  const readsOf = (algorithm: SignatureAlgorithm, members: object, numbers: readonly string[]) => {
    const read: string[] = [];
    const jwk = { ...members };
    for (const name of numbers) {
      Object.defineProperty(jwk, name, {
        enumerable: true,
        get: () => {
          read.push(name);
          return (members as Record<string, unknown>)[name];
        },
      });
    }
    return { isImported: importProofKey(algorithm, jwk) !== undefined, read };
  };

  it.each(['P-384', 'P-521', 'secp256k1'])('%s for ES256', (namedCurve) => {
    const jwk = generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'jwk' });
    expect(readsOf('ES256', jwk, ['x', 'y'])).toEqual({ isImported: false, read: [] });
    expect(readsOf('PS256', jwk, ['x', 'y'])).toEqual({ isImported: false, read: [] });
  });

  it('a longer RSA key', () => {
    const longer = { ...rfc7638, n: Buffer.alloc(1_026, 0xff).toString('base64url') };
    expect(readsOf('PS256', longer, ['n', 'e'])).toEqual({ isImported: false, read: ['n'] });
  });

  it('the numbers of a key that is accepted are read', () => {
    const { isImported, read } = readsOf('ES256', rfc9449, ['x', 'y']);
    expect([isImported, new Set(read)]).toEqual([true, new Set(['x', 'y'])]);
    expect(readsOf('PS256', rfc7638, ['n', 'e']).read.length).toBeGreaterThan(2);
  });
});

describe('a key whose jwk says that it is for something else (RFC 7517 §4.2 to §4.4)', () => {
  it.each<[SignatureAlgorithm, object, string]>([
    ['ES256', { use: 'enc' }, 'use of its jwk is "enc"; expected sig'],
    ['ES256', { key_ops: ['sign'] }, 'key_ops of its jwk is a list of "sign"; expected a list with verify'],
    ['ES256', { key_ops: [] }, 'key_ops of its jwk is an empty list; expected a list with verify'],
    ['ES256', { key_ops: 'verify' }, 'key_ops of its jwk is "verify"; expected a list with verify'],
    ['ES256', { alg: 'ES384' }, 'alg of its jwk is "ES384"; that of its header is ES256'],
    ['PS256', { alg: 'RS256' }, 'alg of its jwk is "RS256"; that of its header is PS256'],
    ['RS256', { alg: 'EdDSA' }, 'alg of its jwk is "EdDSA"; that of its header is RS256'],
  ])('is refused for %s: %j', (algorithm, more, why) => {
    const jwk = { ...(algorithm === 'ES256' ? rfc9449 : rfc7638), ...more };
    expect(importProofKey(algorithm, jwk)).toBeUndefined();
    expect(explainUnfitKey(algorithm, jwk)).toEqual({ code: 'unfit_key', why });
  });

  it.each<[SignatureAlgorithm, object]>([
    ['ES256', { ...rfc9449, use: 'sig', key_ops: ['sign', 'verify'], alg: 'ES256' }],
    ['PS256', { ...rfc7638, key_ops: ['verify'], alg: 'PS256', ext: true }],
    ['ES256', { ...rfc9449, use: null, key_ops: null, alg: null }],
    ['EdDSA', { ...rfc8037, alg: 'Ed25519' }],
    ['Ed25519', { ...rfc8037, alg: 'EdDSA' }],
  ])('is accepted for %s if it says what fits: %j', (algorithm, jwk) => {
    expect(importProofKey(algorithm, jwk)).toBeDefined();
  });
});

describe('a number that is no base64url without padding (RFC 7515 §2)', () => {
  const plain = { ...rfc8037, x: Buffer.alloc(32, 0xfb).toString('base64').slice(0, -1) };
  it.each<[string, SignatureAlgorithm, object, string]>([
    [
      'padded',
      'ES256',
      { ...rfc9449, x: `${rfc9449.x}=` },
      'x of its jwk has 44 characters; expected 32 bytes in base64url',
    ],
    ['before junk', 'ES256', { ...rfc9449, y: `${rfc9449.y}=junk` }, 'y of its jwk has 48 characters'],
    [
      'with a blank for a character',
      'ES256',
      { ...rfc9449, x: ` ${rfc9449.x.slice(1)}` },
      'x of its jwk is no',
    ],
    ['plain base64', 'EdDSA', plain, 'x of its jwk is no'],
    ['too short', 'EdDSA', { ...rfc8037, x: rfc8037.x.slice(1) }, 'x of its jwk has 42 characters'],
    ['a padded modulus', 'PS256', { ...rfc7638, n: `${rfc7638.n}==` }, 'n of its jwk is no'],
    ['a padded exponent', 'PS256', { ...rfc7638, e: 'AQAB=' }, 'e of its jwk is no'],
    ['half a byte too much', 'PS256', { ...rfc7638, e: 'AQABA' }, 'e of its jwk is no'],
    [
      'a long exponent',
      'PS256',
      { ...rfc7638, e: 'A'.repeat(24) },
      'e of its jwk has 24 characters; expected 1 to 16 bytes',
    ],
    ['a number', 'EdDSA', { ...rfc8037, x: 7 }, 'x of its jwk is no text'],
    ['missing', 'ES256', { ...rfc9449, y: undefined }, 'y of its jwk is missing'],
  ])('%s', (_, algorithm, jwk, why) => {
    expect(importProofKey(algorithm, jwk)).toBeUndefined();
    expect(explainUnfitKey(algorithm, jwk).why).toMatch(new RegExp(`^${why}`));
  });
});

it.each<[SignatureAlgorithm, object, string]>([
  ['ES256', { kty: 'RSA' }, 'kty of its jwk is "RSA"; expected EC for ES256'],
  ['ES256', { kty: 'EC', crv: 'P-384' }, 'crv of its jwk is "P-384"; expected P-256 for ES256'],
  ['PS256', { kty: 'EC' }, 'kty of its jwk is "EC"; expected RSA for PS256'],
  ['RS256', { kty: 'EC' }, 'kty of its jwk is "EC"; expected RSA for RS256'],
  ...(['EdDSA', 'Ed25519'] as const).flatMap((name): [SignatureAlgorithm, object, string][] => [
    [name, { kty: 'EC' }, `kty of its jwk is "EC"; expected OKP for ${name}`],
    [name, { kty: 'OKP', crv: 'X25519' }, `crv of its jwk is "X25519"; expected Ed25519 for ${name}`],
  ]),
])('the reason says which type of key %s needs: %j', (algorithm, jwk, why) => {
  expect(explainUnfitKey(algorithm, jwk).why).toBe(why);
});

describe('a signature', () => {
  const pairs = {
    ES256: generateP256(),
    PS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
    RS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
    EdDSA: generateKeyPairSync('ed25519'),
    Ed25519: generateKeyPairSync('ed25519'),
  };
  const options = {
    ES256: ['sha256', { dsaEncoding: 'ieee-p1363' }],
    PS256: ['sha256', { padding: 6, saltLength: 32 }],
    RS256: ['sha256', {}],
    EdDSA: [null, {}],
    Ed25519: [null, {}],
  } as const;
  const signedBy = (algorithm: SignatureAlgorithm, text: string): Buffer => {
    const [digest, more] = options[algorithm];
    const key = createPrivateKey(pairs[algorithm].privateKey.export({ format: 'pem', type: 'pkcs8' }));
    return sign(digest, Buffer.from(text), { key, ...more });
  };
  const keyOf = (algorithm: SignatureAlgorithm): ProofKey =>
    importProofKey(algorithm, pairs[algorithm].publicKey.export({ format: 'jwk' }) as JsonWebKey) as ProofKey;

  it.each(Object.keys(pairs) as SignatureAlgorithm[])('of %s is accepted for its text alone', (algorithm) => {
    const key = keyOf(algorithm);
    const signature = signedBy(algorithm, 'a.b');
    expect(isSignedBy(key, 'a.b', signature)).toBe(true);
    expect(isSignedBy(key, 'a.c', signature)).toBe(false);
    expect(isSignedBy(key, 'a.b', signature.subarray(0, -3))).toBe(false);
    expect(isSignedBy(key, 'a.b', Buffer.alloc(0))).toBe(false);
  });

  it('of RFC 9449 §7.1 is accepted', () => {
    // The second example proof of the RFC.
    const [header, payload, signature] = (
      'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ' +
      'OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs' +
      'ImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj' +
      'ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05y' +
      'V0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6' +
      'Fy1dqd-jfxSYoMxhAJpLjA'
    ).split('.') as [string, string, string];
    const key = importProofKey('ES256', rfc9449) as ProofKey;
    expect(isSignedBy(key, `${header}.${payload}`, Buffer.from(signature, 'base64url'))).toBe(true);
  });

  // By one key, of the text a.b. Other forms of a number need another length in DER.
  it.each([
    [
      'both first bits 1',
      '6_fbTap1o6upEpS1LvphrlNZQQGHznZu0BabTKTMoFz4Ge0aF4QXPi1Eju0f2gv-E7qRuu_CaImIANPf7YOPnA',
    ],
    [
      'both first bits 0',
      'F67AInqub2ru4BgjYK8xKSMV7pVfCRQ110f-9U0zYZgG6FPMec1NV7WQkKEnm4hOa98bQJd2SZqPB7BYq2tT5A',
    ],
    [
      'a first byte of 0 before a bit of 1',
      'ANf1GD7JKsjNbKVmUSTa5FHYXpj3lAMy_JgtXJ4mDr6ItovmfzLGBau3PubicZqxsZunlS1P-Q8lH2oE_k4_iw',
    ],
    [
      'a first byte of 0 before a bit of 0, in the second number',
      'cwgTJ2Qk4Y4cvQJm_vRt8RkvaKWLbbbk60B0tNvxSoMAMGPWV-jbouC9IKdUyOcV-QoquQ9PDVKrJPuGXu3cWA',
    ],
    [
      'two first bytes of 0',
      'AABssvLmfKlDNU2nXxlbxng5a3btK8Dl1nhQs41RCrQHdYDANh_5dRQIbDDhxu9Gb5pgyZkpUxsuzMCjumMBBw',
    ],
    [
      'two first bytes of 0 in the second number',
      'fet29gD4FAd6weJ1hMLdq9052ii9ClpWaEkOypdrFbMAABeb183a9bRd-q25LzFNxhvNYs7NLmAT8vp_hgfqTA',
    ],
    [
      'first bytes of 0 in both numbers',
      'AFqmugSSuYW9znd5KDkCfrOCQuMCBCy_MVemMqWhiRAAJxKfAGevWXM9OIgGHMJbz5u0ucUDSOftYovd2lFv9g',
    ],
  ])('of ES256 is accepted with %s, and no other one', (_, encoded) => {
    const jwk = {
      kty: 'EC',
      crv: 'P-256',
      x: 'e_wxlC1X2jmavtJobJE7Z823VAaHbbQH19Mlwnpc2pE',
      y: 'Sf-g7fh9ZtQom5namD4LvA5bfpSNpWR6TFXn1arjncU',
    };
    const key = importProofKey('ES256', jwk) as ProofKey;
    const signature = Buffer.from(encoded, 'base64url');
    expect(isSignedBy(key, 'a.b', signature)).toBe(true);
    const withAnotherByte = Array.from(signature, (byte, at) => signature.with(at, byte ^ 1));
    expect(withAnotherByte).toHaveLength(64);
    expect(withAnotherByte.filter((other) => isSignedBy(key, 'a.b', Buffer.from(other)))).toEqual([]);
    const zero = Buffer.alloc(1);
    const ofAnotherLength = [
      Buffer.concat([signature, zero]),
      Buffer.concat([zero, signature]),
      Buffer.concat([zero, signature.subarray(0, 32), zero, signature.subarray(32)]),
      signature.subarray(1),
      signature.subarray(0, -1),
    ];
    expect(ofAnotherLength.filter((other) => isSignedBy(key, 'a.b', other))).toEqual([]);
  });

  it.each([
    ['zero', Buffer.alloc(64)],
    ['the largest', Buffer.alloc(64, 0xff)],
    ['zero and one', Buffer.alloc(64).fill(1, 63)],
    ['one and zero', Buffer.alloc(64).fill(1, 31, 32)],
  ])('of ES256 with numbers that no signature has is refused: %s', (_, signature) => {
    expect(isSignedBy(keyOf('ES256'), 'a.b', signature)).toBe(false);
  });

  it('in DER, as ES256 does not have it, is refused', () => {
    const key = createPrivateKey(pairs.ES256.privateKey.export({ format: 'pem', type: 'pkcs8' }));
    const signature = sign('sha256', Buffer.from('a.b'), key);
    expect(isSignedBy(keyOf('ES256'), 'a.b', signature)).toBe(false);
  });

  it('of RS256 is none of PS256', () => {
    const jwk = pairs.RS256.publicKey.export({ format: 'jwk' });
    const key = importProofKey('PS256', jwk) as ProofKey;
    expect(isSignedBy(key, 'a.b', signedBy('RS256', 'a.b'))).toBe(false);
  });

  it('of PS256 with another length of the salt is refused', () => {
    const key = createPrivateKey(pairs.PS256.privateKey.export({ format: 'pem', type: 'pkcs8' }));
    const signature = sign('sha256', Buffer.from('a.b'), { key, padding: 6, saltLength: 20 });
    expect(isSignedBy(keyOf('PS256'), 'a.b', signature)).toBe(false);
  });

  it('is wrong where the key can not be used at all', () => {
    const key = { ...keyOf('ES256'), key: {} } as ProofKey;
    expect(isSignedBy(key, 'a.b', signedBy('ES256', 'a.b'))).toBe(false);
  });

  it('is not looked for by the hash of its text', () => {
    const digest = createHash('sha256').update('a.b').digest();
    expect(isSignedBy(keyOf('ES256'), 'a.b', digest)).toBe(false);
  });
});
