/** What a profile demands of a resource server, as data. */
export interface Profile {
  /** JWS algorithms that may be accepted (FAPI 1.0 Part 2 §8.6, FAPI 2.0 §5.4.1). */
  readonly algorithms: readonly string[];
  /** Seconds. FAPI 2.0 §5.3.2.1: 10 s ahead are accepted, more than 60 s are not. */
  readonly clockTolerance: { readonly least: number; readonly most: number };
  /** TLS below 1.3 (FAPI 1.0 Part 2 §8.5, FAPI 2.0 §5.2.2), by OpenSSL's names. */
  readonly ciphers: readonly string[];
}

/** The profiles that `profile` takes. */
export type ProfileName = 'fapi1-advanced' | 'fapi2-security';

/** The four suites of FAPI 1.0 Part 2 §8.5 as of March 2021: a certificate of RSA is needed. */
const fapi1Final = [
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'DHE-RSA-AES128-GCM-SHA256',
  'DHE-RSA-AES256-GCM-SHA384',
] as const;

/**
 * The four that BCP 195 (RFC 9325 §4.2) recommends, as FAPI 2.0 and the errata of FAPI 1.0 demand.
 */
const bcp195 = [
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
] as const;

/** By name, the suites for TLS 1.2. */
export const cipherLists = Object.freeze({ 'fapi1-final': fapi1Final, bcp195 });

/** The lists of cipher suites for TLS 1.2 that `fapiTlsOptions()` takes. */
export type CipherListName = keyof typeof cipherLists;

/** RFC 8446 §9.1, in the order of preference. */
export const tls13Ciphers = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
] as const;

const clockTolerance = { least: 10, most: 60 };

export const profiles: Readonly<Record<ProfileName, Profile>> = Object.freeze({
  'fapi1-advanced': {
    algorithms: ['PS256', 'ES256'],
    clockTolerance,
    // Both texts are in force: as published and with its errata.
    ciphers: [...new Set([...fapi1Final, ...bcp195])],
  },
  'fapi2-security': {
    algorithms: ['PS256', 'ES256', 'EdDSA', 'Ed25519'],
    clockTolerance,
    ciphers: bcp195,
  },
});

export const profileNames = ['fapi1-advanced', 'fapi2-security'] as const;
