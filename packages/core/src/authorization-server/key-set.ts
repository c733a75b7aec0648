import { createPublicKey } from 'node:crypto';
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose';
import { RequestRefused } from '../errors.js';
import { isHttpsUrl } from '../option-rules.js';
import { shownUrl } from '../shown-url.js';
import type { Http } from './http.js';
import type { Metadata } from './metadata.js';
import { serverTrouble } from './retry-after.js';

/** Seconds for which keys serve before they are fetched anew. */
const MAX_AGE = 600;

/** Seconds between two fetches that unknown keys may cause: whoever invents key ids costs the server no more. */
const UNKNOWN_KEY_COOL_DOWN = 10;

const LEAST_RSA_BITS = 2_048;

interface Known {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly uri: string;
  readonly fetchedAt: number;
}

/**
 * Finds the authorization server's keys (RFC 8414 §2, `jwks_uri`). A key that is not known has the set fetched anew, so
 * that a rotation is followed at once. Rejects with `RequestRefused` when the keys can't be had.
 */
export function remoteKeys(metadata: Metadata, http: Http): JWTVerifyGetKey {
  let known: Known | undefined;
  let fetching: Promise<Known> | undefined;
  let lastCausedByUnknown = Number.NEGATIVE_INFINITY;

  function refresh(uri: string): Promise<Known> {
    fetching ??= fetchKeys(uri, http)
      .then((fetched) => {
        known = fetched;
        return fetched;
      })
      .finally(() => {
        fetching = undefined;
      });
    return fetching;
  }

  async function currentKeys(uri: string): Promise<Known> {
    const isFresh = known?.uri === uri && secondsSince(known.fetchedAt) < MAX_AGE;
    return known !== undefined && isFresh ? known : refresh(uri);
  }

  return async (header, token) => {
    const uri = keySetUri(await metadata());
    const keys = await currentKeys(uri);
    try {
      return await keys.find(header, token);
    } catch (error) {
      const isUnknown = error instanceof errors.JWKSNoMatchingKey;
      if (!isUnknown || secondsSince(lastCausedByUnknown) < UNKNOWN_KEY_COOL_DOWN) {
        throw error;
      }
      lastCausedByUnknown = Date.now();
      return (await refresh(uri)).find(header, token);
    }
  };
}

async function fetchKeys(uri: string, http: Http): Promise<Known> {
  const response = await http(uri, {
    method: 'GET',
    headers: { accept: 'application/json, application/jwk-set+json' },
  });
  if (response.status !== 200) {
    const detail = `${shownUrl(uri)} answered ${response.status}`;
    throw (
      serverTrouble(response, shownUrl(uri)) ?? new RequestRefused('authorization_server_failed', { detail })
    );
  }
  try {
    const { keys } = (await response.json()) as JSONWebKeySet;
    return { find: createLocalJWKSet({ keys: keys.filter(isStrong) }), uri, fetchedAt: Date.now() };
  } catch {
    throw new RequestRefused('authorization_server_invalid_answer', {
      detail: `${shownUrl(uri)} gave no key set`,
    });
  }
}

/** A weak or broken key is not looked at, as if the server had not named it (FAPI 2.0 §5.4.1). */
function isStrong(key: JWK): boolean {
  if (key.kty !== 'RSA') {
    return true;
  }
  try {
    const { asymmetricKeyDetails: details } = createPublicKey({ key, format: 'jwk' });
    return (details?.modulusLength ?? 0) >= LEAST_RSA_BITS;
  } catch {
    return false;
  }
}

function keySetUri({ issuer, jwks_uri: uri }: { issuer: string; jwks_uri?: string }): string {
  if (isHttpsUrl(uri)) {
    return uri;
  }
  throw new RequestRefused('authorization_server_unsuitable', {
    detail: `the metadata of ${issuer} name no jwks_uri with https`,
  });
}

function secondsSince(time: number): number {
  return (Date.now() - time) / 1000;
}
