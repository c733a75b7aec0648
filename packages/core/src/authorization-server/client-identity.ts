import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ConfigurationError, RequestRefused } from '../errors.js';
import { problemReporter, type ReportProblem } from '../observe/events.js';
import { OptionReader, text } from '../shared/option-rules.js';
import { describeError, describeErrorCode } from '../shared/shown-error.js';

/** A certificate of ours and its key, both in PEM. */
export interface CertificateAndKey {
  /** The certificate, then its chain when it has one. Required. */
  readonly cert: string | Buffer;
  /** The certificate's private key, without a passphrase. Required. */
  readonly key: string | Buffer;
}

/** Where our own certificate for mutual TLS comes from: text, files, or a function. */
export type IdentityOptions =
  | CertificateAndKey
  /** Read again when they change: a renewed certificate needs no restart. */
  | {
      /** The path of the certificate, then its chain when it has one, in PEM. Required. */
      readonly certFile: string;
      /** The path of its private key in PEM, without a passphrase. Required. */
      readonly keyFile: string;
    }
  /** Asked for each exchange; the same object as before means that nothing changed. */
  | (() => CertificateAndKey | Promise<CertificateAndKey>);

/** Gives our certificate of the moment: the same object for as long as it has not changed. */
export type ClientIdentity = () => CertificateAndKey | Promise<CertificateAndKey>;

/**
 * Throws `ConfigurationError` unless certificate and key are there, can be read, and belong
 * together.
 */
export function clientIdentity(path: string, options: IdentityOptions): ClientIdentity {
  if (typeof options === 'function') {
    return readGivenIdentity(path, options);
  }
  const given = new OptionReader(path, options, ['cert', 'key', 'certFile', 'keyFile']);
  if (given.isMissing('certFile') && given.isMissing('keyFile')) {
    const cert = given.required('cert', pemText);
    const key = given.required('key', pemText);
    const fixed = pair(cert, key);
    if (fixed === undefined) {
      throw new ConfigurationError(`${path}.key`, explainNoPair(cert, key));
    }
    return () => fixed;
  }
  return fromFiles(path, given.required('certFile', text), given.required('keyFile', text));
}

const pemText = {
  accepted: 'PEM, as a string or a Buffer',
  secret: true as const,
  read: (given: unknown) =>
    (typeof given === 'string' || Buffer.isBuffer(given)) && given.includes('-----BEGIN ')
      ? given
      : undefined,
};

function readGivenIdentity(path: string, give: Extract<IdentityOptions, () => unknown>): ClientIdentity {
  let current: { given: unknown; pair: CertificateAndKey } | undefined;
  return async () => {
    const given: unknown = await give();
    if (current === undefined || given !== current.given) {
      const pair = belongTogether(given);
      if (pair === undefined) {
        throw new RequestRefused('internal_error', {
          detail: `${path}: the function returned no certificate and key in PEM that belong together`,
        });
      }
      current = { given, pair };
    }
    return current.pair;
  };
}

function fromFiles(path: string, certFile: string, keyFile: string): ClientIdentity {
  let current = atStart(path, certFile, keyFile);
  let seen = '';
  const report = problemReporter();
  return async () => {
    const state = await changeOf(certFile, keyFile);
    if (state !== seen) {
      const renewed = await readPair(certFile, keyFile, report);
      if (renewed !== undefined) {
        current = isSame(renewed, current) ? current : renewed;
        seen = state;
      }
    }
    return current;
  };
}

/** The error of the system would quote a key that stands in place of its path. */
function explainUnread(error: unknown): string {
  return describeErrorCode(error) ?? describeError(error);
}

function atStart(path: string, certFile: string, keyFile: string): CertificateAndKey {
  let read: CertificateAndKey | undefined;
  let why = '';
  try {
    const [cert, key] = [readFileSync(certFile), readFileSync(keyFile)];
    read = pair(cert, key);
    why = explainNoPair(cert, key);
  } catch (error) {
    throw new ConfigurationError(path, `the files can not be read: ${explainUnread(error)}`);
  }
  if (read === undefined) {
    throw new ConfigurationError(
      path,
      `${certFile} and ${keyFile} were given: ${why}; accepted are a certificate, with its whole chain if it has one, and its key`,
    );
  }
  return read;
}

/**
 * Changes when either file does. A file that can't be looked at is one that is just being replaced.
 */
async function changeOf(...files: string[]): Promise<string> {
  const states: string[] = [];
  for (const file of files) {
    try {
      const { mtimeMs, ino } = await stat(file);
      states.push(`${mtimeMs}:${ino}`);
    } catch {
      states.push('?');
    }
  }
  return states.join();
}

/**
 * While one file is renewed and the other not yet, they do not belong together: the old pair serves
 * on.
 */
async function readPair(
  certFile: string,
  keyFile: string,
  report: ReportProblem,
): Promise<CertificateAndKey | undefined> {
  try {
    const renewed = pair(await readFile(certFile), await readFile(keyFile));
    if (renewed !== undefined) {
      return renewed;
    }
    report(
      'own_certificate_mismatch',
      `${certFile} and ${keyFile} are no whole certificate chain and its key; the ones read before are still used`,
    );
  } catch (error) {
    report(
      'own_certificate_unreadable',
      `our own certificate can not be read again: ${explainUnread(error)}`,
    );
  }
  return undefined;
}

function isSame(a: CertificateAndKey, b: CertificateAndKey): boolean {
  return String(a.cert) === String(b.cert) && String(a.key) === String(b.key);
}

function belongTogether(given: unknown): CertificateAndKey | undefined {
  if (typeof given !== 'object' || given === null || !('cert' in given) || !('key' in given)) {
    return undefined;
  }
  const cert = pemText.read(given.cert);
  const key = pemText.read(given.key);
  return cert === undefined || key === undefined ? undefined : pair(cert, key);
}

/**
 * Returns nothing for a pair that TLS would not use: a broken chain behind a good certificate
 * included.
 */
function pair(cert: string | Buffer, key: string | Buffer): CertificateAndKey | undefined {
  try {
    if (!isWhole(cert) || !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
      return undefined;
    }
    createSecureContext({ cert, key });
    return Object.freeze({ cert, key });
  } catch {
    return undefined;
  }
}

/** Returns why `cert` and `key` are no pair, in words that quote neither. */
function explainNoPair(cert: string | Buffer, key: string | Buffer): string {
  if ([cert, key].some((pem) => String(pem).includes('\\n'))) {
    return 'it has \\n written out as two characters; accepted are line ends';
  }
  if (/^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(String(key))) {
    return 'it is encrypted; accepted is a key without a passphrase';
  }
  return 'it is not the key of cert, or the chain behind cert is broken; accepted is the key of a whole chain';
}

/**
 * OpenSSL takes a chain that breaks off inside a `-----BEGIN` line for one that ends before that
 * line.
 */
function isWhole(pem: string | Buffer): boolean {
  const markers = String(pem)
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => /^-----|^-+$/.test(line));
  const isMarker = (line: string, index: number): boolean =>
    (index % 2 === 0 ? /^-----BEGIN [A-Z0-9 ]+-----\s*$/ : /^-----END [A-Z0-9 ]+-----\s*$/).test(line);
  return markers.length % 2 === 0 && markers.every(isMarker);
}
