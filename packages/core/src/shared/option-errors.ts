import { ConfigurationError } from '../errors.js';

/** The error of an option that is not as it must be. Every error of an option is worded here. */
export function createMismatch(
  path: string,
  expected: string,
  got: string,
  hint: '' | `${';' | ',' | ':'} ${string}` = '',
): ConfigurationError {
  return new ConfigurationError(path, `expected ${expected}, got ${got}${hint}`);
}

/** The error of two options that exclude each other. `other` may say why. */
export function createConflict(path: string, other: string): ConfigurationError {
  return createMismatch(path, `nothing next to ${other}`, 'both');
}

/** The error of an option that is of use only next to another one, which is missing. */
export function createMissingRequirement(path: string, needed: string): ConfigurationError {
  return createMismatch(path, `${needed} next to it`, 'nothing there');
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
  const expected = known.length === 0 ? 'no options' : `no options but ${known.join(', ')}`;
  // The name may be a secret, as in { [value]: header }: only a misspelt name of an option is
  // shown.
  const meant = findMeant(unknown, known);
  throw meant !== undefined
    ? createMismatch(
        path === 'options' ? unknown : `${path}.${unknown}`,
        expected,
        'an unknown one',
        `; did you mean ${meant}?`,
      )
    : createMismatch(path, expected, `a name of ${unknown.length} characters`);
}

/**
 * Throws `ConfigurationError` if a member of the object is not enumerable: `{ ...options }` and
 * `Object.assign()` drop it silently.
 */
export function refuseHiddenMember(path: string, options: object): void {
  if (Object.getOwnPropertyNames(options).length > Object.keys(options).length) {
    throw createMismatch(path, 'members that are enumerable', 'one that is not');
  }
}

/**
 * Throws `ConfigurationError` for an environment variable whose name is nearly that of an option's variable.
 * A name that only begins like one is accepted: Kubernetes makes such names for a service called
 * `mtls-bound`.
 */
export function refuseMisspeltVariable(environment: NodeJS.ProcessEnv, known: readonly string[]): void {
  // An empty variable is how many tools say "not set".
  const given = Object.keys(environment).filter((name) => environment[name] && !known.includes(name));
  for (const name of given) {
    const meant = findMeant(name, known);
    if (meant !== undefined) {
      const expected = `no variable but ${known.join(', ')}`;
      throw createMismatch(name, expected, 'an unknown one', `; did you mean ${meant}?`);
    }
  }
}

/** How many letters of a misspelt name may be missing, added or wrong. */
const MAX_SLIPS = 2;

/**
 * Returns the known name that a misspelt one is nearest to: they differ only in case, hyphens, underscores
 * and two letters. Undefined if there is none.
 */
function findMeant(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string): string => text.replaceAll(/[-_]/g, '').toLowerCase();
  const slipsOf = (one: string): number => slipsBetween(plain(name), plain(one));
  // Any text is within `MAX_SLIPS` of a very short name.
  return name.length > 2 * MAX_SLIPS
    ? known.filter((one) => slipsOf(one) <= MAX_SLIPS).toSorted((a, b) => slipsOf(a) - slipsOf(b))[0]
    : undefined;
}

/**
 * Describes what was given to an option that takes one of a few names. It is shown if it is nearly one of
 * them: then it is no secret.
 */
export function describeName(given: unknown, names: readonly string[]): string {
  const isShown = typeof given === 'string' && given.length <= 32 && findMeant(given, names) !== undefined;
  return isShown ? JSON.stringify(given) : described(given);
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
 * Returns the type of a value, and the length of a text. Never shows the value: it may be a secret that was
 * given in the wrong place.
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
