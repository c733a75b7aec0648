// The options of the API. server.mjs passes them to mtlsBound(), and `mtls-doctor --config options.mjs` reads them.
// The issuer, the audience and the credentials come from the environment.
import { nginx, proxyHeader } from 'express-mtls'; // or 'koa-mtls'

export default {
  certificate: proxyHeader(nginx(), {
    trust: ['127.0.0.1'], // the address that NGINX connects from
    secret: { header: 'x-proxy-secret', value: process.env.PROXY_SECRET }, // as in nginx.conf
  }),
};
