import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

interface Manifest {
  readonly name: string;
  readonly files?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** What a package and all that it depends on take on the disk, each counted once; its peers are not. */
export function installedSize(name: string, from: string): { bytes: number; packages: number } {
  const seen = new Map<string, number>();
  visit(name, from, seen);
  return { bytes: [...seen.values()].reduce((sum, bytes) => sum + bytes, 0), packages: seen.size };
}

function visit(name: string, from: string, seen: Map<string, number>): void {
  const folder = find(name, from);
  if (seen.has(folder)) {
    return;
  }
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  // Of a package of this workspace, what is packed.
  const isOurs = !folder.includes('node_modules');
  seen.set(folder, isOurs ? bytesIn(join(folder, 'dist')) : bytesIn(folder));
  for (const dependency of Object.keys(dependencies)) {
    visit(dependency, folder, seen);
  }
}

/** As Node looks for it. */
function find(name: string, from: string): string {
  const candidate = join(from, 'node_modules', name);
  if (existsSync(candidate)) {
    return realpathSync(candidate);
  }
  const above = dirname(from);
  if (above === from) {
    throw new Error(`${name} is not installed`);
  }
  return find(name, above);
}

function bytesIn(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    if (entry.name === 'node_modules' || entry.name === '.tsbuildinfo') {
      return sum;
    }
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? bytesIn(path) : statSync(path).size);
  }, 0);
}
