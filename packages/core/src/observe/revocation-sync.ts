import { channel } from 'node:diagnostics_channel';
import type { WrittenRevocation } from '../revocation/revocations.js';

/**
 * Published on `mtls-bound:revocation` when a process takes note of a revocation that it did not
 * know. Names no revoked token, subject, client, session or certificate.
 */
export interface RevocationEvent {
  /** What the revocation names. */
  readonly kind: 'token' | 'jti' | 'subject' | 'clientId' | 'session' | 'thumbprint';
  /** The issuer whose tokens are revoked; undefined if the tokens of all configured issuers are. */
  readonly issuer: string | undefined;
  /**
   * Where this process has it from. `revoke`: the application called `revoke()`. `endpoint`: a client
   * sent it to `revocationEndpoint()`. `signal`: a transmitter of Shared Signals sent it here.
   * `certificate`: `certificatePolicy.revocationCheck` found that a client's certificate is revoked,
   * which revokes the tokens that are bound to it. `channel`, `log`: another process revoked, and this
   * process received it there.
   */
  readonly from: 'revoke' | 'endpoint' | 'signal' | 'certificate' | 'channel' | 'log';
  /** `client_id` of the client that sent it to this process's `revocationEndpoint()`; otherwise undefined. */
  readonly requestedBy: string | undefined;
}

/**
 * Published on `mtls-bound:revocation-sync` when a resource server begins to receive the revocations
 * of other processes, and when it may miss them. A resource server that has no channel and no log publishes
 * nothing.
 */
export interface RevocationSyncEvent {
  /** What it listens to: `revocations.channel` or `revocations.log`. */
  readonly from: 'channel' | 'log';
  /** `synced`: it receives all revocations. `unsynced`: it may miss revocations now. */
  readonly state: 'synced' | 'unsynced';
  /**
   * The position up to which it has read the log; undefined with a channel, and before the first
   * entry.
   */
  readonly position: string | undefined;
}

/** How far one resource server has received the revocations of other processes. */
export interface RevocationSyncState extends RevocationSyncEvent {
  /** Seconds by which it is behind: since then revocations may exist that it has not received. */
  readonly lag: number;
  /**
   * Seconds since the newest entry of the log was written, by the clock of its writer, or since the
   * last message came over the channel. Undefined before the first one.
   */
  readonly heartbeatAge: number | undefined;
}

const revocations = channel('mtls-bound:revocation');
const syncs = channel('mtls-bound:revocation-sync');

/** Publishes that this process has taken note of a revocation. */
export function publishRevocation(
  revocation: WrittenRevocation,
  from: RevocationEvent['from'],
  requestedBy?: string,
): void {
  if (revocations.hasSubscribers) {
    const { issuer, ...named } = revocation;
    // A long name is written as its hash, under its kind and `#`.
    const [name = 'token'] = Object.keys(named).map((kind) => kind.replace('#', ''));
    const kind = (name === 'tokenHash' ? 'token' : name) as RevocationEvent['kind'];
    revocations.publish({ kind, issuer, from, requestedBy } satisfies RevocationEvent);
  }
}

/** Publishes whether one resource server receives all revocations. */
export interface SyncRegistration {
  /** Publishes the state if it has changed. */
  show(): void;
  /** The resource server was closed. */
  end(): void;
}

const listed = new Set<() => RevocationSyncState>();

/**
 * Publishes each change of the state that `read` returns, and lists it in `revocationSyncStates()` until
 * `end()`.
 */
export function registerSyncState(read: () => RevocationSyncState): SyncRegistration {
  let shown: RevocationSyncEvent['state'] = 'unsynced';
  listed.add(read);
  return {
    show() {
      const { from, state, position } = read();
      if (state !== shown) {
        shown = state;
        if (syncs.hasSubscribers) {
          syncs.publish({ from, state, position } satisfies RevocationSyncEvent);
        }
      }
    },
    end() {
      listed.delete(read);
    },
  };
}

/**
 * Returns how far each resource server of this process has received the revocations of other
 * processes, at this moment. A resource server that has no channel and no log, or that was closed,
 * is not among them.
 */
export function revocationSyncStates(): RevocationSyncState[] {
  return [...listed].map((read) => read());
}
