// Processes with a channel and a shared store, an authorization server, and clocks that a test moves: what a history of steps needs.
import { type KeyObject, sign } from 'node:crypto';
import {
  introspection,
  jwtAccessTokens,
  type ResourceServerOptions,
  type Revocation,
  type RevocationChannel,
  type RevocationChannelListener,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { expect, vi } from 'vitest';
import { createSeal } from '../../packages/core/src/shared/sealing.js';
import type { frameworks } from './apis.js';
import { type GuardedApi, guardedApi } from './guarded-api.js';
import { generateP256 } from './key-pairs.js';
import { gate } from './pretend-server.js';

export const red = 'https://red.example.com';
export const blue = 'https://blue.example.com';
const audience = 'https://api.example.com';
export const secret = 'a secret of at least 32 characters';

/** The clocks of everything in a story: by how many milliseconds they are ahead of the real ones. */
const ahead = { wall: 0, monotonic: 0 };
const real = { date: Date.now, performance: performance.now.bind(performance) };

export function holdClocks(): void {
  Object.assign(ahead, { wall: 0, monotonic: 0 });
  Date.now = () => real.date() + ahead.wall;
  performance.now = () => real.performance() + ahead.monotonic;
}

export function releaseClocks(): void {
  Date.now = real.date;
  performance.now = real.performance;
}

export type Step = (story: Story) => unknown;

/** What is true in one history. */
export class Story {
  readonly certificate: Awaited<ReturnType<typeof createTestKit>>['certificate'];
  readonly processes = new Map<string, GuardedApi>();
  readonly tokens = new Map<string, string>();
  readonly listeners = new Map<string, RevocationChannelListener>();
  readonly stored = new Map<string, { readonly value: string; readonly until: number }>();
  /** By how many seconds the clock of the authorization server is ahead. */
  serverClock = 0;
  /** Processes that may not subscribe to the channel. */
  readonly shutOut = new Set<string>();
  /** What each answer of the authorization server waits for. */
  answersAreHeld: Promise<void> = Promise.resolve();
  release: () => void = () => undefined;
  restoreStore: () => void = () => undefined;
  begun: Promise<number>[] = [];
  readonly #inactive = new Set<string>();
  readonly #claims = new Map<string, object>();
  readonly #key: KeyObject;
  readonly #jwk: object;
  readonly #framework: (typeof frameworks)[number];
  #asked: string[] = [];

  static async of(framework: (typeof frameworks)[number]): Promise<Story> {
    const { certificate } = await createTestKit();
    return new Story(framework, certificate);
  }

  private constructor(framework: (typeof frameworks)[number], certificate: Story['certificate']) {
    const { publicKey, privateKey } = generateP256();
    this.#key = privateKey;
    this.#jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' };
    this.#framework = framework;
    this.certificate = certificate;
  }

  start(name: string, options: ResourceServerOptions): void {
    this.processes.set(
      name,
      guardedApi(this.#framework, {
        audience,
        certificate: () => this.certificate,
        floodGuard: false,
        cache: { rejectionMaxAge: 0 },
        ...options,
      }),
    );
  }

  process(name: string): GuardedApi {
    return this.processes.get(name) as GuardedApi;
  }

  token(name: string): string {
    return this.tokens.get(name) ?? name;
  }

  /** The claims of a token that is issued now, by the clock of the authorization server. */
  claims(more: object = {}): Record<string, unknown> {
    const iat = Math.floor(Date.now() / 1000) + this.serverClock;
    const cnf = { 'x5t#S256': this.certificate.thumbprint };
    const who = { sub: 'alice', client_id: 'app', jti: `jti-${this.tokens.size}` };
    return { ...who, aud: audience, scope: 'tokens:revoke', iat, exp: iat + 7_200, cnf, ...more };
  }

  issueJwt(name: string, more: object = {}): void {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${part({ alg: 'ES256', typ: 'at+jwt', kid: 'k' })}.${part(this.claims({ iss: red, ...more }))}`;
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    this.tokens.set(name, `${signed}.${signature.toString('base64url')}`);
  }

  issueOpaque(name: string, more: object = {}): void {
    const token = name.replaceAll(' ', '-');
    this.#claims.set(token, { active: true, ...this.claims(more) });
    this.tokens.set(name, token);
  }

  revokeAtServer(name: string): void {
    this.#inactive.add(this.token(name));
  }

  asked(name: string): number {
    return this.#asked.filter((token) => token === this.token(name)).length;
  }

  /** What the authorization server answers about a token; decided now, given when it may. */
  async introspect(token: string): Promise<object> {
    this.#asked.push(token);
    const claims = this.#claims.get(token);
    const answer = claims === undefined || this.#inactive.has(token) ? { active: false } : claims;
    await this.answersAreHeld;
    return answer;
  }

  forOpaque(issuer = red) {
    return {
      issuer,
      clientId: 'api',
      clientSecret: 'a-client-secret',
      tokens: introspection(),
      authorizationServerMetadata: { introspection_endpoint: `${issuer}/introspect` },
      http: {
        fetch: async (_url: unknown, { body }: RequestInit = {}) =>
          Response.json(await this.introspect(new URLSearchParams(String(body)).get('token') ?? '')),
      },
    };
  }

  forJwts(issuer = red) {
    return {
      issuer,
      tokens: jwtAccessTokens(),
      authorizationServerMetadata: { jwks_uri: `${issuer}/jwks` },
      http: { fetch: async () => Response.json({ keys: [this.#jwk] }) },
    };
  }

  /** `revocations` of a process on the channel. */
  listening(name: string) {
    return { revocations: { channel: this.#channelOf(name), secret, maxAgeWhileUnsynced: 1 } };
  }

  /** `sharedCache` of a process. */
  sharing() {
    const store = {
      get: async (key: string) => {
        const { value, until = 0 } = this.stored.get(key) ?? {};
        return until > performance.now() ? value : undefined;
      },
      set: async (key: string, value: string, ttl = Number.POSITIVE_INFINITY) => {
        this.stored.set(key, { value, until: performance.now() + ttl });
      },
    };
    return { sharedCache: { store, secret } };
  }

  /** Tells all that listen of a revocation, as a process with this clock does. */
  publish(revocation: object, secondsAhead: number): void {
    const notice = { revocation, at: Date.now() + secondsAhead * 1000, id: `act-${secondsAhead}` };
    const message = createSeal(secret, 'revocation').seal('revocation', JSON.stringify(notice));
    for (const { message: hear } of this.listeners.values()) {
      hear(message);
    }
  }

  async end(): Promise<void> {
    this.release();
    await Promise.all([...this.processes.values()].map(({ server }) => server.close()));
  }

  #channelOf(name: string): RevocationChannel {
    return {
      publish: async (message) => {
        for (const [listener, { message: hear }] of this.listeners) {
          if (listener !== name) {
            hear(message);
          }
        }
      },
      subscribe: async (listener) => {
        if (this.shutOut.has(name)) {
          throw new Error('NOPERM');
        }
        this.listeners.set(name, listener);
        return async () => this.listeners.delete(name);
      },
    };
  }
}

// The steps.

export const starts =
  (name: string, options: (story: Story, name: string) => ResourceServerOptions): Step =>
  (story) =>
    story.start(name, options(story, name));

export const opaque = (story: Story): ResourceServerOptions => story.forOpaque();
export const jwts = (story: Story): ResourceServerOptions => story.forJwts();

/** Waits until a process listens to the channel. */
export const listens =
  (name: string): Step =>
  (story) =>
    vi.waitFor(() => expect([...story.listeners.keys()]).toContain(name), 5_000);

export const isIssued =
  (token: string, kind: 'JWT' | 'opaque', more: object = {}): Step =>
  (story) =>
    kind === 'JWT' ? story.issueJwt(token, more) : story.issueOpaque(token, more);

/** A process answers a request with this token so. */
export const answers =
  (process: string, token: string, status: number, path = '/'): Step =>
  async (story) =>
    expect(await story.process(process).status(story.token(token), path), `${process}: ${token}`).toBe(
      status,
    );

/** A process answers so in the end: what it hears may be on its way. */
export const settlesOn =
  (process: string, token: string, status: number): Step =>
  (story) =>
    vi.waitFor(() => answers(process, token, status)(story), { timeout: 5_000, interval: 50 });

export const revokes =
  (
    process: string,
    revocation: (story: Story) => Revocation,
    outcome: 'kept' | 'revocation_not_spread' | 'TypeError' = 'kept',
  ): Step =>
  async (story) => {
    const { server } = story.process(process);
    const got = await server.revoke(revocation(story)).then(
      () => 'kept',
      (error) => error.code ?? error.name,
    );
    expect(got, `${process} revokes`).toBe(outcome);
  };

export const isRevokedAtServer =
  (token: string): Step =>
  (story) =>
    story.revokeAtServer(token);

/** Time goes by. */
export const passes =
  (seconds: number): Step =>
  () => {
    ahead.wall += seconds * 1000;
    ahead.monotonic += seconds * 1000;
  };

/** The clock of every process is set. */
export const clockIsSet =
  (seconds: number): Step =>
  () => {
    ahead.wall += seconds * 1000;
  };

export const serverClockIs =
  (seconds: number): Step =>
  (story) => {
    story.serverClock = seconds;
  };

export const does =
  (act: (story: Story) => unknown): Step =>
  (story) =>
    act(story);

/** A request is sent, and not waited for. */
export const begins =
  (process: string, token: string, path = '/'): Step =>
  (story) => {
    story.begun.push(story.process(process).status(story.token(token), path));
  };

/** The answers to the requests that were sent so, in their order. */
export const ends =
  (...statuses: number[]): Step =>
  async (story) =>
    expect(await Promise.all(story.begun)).toEqual(statuses);

/** Answers of the authorization server are decided at once, and held until `answersArrive`. */
export const answersAreHeld: Step = (story) => {
  const { opened, open } = gate();
  story.answersAreHeld = opened;
  story.release = open;
};

export const answersArrive: Step = (story) => {
  story.release();
  story.answersAreHeld = Promise.resolve();
};
