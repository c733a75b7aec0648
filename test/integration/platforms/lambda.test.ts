// Express and Koa behind API Gateway's events, by the adapters that are used for it.
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  awsAlb,
  type CertificateSource,
  lambdaEvent,
  nginx,
  proxyHeader,
  type RefusedEvent,
  type TrustedPeers,
  tlsSocket,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import {
  albEncoded,
  albEvent,
  guardedApp,
  type Handler,
  httpApiEvent,
  type LambdaAnswer,
  restApiEvent,
  serverlessExpress,
  serverlessHttp,
} from '../../support/lambda.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let kit: TestKit;
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  [pki, kit] = await Promise.all([createPki(), createTestKit()]);
});

type Framework = (typeof frameworks)[number];

/** Each as its page shows it. */
const adapters: Readonly<Record<string, (framework: Framework) => Handler>> = {
  'serverless-http': (framework) =>
    serverlessHttp(guardedApp(framework, { ...kit.options, certificate: lambdaEvent() })),
  '@codegenie/serverless-express': (framework) => {
    const events = new AsyncLocalStorage();
    const certificate = lambdaEvent({ event: () => events.getStore() });
    const handle = serverlessExpress({ app: guardedApp(framework, { ...kit.options, certificate }) });
    return (event, context) => events.run(event, () => handle(event, context));
  },
};
const events = { 'an HTTP API': httpApiEvent, 'a REST API': restApiEvent };

const cases = frameworks.flatMap((framework) =>
  Object.keys(adapters).flatMap((adapter) =>
    Object.entries(events).map(([api, eventOf]) => ({ framework, adapter, api, eventOf })),
  ),
);

const tokenOf = ({ thumbprint }: { thumbprint: string }, clientId = 'alice'): string =>
  kit.boundToken({ clientId, claims: { cnf: { 'x5t#S256': thumbprint } } });

const headerOf = ({ headers, multiValueHeaders }: LambdaAnswer, name: string): string | undefined =>
  headers?.[name] ?? multiValueHeaders?.[name]?.[0];

const last = () => refused.at(-1);

describe.each(cases)('$framework by $adapter behind $api', ({ framework, adapter, eventOf }) => {
  let handle: Handler;
  beforeAll(() => {
    handle = (adapters[adapter] as (typeof adapters)[string])(framework);
  });

  it('accepts a token with the certificate of the event', async () => {
    const answer = await handle(eventOf(tokenOf(pki.alice), pki.alice.cert), {});
    expect({ status: answer.statusCode, body: JSON.parse(answer.body) }).toEqual({
      status: 200,
      body: { clientId: 'alice' },
    });
  });

  it('refuses a stolen token with the certificate of another client', async () => {
    const answer = await handle(eventOf(tokenOf(pki.alice), pki.bob.cert), {});
    expect(answer.statusCode).toBe(401);
    expect(headerOf(answer, 'www-authenticate')).toContain('error="invalid_token"');
    expect(last()?.refusal.code).toBe('certificate_mismatch');
  });

  it('refuses a request whose event names no certificate, and says by which address it may have come', async () => {
    const answer = await handle(eventOf(tokenOf(pki.alice), undefined), {});
    expect({ status: answer.statusCode, code: last()?.refusal.code }).toEqual({
      status: 401,
      code: 'certificate_missing',
    });
    expect(last()?.explanation.hint).toContain('execute-api');
    expect(last()?.explanation.certificateFrom).toBe('the event of API Gateway');
  });

  it.each([['CERT_CONTENT'], [''], [7]])('refuses %j in place of the certificate', async (pem) => {
    const answer = await handle(eventOf(tokenOf(pki.alice), pem), {});
    expect({ status: answer.statusCode, code: last()?.refusal.code }).toEqual({
      status: 400,
      code: 'certificate_malformed',
    });
  });

  it('takes no event that the client wrote into a header', async () => {
    const event = eventOf(tokenOf(pki.alice), undefined) as { headers: Record<string, string> };
    const forged = encodeURIComponent(JSON.stringify(eventOf('', pki.alice.cert)));
    event.headers['x-apigateway-event'] = forged;
    const answer = await handle(event, {});
    expect({ status: answer.statusCode, code: last()?.refusal.code }).toEqual({
      status: 401,
      code: 'certificate_missing',
    });
  });

  it('keeps the events of two requests at a time apart', async () => {
    const [mine, stolen] = await Promise.all([
      handle(eventOf(tokenOf(pki.alice), pki.alice.cert), {}),
      handle(eventOf(tokenOf(pki.alice), pki.bob.cert), {}),
      handle(eventOf(tokenOf(pki.bob), pki.alice.cert), {}),
    ]);
    expect([mine.statusCode, stolen.statusCode]).toEqual([200, 401]);
  });
});

describe.each(frameworks)('%s by serverless-http', (framework) => {
  it('refuses two Authorization lines, of which the adapter keeps one', async () => {
    const handle = serverlessHttp(guardedApp(framework, { ...kit.options, certificate: lambdaEvent() }));
    const event = restApiEvent(tokenOf(pki.alice), pki.alice.cert) as {
      multiValueHeaders: Record<string, string[]>;
    };
    event.multiValueHeaders.Authorization?.push('Bearer another');
    const { statusCode } = await handle(event, {});
    expect({ statusCode, code: last()?.refusal.code }).toEqual({
      statusCode: 400,
      code: 'credentials_repeated',
    });
  });

  it('refuses an event with two certificates', async () => {
    const handle = serverlessHttp(guardedApp(framework, { ...kit.options, certificate: lambdaEvent() }));
    const event = httpApiEvent(tokenOf(pki.alice), pki.alice.cert) as {
      requestContext: Record<string, unknown>;
    };
    event.requestContext.identity = { clientCert: { clientCertPem: pki.bob.cert } };
    const { statusCode } = await handle(event, {});
    expect({ statusCode, code: last()?.refusal.code }).toEqual({
      statusCode: 400,
      code: 'certificate_malformed',
    });
  });
});

describe.each(frameworks)('%s by @codegenie/serverless-express behind a load balancer', (framework) => {
  const current = new AsyncLocalStorage();
  const start = (trust: TrustedPeers): Handler => {
    const certificate = proxyHeader(awsAlb(), { trust });
    const handle = serverlessExpress({ app: guardedApp(framework, { ...kit.options, certificate }) });
    return (event, context) => current.run(event, () => handle(event, context));
  };
  /** As its page shows it. */
  const fromLoadBalancer = () => Object(current.getStore()).requestContext?.elb !== undefined;
  /** Events of API Gateway in which a client sends the load balancer's header with the certificate of another one. */
  const gatewayEvents = () =>
    [httpApiEvent, restApiEvent].map((eventOf) => {
      const event = eventOf(tokenOf(pki.alice), pki.bob.cert) as Record<
        'headers' | 'multiValueHeaders',
        Record<string, unknown> | undefined
      >;
      const value = albEncoded(pki.alice.cert);
      Object.assign(event.headers ?? {}, { 'x-amzn-mtls-clientcert': value });
      Object.assign(event.multiValueHeaders ?? {}, { 'x-amzn-mtls-clientcert': [value] });
      return event;
    });

  it.each(['headers', 'multiValueHeaders'] as const)(
    'accepts a token with the certificate in %s of the event, and no stolen one',
    async (form) => {
      const handle = start(fromLoadBalancer);
      const answer = await handle(albEvent(tokenOf(pki.alice), pki.alice.cert, form), {});
      expect({ status: answer.statusCode, body: JSON.parse(answer.body) }).toEqual({
        status: 200,
        body: { clientId: 'alice' },
      });
      const stolen = await handle(albEvent(tokenOf(pki.alice), pki.bob.cert, form), {});
      expect([stolen.statusCode, last()?.refusal.code]).toEqual([401, 'certificate_mismatch']);
    },
  );

  it('believes no event of API Gateway that has the header', async () => {
    const handle = start(fromLoadBalancer);
    for (const event of gatewayEvents()) {
      const { statusCode } = await handle(event, {});
      expect([statusCode, last()?.refusal.code]).toEqual([401, 'certificate_missing']);
    }
  });

  it('an event of a load balancer has no address that a range could name', async () => {
    const handle = start(['10.0.0.0/8', 'loopback', 'uniquelocal', 'linklocal', 'unix']);
    const { statusCode } = await handle(albEvent(tokenOf(pki.alice), pki.alice.cert, 'headers'), {});
    expect([statusCode, last()?.refusal.code]).toEqual([401, 'certificate_missing']);
  });

  it('an event of API Gateway has the address of the client, so a range would believe clients', async () => {
    const handle = start(['192.0.2.0/24']);
    for (const event of gatewayEvents()) {
      expect((await handle(event, {})).statusCode).toBe(200);
    }
  });
});

describe.each(frameworks)('%s by serverless-http, with another source than lambdaEvent()', (framework) => {
  const send = (certificate: CertificateSource) =>
    serverlessHttp(guardedApp(framework, { ...kit.options, certificate }))(
      httpApiEvent(kit.boundToken(), undefined),
      {},
    );

  it.each([
    ['tlsSocket()', () => tlsSocket(), 'no connection of a Node server'],
    ['proxyHeader()', () => proxyHeader(nginx(), { trust: () => true }), 'it has headers, but no rawHeaders'],
  ])('%s: 503 whose cause names the option that fits', async (_name, source, cause) => {
    expect((await send(source())).statusCode).toBe(503);
    expect(last()?.refusal.code).toBe('internal_error');
    expect(last()?.refusal.detail).toContain(cause);
    expect(last()?.refusal.detail).toContain('lambdaEvent()');
  });

  it('a request whose certificate a function of the user gives is answered with 200', async () => {
    expect((await send(() => kit.certificate)).statusCode).toBe(200);
  });
});

describe('lambdaEvent()', () => {
  const read = (req: object) => lambdaEvent()(req as never);
  const requestContext = { authentication: { clientCert: { clientCertPem: '' } } };

  it.each([
    ['nothing', {}],
    [
      'an event that a middleware parsed from a header',
      { apiGateway: { event: { requestContext } }, requestContext: { ...requestContext } },
    ],
    ['an event without the context of the request', { apiGateway: { event: { requestContext } } }],
    ['an inherited event', Object.create({ apiGateway: { event: { requestContext } }, requestContext })],
  ])('takes %s for no event, which is trouble of the operator', (_what, req) => {
    expect(() => read(req)).toThrow('lambdaEvent() found no event of API Gateway');
  });

  it('takes no promise for an event', () => {
    const source = lambdaEvent({ event: async () => ({ requestContext }) });
    expect(() => source({} as never)).toThrow('lambdaEvent().event returned a promise');
  });

  it('says that API Gateway verified the certificate, and reads the same text once', async () => {
    const source = lambdaEvent({
      event: () => ({ requestContext: { identity: { clientCert: { clientCertPem: pki.alice.cert } } } }),
    });
    const certificate = source({} as never);
    expect(certificate).toMatchObject({ thumbprint: pki.alice.thumbprint, verified: true });
    expect(source({} as never)).toBe(certificate);
  });
});
