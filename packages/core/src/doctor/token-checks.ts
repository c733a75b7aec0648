import { decodeJwt } from 'jose';
import type { AcceptedIssuer, TimeLimitedReader } from '../authorization-server/accepted-issuers.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { checkBinding } from '../confirmation/binding.js';
import { certificateMethod } from '../confirmation/certificate-method.js';
import { createKeyMethod } from '../confirmation/key-method.js';
import type { DpopProof } from '../dpop/proof.js';
import { toRefusal } from '../errors.js';
import { mismatchHint } from '../response/explanation.js';
import { checkClaims } from '../token/claims-check.js';
import { readTokenClaims, type TokenAnswer, type TokenClaims } from '../token/token-claims.js';
import { describeClaim, readTokenRejection, type TokenRejection } from '../token/token-rejection.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { adviceOnJwt } from './jwt-advice.js';
import { remedies } from './remedies.js';

function rejectionFinding(rejection: TokenRejection, { kind }: TimeLimitedReader, token: string): Finding {
  const { code, detail } = readTokenRejection(rejection);
  if (code === 'token_inactive' && kind === 'introspection') {
    return problem(
      code,
      'the authorization server says that the token is not active',
      'get a new token; if it is active, ask the operator of the server to let this API introspect it',
    );
  }
  return problem(code, detail ?? code, adviceOnJwt(code, token) ?? remedies[code]);
}

/** What a client has to prove that a token is its own. */
export interface SampleClient {
  readonly certificate: ClientCertificate | undefined;
  /** The thumbprint of its key for DPoP. */
  readonly key?: string | undefined;
}

/**
 * Asks about the user's token as the API would, and compares it with the certificate and the key.
 * Never rejects.
 */
export async function checkToken(
  { read, rules }: AcceptedIssuer,
  token: string,
  client: SampleClient,
  {
    mustBind,
    saysItBinds,
    acceptsDpop,
  }: { readonly mustBind: boolean; readonly saysItBinds: boolean; readonly acceptsDpop: boolean },
): Promise<Finding[]> {
  let answer: TokenAnswer;
  try {
    answer = await read(token);
  } catch (thrown) {
    const { code, message } = toRefusal(thrown);
    return [problem(code, message, remedies[code])];
  }
  if (typeof answer === 'string') {
    const claimed = read.kind === 'introspection' ? [] : claimedFindings(token, rules);
    return claimed.length > 0 ? claimed : [rejectionFinding(answer, read, token)];
  }
  const findings = [
    ok('token', 'the token is from the authorization server'),
    ...claimFindings(answer, rules),
  ];
  if (answer.confirmation === undefined) {
    const finding = mustBind ? problem : warning;
    findings.push(
      saysItBinds
        ? finding(
            'unbound_client',
            'the token has no cnf, though the authorization server says that it binds tokens',
            'register the client with tls_client_certificate_bound_access_tokens, and let it ' +
              'get tokens over mutual TLS',
          )
        : finding(
            'no_cnf',
            'the token has no cnf, and the authorization server does not say that it binds tokens',
            'turn certificate-bound access tokens on at the authorization server (RFC 8705 §3)',
          ),
    );
  } else {
    findings.push(...bindingFindings(answer.confirmation, client, acceptsDpop));
  }
  return findings;
}

/** What a JWT that is not accepted says of itself: why it is not, most often. */
function claimedFindings(token: string, rules: AcceptedIssuer['rules']): Finding[] {
  try {
    const claims = readTokenClaims(decodeJwt(token), rules.issuer);
    return typeof claims === 'string' ? [] : claimFindings(claims, rules);
  } catch {
    return [];
  }
}

function claimFindings(tokenClaims: TokenClaims, rules: AcceptedIssuer['rules']): Finding[] {
  try {
    // Such a token comes with a proof, or is refused for its binding.
    checkClaims(tokenClaims, rules, Date.now() / 1000, namesKey(tokenClaims.confirmation));
    return [];
  } catch (thrown) {
    const { code, message } = toRefusal(thrown);
    if (code === 'token_wrong_audience') {
      const theirs = tokenClaims.audience?.slice(0, MAX_NAMES).map(describeClaim).join(', ') ?? 'none';
      return [
        problem(
          'wrong_audience',
          `the token's aud is ${theirs}; the option audience is ${String(rules.audience)}`,
          'set the option audience to what the server writes, or let clients ask for this API (RFC 8707)',
        ),
      ];
    }
    return [problem(code, message, remedies[code])];
  }
}

/** Names that a token lists. */
const MAX_NAMES = 10;

function namesKey(confirmation: unknown): confirmation is { readonly jkt: unknown } {
  return typeof confirmation === 'object' && confirmation !== null && Object.hasOwn(confirmation, 'jkt');
}

function bindingFindings(confirmation: unknown, client: SampleClient, acceptsDpop: boolean): Finding[] {
  const { certificate, key } = client;
  if (!namesKey(confirmation)) {
    return [
      ...(key === undefined
        ? []
        : [
            problem(
              'dpop_token_unbound',
              'the token is not bound to a key: its cnf has no jkt',
              remedies.dpop_token_unbound,
            ),
          ]),
      ...(certificate === undefined ? [] : [bindingFinding(confirmation, { certificate })]),
    ];
  }
  if (!acceptsDpop) {
    return [
      problem(
        'dpop_off',
        'the token is bound to a key (cnf.jkt), and the API does not accept the scheme DPoP',
        'set the option dpop, or let the client get its tokens by its certificate alone',
      ),
    ];
  }
  if (certificate === undefined) {
    const { jkt } = confirmation;
    return [bindingFinding({ jkt }, { certificate, key: key ?? String(jkt) })];
  }
  return [bindingFinding(confirmation, { certificate, key: key ?? String(confirmation.jkt) })];
}

/** What a proof by the key shows of it. Its signature is none of this check. */
const methods = Object.freeze([certificateMethod, createKeyMethod({ checkSignature: () => undefined })]);

function bindingFinding(confirmation: unknown, { certificate, key }: SampleClient): Finding {
  const proof = key === undefined ? undefined : ({ key: { jkt: key } } as DpopProof);
  try {
    checkBinding(
      confirmation,
      { thumbprint: certificate?.thumbprint, proof },
      { binding: 'required', methods: proof === undefined ? [certificateMethod] : methods },
    );
    return ok('binding', `the token is bound to ${boundTo(confirmation, key)}`);
  } catch (thrown) {
    const { code, message, expectedThumbprint } = toRefusal(thrown);
    if (expectedThumbprint === undefined || certificate === undefined) {
      return problem(code, message, remedies[code]);
    }
    return problem(
      code,
      `the token is bound to ${expectedThumbprint}, the certificate is ${certificate.thumbprint}`,
      mismatchHint(expectedThumbprint, certificate, { isForwarded: false })?.text ??
        'present the certificate with which the client got the token',
    );
  }
}

function boundTo(confirmation: unknown, key: string | undefined): string {
  const names = Object.hasOwn(confirmation as object, 'x5t#S256') ? ['the certificate'] : [];
  return [...names, ...(key === undefined ? [] : [`the key ${key}`])].join(' and ');
}
