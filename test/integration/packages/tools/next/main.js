import { createServer } from 'node:https';
import next from 'next';
import { ask, listening, startAuthorizationServer, tls } from './authorization-server.js';

const { options } = await startAuthorizationServer();
process.env.API_OPTIONS = JSON.stringify(options);
const app = next({ dev: false, dir: '.' });
await app.prepare();
const handle = app.getRequestHandler();
const port = await listening(createServer(tls, (req, res) => handle(req, res)));
const path = '/api/accounts';
const answers = [await ask(port, 'good', undefined, path), await ask(port, 'other', undefined, path)];
const isRight = answers[0] === '200 client' && /^401 .*invalid_token/.test(answers[1]);
process.stdout.write(isRight ? '\nok' : `\n${answers.join('\n')}`);
process.exit(isRight ? 0 : 1);
