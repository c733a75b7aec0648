import { RequestRefused, TellableError } from '../errors.js';
import { createProblemReporter } from '../observe/events.js';
import type { NodeRequest } from '../request/node-request.js';
import { onlyOptions } from '../shared/call-arguments.js';
import { type OptionsOf, optional, optionGroup, readOptions } from '../shared/option-group.js';
import { functionLike } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { isPromise } from '../shared/promises.js';
import { CertificateCache } from './certificate-cache.js';
import { type CertificateSource, ClientCertificate } from './client-certificate.js';
import { pemChain } from './encodings.js';

const eventReader = functionLike<(req: NodeRequest) => unknown>('a function from the request to the event');

export const lambdaEventOptions = optionGroup({
  /**
   * Returns the event that Lambda invoked the function with for this request. For another adapter
   * than serverless-http keep the event in an `AsyncLocalStorage`, never in a variable that
   * invocations share. Default: the event that serverless-http puts on its requests.
   */
  event: optional(eventReader, { defaultInWords: 'the event that serverless-http puts on its requests' }),
});

/** Options of `lambdaEvent()`. */
export interface LambdaEventOptions extends OptionsOf<typeof lambdaEventOptions> {}

/** Characters of a PEM text with its chain. */
const MAX_LENGTH = 65_536;

/**
 * The client certificate that API Gateway verified and names in the event of a Lambda function:
 * `requestContext.authentication` of an HTTP API, `requestContext.identity` of a REST API. No
 * header is read. A request without an event is answered with 503.
 *
 * @example
 * mtlsBound({ certificate: lambdaEvent() });
 */
export function lambdaEvent(options?: LambdaEventOptions): CertificateSource;
export function lambdaEvent(...args: [options?: LambdaEventOptions]): CertificateSource {
  const { event: eventOf = eventOfServerlessHttp } = readOptions(
    'lambdaEvent()',
    onlyOptions('lambdaEvent()', args),
    lambdaEventOptions,
  );
  const known = new CertificateCache(1_000);
  const report = createProblemReporter();

  function refuse(why: string): never {
    report('certificate_malformed', `clientCertPem of the Lambda event: ${why}`);
    throw new RequestRefused('certificate_malformed', {
      detail: `clientCertPem of the Lambda event: ${why}`,
    });
  }

  const source = (req: NodeRequest): ClientCertificate | undefined => {
    const event = eventOf(req);
    if (isPromise(event)) {
      throw new TellableError('lambdaEvent().event returned a promise; it must return the event');
    }
    const requestContext = memberOf(event, 'requestContext');
    if (typeof requestContext !== 'object' || requestContext === null) {
      throw new TellableError(
        'lambdaEvent() found no event of API Gateway for the request: expected a request that ' +
          'serverless-http made, or lambdaEvent({ event }) with a function that returns the event',
      );
    }
    refuseRepeatedCredentials(event);
    const certificates = placesOf(requestContext).filter((place) => place !== undefined && place !== null);
    if (certificates.length === 0) {
      return undefined;
    }
    const pem = memberOf(certificates[0], 'clientCertPem');
    if (certificates.length > 1 || typeof pem !== 'string' || pem === '') {
      return refuse('expected one text');
    }
    const remembered = known.get(pem);
    if (remembered !== undefined) {
      return remembered;
    }
    if (pem.length > MAX_LENGTH) {
      return refuse('it is too long');
    }
    const decoded = pemChain(pem);
    if (decoded.kind !== 'certificate') {
      return refuse(decoded.kind === 'malformed' ? decoded.why : 'not PEM');
    }
    // API Gateway ends the handshake where the chain does not lead to its trust store.
    const certificate = new ClientCertificate(decoded.der, {
      verified: true,
      intermediates: decoded.intermediates,
    });
    known.set(pem, certificate);
    return certificate;
  };
  return Object.freeze(
    Object.assign(source, {
      description: 'the event of API Gateway',
      fromConnection: false,
      knowsVerified: true,
      explainMissing: () => ({
        code: 'no_certificate',
        text:
          'the event names no client certificate: the request came by an address without mutual TLS, ' +
          'such as the default execute-api endpoint, which must be disabled',
      }),
    }),
  );
}

/** Returns an own member of whatever the event has there. */
function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? readOwnMember(value as Record<string, unknown>, name)
    : undefined;
}

/**
 * An HTTP API writes the certificate into `authentication`. A REST API, and an HTTP API with payload
 * format 1.0, write it into `identity`.
 */
function placesOf(requestContext: unknown): readonly unknown[] {
  return [
    memberOf(memberOf(requestContext, 'authentication'), 'clientCert'),
    memberOf(memberOf(requestContext, 'identity'), 'clientCert'),
  ];
}

/**
 * serverless-http puts one `requestContext` on the request and into the event. An event that some
 * middleware parsed from a header has another object there, so an event that a client wrote is never
 * used.
 */
function eventOfServerlessHttp(req: NodeRequest): unknown {
  const event = memberOf(memberOf(req, 'apiGateway'), 'event');
  const requestContext = memberOf(req, 'requestContext');
  return requestContext !== undefined && memberOf(event, 'requestContext') === requestContext
    ? event
    : undefined;
}

/** If a REST API has several Authorization lines, adapters keep one of them and report nothing. */
function refuseRepeatedCredentials(event: unknown): void {
  const lines = memberOf(event, 'multiValueHeaders');
  const credentials = Object.keys(lines ?? {})
    .filter((name) => name.toLowerCase() === 'authorization')
    .flatMap((name) => memberOf(lines, name));
  if (credentials.length > 1) {
    throw new RequestRefused('credentials_repeated');
  }
}
