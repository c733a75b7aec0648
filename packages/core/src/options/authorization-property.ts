import { IncomingMessage } from 'node:http';
import { Http2ServerRequest } from 'node:http2';
import { Socket } from 'node:net';
import type { OptionRule } from '../shared/option-rules.js';

/** What a request of Node has already, HTTP/1.1 and http2, and what every object has. */
const ofNode = [new IncomingMessage(new Socket()), Http2ServerRequest.prototype] as const;

/**
 * What Express, its usual body and cookie parsers, and this project's own middleware put on a
 * request.
 */
const ofExpress: ReadonlySet<string> = new Set([
  'accepts',
  'acceptsCharsets',
  'acceptsEncodings',
  'acceptsLanguages',
  'app',
  'baseUrl',
  'body',
  'cookies',
  'fapi',
  'fresh',
  'get',
  'header',
  'host',
  'hostname',
  'ip',
  'ips',
  'is',
  'next',
  'originalUrl',
  'param',
  'params',
  'path',
  'protocol',
  'query',
  'range',
  'req',
  'res',
  'route',
  'secret',
  'secure',
  'session',
  'signedCookies',
  'stale',
  'subdomains',
  'xhr',
]);

/**
 * The name of the property of `req` or of `ctx.state` that has the `Authorization`. What is there
 * already has a meaning to other code, and `__proto__` would change what every property means.
 */
export const propertyName: OptionRule<string> = {
  accepted:
    'a name of up to 64 letters, digits, _ and $, no digit first, that no request of Node or ' +
    "Express has: 'mtls', for example",
  read: (given) =>
    typeof given === 'string' &&
    /^[A-Za-z_$][\w$]{0,63}$/.test(given) &&
    !ofExpress.has(given) &&
    !ofNode.some((request) => given in request)
      ? given
      : undefined,
};
