import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import { RequestRefused } from '../errors.js';
import { publishRefusedEarly } from '../observe/events.js';
import { onlyOptions } from '../shared/call-arguments.js';
import { interactionHeader, setInteraction } from '../shared/interaction-id.js';
import { type OptionsOf, optionGroup, readOptions, withDefault } from '../shared/option-group.js';
import { oneOf } from '../shared/option-rules.js';
import type { NodeRequest } from './node-request.js';

export const fapiHeadersOptions = optionGroup({
  /**
   * `made`: a new UUID replaces an id that is missing or is not a UUID. `required`: a request with
   * such an id is refused with 400 (Open Finance Brasil). Default `made`.
   */
  interactionId: withDefault(oneOf('made', 'required'), 'made'),
  /**
   * What happens with a request that is refused. `answer`: the middleware answers it. `next`: the
   * error handling of Express or Koa answers it, and gets an `HttpRefusal`. Default `answer`.
   */
  onRefused: withDefault(oneOf('answer', 'next'), 'answer'),
});

/** Options of `fapiHeaders()`. */
export interface FapiHeadersOptions extends OptionsOf<typeof fapiHeadersOptions> {}

/** What FAPI's headers say of a request. None of it is proven: it is what the client says. */
export interface FapiHeaders {
  /** `x-fapi-interaction-id`: the client's own UUID, or a new one. */
  readonly interactionId: string;
  /** `x-fapi-auth-date`: when the user last logged in at the client. */
  readonly authDate: Date | undefined;
  /** `x-fapi-customer-ip-address`, IPv4 or IPv6. */
  readonly customerIpAddress: string | undefined;
}

/** The headers, and the refusal where the interaction id had to be there. */
export interface FapiHeadersResult {
  readonly fapi: FapiHeaders;
  readonly refusal: RequestRefused | undefined;
  /** Whether this package or the framework answers the refusal. */
  readonly onRefused: 'answer' | 'next';
}

// RFC 9562 §4, of any version.
const uuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

/** Throws `ConfigurationError`. The reader never throws. */
export function fapiHeaderReader(options?: FapiHeadersOptions): (req: NodeRequest) => FapiHeadersResult;
export function fapiHeaderReader(
  ...args: [options?: FapiHeadersOptions]
): (req: NodeRequest) => FapiHeadersResult {
  const { interactionId, onRefused } = readOptions(
    'fapiHeaders()',
    onlyOptions('fapiHeaderReader()', args),
    fapiHeadersOptions,
  );
  const isRequired = interactionId === 'required';
  return (req) => {
    // Node joins repeated lines by commas: that is no UUID either.
    const found = String(req.headers[interactionHeader] ?? '');
    const isGiven = uuid.test(found);
    const interactionId = isGiven ? found : randomUUID();
    setInteraction(req, interactionId);
    const fapi = Object.freeze({
      interactionId,
      authDate: dateIn(req.headers['x-fapi-auth-date']),
      customerIpAddress: addressIn(req.headers['x-fapi-customer-ip-address']),
    });
    const refusal = isRequired && !isGiven ? new RequestRefused('interaction_id_malformed') : undefined;
    if (refusal !== undefined) {
      publishRefusedEarly(refusal, interactionId);
    }
    return { fapi, refusal, onRefused };
  };
}

// RFC 9110 §5.6.7, IMF-fixdate.
const httpDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

function dateIn(value: string | string[] | undefined): Date | undefined {
  const time = typeof value === 'string' && httpDate.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? undefined : new Date(time);
}

function addressIn(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && isIP(value) !== 0 ? value : undefined;
}
