import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { isTellable, RequestRefused } from '../errors.js';
import { createProblemReporter, type ReportProblem } from '../observe/events.js';
import { readFileOrExplain, readFileSyncOrExplain } from '../shared/file-error.js';
import { readFileStates } from '../shared/file-state.js';
import { createMismatch } from '../shared/option-errors.js';
import { OptionReader, type OptionsOf, optionGroup, required } from '../shared/option-group.js';
import { type OptionRule, text } from '../shared/option-rules.js';
import { JOINED, readPemBlocks } from '../shared/pem-blocks.js';
import { describeError } from '../shared/shown-error.js';
import { SingleReading } from '../shared/single-reading.js';

/** Seconds that the files may take. After that, the pair that was read last is used for the exchange. */
const TIMEOUT = 1;

const pemText: OptionRule<string | Buffer> = {
  accepted: 'PEM, as a string or a Buffer',
  secret: true,
  read: (given) =>
    (typeof given === 'string' || Buffer.isBuffer(given)) && given.includes('-----BEGIN ')
      ? given
      : undefined,
};

export const certificateAndKeyOptions = optionGroup({
  /** The certificate, then its chain when it has one. Required. */
  cert: required(pemText),
  /** The certificate's private key, without a passphrase. Required. */
  key: required(pemText),
});

/** The client certificate of this API and its key, both in PEM. */
export interface CertificateAndKey extends OptionsOf<typeof certificateAndKeyOptions> {}

export const identityFileOptions = optionGroup({
  /** The path of the certificate, then its chain when it has one, in PEM. Required. */
  certFile: required(text),
  /** The path of its private key in PEM, without a passphrase. Required. */
  keyFile: required(text),
});

/** Where this API's client certificate for mutual TLS comes from: text, files, or a function. */
export type TlsClientAuthOptions =
  | CertificateAndKey
  /** Read again when they change: a renewed certificate needs no restart. */
  | OptionsOf<typeof identityFileOptions>
  /** Asked for each exchange; the same object as before means that nothing changed. */
  | (() => CertificateAndKey | Promise<CertificateAndKey>);

/** Returns this API's current certificate and its key: the same object until they change. */
export type ReadCertificateAndKey = () => CertificateAndKey | Promise<CertificateAndKey>;

/**
 * Throws `ConfigurationError` unless certificate and key are there, can be read, and belong
 * together.
 */
export function createCertificateReader(
  optionPath: string,
  options: TlsClientAuthOptions,
): ReadCertificateAndKey {
  if (typeof options === 'function') {
    return readGivenIdentity(optionPath, options);
  }
  const given = new OptionReader(optionPath, options, {
    ...certificateAndKeyOptions,
    ...identityFileOptions,
  });
  if (given.isUnwritten('certFile') && given.isUnwritten('keyFile')) {
    const cert = given.get('cert');
    const key = given.get('key');
    const fixed = pair(cert, key);
    if (fixed === undefined) {
      throw createMismatch(`${optionPath}.key`, ...explainNoPair(cert, key));
    }
    return () => fixed;
  }
  return fromFiles(optionPath, given.get('certFile'), given.get('keyFile'));
}

function readGivenIdentity(
  optionPath: string,
  give: Extract<TlsClientAuthOptions, () => unknown>,
): ReadCertificateAndKey {
  let current: { given: unknown; pair: CertificateAndKey } | undefined;
  return async () => {
    const given: unknown = await give();
    if (current === undefined || given !== current.given) {
      const texts = readTexts(given);
      const renewed = texts && pair(texts.cert, texts.key);
      if (renewed === undefined) {
        const why = texts === undefined ? '' : `: ${explainNoPair(texts.cert, texts.key)[1]}`;
        throw new RequestRefused('internal_error', {
          detail:
            `${optionPath}: the function returned no certificate and key in PEM that belong ` +
            `together${why}`,
        });
      }
      current = { given, pair: renewed };
    }
    return current.pair;
  };
}

function fromFiles(optionPath: string, certFile: string, keyFile: string): ReadCertificateAndKey {
  let current = atStart(optionPath, certFile, keyFile);
  let seen = '';
  const report = createProblemReporter();
  const files = new SingleReading();
  const readIfChanged = async (): Promise<void> => {
    const state = await readFileStates(certFile, keyFile);
    if (state !== seen) {
      const renewed = await readPair(certFile, keyFile, report);
      if (renewed !== undefined) {
        current = isSame(renewed, current) ? current : renewed;
        seen = state;
      }
    }
  };
  /** Shared by all exchanges that begin meanwhile. */
  let looking: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    try {
      await files.run(TIMEOUT, readIfChanged);
    } catch (error) {
      reportUnreadable(report, error);
    } finally {
      looking = undefined;
    }
  };
  return async () => {
    looking ??= look();
    await looking;
    return current;
  };
}

function reportUnreadable(report: ReportProblem, error: unknown): void {
  const why = explainUnread(error);
  report('own_certificate_unreadable', `this API's certificate can not be read again: ${why}`);
}

function explainUnread(error: unknown): string {
  return isTellable(error) ? error.message : describeError(error);
}

function atStart(optionPath: string, certFile: string, keyFile: string): CertificateAndKey {
  let read: CertificateAndKey | undefined;
  let why: [expected: string, got: string] | undefined;
  try {
    const [cert, key] = [readFileSyncOrExplain(certFile), readFileSyncOrExplain(keyFile)];
    read = pair(cert, key);
    why = explainNoPair(cert, key);
  } catch (error) {
    throw createMismatch(optionPath, 'files that can be read', explainUnread(error));
  }
  if (read === undefined) {
    throw createMismatch(
      optionPath,
      'a certificate, with its whole chain if it has one, and its key',
      `${certFile} and ${keyFile}`,
      `: ${why?.[1]}`,
    );
  }
  return read;
}

/**
 * While one file is renewed and the other not yet, they do not belong together: the old pair is
 * used on.
 */
async function readPair(
  certFile: string,
  keyFile: string,
  report: ReportProblem,
): Promise<CertificateAndKey | undefined> {
  try {
    const [cert, key] = [await readFileOrExplain(certFile), await readFileOrExplain(keyFile)];
    const renewed = pair(cert, key);
    if (renewed !== undefined) {
      return renewed;
    }
    report(
      'own_certificate_mismatch',
      `${certFile} and ${keyFile} are no whole certificate chain and its key: ` +
        `${explainNoPair(cert, key)[1]}. The ones read before are still used`,
    );
  } catch (error) {
    reportUnreadable(report, error);
  }
  return undefined;
}

function isSame(a: CertificateAndKey, b: CertificateAndKey): boolean {
  return String(a.cert) === String(b.cert) && String(a.key) === String(b.key);
}

function readTexts(given: unknown): CertificateAndKey | undefined {
  if (typeof given !== 'object' || given === null || !('cert' in given) || !('key' in given)) {
    return undefined;
  }
  const cert = pemText.read(given.cert);
  const key = pemText.read(given.key);
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

/**
 * Returns nothing for a pair that TLS would not use: a broken chain behind a good certificate
 * included.
 */
function pair(cert: string | Buffer, key: string | Buffer): CertificateAndKey | undefined {
  try {
    if (
      typeof readPemBlocks(String(cert)) === 'string' ||
      !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
    ) {
      return undefined;
    }
    createSecureContext({ cert, key });
    return Object.freeze({ cert, key });
  } catch {
    return undefined;
  }
}

/** Returns what a pair is and what `cert` and `key` are instead, in words that quote neither. */
function explainNoPair(cert: string | Buffer, key: string | Buffer): [expected: string, got: string] {
  if ([cert, key].some((pem) => String(pem).includes('\\n'))) {
    return ['PEM with line ends', '\\n written out as two characters'];
  }
  if (/^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(String(key))) {
    return ['a key without a passphrase', 'an encrypted one'];
  }
  if ([cert, key].some((pem) => readPemBlocks(String(pem)) === 'joined')) {
    return ['PEM whose markers are whole lines', `PEM in which ${JOINED}`];
  }
  return ['the key of cert, with its whole chain', 'another key, or a chain that is broken'];
}
