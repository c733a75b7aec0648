import { onlyArgument } from '../shared/call-arguments.js';
import { createMismatch } from '../shared/option-errors.js';
import { requireMethods } from '../shared/option-rules.js';
import type { RefusedEvent } from './events.js';
import { ProblemLines } from './problem-lines.js';
import { observeEvents } from './subscription.js';

/**
 * The methods that this library calls of a logger that takes the fields of a line, then its text: pino,
 * bunyan, Fastify's `log`, log4js or `console`. winston takes the text first: pass it behind a wrapper.
 *
 * @example
 * import winston from 'winston';
 *
 * const logger = winston.createLogger({ transports: [new winston.transports.Console()] });
 * observeByLog({
 *   info: (fields, text) => logger.info(text, fields),
 *   warn: (fields, text) => logger.warn(text, fields),
 *   error: (fields, text) => logger.error(text, fields),
 * });
 */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * Paths for pino's `redact`, if `pino-http` or a line of your own logs whole requests: the token, the DPoP
 * proof, and the header of each preset. A certificate is personal data. With the secret of a proxy any client
 * can pretend to be the proxy, so add the header of the secret too.
 */
export const redactedPaths: readonly string[] = Object.freeze([
  'req.headers.authorization',
  'req.headers.dpop',
  ...[
    'cf-client-cert-der-base64',
    'client-cert',
    'client-cert-chain',
    'cloudfront-viewer-cert-pem',
    'cloudfront-viewer-cert-sha256',
    'ssl-client-cert',
    'x-amzn-mtls-clientcert',
    'x-amzn-mtls-clientcert-leaf',
    'x-arr-clientcert',
    'x-client-cert',
    'x-client-cert-hash',
    'x-client-cert-leaf',
    'x-fapi-client-cert',
    'x-forwarded-client-cert',
    'x-forwarded-tls-client-cert',
    'x-ssl-client-cert',
  ].map((header) => `req.headers["${header}"]`),
]);

/**
 * Logs refusals (info; a 503 is a warning), what `binding: 'report'` accepted (warning), an
 * authorization server's pauses (warning), Security Event Tokens (info; one that revoked nothing it
 * should have is a warning), revocations that this process was asked for (info), whether those of
 * other processes are received (info; a warning if not), certificates of clients that expire soon
 * (warning) and problems (error). Of the problems of one code the first is a line at once. Further
 * ones are a line a minute, with the newest message and their `count`. No line holds a token or a
 * secret. The `detail` of a refusal may name `iss`, `aud` and `token_type` of a token, without what
 * may hold credentials in a URL. Returns a function that ends it. Throws `ConfigurationError` for a logger
 * of winston, which would lose the text of each line: see `Logger`.
 *
 * @example
 * observeByLog(pino({ redact: [...redactedPaths, 'req.headers["x-proxy-secret"]'] }));
 */
export function observeByLog(logger: Logger): () => void;
export function observeByLog(...args: [logger: Logger]): () => void {
  const logger = onlyArgument('observeByLog()', args, 'one logger');
  requireMethods('observeByLog()', logger, ['info', 'warn', 'error']);
  refuseTextFirst(logger);
  const problems = new ProblemLines((fields, message) => logger.error(fields, message));
  const stop = observeEvents({
    refused: (event) => {
      const { status } = event.refusal;
      return logger[status === 503 ? 'warn' : 'info'](fieldsOf(event), 'request refused');
    },
    // The request was accepted: the status that `required` would answer is not the one that was sent.
    reported: (event) =>
      logger.warn({ ...fieldsOf(event), status: undefined }, "accepted by binding: 'report'"),
    breaker: ({ issuer, endpoint, state }) =>
      logger.warn(
        { issuer, endpoint, state },
        state === 'open' ? 'requests to the endpoint paused' : 'requests to the endpoint resumed',
      ),
    signal: ({ transmitter, types, outcome, error }) =>
      logger[unactedOutcomes.has(outcome) ? 'warn' : 'info'](
        { transmitter, types, outcome, error },
        'security event token received',
      ),
    revocation: ({ kind, issuer, from, requestedBy }) => {
      // Only the process that was asked to revoke logs it. Otherwise each process would.
      if (from !== 'channel' && from !== 'log') {
        logger.info({ kind, issuer, from, requestedBy }, 'tokens revoked');
      }
    },
    revocationSync: ({ from, state, position }) =>
      logger[state === 'synced' ? 'info' : 'warn'](
        { from, state, position },
        state === 'synced'
          ? 'revocations of other processes are received'
          : 'revocations of other processes may be missed',
      ),
    certificateExpiry: ({ threshold, ...fields }) =>
      logger.warn(
        fields,
        fields.daysLeft < 0
          ? 'certificate of a client has expired'
          : `certificate of a client expires within ${threshold} ${threshold === 1 ? 'day' : 'days'}`,
      ),
    problem: (event) => problems.add(event),
  });
  return () => {
    stop();
    problems.end();
  };
}

/**
 * Throws `ConfigurationError` for a logger of winston, or the module itself: given fields first, its lines
 * read `[object Object]`.
 */
function refuseTextFirst(logger: object): void {
  if (['configure', 'transports', 'exceptions'].every((member) => member in logger)) {
    throw createMismatch(
      'observeByLog()',
      'a logger that takes the fields, then the text',
      'a logger of winston, which takes the text first',
      `; pass { ${['info', 'warn', 'error'].map(wrapped).join(', ')} }`,
    );
  }
}

const wrapped = (level: string): string => `${level}: (fields, text) => logger.${level}(text, fields)`;

/** The outcomes of a Security Event Token that revoked nothing though it may have to. */
const unactedOutcomes: ReadonlySet<string> = new Set(['not_revoked', 'refused', 'failed']);

function fieldsOf({
  refusal,
  stage,
  issuer,
  clientId,
  thumbprint,
  keyThumbprint,
  interactionId,
  explanation,
}: RefusedEvent): object {
  const { code, status, detail } = refusal;
  const { expectedThumbprint, certificateFrom, hint, hintCode } = explanation;
  return {
    code,
    status,
    detail,
    stage,
    issuer,
    clientId,
    thumbprint,
    keyThumbprint,
    expectedThumbprint,
    certificateFrom,
    hint,
    hintCode,
    interactionId,
  };
}
