import { headerName, type OptionRule } from '../shared/option-rules.js';

/**
 * Headers that HTTP, browsers or proxies give a meaning of their own. A client sends them for that
 * meaning, so a proxy can't use one for the certificate, its verdict or the shared secret.
 */
const taken: ReadonlySet<string> = new Set([
  ...['accept', 'accept-charset', 'accept-encoding', 'accept-language', 'authorization', 'cache-control'],
  ...['connection', 'content-encoding', 'content-length', 'content-type', 'cookie', 'date', 'dpop', 'expect'],
  ...['forwarded', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range'],
  ...['if-unmodified-since', 'keep-alive', 'max-forwards', 'origin', 'pragma', 'proxy-authorization'],
  ...['proxy-connection', 'range', 'referer', 'set-cookie', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['user-agent', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip'],
]);

/** The name of a header that a proxy sets for the API alone, given back in lower case. */
export const proxyHeaderName: OptionRule<string> = {
  accepted: `${headerName.accepted}, other than Authorization, Cookie, Host and those that HTTP itself uses`,
  read: (given) => {
    const name = headerName.read(given);
    return name === undefined || taken.has(name) ? undefined : name;
  },
};
