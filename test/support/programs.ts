import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, it } from 'vitest';

// These are unpacked or built, not installed.
const keycloak = process.env.KEYCLOAK_HOME ? [join(process.env.KEYCLOAK_HOME, 'bin')] : [];
const spring = process.env.SPRING_HOME ? [process.env.SPRING_HOME] : [];
// The folder with the folder of the certificates of NIST's PKITS.
const pkits = process.env.PKITS_HOME ? [process.env.PKITS_HOME] : [];

// Debian keeps servers where an ordinary user's PATH does not look.
const folders = [
  ...keycloak,
  ...spring,
  ...pkits,
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/sbin',
  '/usr/local/sbin',
];

// To see what a machine with less sees: WITHOUT_PROGRAMS="nginx caddy" npm test
const hidden = (process.env.WITHOUT_PROGRAMS ?? '').split(' ');

/** The full path of a program on this machine, or `undefined`. Java runs a `.jar`, which need not be executable itself. */
export function findProgram(name: string): string | undefined {
  const mode = name.endsWith('.jar') ? constants.R_OK : constants.X_OK;
  return hidden.includes(name)
    ? undefined
    : folders.map((folder) => join(folder, name)).find((path) => isAccessible(path, mode));
}

/** A suite that needs a program: skipped by name where it is missing, a failure where REQUIRE_REAL is set. */
export function describeReal(program: string, title: string, suite: () => void): void {
  if (findProgram(program) !== undefined) {
    describe(title, suite);
  } else {
    missing(program, title);
  }
}

/** Declares one test that needs a real program, and skips it where the program is missing. */
export function itReal(program: string, title: string, test: () => void | Promise<void>): void {
  if (findProgram(program) !== undefined) {
    it(title, test);
  } else {
    missing(program, title);
  }
}

function missing(program: string, title: string): void {
  const named = `${title} (needs ${program})`;
  if (process.env.REQUIRE_REAL) {
    it(named, () => {
      throw new Error(`${program} is not on this machine`);
    });
  } else {
    it.skip(named, () => undefined);
  }
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
