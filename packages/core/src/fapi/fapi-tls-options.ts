import { constants } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import { onlyOptions } from '../shared/call-arguments.js';
import { type OptionsOf, optionGroup, readOptions, withDefault } from '../shared/option-group.js';
import { flag, oneOf } from '../shared/option-rules.js';
import { type CipherListName, cipherLists, tls13Ciphers } from './fapi-profiles.js';

export const fapiTlsServerOptions = optionGroup({
  /**
   * The suites for TLS 1.2. `bcp195`: the four of RFC 9325 §4.2, for FAPI 2.0 and FAPI 1.0 with its
   * errata. `fapi1-final`: the four of FAPI 1.0 Part 2 §8.5 as published, for servers with a
   * certificate of RSA. Default `bcp195`.
   */
  ciphers: withDefault<CipherListName, CipherListName>(oneOf('bcp195', 'fapi1-final'), 'bcp195'),
  /** Whether a session may be resumed. Open Finance Brasil demands `false`. Default `true`. */
  resumption: withDefault(flag, true),
});

/** Options of `fapiTlsOptions()`. */
export interface FapiTlsOptions extends OptionsOf<typeof fapiTlsServerOptions> {}

/**
 * What FAPI demands of a server that ends TLS itself, to be spread into the options of
 * `https.createServer`: TLS 1.2 with the permitted suites alone, and 1.3, which comes first; no
 * renegotiation; a certificate is asked of each client, and its check is left to the binding, so
 * that self-signed ones pass (RFC 8705 §6.2). Throws `ConfigurationError`.
 *
 * @example
 * https.createServer({ ...fapiTlsOptions(), cert, key }, app)
 */
export function fapiTlsOptions(options?: FapiTlsOptions): TlsOptions;
export function fapiTlsOptions(...args: [options?: FapiTlsOptions]): TlsOptions {
  const { ciphers: list, resumption } = readOptions(
    'fapiTlsOptions()',
    onlyOptions('fapiTlsOptions()', args),
    fapiTlsServerOptions,
  );
  return Object.freeze({
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [...tls13Ciphers, ...cipherLists[list]].join(':'),
    honorCipherOrder: true,
    // Groups of 2,048 bits and more, chosen by OpenSSL to fit the certificate; only DHE suites need
    // them.
    ...(list === 'fapi1-final' && { dhparam: 'auto' as const }),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (resumption ? 0 : constants.SSL_OP_NO_TICKET),
    requestCert: true,
    rejectUnauthorized: false,
  });
}
