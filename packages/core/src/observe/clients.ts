import type { RefusalCode } from '../errors.js';
import { onlyOptions } from '../shared/call-arguments.js';
import { type OptionsOf, optionGroup, readOptions, wholeNumber } from '../shared/option-group.js';
import { isToleratedByReport } from '../token/tolerated-refusals.js';
import { observeEvents } from './subscription.js';

export const observeClientsOptions = optionGroup({
  /**
   * Number of clients that are kept. Beyond it, the client that was seen least recently is removed.
   * Default 1,000; from 1 to 1,000,000.
   */
  maxClients: wholeNumber({ min: 1, max: 1_000_000, default: 1_000 }),
});

/** Options of `observeClients()`. */
export interface ObserveClientsOptions extends OptionsOf<typeof observeClientsOptions> {}

/** What is known of one client, of all resource servers of the process. */
export interface ClientRow {
  /** The issuer of its tokens. */
  readonly issuer: string;
  /** `client_id`; undefined for all tokens of the issuer that name no client. */
  readonly clientId: string | undefined;
  /**
   * Requests that were accepted with a token that is bound to the presented certificate, or to the key of
   * the DPoP proof.
   */
  readonly bound: number;
  /** Requests that were accepted with another token, with `binding: 'report'` or `'when-bound'`. */
  readonly unbound: number;
  /** Requests with an active token that `mtlsBound()` refused. */
  readonly refused: number;
  /**
   * Whether `binding: 'required'` accepts the newest request that was accepted, or was refused for its
   * binding. False if there was none.
   */
  readonly isReady: boolean;
  /** The code with which `required` refuses that request; undefined if it accepts it, or there was none. */
  readonly because: RefusalCode | undefined;
  /** When its newest request came. */
  readonly lastSeen: Date;
}

/** The clients that were seen, until `end()`. */
export interface ObservedClients {
  /**
   * Returns a row for each client; those that are not ready come first, and then by issuer and
   * name.
   */
  rows(): ClientRow[];
  /** Stops listening, and forgets them. */
  end(): void;
}

/**
 * Remembers which clients use certificate-bound tokens (RFC 8705 §3) and which do not: for the
 * roll-out with `binding: 'report'` and `'when-bound'`, and for the question after it. Throws
 * `ConfigurationError` for a wrong option.
 *
 * @example
 * const clients = observeClients();
 * setInterval(() => console.table(clients.rows()), 60_000).unref();
 */
export function observeClients(options?: ObserveClientsOptions): ObservedClients;
export function observeClients(...args: [options?: ObserveClientsOptions]): ObservedClients {
  const { maxClients } = readOptions(
    'observeClients()',
    onlyOptions('observeClients()', args),
    observeClientsOptions,
  );
  const rows = new Map<string, ClientRow>();

  function note(
    issuer: string,
    clientId: string | undefined,
    count: 'bound' | 'unbound' | 'refused',
    verdict: Pick<ClientRow, 'isReady' | 'because'> | undefined,
  ): void {
    const key = JSON.stringify([issuer, clientId]);
    const { bound, unbound, refused, isReady, because } = rows.get(key) ?? nothingSeen;
    const counts = { bound, unbound, refused };
    const row = { issuer, clientId, ...counts, [count]: counts[count] + 1, isReady, because, ...verdict };
    // A Map keeps the order of insertion: the client that was seen least recently is the first.
    rows.delete(key);
    rows.set(key, { ...row, lastSeen: new Date() });
    const [oldest] = rows.keys();
    if (rows.size > maxClients && oldest !== undefined) {
      rows.delete(oldest);
    }
  }

  const stop = observeEvents({
    admitted({ issuer, clientId, isBound, reported }) {
      const because = reported ?? (isBound ? undefined : 'token_unbound');
      note(issuer, clientId, isBound ? 'bound' : 'unbound', { isReady: because === undefined, because });
    },
    refused({ refusal, stage, issuer, clientId }) {
      if (stage === 'request' && issuer !== undefined) {
        // A client with a token of the type DPoP is not ready, whether or not its API accepts such tokens.
        const isAboutBinding = isToleratedByReport(refusal, true);
        const verdict = isAboutBinding ? { isReady: false, because: refusal.code } : undefined;
        note(issuer, clientId, 'refused', verdict);
      }
    },
  });
  return {
    rows: () => [...rows.values()].sort(byReadiness),
    end() {
      stop();
      rows.clear();
    },
  };
}

/** A client counts as not ready until a request shows otherwise. */
const nothingSeen = { bound: 0, unbound: 0, refused: 0, isReady: false, because: undefined };

function byReadiness(a: ClientRow, b: ClientRow): number {
  const [first, second] = [a, b].map(({ issuer, clientId = '' }) => `${issuer} ${clientId}`) as [
    string,
    string,
  ];
  return Number(a.isReady) - Number(b.isReady) || (first < second ? -1 : 1);
}
