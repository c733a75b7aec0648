// JSON that is not UTF-8 is an invalid answer (RFC 8259 §8.1): a lenient reader makes one subject of two.
import { ClientCertificate, createResourceServer } from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { createRemoteKeys } from '../../../packages/core/src/authorization-server/key-set.js';
import { createDiscovery } from '../../../packages/core/src/authorization-server/metadata.js';
import { createWholeAnswer } from '../../../packages/core/src/authorization-server/whole-answer.js';
import { discoverTransmitter } from '../../../packages/core/src/signals/ssf-configuration.js';
import { createAskTransmitter } from '../../../packages/core/src/signals/transmitter-endpoints.js';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
const json = { 'content-type': 'application/json' };
/** The members as JSON, in which the byte stands for each `@`. */
const bytesOf = (members: object, byte: number) =>
  Buffer.from(JSON.stringify(members)).map((one) => (one === 0x40 ? byte : one)) as Buffer<ArrayBuffer>;
const http = (members: object, byte: number, status = 200) => {
  const answer = createWholeAnswer(status, new Headers(json), bytesOf(members, byte), `${issuer}/x`);
  return async () => answer;
};

const tellsWhy = { message: expect.stringContaining('the body is not UTF-8') as string };

describe('introspection', () => {
  const alice = new ClientCertificate({ thumbprint: 'A'.repeat(43) });
  const ask = async (
    byte: number,
    contentType: string,
    answer: object = boundClaims(alice, { sub: 'ren@' }),
    status = 200,
  ) => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const headers = { 'content-type': contentType };
    const server = pretendServer(() => new Response(bytesOf(answer, byte), { headers, status }));
    return createResourceServer(optionsOver(server, alice)).authorize(requestWith('a-token'));
  };

  it.each([
    [0xe8, 'application/json'],
    [0xe9, 'application/json'],
    [0xe9, 'application/json; charset=iso-8859-1'],
  ])('a subject with the byte %i as %s is an invalid answer', async (byte, contentType) => {
    await expect(ask(byte, contentType)).rejects.toMatchObject({
      code: 'authorization_server_invalid_answer',
      ...tellsWhy,
    });
  });

  it.each([
    ['unsupported_token_type', 'token_inactive'],
    ['invalid_client', 'authorization_server_refused_credentials'],
  ])('the error %s counts, though its description is not UTF-8', async (error, code) => {
    const answer = { error, error_description: 'ung@ltig' };
    await expect(ask(0xfc, 'application/json', answer, 400)).rejects.toMatchObject({ code });
  });

  it('a subject in UTF-8 is read', async () => {
    await expect(ask(0x65, 'application/json')).resolves.toMatchObject({ subject: 'rene' });
  });
});

const discovery = (byte: number, discover?: typeof discoverTransmitter) =>
  createDiscovery(
    { issuer, metadataMaxAge: 60, metadata: undefined },
    {
      http: http({ issuer, note: '@' }, byte),
      timeout: 5,
      onFound: () => undefined,
      report: () => undefined,
      ...(discover !== undefined && { discover }),
    },
  )();

it.each<[string, (byte: number) => Promise<unknown>, string]>([
  ['metadata', (byte) => discovery(byte), 'authorization_server_invalid_answer'],
  [
    'the configuration of a transmitter',
    (byte) => discovery(byte, discoverTransmitter),
    'transmitter_invalid_answer',
  ],
  [
    'a key set',
    (byte) =>
      createRemoteKeys(
        async () => ({ issuer, jwks_uri: `${issuer}/jwks` }),
        http({ keys: [], note: '@' }, byte),
      ).current(),
    'authorization_server_invalid_answer',
  ],
])('%s', async (_title, read, code) => {
  await expect(read(0x65)).resolves.toBeDefined();
  await expect(read(0xe9)).rejects.toMatchObject({ code, ...tellsWhy });
});

it('an answer of a transmitter has no JSON then, and keeps its status', async () => {
  const ask = createAskTransmitter({
    transmitter: issuer,
    http: http({ note: '@' }, 0xe9, 401),
    timeout: 5,
    credentials: [],
    closing: new AbortController().signal,
  });
  await expect(ask({ method: 'GET', url: `${issuer}/stream` })).resolves.toMatchObject({
    status: 401,
    json: undefined,
  });
});
