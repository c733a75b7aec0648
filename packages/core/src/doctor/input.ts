import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ClientCertificate } from '../certificate/client-certificate.js';

/** The command can't be understood; its usage is shown. */
export class UsageError extends Error {}

export function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) {
    throw new UsageError(`--port: the value is no port`);
  }
  return port;
}

export function urlOf(name: string, text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new UsageError(`--${name}: the value is no URL; begin with https:// or http://`);
  }
  return new URL(text);
}

/** A key or a token may stand in place of the path of its file, and the error of the system would quote it. */
async function contentOf(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code = 'it can not be opened' } = error as NodeJS.ErrnoException;
    throw new Error(`${shownPath(path)} can't be read: ${code}`);
  }
}

function shownPath(path: string): string {
  return /^[\w\-./\\: ]{1,200}$/.test(path) && !/^eyJ|PRIVATE KEY/.test(path)
    ? path
    : 'a path that is not shown';
}

export async function claimsIn(file: string): Promise<Record<string, unknown>> {
  const text = (await contentOf(file)).toString();
  let claims: unknown;
  try {
    claims = JSON.parse(text);
  } catch {
    // What is no JSON is told below, and not shown: it may be a token.
  }
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw new Error(`${file} is no JSON object with the claims of a token`);
  }
  return claims as Record<string, unknown>;
}

export async function pairOf(certFile: string, keyFile: string): Promise<{ cert: Buffer; key: Buffer }> {
  await certificateIn(certFile);
  const [cert, key] = await Promise.all([contentOf(certFile), contentOf(keyFile)]);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new Error(`${keyFile} is no key in PEM that belongs to ${certFile} (${messageOf(error)})`);
  }
  return { cert, key };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export async function certificateIn(file: string): Promise<ClientCertificate> {
  const pem = await contentOf(file);
  try {
    return new ClientCertificate(new X509Certificate(pem).raw);
  } catch (error) {
    throw new Error(`${file} is no certificate in PEM (${messageOf(error)})`);
  }
}
