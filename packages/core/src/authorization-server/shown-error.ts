const WORD = /^\w{1,60}$/;

/**
 * Returns the name and the code of an error for a log. Its message is left out: an error of a function that got our headers, or
 * that has secrets of its own, may quote them.
 */
export function shownError(error: unknown): string {
  if (typeof error !== 'object' || error === null) {
    return 'something that is no Error';
  }
  const words = [readWord(error, 'name'), readWord(error, 'code')].filter((word) => word !== undefined);
  return words.length === 0 ? 'an error without a name' : words.join(' ');
}

function readWord(error: object, member: string): string | undefined {
  try {
    const value: unknown = Reflect.get(error, member);
    return typeof value === 'string' && WORD.test(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
