import { describe, expect, it } from 'vitest';
import { createWholeAnswer } from '../../../packages/core/src/authorization-server/whole-answer.js';

const json = { 'content-type': 'application/json' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };

// Each is compared with what Node's own Response does.
const bodies: readonly (readonly [string, number, Record<string, string>, Buffer<ArrayBuffer>])[] = [
  ['JSON', 200, json, Buffer.from('{"active":true}')],
  ['text that is no JSON', 200, json, Buffer.from('no JSON')],
  ['a byte order mark', 200, json, Buffer.from('\uFEFF{"active":true}')],
  ['bytes that are no UTF-8', 200, json, Buffer.from([0x22, 0xff, 0xc3, 0x28, 0xf0, 0x9f, 0x22])],
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
    expect(await outcomeOf(use, createWholeAnswer(status, headers, bytes))).toEqual(
      await outcomeOf(use, expected),
    );
  });
});

it('bytes() gives the bytes, also where Node has no such method yet', async () => {
  const answer = createWholeAnswer(200, json, Buffer.from([1, 2, 255])) as Response & {
    bytes(): Promise<Uint8Array>;
  };
  expect([...(await answer.bytes())]).toEqual([1, 2, 255]);
  await expect(answer.bytes()).rejects.toThrow(TypeError);
});

it('is a Response', () => {
  expect(createWholeAnswer(200, json, Buffer.alloc(0))).toBeInstanceOf(Response);
});

it.each([101, 199, 600, 999])('a status that no final answer has is refused: %s', (status) => {
  expect(() => createWholeAnswer(status, {}, Buffer.alloc(0))).toThrow(RangeError);
});
