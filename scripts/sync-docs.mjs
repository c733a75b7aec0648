// Puts the files that the tests run into the pages that show them: each code block behind <!-- file: path -->, and the differing
// lines behind <!-- differs: path from path -->.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { differingLines } from './line-diff.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pages = join(root, 'docs');

for (const name of readdirSync(pages, { recursive: true }).filter((each) => each.endsWith('.md'))) {
  const page = join(pages, name);
  const text = readFileSync(page, 'utf8');
  const read = (path) => readFileSync(join(root, path), 'utf8');
  const synced = text
    .replace(
      /(<!-- file: (\S+) -->\n```\w+\n)[\s\S]*?(\n```\n)/g,
      (_block, start, path, end) => start + read(path).trimEnd() + end,
    )
    .replace(
      /(<!-- differs: (\S+) from (\S+) -->\n```diff\n)(?:(?!```).*\n)*(```\n)/g,
      (_block, start, path, from, end) => `${start}${differingLines(read(from), read(path))}\n${end}`,
    );
  if (synced !== text) {
    writeFileSync(page, synced);
    console.log(`synced docs/${name}`);
  }
}
