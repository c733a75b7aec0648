import { X509Certificate } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { ConfigurationError } from '../errors.js';
import { hasUserInfo, redactUrl } from './shown-url.js';

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
}

export const text: OptionRule<string> = {
  accepted: 'a non-empty string without blanks or line ends around it',
  read: (given) => (typeof given === 'string' && given !== '' && given === given.trim() ? given : undefined),
};

export const secretText: OptionRule<string> = { ...text, secret: true };

export const flag: OptionRule<boolean> = {
  accepted: 'true or false',
  read: (given) => (typeof given === 'boolean' ? given : undefined),
};

/**
 * An absolute URL that is spoken to over TLS. Without blanks and line ends, which URL parsers drop
 * in silence.
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
 * Base64url of a SHA-256, without padding. The last of the 43 characters holds four bits, so that
 * its two lowest are zero: with others a hash would be compared as another one.
 */
export const sha256Text = /^[\w-]{42}[AEIMQUYcgkosw048]$/;

/** `x5t#S256` values: base64url of a SHA-256, 43 characters (RFC 8705 §3.1). */
export const thumbprints: OptionRule<readonly string[]> = {
  accepted:
    'a list of x5t#S256 thumbprints, 43 characters of base64url each, the last one of AEIMQUYcgkosw048',
  read: (given) =>
    Array.isArray(given) && given.length > 0 && given.every((item) => sha256Text.test(String(item)))
      ? Object.freeze(given.map(String))
      : undefined,
};

/** RFC 6750 §3 and RFC 9110 §5.6.4: what may stand between quotes without an escape. */
export const quotable: OptionRule<string> = {
  accepted: 'printable ASCII characters other than " and \\',
  read: (given) =>
    typeof given === 'string' && /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(given) ? given : undefined,
};

export const textList: OptionRule<readonly string[], string | readonly string[]> = {
  accepted: 'a non-empty string without blanks or line ends around it, or a list of them',
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    return list.length > 0 && list.every((item) => text.read(item) !== undefined)
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
    return list.length > 0 && list.every(isPemCertificate)
      ? (given as SecureContextOptions['ca'])
      : undefined;
  },
};

export function oneOf<const T extends string>(...names: T[]): OptionRule<T> {
  return {
    accepted: names.map((name) => `'${name}'`).join(' or '),
    read: (given) => names.find((name) => name === given),
  };
}

export function wholeNumber(least: number, most: number): OptionRule<number> {
  return {
    accepted: `a whole number from ${least} to ${most}`,
    shows: 'number',
    read: (given) =>
      Number.isInteger(given) && Number(given) >= least && Number(given) <= most ? Number(given) : undefined,
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
    throw new ConfigurationError(
      path,
      `${what} was given; accepted is an object with ${names.join('(), ')}()`,
    );
  }
}

export const listOfObjects: OptionRule<readonly unknown[]> = {
  accepted: 'a list of one or more objects',
  read: (given) => (Array.isArray(given) && given.length > 0 ? given : undefined),
};

/** The error of an option that is not as it must be. The one place for its wording. */
export function createMismatch(path: string, expected: string, got: string, hint = ''): ConfigurationError {
  return new ConfigurationError(path, `${got} was given${hint}; accepted is ${expected}`);
}

/**
 * Names an object of options for error messages, with the names of its members unless there are too
 * many.
 */
export function describeOptionsObject(names: readonly string[] | undefined): string {
  return names === undefined ? 'an object' : `an object of ${names.join(', ') || 'no options'}`;
}

/** Throws `ConfigurationError` if a name is not among the known ones. */
export function refuseUnknownName(path: string, names: readonly string[], known: readonly string[]): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) {
    return;
  }
  const accepted = `there is no such option; accepted are ${known.join(', ') || 'none'}`;
  // The name may be a secret, as in { [value]: header }: only a misspelt name of an option is
  // shown.
  throw isMisspelt(unknown, known)
    ? new ConfigurationError(path === 'options' ? unknown : `${path}.${unknown}`, accepted)
    : new ConfigurationError(path, `a name of ${unknown.length} characters was given; ${accepted}`);
}

/** Reads the members of one options object, each named by its path in every error. */
export class OptionReader {
  readonly #prefix: string;
  readonly #options: Record<string, unknown>;
  readonly #environment: NodeJS.ProcessEnv | undefined;

  /**
   * Throws `ConfigurationError` unless `options` is a plain object with no other than the `known`
   * members.
   */
  constructor(path: string, options: unknown, known: readonly string[], environment?: NodeJS.ProcessEnv) {
    if (!isPlainObject(options)) {
      const members = path === 'options' ? '' : ` of ${known.join(', ') || 'no options'}`;
      // What is given in place of the object `secret` is most likely the secret itself.
      const isSecret = typeof options !== 'object' && path.endsWith('.secret');
      const what = isSecret ? `a value of type ${typeof options}` : described(options);
      throw new ConfigurationError(path, `${what} was given; accepted is an object${members}`);
    }
    this.#prefix = path === 'options' ? '' : `${path}.`;
    const unknown = Object.keys(options).find((name) => !known.includes(name));
    if (unknown !== undefined) {
      const accepted = `there is no such option; accepted are ${known.join(', ') || 'none'}`;
      // The name may be a secret, as in { [value]: header }: only a misspelt name of an option is
      // shown.
      throw isMisspelt(unknown, known)
        ? new ConfigurationError(`${this.#prefix}${unknown}`, accepted)
        : new ConfigurationError(path, `a name of ${unknown.length} characters was given; ${accepted}`);
    }
    // Own members alone: what is added to Object.prototype is no option.
    this.#options = Object.assign(Object.create(null), options);
    this.#environment = environment;
  }

  /**
   * The checked value; from the environment when it was not given; undefined when it is in neither.
   */
  optional<T>(name: string, rule: OptionRule<T, unknown>, variable?: string): T | undefined {
    const given = this.#options[name];
    if (given !== undefined) {
      return checked(`${this.#prefix}${name}`, rule, given);
    }
    return variable === undefined ? undefined : this.variable(variable, rule);
  }

  /** The checked value of an environment variable; undefined when it is not set. */
  variable<T>(name: string, rule: OptionRule<T, unknown>): T | undefined {
    const given = this.#environment && ownVariable(this.#environment, name);
    // An empty variable is how many tools say "not set".
    if (!given) {
      return undefined;
    }
    if (given !== given.trim()) {
      throw new ConfigurationError(name, `the value ${aroundIt(given)}; remove it`);
    }
    return checked(name, rule, given);
  }

  required<T>(name: string, rule: OptionRule<T, unknown>, variable?: string): T {
    const value = this.optional(name, rule, variable);
    if (value === undefined) {
      const isReadable = variable !== undefined && this.#environment !== undefined;
      const where = isReadable ? `, nor is the environment variable ${variable} set` : '';
      throw new ConfigurationError(
        `${this.#prefix}${name}`,
        `nothing was given${where}; accepted is ${rule.accepted}`,
      );
    }
    return value;
  }

  /** The object's own name as errors tell it. */
  get path(): string {
    return this.#prefix.replace(/\.$/, '') || 'options';
  }

  isMissing(name: string): boolean {
    return this.#options[name] === undefined;
  }

  /** What `read` makes of the option's name, as errors tell it, and of what was given. */
  read<T>(name: string, read: (path: string, given: unknown) => T): T {
    return read(this.pathOf(name), this.#options[name]);
  }

  /** The option's name as errors tell it. */
  pathOf(name: string): string {
    return `${this.#prefix}${name}`;
  }

  /** The reader of a nested options object; of an empty one when it was not given. */
  group(name: string, known: readonly string[]): OptionReader {
    const given = this.#options[name];
    return new OptionReader(`${this.#prefix}${name}`, given === undefined ? {} : given, known);
  }
}

/** Like every object, `process.env` inherits what other code has added to `Object.prototype`. */
export function ownVariable(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const isInherited = Object.hasOwn(Object.prototype, name) && !Object.hasOwn(environment, name);
  return isInherited ? undefined : environment[name];
}

function aroundIt(given: string): string {
  const where = given === given.trimEnd() ? 'begins with' : 'ends in';
  const [edge = ''] = (where === 'ends in' ? /[\s\uFEFF]+$/ : /^[\s\uFEFF]+/).exec(given) ?? [];
  return `${where} ${/[\r\n]/.test(edge) ? 'a line end' : 'a blank'}`;
}

/**
 * The value as its rule reads it. Throws `ConfigurationError` naming `path`, what was given and
 * what is accepted.
 */
export function checked<T>(path: string, rule: OptionRule<T, unknown>, given: unknown): T {
  const value = rule.read(given);
  if (value === undefined) {
    throw new ConfigurationError(path, `${shown(rule, given)} was given; accepted is ${rule.accepted}`);
  }
  return value;
}

function shown({ secret, shows }: OptionRule<unknown>, given: unknown): string {
  if (secret && given !== '') {
    return `a value of type ${typeof given}`;
  }
  if (typeof given === 'string' && shows === 'url') {
    // What stands before a colon may be a part of a secret: only the scheme of a web address is
    // shown.
    const isShown = URL.canParse(given) && /^https?:$/.test(new URL(given).protocol);
    return isShown ? JSON.stringify(redactUrl(given)) : described(given);
  }
  // A secret may consist of digits alone.
  const isShortNumber = typeof given === 'number' && String(given).length < 8;
  return isShortNumber && shows === 'number' ? String(given) : described(given);
}

/** Letters that a misspelt name has too many, too few or wrong, at most. */
const MAX_SLIPS = 2;

/**
 * Returns whether a name is that of an option but for case, hyphens, underscores and two letters.
 */
function isMisspelt(name: string, known: readonly string[]): boolean {
  const plain = (text: string): string => text.replaceAll(/[-_]/g, '').toLowerCase();
  // To a name that is as short as the slips are many, any text is near.
  return (
    name.length > 2 * MAX_SLIPS && known.some((one) => slipsBetween(plain(name), plain(one)) <= MAX_SLIPS)
  );
}

/**
 * The Levenshtein distance, or a number above `MAX_SLIPS` for texts whose lengths differ by more.
 */
function slipsBetween(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > MAX_SLIPS) {
    return Number.POSITIVE_INFINITY;
  }
  let row = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1];
    for (const [column, wanted] of [...other].entries()) {
      const replaced = Number(row[column]) + (letter === wanted ? 0 : 1);
      next.push(Math.min(replaced, Number(row[column + 1]) + 1, Number(next[column]) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/**
 * The type of a value and the length of a text, never the value: secrets are given in the wrong
 * place, too.
 */
export function described(given: unknown): string {
  if (typeof given === 'string') {
    return given === '' ? '""' : `a string of ${given.length} characters`;
  }
  if (Array.isArray(given)) {
    return 'a list';
  }
  if (given === null || given === undefined || typeof given === 'boolean') {
    return String(given);
  }
  return typeof given === 'object' ? 'an object' : `a ${typeof given}`;
}

/**
 * An object literal, of any realm. Not an instance of a class, nor an object that inherits members:
 * these would be ignored in silence.
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

function isPemCertificate(value: unknown): boolean {
  if (
    (typeof value !== 'string' && !Buffer.isBuffer(value)) ||
    !value.includes('-----BEGIN CERTIFICATE-----')
  ) {
    return false;
  }
  try {
    return new X509Certificate(value).raw.length > 0;
  } catch {
    return false;
  }
}
