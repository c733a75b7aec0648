// The one place that imports @peculiar/x509, which throws where reflect-metadata is not loaded
// before it. package.json names this file under `sideEffects`: a bundler would leave the first
// import out.
import 'reflect-metadata';

export {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonName,
  Name,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
