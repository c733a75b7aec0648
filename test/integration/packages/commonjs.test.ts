import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const here = fileURLToPath(new URL('.', import.meta.url));

it.each([
  ['express-mtls', 'mtlsBound'],
  ['koa-mtls', 'mtlsBound'],
  ['@mtls-bound/core', 'createResourceServer'],
])('require(%j) works from CommonJS', (name, make) => {
  const script = `
    const { ${make}, ConfigurationError } = require(${JSON.stringify(name)});
    try { ${make}({}); } catch (e) { console.log(e instanceof ConfigurationError, e.option); }`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--no-warnings', '--eval', script], {
    cwd: here,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  });
  expect({ stdout, stderr, status }).toEqual({ stdout: 'true issuer\n', stderr: '', status: 0 });
});
