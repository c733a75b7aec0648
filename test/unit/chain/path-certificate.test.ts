// A certificate as path validation reads it: by its DER, before OpenSSL or a library decodes any of it but its names.
import 'reflect-metadata';
import { createHash, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { x509 as library } from '../../../packages/core/src/certificate/lazy-x509.js';
import {
  comparableName,
  isSelfIssued,
  readParsableFields,
  readPathCertificate,
} from '../../../packages/core/src/chain/path-certificate.js';
import { authority, client } from '../../support/chains.js';
import {
  bits,
  commonName,
  der,
  extension,
  identifier,
  integer,
  octets,
  sequence,
  text,
  time,
} from '../../support/written-der.js';

await library.load();

const root = await authority('CN=Root');
const good = await client('CN=client, O=Example', root);

describe('a certificate', () => {
  it('has the values that OpenSSL reads', () => {
    const openssl = new X509Certificate(good.der);
    const certificate = readPathCertificate(good.der);
    if (typeof certificate === 'string') {
      throw new Error(certificate);
    }
    expect(certificate).toMatchObject({
      der: good.der,
      thumbprint: createHash('sha256').update(good.der).digest('base64url'),
      version: 3,
      notBefore: Date.parse(openssl.validFrom),
      notAfter: Date.parse(openssl.validTo),
      issuerName: comparableName(pathOf(root.der).subject),
    });
    expect(BigInt(`0x${certificate.serialNumber}`)).toBe(BigInt(`0x${openssl.serialNumber}`));
    expect(Buffer.from(certificate.publicKey)).toEqual(
      openssl.publicKey.export({ type: 'spki', format: 'der' }),
    );
    expect(certificate.signatureAlgorithm).toEqual(
      new Uint8Array(sequence(identifier('1.2.840.10045.4.3.2'))),
    );
    expect([...certificate.extensions].map(([id, { isCritical }]) => [id, isCritical])).toEqual([
      ['551d0f', true],
      ['551d25', false],
    ]);
    expect(certificate.x509.subject).toBe(openssl.subject);
    expect(certificate.x509).toBe(certificate.x509);
  });

  it('is self-issued if issuer and subject are one name, however they are spelled', () => {
    expect(isSelfIssued(pathOf(root.der))).toBe(true);
    expect(isSelfIssued(pathOf(good.der))).toBe(false);
    expect(isSelfIssued(pathOf(written({ subject: commonName(' authority', 0x13) })))).toBe(true);
  });
});

function pathOf(bytes: Uint8Array) {
  const certificate = readPathCertificate(bytes);
  if (typeof certificate === 'string') {
    throw new Error(certificate);
  }
  return certificate;
}

interface Parts {
  readonly version?: Buffer;
  readonly issuer?: Buffer;
  readonly subject?: Buffer;
  readonly validity?: Buffer;
  readonly extensions?: Buffer;
}

const year = 365 * 86_400_000;
const between = (...times: Buffer[]) => sequence(...times);

/** What has the structure of a certificate. */
function written(parts: Parts = {}): Buffer {
  const algorithm = sequence(identifier('1.3.101.112'));
  const signed = sequence(
    ...(parts.version === undefined ? [] : [der(0xa0, parts.version)]),
    integer(0, 1),
    algorithm,
    parts.issuer ?? commonName('Authority'),
    parts.validity ?? between(time(0, true), time(year)),
    parts.subject ?? commonName('leaf'),
    sequence(algorithm, bits(Buffer.alloc(32))),
    ...(parts.extensions === undefined ? [] : [der(0xa3, sequence(parts.extensions))]),
  );
  return sequence(signed, algorithm, bits(Buffer.alloc(64)));
}

describe('what has the structure of a certificate', () => {
  it('is read, whatever its key and its signature are', () => {
    expect(pathOf(written())).toMatchObject({
      version: 1,
      serialNumber: '0001',
      notBefore: 0,
      notAfter: year,
    });
    expect(pathOf(written({ version: integer(2) })).version).toBe(3);
  });

  it('its names are compared by their meaning', () => {
    expect(pathOf(written()).issuerName).toBe(
      pathOf(written({ issuer: commonName('AUTHORITY', 0x13) })).issuerName,
    );
    expect(pathOf(written()).issuerName).not.toBe(pathOf(written()).subjectName);
  });

  const validity = 'its validity can not be read';
  const long = Array.from({ length: 160 }, () => commonName('a').subarray(2));
  it.each<[string, Buffer, string | RegExp]>([
    ['no time', written({ validity: between() }), validity],
    ['one time', written({ validity: between(time(0)) }), validity],
    ['a start that is no time', written({ validity: between(text(0x17, 'x'), time(year)) }), validity],
    ['an end that is no time', written({ validity: between(time(0), text(0x17, 'x')) }), validity],
    ['an end of another type', written({ validity: between(time(0), octets(time(year))) }), validity],
    ['an issuer that costs too much to read', written({ issuer: sequence(...long) }), /\w/],
    ['a subject that costs too much to read', written({ subject: sequence(...long) }), /\w/],
    [
      'names that cost too much together',
      written({ issuer: sequence(...long.slice(80)), subject: sequence(...long.slice(80)) }),
      /\w/,
    ],
    [
      'an extension twice',
      written({
        extensions: Buffer.concat([
          extension('2.5.29.15', octets(integer(1))),
          extension('2.5.29.15', octets(integer(1))),
        ]),
      }),
      /twice/,
    ],
  ])('is refused with %s', (_, bytes, why) => {
    expect(readPathCertificate(bytes)).toEqual(expect.stringMatching(why));
  });

  it.each<[string, Buffer]>([
    ['no bytes', Buffer.alloc(0)],
    ['a list', sequence()],
  ])('and nothing else: %s', (_, bytes) => {
    expect(readPathCertificate(bytes)).toBe('it has not the structure of one in DER');
    expect(readParsableFields(bytes)).toBe('it has not the structure of one in DER');
  });

  it('a name that the library can not read is none', () => {
    // An attribute without a value.
    const name = sequence(der(0x31, sequence(identifier('2.5.4.3'))));
    expect(readPathCertificate(written({ subject: name }))).toBe('it is not an X.509 certificate');
  });
});
