// certificatePolicy.revocationCheck: what becomes of a request whose certificate is revoked, or of unknown status.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import {
  type CertificatePolicyOptions,
  nginx,
  type ProblemEvent,
  proxyHeader,
  type RefusedEvent,
  type RevocationEvent,
} from '@mtls-bound/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework, frameworks, mutualTls, serve } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { type Issued, OpensslAuthority } from '../../support/openssl-authority.js';
import type { Identity } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reports = recordedEvents<RefusedEvent>('mtls-bound:reported');
const revocations = recordedEvents<RevocationEvent>('mtls-bound:revocation');
const { pki, server } = await useFaultyServer();

const day = 86_400_000;
const sources = ['TLS', 'a proxy'] as const;
const modes = ['strict', 'tolerant'] as const;
type Source = (typeof sources)[number];
type Method = 'crl' | 'ocsp';
type Outcome = 'good' | 'revoked' | 'unknown';

describeReal('openssl', 'certificates with lists and a responder of openssl', () => {
  let http: Server;
  let origin: string;
  let root: OpensslAuthority;
  let authority: OpensslAuthority;
  let revokedAuthority: OpensslAuthority;
  let stranger: OpensslAuthority;
  let good: Issued;
  let revoked: Issued;
  let belowRevoked: Issued;
  let rolled: Record<
    'new' | 'forLists' | 'noListUsage' | 'noUsage' | 'noStatus' | 'revoked' | 'foreign',
    Issued
  >;
  let lists: Record<string, Buffer>;
  let respond: (request: Buffer, res: ServerResponse, asked: OpensslAuthority) => void;

  beforeAll(async () => {
    http = createHttpServer(async (req, res) => {
      const body = Buffer.concat(await req.toArray());
      if (req.url?.startsWith('/ocsp/')) {
        respond(body, res, req.url === '/ocsp/root' ? root : authority);
      } else {
        const list = lists[req.url ?? ''];
        res.writeHead(list === undefined ? 404 : 200).end(list);
      }
    });
    origin = `http://127.0.0.1:${await listen(http)}`;
    const pointedAt = (name: string) => [
      `crlDistributionPoints=URI:${origin}/${name}.crl`,
      `authorityInfoAccess=OCSP;URI:${origin}/ocsp/${name}`,
    ];
    root = new OpensslAuthority('root');
    authority = new OpensslAuthority('authority', root, pointedAt('root'));
    revokedAuthority = new OpensslAuthority('revoked authority', root, pointedAt('root'));
    stranger = new OpensslAuthority('authority');
    good = authority.issue('good', { extensions: pointedAt('authority') });
    revoked = authority.issue('revoked', { extensions: pointedAt('authority') });
    belowRevoked = revokedAuthority.issue('below', { extensions: pointedAt('below') });
    authority.revoke(revoked);
    // Other certificates of the authority: its name, and another key.
    const ofAuthority = ['basicConstraints=critical,CA:true', ...pointedAt('root')];
    const usage = (value: string) => [...ofAuthority, `keyUsage=critical,${value}`];
    const issueRolled = (issuer: OpensslAuthority, extensions: readonly string[]) =>
      issuer.issue('authority', { extensions });
    rolled = {
      new: issueRolled(root, usage('keyCertSign,cRLSign')),
      forLists: issueRolled(root, usage('cRLSign')),
      noListUsage: issueRolled(root, usage('keyCertSign')),
      noUsage: issueRolled(root, ofAuthority),
      noStatus: issueRolled(root, ['basicConstraints=critical,CA:true', 'keyUsage=critical,cRLSign']),
      revoked: issueRolled(root, usage('cRLSign')),
      foreign: issueRolled(new OpensslAuthority('root'), usage('cRLSign')),
    };
    root.revoke(rolled.revoked);
    const { serialNumber } = revokedAuthority.certificate;
    root.revoke({ ...good, serial: serialNumber.toUpperCase() });
  });

  afterAll(async () => {
    http.closeAllConnections();
    await close(http);
    OpensslAuthority.removeAll();
  });

  beforeEach(() => {
    lists = {
      '/root.crl': root.list(),
      '/authority.crl': authority.list(),
      '/below.crl': revokedAuthority.list(),
    };
    respond = (request, res, asked) => void res.end(asked.answer(request));
  });

  const slow = (res: ServerResponse) => void setTimeout(() => res.end(), 30_000).unref();
  const endless = (res: ServerResponse) => {
    const chunk = Buffer.alloc(65_536);
    const write = () => {
      while (!res.destroyed && res.write(chunk)) {
        // More and more.
      }
    };
    res.on('drain', write).on('error', () => undefined);
    write();
  };

  interface Case {
    readonly by: Method;
    readonly leaf?: () => Issued;
    /** Another certificate of the authority, which signs its list. */
    readonly signer?: () => Issued;
    /** Whether `intermediates` has the signer. Default `true`. */
    readonly isConfigured?: boolean;
    /** Done before the requests. */
    readonly prepare?: () => void;
    readonly outcome: Outcome;
  }
  const cases: readonly (readonly [string, Case])[] = [
    ['a good certificate', { by: 'crl', outcome: 'good' }],
    ['a good certificate', { by: 'ocsp', outcome: 'good' }],
    ['a revoked certificate', { by: 'crl', leaf: () => revoked, outcome: 'revoked' }],
    ['a revoked certificate', { by: 'ocsp', leaf: () => revoked, outcome: 'revoked' }],
    ['a revoked intermediate', { by: 'crl', leaf: () => belowRevoked, outcome: 'revoked' }],
    [
      'an expired list',
      {
        by: 'crl',
        prepare: () => {
          lists['/authority.crl'] = authority.list(60);
          vi.setSystemTime(Date.now() + day / 24);
        },
        outcome: 'unknown',
      },
    ],
    [
      'a list by another issuer',
      {
        by: 'crl',
        prepare: () => {
          lists['/authority.crl'] = root.list();
        },
        outcome: 'unknown',
      },
    ],
    [
      'a list by another issuer of the same name',
      {
        by: 'crl',
        prepare: () => {
          lists['/authority.crl'] = stranger.list();
        },
        outcome: 'unknown',
      },
    ],
    // It may be about the certificates of that key alone.
    [
      'a list by another key that signs certificates',
      { by: 'crl', signer: () => rolled.new, outcome: 'unknown' },
    ],
    ['a list by a key for lists alone', { by: 'crl', signer: () => rolled.forLists, outcome: 'good' }],
    [
      'a list by a key for lists alone that revokes',
      { by: 'crl', leaf: () => revoked, signer: () => rolled.forLists, outcome: 'revoked' },
    ],
    [
      'a list by a key for lists alone that is not configured',
      { by: 'crl', signer: () => rolled.forLists, isConfigured: false, outcome: 'unknown' },
    ],
    [
      'a list by a key for lists alone that is revoked',
      { by: 'crl', signer: () => rolled.revoked, outcome: 'unknown' },
    ],
    [
      'a list by a key for lists alone of unknown status',
      { by: 'crl', signer: () => rolled.noStatus, outcome: 'unknown' },
    ],
    [
      'a list by a key that may not sign lists',
      { by: 'crl', signer: () => rolled.noListUsage, outcome: 'unknown' },
    ],
    ['a list by a key without key usage', { by: 'crl', signer: () => rolled.noUsage, outcome: 'unknown' }],
    [
      'a list by a key below another root of the same name',
      { by: 'crl', signer: () => rolled.foreign, outcome: 'unknown' },
    ],
    [
      'no list',
      {
        by: 'crl',
        prepare: () => {
          delete lists['/authority.crl'];
        },
        outcome: 'unknown',
      },
    ],
    [
      'a forged answer',
      {
        by: 'ocsp',
        prepare: () => {
          respond = (request, res, asked) => void res.end(asked.answer(request, good));
        },
        outcome: 'unknown',
      },
    ],
    [
      'an answer of yesterday',
      {
        by: 'ocsp',
        prepare: () => {
          respond = (request, res, asked) => {
            const kept = asked.answer(request);
            vi.setSystemTime(Date.now() + day);
            res.end(kept);
          };
        },
        outcome: 'unknown',
      },
    ],
    [
      'a responder that is down',
      {
        by: 'ocsp',
        prepare: () => {
          respond = (_, res) => void res.destroy();
        },
        outcome: 'unknown',
      },
    ],
    [
      'a slow responder',
      {
        by: 'ocsp',
        prepare: () => {
          respond = (_, res) => slow(res);
        },
        outcome: 'unknown',
      },
    ],
    [
      'a responder that sends without end',
      {
        by: 'ocsp',
        prepare: () => {
          respond = (_, res) => endless(res);
        },
        outcome: 'unknown',
      },
    ],
  ];

  async function startApi(
    framework: Framework,
    source: Source,
    certificatePolicy: CertificatePolicyOptions,
    binding: 'required' | 'report' = 'required',
  ) {
    const { listener, resourceServer } = createApi(framework, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 's',
      audience,
      http: { ca: pki.ca.cert },
      ...(source !== 'TLS' && { certificate: proxyHeader(nginx(), { trust: 'loopback' }) }),
      certificatePolicy,
      binding,
    });
    const api = await serve(createServer(mutualTls(pki), listener), () => 0);
    return {
      url: api.url,
      async close() {
        await resourceServer.close();
        await api.close();
      },
    };
  }

  const pemOf = ({ certificate: { x509 } }: { certificate: Issued['certificate'] }) => x509.toString();
  const policyOf = (
    by: Method,
    mode: 'strict' | 'tolerant',
    more = {},
    between: readonly Issued[] = [],
  ): CertificatePolicyOptions => ({
    authorities: pemOf(root),
    intermediates: [authority, revokedAuthority, ...between].map(pemOf),
    revocationCheck: { by, mode, origins: origin, timeout: 0.5, ...more },
  });

  async function ask(api: { url: string }, source: Source, leaf: Issued): Promise<number> {
    const { thumbprint } = leaf.certificate;
    server.introspection = answer(
      200,
      goodClaims(server.issuer, thumbprint, { exp: Math.floor(Date.now() / 1000) + 10 * 86_400 }),
    );
    const identity = { cert: pemOf(leaf), key: readFileSync(leaf.keyFile, 'utf8') } as Identity;
    const request = call(pki, api as never, '/', source === 'TLS' ? identity : undefined).auth(
      `token-${thumbprint}`,
      { type: 'bearer' },
    );
    if (source !== 'TLS') {
      request.set('x-ssl-client-cert', encodeURIComponent(identity.cert));
    }
    return (await request).status;
  }

  const statusOf = { good: 200, revoked: 403, unknown: 503 } as const;

  describe.each(frameworks)('%s', (framework) => {
    describe.each(sources)('%s', (source) => {
      describe.each(modes)('%s', (mode) => {
        it.each(cases)('%s (%o)', async (_, row) => {
          const { by, leaf = () => good, signer, isConfigured = true, prepare, outcome } = row;
          vi.useFakeTimers({ toFake: ['Date'] });
          prepare?.();
          const signedBy = signer?.();
          if (signedBy !== undefined) {
            lists['/authority.crl'] = authority.list(3_600, [], signedBy);
          }
          const between = isConfigured && signedBy !== undefined ? [signedBy] : [];
          const api = await startApi(framework, source, policyOf(by, mode, {}, between));
          try {
            const expected = outcome === 'unknown' && mode === 'tolerant' ? 200 : statusOf[outcome];
            expect(await ask(api, source, leaf())).toBe(expected);
            expect(await ask(api, source, leaf())).toBe(expected);
          } finally {
            vi.useRealTimers();
            await api.close();
          }
          const unknown = problems.filter(({ code }) =>
            ['certificate_status_unknown', 'certificate_status_missing'].includes(code),
          );
          expect(unknown.length > 0).toBe(outcome === 'unknown');
          if (outcome === 'revoked') {
            expect(refusals[0]?.refusal).toMatchObject({
              code: 'certificate_refused',
              detail: expect.stringContaining('is revoked'),
            });
            // Its tokens end in every process, once.
            expect(revocations).toEqual([{ kind: 'thumbprint', from: 'certificate' }]);
          }
        });
      });
    });
  });

  it.each(frameworks)(
    '%s: in report mode a revoked certificate is reported, and ends no token',
    async (framework) => {
      const api = await startApi(framework, 'TLS', policyOf('crl', 'strict'), 'report');
      try {
        expect(await ask(api, 'TLS', revoked)).toBe(200);
        expect(await ask(api, 'TLS', revoked)).toBe(200);
        expect(revocations).toEqual([]);
        expect(reports.map(({ refusal }) => refusal.code)).toEqual([
          'certificate_refused',
          'certificate_refused',
        ]);
      } finally {
        await api.close();
      }
    },
  );

  it('refuses a known certificate once a new list revokes it, in each framework and from each source', async () => {
    const leaf = authority.issue('later', {
      extensions: [`crlDistributionPoints=URI:${origin}/authority.crl`],
    });
    lists['/authority.crl'] = authority.list();
    const policy = policyOf('crl', 'strict', { refreshInterval: 10 });
    const started = await Promise.all(
      frameworks.flatMap((framework) =>
        sources.map(async (source) => {
          const api = await startApi(framework, source, policy);
          return { ask: () => ask(api, source, leaf), close: api.close };
        }),
      ),
    );
    const statuses = () => Promise.all(started.map((one) => one.ask()));
    try {
      expect(new Set(await statuses())).toEqual(new Set([200]));
      authority.revoke(leaf);
      lists['/authority.crl'] = authority.list();
      await vi.waitFor(async () => expect(new Set(await statuses())).toEqual(new Set([403])), {
        timeout: 20_000,
        interval: 500,
      });
    } finally {
      await Promise.all(started.map((one) => one.close()));
    }
  }, 30_000);
});

it.each<[string, CertificatePolicyOptions, RegExp]>([
  [
    'revocation without authorities',
    { revocationCheck: { by: 'crl' } },
    /certificatePolicy\.revocationCheck.*authorities/,
  ],
  [
    'an unknown method',
    { authorities: pki.ca.cert, revocationCheck: { by: 'both' as never } },
    /certificatePolicy\.revocationCheck\.by/,
  ],
  [
    'a list that is missing',
    { authorities: pki.ca.cert, revocationCheck: { by: 'crl', crlFiles: 'missing.crl' as never } },
    /crlFiles/,
  ],
])('refuses %s at start-up', (_, certificatePolicy, message) => {
  expect(() =>
    createApi('Express', {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 's',
      audience,
      certificatePolicy,
    }),
  ).toThrow(message);
});
