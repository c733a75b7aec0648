import { RequestRefused } from '../errors.js';
import { redactUrl } from '../shared/shown-url.js';

/**
 * Statuses of answers without a body, with which `Response` accepts none, not even an empty one.
 */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304]);

/** Headers of any implementation, such as node-fetch's. */
export interface HeaderSource extends Iterable<[name: string, value: string]> {
  get(name: string): string | null;
}

interface WholeAnswerClass {
  new (status: number, headers: HeaderSource, body: Buffer<ArrayBuffer>, url: string): Response;
  /** Undefined for a `Response` that is no `WholeAnswer`. */
  headerOf(response: Response, name: string): string | null | undefined;
  asJson(response: Response): Response;
}

let WholeAnswer: WholeAnswerClass | undefined;

/**
 * Returns a `Response` whose body is in memory. Text and JSON are read from there, as a stream
 * would take longer than the rest of the answer. What else takes long is made when it is read: the
 * `Headers`, and a stream. Throws `RangeError` for a status that no final answer has.
 *
 * Text and JSON that are not UTF-8 are refused with `RequestRefused` when they are read. A lenient reader
 * makes one text of different bytes, and so one subject of two (RFC 8259 §8.1).
 *
 * @param url which the refusal names
 */
export function createWholeAnswer(
  status: number,
  headers: HeaderSource,
  body: Buffer<ArrayBuffer>,
  url: string,
): Response {
  WholeAnswer ??= defineWholeAnswer();
  return new WholeAnswer(status, headers, body, url);
}

/** Returns the refusal that reading an answer threw. oauth4webapi makes it the cause of its own error. */
export function refusalOfReading(error: unknown): RequestRefused | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return [error, cause].find((thrown) => RequestRefused.isRefusal(thrown));
}

/** Returns a header of a response, `null` if it has none, without making its `Headers`. */
export function headerOf(response: Response, name: string): string | null {
  const header = WholeAnswer?.headerOf(response, name);
  return header === undefined ? response.headers.get(name) : header;
}

/**
 * Returns a response with the status and the body of `response`, for a function that reads no header
 * but `Content-Type`. That header says `application/json` there, so check it before.
 */
export function asJson(response: Response): Response {
  return WholeAnswer?.asJson(response) ?? response;
}

/** Node loads its `Response`, and much with it, when the name is read first. */
function defineWholeAnswer(): WholeAnswerClass {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const jsonHeaders = new Headers({ 'content-type': 'application/json' });

  /**
   * A `Response` by its prototype alone: the constructor of `Response` takes longer than the rest of
   * the answer. The native members do not work for such an object, so this class replaces all of them.
   */
  class OwnAnswer {
    readonly #status: number;
    /** Null where the status has no body: it can be read again and again. */
    readonly #bytes: Buffer<ArrayBuffer> | null;
    readonly #source: HeaderSource;
    readonly #url: string;
    #headers: Headers | undefined;
    #isRead = false;
    #streamed: Response | undefined;

    constructor(status: number, headers: HeaderSource, body: Buffer<ArrayBuffer>, url: string) {
      if (!(status >= 200 && status <= 599)) {
        throw new RangeError('the status of an answer must be from 200 to 599');
      }
      this.#status = status;
      this.#source = headers;
      this.#url = url;
      this.#headers = headers instanceof Headers ? headers : undefined;
      this.#bytes = bodiless.has(status) ? null : body;
    }

    static headerOf(response: object, name: string): string | null | undefined {
      return #source in response ? (response.#headers ?? response.#source).get(name) : undefined;
    }

    static asJson(response: Response): Response {
      return #source in response && response.#bytes !== null && response.#isUntouched()
        ? responseOf(new OwnAnswer(response.#status, jsonHeaders, response.#bytes, response.#url))
        : response;
    }

    /** Returns this answer over a stream, which is at its end if this answer was read. */
    static streamOf(answer: OwnAnswer): Response {
      if (answer.#streamed === undefined) {
        const { status, headers } = answer;
        answer.#streamed = new Response(answer.#bytes, { status, headers });
        if (answer.#isRead) {
          void answer.#streamed.arrayBuffer();
        }
      }
      return answer.#streamed;
    }

    get status(): number {
      return this.#status;
    }

    get headers(): Headers {
      this.#headers ??= new Headers([...this.#source]);
      return this.#headers;
    }

    get bodyUsed(): boolean {
      return this.#isRead || this.#streamed?.bodyUsed === true;
    }

    async text(): Promise<string> {
      if (!this.#isUntouched()) {
        return this.#decode(await OwnAnswer.streamOf(this).arrayBuffer());
      }
      this.#isRead = true;
      return this.#decode(this.#bytes);
    }

    async json(): Promise<unknown> {
      return JSON.parse(await this.text()) as unknown;
    }

    /** Not every version of Node has it. */
    async bytes(): Promise<Uint8Array> {
      return new Uint8Array(await OwnAnswer.streamOf(this).arrayBuffer());
    }

    clone(): Response {
      const bytes = this.#bytes ?? Buffer.alloc(0);
      return this.#isUntouched()
        ? responseOf(new OwnAnswer(this.#status, new Headers(this.headers), bytes, this.#url))
        : OwnAnswer.streamOf(this).clone();
    }

    #decode(bytes: ArrayBuffer | Buffer<ArrayBuffer> | null): string {
      try {
        return decoder.decode(bytes ?? undefined);
      } catch {
        const server = redactUrl(this.#url);
        const detail = `an unusable answer from ${server}: the body is not UTF-8 (RFC 8259 §8.1)`;
        throw new RequestRefused('authorization_server_invalid_answer', { detail });
      }
    }

    #isUntouched(): boolean {
      return this.#bytes !== null && !this.#isRead && this.#streamed === undefined;
    }
  }
  forwardMissing(OwnAnswer.prototype, Response.prototype, (answer) =>
    OwnAnswer.streamOf(answer as OwnAnswer),
  );
  Object.setPrototypeOf(OwnAnswer.prototype, Response.prototype);
  return OwnAnswer as unknown as WholeAnswerClass;
}

function responseOf(answer: object): Response {
  return answer as unknown as Response;
}

/** Gives `target` the members of `prototype` that it lacks. Each uses the object that `resolve` returns. */
function forwardMissing(target: object, prototype: object, resolve: (own: unknown) => object): void {
  // The end is `Object.prototype`, of this realm or of that of `Response`: it alone inherits nothing.
  for (let from = prototype, above = parentOf(from); above !== null; from = above, above = parentOf(from)) {
    for (const [name, member] of Object.entries(Object.getOwnPropertyDescriptors(from))) {
      const { get, value } = member as PropertyDescriptor;
      if (Object.hasOwn(target, name)) {
        continue;
      }
      Object.defineProperty(target, name, {
        configurable: true,
        ...(get === undefined
          ? {
              value(this: unknown, ...given: unknown[]): unknown {
                return Reflect.apply(value as () => unknown, resolve(this), given);
              },
            }
          : {
              get(this: unknown): unknown {
                return Reflect.apply(get, resolve(this), []);
              },
            }),
      });
    }
  }
}

function parentOf(value: object): object | null {
  return Object.getPrototypeOf(value) as object | null;
}
