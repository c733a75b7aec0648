import { text } from 'node:stream/consumers';
import { main } from './main.js';

const end = new AbortController();
process.once('SIGINT', () => end.abort());
process.once('SIGTERM', () => end.abort());

const code = await main(process.argv.slice(2), {
  write: (words) => process.stdout.write(words),
  environment: process.env,
  readInput: () => text(process.stdin),
  signal: end.signal,
});
// Connections of the user's own options, as to Redis, may still be open.
process.stdout.write('', () => process.exit(code));
