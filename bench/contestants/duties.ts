import { hash, X509Certificate } from 'node:crypto';
import { channel, subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { audience, issuer } from '../harness/cast.js';
import { BoundedMap } from './bounded-map.js';
import type { Introspect } from './introspection.js';

// The floor with the duties: the check of a known token by hand, without options and without our
// packages, which also does each thing that the documents promise of every request. The numbers are
// those of the table in ../README.md, which names the promise behind each duty.

/** Seconds. */
const CLOCK_TOLERANCE = 10;
/** Milliseconds. */
const MAX_AGE = 60_000;
const MAX_TOKENS = 10_000;
const MAX_CERTIFICATES = 1_000;
const MAX_CLIENTS = 10_000;
const MAX_TOKEN_LENGTH = 16_384;

interface Token {
  readonly issuer: string;
  readonly subject: string | undefined;
  readonly clientId: string | undefined;
  readonly scopes: readonly string[];
  readonly expiresAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly issuedAt: number | undefined;
  readonly audience: readonly string[];
  readonly tokenType: string | undefined;
  readonly confirmation: Readonly<Record<string, unknown>> | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What is known of a token, until its time is over by either clock. */
interface Entry {
  readonly token: Token;
  readonly freshFrom: number;
  readonly freshUntil: number;
  readonly freshUntilMonotonic: number;
  /** How many revocations there were when none of them concerned the token. */
  checkedUpTo: number;
}

interface Certificate {
  readonly thumbprint: string;
  readonly verified: boolean | undefined;
}

interface HeaderEntry {
  readonly header: string;
  readonly certificate: Certificate;
}

/** Duty 13: frozen, made for one request, with a `Date` of its own. */
class Grant {
  readonly issuer: string;
  readonly subject: string | undefined;
  readonly clientId: string | undefined;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly certificate: Certificate;
  readonly isBound: boolean;
  readonly #owner: object;
  readonly #request: IncomingMessage;
  readonly #token: Token;
  readonly #turnAtStart: number;

  constructor(
    token: Token,
    certificate: Certificate,
    owner: object,
    request: IncomingMessage,
    turnAtStart: number,
  ) {
    this.issuer = token.issuer;
    this.subject = token.subject;
    this.clientId = token.clientId;
    this.scopes = token.scopes;
    this.expiresAt = token.expiresAt === undefined ? undefined : new Date(token.expiresAt * 1000);
    this.claims = token.claims;
    this.certificate = certificate;
    this.isBound = true;
    this.#owner = owner;
    this.#request = request;
    this.#token = token;
    this.#turnAtStart = turnAtStart;
    Object.freeze(this);
  }

  /** What an `AbortSignal` of the request is made of. Duty 17: behind the response it stays silent. */
  get watched() {
    const { response } = stateOf(this.#request);
    return {
      token: this.#token,
      turnAtStart: this.#turnAtStart,
      isSilent: response?.writableFinished === true,
    };
  }

  static isOf(value: unknown, owner: object, request: object): value is Grant {
    return (
      typeof value === 'object' &&
      value !== null &&
      #owner in value &&
      value.#owner === owner &&
      value.#request === request
    );
  }
}

/** Duties 15 and 17: what is remembered of a request. */
interface RequestState {
  readonly response: ServerResponse | undefined;
  acceptedBy: object | undefined;
}

const stateKey = Symbol('state of the request');
type WithState = IncomingMessage & { [stateKey]?: RequestState };

function stateOf(req: WithState): RequestState {
  let state = req[stateKey];
  if (state === undefined) {
    state = { response: undefined, acceptedBy: undefined };
    req[stateKey] = state;
  }
  return state;
}

const admitted = channel('floor:admitted');
const looks = channel('floor:cache');
const certificates = channel('floor:certificate');

export interface FloorWithDuties {
  /** Returns at once for a known token; `undefined` for a request that must not pass. */
  authorize(req: IncomingMessage, body: unknown): Grant | Promise<Grant | undefined> | undefined;
  /** Duties 14 and 15: confirms what a request passes with. */
  accept(req: IncomingMessage, grant: unknown): Grant | undefined;
  /** Duty 8: ends a token in this process. */
  revoke(token: string): void;
  /** Duty 16: the header that the answer depends on. */
  readonly vary: string | undefined;
}

/** @param endsTls the certificate is that of the connection, and comes in no header */
export function createFloorWithDuties(introspect: Introspect, endsTls: boolean): FloorWithDuties {
  const owner = {};
  const entries = new BoundedMap<Entry>(MAX_TOKENS);
  const verifiedOnes = new BoundedMap<HeaderEntry>(MAX_CERTIFICATES);
  const unverifiedOnes = new BoundedMap<HeaderEntry>(MAX_CERTIFICATES);
  let lastVerified: HeaderEntry | undefined;
  let lastUnverified: HeaderEntry | undefined;
  const connections = new WeakMap<object, Certificate>();
  const trustedPeers = new WeakMap<object, boolean>();
  const clients = new BoundedMap<{ lastSeen: number }>(MAX_CLIENTS);
  const revoked = new Map<string, number>();
  let turn = 0;

  // Before a framework changes the prototype of the request: afterwards each new member of it costs
  // the engine a hidden class.
  subscribe('http.server.request.start', (message) => {
    const { request, response, socket } = message as {
      request: WithState;
      response: ServerResponse;
      socket: Socket;
    };
    request[stateKey] = { response, acceptedBy: undefined };
    // Duty 5: a handshake that begins later must not change whose request this is.
    if (endsTls && !connections.has(socket)) {
      ofConnection(socket as TLSSocket);
    }
  });

  /** Duties 1, 3 and 4: the credentials, if they are there once and of the right form. */
  function soleBearer(rawHeaders: readonly string[], socket: Socket): string | undefined {
    const { parser } = socket as { parser?: { maxHeaderPairs?: number } };
    const limit = parser?.maxHeaderPairs ?? 2_000;
    if (limit > 0 && rawHeaders.length >= limit) {
      return undefined;
    }
    let credentials: string | undefined;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at] as string;
      if (name.length === 13 && name.toLowerCase() === 'authorization') {
        if (credentials !== undefined) {
          return undefined;
        }
        credentials = rawHeaders[at + 1];
      }
    }
    return credentials !== undefined &&
      credentials.length <= MAX_TOKEN_LENGTH &&
      /^bearer +[\w\-.~+/]+=*$/i.test(credentials)
      ? credentials
      : undefined;
  }

  /** Duty 5. */
  function certificateOf(rawHeaders: readonly string[], socket: Socket): Certificate | undefined {
    if (endsTls) {
      return connections.get(socket) ?? ofConnection(socket as TLSSocket);
    }
    const isTrusted = trustedPeers.get(socket) ?? decideTrust(socket);
    if (!isTrusted) {
      return undefined;
    }
    let header: string | undefined;
    let verdict: string | undefined;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at] as string;
      if (name.length === 17 && name.toLowerCase() === 'x-ssl-client-cert') {
        if (header !== undefined) {
          return undefined;
        }
        header = rawHeaders[at + 1];
      } else if (name.length === 19 && name.toLowerCase() === 'x-ssl-client-verify') {
        // A verdict that came twice says nothing.
        verdict = verdict === undefined ? rawHeaders[at + 1] : '';
      }
    }
    return header === undefined ? undefined : ofHeader(header, verdict === 'SUCCESS');
  }

  function decideTrust(socket: Socket): boolean {
    const isTrusted = /^(::ffff:)?127\./.test(socket.remoteAddress ?? '');
    trustedPeers.set(socket, isTrusted);
    return isTrusted;
  }

  /** Duty 6. By a piece of the text: to hash all of it takes longer than all else here. */
  function ofHeader(header: string, verified: boolean): Certificate {
    const last = verified ? lastVerified : lastUnverified;
    if (last?.header === header) {
      return last.certificate;
    }
    const known = verified ? verifiedOnes : unverifiedOnes;
    const piece = header.slice(30, 110) + header.slice(-140, -40);
    let entry = known.get(piece);
    if (entry?.header !== header) {
      const thumbprint = thumbprintOf(new X509Certificate(decodeURIComponent(header)));
      entry = { header, certificate: Object.freeze({ thumbprint, verified }) };
      known.set(piece, entry);
    }
    if (verified) {
      lastVerified = entry;
    } else {
      lastUnverified = entry;
    }
    return entry.certificate;
  }

  function ofConnection(socket: TLSSocket): Certificate | undefined {
    const peer = socket.getPeerX509Certificate?.();
    // TLS 1.2 may begin another handshake at any time: this contestant leaves it out.
    if (peer === undefined || socket.getProtocol() !== 'TLSv1.3') {
      return undefined;
    }
    const certificate = Object.freeze({ thumbprint: thumbprintOf(peer), verified: socket.authorized });
    connections.set(socket, certificate);
    return certificate;
  }

  async function learn(
    token: string,
    key: string,
    certificate: Certificate,
    req: IncomingMessage,
    turnAtStart: number,
  ): Promise<Grant | undefined> {
    const askedAt = Date.now();
    const monotonic = performance.now();
    const answer: unknown = await introspect(token);
    const claims = answer as Readonly<Record<string, unknown>>;
    if (claims.active !== true) {
      return undefined;
    }
    const entry = entryOf(claims, askedAt, monotonic);
    entries.set(key, entry);
    return decide(entry.token, certificate, req, turnAtStart, Date.now());
  }

  /** Duties 9 to 13. */
  function decide(
    token: Token,
    certificate: Certificate,
    req: IncomingMessage,
    turnAtStart: number,
    now: number,
  ): Grant | undefined {
    if (!areClaimsGood(token, now / 1000) || !isBoundTo(token.confirmation, certificate.thumbprint)) {
      return undefined;
    }
    const grant = new Grant(token, certificate, owner, req, turnAtStart);
    noteClient(token.clientId ?? certificate.thumbprint, now);
    if (admitted.hasSubscribers) {
      admitted.publish({ issuer: token.issuer, clientId: token.clientId });
    }
    return grant;
  }

  /** Duty 12. */
  function noteClient(client: string, now: number): void {
    const use = clients.get(client);
    if (use === undefined) {
      clients.set(client, { lastSeen: now });
    } else {
      use.lastSeen = now;
    }
  }

  return {
    authorize(req, body) {
      const { rawHeaders, socket } = req;
      // Duties 1 and 2. Node's own request has an accessor of `headers`, and no such member.
      if (Object.hasOwn(req, 'headers') || !('headers' in req)) {
        return undefined;
      }
      if (hasTokenInQuery(req.url ?? '') || hasTokenInForm(req, body)) {
        return undefined;
      }
      const credentials = soleBearer(rawHeaders, socket);
      if (credentials === undefined) {
        return undefined;
      }
      const turnAtStart = turn;
      const token = credentials.slice(7).trimStart();
      const key = hash('sha256', token, 'base64url');
      const certificate = certificateOf(rawHeaders, socket);
      if (certificates.hasSubscribers) {
        certificates.publish(certificate);
      }
      if (certificate === undefined) {
        return undefined;
      }
      const now = Date.now();
      const entry = entries.get(key);
      // Duties 7 and 8.
      if (entry === undefined || !isFresh(entry, now) || mayBeRevoked(entry, key, revoked, turn)) {
        if (looks.hasSubscribers) {
          looks.publish({ result: 'miss' });
        }
        return revoked.has(key) ? undefined : learn(token, key, certificate, req, turnAtStart);
      }
      if (looks.hasSubscribers) {
        looks.publish({ result: 'hit' });
      }
      return decide(entry.token, certificate, req, turnAtStart, now);
    },

    accept(req, grant) {
      const state = stateOf(req);
      state.acceptedBy = undefined;
      if (!Grant.isOf(grant, owner, req)) {
        return undefined;
      }
      state.acceptedBy = owner;
      return grant;
    },

    revoke(token) {
      turn += 1;
      revoked.set(hash('sha256', token, 'base64url'), turn);
    },

    vary: endsTls ? undefined : 'x-ssl-client-cert',
  };
}

/** Duty 16: names the header that the answer depends on, unless it is named there already. */
export function addVary(res: ServerResponse, name: string): void {
  const vary = res.getHeader('Vary');
  if (vary === undefined) {
    res.setHeader('Vary', name);
    return;
  }
  const names = String(vary).split(/\s*,\s*/);
  if (!names.includes(name) && !names.includes('*')) {
    res.setHeader('Vary', [...names, name].join(', '));
  }
}

function hasTokenInQuery(url: string): boolean {
  const start = url.indexOf('?');
  return start !== -1 && new URLSearchParams(url.slice(start + 1)).has('access_token');
}

function hasTokenInForm(req: IncomingMessage, body: unknown): boolean {
  return (
    typeof body === 'object' &&
    body !== null &&
    Object.hasOwn(body, 'access_token') &&
    req.headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true
  );
}

function isFresh(entry: Entry, now: number): boolean {
  return entry.freshFrom <= now && now < entry.freshUntil && performance.now() < entry.freshUntilMonotonic;
}

/** Looks again only if a revocation was added since the last look. */
function mayBeRevoked(
  entry: Entry,
  key: string,
  revoked: ReadonlyMap<string, number>,
  turn: number,
): boolean {
  if (entry.checkedUpTo === turn) {
    return false;
  }
  if (revoked.has(key)) {
    return true;
  }
  entry.checkedUpTo = turn;
  return false;
}

function areClaimsGood(token: Token, now: number): boolean {
  const { expiresAt, notBefore, issuedAt, tokenType, claims } = token;
  return (
    (expiresAt === undefined || expiresAt + CLOCK_TOLERANCE > now) &&
    (notBefore === undefined || notBefore <= now + CLOCK_TOLERANCE) &&
    (issuedAt === undefined || issuedAt <= now + CLOCK_TOLERANCE) &&
    token.issuer === issuer &&
    (!Object.hasOwn(claims, 'iss') || claims.iss === issuer) &&
    token.audience.includes(audience) &&
    (tokenType === undefined || tokenType === 'Bearer' || tokenType.toLowerCase() === 'bearer')
  );
}

/** Each method that `cnf` names must be proven, and there is one that can be. */
function isBoundTo(confirmation: Token['confirmation'], thumbprint: string): boolean {
  if (confirmation === undefined) {
    return false;
  }
  const names = Object.getOwnPropertyNames(confirmation);
  if (names.length !== 1 || names[0] !== 'x5t#S256') {
    return false;
  }
  const expected = confirmation['x5t#S256'];
  if (typeof expected !== 'string' || expected.length !== thumbprint.length) {
    return false;
  }
  let difference = 0;
  for (let i = 0; i < thumbprint.length; i += 1) {
    difference |= expected.charCodeAt(i) ^ thumbprint.charCodeAt(i);
  }
  return difference === 0;
}

function entryOf(claims: Readonly<Record<string, unknown>>, askedAt: number, monotonic: number): Entry {
  const number = (value: unknown) => (typeof value === 'number' ? value : undefined);
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
  const { aud, cnf } = claims;
  const token: Token = {
    issuer,
    subject: text(claims.sub),
    clientId: text(claims.client_id),
    scopes: Object.freeze((text(claims.scope) ?? '').split(' ').filter(Boolean)),
    expiresAt: number(claims.exp),
    notBefore: number(claims.nbf),
    issuedAt: number(claims.iat),
    audience: [aud].flat().map(String),
    tokenType: text(claims.token_type),
    confirmation: typeof cnf === 'object' && cnf !== null ? (cnf as Record<string, unknown>) : undefined,
    claims: frozen(claims) as Readonly<Record<string, unknown>>,
  };
  const end = (token.expiresAt ?? Number.POSITIVE_INFINITY) * 1000;
  return {
    token,
    freshFrom: askedAt,
    freshUntil: Math.min(askedAt + MAX_AGE * (1 - Math.random() * 0.1), end),
    freshUntilMonotonic: monotonic + MAX_AGE,
    checkedUpTo: Number.NaN,
  };
}

function frozen(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}

function thumbprintOf(certificate: X509Certificate): string {
  return Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');
}
