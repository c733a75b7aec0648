import type { RefusedChainCode } from '../certificate-policy/chain-check.js';
import type { StatusReasonCode } from '../certificate-status/status-reason.js';
import { type RequestRefused, reasonCodeOf } from '../errors.js';
import type { Hint } from '../shared/hint.js';

const clocks = 'or the clock of this API is wrong';

/** Of a chain that a policy refuses. */
const ofChain: Readonly<Record<RefusedChainCode, Hint>> = Object.freeze({
  hash_alone: {
    code: 'chain_hash_alone',
    text: 'choose a preset of the proxy that hands on the whole certificate, and let the proxy send it',
  },
  no_path: {
    code: 'chain_issuer_missing',
    text:
      'add its authority to certificatePolicy.authorities, or the authority between to ' +
      'certificatePolicy.intermediates: many clients and proxies send none. mtls-doctor certificate ' +
      'names the issuer that is missing',
  },
  not_cleared_by_source: {
    code: 'chain_not_cleared',
    text:
      'TLS or the proxy found the certificate revoked, or its own revocation list missing or expired, or ' +
      'leaves that open: look at the list and the verdict that are set there. A server with crl must ' +
      'verify every chain by its own ca: ' +
      'give the lists to certificatePolicy.revocationCheck instead. UNSPECIFIED without any list may be ' +
      'about the common name, a host name that nameConstraints do not permit: the client needs a ' +
      'certificate with a permitted DNS name',
  },
  authority_expired: {
    code: 'chain_authority_expired',
    text:
      'replace the certificate of the authority that the detail names in certificatePolicy.authorities ' +
      'or certificatePolicy.intermediates',
  },
  authority_not_valid_yet: {
    code: 'chain_authority_not_valid_yet',
    text:
      'the certificate of the authority that the detail names is used before its notBefore, ' +
      `${clocks}: set it by NTP`,
  },
  authority_weak_key: {
    code: 'chain_authority_weak_key',
    text:
      'the key or the signature algorithm in the certificate of the authority that the detail names is not ' +
      'accepted here: the client needs a certificate of another authority',
  },
  expired: { code: 'chain_expired', text: `the client must renew its certificate, ${clocks}: set it by NTP` },
  not_valid_yet: {
    code: 'chain_not_valid_yet',
    text: `the certificate is used before its notBefore, ${clocks}: set it by NTP`,
  },
  other_purpose: {
    code: 'chain_other_purpose',
    text:
      'the certificate, or one of an authority above it, was issued for another purpose: the client ' +
      'needs one with clientAuth, for example not that of its own server',
  },
  not_an_authority: {
    code: 'chain_not_an_authority',
    text:
      'a certificate that is no authority has signed the one below it: the client sends a chain that it ' +
      'made itself, or the authority issued its own certificate wrongly',
  },
  too_long: {
    code: 'chain_too_long',
    text: 'an authority above allows no further authority below it (pathLenConstraint): ask its operator',
  },
  name_not_permitted: {
    code: 'chain_name_not_permitted',
    text: 'an authority above may not issue certificates for this name (nameConstraints): ask its operator',
  },
  policies: {
    code: 'chain_policies',
    text:
      'the authorities of the chain demand certificate policies that it does not have: ask their ' +
      'operator',
  },
  critical_extension: {
    code: 'chain_unknown_extension',
    text:
      'the authority marked an extension as critical that is not processed here: ask it for a ' +
      'certificate without it',
  },
  weak_key: {
    code: 'chain_weak_key',
    text: 'the client needs a certificate with a key and a signature algorithm that are accepted here',
  },
  too_much_work: {
    code: 'chain_too_much_work',
    text:
      'the client sends many certificates that fit each other, which no authority in use does: let it ' +
      'send its chain alone. If an authority above it has hundreds of name constraints, add its ' +
      'certificate to certificatePolicy.intermediates',
  },
  unreadable: {
    code: 'chain_not_accepted',
    text: 'the detail says what is wrong with the chain. mtls-doctor certificate shows the whole chain',
  },
  revoked: {
    code: 'certificate_revoked',
    text:
      'the authority revoked the certificate: the client needs a new one, with a new key if the reason is ' +
      'keyCompromise, and a new token',
  },
  authority_revoked: {
    code: 'authority_revoked',
    text:
      'the certificate of an authority above is revoked: each client below it needs a certificate of ' +
      'another authority',
  },
});

const chainHints: ReadonlyMap<string | undefined, Hint> = new Map(Object.entries(ofChain));

/** Of a status that is unknown. */
const ofStatus: Readonly<Record<StatusReasonCode, Hint>> = Object.freeze({
  origin_not_permitted: {
    code: 'status_origin_not_permitted',
    text:
      'add the origin of the list or the responder to certificatePolicy.revocationCheck.origins, if the ' +
      'server is one of yours. Each https URL needs its origin there',
  },
  not_published: {
    code: 'status_not_published',
    text:
      'the certificate does not say where its status is: set ' +
      'certificatePolicy.revocationCheck.crlFiles, or the other method of by',
  },
  form_not_supported: {
    code: 'status_form_not_supported',
    text:
      'the authority publishes a delta list, an indirect list, or lists for some reasons alone: use its ' +
      "full list by crlFiles, or by: 'ocsp'",
  },
  too_large: {
    code: 'status_too_large',
    text:
      'raise certificatePolicy.revocationCheck.maxSize if the list has more bytes. If it, or the ' +
      "certificate, has more parts than are read, it can not be used: use by: 'ocsp'",
  },
  wrong_time: {
    code: 'status_clock',
    text: 'the clock of this API, or that of the authority, is wrong: set it by NTP',
  },
  outdated: {
    code: 'status_outdated',
    text:
      'the authority, or what copies its list to this API, has stopped publishing: ask its operator. ' +
      "mode: 'tolerant' accepts certificates meanwhile",
  },
  wrong_signer: {
    code: 'status_wrong_signer',
    text:
      'the list or the answer is not signed by the key of the issuer of the certificate: the file or URL ' +
      'is of another authority, or the authority signs it with another key: a key for lists alone counts ' +
      'if certificatePolicy.intermediates has its certificate',
  },
  wrong_nonce: {
    code: 'status_nonce',
    text:
      'the responder signs its answers in advance and knows no nonce: set ' +
      'certificatePolicy.revocationCheck.nonce to false',
  },
  unknown_to_responder: {
    code: 'status_unknown_to_responder',
    text: 'the responder does not know the certificate: the authority may not have issued it',
  },
  server_not_trusted: {
    code: 'status_server_not_trusted',
    text: 'name the authority of the https server in certificatePolicy.revocationCheck.ca',
  },
  unreachable: {
    code: 'status_unreachable',
    text:
      'let the firewall pass requests of this API to the list or the responder that the detail names. ' +
      'mtls-doctor certificate tries them',
  },
  unreadable: {
    code: 'status_unreadable',
    text: 'the list or the answer is malformed: the detail says where. Ask the operator of the authority',
  },
});

const statusHints: ReadonlyMap<string | undefined, Hint> = new Map(Object.entries(ofStatus));

/** Returns the likely cause of a refusal by `authorities` or `revocationCheck` of a policy. Never throws. */
export function hintForCertificateRefusal(refusal: RequestRefused): Hint | undefined {
  switch (refusal.code) {
    case 'certificate_refused':
    case 'certificate_refused_401':
      return chainHints.get(reasonCodeOf(refusal));
    case 'certificate_status_unknown':
      return statusHints.get(reasonCodeOf(refusal));
    default:
      return undefined;
  }
}

/** Returns the likely cause of a refusal by the chain with this code. */
export function hintForChainCode(code: RefusedChainCode): Hint {
  return ofChain[code];
}

/** Returns the likely cause of a status that is unknown for this reason. */
export function hintForStatus(code: StatusReasonCode): Hint {
  return ofStatus[code];
}
