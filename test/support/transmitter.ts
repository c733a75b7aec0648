import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { decodeJwt } from 'jose';
import { mutualTls } from './apis.js';
import { audience } from './audience.js';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';
import { type SetChanges, signedSet, signingKeySet, verification } from './security-event-tokens.js';

/** A request to one of the transmitter's endpoints that need credentials. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
}

/** What answers a request. */
export type Reply = (res: ServerResponse, asked: Asked) => unknown;

/** A stream as the transmitter has it. */
export interface StreamOfTest {
  stream_id: string;
  aud: string | string[];
  delivery: Record<string, unknown>;
  events_requested?: unknown;
  events_delivered?: unknown;
  [member: string]: unknown;
}

/** The access token that the transmitter accepts, next to a certificate. */
export const accessToken = 'token-of-the-receiver-27182';

/**
 * A transmitter of Shared Signals by SSF 1.0 and RFC 8936, over mutual TLS. Its endpoints accept a certificate of the test's authority
 * with `accessToken`.
 */
export class Transmitter {
  readonly asked: Asked[] = [];
  /** The tokens that are not acknowledged, by `jti`. */
  readonly outstanding = new Map<string, string>();
  readonly acknowledged: string[] = [];
  readonly errors = new Map<string, { err: string; description: string }>();
  readonly streams: StreamOfTest[] = [];
  /** Members of the configuration, in place of the usual ones. */
  configuration: Record<string, unknown> = {};
  /** What an endpoint does instead, by `METHOD /path`. */
  readonly instead = new Map<string, Reply>();
  /** The audience of the streams that it creates. */
  audience: string | string[] = audience;
  /** The `state` of verification events, made of the one that was asked for. */
  state = (state: unknown): unknown => state;
  status = 'enabled';
  readonly #server;
  #issuer = '';
  readonly #held = new Set<() => void>();

  constructor(pki: Pki) {
    this.#server = createServer(mutualTls(pki), (req, res) => this.#handle(req, res));
  }

  get issuer(): string {
    return this.#issuer;
  }

  async start(path = ''): Promise<this> {
    this.#issuer = `https://127.0.0.1:${await listen(this.#server)}${path}`;
    return this;
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  /** The requests to an endpoint. */
  of(path: string, method = 'POST'): readonly Asked[] {
    return this.asked.filter((one) => one.path === path && one.method === method);
  }

  /** Has a poll bring a token, and resolves with its `jti`. */
  async send(changes?: SetChanges): Promise<string> {
    return this.sendRaw(await signedSet(this.issuer, changes));
  }

  sendRaw(jws: string, jti = String(decodeJwt(jws).jti)): string {
    this.outstanding.set(jti, jws);
    this.#release();
    return jti;
  }

  #release(): void {
    for (const release of this.#held) {
      release();
    }
    this.#held.clear();
  }

  #handle(req: IncomingMessage, res: ServerResponse): void {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const url = new URL(req.url ?? '', this.issuer);
      const base = new URL(this.issuer).pathname;
      if (url.pathname === `/.well-known/ssf-configuration${base === '/' ? '' : base}`) {
        json(res, 200, this.#configured());
      } else if (url.pathname === '/jwks') {
        json(res, 200, signingKeySet);
      } else {
        const text = Buffer.concat(chunks).toString();
        this.#answer(req, res, url, text === '' ? {} : JSON.parse(text));
      }
    });
  }

  #configured(): object {
    const { origin } = new URL(this.issuer);
    return {
      issuer: this.issuer,
      jwks_uri: `${origin}/jwks`,
      configuration_endpoint: `${origin}/streams`,
      status_endpoint: `${origin}/status`,
      verification_endpoint: `${origin}/verify`,
      add_subject_endpoint: `${origin}/subjects`,
      ...this.configuration,
    };
  }

  #answer(req: IncomingMessage, res: ServerResponse, url: URL, body: Record<string, unknown>): void {
    const asked = { method: req.method ?? '', path: url.pathname, headers: req.headers, body };
    this.asked.push(asked);
    if (!(req.socket as TLSSocket).authorized || req.headers.authorization !== `Bearer ${accessToken}`) {
      json(res, 401, {});
      return;
    }
    const name = `${asked.method} ${asked.path}`;
    const instead = this.instead.get(name);
    const id = url.searchParams.get('stream_id') ?? body.stream_id;
    const stream = this.streams.find(({ stream_id }) => stream_id === id);
    if (instead !== undefined) {
      void instead(res, asked);
      return;
    }
    switch (name) {
      case 'POST /poll':
        this.#poll(res, body);
        break;
      case 'GET /streams':
        json(res, 200, this.streams);
        break;
      case 'POST /streams':
        json(res, 201, this.#create(body));
        break;
      case 'PATCH /streams':
        json(res, 200, changed(stream, body));
        break;
      case 'DELETE /streams':
        this.streams.splice(this.streams.indexOf(stream as StreamOfTest), 1);
        res.writeHead(204).end();
        break;
      case 'GET /status':
        json(res, 200, { stream_id: id, status: this.status });
        break;
      case 'POST /status':
        this.status = String(body.status);
        json(res, 200, body);
        break;
      case 'PUT /streams':
        json(res, 200, changed(stream, { description: undefined, ...body }));
        break;
      case 'POST /verify':
        res.writeHead(204).end();
        void this.verify(this.state(body.state));
        break;
      case 'POST /subjects':
        res.writeHead(200).end();
        break;
      default:
        json(res, 404, {});
    }
  }

  /** Sends a verification event by poll. */
  verify(state: unknown): Promise<string> {
    const subject = { format: 'opaque', id: this.streams[0]?.stream_id ?? 'stream' };
    return this.send({ claims: { sub_id: subject, events: { [verification]: { state } } } });
  }

  #create(body: Record<string, unknown>): StreamOfTest {
    const delivery = body.delivery as Record<string, unknown>;
    const stream = {
      ...body,
      stream_id: `stream-${this.streams.length + 1}`,
      iss: this.issuer,
      aud: this.audience,
      delivery: { endpoint_url: `${new URL(this.issuer).origin}/poll`, ...delivery },
      events_delivered: body.events_requested,
    };
    this.streams.push(stream);
    return stream;
  }

  #poll(res: ServerResponse, body: Record<string, unknown>): void {
    const { ack = [], setErrs = {}, maxEvents, returnImmediately } = body;
    for (const jti of ack as string[]) {
      this.acknowledged.push(jti);
      this.outstanding.delete(jti);
    }
    for (const [jti, error] of Object.entries(setErrs as Record<string, never>)) {
      this.errors.set(jti, error);
      this.outstanding.delete(jti);
    }
    const answer = (): void => {
      const sets = [...this.outstanding].slice(0, Number(maxEvents));
      const moreAvailable = this.outstanding.size > sets.length;
      json(res, 200, { sets: Object.fromEntries(sets), moreAvailable });
    };
    if (this.outstanding.size > 0 || returnImmediately === true) {
      answer();
    } else {
      this.#held.add(answer);
    }
  }
}

/** The URL to poll is the transmitter's to say. */
function changed(stream: StreamOfTest | undefined, body: Record<string, unknown>): object {
  const delivery = { ...stream?.delivery, ...(body.delivery as object) };
  return Object.assign(stream ?? {}, body, { delivery });
}

export function json(res: ServerResponse, status: number, body: unknown, headers: object = {}): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
