import { createServer } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi, frameworks, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call, post, rawCall } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { expectRefusal } from '../../support/refusals.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();

server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));

describe.each(frameworks)('%s', (framework) => {
  let api: TestApi;
  beforeAll(async () => {
    const options = {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'secret',
      audience,
      http: { ca: pki.ca.cert },
      cache: { maxAge: 0 },
    };
    const { listener, handled } = createApi(framework, options);
    // Larger headers than Node lets through by itself, so that they reach us.
    api = await serve(createServer({ ...mutualTls(pki), maxHeaderSize: 300_000 }, listener), handled);
  });
  afterAll(() => api?.close());

  const malformedLines: [string, string[], number][] = [
    ['R78: a tab', ['Authorization: Bearer\tabc'], 400],
    ['R78: a byte beyond ASCII', ['Authorization: Bearer ab\xe9'], 400],
    ['R78: a comma', ['Authorization: Bearer a,b'], 400],
    ['R79: a bare scheme with trailing blanks', ['Authorization: Bearer   '], 400],
    ['R79: an empty value', ['Authorization:'], 401],
    ['R80: Basic, then Bearer', ['Authorization: Basic YTpi', 'Authorization: Bearer abc'], 400],
    ['R80: two lines in unlike case', ['authorization: Bearer abc', 'AUTHORIZATION: Bearer abc'], 400],
    ['R96: a cookie', ['Cookie: access_token=abc'], 401],
    ['100 kB of token', [`Authorization: Bearer ${'a'.repeat(100_000)}`], 400],
    ['100 kB of noise', [`Authorization: Bearer ${'\xff '.repeat(50_000)}`], 400],
    ['200 lines', Array.from({ length: 200 }, () => 'Authorization: Bearer abc'), 400],
  ];
  it.each(malformedLines)('%s is refused without introspection', async (_title, lines, status) => {
    const before = { asked: server.requests.length, handled: api.handled() };
    expect((await rawCall(pki, api, lines, pki.alice)).status).toBe(status);
    expect({ asked: server.requests.length, handled: api.handled() }).toEqual(before);
    // And the server lives on.
    expect((await call(pki, api, '/', pki.alice).auth('good', { type: 'bearer' })).status).toBe(200);
  });

  it('R83: a token in the query is refused with 400', async () => {
    const response = await call(pki, api, '/?access_token=good', pki.alice);
    await expectRefusal(response, { status: 400, error: 'invalid_request' });
  });

  it.each([
    ['R84: alone', false],
    ['R81: beside the header', true],
  ])('a token in a parsed form is refused with 400: %s', async (_title, withHeader) => {
    const request = post(pki, api, '/form', pki.alice).type('form').send({ access_token: 'good' });
    const response = await (withHeader ? request.auth('good', { type: 'bearer' }) : request);
    await expectRefusal(response, { status: 400, error: 'invalid_request' });
  });

  it('R85: a body that was not parsed stays for the handler to read', async () => {
    const response = await post(pki, api, '/echo', pki.alice)
      .auth('good', { type: 'bearer' })
      .type('form')
      .send('access_token=in-the-body');
    expect(response.status).toBe(200);
    expect(Buffer.from(response.text ?? response.body).toString()).toContain('in-the-body');
  });

  it.each(['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'])('R86: %s is guarded as GET is', async (method) => {
    const { status } = await new Promise<{ status: number }>((resolve, reject) => {
      const request = call(pki, api, '/', pki.alice);
      request.method = method;
      request.end((error, response) => (response ? resolve(response) : reject(error)));
    });
    expect(status).toBe(401);
  });
});
