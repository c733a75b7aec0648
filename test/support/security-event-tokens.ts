import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { audience } from './audience.js';
import { generateP256 } from './key-pairs.js';

const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
const risc = 'https://schemas.openid.net/secevent/risc/event-type/';
const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/';

export const sessionRevoked = `${caep}session-revoked`;
export const verification = `${ssf}verification`;
export const streamUpdated = `${ssf}stream-updated`;

/** The events that revoke. */
export const revokingEvents = [
  sessionRevoked,
  `${caep}credential-change`,
  `${caep}token-claims-change`,
  `${risc}account-disabled`,
  `${risc}account-purged`,
  `${risc}account-credential-change-required`,
  `${risc}sessions-revoked`,
];

/** Events that are accepted and revoke nothing. */
export const ignoredEvents = [`${caep}session-established`, verification, 'https://example.com/own'];

/** The keys of a transmitter. */
export const signingKeys = {
  es: generateP256(),
  rs: generateKeyPairSync('rsa', { modulusLength: 2048 }),
};

/** A key that no transmitter publishes. */
const otherKey = generateP256();

export const signingKeySet = {
  keys: [
    { ...signingKeys.es.publicKey.export({ format: 'jwk' }), kid: 'es' },
    { ...signingKeys.rs.publicKey.export({ format: 'jwk' }), kid: 'rs' },
  ],
};

export interface SetChanges {
  readonly header?: object;
  readonly claims?: object;
  readonly signer?: { readonly privateKey: KeyObject };
}

export const now = () => Math.floor(Date.now() / 1000);

/** A Security Event Token of a transmitter, with changes. */
export function signedSet(
  issuer: string,
  { header = {}, claims = {}, signer = signingKeys.es }: SetChanges = {},
): Promise<string> {
  return new SignJWT({
    iss: issuer,
    aud: audience,
    jti: randomUUID(),
    iat: now(),
    sub_id: { format: 'opaque', id: 'user-of-no-token' },
    events: { [sessionRevoked]: {} },
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'es', typ: 'secevent+jwt', ...header })
    .sign(signer.privateKey);
}

/** What is no good Security Event Token, made of a good one's maker, and the error that it is answered with. */
export const malformedSets: readonly (readonly [
  title: string,
  make: (set: (changes?: SetChanges) => Promise<string>) => Promise<string>,
  err: string,
])[] = [
  ['no JWS', async () => 'text', 'invalid_request'],
  ['65,537 characters', async () => 'a'.repeat(65_537), 'invalid_request'],
  ['another spelling of the signature', async (set) => `${(await set()).slice(0, -1)}-`, 'invalid_request'],
  ['typ JWT', (set) => set({ header: { typ: 'JWT' } }), 'invalid_request'],
  ['typ at+jwt', (set) => set({ header: { typ: 'at+jwt' } }), 'invalid_request'],
  ['another key', (set) => set({ signer: otherKey }), 'invalid_key'],
  ['another issuer', (set) => set({ claims: { iss: 'https://x.example' } }), 'invalid_issuer'],
  ['another audience', (set) => set({ claims: { aud: ['https://x.example'] } }), 'invalid_audience'],
  ['no audience', (set) => set({ claims: { aud: undefined } }), 'invalid_audience'],
  ['no jti', (set) => set({ claims: { jti: undefined } }), 'invalid_request'],
  ['no iat', (set) => set({ claims: { iat: undefined } }), 'invalid_request'],
  ['iat tomorrow', (set) => set({ claims: { iat: now() + 86_400 } }), 'invalid_request'],
  ['exp yesterday', (set) => set({ claims: { exp: now() - 86_400 } }), 'invalid_request'],
  ['no events', (set) => set({ claims: { events: {} } }), 'invalid_request'],
  ['events in a list', (set) => set({ claims: { events: [{}] } }), 'invalid_request'],
  [
    'an event that is a text',
    (set) => set({ claims: { events: { [sessionRevoked]: 'x' } } }),
    'invalid_request',
  ],
];
