// An Express API behind NGINX, which ends TLS and connects to this port.
import { createServer } from 'node:http';
import express from 'express';
import { mtlsBound, requireScopes } from 'express-mtls';
import options from './options.mjs';

const app = express();
app.get('/health', (_req, res) => res.send('ok')); // before mtlsBound(): needs no token
app.use(mtlsBound(options));
app.get('/accounts', requireScopes('accounts:read'), (req, res) => res.json({ client: req.auth.clientId }));

const port = Number(process.env.PORT ?? 3000);
createServer(app).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}`));
