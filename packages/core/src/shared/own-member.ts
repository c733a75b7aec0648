/**
 * Returns a member of an object's own, never one of its prototype, which other code of the
 * application may have changed.
 */
export function readOwnMember(object: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
