import type { ClientCertificate } from './client-certificate.js';
import { asn1Library, parsedCertificate } from './parsed.js';

/** A role of a payment service provider (ETSI TS 119 495 §5.1). */
export type Psd2Role = 'PSP_AS' | 'PSP_PI' | 'PSP_AI' | 'PSP_IC';

const QC_STATEMENTS = '1.3.6.1.5.5.7.1.3';
const PSD2_STATEMENT = '0.4.0.19495.2';
const roleOids: Readonly<Record<string, Psd2Role>> = {
  '0.4.0.19495.1.1': 'PSP_AS',
  '0.4.0.19495.1.2': 'PSP_PI',
  '0.4.0.19495.1.3': 'PSP_AI',
  '0.4.0.19495.1.4': 'PSP_IC',
};

export const psd2RoleNames: readonly Psd2Role[] = Object.values(roleOids);

const known = new WeakMap<ClientCertificate, readonly Psd2Role[]>();

/**
 * The roles that a qualified certificate names in its QCStatements (ETSI TS 119 495 §5.1, RFC 3739 §3.2.6); none for any
 * other certificate. By their OIDs: the names beside them are for people. Throws `RequestRefused` for what is no
 * certificate.
 */
export function psd2Roles(certificate: ClientCertificate): readonly Psd2Role[] {
  const roles = known.get(certificate) ?? Object.freeze(rolesIn(certificate));
  known.set(certificate, roles);
  return roles;
}

function rolesIn(certificate: ClientCertificate): Psd2Role[] {
  const extension = parsedCertificate(certificate)?.getExtension(QC_STATEMENTS);
  const { fromBER, ObjectIdentifier, Sequence } = asn1Library();
  const membersOf = (value: unknown): readonly unknown[] =>
    value instanceof Sequence ? value.valueBlock.value : [];
  const oidOf = (value: unknown): string => (value instanceof ObjectIdentifier ? value.getValue() : '');

  const statements = extension ? fromBER(extension.value).result : undefined;
  for (const statement of membersOf(statements)) {
    const [id, info] = membersOf(statement);
    if (oidOf(id) === PSD2_STATEMENT) {
      const [roles] = membersOf(info);
      return membersOf(roles).flatMap((role) => roleOids[oidOf(membersOf(role)[0])] ?? []);
    }
  }
  return [];
}
