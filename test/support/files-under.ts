import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Folders that hold no file of the project. Installations and builds may write to them meanwhile. */
const skipped = /^(?:node_modules|dist|target|\..+)$/;

/**
 * The files below a folder, each by its path from there, sorted. Follows no link: `readdirSync()` with
 * `recursive` does, into installed packages, and fails if one of their folders is removed meanwhile.
 */
export function filesUnder(folder: string): readonly string[] {
  const found: string[] = [];
  const walk = (path: string): void => {
    for (const entry of readdirSync(join(folder, path), { withFileTypes: true })) {
      if (entry.isFile()) {
        found.push(`${path}${entry.name}`);
      } else if (entry.isDirectory() && !skipped.test(entry.name)) {
        walk(`${path}${entry.name}/`);
      }
    }
  };
  walk('');
  return found.toSorted();
}
