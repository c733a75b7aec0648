import type { SecureContextOptions } from 'node:tls';
import { isTellable } from '../errors.js';
import { createMismatch, described, describeName } from './option-errors.js';
import { readPemCertificates } from './pem-certificates.js';
import { describeError } from './shown-error.js';
import { hasUserInfo, redactUrlSpelling } from './shown-url.js';

/**
 * What one option accepts. `read` gives the checked value, or `undefined` for a value that is not
 * accepted.
 */
export interface OptionRule<T, Given = T> {
  readonly accepted: string;
  /** What users may write, as a type. Never set. */
  readonly givenType?: Given;
  /** Of a number. */
  readonly limits?: { readonly min: number; readonly max: number };
  readonly read: (given: unknown) => T | undefined;
  /** The value never appears in an error message. */
  readonly secret?: true;
  /**
   * The wrong values that error messages show: numbers of a few digits, or URLs without their
   * secret parts. Default: none, as a secret may be given in the wrong place.
   */
  readonly shows?: 'number' | 'url';
  /** What error messages say of a wrong value in place of its type and length. */
  readonly explain?: (given: unknown) => string;
}

export const text: OptionRule<string> = {
  accepted: 'a non-empty string without blanks or line ends around it',
  read: (given) => (typeof given === 'string' && given !== '' && given === given.trim() ? given : undefined),
};

export const secretText: OptionRule<string> = { ...text, secret: true };

/** One secret or several: while one replaces the other, all are accepted. */
export const secretList: OptionRule<readonly string[], string | readonly string[]> = {
  accepted: 'a secret of 32 characters or more, or a list of them',
  secret: true,
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    return list.length > 0 && list.every((item) => typeof item === 'string' && item.length >= 32)
      ? Object.freeze(list.map(String))
      : undefined;
  },
};

export const flag: OptionRule<boolean> = {
  accepted: 'true or false',
  read: (given) => (typeof given === 'boolean' ? given : undefined),
};

/**
 * An absolute URL that is used over TLS. Without blanks and line ends, which URL parsers drop silently.
 */
export function isHttpsUrl(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    !/\s/.test(value) &&
    URL.canParse(value) &&
    new URL(value).protocol === 'https:'
  );
}

/** RFC 8414 §2: an issuer has no query and no fragment. */
export const issuerUrl: OptionRule<string> = {
  accepted: 'an https URL without query, fragment or user name',
  shows: 'url',
  read: (given) => {
    const isIdentifier = isHttpsUrl(given) && !given.includes('?') && !given.includes('#');
    return isIdentifier && !hasUserInfo(given) ? given : undefined;
  },
};

/**
 * The name of a header, given back in lower case. No underscore: some proxies drop such headers,
 * others take them for the same name with hyphens.
 */
export const headerName: OptionRule<string> = {
  accepted: 'a header name of letters, digits and hyphens',
  read: (given) =>
    typeof given === 'string' && /^[A-Za-z0-9-]+$/.test(given) ? given.toLowerCase() : undefined,
};

/**
 * Base64url of a SHA-256, without padding. The last of the 43 characters holds only four bits, so
 * that its two lowest bits are zero. With another last character the same hash would be a different text.
 */
export const sha256Text = /^[\w-]{42}[AEIMQUYcgkosw048]$/;

/** RFC 6750 §3 and RFC 9110 §5.6.4: what may stand between quotes without an escape. */
export const quotable: OptionRule<string> = {
  accepted: 'printable ASCII characters other than " and \\',
  read: (given) =>
    typeof given === 'string' && /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(given) ? given : undefined,
};

/**
 * Origins (RFC 6454 §6.2).
 *
 * @param one one of them in words, as errors name it
 * @param protocols as `https:`
 */
export function originList(
  one: string,
  protocols: readonly string[],
): OptionRule<readonly string[], string | readonly string[]> {
  const isOrigin = (value: unknown): boolean => {
    const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
    return url !== undefined && url.origin === value && protocols.includes(url.protocol);
  };
  return {
    accepted: `${one}, without path, or a list of them`,
    shows: 'url',
    read: (given) => {
      const list: unknown[] = Array.isArray(given) ? given : [given];
      return list.length > 0 && list.every(isOrigin) ? Object.freeze(list.map(String)) : undefined;
    },
  };
}

export const textList: OptionRule<readonly string[], string | readonly string[]> = {
  accepted: 'a non-empty string without blanks or line ends around it, or a list of them',
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    return list.length > 0 && list.every((item) => text.read(item) !== undefined)
      ? Object.freeze(list.map(String))
      : undefined;
  },
};

/** RFC 6749 §3.3. */
export const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

export const scopeList: OptionRule<readonly string[], string | readonly string[]> = {
  accepted: 'a scope of printable ASCII without blanks, " and \\, or a list of them',
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    return list.length > 0 && list.every((item) => typeof item === 'string' && scopeToken.test(item))
      ? Object.freeze(list.map(String))
      : undefined;
  },
};

export const textRecord: OptionRule<Readonly<Record<string, string>>> = {
  accepted: 'an object whose values are strings',
  read: (given) =>
    isPlainObject(given) && Object.values(given).every((value) => typeof value === 'string')
      ? Object.freeze({ ...(given as Record<string, string>) })
      : undefined,
};

export const pemCertificates: OptionRule<NonNullable<SecureContextOptions['ca']>> = {
  accepted: 'one or more certificates in PEM, as a string, a Buffer or a list of them',
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    return list.length > 0 && list.every((item) => explainNoCertificates(item) === undefined)
      ? (given as SecureContextOptions['ca'])
      : undefined;
  },
  explain: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    const texts = list.filter((item) => typeof item === 'string' || Buffer.isBuffer(item));
    const why = texts.map(explainNoCertificates).find((reason) => reason !== undefined);
    return why === undefined ? described(given) : `${described(given)}: ${why}`;
  },
};

export function oneOf<const T extends string>(...names: T[]): OptionRule<T> {
  return {
    accepted: names.map((name) => `'${name}'`).join(' or '),
    read: (given) => names.find((name) => name === given),
    explain: (given) => describeName(given, names),
  };
}

/** A function; `accepted` names those that fit. */
export function functionLike<T>(accepted: string): OptionRule<T> {
  return { accepted, read: (given) => (typeof given === 'function' ? (given as T) : undefined) };
}

/**
 * Throws `ConfigurationError` unless `given`, an object that another library made, has each of the
 * methods. `path` names it in the error.
 */
export function requireMethods(path: string, given: unknown, names: readonly string[]): void {
  const isObject = (typeof given === 'object' && given !== null) || typeof given === 'function';
  const missing = names.find((name) => typeof (given as Record<string, unknown>)?.[name] !== 'function');
  if (!isObject || missing !== undefined) {
    const what = isObject ? `an object without ${missing}()` : described(given);
    throw createMismatch(path, `an object with ${names.join('(), ')}()`, what);
  }
}

/** An object of another library, known by its methods. */
export function withMethods<T>(accepted: string, ...methods: string[]): OptionRule<T> {
  return {
    accepted: `${accepted} or another object with the methods ${methods.join(' and ')}`,
    read: (given) => {
      const members = typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : {};
      return methods.every((name) => typeof members[name] === 'function') ? (given as T) : undefined;
    },
  };
}

/** A list that is not empty. `OptionReader` checks that its items are objects. */
export const nonEmptyList: OptionRule<readonly unknown[]> = {
  accepted: 'a list of one or more objects',
  read: (given) => (Array.isArray(given) && given.length > 0 ? given : undefined),
};

/** Like every object, `process.env` inherits what other code has added to `Object.prototype`. */
export function ownVariable(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const isInherited = Object.hasOwn(Object.prototype, name) && !Object.hasOwn(environment, name);
  return isInherited ? undefined : environment[name];
}

/**
 * The value as its rule reads it. Throws `ConfigurationError` naming `path`, what was given and
 * what is accepted.
 */
export function checkOption<T>(path: string, rule: OptionRule<T, unknown>, given: unknown): T {
  const value = rule.read(given);
  if (value === undefined) {
    throw createMismatch(path, rule.accepted, shown(rule, given));
  }
  return value;
}

function shown({ secret, shows, explain }: OptionRule<unknown>, given: unknown): string {
  if (secret && given !== '') {
    return `a value of type ${typeof given}`;
  }
  if (explain !== undefined) {
    return explain(given);
  }
  if (typeof given === 'string' && shows === 'url') {
    // What stands before a colon may be a part of a secret: only the scheme of a web address is
    // shown.
    const isShown = URL.canParse(given) && /^https?:$/.test(new URL(given).protocol);
    return isShown ? JSON.stringify(redactUrlSpelling(given)) : described(given);
  }
  // A secret may consist of digits alone.
  const isShortNumber = typeof given === 'number' && String(given).length < 8;
  return isShortNumber && shows === 'number' ? String(given) : described(given);
}

/**
 * An object literal, of any realm. Not an instance of a class, nor an object that inherits members:
 * these would be silently ignored.
 */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return (
    prototype === null ||
    (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, 'isPrototypeOf'))
  );
}

/**
 * Says why a value can't be used as PEM certificates, and quotes nothing of it. Returns `undefined` if it
 * can.
 */
export function explainNoCertificates(value: unknown): string | undefined {
  if (typeof value !== 'string' && !Buffer.isBuffer(value)) {
    return 'neither a string nor a Buffer';
  }
  try {
    readPemCertificates(String(value));
    return undefined;
  } catch (error) {
    return isTellable(error) ? error.message : describeError(error);
  }
}
