// The one place that imports @peculiar/x509, which throws where reflect-metadata is not loaded
// before it. `lazy-x509.ts` loads it when a policy needs it. package.json names this file under
// `sideEffects`: a bundler would leave the first import out.
import 'reflect-metadata';

export {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';
export { fromBER, ObjectIdentifier, Sequence } from 'asn1js';
