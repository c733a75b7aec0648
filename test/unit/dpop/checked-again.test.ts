// A request may pass several middlewares of one resource server: its proof counts once.
import type { Authorization, NodeRequest, RefusedEvent, ResourceServerOptions } from '@mtls-bound/core';
import { createResourceServer, observeEvents } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it, vi } from 'vitest';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();
const client = dpopClient();
const newToken = (): string => kit.boundToken({ claims: { cnf: { jkt: client.jkt } } });

describe('a request that is checked again', () => {
  const start = (more: ResourceServerOptions = {}) =>
    createResourceServer({ ...kit.options, dpop: { origin: proofOrigin }, ...more });

  type Shown = { method: string; url: string; headers: object; rawHeaders: string[] };
  function requestWith(token: string): Shown & NodeRequest {
    const rawHeaders = ['Host', 'a', 'Authorization', `DPoP ${token}`, 'DPoP', client.proof(token)];
    return { method: 'GET', url: '/', headers: {}, rawHeaders } as never;
  }

  it('keeps its proof if it is unchanged, and only then', async () => {
    const server = start();
    const req = requestWith(newToken());
    await server.authorize(req);
    await expect((async () => server.authorize(req))()).resolves.toMatchObject({ keyThumbprint: client.jkt });
  });

  it.each<[string, (req: Shown) => void]>([
    // Its path, and with it the URL of the proof, stays the same.
    ['its query', (req) => Object.assign(req, { url: '/?a' })],
    [
      'its list of headers, as that of a further request',
      (req) => Object.assign(req, { rawHeaders: [...req.rawHeaders] }),
    ],
  ])('is refused as replayed if %s is another', async (_, change) => {
    const server = start();
    const req = requestWith(newToken());
    await server.authorize(req);
    change(req);
    await expect((async () => server.authorize(req))()).rejects.toThrow('dpop_proof_replayed');
  });

  it('is refused as replayed if it is another object with the same members', async () => {
    const server = start();
    const req = requestWith(newToken());
    await server.authorize(req);
    await expect((async () => server.authorize({ ...req } as NodeRequest))()).rejects.toThrow(
      'dpop_proof_replayed',
    );
  });

  it('is refused if its method or its token is another', async () => {
    const server = start();
    const req = requestWith(newToken());
    await server.authorize(req);
    req.method = 'POST';
    await expect((async () => server.authorize(req))()).rejects.toThrow('dpop_proof_for_another');
    req.method = 'GET';
    req.rawHeaders[3] = `DPoP ${kit.boundToken({ claims: { cnf: { jkt: client.jkt }, sub: 'other' } })}`;
    await expect((async () => server.authorize(req))()).rejects.toThrow('dpop_proof_for_another');
  });

  it('has its new proof used up if it has another', async () => {
    const server = start();
    const token = newToken();
    const req = requestWith(token);
    await server.authorize(req);
    const next = client.proof(token);
    req.rawHeaders[5] = next;
    await server.authorize(req);
    const other = requestWith(token);
    other.rawHeaders[5] = next;
    await expect((async () => server.authorize(other))()).rejects.toThrow('dpop_proof_replayed');
  });

  it("with a replayed proof stays unbound under binding: 'report', and is reported once", async () => {
    const server = start({ binding: 'report' });
    const reported: unknown[] = [];
    const note = ({ refusal }: RefusedEvent): unknown => reported.push(refusal.code);
    const stop = observeEvents({ reported: note });
    const token = newToken();
    const first = requestWith(token);
    await server.authorize(first);
    const again = { ...first } as NodeRequest;
    const checks = [await server.authorize(again), await server.authorize(again)] as Authorization[];
    expect(checks.map(({ isBound, keyThumbprint }) => [isBound, keyThumbprint])).toEqual([
      [false, undefined],
      [false, undefined],
    ]);
    expect(checks.every((each) => server.isOwnAuthorization(again, each))).toBe(true);
    stop();
    expect(reported).toEqual(['dpop_proof_replayed']);
  });

  it('at the same time is refused once: its proof counts when the first check has ended', async () => {
    const server = start();
    const req = requestWith(newToken());
    const outcomes = await Promise.allSettled([server.authorize(req), server.authorize(req)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});
