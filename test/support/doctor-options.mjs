import { nginx, proxyHeader } from '@mtls-bound/core';

const secret = { header: 'x-proxy-secret', value: process.env.PROXY_SECRET };

export default { certificate: proxyHeader(nginx(), { trust: 'loopback', secret }) };
