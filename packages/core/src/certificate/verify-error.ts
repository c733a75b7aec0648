/** OpenSSL's verification errors by their numbers, as HAProxy's `ssl_c_verify` writes them. */
const errorNames: Readonly<Record<string, string>> = {
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
  '15': 'ERROR_IN_CRL_LAST_UPDATE_FIELD',
  '16': 'ERROR_IN_CRL_NEXT_UPDATE_FIELD',
  '18': 'DEPTH_ZERO_SELF_SIGNED_CERT',
  '19': 'SELF_SIGNED_CERT_IN_CHAIN',
  '20': 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  '21': 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  '22': 'CERT_CHAIN_TOO_LONG',
  '23': 'CERT_REVOKED',
  '25': 'PATH_LENGTH_EXCEEDED',
  '26': 'INVALID_PURPOSE',
  '27': 'CERT_UNTRUSTED',
  '28': 'CERT_REJECTED',
  '33': 'UNABLE_TO_GET_CRL_ISSUER',
  '35': 'KEYUSAGE_NO_CRL_SIGN',
  '36': 'UNHANDLED_CRITICAL_CRL_EXTENSION',
  '44': 'DIFFERENT_CRL_SCOPE',
  '54': 'CRL_PATH_VALIDATION_ERROR',
  '66': 'EE_KEY_TOO_SMALL',
  '67': 'CA_KEY_TOO_SMALL',
  '68': 'CA_MD_TOO_WEAK',
  '73': 'OCSP_VERIFY_NEEDED',
  '74': 'OCSP_VERIFY_FAILED',
  '75': 'OCSP_CERT_UNKNOWN',
  '79': 'INVALID_CA',
};

/** A verdict's own word: fixed vocabulary of the proxies. */
const word = /^(?:SUCCESS|NONE|FAILED|GENEROUS|RESUMED|OK|true|false|\d{1,3}|X509_V_[A-Z0-9_]{1,60})$/;

/**
 * Says why the values of a verdict's header do not verify the certificate, for the operator. Shows
 * a value only if it is a verdict as proxies write one: where the proxy does not set the header, a
 * client writes what it likes.
 */
export function verifyErrorOf(header: string, values: readonly string[]): string {
  const [value, another] = values;
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

/**
 * A word, or `FAILED:` with OpenSSL's reason: words of letters alone, so that no token and no key
 * is one.
 */
function isVerdict(value: string): boolean {
  if (word.test(value)) {
    return true;
  }
  const reason = value.startsWith('FAILED:') && value.length <= 120 ? value.slice(7).split(' ') : [];
  return reason.length > 0 && reason.every((part) => /^[A-Za-z()'/,-]{1,16}$/.test(part));
}

/**
 * Whether a verdict says that a certificate is revoked, or that its lists of revoked certificates or its
 * OCSP status can not be had.
 */
export function isAboutRevocation(verifyError: string): boolean {
  return /revoked|crl|ocsp/i.test(verifyError);
}
