import request from 'supertest';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createPki } from '../support/pki.js';
import { type BlockRunner, blockRunner } from './block-runner.js';
import { type Block, blocks } from './blocks.js';

/** Those that can't run, by how they begin, and why. */
const resting = {
  'const accounts = kit.withCertificate(request(app)':
    'it asks an API of the kit, which docs/reference/testing.md shows whole',
  'const token = kit.boundToken({ key: kit.key });\nawait kit.withProof(request(app)':
    'it asks an API of the kit, which docs/reference/testing.md shows whole',
  'const answerRefusals: ErrorRequestHandler = (error, _req': 'Node 20 runs no types',
  'const answerRefusals: ErrorRequestHandler = (error, req': 'Node 20 runs no types',
  "import type { Request, Response } from 'express';\n\nconst pay": 'Node 20 runs no types',
  "import Router, { type RouterContext } from '@koa/router';": 'Node 20 runs no types',
  'import {\n  mtlsBound,\n  readTokenClaims,\n  type RequesterFacts,': 'Node 20 runs no types',
  "import { mtlsBound } from 'express-mtls'; // or 'koa-mtls'\nimport options from './options.mjs';\n\nconst mtls = mtlsBound(options);\nawait":
    'it ends the process',
  "import { createResourceServer } from '@mtls-bound/core';\n\nconst resourceServer = createResourceServer({ issuer, clientId, clientSecret, audience });\nconst":
    'it needs a request',
};

const isResting = ({ code }: Block): boolean => Object.keys(resting).some((start) => code.startsWith(start));

let runner: BlockRunner;

beforeAll(async () => {
  runner = await blockRunner(await createPki());
});
afterEach(() => runner.tidy());
afterAll(() => runner.end());

const refusal = { status: 401, challenge: 'Bearer realm="api"' };

describe('runs', () => {
  it.each(blocks.filter((block) => !isResting(block)))('$name', async (block) => {
    const { app } = await runner.run(block);
    // A middleware before every route refuses a request without a token.
    if (/\bapp\.use\(\s*mtlsBound\(/.test(block.code) && !/\bconst app\b/.test(block.code)) {
      const { status, headers } = await request('callback' in app ? app.callback() : app).get('/');
      expect({ status, challenge: headers['www-authenticate'] }).toEqual(refusal);
    }
  });

  it('each but those that are there', () => {
    expect(blocks.filter(isResting)).toHaveLength(Object.keys(resting).length);
  });
});

describe('a whole server refuses who has no token', () => {
  it.each(['express-mtls', 'koa-mtls', '@mtls-bound/core'])('of %s', async (name) => {
    const whole = blocks.find(
      ({ page, code }) =>
        page === 'docs/guides/getting-started.md' &&
        code.includes(`from '${name}'`) &&
        /https\.createServer\(.*tls/.test(code),
    );
    const { servers } = await runner.run(whole as Block);
    expect(servers).toHaveLength(1);
    const [server = expect.fail()] = servers;
    if (!server.listening) {
      server.listen();
    }
    const { status, headers } = await request(server).get('/accounts').trustLocalhost();
    expect({ status, challenge: headers['www-authenticate'] }).toEqual(refusal);
  });
});

it.each(['express', 'koa'] as const)(
  'getting-started, %s: the preflight is answered before the guard, and a refusal keeps its CORS header',
  async (framework) => {
    const shown = blocks.find(
      (block) => block.framework === framework && block.code.includes('Access-Control-Allow-Methods'),
    );
    const { app } = await runner.run(shown as Block);
    const handle = 'callback' in app ? app.callback() : app;
    const preflight = await request(handle).options('/accounts');
    expect(preflight.status).toBe(204);
    expect(preflight.headers['access-control-allow-headers']).toContain('Authorization');
    const refused = await request(handle).get('/accounts');
    expect(refused.status).toBe(401);
    expect(refused.headers['access-control-allow-origin']).toBe('https://app.example.com');
  },
);
