// Which event of a Lambda function proves a certificate, and which is refused rather than guessed at.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { lambdaEvent, type RequestRefused } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it } from 'vitest';

const kit = await createTestKit();
const pemOf = ({ der }: { der: Uint8Array | undefined }): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der as Uint8Array).toString('base64')}\n-----END CERTIFICATE-----\n`;
const pem = pemOf(kit.certificate);
const place = (clientCertPem: unknown) => ({ clientCert: { clientCertPem } });
const http = (clientCertPem: unknown) => ({ requestContext: { authentication: place(clientCertPem) } });
const rest = (clientCertPem: unknown) => ({ requestContext: { identity: place(clientCertPem) } });
const read = (event: unknown) => lambdaEvent({ event: () => event })({} as never);

function refusalOf(event: unknown): Pick<RequestRefused, 'code' | 'detail'> | undefined {
  try {
    read(event);
    return undefined;
  } catch (thrown) {
    const { code, detail } = thrown as RequestRefused;
    return { code, detail };
  }
}

describe('lambdaEvent()', () => {
  it.each([
    ['an HTTP API', http(pem)],
    ['a REST API', rest(pem)],
    [
      'a REST API whose other place is null',
      { requestContext: { ...rest(pem).requestContext, authentication: null } },
    ],
    ['an HTTP API that sends its chain', http(pem + pemOf(kit.otherCertificate))],
  ])('reads the first certificate of the event of %s, as one that API Gateway verified', (_title, event) => {
    expect(read(event)).toMatchObject({ thumbprint: kit.certificate.thumbprint, verified: true });
  });

  it('keeps what follows the first certificate as its chain', () => {
    const certificate = read(http(pem + pemOf(kit.otherCertificate)));
    expect(certificate?.intermediates?.map((der) => Buffer.from(der))).toEqual([
      Buffer.from(kit.otherCertificate.der as Uint8Array),
    ]);
  });

  it.each([
    ['no place for it', { requestContext: {} }],
    ['null in both places', { requestContext: { authentication: { clientCert: null }, identity: null } }],
    ['a text as its place', { requestContext: { authentication: 'x', identity: { clientCert: undefined } } }],
    ['an inherited place', { requestContext: Object.create(http(pem).requestContext) }],
  ])('returns no certificate for an event with %s', (_title, event) => {
    expect(read(event)).toBeUndefined();
  });

  it.each([
    [
      'in both places',
      { requestContext: { ...http(pem).requestContext, ...rest(pem).requestContext } },
      'expected one text',
    ],
    ['that is no text', http(1), 'expected one text'],
    ['that is empty', rest(''), 'expected one text'],
    [
      'that is missing in its place',
      { requestContext: { identity: { clientCert: {} } } },
      'expected one text',
    ],
    [
      'that is inherited',
      { requestContext: { identity: { clientCert: Object.create({ clientCertPem: pem }) } } },
      'expected one text',
    ],
    ['of 65,537 characters', http(pem.padEnd(65_537, '\n')), 'it is too long'],
    ['that is no PEM', http('x'), ''],
  ])('refuses a certificate %s', (_title, event, why) => {
    const refusal = refusalOf(event);
    expect(refusal?.code).toBe('certificate_malformed');
    expect(refusal?.detail).toContain(`clientCertPem of the Lambda event: ${why}`);
  });

  it('reports a malformed certificate as a problem, without its text', () => {
    const problems: unknown[] = [];
    const listen = (problem: unknown): void => void problems.push(problem);
    subscribe('mtls-bound:problem', listen);
    try {
      refusalOf(http(['secret']));
    } finally {
      unsubscribe('mtls-bound:problem', listen);
    }
    expect(problems).toEqual([
      expect.objectContaining({
        code: 'certificate_malformed',
        message: 'clientCertPem of the Lambda event: expected one text',
      }),
    ]);
  });

  it.each([
    undefined,
    null,
    'x',
    {},
    { requestContext: null },
    { requestContext: 'x' },
    Object.create(http(pem)),
  ])('takes %j for no event, which is trouble of the operator', (event) => {
    expect(() => read(event)).toThrow(
      'lambdaEvent() found no event of API Gateway for the request: expected a request that serverless-http ' +
        'made, or lambdaEvent({ event }) with a function that returns the event',
    );
  });

  it('takes no promise for an event', () => {
    expect(() => read(Promise.resolve(http(pem)))).toThrow(
      'lambdaEvent().event returned a promise; it must return the event',
    );
  });

  it('calls the function with the request', () => {
    const req = { event: http(pem) };
    const source = lambdaEvent({ event: (given) => (given as unknown as typeof req).event });
    expect(source(req as never)).toMatchObject({ thumbprint: kit.certificate.thumbprint });
  });

  it('reads one text once, and reads each other text', () => {
    let event = http(pem);
    const source = lambdaEvent({ event: () => event });
    const first = source({} as never);
    expect(source({} as never)).toBe(first);
    event = http(pemOf(kit.otherCertificate));
    expect(source({} as never)).toMatchObject({ thumbprint: kit.otherCertificate.thumbprint });
  });

  it.each([
    [['Bearer a', 'Bearer b'], true],
    [['Bearer a'], false],
  ])('of the credentials %j in the lines of a REST API several are refused: %s', (lines, isRefused) => {
    const refusal = refusalOf({
      ...rest(pem),
      multiValueHeaders: { AUTHORIZATION: lines, Accept: ['a', 'b'] },
    });
    expect(refusal?.code).toBe(isRefused ? 'credentials_repeated' : undefined);
  });

  it('refuses credentials under two spellings of the header', () => {
    const multiValueHeaders = { Authorization: ['Bearer a'], authorization: ['Bearer b'] };
    expect(refusalOf({ ...http(pem), multiValueHeaders })?.code).toBe('credentials_repeated');
  });

  const { requestContext } = http(pem);
  const event = { requestContext };

  it('reads the event that serverless-http put on the request, where no function is given', () => {
    const req = { apiGateway: { event }, requestContext };
    expect(lambdaEvent()(req as never)).toMatchObject({ thumbprint: kit.certificate.thumbprint });
  });

  it.each<[string, object]>([
    ['an event without the context of the request', { apiGateway: { event } }],
    [
      'an event whose context is another object',
      { apiGateway: { event }, requestContext: { ...requestContext } },
    ],
    ['a context without an event', { requestContext }],
    ['an inherited event', Object.create({ apiGateway: { event }, requestContext })],
  ])('takes %s for no event of serverless-http', (_title, req) => {
    expect(() => lambdaEvent()(req as never)).toThrow('lambdaEvent() found no event of API Gateway');
  });

  it('says what it knows of certificates, and cannot be changed', () => {
    const source = lambdaEvent();
    expect(source).toSatisfy(Object.isFrozen);
    expect({ ...source }).toMatchObject({
      description: 'the event of API Gateway',
      fromConnection: false,
      knowsVerified: true,
    });
    expect(source.explainMissing?.({} as never)).toMatchObject({
      code: 'no_certificate',
      text: expect.stringContaining('by an address without mutual TLS'),
    });
  });

  it.each([
    [{ event: {} }, 'lambdaEvent().event'],
    [{ other: 1 }, 'lambdaEvent()'],
  ])('refuses the options %j at start-up', (options, path) => {
    expect(() => lambdaEvent(options as never)).toThrow(`${path}: expected `);
  });
});
