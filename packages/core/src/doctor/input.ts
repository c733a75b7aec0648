import { createPrivateKey, type JsonWebKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ClientCertificate } from '../certificate/client-certificate.js';
import { isTellable, TellableError } from '../errors.js';
import { describePath, explainFileError } from '../shared/file-error.js';
import { explainNoCertificates, headerName } from '../shared/option-rules.js';
import { JOINED, readPemBlocks } from '../shared/pem-blocks.js';
import { describeError } from '../shared/shown-error.js';
import { createProofSigner, type ProofSigner } from '../testing/proof-signer.js';

/** The command can't be understood; its usage is shown. */
export class UsageError extends Error {}

export function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) {
    throw new UsageError(`--port: the value is no port`);
  }
  return port;
}

/** Days, from 0 to 3,650. */
export function daysOf(text: string): number {
  const days = Number(text);
  if (!/^\d+$/.test(text) || days > 3_650) {
    throw new UsageError('--days: the value is no whole number from 0 to 3650');
  }
  return days;
}

export function headerOf(text: string): string {
  const header = headerName.read(text);
  if (header === undefined) {
    throw new UsageError('--header: the value is no header name of letters, digits and hyphens');
  }
  return header;
}

export function urlOf(name: string, text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new UsageError(`--${name}: the value is no URL; begin with https:// or http://`);
  }
  return new URL(text);
}

/**
 * Reads the file that an option names. A key, a password or a token may stand in place of the path: one
 * that does not look like a path is not shown.
 */
export async function readContent(option: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new TellableError(
      `${option}: the file, ${describePath(path)}, can't be read: ${explainFileError(error)}`,
    );
  }
}

/** Reads the certificates of the authorities that a connection of the doctor trusts. */
export async function readTrustedAuthorities(file: string): Promise<Buffer> {
  const content = await readContent('--ca', file);
  const why = explainNoCertificates(content);
  if (why !== undefined) {
    throw new TellableError(`--ca: expected a file of PEM certificates, got ${describePath(file)}: ${why}`);
  }
  return content;
}

export async function readClaims(file: string): Promise<Record<string, unknown>> {
  const text = (await readContent('--claims', file)).toString();
  let claims: unknown;
  try {
    claims = JSON.parse(text);
  } catch {
    // The text itself is not shown: it may be a token.
  }
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw new TellableError(`${file} is no JSON object with the claims of a token`);
  }
  return claims as Record<string, unknown>;
}

export async function readPair(certFile: string, keyFile: string): Promise<{ cert: Buffer; key: Buffer }> {
  await readCertificateFile('--cert', certFile);
  const [cert, key] = await Promise.all([readContent('--cert', certFile), readContent('--key', keyFile)]);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new TellableError(
      `${keyFile} is no key in PEM that belongs to ${certFile} (${describeError(error)})`,
    );
  }
  return { cert, key };
}

/**
 * What the doctor says of an error: the message of an error of this package, else name and code.
 */
export function messageOf(error: unknown): string {
  return error instanceof UsageError || isTellable(error) ? error.message : describeError(error);
}

export async function readCertificateFile(option: string, file: string): Promise<ClientCertificate> {
  const pem = await readContent(option, file);
  try {
    return new ClientCertificate(new X509Certificate(pem).raw);
  } catch (error) {
    throw new TellableError(`${file} is no certificate in PEM (${describeError(error)})`);
  }
}

/** Certificates of a client's file that are read. */
const MAX_CHAIN = 20;

/** Reads the certificate of a client, and the authorities between that follow it in the file. */
export async function readChain(option: string, file: string): Promise<ClientCertificate> {
  const pem = (await readContent(option, file)).toString('latin1');
  const blocks = readPemBlocks(pem);
  if (typeof blocks === 'string') {
    const why = blocks === 'joined' ? JOINED : 'it breaks off';
    throw new TellableError(`${file} is no certificate in PEM (${why})`);
  }
  const certificates = blocks.filter(({ label }) => label === 'CERTIFICATE').slice(0, MAX_CHAIN);
  try {
    const [first, ...others] = certificates.map(({ whole }) => new X509Certificate(whole).raw);
    return new ClientCertificate(first ?? new X509Certificate(pem).raw, { intermediates: others });
  } catch (error) {
    throw new TellableError(`${file} is no certificate in PEM (${describeError(error)})`);
  }
}

/** Reads the private key with which a client signs DPoP proofs: PEM or a JWK. */
export async function readProofSigner(file: string): Promise<ProofSigner> {
  const text = (await readContent('--proof-key', file)).toString();
  try {
    const key = text.trimStart().startsWith('{')
      ? createPrivateKey({ key: JSON.parse(text) as JsonWebKey, format: 'jwk' })
      : createPrivateKey(text);
    return createProofSigner(key);
  } catch (error) {
    // The message of another library may quote the key.
    throw new TellableError(
      `${file} is no private key of P-256, RSA or Ed25519, in PEM or as a JWK (${describeError(error)})`,
    );
  }
}
