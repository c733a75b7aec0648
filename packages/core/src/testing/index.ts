export { createTestCertificate, type TestCertificateOptions } from './test-certificate.js';
export type { TestCertificateAuthority } from './test-certificate-authority.js';
export type { TestKey, TestKeyAlgorithm } from './test-key.js';
export {
  createTestKit,
  type TestKit,
  type TestKitOptions,
  type TestProofOptions,
  type TestTokenOptions,
} from './test-kit.js';
