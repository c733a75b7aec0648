export { type CertificateRequest, createTestCertificate } from './test-certificate.js';
export type { TestCertificateAuthority } from './test-certificate-authority.js';
export type { TestKey, TestKeyAlgorithm } from './test-key.js';
export {
  createTestKit,
  type ProofRequest,
  type TestKit,
  type TestKitOptions,
  type TokenRequest,
} from './test-kit.js';
