import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { filesUnder } from '../support/files-under.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Every page that a user may read, by its path from the root. */
export const pages: readonly string[] = filesUnder(root).filter((path) => path.endsWith('.md'));

export const textOf = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
