// Metadata and key sets that nest deeper than 64 levels are refused as an invalid answer, and one of 64 levels is read.
import { describe, expect, it } from 'vitest';
import { createRemoteKeys } from '../../../packages/core/src/authorization-server/key-set.js';
import { createDiscovery } from '../../../packages/core/src/authorization-server/metadata.js';
import { discoverTransmitter } from '../../../packages/core/src/signals/ssf-configuration.js';
import { createAskTransmitter } from '../../../packages/core/src/signals/transmitter-endpoints.js';

const issuer = 'https://as.example.com';
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const document = (depth: number, members: object) =>
  `${JSON.stringify(members).slice(0, -1)},"deep":${nested(depth)}}`;
const http = (text: string) => async () =>
  new Response(text, { headers: { 'content-type': 'application/json' } });

type Read = (depth: number) => Promise<unknown>;
const readMetadata =
  (discover?: typeof discoverTransmitter): Read =>
  (depth) =>
    createDiscovery(
      { issuer, metadataMaxAge: 60, metadata: undefined },
      {
        http: http(document(depth, { issuer })),
        timeout: 5,
        onFound: () => undefined,
        report: () => undefined,
        ...(discover !== undefined && { discover }),
      },
    )();
const readKeys: Read = (depth) =>
  createRemoteKeys(
    async () => ({ issuer, jwks_uri: `${issuer}/jwks` }),
    http(document(depth, { keys: [] })),
  ).current();

describe.each<[string, Read, string]>([
  ['metadata', readMetadata(), 'authorization_server_invalid_answer'],
  ['the configuration of a transmitter', readMetadata(discoverTransmitter), 'transmitter_invalid_answer'],
  ['a key set', readKeys, 'authorization_server_invalid_answer'],
])('%s', (_title, read, code) => {
  it('of 64 levels is read', async () => {
    await expect(read(63)).resolves.toBeDefined();
  });

  it.each([64, 20_000])('with lists nested %i deep is an invalid answer', async (depth) => {
    await expect(read(depth)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/deeper than 64 levels/),
    });
  });
});

it.each<[number, unknown]>([
  [63, { id: 1, deep: JSON.parse(nested(63)) }],
  [64, undefined],
  [20_000, undefined],
])('an answer of a transmitter with lists nested %i deep', async (depth, expected) => {
  const ask = createAskTransmitter({
    transmitter: issuer,
    http: http(document(depth, { id: 1 })),
    timeout: 5,
    credentials: [],
    closing: new AbortController().signal,
  });
  expect((await ask({ method: 'GET', url: issuer })).json).toEqual(expected);
});
