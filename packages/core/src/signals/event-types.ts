const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
const risc = 'https://schemas.openid.net/secevent/risc/event-type/';
const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/';

/** The transmitter sends it when it pauses, disables or enables the stream (SSF 1.0 §8.1.5). */
export const streamUpdatedEvent = `${ssf}stream-updated`;

/** The transmitter sends it when it is asked for it, and may of its own accord (SSF 1.0 §8.1.4). */
export const verificationEvent = `${ssf}verification`;

/**
 * The events after which access tokens of their subject must not be accepted any more (CAEP 1.0 §3,
 * RISC 1.0 §2).
 */
export const revokingEvents: ReadonlySet<string> = new Set([
  `${caep}session-revoked`,
  `${caep}credential-change`,
  `${caep}token-claims-change`,
  `${risc}account-disabled`,
  `${risc}account-purged`,
  `${risc}account-credential-change-required`,
  `${risc}sessions-revoked`,
]);
