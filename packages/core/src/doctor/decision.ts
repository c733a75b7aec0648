import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { toRefusal } from '../errors.js';
import type { Explanation, RefusedEvent } from '../observe/events.js';
import type { ResourceServerOptions } from '../options/resource-server-options.js';
import { createResourceServer, type ResourceServer } from '../resource-server.js';
import { describeExplanation } from '../response/explanation.js';
import type { ProofSigner } from '../testing/proof-signer.js';
import { readTokenClaims } from '../token/token-claims.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { remedies } from './remedies.js';

/**
 * What is to be decided about: claims as the authorization server gives them, and a certificate in
 * PEM or DER.
 */
export interface Case {
  readonly claims: Record<string, unknown>;
  readonly certificate: ClientCertificate | undefined;
  /** Signs a DPoP proof for a token that is bound to a key. */
  readonly signer?: ProofSigner | undefined;
}

/**
 * Decides as the API would, with its own options, and says why. Sends no request to an authorization
 * server; a `certificatePolicy` may fetch what it needs. What neither options nor environment say of
 * issuer and audience can't be compared, which is said.
 */
export async function decide(
  { claims, certificate, signer }: Case,
  options: ResourceServerOptions,
  { MTLS_BOUND_ISSUER, MTLS_BOUND_AUDIENCE }: NodeJS.ProcessEnv,
): Promise<Finding[]> {
  // The shared cache and the channel for revocations would be used, so they are left out.
  const { issuers, selectIssuer: _, sharedCache: _store, revocations: _channel, ...more } = options;
  const one = issuers?.find(({ issuer }) => issuer === claims.iss) ?? issuers?.[0];
  // No metadata are read. The maximum age may be for another issuer, next to the given metadata of this one.
  const {
    authorizationServerMetadata: _metadata,
    authorizationServerMetadataMaxAge: _maxAge,
    ...own
  } = { ...more, ...one };
  const named = one?.issuer ?? more.issuer ?? MTLS_BOUND_ISSUER;
  const audience = one?.audience ?? more.audience ?? MTLS_BOUND_AUDIENCE?.split(' ');
  const issuer = named ?? (typeof claims.iss === 'string' ? claims.iss : 'https://issuer.invalid');
  const server = createResourceServer({
    ...own,
    // Without store, nonce and prefix: the doctor makes the proof itself.
    ...(more.dpop !== undefined && {
      dpop: {
        origin,
        ...(more.dpop.algorithms !== undefined && { algorithms: more.dpop.algorithms }),
      },
    }),
    issuer,
    audience: audience ?? 'server-enforced',
    tokens: () => async () => (claims.active === false ? 'token_inactive' : readTokenClaims(claims, issuer)),
    certificate: () => certificate,
    floodGuard: false,
  });
  try {
    return [
      await decisionOf(
        server,
        more.dpop !== undefined && isBoundToKey(claims) ? proofHeaders(signer) : bearer,
      ),
      ...(named === undefined
        ? [warning('issuer_not_compared', ...notCompared('iss', 'MTLS_BOUND_ISSUER'))]
        : []),
      ...(audience === undefined
        ? [warning('audience_not_compared', ...notCompared('aud', 'MTLS_BOUND_AUDIENCE'))]
        : []),
    ];
  } finally {
    await server.close();
  }
}

const notCompared = (claim: string, variable: string) =>
  [
    `the token's ${claim} was compared with nothing`,
    `name the API's options by --config, or set ${variable}`,
  ] as const;

const origin = 'https://api.invalid';
const token = 'explained';
const bearer: readonly string[] = ['authorization', `Bearer ${token}`];

function isBoundToKey({ cnf }: Case['claims']): boolean {
  return typeof cnf === 'object' && cnf !== null && Object.hasOwn(cnf, 'jkt');
}

function proofHeaders(signer: ProofSigner | undefined): readonly string[] {
  const credentials = ['authorization', `DPoP ${token}`];
  return signer === undefined
    ? credentials
    : [...credentials, 'dpop', signer.createProof({ method: 'GET', url: `${origin}/`, token })];
}

async function decisionOf(server: ResourceServer, rawHeaders: readonly string[]): Promise<Finding> {
  let explanation: Explanation | undefined;
  const note = (event: unknown): void => {
    explanation = { ...(event as RefusedEvent).explanation, certificateFrom: '--cert' };
  };
  const req = { method: 'GET', url: '/', headers: {}, rawHeaders, socket: {} };
  subscribe('mtls-bound:refused', note);
  try {
    await server.authorize(req as never);
    return ok(
      'admitted',
      rawHeaders === bearer
        ? 'a request with this token and this certificate is accepted'
        : 'a request with this token and a proof by this key is accepted',
    );
  } catch (thrown) {
    const refusal = toRefusal(thrown);
    const { code, status, message } = refusal;
    if (code === 'certificate_missing') {
      return problem(
        code,
        `${status}: no certificate was given`,
        'name the one that the client presents by --cert',
      );
    }
    if (code === 'dpop_proof_missing') {
      return problem(
        code,
        `${status}: no key was given, and the token is bound to one`,
        'name the private key of the client by --proof-key',
      );
    }
    const why = (explanation && describeExplanation(refusal, explanation)) ?? message;
    return problem(code, `${status}: ${why}`, explanation?.hint ?? remedies[code]);
  } finally {
    unsubscribe('mtls-bound:refused', note);
  }
}
