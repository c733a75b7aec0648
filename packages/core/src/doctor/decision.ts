import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { asRefusal } from '../errors.js';
import { explained } from '../explanation.js';
import type { Explanation, RefusedEvent } from '../observe/events.js';
import type { ResourceServerOptions } from '../options.js';
import { createResourceServer } from '../resource-server.js';
import { readTokenClaims } from '../token-claims.js';
import { type Finding, ok, problem } from './finding.js';

/** What is to be decided about: claims as the authorization server gives them, and a certificate in PEM or DER. */
export interface Case {
  readonly claims: Record<string, unknown>;
  readonly certificate: ClientCertificate | undefined;
}

/** Decides as the API would, with its own options, and says why. Nobody is asked. */
export async function decide(
  { claims, certificate }: Case,
  options: ResourceServerOptions,
): Promise<Finding> {
  let explanation: Explanation | undefined;
  const note = (event: unknown): void => {
    explanation = (event as RefusedEvent).explanation;
  };
  const issuer = options.issuer ?? (typeof claims.iss === 'string' ? claims.iss : 'https://issuer.invalid');
  const server = createResourceServer({
    audience: 'server-enforced',
    ...options,
    issuer,
    tokens: () => async () => (claims.active === false ? 'token_inactive' : readTokenClaims(claims, issuer)),
    certificate: () => certificate,
    floodGuard: false,
  });
  const req = { url: '/', headers: {}, rawHeaders: ['authorization', 'Bearer explained'], socket: {} };
  subscribe('mtls-bound:refused', note);
  try {
    await server.authorize(req as never);
    return ok('admitted', 'a request with this token and this certificate is let in');
  } catch (thrown) {
    const refusal = asRefusal(thrown);
    const why =
      explanation === undefined ? refusal.message : (explained(refusal, explanation) ?? refusal.message);
    return problem(
      refusal.code,
      `${refusal.status}: ${why}`,
      explanation?.hint ?? 'docs/answers.md explains each code',
    );
  } finally {
    unsubscribe('mtls-bound:refused', note);
    await server.close();
  }
}
