import { TransmitterError, type TransmitterErrorCode } from '../errors.js';
import { isHttpsUrl } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { hasUserInfo, redactIdentifier, redactUrl } from '../shared/shown-url.js';
import type { AskTransmitter, TransmitterAnswer } from './transmitter-endpoints.js';

/** How the transmitter delivers the tokens of a stream (SSF 1.0 §6.1). */
export type Delivery =
  | { readonly method: 'poll' }
  | { readonly method: 'push'; readonly endpoint: string; readonly authorizationHeader: string | undefined };

/** The stream that is wanted. */
export interface StreamWish {
  readonly transmitter: string;
  readonly audience: readonly string[];
  readonly delivery: Delivery;
  /** What to create or change; undefined to use a stream as it is. */
  readonly create:
    | { readonly events: readonly string[]; readonly description: string | undefined }
    | undefined;
}

/** A stream of the transmitter. */
export interface Stream {
  readonly id: string;
  /** The URL to poll; undefined for push. */
  readonly pollEndpoint: string | undefined;
  /** Seconds between two verifications at least. */
  readonly minVerificationInterval: number;
}

/** A status of a stream (SSF 1.0 §8.1.2). */
export type StreamStatus = 'enabled' | 'paused' | 'disabled';

type Members = Readonly<Record<string, unknown>>;

/** The names of the ways of delivery (SSF 1.0 §6.1). */
export const deliveryMethods = { push: 'urn:ietf:rfc:8935', poll: 'urn:ietf:rfc:8936' } as const;

/**
 * Finds, creates and changes a stream of a transmitter (SSF 1.0 §8.1.1). Each function rejects with
 * `TransmitterError`.
 */
export class StreamManagement {
  readonly #wish: StreamWish;
  readonly #ask: AskTransmitter;
  readonly #configuration: () => Promise<object>;
  /**
   * The streams that this process has changed: what a transmitter does not show is changed once.
   */
  readonly #updated = new Set<string>();

  /** @param configuration the transmitter's `/.well-known/ssf-configuration` */
  constructor(wish: StreamWish, ask: AskTransmitter, configuration: () => Promise<object>) {
    this.#wish = wish;
    this.#ask = ask;
    this.#configuration = configuration;
  }

  /** Finds the stream, and changes nothing; `undefined` if there is none. */
  async find(): Promise<Stream | undefined> {
    const streams = await this.#list(await this.#endpoint('configuration_endpoint'));
    const found = streams.find((stream) => this.#isOurs(stream));
    return found && this.#read(found);
  }

  /** Finds the stream; creates it, or changes it, so that it is as wanted. */
  async setUp(): Promise<Stream> {
    const { create, transmitter } = this.#wish;
    const endpoint = await this.#endpoint('configuration_endpoint');
    const streams = await this.#list(endpoint);
    let found = streams.find((stream) => this.#isOurs(stream));
    if (create === undefined) {
      if (found === undefined) {
        const detail =
          `${transmitter} has no stream for this API; give the option stream, by which it is ` +
          'created, or poll.endpoint';
        throw new TransmitterError('transmitter_unsuitable', detail);
      }
      return this.#read(found);
    }
    found ??= await this.#create(endpoint, streams);
    const stream = this.#isAsWanted(found) ? found : await this.#update(endpoint, found);
    this.#refuseWithoutEvents(stream);
    return this.#read(stream);
  }

  /** Returns `enabled`, `paused` or `disabled`; `undefined` if the transmitter does not say. */
  async status({ id }: Stream): Promise<unknown> {
    const endpoint = await this.#endpoint('status_endpoint', false);
    if (endpoint === undefined) {
      return undefined;
    }
    const answer = await this.#ask({ method: 'GET', url: withStream(endpoint, id) });
    return answer.status === 404 ? undefined : readOwnMember(this.#object(answer, endpoint), 'status');
  }

  /**
   * Asks for a verification event. Resolves with `false` if that was asked for too often (SSF 1.0
   * §8.1.4.2).
   */
  async verify({ id }: Stream, state: string): Promise<boolean> {
    const url = await this.#endpoint('verification_endpoint');
    const answer = await this.#ask({ method: 'POST', url, body: { stream_id: id, state } });
    if (answer.status === 429) {
      return false;
    }
    this.#requireSuccess(answer, url);
    return true;
  }

  /** Has the stream send events of a subject. */
  async addSubject({ id }: Stream, subject: object): Promise<void> {
    const url = await this.#endpoint('add_subject_endpoint');
    const body = { stream_id: id, subject };
    this.#requireSuccess(await this.#ask({ method: 'POST', url, body, mayRepeat: true }), url);
  }

  /** Sets the status of the stream (SSF 1.0 §8.1.2.2). */
  async setStatus({ id }: Stream, status: StreamStatus, reason: string | undefined): Promise<void> {
    const url = await this.#endpoint('status_endpoint');
    const body = { stream_id: id, status, ...(reason !== undefined && { reason }) };
    this.#requireSuccess(await this.#ask({ method: 'POST', url, body, mayRepeat: true }), url);
  }

  /** Deletes the stream (SSF 1.0 §8.1.1.5). One that is gone already is no failure. */
  async delete({ id }: Stream): Promise<void> {
    const endpoint = await this.#endpoint('configuration_endpoint');
    const url = withStream(endpoint, id);
    const answer = await this.#ask({ method: 'DELETE', url, mayRepeat: true });
    if (answer.status !== 404) {
      this.#requireSuccess(answer, endpoint);
    }
  }

  async #list(endpoint: string): Promise<readonly Members[]> {
    const answer = await this.#ask({ method: 'GET', url: endpoint });
    if (answer.status === 404) {
      return [];
    }
    this.#requireSuccess(answer, endpoint);
    const list: readonly unknown[] = Array.isArray(answer.json) ? answer.json : [answer.json];
    return list.filter(isObject);
  }

  async #create(endpoint: string, streams: readonly Members[]): Promise<Members> {
    const { create, audience } = this.#wish;
    const { description } = create ?? {};
    const body = { ...this.#wanted(), ...(description !== undefined && { description }) };
    const answer = await this.#ask({ method: 'POST', url: endpoint, body });
    const ofOurs = streams.filter((stream) => this.#namesUs(stream));
    const [only] = ofOurs;
    if (answer.status === 409 && only !== undefined && ofOurs.length === 1) {
      // The transmitter permits only one stream: so far this one is delivered in another way.
      return this.#update(endpoint, only);
    }
    const created = this.#object(answer, endpoint);
    if (!this.#namesUs(created)) {
      // It would be created again and again.
      const { id } = this.#read(created);
      await this.#ask({ method: 'DELETE', url: withStream(endpoint, id), mayRepeat: true });
      const detail =
        `the stream that ${redactUrl(endpoint)} created is for the audience ` +
        `${describeAudience(created)}, not ${audience.join(', ')}; give that to the option audience`;
      throw new TransmitterError('transmitter_unsuitable', detail);
    }
    this.#updated.add(idOf(created) ?? '');
    return created;
  }

  async #update(endpoint: string, stream: Members): Promise<Members> {
    const id = idOf(stream);
    const body = { stream_id: id, ...this.#wanted() };
    const patched = await this.#ask({ method: 'PATCH', url: endpoint, body, mayRepeat: true });
    // A transmitter may offer only to replace a stream (SSF 1.0 §8.1.1.4).
    const answer =
      patched.status === 405 || patched.status === 501
        ? await this.#ask({ method: 'PUT', url: endpoint, body: replacement(stream, body), mayRepeat: true })
        : patched;
    this.#requireSuccess(answer, endpoint);
    this.#updated.add(id ?? '');
    return { ...stream, ...(isObject(answer.json) ? answer.json : {}) };
  }

  #wanted(): object {
    const { delivery, create } = this.#wish;
    const header = delivery.method === 'push' ? delivery.authorizationHeader : undefined;
    return {
      events_requested: create?.events,
      delivery: {
        method: deliveryMethods[delivery.method],
        ...(delivery.method === 'push' && { endpoint_url: delivery.endpoint }),
        ...(header !== undefined && { authorization_header: header }),
      },
    };
  }

  #isOurs(stream: Members): boolean {
    const { delivery } = this.#wish;
    const { method, endpoint_url } = deliveryOf(stream);
    const isSameUrl = delivery.method === 'poll' || endpoint_url === delivery.endpoint;
    return this.#namesUs(stream) && method === deliveryMethods[delivery.method] && isSameUrl;
  }

  #namesUs(stream: Members): boolean {
    const aud = readOwnMember(stream, 'aud');
    const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
    return this.#wish.audience.some((name) => audiences.includes(name));
  }

  #isAsWanted(stream: Members): boolean {
    const { delivery, create } = this.#wish;
    const wasUpdated = this.#updated.has(idOf(stream) ?? '');
    const requested = readOwnMember(stream, 'events_requested');
    const events = create?.events ?? [];
    const hasEvents = Array.isArray(requested)
      ? requested.length === events.length && events.every((type) => requested.includes(type))
      : wasUpdated;
    const shown = deliveryOf(stream).authorization_header;
    const secret = delivery.method === 'push' ? delivery.authorizationHeader : undefined;
    const hasSecret = secret === undefined || shown === secret || (wasUpdated && typeof shown !== 'string');
    return this.#isOurs(stream) && hasEvents && hasSecret;
  }

  #refuseWithoutEvents(stream: Members): void {
    const delivered = readOwnMember(stream, 'events_delivered');
    const events = this.#wish.create?.events ?? [];
    if (Array.isArray(delivered) && !events.some((type) => delivered.includes(type))) {
      const detail =
        `the stream of ${this.#wish.transmitter} delivers none of the events ` +
        'that are wanted; see what ' +
        'the transmitter supports, and the option stream.events';
      throw new TransmitterError('transmitter_unsuitable', detail);
    }
  }

  #read(stream: Members): Stream {
    const { transmitter, delivery } = this.#wish;
    const id = idOf(stream);
    const url = deliveryOf(stream).endpoint_url;
    const isPoll = delivery.method === 'poll';
    if (id === undefined || (isPoll && !isEndpoint(url))) {
      const detail = `a stream of ${transmitter} has no stream_id, or no https URL to poll`;
      throw new TransmitterError('transmitter_invalid_answer', detail);
    }
    const least = readOwnMember(stream, 'min_verification_interval');
    return {
      id,
      pollEndpoint: isPoll ? String(url) : undefined,
      minVerificationInterval: typeof least === 'number' ? least : 0,
    };
  }

  #endpoint(name: string): Promise<string>;
  #endpoint(name: string, isNeeded: false): Promise<string | undefined>;
  async #endpoint(name: string, isNeeded = true): Promise<string | undefined> {
    const url = readOwnMember((await this.#configuration()) as Members, name);
    if (isEndpoint(url)) {
      return url;
    }
    if (!isNeeded && url === undefined) {
      return undefined;
    }
    throw new TransmitterError(
      'transmitter_unsuitable',
      `the configuration of ${this.#wish.transmitter} names no ${name} with https (SSF 1.0 §7.1)`,
    );
  }

  #object(answer: TransmitterAnswer, url: string): Members {
    this.#requireSuccess(answer, url);
    if (!isObject(answer.json)) {
      const detail = `${redactUrl(url)} gave no JSON object`;
      throw new TransmitterError('transmitter_invalid_answer', detail);
    }
    return answer.json;
  }

  #requireSuccess({ status, retryAfter }: TransmitterAnswer, url: string): void {
    if (status >= 200 && status < 300) {
      return;
    }
    const isCredentials = status === 401 || status === 403;
    const hint = isCredentials ? '; check clientAuthentication and its rights' : '';
    const detail = `${redactUrl(url)} answered ${status}${hint}`;
    throw new TransmitterError(codeOf(status), detail, { retryAfter });
  }
}

/** Replacing leaves out what is not sent: what the receiver may write is sent again. */
function replacement(stream: Members, changes: object): object {
  const description = readOwnMember(stream, 'description');
  return { ...(typeof description === 'string' && { description }), ...changes };
}

function codeOf(status: number): TransmitterErrorCode {
  if (status === 401 || status === 403) {
    return 'transmitter_refused_credentials';
  }
  if (status === 429) {
    return 'transmitter_overloaded';
  }
  return status >= 500 ? 'transmitter_failed' : 'transmitter_invalid_answer';
}

function withStream(endpoint: string, id: string): string {
  const url = new URL(endpoint);
  url.searchParams.set('stream_id', id);
  return url.href;
}

function idOf(stream: Members): string | undefined {
  const id = readOwnMember(stream, 'stream_id');
  return typeof id === 'string' && id !== '' ? id : undefined;
}

function deliveryOf(stream: Members): Members {
  const delivery = readOwnMember(stream, 'delivery');
  return isObject(delivery) ? delivery : {};
}

function isEndpoint(url: unknown): url is string {
  return isHttpsUrl(url) && !hasUserInfo(url);
}

function describeAudience(stream: Members): string {
  const aud = readOwnMember(stream, 'aud');
  const list: unknown[] = Array.isArray(aud) ? aud : [aud];
  const shown = list
    .slice(0, 5)
    .filter((name) => typeof name === 'string' && /^[\x21-\x7e]{1,200}$/.test(name))
    .map((name) => redactIdentifier(String(name)));
  return shown.join(', ') || 'of no name';
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
