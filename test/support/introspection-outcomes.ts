import { gzipSync } from 'node:zlib';
import { audience } from './audience.js';
import { answer, type Behaviour, goodClaims } from './faulty-server.js';
import type { ExpectedRefusal } from './refusals.js';

const now = () => Math.floor(Date.now() / 1000);

/** Whom a good answer is from and for. */
export interface About {
  readonly issuer: string;
  /** Of the certificate that the client shows. */
  readonly thumbprint: string;
}
type Answering = (about: About) => Behaviour;

/** A good answer, with changes. */
export const claims =
  (changes: Record<string, unknown> | ((about: About) => Record<string, unknown>)): Answering =>
  (about) =>
    answer(
      200,
      goodClaims(about.issuer, about.thumbprint, typeof changes === 'function' ? changes(about) : changes),
    );
export const good = claims({});

export const passes = 'passes';
export const invalidToken: ExpectedRefusal = { status: 401, error: 'invalid_token' };
export const passing = (retryAfter = '5'): ExpectedRefusal => ({
  status: 503,
  error: 'temporarily_unavailable',
  retryAfter,
});
export const lasting: ExpectedRefusal = { status: 503, error: 'server_error', retryAfter: null };

export const never: Behaviour = () => undefined;
const trickle: Behaviour = (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' });
  const timer = setInterval(() => res.write(' '), 50);
  res.on('close', () => clearInterval(timer));
};
const cutOff: Behaviour = (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' });
  res.write('{"active":true,');
  setTimeout(() => res.destroy(), 20);
};
const hangUp: Behaviour = (req) => req.socket.destroy();
/** What is tried once more. */
export const brokenConnections = new Set<Behaviour>([cutOff, hangUp]);
const redirectTo = (status: number): Behaviour => answer(status, '', { location: '/introspect-elsewhere' });
const raw =
  (body: string, type = 'application/json') =>
  () =>
    answer(200, body, { 'content-type': type });
/** Good in every other way. */
const oversized = ({ issuer, thumbprint }: About) =>
  JSON.stringify(goodClaims(issuer, thumbprint, { padding: ' '.repeat(10_000_000) }));
const zipBomb: Answering = (about) => (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
  res.end(gzipSync(oversized(about)));
};
/** A good answer as text, to be spoilt. */
const goodText = ({ issuer, thumbprint }: About) => JSON.stringify(goodClaims(issuer, thumbprint));

/** What the server answers, and what becomes of the request. One line, one outcome. */
export const outcomes: readonly [string, Answering, ExpectedRefusal | typeof passes][] = [
  ['R43: a good answer', good, passes],
  [
    'R43: content type with a charset, in upper case',
    (about) =>
      answer(200, goodText(about), {
        'content-type': 'APPLICATION/JSON;Charset=UTF-8',
      }),
    passes,
  ],
  ['R40: active false', claims({ active: false }), invalidToken],
  ['R42: active false with a scope', claims({ active: false, scope: 'admin' }), invalidToken],
  ['R41: active "true"', claims({ active: 'true' }), passing()],
  ['R41: active 1', claims({ active: 1 }), passing()],
  ['R41: active null', claims({ active: null }), passing()],
  ['R41: active missing', claims({ active: undefined }), passing()],
  ['R41: a list', raw('[{"active":true}]'), passing()],
  ['R41: a string', raw('"active"'), passing()],
  ['R41: null', raw('null'), passing()],
  ['R43: HTML with status 200', raw('<html>hello</html>', 'text/html'), passing()],
  ['R43: JSON called text/plain', raw('{"active":true}', 'text/plain'), passing()],
  ['S14: no JSON', raw('{"active":tru'), passing()],
  ['S14: an empty body', raw(''), passing()],
  ...['gzip', 'deflate', 'br'].map((encoding): [string, Answering, ExpectedRefusal] => [
    `S14: a body that is called ${encoding} and is not`,
    () => answer(200, 'blocked by a firewall', { 'content-encoding': encoding }),
    passing(),
  ]),
  ['S14: 204', () => (_req, res) => res.writeHead(204).end(), passing()],
  ['S14: cut off', () => cutOff, passing()],
  ['S14 R47: a body beyond the limit', (about) => answer(200, oversized(about)), passing()],
  ['S14 R47: a body beyond the limit once decompressed', zipBomb, passing()],
  [
    'S14: lists nested 30,000 deep, and no cnf',
    raw(`{"active":true,"x":${'['.repeat(30_000)}${']'.repeat(30_000)}}`),
    invalidToken,
  ],
  ['R46 S13: 500', () => answer(500, ''), passing()],
  ['R46 S13: 503 with Retry-After', () => answer(503, '', { 'retry-after': '7' }), passing('7')],
  ['R46: Retry-After beyond sense', () => answer(503, '', { 'retry-after': '99999999' }), passing('300')],
  ['R46: Retry-After without sense', () => answer(503, '', { 'retry-after': 'soon' }), passing()],
  ['R46: Retry-After 0', () => answer(503, '', { 'retry-after': '0' }), passing()],
  ['R46 S13: 429 with Retry-After', () => answer(429, '', { 'retry-after': '12' }), passing('12')],
  ['R46 S13: an answer that never comes', () => never, passing()],
  ['R46 S13: an answer that never ends', () => trickle, passing()],
  ['R46 S13: a connection that is closed', () => hangUp, passing()],
  [
    'R44 S14: 401',
    () => answer(401, { error: 'invalid_client' }, { 'www-authenticate': 'Basic realm="as"' }),
    lasting,
  ],
  ['R44 S14: 401 without a challenge', () => answer(401, { error: 'invalid_client' }), lasting],
  ['R44 S14: 400 invalid_client', () => answer(400, { error: 'invalid_client' }), lasting],
  ['R44 S14: 400 unauthorized_client', () => answer(400, { error: 'unauthorized_client' }), lasting],
  ['R44 S14: 403', () => answer(403, ''), lasting],
  ['R45: 400', () => answer(400, { error: 'invalid_token' }), passing()],
  ['400 unsupported_token_type', () => answer(400, { error: 'unsupported_token_type' }), invalidToken],
  ['R45: 400 without JSON', () => answer(400, 'unsupported_token_type'), passing()],
  ['R45: 404', () => answer(404, ''), passing()],
  ['R47: redirected with 302', () => redirectTo(302), passing()],
  ['R47: redirected with 307', () => redirectTo(307), passing()],
  ['R48: exp two minutes ago', claims({ exp: now() - 120 }), invalidToken],
  ['R48: exp missing', claims({ exp: undefined }), passes],
  ['R49: nbf 8 seconds ahead', claims({ nbf: now() + 8 }), passes],
  ['R49: nbf two minutes ahead', claims({ nbf: now() + 120 }), invalidToken],
  ['R49: iat two minutes ahead', claims({ iat: now() + 120 }), invalidToken],
  ['R50: exp as a string', claims({ exp: '1999999999' }), invalidToken],
  ...['exp', 'nbf', 'iat', 'sub', 'client_id', 'token_type', 'scope', 'iss', 'jti'].map(
    (name): [string, Answering, typeof passes] => [
      `${name} null, as servers write what they have no value for`,
      claims({ [name]: null }),
      passes,
    ],
  ),
  ['R50: exp negative', claims({ exp: -1e300 }), invalidToken],
  ['R50: exp beyond every calendar', raw('{"active":true,"exp":1e400}'), invalidToken],
  ['R50: nbf as a string', claims({ nbf: '0' }), invalidToken],
  ['R50: iat as a list', claims({ iat: [0] }), invalidToken],
  [
    'R51: aud as a list with the audience of the API',
    claims({ aud: ['https://a.example', audience] }),
    passes,
  ],
  ['R51: aud of another API', claims({ aud: 'https://other.example.com' }), invalidToken],
  ['R51: aud in another case', claims({ aud: 'https://API.example.com' }), invalidToken],
  ['R51: aud with a slash more', claims({ aud: `${audience}/` }), invalidToken],
  ['R51: aud that contains the audience of the API', claims({ aud: `x ${audience}` }), invalidToken],
  ['R51: aud of numbers', claims({ aud: [1] }), invalidToken],
  ['R52: aud missing', claims({ aud: undefined }), invalidToken],
  ['R52: aud null', claims({ aud: null }), invalidToken],
  ['R52: aud an empty list', claims({ aud: [] }), invalidToken],
  ['R53: iss missing', claims({ iss: undefined }), passes],
  ['R53: iss with a slash more', claims(({ issuer }) => ({ iss: `${issuer}/` })), invalidToken],
  ['R53: iss of another server', claims({ iss: 'https://other.example.com' }), invalidToken],
  ['R54: token_type in lower case', claims({ token_type: 'bearer' }), passes],
  ['R54: token_type missing', claims({ token_type: undefined }), passes],
  ['R54: a refresh token', claims({ token_type: 'refresh_token' }), invalidToken],
  ['R54: token_type N_A', claims({ token_type: 'N_A' }), invalidToken],
  ['R54: token_type DPoP', claims({ token_type: 'DPoP' }), invalidToken],
  ['R55: scope missing', claims({ scope: undefined }), passes],
  ['R55: scope as a list', claims({ scope: ['accounts:read'] }), passing()],
  ['R55: scope as a number', claims({ scope: 1 }), invalidToken],
  ['R23: no client_id', claims({ client_id: undefined }), passes],
  ['sub of another type', claims({ sub: 7 }), invalidToken],
  [
    'R10: cnf only inside another member',
    claims(({ thumbprint }) => ({ cnf: undefined, ext: { cnf: { 'x5t#S256': thumbprint } } })),
    invalidToken,
  ],
  ['R12: cnf missing', claims({ cnf: undefined }), invalidToken],
  [
    'R7: cnf with padding',
    claims(({ thumbprint }) => ({ cnf: { 'x5t#S256': `${thumbprint}=` } })),
    invalidToken,
  ],
  ['R13: cnf of DPoP', claims({ cnf: { jkt: 'x' } }), invalidToken],
  ['R13: cnf empty', claims({ cnf: {} }), invalidToken],
  ['R15: cnf null', claims({ cnf: null }), invalidToken],
  [
    'R56: a member named __proto__',
    (about) => answer(200, goodText(about).replace('{', '{"__proto__":{"active":true},')),
    passes,
  ],
  [
    'R116: a member twice: the last counts (RFC 7519 §4)',
    (about) => answer(200, goodText(about).replace('{', '{"aud":"https://other.example.com",')),
    passes,
  ],
  [
    'a subject that is not UTF-8 (RFC 8259 §8.1)',
    (about) => (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.end(goodText(about).replace('user-1', 'ren\u00e9'), 'latin1');
    },
    passing(),
  ],
  ['a byte order mark', (about) => answer(200, `\ufeff${goodText(about)}`), passes],
];
