import { describe, expect, it } from 'vitest';
import {
  asJson,
  createWholeAnswer,
  headerOf,
} from '../../../packages/core/src/authorization-server/whole-answer.js';

const url = 'https://user:secret@as.example.com/introspect?token=secret';
const json = { 'content-type': 'application/json' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };

// Each is compared with what Node's own Response does.
const bodies: readonly (readonly [string, number, Record<string, string>, Buffer<ArrayBuffer>])[] = [
  ['JSON', 200, json, Buffer.from('{"active":true}')],
  ['text that is no JSON', 200, json, Buffer.from('no JSON')],
  ['a byte order mark', 200, json, Buffer.from('\uFEFF{"active":true}')],
  ['an empty body', 200, json, Buffer.alloc(0)],
  ['a status without a body', 204, {}, Buffer.alloc(0)],
  ['an error status', 503, { 'retry-after': '3' }, Buffer.from('later')],
  ['a form', 200, form, Buffer.from('a=b&c=d')],
];

type Use = (response: Response) => unknown;

const uses: Readonly<Record<string, Use>> = {
  text: (response) => response.text(),
  json: (response) => response.json(),
  arrayBuffer: async (response) => Buffer.from(await response.arrayBuffer()).toString('hex'),
  blob: async (response) => (await response.blob()).text(),
  formData: async (response) => [...(await response.formData())],
  'text, then text': async (response) => [await response.text(), await response.text()],
  'json, then arrayBuffer': async (response) => [await response.json(), await response.arrayBuffer()],
  'text, then clone': async (response) => [await response.text(), response.clone()],
  'clone, then both': async (response) => [await response.clone().text(), await response.text()],
  'clone of a clone': async (response) => response.clone().clone().text(),
  'body, then text': async (response) => [response.body === null, await response.text()],
  'body, then clone': async (response) => [response.body === null, await response.clone().text()],
  'the stream of the body': async (response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  },
  'bodyUsed before and after': async (response) => {
    const before = response.bodyUsed;
    await response.text();
    return [before, response.bodyUsed];
  },
  'status and headers': (response) => [response.status, response.ok, [...response.headers], response.url],
  'the members without a body': ({ type, redirected, statusText, ok, bodyUsed }) => [
    type,
    redirected,
    statusText,
    ok,
    bodyUsed,
  ],
  'a Response of it': async (response) => {
    const made = new Response(response.body, response);
    return [made.status, [...made.headers], await made.text()];
  },
  'changed headers': async (response) => {
    response.headers.set('x-added', '1');
    const copy = response.clone();
    copy.headers.delete('x-added');
    return [[...response.headers], [...copy.headers]];
  },
  'each member': (response) => {
    const names = Object.getOwnPropertyNames(Response.prototype);
    return names.map((name) => typeof response[name as keyof Response]);
  },
};

async function outcomeOf(use: Use, response: Response): Promise<unknown> {
  try {
    return await use(response);
  } catch (error) {
    return (error as Error).name;
  }
}

describe.each(bodies)('%s', (_title, status, headers, bytes) => {
  it.each(Object.entries(uses))('%s is as of a Response', async (_name, use) => {
    const expected = new Response(status === 204 ? null : bytes, { status, headers });
    expect(await outcomeOf(use, createWholeAnswer(status, new Headers(headers), bytes, url))).toEqual(
      await outcomeOf(use, expected),
    );
  });
});

it('bytes() gives the bytes, also where Node has no such method yet', async () => {
  const answer = createWholeAnswer(200, new Headers(json), Buffer.from([1, 2, 255]), url) as Response & {
    bytes(): Promise<Uint8Array>;
  };
  expect([...(await answer.bytes())]).toEqual([1, 2, 255]);
  await expect(answer.bytes()).rejects.toThrow(TypeError);
});

describe('bytes that are no UTF-8', () => {
  const bytes = Buffer.from([0x22, 0xff, 0xc3, 0x28, 0xf0, 0x9f, 0x22]);
  const created = () => createWholeAnswer(200, new Headers(json), bytes, url);

  it.each<[string, (answer: Response) => Promise<unknown>]>([
    ['text()', (answer) => answer.text()],
    ['json()', (answer) => answer.json()],
    ['json() of a clone', (answer) => answer.clone().json()],
    ['json() for a function that reads JSON', (answer) => asJson(answer).json()],
    ['text() after the stream was made', async (answer) => [answer.body, await answer.text()]],
  ])('%s refuses them, and shows no secret of the URL', async (_title, read) => {
    await expect(read(created())).rejects.toMatchObject({
      code: 'authorization_server_invalid_answer',
      detail: expect.stringMatching(
        /^an unusable answer from https:(?!.*secret).*as\.example\.com.*: the body is not UTF-8/,
      ) as string,
    });
  });

  it('arrayBuffer() gives them', async () => {
    expect(Buffer.from(await created().arrayBuffer())).toEqual(bytes);
  });
});

it('is a Response', () => {
  expect(createWholeAnswer(200, new Headers(json), Buffer.alloc(0), url)).toBeInstanceOf(Response);
});

it.each([101, 199, 600, 999])('a status that no final answer has is refused: %s', (status) => {
  expect(() => createWholeAnswer(status, new Headers(), Buffer.alloc(0), url)).toThrow(RangeError);
});

/** Headers of another implementation, which count how often all of them are read. */
class OtherHeaders extends Map<string, string> {
  reads = 0;

  override get(name: string): string {
    return super.get(name) ?? (null as unknown as string);
  }

  override [Symbol.iterator]() {
    this.reads += 1;
    return super.entries();
  }
}

describe('headers of another implementation', () => {
  const created = () => {
    const headers = new OtherHeaders(Object.entries({ ...json, 'retry-after': '3' }));
    return { headers, answer: createWholeAnswer(200, headers as never, Buffer.from('{"active":true}'), url) };
  };

  it('are read one by one, without all of them', async () => {
    const { headers, answer } = created();
    expect([headerOf(answer, 'retry-after'), headerOf(answer, 'date')]).toEqual(['3', null]);
    expect(await asJson(answer).json()).toEqual({ active: true });
    expect(headers.reads).toBe(0);
  });

  it('become the Headers of the answer when these are read', () => {
    const { headers, answer } = created();
    expect([...answer.headers]).toEqual([
      ['content-type', 'application/json'],
      ['retry-after', '3'],
    ]);
    expect(answer.headers).toBe(answer.headers);
    answer.headers.set('retry-after', '4');
    expect(headerOf(answer, 'retry-after')).toBe('4');
    expect(headers.reads).toBe(1);
  });

  it('of a Response of Node are read from it', () => {
    const response = new Response(null, { status: 503, headers: { 'retry-after': '5' } });
    expect([headerOf(response, 'retry-after'), headerOf(response, 'date')]).toEqual(['5', null]);
  });
});

describe('an answer for a function that reads JSON', () => {
  it('has the status and the body, and no header but its type', async () => {
    const headers = new Headers({ ...json, date: 'now', 'content-type': 'Application/JSON; charset=utf-8' });
    const given = asJson(createWholeAnswer(200, headers, Buffer.from('{"active":true}'), url));
    expect([given.status, [...given.headers], await given.json()]).toEqual([
      200,
      [['content-type', 'application/json']],
      { active: true },
    ]);
  });

  it('is the answer itself where it was read, and a Response of Node', async () => {
    const answer = createWholeAnswer(200, new Headers(json), Buffer.from('{}'), url);
    await answer.text();
    const response = new Response('{}');
    expect([asJson(answer) === answer, asJson(response) === response]).toEqual([true, true]);
  });
});
