import 'reflect-metadata';
import { createPrivateKey, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as never);

type Keys = webcrypto.CryptoKeyPair;

/** A certificate with its keys, which can issue others. */
export interface Node {
  readonly name: string;
  readonly keys: Keys;
  readonly der: Uint8Array;
  readonly cert: string;
  readonly key: string;
}

export interface NodeOptions {
  /** Extensions in addition to those of an authority or a client. */
  readonly extensions?: readonly x509.Extension[];
  /** The keys, if another certificate has them too. */
  readonly keys?: Keys;
  readonly keyAlgorithm?: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams;
  readonly hash?: 'SHA-1' | 'SHA-256';
  /** Days from now. */
  readonly from?: number;
  /** Days from now. */
  readonly to?: number;
  readonly pathLength?: number;
  readonly keyUsage?: x509.KeyUsageFlags;
}

const ec = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const day = 86_400_000;
let serial = 1;

export async function keyPair(algorithm: NodeOptions['keyAlgorithm'] = ec): Promise<Keys> {
  return (await webcrypto.subtle.generateKey(algorithm as never, true, ['sign', 'verify'])) as Keys;
}

async function issue(
  name: string,
  issuer: Node | undefined,
  own: readonly x509.Extension[],
  { extensions = [], keys: given, keyAlgorithm, hash = 'SHA-256', from = -1, to = 30 }: NodeOptions,
): Promise<Node> {
  const keys = given ?? (await keyPair(keyAlgorithm));
  const signer = issuer?.keys ?? keys;
  serial += 1;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString(16).padStart(4, '0'),
    subject: name,
    issuer: issuer?.name ?? name,
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: { ...signer.privateKey.algorithm, hash, saltLength: 32 } as never,
    notBefore: new Date(Date.now() + from * day),
    notAfter: new Date(Date.now() + to * day),
    extensions: [...own, ...extensions],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return {
    name,
    keys,
    der: new Uint8Array(certificate.rawData),
    cert: `${certificate.toString('pem')}\n`,
    key: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
      .export({ format: 'pem', type: 'pkcs8' })
      .toString(),
  };
}

/** An authority; without `issuer` one that issued its certificate to itself. */
export function authority(name: string, issuer?: Node, options: NodeOptions = {}): Promise<Node> {
  const usage = options.keyUsage ?? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  const own = [
    new x509.BasicConstraintsExtension(true, options.pathLength, true),
    new x509.KeyUsagesExtension(usage, true),
  ];
  return issue(name, issuer, own, options);
}

/** A client's certificate. `usages` are its extended key usages. */
export function client(
  name: string,
  issuer: Node,
  options: NodeOptions = {},
  usages: readonly string[] = [x509.ExtendedKeyUsage.clientAuth],
): Promise<Node> {
  const own = [
    new x509.KeyUsagesExtension(options.keyUsage ?? x509.KeyUsageFlags.digitalSignature, true),
    ...(usages.length > 0 ? [new x509.ExtendedKeyUsageExtension([...usages])] : []),
  ];
  return issue(name, issuer, own, options);
}

/** A certificate whose issuer has no extensions at all, as of old. */
export function plain(name: string, issuer: Node): Promise<Node> {
  return issue(name, issuer, [], {});
}

/** An extension of any kind, its value as DER in hex. */
export function rawExtension(id: string, value: string, isCritical = true): x509.Extension {
  return new x509.Extension(id, isCritical, Buffer.from(value, 'hex'));
}
