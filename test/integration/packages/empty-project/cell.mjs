// One cell of the matrix: node cell.mjs <the name under which express or koa is installed>. Prints ok, or dies.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createTestKit } from '@mtls-bound/core/testing';
import { checkSentChain } from './sent-chain.mjs';

const [, , framework] = process.argv;
const adapter = framework.startsWith('express') ? 'express-mtls' : 'koa-mtls';
const { default: Framework } = await import(framework);
// As it is imported, and as it is required: the same module.
const modules = [await import(adapter), createRequire(import.meta.url)(adapter)];

for (const { mtlsBound, requireScopes } of modules) {
  const kit = await createTestKit();
  const createListener = (options) => {
    if (adapter === 'express-mtls') {
      const app = Framework();
      app.use(mtlsBound(options));
      app.get('/accounts', requireScopes('accounts:read'), (req, res) => {
        res.json({ subject: req.auth.subject });
      });
      return app;
    }
    const app = new Framework();
    app.use(mtlsBound(options));
    app.use(requireScopes('accounts:read'));
    app.use((ctx) => {
      ctx.body = { subject: ctx.state.auth.subject };
    });
    return app.callback();
  };
  const server = createServer(createListener({ ...kit.options })).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const get = (token, certificate) => {
    const headers = { authorization: `Bearer ${token}` };
    kit.withCertificate({ set: (name, value) => Object.assign(headers, { [name]: value }) }, certificate);
    return fetch(`http://127.0.0.1:${server.address().port}/accounts`, { headers });
  };
  const token = kit.boundToken({ scopes: ['accounts:read'], subject: 'alice' });
  const good = await get(token);
  assert.equal(good.status, 200);
  assert.deepEqual(await good.json(), { subject: 'alice' });
  const stolen = await get(token, kit.otherCertificate);
  assert.equal(stolen.status, 401);
  assert.match(stolen.headers.get('www-authenticate'), /error="invalid_token"/);
  assert.equal((await get(kit.boundToken())).status, 403);
  server.close();
  server.closeAllConnections();
  await checkSentChain(kit, createListener);
}
process.stdout.write('ok');
