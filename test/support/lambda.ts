import { createRequire } from 'node:module';
import type { ResourceServerOptions } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import type { frameworks } from './apis.js';

const require = createRequire(import.meta.url);

/** What Lambda calls. */
export type Handler = (event: object, context: object) => Promise<LambdaAnswer>;

/** What a function gives back to API Gateway. */
export interface LambdaAnswer {
  readonly statusCode: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[]>>;
  readonly body: string;
}

/** The adapters that put an application behind API Gateway's events. */
export const serverlessHttp: (app: unknown) => Handler = require('serverless-http');
export const serverlessExpress: { (options: { app: unknown }): Handler; getCurrentInvoke(): unknown } =
  require('@codegenie/serverless-express');

/** An application that answers with the client id of an accepted request. */
export function guardedApp(framework: (typeof frameworks)[number], options: ResourceServerOptions): unknown {
  if (framework === 'Express') {
    const app = express();
    app.use(expressMtls.mtlsBound(options));
    app.use((req, res) => void res.json({ clientId: req.auth?.clientId }));
    return app;
  }
  const app = new Koa();
  app.use(koaMtls.mtlsBound(options));
  app.use((ctx) => {
    ctx.body = { clientId: ctx.state.auth.clientId };
  });
  return app;
}

const clientCert = (clientCertPem: unknown) => ({
  clientCertPem,
  subjectDN: 'www.example.com',
  issuerDN: 'Example issuer',
  serialNumber: 'a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1',
  validity: { notBefore: 'May 28 12:30:02 2019 GMT', notAfter: 'Aug  5 09:36:04 2021 GMT' },
});

/** The example event of an HTTP API (payload format 2.0) in AWS's developer guide, for this token and certificate. */
export const httpApiEvent = (token: string, pem: unknown): object => ({
  version: '2.0',
  routeKey: '$default',
  rawPath: '/my/path',
  rawQueryString: 'parameter1=value1&parameter1=value2&parameter2=value',
  cookies: ['cookie1=1', 'cookie2=2'],
  headers: { header1: 'value1', header2: 'value1,value2', authorization: `Bearer ${token}` },
  requestContext: {
    accountId: '123456789012',
    apiId: 'api-id',
    authentication: pem === undefined ? null : { clientCert: clientCert(pem) },
    domainName: 'id.execute-api.us-east-1.amazonaws.com',
    domainPrefix: 'id',
    http: {
      method: 'GET',
      path: '/my/path',
      protocol: 'HTTP/1.1',
      sourceIp: '192.0.2.1',
      userAgent: 'agent',
    },
    requestId: 'id',
    routeKey: '$default',
    stage: '$default',
    time: '12/Mar/2020:19:03:58 +0000',
    timeEpoch: 1583348638390,
  },
  isBase64Encoded: false,
});

/** The example event of a REST API (and of payload format 1.0) in AWS's developer guide. */
export const restApiEvent = (token: string, pem: unknown): object => ({
  version: '1.0',
  resource: '/my/path',
  path: '/my/path',
  httpMethod: 'GET',
  headers: { header1: 'value1', header2: 'value2', Authorization: `Bearer ${token}` },
  multiValueHeaders: {
    header1: ['value1'],
    header2: ['value1', 'value2'],
    Authorization: [`Bearer ${token}`],
  },
  queryStringParameters: { parameter1: 'value1', parameter2: 'value' },
  multiValueQueryStringParameters: { parameter1: ['value1', 'value2'], parameter2: ['value'] },
  requestContext: {
    accountId: '123456789012',
    apiId: 'id',
    domainName: 'id.execute-api.us-east-1.amazonaws.com',
    httpMethod: 'GET',
    identity: {
      sourceIp: '192.0.2.1',
      userAgent: 'user-agent',
      clientCert: pem === undefined ? null : clientCert(pem),
    },
    path: '/my/path',
    protocol: 'HTTP/1.1',
    requestId: 'id=',
    stage: '$default',
  },
  pathParameters: null,
  body: null,
  isBase64Encoded: false,
});

/**
 * The example event of an Application Load Balancer in AWS's developer guide, for this token and certificate, as mutual TLS
 * in passthrough mode adds the header. `form` is an attribute of the target group.
 */
export const albEvent = (token: string, pem: string, form: 'headers' | 'multiValueHeaders'): object => {
  const headers = {
    accept: 'text/html,application/xhtml+xml',
    'accept-language': 'en-US,en;q=0.8',
    host: 'lambda-846800462-us-east-2.elb.amazonaws.com',
    authorization: `Bearer ${token}`,
    'x-amzn-mtls-clientcert': albEncoded(pem),
    'x-amzn-trace-id': 'Root=1-5bdb40ca-556d8b0c50dc66f0511bf520',
    'x-forwarded-for': '72.21.198.66',
    'x-forwarded-port': '443',
    'x-forwarded-proto': 'https',
  };
  const several = Object.entries(headers).map(([name, value]) => [name, [value]]);
  return {
    requestContext: {
      elb: {
        targetGroupArn:
          'arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/lambda-279XGJDqGZ5rsrHC2Fjr/49e9d65c45c6791a',
      },
    },
    httpMethod: 'GET',
    path: '/',
    ...(form === 'headers'
      ? { queryStringParameters: {}, headers }
      : { multiValueQueryStringParameters: {}, multiValueHeaders: Object.fromEntries(several) }),
    body: '',
    isBase64Encoded: false,
  };
};

/** Percent-encoded but for `+`, `/` and `=`, as the load balancer writes a certificate. */
export const albEncoded = (pem: string): string =>
  encodeURIComponent(pem).replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=');
