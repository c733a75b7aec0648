/** OpenSSL's verification errors by their numbers, as HAProxy's `ssl_c_verify` writes them. */
const errorNames: Readonly<Record<string, string>> = {
  '1': 'UNSPECIFIED',
  '2': 'UNABLE_TO_GET_ISSUER_CERT',
  '3': 'UNABLE_TO_GET_CRL',
  '4': 'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  '5': 'UNABLE_TO_DECRYPT_CRL_SIGNATURE',
  '6': 'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  '7': 'CERT_SIGNATURE_FAILURE',
  '8': 'CRL_SIGNATURE_FAILURE',
  '9': 'CERT_NOT_YET_VALID',
  '10': 'CERT_HAS_EXPIRED',
  '11': 'CRL_NOT_YET_VALID',
  '12': 'CRL_HAS_EXPIRED',
  '13': 'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  '14': 'ERROR_IN_CERT_NOT_AFTER_FIELD',
  '15': 'ERROR_IN_CRL_LAST_UPDATE_FIELD',
  '16': 'ERROR_IN_CRL_NEXT_UPDATE_FIELD',
  '17': 'OUT_OF_MEM',
  '18': 'DEPTH_ZERO_SELF_SIGNED_CERT',
  '19': 'SELF_SIGNED_CERT_IN_CHAIN',
  '20': 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  '21': 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  '22': 'CERT_CHAIN_TOO_LONG',
  '23': 'CERT_REVOKED',
  '24': 'NO_ISSUER_PUBLIC_KEY',
  '25': 'PATH_LENGTH_EXCEEDED',
  '26': 'INVALID_PURPOSE',
  '27': 'CERT_UNTRUSTED',
  '28': 'CERT_REJECTED',
  '29': 'SUBJECT_ISSUER_MISMATCH',
  '30': 'AKID_SKID_MISMATCH',
  '31': 'AKID_ISSUER_SERIAL_MISMATCH',
  '32': 'KEYUSAGE_NO_CERTSIGN',
  '33': 'UNABLE_TO_GET_CRL_ISSUER',
  '34': 'UNHANDLED_CRITICAL_EXTENSION',
  '35': 'KEYUSAGE_NO_CRL_SIGN',
  '36': 'UNHANDLED_CRITICAL_CRL_EXTENSION',
  '37': 'INVALID_NON_CA',
  '38': 'PROXY_PATH_LENGTH_EXCEEDED',
  '39': 'KEYUSAGE_NO_DIGITAL_SIGNATURE',
  '40': 'PROXY_CERTIFICATES_NOT_ALLOWED',
  '41': 'INVALID_EXTENSION',
  '42': 'INVALID_POLICY_EXTENSION',
  '43': 'NO_EXPLICIT_POLICY',
  '44': 'DIFFERENT_CRL_SCOPE',
  '45': 'UNSUPPORTED_EXTENSION_FEATURE',
  '46': 'UNNESTED_RESOURCE',
  '47': 'PERMITTED_VIOLATION',
  '48': 'EXCLUDED_VIOLATION',
  '49': 'SUBTREE_MINMAX',
  '50': 'APPLICATION_VERIFICATION',
  '51': 'UNSUPPORTED_CONSTRAINT_TYPE',
  '52': 'UNSUPPORTED_CONSTRAINT_SYNTAX',
  '53': 'UNSUPPORTED_NAME_SYNTAX',
  '54': 'CRL_PATH_VALIDATION_ERROR',
  '55': 'PATH_LOOP',
  '56': 'SUITE_B_INVALID_VERSION',
  '57': 'SUITE_B_INVALID_ALGORITHM',
  '58': 'SUITE_B_INVALID_CURVE',
  '59': 'SUITE_B_INVALID_SIGNATURE_ALGORITHM',
  '60': 'SUITE_B_LOS_NOT_ALLOWED',
  '61': 'SUITE_B_CANNOT_SIGN_P_384_WITH_P_256',
  '62': 'HOSTNAME_MISMATCH',
  '63': 'EMAIL_MISMATCH',
  '64': 'IP_ADDRESS_MISMATCH',
  '65': 'DANE_NO_MATCH',
  '66': 'EE_KEY_TOO_SMALL',
  '67': 'CA_KEY_TOO_SMALL',
  '68': 'CA_MD_TOO_WEAK',
  '69': 'INVALID_CALL',
  '70': 'STORE_LOOKUP',
  '71': 'NO_VALID_SCTS',
  '72': 'PROXY_SUBJECT_NAME_VIOLATION',
  '73': 'OCSP_VERIFY_NEEDED',
  '74': 'OCSP_VERIFY_FAILED',
  '75': 'OCSP_CERT_UNKNOWN',
  '76': 'UNSUPPORTED_SIGNATURE_ALGORITHM',
  '77': 'SIGNATURE_ALGORITHM_MISMATCH',
  '78': 'SIGNATURE_ALGORITHM_INCONSISTENCY',
  '79': 'INVALID_CA',
  '80': 'PATHLEN_INVALID_FOR_NON_CA',
  '81': 'PATHLEN_WITHOUT_KU_KEY_CERT_SIGN',
  '82': 'KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA',
  '83': 'ISSUER_NAME_EMPTY',
  '84': 'SUBJECT_NAME_EMPTY',
  '85': 'MISSING_AUTHORITY_KEY_IDENTIFIER',
  '86': 'MISSING_SUBJECT_KEY_IDENTIFIER',
  '87': 'EMPTY_SUBJECT_ALT_NAME',
  '88': 'EMPTY_SUBJECT_SAN_NOT_CRITICAL',
  '89': 'CA_BCONS_NOT_CRITICAL',
  '90': 'AUTHORITY_KEY_IDENTIFIER_CRITICAL',
  '91': 'SUBJECT_KEY_IDENTIFIER_CRITICAL',
  '92': 'CA_CERT_MISSING_KEY_USAGE',
  '93': 'EXTENSIONS_REQUIRE_VERSION_3',
  '94': 'EC_KEY_EXPLICIT_PARAMS',
};

/** A failed verdict on the chain of a certificate. */
export interface FailedVerdict {
  /** What it says, for the operator. */
  readonly verifyError: string;
  /** False only if the verdict is known to be about something else than revocation. */
  readonly mayBeRevoked: boolean;
}

/** That a certificate is revoked, or that its revocation lists or its OCSP status can not be had. */
const revocationWord = /revo[ck]|crl|ocsp/i;

/** Errors whose name leaves open what went wrong, also with a revocation list. */
const openErrors = ['UNSPECIFIED', 'OUT_OF_MEM', 'APPLICATION_VERIFICATION', 'INVALID_CALL', 'STORE_LOOKUP'];

/** INVALID_CALL and STORE_LOOKUP of BoringSSL and AWS-LC. Nothing says which library wrote a number. */
const openNumbers = ['65', '66'];

/** The errors of OpenSSL that are not about revocation. */
const errorsNotAboutRevocation: ReadonlySet<string> = new Set(
  Object.values(errorNames).filter((name) => !revocationWord.test(name) && !openErrors.includes(name)),
);

/**
 * OpenSSL's texts of errors that are not about revocation, as NGINX and Apache write them behind
 * `FAILED:`, of OpenSSL 1.1.1 and 3. NGINX has texts of its own for OCSP, so that no other text counts.
 */
const reasonsNotAboutRevocation: ReadonlySet<string> = new Set([
  'unable to get issuer certificate',
  "unable to decrypt certificate's signature",
  'unable to decode issuer public key',
  'certificate signature failure',
  'certificate is not yet valid',
  'certificate has expired',
  "format error in certificate's notBefore field",
  "format error in certificate's notAfter field",
  'self signed certificate',
  'self-signed certificate',
  'self signed certificate in certificate chain',
  'self-signed certificate in certificate chain',
  'unable to get local issuer certificate',
  'unable to verify the first certificate',
  'certificate chain too long',
  'invalid CA certificate',
  'invalid non-CA certificate (has CA markings)',
  "issuer certificate doesn't have a public key",
  'path length constraint exceeded',
  'unsupported certificate purpose',
  'unsuitable certificate purpose',
  'certificate not trusted',
  'certificate rejected',
  'subject issuer mismatch',
  'authority and subject key identifier mismatch',
  'authority and issuer serial number mismatch',
  'key usage does not include certificate signing',
  'key usage does not include digital signature',
  'unhandled critical extension',
  'invalid or inconsistent certificate extension',
  'invalid or inconsistent certificate policy extension',
  'no explicit policy',
  'permitted subtree violation',
  'excluded subtree violation',
  'name constraints minimum and maximum not supported',
  'unsupported name constraint type',
  'unsupported or invalid name constraint syntax',
  'unsupported or invalid name syntax',
  'path loop',
  'EE certificate key too weak',
  'CA certificate key too weak',
  'CA signature digest algorithm too weak',
  'proxy path length constraint exceeded',
  'proxy certificates not allowed, please set the appropriate flag',
  "RFC 3779 resource not subset of parent's resources",
  'Suite B: certificate version invalid',
  'Suite B: invalid public key algorithm',
  'Suite B: invalid ECC curve',
  'Suite B: invalid signature algorithm',
  'Suite B: curve not allowed for this LOS',
  'Suite B: cannot sign P-384 with P-256',
  'hostname mismatch',
  'email address mismatch',
  'IP address mismatch',
  'no matching DANE TLSA records',
  'Certificate Transparency required, but no valid SCTs found',
  'proxy subject name violation',
  'Cannot find certificate signature algorithm',
  'subject signature algorithm and issuer public key algorithm mismatch',
  'cert info signature and signature algorithm mismatch',
  'Path length invalid for non-CA cert',
  'Path length given without key usage keyCertSign',
  'Key usage keyCertSign invalid for non-CA cert',
  'Issuer name empty',
  'Subject name empty',
  'Missing Authority Key Identifier',
  'Missing Subject Key Identifier',
  'Empty Subject Alternative Name extension',
  'Subject empty and Subject Alt Name extension not critical',
  'Basic Constraints of CA cert not marked critical',
  'Authority Key Identifier marked critical',
  'Subject Key Identifier marked critical',
  'CA cert does not include key usage extension',
  'Using cert extension requires at least X509v3',
  'Certificate public key has explicit ECC parameters',
]);

/**
 * Returns whether an error of OpenSSL, by its name without a prefix, may be about revocation. True for
 * each name that is not known.
 */
export function mayErrorBeRevocation(name: string): boolean {
  return !errorsNotAboutRevocation.has(name);
}

/** A verdict's own word: fixed vocabulary of the proxies. */
const word = /^(?:SUCCESS|NONE|FAILED|GENEROUS|RESUMED|OK|true|false|\d{1,3}|X509_V_[A-Z0-9_]{1,60})$/;

/**
 * Words that leave no doubt. NGINX and Apache write NONE without a certificate. Apache writes GENEROUS
 * for an unknown authority alone, and RESUMED for a resumed session, whose handshake it ends if the
 * certificate is revoked. SUCCESS is not listed: only values that did not verify the certificate are
 * compared with these words, and among them it leaves doubt.
 */
const wordsNotAboutRevocation: readonly string[] = ['NONE', 'GENEROUS', 'RESUMED'];

/**
 * Reads the values of a verdict's header that do not verify the certificate. The text shows a value
 * only if it is a verdict as proxies write one: where the proxy does not set the header, a client
 * writes what it likes. Whether the verdict may be about revocation is read from the value itself.
 *
 * @param checksRevocation false for a proxy that never looks at revocation: then only a value that
 * names revocation is about it
 * @param hasErrorNumbers whether a number is one of OpenSSL's errors: elsewhere it may mean anything
 */
export function readFailedVerdict(
  header: string,
  values: readonly string[],
  checksRevocation: boolean,
  hasErrorNumbers: boolean,
): FailedVerdict {
  const [value, another] = values;
  // A client can make some proxies drop a header, and can add one: neither must hide a revoked certificate.
  const isOther =
    value !== undefined && another === undefined && isAboutSomethingElse(value, hasErrorNumbers);
  return {
    verifyError: describeVerdict(header, value, another),
    mayBeRevoked: values.some((one) => revocationWord.test(one)) || (checksRevocation && !isOther),
  };
}

function describeVerdict(header: string, value: string | undefined, another: string | undefined): string {
  if (value === undefined) {
    return `${header} is not there`;
  }
  if (another !== undefined) {
    return `${header} came several times`;
  }
  const name = Object.hasOwn(errorNames, value) ? ` (${errorNames[value]})` : '';
  return isVerdict(value)
    ? `${header} says ${value}${name}`
    : `${header} holds no verdict that is known, ${value.length} characters`;
}

/** Whether a value is a verdict that is known, and not about revocation. */
function isAboutSomethingElse(value: string, hasErrorNumbers: boolean): boolean {
  if (wordsNotAboutRevocation.includes(value)) {
    return true;
  }
  if (value.startsWith('FAILED:')) {
    return reasonsNotAboutRevocation.has(value.slice('FAILED:'.length));
  }
  if (Object.hasOwn(errorNames, value)) {
    return (
      hasErrorNumbers && !openNumbers.includes(value) && !mayErrorBeRevocation(errorNames[value] as string)
    );
  }
  const name = /^X509_V_ERR_(.+)$/.exec(value)?.[1];
  return name !== undefined && !mayErrorBeRevocation(name);
}

/**
 * A word, or `FAILED:` with OpenSSL's reason: words of letters alone, so that no token and no key
 * is one.
 */
function isVerdict(value: string): boolean {
  return word.test(value) || isReason(value);
}

function isReason(value: string): boolean {
  const reason = value.startsWith('FAILED:') && value.length <= 120 ? value.slice(7).split(' ') : [];
  return reason.length > 0 && reason.every((part) => /^[A-Za-z()'/,-]{1,16}$/.test(part));
}
