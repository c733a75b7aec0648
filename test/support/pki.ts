import 'reflect-metadata';
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { rsaKeys } from './rsa.js';

x509.cryptoProvider.set(webcrypto as never);

/** A certificate with its key, as a test hands it to a TLS client or server. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
  readonly der: Buffer;
  /** By node:crypto's own fingerprint, not by the code under test. */
  readonly thumbprint: string;
  readonly subject: string;
}

export interface Pki {
  readonly ca: Identity;
  /** For 127.0.0.1, localhost and api.example.com. */
  readonly server: Identity;
  /** The server with an RSA key, which the suites of FAPI 1.0 need. */
  readonly serverRsa: Identity;
  /** A proxy's own, for a hop of mutual TLS. */
  readonly proxy: Identity;
  /** Signed by the CA. */
  readonly alice: Identity;
  readonly bob: Identity;
  readonly aliceEc: Identity;
  /** Another certificate with the key and subject of `alice`. */
  readonly aliceRenewed: Identity;
  readonly expired: Identity;
  readonly selfSignedRsa: Identity;
  readonly selfSignedEc: Identity;
}

type Keys = webcrypto.CryptoKeyPair;

const ec = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

const day = 86_400_000;

interface Request {
  readonly subject: string;
  readonly keys: Keys;
  readonly issuer?: { readonly name: string; readonly keys: Keys };
  readonly extensions?: x509.Extension[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** Keys are slow to make; the certificates of one test run share a few. */
export async function createPki(authority = 'CN=Test CA, O=Example'): Promise<Pki> {
  const [caKeys, serverKeys, ecKeys, ownEcKeys, aliceKeys, bobKeys, ownRsaKeys] = await Promise.all([
    ecKeysOfItsOwn(),
    ecKeysOfItsOwn(),
    ecKeysOfItsOwn(),
    ecKeysOfItsOwn(),
    rsaKeys(0),
    rsaKeys(1),
    rsaKeys(2),
  ]);
  const issuer = { name: authority, keys: caKeys };
  const client = [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])];
  const loopback = [
    new x509.SubjectAlternativeNameExtension([
      { type: 'ip', value: '127.0.0.1' },
      { type: 'dns', value: 'localhost' },
      { type: 'dns', value: 'api.example.com' },
    ]),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
  ];
  const pki: Pki = {
    ca: await issue({
      subject: issuer.name,
      keys: caKeys,
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    }),
    server: await issue({ subject: 'CN=localhost', keys: serverKeys, issuer, extensions: loopback }),
    serverRsa: await issue({ subject: 'CN=localhost', keys: bobKeys, issuer, extensions: loopback }),
    proxy: await issue({ subject: 'CN=proxy', keys: serverKeys, issuer, extensions: client }),
    alice: await issue({ subject: 'CN=alice, O=Example', keys: aliceKeys, issuer, extensions: client }),
    bob: await issue({ subject: 'CN=bob, O=Example', keys: bobKeys, issuer, extensions: client }),
    aliceEc: await issue({ subject: 'CN=alice-ec, O=Example', keys: ecKeys, issuer, extensions: client }),
    aliceRenewed: await issue({
      subject: 'CN=alice, O=Example',
      keys: aliceKeys,
      issuer,
      extensions: client,
    }),
    expired: await issue({
      subject: 'CN=expired, O=Example',
      keys: ecKeys,
      issuer,
      extensions: client,
      notBefore: new Date(Date.now() - 20 * day),
      notAfter: new Date(Date.now() - 10 * day),
    }),
    selfSignedRsa: await issue({ subject: 'CN=self-signed-rsa', keys: ownRsaKeys, extensions: client }),
    selfSignedEc: await issue({ subject: 'CN=self-signed-ec', keys: ownEcKeys, extensions: client }),
  };
  caKeysOf.set(pki, caKeys);
  return pki;
}

const caKeysOf = new WeakMap<Pki, Keys>();

/** One more client certificate by the same authority. */
export async function issueFrom(
  pki: Pki,
  subject: string,
  extensions: x509.Extension[],
  dnsNames: readonly string[] = [],
): Promise<Identity> {
  const issuer = { name: pki.ca.subject, keys: caKeysOf.get(pki) as Keys };
  const names = dnsNames.map((value) => ({ type: 'dns' as const, value }));
  const san = names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : [];
  return issue({ subject, keys: await ecKeysOfItsOwn(), issuer, extensions: [...extensions, ...san] });
}

/**
 * A client certificate with further certificates behind it, in one PEM: each is issued by the next one, the last by an
 * authority that no server knows. `links` are their extensions, those of the client's own certificate first.
 */
export async function issueChain(links: readonly x509.Extension[][]): Promise<Identity> {
  const keys = await ecKeysOfItsOwn();
  const identities = await Promise.all(
    links.map((extensions, at) =>
      issue({ subject: `CN=link ${at}`, keys, issuer: { name: `CN=link ${at + 1}`, keys }, extensions }),
    ),
  );
  const [own] = identities as [Identity];
  return { ...own, cert: identities.map(({ cert }) => cert).join('') };
}

async function ecKeysOfItsOwn(): Promise<Keys> {
  return (await webcrypto.subtle.generateKey(ec, true, ['sign', 'verify'])) as Keys;
}

async function issue({
  subject,
  keys,
  issuer,
  extensions = [],
  notBefore,
  notAfter,
}: Request): Promise<Identity> {
  const signer = issuer?.keys ?? keys;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex'),
    subject,
    issuer: issuer?.name ?? subject,
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: { ...signer.privateKey.algorithm, hash: 'SHA-256' },
    notBefore: notBefore ?? new Date(Date.now() - day),
    notAfter: notAfter ?? new Date(Date.now() + 30 * day),
    extensions,
  });
  const der = Buffer.from(certificate.rawData);
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return {
    cert: `${certificate.toString('pem')}\n`,
    key: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
      .export({ format: 'pem', type: 'pkcs8' })
      .toString(),
    der,
    thumbprint: Buffer.from(new X509Certificate(der).fingerprint256.replaceAll(':', ''), 'hex').toString(
      'base64url',
    ),
    subject,
  };
}
