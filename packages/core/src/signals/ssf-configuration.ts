import type { AuthorizationServer } from 'oauth4webapi';
import type { Http } from '../authorization-server/http.js';
import { serverTrouble } from '../authorization-server/retry-after.js';
import { RequestRefused } from '../errors.js';
import { MAX_NESTING, textNestsTooDeep } from '../shared/json-nesting.js';
import { redactUrl } from '../shared/shown-url.js';

/**
 * Finds the configuration of a transmitter of Shared Signals (SSF 1.0 §7.2). Rejects with
 * `RequestRefused`.
 */
export async function discoverTransmitter(
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
      new RequestRefused('authorization_server_unsuitable', {
        detail: `${detail}; check the option transmitter`,
      })
    );
  }
  const text = await response.text();
  if (textNestsTooDeep(text)) {
    throw new RequestRefused('authorization_server_invalid_answer', {
      detail: `the configuration at ${redactUrl(url)} nests deeper than ${MAX_NESTING} levels`,
    });
  }
  const configuration = objectIn(text);
  if (configuration?.issuer !== issuer) {
    throw new RequestRefused('authorization_server_issuer_mismatch', {
      detail:
        `the configuration at ${redactUrl(url)} does not have the issuer that the ` +
        'option transmitter names',
    });
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
