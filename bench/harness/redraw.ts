// Draws every record and puts it on the page, without measuring anything.
import { readFileSync, writeFileSync } from 'node:fs';
import { allRecords } from './close.js';
import { figureOf } from './figure.js';
import { results } from './settings.js';
import { synced } from './tables.js';

const page = new URL('../README.md', import.meta.url);
const records = allRecords();
for (const record of records) {
  writeFileSync(new URL(`${record.scenario}.svg`, results), figureOf(record));
}
writeFileSync(page, synced(readFileSync(page, 'utf8'), records));
