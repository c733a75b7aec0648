import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';

/** Changes when one of the files does. A file that can't be looked at is one that is just being replaced. */
export async function readFileStates(...paths: readonly string[]): Promise<string> {
  const states: string[] = [];
  for (const path of paths) {
    try {
      states.push(describeFileState(await stat(path)));
    } catch {
      states.push('?');
    }
  }
  return states.join();
}

/** Changes when the file is written, also if its time of modification is set back. */
export function describeFileState({ mtimeMs, ctimeMs, ino, size }: Stats): string {
  return [mtimeMs, ctimeMs, ino, size].join(':');
}
