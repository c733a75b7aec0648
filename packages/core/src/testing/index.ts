export { type CertificateRequest, createTestCertificate } from './test-certificate.js';
export {
  createTestKit,
  type TestKit,
  type TestKitOptions,
  type TokenRequest,
} from './test-kit.js';
