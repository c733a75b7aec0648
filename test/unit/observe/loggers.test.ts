// Which loggers observeByLog() takes, with the real pino and winston.
import { channel } from 'node:diagnostics_channel';
import { Writable } from 'node:stream';
import { observeByLog } from '@mtls-bound/core';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import winston from 'winston';

function sink() {
  const lines: string[] = [];
  const stream = new Writable({
    write(line, _encoding, done) {
      lines.push(String(line).trim());
      done();
    },
  });
  return { lines, stream };
}

const problem = (): void =>
  channel('mtls-bound:problem').publish({ code: 'a_code', message: 'what is wrong' });
const { simple, json, printf } = winston.format;
const createWinston = (format = json(), { stream } = sink()) =>
  winston.createLogger({ format, transports: [new winston.transports.Stream({ stream })] });

it.each<[string, () => object]>([
  ['a logger', createWinston],
  ['a child', () => createWinston().child({ part: 'api' })],
  ['the module', () => winston],
])('refuses winston, and says what to pass: %s', (_, logger) => {
  expect(() => observeByLog(logger() as never)).toThrow(
    'observeByLog(): expected a logger that takes the fields, then the text, got a logger of winston, which takes ' +
      'the text first; pass { info: (fields, text) => logger.info(text, fields), warn: ' +
      '(fields, text) => logger.warn(text, fields), error: (fields, text) => logger.error(text, fields) }',
  );
});

it.each<[string, winston.Logform.Format, string]>([
  ['simple', simple(), 'error: what is wrong {"code":"a_code"}'],
  ['printf', printf(({ level, message }) => `${level} ${message}`), 'error what is wrong'],
  ['json', json(), '{"code":"a_code","level":"error","message":"what is wrong"}'],
])('winston behind the wrapper keeps text and fields: %s', (_, format, line) => {
  const { lines, stream } = sink();
  const logger = createWinston(format, { lines, stream });
  const end = observeByLog({
    info: (fields, text) => logger.info(text, fields),
    warn: (fields, text) => logger.warn(text, fields),
    error: (fields, text) => logger.error(text, fields),
  });
  // What was open before, such as the circuit breaker of another test, was logged at once.
  lines.length = 0;
  problem();
  end();
  expect(lines).toEqual([line]);
});

it('takes pino and its children', () => {
  const { lines, stream } = sink();
  const end = observeByLog(pino({ base: null, timestamp: false }, stream).child({ part: 'api' }));
  lines.length = 0;
  problem();
  end();
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { level: 50, part: 'api', code: 'a_code', msg: 'what is wrong' },
  ]);
});

it('takes console', () => {
  observeByLog(console)();
});
