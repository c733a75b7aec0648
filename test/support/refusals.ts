import { processIntrospectionResponse, WWWAuthenticateChallengeError } from 'oauth4webapi';
import type supertest from 'supertest';
import { expect } from 'vitest';

/** The one challenge of a `WWW-Authenticate` header, read by a certified client's parser, not by one of ours. */
export async function challengeOf(header: string): Promise<Record<string, string | undefined>> {
  const response = new Response('', { status: 401, headers: { 'www-authenticate': header } });
  try {
    await processIntrospectionResponse({ issuer: 'https://as.example.com' }, { client_id: 'any' }, response);
  } catch (error) {
    if (error instanceof WWWAuthenticateChallengeError) {
      expect(error.cause).toHaveLength(1);
      const [challenge] = error.cause;
      expect(challenge?.scheme).toBe('bearer');
      return { ...challenge?.parameters };
    }
  }
  throw new Error(`no parser would read this challenge: ${header}`);
}

/** What every refusal has in common, then what is particular. */
export interface ExpectedRefusal {
  readonly status: number;
  readonly error?: string;
  readonly scope?: string;
  /** The value of `Retry-After`; `null` for none. Looked at on a 503 alone. */
  readonly retryAfter?: string | null;
  /** Further parameters of the challenge. */
  readonly parameters?: Record<string, string>;
}

export async function expectRefusal(response: supertest.Response, expected: ExpectedRefusal): Promise<void> {
  const { status, error, scope, retryAfter = '5', parameters } = expected;
  expect({ status: response.status, error: response.body.error }).toEqual({ status, error });
  expect(response.headers['cache-control']).toBe('no-store');
  expect(response.headers.date).toBeDefined();
  if (status === 503) {
    expect(response.headers['www-authenticate']).toBeUndefined();
    expect(response.headers['retry-after'] ?? null).toBe(retryAfter);
    return;
  }
  expect(response.headers['retry-after']).toBeUndefined();
  if (error === 'access_denied') {
    // RFC 9440 §2.4: no other token would help, so there is no challenge.
    expect(response.headers['www-authenticate']).toBeUndefined();
    return;
  }
  const challenge = await challengeOf(response.headers['www-authenticate'] ?? '');
  expect(challenge).toEqual({
    realm: 'api',
    ...(error !== undefined && { error, error_description: response.body.error_description }),
    ...(scope !== undefined && { scope }),
    ...parameters,
  });
  if (error === undefined) {
    expect(response.text).toBe('');
    expect(response.headers['content-type']).toBeUndefined();
  } else {
    expect(Object.keys(response.body)).toEqual(['error', 'error_description']);
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
  }
}
