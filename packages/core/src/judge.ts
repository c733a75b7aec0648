import { Authorization } from './authorization.js';
import { ClientCertificate } from './certificate/client-certificate.js';
import { checkTls } from './certificate/tls-profile.js';
import { type RefusalCode, RequestRefused } from './errors.js';
import { type Explainer, originOf } from './explanation.js';
import { interactionOf } from './interaction.js';
import { publishCertificate, publishReported } from './observe/events.js';
import type { Settings } from './options.js';
import { checkBinding, reportable } from './policy/binding.js';
import { type ClaimRules, checkClaims } from './policy/claims.js';
import type { NodeRequest } from './request/bearer-token.js';
import type { TokenAnswer } from './token-claims.js';

/** Decides, once it is known what the token is: on every request, after the cache. */
export interface Judge {
  /** Undefined where the client showed none. Throws `RequestRefused`. */
  certificateOf(req: NodeRequest): ClientCertificate | undefined;
  /** Throws `RequestRefused`. */
  decide(token: TokenAnswer, certificate: ClientCertificate | undefined, req: NodeRequest): Authorization;
  /** What was told instead of refused, with `binding: 'report'`. */
  readonly reported: ReadonlyMap<RefusalCode, number>;
}

export function createJudge(
  settings: Settings,
  rulesOf: (issuer: string) => ClaimRules,
  { explain }: Pick<Explainer, 'explain'>,
): Judge {
  const { binding, certificatePolicy, profile } = settings;
  const origin = originOf(settings.certificate);
  const reported = new Map<RefusalCode, number>();

  /** Throws on what refuses; where the binding is only reported, what concerns it is told instead. */
  function tolerate(thrown: unknown, certificate: ClientCertificate | undefined, req: NodeRequest): void {
    if (binding !== 'report' || !(thrown instanceof RequestRefused) || !reportable.has(thrown.code)) {
      throw thrown;
    }
    reported.set(thrown.code, (reported.get(thrown.code) ?? 0) + 1);
    const { thumbprint } = certificate ?? {};
    publishReported({ refusal: thrown, thumbprint, interactionId: interactionOf(req) }, () =>
      explain(thrown, certificate, req),
    );
  }

  return {
    reported,

    certificateOf(req) {
      if (profile !== undefined && settings.certificate.fromConnection) {
        checkTls(req, profile.ciphers);
      }
      try {
        const certificate = settings.certificate(req);
        checkCertificate(certificate);
        publishCertificate(origin, certificate);
        return certificate;
      } catch (thrown) {
        tolerate(thrown, undefined, req);
        return undefined;
      }
    },

    decide(token, certificate, req) {
      if (typeof token === 'string') {
        throw new RequestRefused(token);
      }
      const now = Date.now();
      checkClaims(token, rulesOf(token.issuer), now / 1000);
      try {
        checkBinding(token.confirmation, certificate?.thumbprint, binding);
        certificatePolicy?.(certificate, now);
      } catch (thrown) {
        tolerate(thrown, certificate, req);
        return new Authorization(token, certificate, false);
      }
      return new Authorization(token, certificate, token.confirmation !== undefined);
    },
  };
}

/** A source is the user's own function: what it returns decides about identity, so nothing is taken for granted. */
function checkCertificate(certificate: unknown): asserts certificate is ClientCertificate | undefined {
  if (certificate !== undefined && !(certificate instanceof ClientCertificate)) {
    throw new TypeError('the option certificate returned neither a ClientCertificate nor undefined');
  }
}
