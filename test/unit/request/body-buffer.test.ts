// Which bodies are collected, by their size and by the number of their chunks, and in how much memory.
import { expect, it } from 'vitest';
import { BodyBuffer } from '../../../packages/core/src/shared/body-buffer.js';

it.each([
  ['no chunk', []],
  ['one chunk', ['a list']],
  ['several chunks', ['a ', '', 'list', ' of', ' several chunks']],
])('a body of %s is collected', (_title, chunks) => {
  const body = new BodyBuffer(100);
  expect(chunks.map((chunk) => body.add(Buffer.from(chunk)))).toEqual(chunks.map(() => undefined));
  expect(body.toBuffer().toString()).toBe(chunks.join(''));
});

it('a chunk is copied', () => {
  const chunk = Buffer.from('list');
  const body = new BodyBuffer(100);
  body.add(chunk);
  chunk.fill('x');
  expect(body.toBuffer().toString()).toBe('list');
});

it.each([
  ['as many bytes as its limit is accepted', [400, 600], undefined],
  ['one byte more than its limit is refused', [400, 601], 'too_large'],
  ['one byte more than its limit is refused, whatever follows', [1_001, 0], 'too_large'],
])('a body of %s', (_title, sizes, fault) => {
  const body = new BodyBuffer(1_000);
  const found = sizes.map((size) => body.add(Buffer.alloc(size)));
  expect(found.at(-1)).toBe(fault);
});

it.each([1, 0])('a body in chunks of %d bytes ends after so many as its limit permits', (size) => {
  const body = new BodyBuffer(10_485_760);
  const chunk = new Uint8Array(size);
  let count = 1;
  while (body.add(chunk) === undefined && count < 1_000_000) {
    count += 1;
  }
  expect(count).toBeLessThan(100_000);
  expect(body.add(chunk)).toBe('too_many_chunks');
});

it('a body in packets of 536 bytes is accepted up to its limit', () => {
  const body = new BodyBuffer(1_048_576);
  const packet = Buffer.alloc(536, 'x');
  for (let size = packet.length; size <= 1_048_576; size += packet.length) {
    expect(body.add(packet)).toBeUndefined();
  }
  expect(body.toBuffer().every((byte) => byte === 0x78)).toBe(true);
});
