/** Levels of objects and lists in JSON that others send. No standard claim, key set or metadata nests deeper than ten. */
export const MAX_NESTING = 64;

/**
 * Returns whether a parsed JSON value nests deeper than `MAX_NESTING` levels. Works without recursion: a small text can nest deeper
 * than the stack.
 */
export function nestsTooDeep(value: unknown): boolean {
  let level = [value].filter(isContainer);
  for (let depth = 0; depth < MAX_NESTING; depth += 1) {
    // A value of a token source may have one object in many places.
    level = [...new Set(level.flatMap((one) => Object.values(one).filter(isContainer)))];
    if (level.length === 0) {
      return false;
    }
  }
  return true;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
