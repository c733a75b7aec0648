/**
 * Statuses of answers without a body, with which `Response` accepts none, not even an empty one.
 */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304]);

type Headers = NonNullable<ResponseInit['headers']>;

type WholeAnswerClass = new (status: number, headers: Headers, body: Buffer<ArrayBuffer>) => Response;

let WholeAnswer: WholeAnswerClass | undefined;

/**
 * Returns a `Response` whose body is in memory. Text and JSON are read from there, as a stream
 * would take longer than the rest of the answer. The stream is made for callers that need it.
 */
export function createWholeAnswer(status: number, headers: Headers, body: Buffer<ArrayBuffer>): Response {
  WholeAnswer ??= defineWholeAnswer();
  return new WholeAnswer(status, headers, body);
}

/** The members of `Response` that concern its body. */
type OfTheBody =
  | 'text'
  | 'json'
  | 'arrayBuffer'
  | 'blob'
  | 'bytes'
  | 'formData'
  | 'body'
  | 'bodyUsed'
  | 'clone';

/** Node loads its `Response`, and much with it, when the name is read first. */
function defineWholeAnswer(): WholeAnswerClass {
  // `Response` without those members, which its types declare as properties.
  const Bodiless = Response as unknown as new (body: null, init: ResponseInit) => Omit<Response, OfTheBody>;
  const decoder = new TextDecoder();

  return class WholeAnswer extends Bodiless implements Response {
    /** Null where the status has no body: it can be read again and again. */
    readonly #bytes: Buffer<ArrayBuffer> | null;
    #isRead = false;
    #streamed: Response | undefined;

    constructor(status: number, headers: Headers, body: Buffer<ArrayBuffer>) {
      super(null, { status, headers });
      this.#bytes = bodiless.has(status) ? null : body;
    }

    async text(): Promise<string> {
      if (!this.#isUntouched()) {
        return this.#stream().text();
      }
      this.#isRead = true;
      return decoder.decode(this.#bytes ?? undefined);
    }

    async json(): Promise<unknown> {
      return JSON.parse(await this.text()) as unknown;
    }

    async arrayBuffer(): Promise<ArrayBuffer> {
      return this.#stream().arrayBuffer();
    }

    async blob(): ReturnType<Response['blob']> {
      return this.#stream().blob();
    }

    async bytes(): Promise<Uint8Array> {
      return new Uint8Array(await this.arrayBuffer());
    }

    async formData(): ReturnType<Response['formData']> {
      return this.#stream().formData();
    }

    get body(): Response['body'] {
      return this.#stream().body;
    }

    get bodyUsed(): boolean {
      return this.#isRead || this.#streamed?.bodyUsed === true;
    }

    clone(): Response {
      return this.#isUntouched()
        ? new WholeAnswer(this.status, this.headers, this.#bytes ?? Buffer.alloc(0))
        : this.#stream().clone();
    }

    #isUntouched(): boolean {
      return this.#bytes !== null && !this.#isRead && this.#streamed === undefined;
    }

    /** This answer over a stream, which is at its end if this answer was read. */
    #stream(): Response {
      if (this.#streamed === undefined) {
        const { status, headers } = this;
        this.#streamed = new Response(this.#bytes, { status, headers });
        if (this.#isRead) {
          void this.#streamed.arrayBuffer();
        }
      }
      return this.#streamed;
    }
  };
}
