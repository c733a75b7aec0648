// auth.signal of a request whose certificate is revoked later: it fires without another request of the client.
import { EventEmitter } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Authorization,
  ClientCertificate,
  createResourceServer,
  type NodeRequest,
  type RequestRefused,
  type ResourceServer,
} from '@mtls-bound/core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';
import {
  hour,
  reason,
  withFiles,
  writeAuthority,
  writeCertificate,
  writeList,
} from '../../support/written-status.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'], now: Date.now() });
});
afterEach(() => void vi.useRealTimers());

const root = writeAuthority();
const clients = new Map(
  [7, 8].map((serial) => {
    const { certificate } = writeCertificate({ issuer: root, serial: [serial] });
    return [`token-${serial}`, new ClientCertificate(certificate.der)];
  }),
);

/** Lets time pass, and what is read meanwhile arrive. */
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    await sleep(2);
  }
}

/** Lets time pass until the signal fires: a loaded machine may take long to read a list. */
async function passUntilAborted(signal: AbortSignal): Promise<void> {
  for (let turn = 0; turn < 500 && !signal.aborted; turn += 1) {
    await pass(1);
  }
}

interface World {
  readonly resourceServer: ResourceServer;
  /** Publishes a list with these serial numbers. */
  readonly publish: (...serials: number[]) => void;
  /** A request that stays open, and its signal. */
  readonly open: (token: string) => Promise<{ signal: AbortSignal; close: () => void }>;
}

async function withServer(binding: 'required' | 'report', use: (world: World) => Promise<void>) {
  let count = 0;
  const listOf = (...serials: number[]) => {
    count += 1;
    return writeList(root, {
      revoked: serials.map((serial) => [serial]),
      entryExtensions: [reason(6)],
      thisUpdate: Date.now() - hour + 1_000 * count,
      nextUpdate: Date.now() + 24 * hour,
    });
  };
  await withFiles([listOf()], async ([path = '']) => {
    const tokenOf = ({ headers }: NodeRequest) => String(headers.authorization).replace('Bearer ', '');
    const server = pretendServer((token) =>
      boundClaims(clients.get(token) as ClientCertificate, { exp: Math.floor(Date.now() / 1_000) + 36_000 }),
    );
    const resourceServer = createResourceServer(
      optionsOver(server, undefined, {
        binding,
        certificate: (req) => clients.get(tokenOf(req)),
        certificatePolicy: {
          authorities: root.certificate.x509.toString(),
          revocationCheck: { by: 'crl', crlFiles: path, refreshInterval: 10 },
        },
      }),
    );
    const open = async (token: string) => {
      const socket = Object.assign(new EventEmitter(), { remoteAddress: '127.0.0.1', destroyed: false });
      const close = () => {
        socket.destroyed = true;
        socket.emit('close');
      };
      const authorization = await resourceServer.authorize(requestWith(token, {}, socket));
      return { signal: (authorization as Authorization).signal, close };
    };
    const publish = (...serials: number[]) => writeFileSync(path, listOf(...serials));
    try {
      await use({ resourceServer, publish, open });
    } finally {
      await resourceServer.close();
    }
  });
}

const reasonOf = ({ reason: thrown }: AbortSignal) => (thrown as RequestRefused | undefined)?.code;

it('fires once a new list revokes it, and that of another client does not', async () => {
  await withServer('required', async ({ open, publish }) => {
    const [one, other] = await Promise.all([open('token-7'), open('token-8')]);
    await pass(60);
    expect(one.signal.aborted).toBe(false);
    publish(7);
    await passUntilAborted(one.signal);
    expect(reasonOf(one.signal)).toBe('token_inactive');
    expect(other.signal.aborted).toBe(false);
  });
});

it('fires again for a certificate that was released, and is revoked again', async () => {
  await withServer('required', async ({ open, publish }) => {
    const first = await open('token-7');
    publish(7);
    await passUntilAborted(first.signal);
    expect(first.signal.aborted).toBe(true);
    publish();
    let second: Awaited<ReturnType<typeof open>> | undefined;
    for (let turn = 0; turn < 500 && second === undefined; turn += 1) {
      await pass(1);
      second = await open('token-7').catch(() => undefined);
    }
    const { signal } = second as { signal: AbortSignal };
    expect(signal.aborted).toBe(false);
    publish(7);
    await passUntilAborted(signal);
    expect(reasonOf(signal)).toBe('token_inactive');
  });
});

it('stays silent with binding: report, which ends no token', async () => {
  await withServer('report', async ({ open, publish }) => {
    const { signal } = await open('token-7');
    publish(7);
    await pass(30);
    expect(signal.aborted).toBe(false);
  });
});

it('stays silent once the request has ended, and leaves no timer', async () => {
  await withServer('required', async ({ open, publish }) => {
    const before = vi.getTimerCount();
    const { signal, close } = await open('token-7');
    expect(vi.getTimerCount()).toBeGreaterThan(before);
    close();
    expect(vi.getTimerCount()).toBe(before);
    publish(7);
    await pass(30);
    expect(signal.aborted).toBe(false);
  });
});
