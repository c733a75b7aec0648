const escapeText = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/**
 * Matches the message of a `ConfigurationError`: the option by its path, what it got, and how what
 * was expected begins.
 */
export function mismatch(path: string, got: string, expected = ''): RegExp {
  return new RegExp(
    `^${escapeText(path)}: expected ${escapeText(expected)}.*, got ${escapeText(got)}(?:[;,:] .*)?$`,
  );
}
