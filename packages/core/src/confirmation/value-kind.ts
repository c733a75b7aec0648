/** What a value is that is no thumbprint or no `cnf`, in words. */
export function describeValueKind(value: unknown): string {
  if (value === '') {
    return 'empty';
  }
  if (Array.isArray(value)) {
    return 'a list';
  }
  return value === null || value === undefined ? String(value) : `of type ${typeof value}`;
}
