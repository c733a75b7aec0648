import { text } from 'node:stream/consumers';
import { describeError } from '../shared/shown-error.js';
import { main } from './main.js';

const end = new AbortController();
process.once('SIGINT', () => end.abort());
process.once('SIGTERM', () => end.abort());

// What the middleware would warn of, the findings say.
process.removeAllListeners('warning');
// The program that reads the output, such as `head`, may have ended.
process.stdout.on('error', () => process.exit(2));
// Of the user's own options: a client of Redis without a listener for its errors, say.
process.on('uncaughtException', (error: unknown) => {
  // Its message may quote an address with a password, or a token.
  process.stderr.write(
    `outside of the doctor something failed, in the options perhaps: ${describeError(error)}\n`,
  );
  process.exit(2);
});

const code = await main(process.argv.slice(2), {
  write: (words) => process.stdout.write(words),
  complain: (words) => process.stderr.write(words),
  environment: process.env,
  readInput: () => text(process.stdin),
  signal: end.signal,
});
// Connections of the user's own options, as to Redis, may still be open.
process.stdout.write('', () => process.exit(code));
