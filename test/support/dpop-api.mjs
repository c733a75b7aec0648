// The resource server of an API with DPoP, from the built packages as users run them, without a socket: requests are
// objects as Node makes them. Its tokens are `<thumbprint of a key>.<anything>`; those of no key are not active.
import * as expressMtls from 'express-mtls';
import * as koaMtls from 'koa-mtls';

const issuer = 'https://as.example.com';
const jktLength = 43;

export function dpopApi(framework, dpop) {
  const { mtlsBound, nginx, proxyHeader, readTokenClaims, RequestRefused } =
    framework === 'Koa' ? koaMtls : expressMtls;
  const askAbout = async (token) => {
    if (token.indexOf('.') !== jktLength) {
      throw new RequestRefused('token_inactive');
    }
    const exp = Math.floor(Date.now() / 1000) + 3_600;
    return readTokenClaims({ aud: 'api', exp, cnf: { jkt: token.slice(0, jktLength) } }, issuer);
  };
  const { resourceServer } = mtlsBound({
    issuer,
    audience: 'api',
    certificate: proxyHeader(nginx(), { trust: 'loopback' }),
    tokens: () => askAbout,
    floodGuard: false,
    dpop: { origin: 'https://api.example.com', maxAge: 300, ...dpop },
  });
  const socket = { remoteAddress: '127.0.0.1', destroyed: false };

  /** `accepted`, or the code of the refusal. */
  async function send(token, proof) {
    const rawHeaders = ['Host', 'api.example.com', 'Authorization', `DPoP ${token}`, 'DPoP', proof];
    try {
      await resourceServer.authorize({ method: 'GET', url: '/', socket, headers: {}, rawHeaders });
      return 'accepted';
    } catch (refusal) {
      return refusal.code;
    }
  }
  return { send, close: () => resourceServer.close() };
}
