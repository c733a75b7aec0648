import { createPrivateKey, type JsonWebKey, type KeyObject, webcrypto } from 'node:crypto';
import { types } from 'node:util';
import { type ClientAuth, modifyAssertion, PrivateKeyJwt } from 'oauth4webapi';
import { createConflict, createMismatch } from '../shared/option-errors.js';
import { type OptionsOf, optional, optionGroup, readOptions, required } from '../shared/option-group.js';
import { type OptionRule, oneOf, text } from '../shared/option-rules.js';

const keyRule: OptionRule<
  KeyObject | webcrypto.CryptoKey,
  string | Buffer | JsonWebKey | webcrypto.CryptoKey
> = {
  accepted: 'a private key in PEM without a passphrase, as a JWK, or a CryptoKey that may sign',
  secret: true,
  read: (given) => {
    if (isCryptoKey(given)) {
      return given.type === 'private' && given.usages.includes('sign') ? given : undefined;
    }
    return readPrivateKey(given);
  },
};

export const privateKeyOptions = optionGroup({
  /**
   * PEM (PKCS #8, PKCS #1 or SEC 1, without a passphrase), a JWK, or a `CryptoKey` that may sign.
   * Required.
   */
  key: required(keyRule),
  /**
   * The key id in the header of the assertion, for a server that has several keys of your API (RFC
   * 7515 §4.1.4). Default: none.
   */
  kid: optional(text, { defaultInWords: 'none' }),
  /**
   * The signature algorithm. Not next to a `CryptoKey`, which has an algorithm. Default: by the
   * key, PS256 for RSA, ES256, ES384 or ES512 by the curve, EdDSA for Ed25519.
   */
  alg: optional(oneOf('PS256', 'RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'), {
    defaultInWords: 'by the key, PS256 for RSA, ES256, ES384 or ES512 by the curve, EdDSA for Ed25519',
  }),
});

/** The key of `privateKeyJwt()`. */
export interface PrivateKeyOptions extends OptionsOf<typeof privateKeyOptions> {}

type Algorithm = NonNullable<PrivateKeyOptions['alg']>;

/** How Web Crypto calls each algorithm, and the key that it needs. */
const algorithms: Record<
  Algorithm,
  {
    type: string;
    curve?: string;
    parameters: webcrypto.RsaHashedImportParams | webcrypto.EcKeyImportParams | webcrypto.Algorithm;
  }
> = {
  PS256: { type: 'rsa', parameters: { name: 'RSA-PSS', hash: 'SHA-256' } },
  RS256: { type: 'rsa', parameters: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } },
  ES256: { type: 'ec', curve: 'prime256v1', parameters: { name: 'ECDSA', namedCurve: 'P-256' } },
  ES384: { type: 'ec', curve: 'secp384r1', parameters: { name: 'ECDSA', namedCurve: 'P-384' } },
  ES512: { type: 'ec', curve: 'secp521r1', parameters: { name: 'ECDSA', namedCurve: 'P-521' } },
  EdDSA: { type: 'ed25519', parameters: { name: 'Ed25519' } },
};
const algorithmNames = Object.keys(algorithms) as Algorithm[];

/** A private key in PEM without a passphrase or as a JWK; undefined for anything else. */
export function readPrivateKey(given: unknown): KeyObject | undefined {
  try {
    const isPem = typeof given === 'string' || Buffer.isBuffer(given);
    return createPrivateKey(isPem ? given : { key: given as JsonWebKey, format: 'jwk' });
  } catch {
    return undefined;
  }
}

/**
 * Makes what adds an assertion that is signed with the key. Throws `ConfigurationError` for a key that
 * can't sign by the algorithm.
 */
export function createAssertionAuth(options: PrivateKeyOptions): ClientAuth {
  const { key, kid, alg } = readOptions('privateKeyJwt()', options, privateKeyOptions);
  if (isCryptoKey(key)) {
    if (alg !== undefined) {
      throw createConflict('privateKeyJwt().alg', 'a CryptoKey, which names its own');
    }
    refuseWeakRsa('modulusLength' in key.algorithm ? 'rsa' : undefined, modulusLengthOf(key));
    return signAssertion(key, kid, undefined);
  }
  const chosen = algorithmFor(key, alg);
  let assertion: Promise<ClientAuth> | undefined;
  return async (...request) => {
    assertion ??= importKey(key, chosen).then((imported) => signAssertion(imported, kid, chosen));
    await (await assertion)(...request);
  };
}

function algorithmFor(key: KeyObject, wanted: Algorithm | undefined): Algorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  refuseWeakRsa(type, details?.modulusLength);
  const fitting = algorithmNames.filter((name) => {
    const needed = algorithms[name];
    return needed.type === type && (needed.curve === undefined || needed.curve === details?.namedCurve);
  });
  const chosen = wanted === undefined ? fitting[0] : fitting.find((name) => name === wanted);
  if (chosen === undefined) {
    const accepted =
      fitting.length > 0 ? fitting.join(' or ') : 'a key of RSA, P-256, P-384, P-521 or Ed25519';
    const what = `a key of ${details?.namedCurve ?? type}${wanted === undefined ? '' : ` for ${wanted}`}`;
    throw createMismatch('privateKeyJwt().alg', accepted, what);
  }
  return chosen;
}

/** RFC 7518 §3.3 and §3.5: 2,048 bits or more. */
function refuseWeakRsa(type: string | undefined, bits = 0): void {
  if (type === 'rsa' && bits < 2_048) {
    throw createMismatch('privateKeyJwt().key', 'an RSA key of 2048 bits or more', `one of ${bits} bits`);
  }
}

function modulusLengthOf({ algorithm }: webcrypto.CryptoKey): number | undefined {
  return 'modulusLength' in algorithm ? Number(algorithm.modulusLength) : undefined;
}

async function importKey(key: KeyObject, alg: Algorithm): Promise<webcrypto.CryptoKey> {
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', pkcs8, algorithms[alg].parameters, false, ['sign']);
}

function signAssertion(
  key: webcrypto.CryptoKey,
  kid: string | undefined,
  alg: Algorithm | undefined,
): ClientAuth {
  return PrivateKeyJwt(kid === undefined ? key : { key, kid }, {
    // Servers know Ed25519 by the name that FAPI 2.0 uses.
    [modifyAssertion]: (header) => {
      if (alg === 'EdDSA') {
        header.alg = alg;
      }
    },
  });
}

function isCryptoKey(value: unknown): value is webcrypto.CryptoKey {
  return types.isCryptoKey(value);
}
