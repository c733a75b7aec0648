import { decodeJwt } from 'jose';
import type { AcceptedIssuer, LimitedReader } from '../authorization-server/accepted-issuers.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { checkBinding } from '../confirmation/binding.js';
import { certificateThumbprint } from '../confirmation/certificate-thumbprint.js';
import { toRefusal } from '../errors.js';
import { checkClaims } from '../policy/claims.js';
import { mismatchHint } from '../response/explanation.js';
import { readTokenClaims, type TokenAnswer, type TokenClaims } from '../token/token-claims.js';
import { describeClaim, readTokenRejection, type TokenRejection } from '../token/token-rejection.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { adviceOnJwt } from './jwt-advice.js';
import { remedies } from './remedies.js';

function rejectionFinding(rejection: TokenRejection, { kind }: LimitedReader, token: string): Finding {
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

/**
 * Asks about the user's token as the API would, and compares it with the certificate. Never
 * rejects.
 */
export async function checkToken(
  { read, rules }: AcceptedIssuer,
  token: string,
  certificate: ClientCertificate | undefined,
  { mustBind, saysItBinds }: { readonly mustBind: boolean; readonly saysItBinds: boolean },
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
  } else if (certificate !== undefined) {
    findings.push(bindingFinding(answer.confirmation, certificate));
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

function claimFindings(token: TokenClaims, rules: AcceptedIssuer['rules']): Finding[] {
  try {
    checkClaims(token, rules, Date.now() / 1000, false);
    return [];
  } catch (thrown) {
    const { code, message } = toRefusal(thrown);
    if (code === 'token_wrong_audience') {
      const theirs = token.audience?.slice(0, MAX_NAMES).map(describeClaim).join(', ') ?? 'none';
      return [
        problem(
          'wrong_audience',
          `the token's aud is ${theirs}; ours is ${String(rules.audience)}`,
          'set the option audience to what the server writes, or let clients ask for this API (RFC 8707)',
        ),
      ];
    }
    return [problem(code, message, remedies[code])];
  }
}

/** Names that a token lists. */
const MAX_NAMES = 10;

function bindingFinding(confirmation: unknown, certificate: ClientCertificate): Finding {
  try {
    checkBinding(
      confirmation,
      { thumbprint: certificate.thumbprint, proof: undefined },
      { binding: 'required', methods: [certificateThumbprint] },
    );
    return ok('binding', 'the token is bound to the certificate');
  } catch (thrown) {
    const { code, message, expectedThumbprint } = toRefusal(thrown);
    const hint =
      expectedThumbprint === undefined ? undefined : mismatchHint(expectedThumbprint, certificate, undefined);
    const both =
      expectedThumbprint &&
      `the token is bound to ${expectedThumbprint}, the certificate is ${certificate.thumbprint}`;
    return problem(
      code,
      both ?? message,
      hint?.text ?? 'present the certificate with which the client got the token',
    );
  }
}
