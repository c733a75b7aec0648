import type { Authorization, WithCertificate } from '../authorization.js';
import { createBadVerdictCheck } from '../certificate/bad-verdict.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { attributeOid } from '../certificate/distinguished-name.js';
import { x509 } from '../certificate/lazy-x509.js';
import { type ParsedCertificate, parseCertificate } from '../certificate/parsed-certificate.js';
import { type Psd2Role, psd2RoleNames, readPsd2Roles } from '../certificate/psd2.js';
import {
  type CertificatePolicy,
  type CertificatePolicyOptions,
  certificatePolicyOptions,
  createCertificatePolicy,
} from '../certificate-policy/certificate-policy.js';
import { RequestRefused, TellableError } from '../errors.js';
import { createMismatch, described } from '../shared/option-errors.js';
import { OptionReader } from '../shared/option-group.js';
import { isPlainObject } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { isPromise } from '../shared/promises.js';
import { readMiddlewareArgument } from './middleware-call.js';
import { createRoutePolicy, type PolicyContext, type RoutePolicy } from './route-policy.js';

/**
 * `certificatePolicy` for one route. Revokes no tokens: what a route demands decides about no other route.
 * A policy of a route is never closed, as it may stand behind several resource servers. Revocation lists
 * that no request needs are not refreshed for long, and keep no process alive. Throws `ConfigurationError`.
 */
export function routeCertificatePolicy(options: CertificatePolicyOptions): RoutePolicy<WithCertificate>;
export function routeCertificatePolicy(
  ...given: [options: CertificatePolicyOptions]
): RoutePolicy<WithCertificate> {
  return createRouteCertificatePolicy('routeCertificatePolicy()', ...given);
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createRouteCertificatePolicy(
  calledAs: string,
  ...given: [options: CertificatePolicyOptions]
): RoutePolicy<WithCertificate> {
  const options = readMiddlewareArgument(calledAs, given, 'one object of options');
  const policyFor = policyByTolerance((clockTolerance) => {
    const given = new OptionReader(calledAs, options, certificatePolicyOptions);
    const policy = createCertificatePolicy(given, clockTolerance);
    if (policy === undefined) {
      throw createMismatch(calledAs, 'something that a certificate could lack', 'nothing');
    }
    return policy;
  });
  return afterLoading(
    ({ authorization: { certificate }, clockTolerance }) =>
      certificate && policyFor(clockTolerance).prepare(certificate, Date.now()),
    createRoutePolicy(({ certificate }, clockTolerance, { useCertificate }) => {
      const judged = policyFor(clockTolerance)(certificate, Date.now());
      if (judged !== certificate) {
        useCertificate?.(judged);
      }
    }),
  );
}

/**
 * The policy for the `clockTolerance` of a resource server. A route knows its resource server only
 * when a request comes, and a guard may stand behind two of them: the second has a policy of its own
 * if its tolerance differs.
 */
function policyByTolerance(
  make: (clockTolerance: () => number) => CertificatePolicy,
): (clockTolerance: number) => CertificatePolicy {
  let known: number | undefined;
  const first = make(() => known ?? 0);
  const others = new Map<number, CertificatePolicy>();
  return (wanted) => {
    known ??= wanted;
    if (wanted === known) {
      return first;
    }
    const policy = others.get(wanted) ?? make(() => wanted);
    others.set(wanted, policy);
    return policy;
  };
}

/**
 * What the certificate's subject has to say: the value of a claim, or what a function makes of the
 * claims.
 */
export type SubjectRequirement = string | ((claims: Readonly<Record<string, unknown>>) => string | undefined);

/**
 * Refuses a certificate whose subject does not have the names that the token has, or that TLS or
 * the proxy did not verify: 403 (without any verdict, that is reported once). A key is an attribute
 * type, by name (`organizationIdentifier`, `UID`, `CN`) or OID; a value names the claim to compare with,
 * or makes the expected text of the claims. Compared exactly. A claim that is missing refuses. Throws
 * `ConfigurationError`.
 */
export function certificateSubjectPolicy(
  required: Readonly<Record<string, SubjectRequirement>>,
): RoutePolicy<WithCertificate>;
export function certificateSubjectPolicy(
  ...given: [required: Readonly<Record<string, SubjectRequirement>>]
): RoutePolicy<WithCertificate> {
  return createCertificateSubjectPolicy('certificateSubjectPolicy()', ...given);
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createCertificateSubjectPolicy(
  calledAs: string,
  ...given: [required: Readonly<Record<string, SubjectRequirement>>]
): RoutePolicy<WithCertificate> {
  const required = readMiddlewareArgument(calledAs, given, 'one object of attribute types');
  const rules = Object.entries(isPlainObject(required) ? required : {}).map(([type, expected]) => ({
    type,
    oid: attributeOid(type),
    expected,
  }));
  const isComplete = rules.every(
    ({ oid, expected }) =>
      oid !== undefined && (typeof expected === 'function' || typeof expected === 'string'),
  );
  if (rules.length === 0 || !isComplete) {
    throw createMismatch(
      calledAs,
      'an object from attribute types, as organizationIdentifier or 2.5.4.97, to a claim or a function',
      described(required),
    );
  }
  return lookingInto(calledAs, ({ certificate, claims }) => {
    const subject = subjectOf(certificate);
    for (const { type, oid, expected } of rules) {
      const value =
        typeof expected === 'function' ? (expected(claims) as unknown) : readOwnMember(claims, expected);
      if (isPromise(value)) {
        throw new TellableError(
          `${calledAs}: the function for ${type} returned a promise; it must return a text`,
        );
      }
      if (typeof value !== 'string' || value === '' || !subject.has(`${oid}=${value}`)) {
        throw new RequestRefused('certificate_refused', {
          detail: `its ${type} is not what the token names`,
        });
      }
    }
  });
}

/**
 * Refuses a certificate that is not a qualified one with this role of a payment service provider,
 * or that TLS or the proxy did not verify: 403 (without any verdict, that is reported once).
 */
export function psd2RolePolicy(role: Psd2Role): RoutePolicy<WithCertificate>;
export function psd2RolePolicy(...given: [role: Psd2Role]): RoutePolicy<WithCertificate> {
  return createPsd2RolePolicy('psd2RolePolicy()', ...given);
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createPsd2RolePolicy(
  calledAs: string,
  ...given: [role: Psd2Role]
): RoutePolicy<WithCertificate> {
  const role = readMiddlewareArgument(calledAs, given, 'one role, and a guard for each further one');
  if (!psd2RoleNames.includes(role)) {
    throw createMismatch(calledAs, `one of ${psd2RoleNames.join(', ')}`, described(role));
  }
  return lookingInto(calledAs, ({ certificate }) => {
    if (certificate === undefined || !readPsd2Roles(certificate).includes(role)) {
      throw new RequestRefused('certificate_refused', {
        detail: `its QCStatements do not name the role ${role}`,
      });
    }
  });
}

/** Makes a policy of a check of names or roles in the certificate. */
function lookingInto(
  calledAs: string,
  check: (authorization: Authorization) => void,
): RoutePolicy<WithCertificate> {
  x509.preload();
  const refuseBadVerdict = createBadVerdictCheck(calledAs);
  const policy = createRoutePolicy<WithCertificate>((authorization) => {
    if (authorization.certificate !== undefined) {
      refuseBadVerdict(authorization.certificate);
    }
    check(authorization);
  });
  return afterLoading(() => x509.loadUnlessLoaded(), policy);
}

/** Lets `policy` decide when what it needs is loaded: at once, but for the first requests. */
function afterLoading(
  load: (request: PolicyContext) => Promise<unknown> | undefined,
  policy: RoutePolicy<WithCertificate>,
): RoutePolicy<WithCertificate> {
  return (request) => {
    const loading = load(request);
    return loading === undefined ? policy(request) : decideAfter(loading, policy, request);
  };
}

async function decideAfter(
  loading: Promise<unknown>,
  policy: RoutePolicy<WithCertificate>,
  request: PolicyContext,
): Promise<void> {
  await loading;
  return policy(request);
}

/** The subject's attributes, each as `OID=value`; a certificate is looked into once. */
function subjectOf(certificate: ClientCertificate | undefined): ReadonlySet<string> {
  if (certificate === undefined) {
    return new Set();
  }
  const parsed = parseCertificate(certificate);
  const subject = subjects.get(parsed) ?? new Set(attributesOf(parsed));
  subjects.set(parsed, subject);
  return subject;
}

function attributesOf({ subject }: ParsedCertificate): string[] {
  return subject.flatMap((relative) =>
    Object.entries(relative).flatMap(([type, texts]) =>
      texts.map((text) => `${attributeOid(type) ?? type}=${text}`),
    ),
  );
}

const subjects = new WeakMap<ParsedCertificate, ReadonlySet<string>>();
