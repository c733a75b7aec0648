import type { AuthorizationServer } from 'oauth4webapi';
import type { Http } from '../authorization-server/http.js';
import { serverTrouble } from '../authorization-server/retry-after.js';
import { TransmitterError } from '../errors.js';
import { MAX_NESTING, textNestsTooDeep } from '../shared/json-nesting.js';
import { redactUrl } from '../shared/shown-url.js';
import { toTransmitterError } from './transmitter-error.js';

/**
 * Finds the configuration of a transmitter of Shared Signals (SSF 1.0 §7.2). Rejects with
 * `TransmitterError`.
 */
export async function discoverTransmitter(
  issuer: string,
  http: Http,
  signal: AbortSignal,
): Promise<AuthorizationServer> {
  try {
    return await readConfiguration(issuer, http, signal);
  } catch (error) {
    throw toTransmitterError(error);
  }
}

async function readConfiguration(
  issuer: string,
  http: Http,
  signal: AbortSignal,
): Promise<AuthorizationServer> {
  const url = new URL(issuer);
  url.pathname = `/.well-known/ssf-configuration${url.pathname === '/' ? '' : url.pathname}`;
  const response = await http(url.href, { method: 'GET', headers: { accept: 'application/json' }, signal });
  if (response.status !== 200) {
    const detail = `${redactUrl(url)} answered ${response.status}`;
    throw (
      serverTrouble(response, redactUrl(url)) ??
      new TransmitterError('transmitter_unsuitable', `${detail}; check the option transmitter`)
    );
  }
  const text = await response.text();
  if (textNestsTooDeep(text)) {
    throw new TransmitterError(
      'transmitter_invalid_answer',
      `the configuration at ${redactUrl(url)} nests deeper than ${MAX_NESTING} levels`,
    );
  }
  const configuration = objectIn(text);
  if (configuration?.issuer !== issuer) {
    throw new TransmitterError(
      'transmitter_issuer_mismatch',
      `the configuration at ${redactUrl(url)} does not have the issuer that the option transmitter names`,
    );
  }
  return configuration as unknown as AuthorizationServer;
}

function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && Object.hasOwn(value, 'issuer');
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
