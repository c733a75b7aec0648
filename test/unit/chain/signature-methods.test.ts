// Which signature algorithms of certificates count, by the DER of their identifiers.
import { describe, expect, it } from 'vitest';
import { findSignatureMethod } from '../../../packages/core/src/chain/signature-methods.js';
import { der, identifier, integer, sequence } from '../../support/written-der.js';

const nullValue = der(0x05);
const [sha1, sha256, sha384, sha512] = [
  '1.3.14.3.2.26',
  '2.16.840.1.101.3.4.2.1',
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
].map((id) => sequence(identifier(id), nullValue)) as [Buffer, Buffer, Buffer, Buffer];

describe('accepted are', () => {
  it.each<[string, string, object]>([
    ['RSA with SHA-256', '1.2.840.113549.1.1.11', { keys: ['rsa'], hash: 'sha256' }],
    ['RSA with SHA-384', '1.2.840.113549.1.1.12', { keys: ['rsa'], hash: 'sha384' }],
    ['RSA with SHA-512', '1.2.840.113549.1.1.13', { keys: ['rsa'], hash: 'sha512' }],
    ['ECDSA with SHA-256', '1.2.840.10045.4.3.2', { keys: ['ec'], hash: 'sha256' }],
    ['ECDSA with SHA-384', '1.2.840.10045.4.3.3', { keys: ['ec'], hash: 'sha384' }],
    ['ECDSA with SHA-512', '1.2.840.10045.4.3.4', { keys: ['ec'], hash: 'sha512' }],
    ['Ed25519', '1.3.101.112', { keys: ['ed25519'], hash: null }],
    ['Ed448', '1.3.101.113', { keys: ['ed448'], hash: null }],
  ])('%s', (_, id, method) => {
    expect(findSignatureMethod(sequence(identifier(id)))).toEqual(method);
    expect(findSignatureMethod(sequence(identifier(id), nullValue))).toEqual(method);
  });
});

describe('refused is', () => {
  it.each<[string, Uint8Array]>([
    ['RSA with MD5', sequence(identifier('1.2.840.113549.1.1.4'))],
    ['RSA with SHA-1', sequence(identifier('1.2.840.113549.1.1.5'))],
    ['ECDSA with SHA-1', sequence(identifier('1.2.840.10045.4.1'))],
    ['ECDSA with SHA-224', sequence(identifier('1.2.840.10045.4.3.1'))],
    ['an empty sequence', sequence()],
    ['no bytes', Buffer.alloc(0)],
    ['an identifier alone', identifier('1.3.101.112')],
    ['a set', der(0x31, identifier('1.3.101.112'))],
  ])('%s', (_, algorithm) => {
    expect(findSignatureMethod(algorithm)).toBeUndefined();
  });
});

/** RSASSA-PSS-params (RFC 4055 §3.1), and the identifier with them. */
const mgf1 = identifier('1.2.840.113549.1.1.8');
const pss = (...parameters: Buffer[]) =>
  sequence(identifier('1.2.840.113549.1.1.10'), sequence(...parameters));
const hash = (algorithm: Buffer, tag = 0xa0) => der(tag, algorithm);
const mask = (algorithm: Buffer, id = mgf1, tag = 0xa1) => der(tag, sequence(id, algorithm));
const salt = (length: Buffer, tag = 0xa2) => der(tag, length);

describe('RSA-PSS', () => {
  it.each<[string, Buffer, string, number]>([
    ['SHA-256', sha256, 'sha256', 32],
    ['SHA-384', sha384, 'sha384', 48],
    ['SHA-512', sha512, 'sha512', 64],
    ['SHA-256 and a short salt', sha256, 'sha256', 0],
  ])('is accepted with %s', (_, algorithm, name, saltLength) => {
    expect(findSignatureMethod(pss(hash(algorithm), mask(algorithm), salt(integer(saltLength))))).toEqual({
      keys: ['rsa', 'rsa-pss'],
      hash: name,
      pss: { padding: 6, saltLength },
    });
  });

  const good = [hash(sha256), mask(sha256), salt(integer(32))] as const;
  it.each<[string, Buffer]>([
    ['SHA-1', pss(hash(sha1), mask(sha1), salt(integer(20)))],
    ['SHA-1 by default', pss()],
    ['no parameters', sequence(identifier('1.2.840.113549.1.1.10'))],
    ['another hash in the mask', pss(good[0], mask(sha512), good[2])],
    ['no known hash in the mask', pss(good[0], mask(sha1), good[2])],
    ['no known hash in either', pss(hash(sequence()), mask(sequence()), good[2])],
    ['another mask', pss(good[0], mask(sha256, identifier('1.2.3')), good[2])],
    ['no salt', pss(good[0], good[1])],
    ['a salt of another type', pss(good[0], good[1], salt(der(0x04, Buffer.from([32]))))],
    ['a salt length of two bytes', pss(good[0], good[1], salt(integer(0, 32)))],
    ['an empty salt length', pss(good[0], good[1], salt(integer()))],
    ['two salt lengths', pss(good[0], good[1], der(0xa2, integer(32), integer(32)))],
    ['a trailer field', pss(...good, der(0xa3, integer(1)))],
    ['another tag of the hash', pss(hash(sha256, 0xa1), good[1], good[2])],
    ['another tag of the mask', pss(good[0], mask(sha256, mgf1, 0xa2), good[2])],
    ['another tag of the salt', pss(good[0], good[1], salt(integer(32), 0xa3))],
    ['the salt first', pss(good[2], good[0], good[1])],
  ])('is refused with %s', (_, algorithm) => {
    expect(findSignatureMethod(algorithm)).toBeUndefined();
  });
});
