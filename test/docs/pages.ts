import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Every page that a user may read, by its path from the root. */
export const pages: readonly string[] = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md') && !/(^|\/)(node_modules|dist|\.[^/]+)\//.test(path))
  .toSorted();

export const textOf = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
