import { once } from 'node:events';
import { createServer, Agent as HttpsAgent, type Server } from 'node:https';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createHttpClient } from '../../../packages/core/src/authorization-server/http.js';
import { close, listen } from '../../support/loopback.js';
import { createPki } from '../../support/pki.js';

const formType = 'application/x-www-form-urlencoded;charset=UTF-8';

let server: Server;
let url: string;
let ca: string;

/** Answers with what it got, or with a body in chunks of one byte. */
beforeAll(async () => {
  const pki = await createPki();
  ca = pki.ca.cert;
  server = createServer({ cert: pki.server.cert, key: pki.server.key }, async (req, res) => {
    if (req.url === '/one-by-one') {
      for (let count = 0; count < 2_000; count += 1) {
        res.write('x');
      }
      res.end();
      return;
    }
    let body = '';
    req.setEncoding('utf8').on('data', (chunk) => {
      body += chunk;
    });
    await once(req, 'end');
    const lengths = req.rawHeaders.filter(
      (_name, at, all) => all[at - 1]?.toLowerCase() === 'content-length',
    );
    const { 'content-type': type, 'transfer-encoding': encoding } = req.headers;
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ method: req.method, body, lengths, type, encoding }));
  });
  url = `https://127.0.0.1:${await listen(server)}/`;
});

afterAll(() => close(server));

const agents = {
  'connections of its own': undefined,
  "the user's agent": (options: object) => new HttpsAgent(options),
};

const form = (members: Record<string, string>) => new URLSearchParams(members);
const headers = { 'content-type': formType };

const requests = {
  'a form': [
    { method: 'POST', headers, body: form({ token: 'a+b/c=&d %20é', hint: 'ü' }) },
    { method: 'POST', body: 'token=a%2Bb%2Fc%3D%26d+%2520%C3%A9&hint=%C3%BC', type: formType },
  ],
  'a form that has a wrong length and no type of its own': [
    { method: 'POST', headers: { 'Content-Length': '3' }, body: form({ token: 'abc' }) },
    { method: 'POST', body: 'token=abc', type: formType },
  ],
  'a form with a wrong length': [
    { method: 'POST', headers: { ...headers, 'content-length': '3' }, body: form({ token: 'abc' }) },
    { method: 'POST', body: 'token=abc', type: formType },
  ],
  'a form that the server is asked about first': [
    { method: 'POST', headers: { ...headers, Expect: '100-continue' }, body: form({ token: 'abc' }) },
    { method: 'POST', body: 'token=abc', type: formType },
  ],
  'an empty form': [
    { method: 'POST', headers, body: form({}) },
    { method: 'POST', body: '', type: formType },
  ],
  'a text with letters of several bytes': [
    { method: 'POST', headers: { 'content-type': 'application/json' }, body: '"é€"' },
    { method: 'POST', body: '"é€"', type: 'application/json' },
  ],
  'no body': [
    { method: 'GET', headers: {} },
    { method: 'GET', body: '' },
  ],
} as const;

const cases = Object.entries(agents).flatMap(([way, agent]) =>
  Object.entries(requests).map(([title, [request, received]]) => ({ way, title, agent, request, received })),
);

it.each(cases)(
  '$title arrives whole, once and with its length over $way',
  async ({ agent, request, received }) => {
    const http = createHttpClient({ timeout: 5, maxResponseSize: 100_000, ca, agent, fetch: undefined });
    try {
      const answer = await http.send(url, request);
      const lengths = request.method === 'GET' ? [] : [String(Buffer.byteLength(received.body))];
      expect(await answer.json()).toEqual({ ...received, lengths });
    } finally {
      http.close();
    }
  },
);

it('an answer in chunks of one byte ends when it has cost as much as its limit permits', async () => {
  const http = createHttpClient({
    timeout: 5,
    maxResponseSize: 100_000,
    ca,
    agent: undefined,
    fetch: undefined,
  });
  try {
    await expect(http.send(`${url}one-by-one`, { method: 'GET', headers: {} })).rejects.toMatchObject({
      code: 'authorization_server_invalid_answer',
      detail: expect.stringContaining('too many small chunks'),
    });
  } finally {
    http.close();
  }
});

it('each of many requests at once, over connections that are used again, has its own body', async () => {
  const http = createHttpClient({
    timeout: 5,
    maxResponseSize: 100_000,
    ca,
    agent: undefined,
    fetch: undefined,
  });
  const send = async (token: string): Promise<string> => {
    const answer = await http.send(url, { method: 'POST', headers, body: form({ token }) });
    return ((await answer.json()) as { body: string }).body;
  };
  try {
    for (let round = 0; round < 3; round += 1) {
      const tokens = Array.from({ length: 20 }, (_, i) => `${round}-${i}-${'x'.repeat(i * 500)}`);
      expect(await Promise.all(tokens.map(send))).toEqual(tokens.map((token) => `token=${token}`));
    }
  } finally {
    http.close();
  }
});

it('a request that node-fetch refuses leaves its body to no other one', async () => {
  const http = createHttpClient({
    timeout: 5,
    maxResponseSize: 100_000,
    ca,
    agent: undefined,
    fetch: undefined,
  });
  try {
    const wrong = {
      method: 'POST',
      headers: { ...headers, 'x-wrong': 'a\nb' },
      body: form({ token: 'left' }),
    };
    await expect(http.send(url, wrong)).rejects.toMatchObject({
      code: 'authorization_server_invalid_answer',
    });
    const answer = await http.send(url, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'own',
    });
    expect(await answer.json()).toMatchObject({ body: 'own', lengths: ['3'] });
  } finally {
    http.close();
  }
});
