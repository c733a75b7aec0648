import {
  type ClientAuthentication,
  limitAuthentication,
} from '../authorization-server/client-authentication.js';
import type { Http } from '../authorization-server/http.js';
import { retryBroken } from '../authorization-server/limited-http.js';
import { readRetryAfter } from '../authorization-server/retry-after.js';
import { Deadline, withTimeoutSignal } from '../shared/deadline.js';
import { textNestsTooDeep } from '../shared/json-nesting.js';
import { toTransmitterError } from './transmitter-error.js';

/** What is asked of an endpoint of a transmitter of Shared Signals. */
export interface TransmitterQuestion {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: string;
  /** Sent as JSON. */
  readonly body?: object;
  /**
   * Whether the question may arrive twice, so that it is asked again when the connection breaks.
   */
  readonly mayRepeat?: boolean;
  /** Seconds that the transmitter may take in addition to `http.timeout`. */
  readonly extraTime?: number;
}

/** The answer of an endpoint of a transmitter, of whatever status. */
export interface TransmitterAnswer {
  readonly status: number;
  /** Undefined for a body that is no JSON, or nests deeper than `MAX_NESTING` levels. */
  readonly json: unknown;
  /** Seconds of `Retry-After`. */
  readonly retryAfter: number | undefined;
}

/** Asks an endpoint of a transmitter. Rejects with `TransmitterError` if there is no answer. */
export type AskTransmitter = (question: TransmitterQuestion) => Promise<TransmitterAnswer>;

export interface TransmitterAccess {
  readonly transmitter: string;
  readonly http: Http;
  /** Seconds: the option `http.timeout`. */
  readonly timeout: number;
  /** How this API authenticates: each of them is used. */
  readonly credentials: readonly ClientAuthentication[];
  /** Ends all questions. */
  readonly closing: AbortSignal;
}

/** Asks with this API's credentials, each question in bounded time. */
export function createAskTransmitter({
  transmitter,
  http,
  timeout,
  credentials,
  closing,
}: TransmitterAccess): AskTransmitter {
  return ({ method, url, body, mayRepeat = false, extraTime = 0 }) =>
    withTimeoutSignal(timeout + extraTime, async (timeoutSignal) => {
      const signal = AbortSignal.any([timeoutSignal, closing]);
      const deadline = Deadline.of(signal);
      const headers = new Headers({ accept: 'application/json' });
      if (body !== undefined) {
        headers.set('content-type', 'application/json');
        headers.set('content-language', 'en');
      }
      for (const authentication of credentials) {
        const prove = limitAuthentication(authentication, deadline);
        await prove({ issuer: transmitter }, { client_id: '' }, new URLSearchParams(), headers);
      }
      const request = {
        method,
        headers: Object.fromEntries(headers),
        body: body && JSON.stringify(body),
        signal,
      };
      const send = (wasCounted: boolean) => http(url, { ...request, wasCounted });
      const response = await (mayRepeat ? retryBroken(send) : send(false));
      return {
        status: response.status,
        json: parseJson(await response.text().catch(() => '')),
        retryAfter: readRetryAfter(response.headers.get('retry-after')).retryAfter,
      };
    }).catch((error: unknown) => {
      throw toTransmitterError(error);
    });
}

function parseJson(text: string): unknown {
  try {
    return textNestsTooDeep(text) ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
