import { type IncomingMessage, request as requestPlain } from 'node:http';
import { type RequestOptions, request as requestTls } from 'node:https';
import { describeErrorCode } from '../shared/shown-error.js';
import { messageOf } from './input.js';

/** A request of the doctor to an API, on a connection of its own. */
export interface Exchange {
  readonly url: URL;
  /** A header with a list is sent once for each of its values. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Trusted in addition to Node's list. */
  readonly ca: string | Buffer | undefined;
  /** A client's certificate and key, PEM. */
  readonly identity: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined;
  /** Milliseconds for the whole answer. Default 10,000. */
  readonly timeoutMs?: number | undefined;
}

/** Returns what `read` makes of the answer, or the code of the error. Never rejects. */
export function exchange<Reply extends object>(
  { url, headers, ca, identity, timeoutMs = 10_000 }: Exchange,
  read: (res: IncomingMessage) => Promise<Reply>,
): Promise<Reply | string> {
  return new Promise<Reply | string>((resolve) => {
    const options: RequestOptions = {
      headers,
      agent: false,
      // Otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would let any certificate pass.
      rejectUnauthorized: true,
      ...(ca !== undefined && { ca }),
      ...identity,
    };
    const request = url.protocol === 'https:' ? requestTls : requestPlain;
    const call = request(url, options, (res) => {
      read(res).then(end, fail);
    });
    // The timeout of a socket is about silence; an answer that drips never lets it pass.
    const timer = setTimeout(() => {
      end(`no whole answer within ${timeoutMs / 1000} s`);
      call.destroy();
    }, timeoutMs);
    const end = (outcome: Reply | string): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const fail = (error: unknown): void => end(describeErrorCode(error) ?? messageOf(error));
    call.once('error', fail);
    call.end();
    // Node may refuse to send a header whose name a listener gave.
  }).catch((error: unknown) => describeErrorCode(error) ?? messageOf(error));
}
