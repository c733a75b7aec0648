import { RequestRefused } from '../errors.js';
import { createBadVerdictCheck } from './bad-verdict.js';
import { extensionIds } from './certificate-fields.js';
import type { ClientCertificate } from './client-certificate.js';
import { x509, x509Library } from './lazy-x509.js';
import { type ParsedCertificate, parseCertificate, readExtension } from './parsed-certificate.js';

/** A role of a payment service provider (ETSI TS 119 495 §5.1). */
export type Psd2Role = 'PSP_AS' | 'PSP_PI' | 'PSP_AI' | 'PSP_IC';

const PSD2_STATEMENT = '0.4.0.19495.2';
const roleOids: Readonly<Record<string, Psd2Role>> = {
  '0.4.0.19495.1.1': 'PSP_AS',
  '0.4.0.19495.1.2': 'PSP_PI',
  '0.4.0.19495.1.3': 'PSP_AI',
  '0.4.0.19495.1.4': 'PSP_IC',
};

export const psd2RoleNames: readonly Psd2Role[] = Object.values(roleOids);

/** Of each certificate; `undefined` where its QCStatements can't be read. */
const known = new WeakMap<ParsedCertificate, { readonly roles: readonly Psd2Role[] | undefined }>();

/**
 * Returns the roles that a qualified certificate names in its QCStatements (ETSI TS 119 495 §5.1,
 * RFC 3739 §3.2.6); none for any other certificate. The OIDs count, not the names next to them,
 * which are for people.
 *
 * Rejects with `RequestRefused` for a certificate that TLS or the proxy did not verify, as any client
 * can make one with any role. A certificate without a verdict is accepted, and the problem
 * `chain_verdict_missing` is reported once. Rejects, too, for what is no certificate, for one of which the
 * proxy hands on the hash alone, and for QCStatements that can't be read.
 */
export async function psd2Roles(certificate: ClientCertificate): Promise<readonly Psd2Role[]> {
  await x509.load();
  refuseBadVerdict(certificate);
  return readPsd2Roles(certificate);
}

const refuseBadVerdict = createBadVerdictCheck('psd2Roles()');

/**
 * Reads the roles, for code that has waited for `x509.load()` and has checked the chain. Throws
 * `RequestRefused`.
 */
export function readPsd2Roles(certificate: ClientCertificate): readonly Psd2Role[] {
  const parsed = parseCertificate(certificate);
  const outcome = known.get(parsed) ?? { roles: rolesOf(parsed) };
  known.set(parsed, outcome);
  if (outcome.roles === undefined) {
    throw new RequestRefused('certificate_refused', { detail: 'its QCStatements can not be read' });
  }
  return outcome.roles;
}

function rolesOf(parsed: ParsedCertificate): readonly Psd2Role[] | undefined {
  const roles = readExtension(parsed, extensionIds.qcStatements, [], (der) =>
    rolesIn(new (x509Library().Extension)(der).value),
  );
  return roles && Object.freeze(roles);
}

/** Throws for what is no DER. */
function rolesIn(qcStatements: ArrayBuffer): Psd2Role[] {
  const { fromBER, ObjectIdentifier, Sequence } = x509Library();
  const membersOf = (value: unknown): readonly unknown[] =>
    value instanceof Sequence ? value.valueBlock.value : [];
  const oidOf = (value: unknown): string => (value instanceof ObjectIdentifier ? value.getValue() : '');

  const { result: statements, offset } = fromBER(qcStatements);
  if (offset === -1) {
    throw new TypeError('no DER');
  }
  for (const statement of membersOf(statements)) {
    const [id, info] = membersOf(statement);
    if (oidOf(id) === PSD2_STATEMENT) {
      const [roles] = membersOf(info);
      return membersOf(roles).flatMap((role) => roleOids[oidOf(membersOf(role)[0])] ?? []);
    }
  }
  return [];
}
