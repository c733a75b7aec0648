/**
 * Levels of objects and lists in JSON that others send. No standard claim, key set or metadata
 * nests deeper than ten.
 */
export const MAX_NESTING = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Returns whether a JSON text nests deeper than `MAX_NESTING` levels. Reads the text once and
 * allocates nothing: parsing it costs more. For a text that is not JSON the result means nothing,
 * and parsing fails.
 */
export function textNestsTooDeep(text: string): boolean {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < text.length && depth <= MAX_NESTING; i += 1) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      isInString = !isInString;
    } else if (isInString) {
      // A quote that follows does not end the string.
      i += code === BACKSLASH ? 1 : 0;
    } else if (isOpening(code)) {
      depth += 1;
    } else if (isClosing(code)) {
      depth -= 1;
    }
  }
  return depth > MAX_NESTING;
}

function isOpening(code: number): boolean {
  return code === 0x5b || code === 0x7b;
}

function isClosing(code: number): boolean {
  return code === 0x5d || code === 0x7d;
}

/**
 * Returns whether a value of JSON nests deeper than `MAX_NESTING` levels. Works without recursion:
 * a small text can nest deeper than the stack. For a text that is not parsed yet,
 * `textNestsTooDeep` costs less.
 */
export function nestsTooDeep(value: unknown): boolean {
  let level: ReadonlySet<object> = new Set([value].filter(isContainer));
  for (let depth = 0; depth < MAX_NESTING; depth += 1) {
    // A value of a token source may have one object in many places.
    const next = new Set<object>();
    for (const container of level) {
      for (const member of Object.values(container)) {
        if (isContainer(member)) {
          next.add(member);
        }
      }
    }
    level = next;
    if (level.size === 0) {
      return false;
    }
  }
  return true;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
