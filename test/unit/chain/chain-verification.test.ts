// A certificate is looked at once: its outcome is kept, and looked for again only if it may have changed.
import 'reflect-metadata';
import { ClientCertificate } from '@mtls-bound/core';
import { beforeEach, expect, it, vi } from 'vitest';
import { thumbprintOf } from '../../../packages/core/src/certificate/client-certificate.js';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import {
  type ChainToAuthority,
  ChainVerification,
} from '../../../packages/core/src/chain/chain-verification.js';
import { authority, client, type Node, rawExtension } from '../../support/chains.js';
import { commonName, der, sequence } from '../../support/written-der.js';

await x509.load();
const day = 86_400_000;
const root = await authority('CN=Root', undefined, { to: 300 });
const stranger = await authority('CN=Root');
const looks = vi.spyOn(ClientCertificate.prototype, 'intermediates', 'get');
beforeEach(() => void looks.mockClear());

const verification = (...anchors: readonly Node[]) =>
  new ChainVerification(
    new AuthoritySource(
      anchors.map(({ cert }) => cert),
      'authorities',
      () => undefined,
    ),
    undefined,
  );

it('a refusal is kept for as long as no certificate becomes valid', async () => {
  const chain = verification(root);
  const certificate = new ClientCertificate((await client('CN=client', stranger)).der);
  const now = Date.now();
  expect(chain.verify(certificate, now)).toMatchObject({ why: expect.stringContaining('no path') });
  const { length } = looks.mock.calls;
  expect(chain.verify(certificate, now + 20 * day)).toMatchObject({ why: expect.anything() });
  expect(looks.mock.calls).toHaveLength(length);
});

it('a certificate that was not valid yet is accepted once it is', async () => {
  const chain = verification(root);
  const certificate = new ClientCertificate((await client('CN=client', root, { from: 2, to: 10 })).der);
  const now = Date.now();
  expect(chain.verify(certificate, now)).toMatchObject({ why: 'it is not valid yet' });
  expect(chain.verify(certificate, now + day)).toMatchObject({ why: 'it is not valid yet' });
  expect(chain.verify(certificate, now + 3 * day)).toHaveProperty('path');
  expect(chain.verify(certificate, now + 11 * day)).toMatchObject({ why: 'it has expired' });
});

it('an expired certificate is accepted once the clock is put right', async () => {
  const chain = verification(root);
  const certificate = new ClientCertificate((await client('CN=client', root, { to: 10 })).der);
  const now = Date.now();
  expect(chain.verify(certificate, now + 50 * day)).toMatchObject({ why: 'it has expired' });
  expect(chain.verify(certificate, now)).toHaveProperty('path');
});

it('a certificate that counts is verified, and the one that came is not changed', async () => {
  const chain = verification(root);
  const certificate = new ClientCertificate((await client('CN=client', root)).der, {
    verified: false,
    mayBeRevoked: false,
  });
  expect(chain.verify(certificate, Date.now())).toMatchObject({ certificate: { verified: true } });
  expect(certificate.verified).toBe(false);
});

it('a path is looked for once, whatever else is sent with it, and none of that is kept with it', async () => {
  const middle = await authority('CN=Middle', root);
  const { der } = await client('CN=client', middle);
  const chain = verification(root);
  const accepted = [stranger, root, middle, undefined].map((needless) => {
    const sent = needless === undefined ? [] : [middle.der, needless.der];
    const certificate = new ClientCertificate(der, { intermediates: sent });
    return chain.verify(certificate, Date.now()) as ChainToAuthority;
  });
  expect(accepted.map(({ path }) => path === accepted[0]?.path)).toEqual([true, true, true, true]);
  const known = accepted.map(({ certificate }) => certificate.intermediates.map(thumbprintOf));
  const ofPath = thumbprintOf(middle.der);
  expect(known).toEqual([[ofPath, thumbprintOf(stranger.der)], [ofPath], [ofPath], [ofPath]]);
});

it('a certificate of which only the hash is known is refused, before and after the whole one', async () => {
  const { der } = await client('CN=client', root);
  const chain = verification(root);
  const whole = new ClientCertificate(der);
  const hashAlone = new ClientCertificate({ thumbprint: whole.thumbprint });
  const outcomes = [hashAlone, whole, hashAlone].map((one) => 'why' in chain.verify(one, Date.now()));
  expect(outcomes).toEqual([true, false, true]);
});

it('a resumed session, which has lost the intermediates, is accepted after an authority is added', async () => {
  let anchors = [root.cert];
  const source = new AuthoritySource(
    () => anchors,
    'authorities',
    () => undefined,
  );
  const chain = new ChainVerification(source, undefined);
  const middle = await authority('CN=Middle', root);
  const { der } = await client('CN=client', middle);
  const now = Date.now();
  await chain.prepare(now);
  expect(chain.verify(new ClientCertificate(der, { intermediates: [middle.der] }), now)).toHaveProperty(
    'path',
  );
  anchors = [root.cert, stranger.cert];
  const resumed = new ClientCertificate(der);
  for (const later of [now + day / 2, now + day / 2 + 1_000]) {
    await chain.prepare(later);
    expect(chain.verify(resumed, later)).toHaveProperty('path');
  }
  anchors = [stranger.cert];
  for (const later of [now + day, now + day + 1_000]) {
    await chain.prepare(later);
    await new Promise(setImmediate);
  }
  expect(chain.verify(resumed, now + day + 2_000)).toMatchObject({ why: expect.any(String) });
});

it('an accepted certificate has all that came with it, for a route with other authorities', async () => {
  const middle = await authority('CN=Middle', root);
  const crossed = await authority('CN=Middle', stranger, { keys: middle.keys });
  const { der } = await client('CN=client', middle);
  const ofApplication = verification(root);
  const ofRoute = verification(stranger);
  for (const intermediates of [[middle.der], [middle.der, crossed.der]]) {
    const sent = new ClientCertificate(der, { intermediates });
    const outcome = ofApplication.verify(sent, Date.now());
    const { certificate } = outcome as ChainToAuthority;
    expect(certificate.intermediates.map(thumbprintOf)).toEqual(intermediates.map(thumbprintOf));
    expect('path' in ofRoute.verify(certificate, Date.now())).toBe(intermediates.length === 2);
    expect(ofApplication.verify(sent, Date.now())).toBe(outcome);
  }
});

it.each([
  'TLS says CERT_REVOKED',
  'x-ssl-client-verify: certificate revoked',
  'TLS says CRL_HAS_EXPIRED',
  'x-ssl-client-verify says 75 (OCSP_CERT_UNKNOWN)',
  // Its own words, which nothing is read from.
  'the bank has blocked it',
])('a certificate is refused of which the source says: %s', async (verifyError) => {
  const { der } = await client('CN=client', root);
  const refused = new ClientCertificate(der, { verified: false, verifyError });
  const unknown = new ClientCertificate(der, {
    verified: false,
    verifyError: 'TLS says UNABLE_TO_GET_ISSUER_CERT',
    mayBeRevoked: false,
  });
  const chain = verification(root);
  expect(chain.verify(refused, Date.now())).toEqual({ code: 'not_cleared_by_source', why: verifyError });
  expect(chain.verify(unknown, Date.now())).toHaveProperty('path');
  expect(chain.verify(refused, Date.now())).toEqual({ code: 'not_cleared_by_source', why: verifyError });
});

it.each<[object, string]>([
  [{ verified: false }, 'it is not verified'],
  [{ verified: false, mayBeRevoked: undefined }, 'it is not verified'],
  [{ verified: false, mayBeRevoked: 'no' }, 'it is not verified'],
  [{ verified: true, mayBeRevoked: true }, 'it may be revoked, as its source says'],
  [{ mayBeRevoked: true }, 'it may be revoked, as its source says'],
])('a certificate is refused of which the source knows %j', async (facts, why) => {
  const { der } = await client('CN=client', root);
  const chain = verification(root);
  const now = Date.now();
  expect(chain.verify(new ClientCertificate(der, facts), now)).toEqual({
    code: 'not_cleared_by_source',
    why,
  });
  const cleared = new ClientCertificate(der, { verified: false, mayBeRevoked: false });
  expect(chain.verify(cleared, now)).toHaveProperty('path');
});

it('a certificate that comes back without its intermediates, as from a resumed session, keeps its path', async () => {
  const middle = await authority('CN=Middle', root);
  const { der } = await client('CN=client', middle, { to: 10 });
  const whole = new ClientCertificate(der, { intermediates: [middle.der] });
  const alone = () => new ClientCertificate(der);
  const revoked = { verified: false, verifyError: 'TLS says CERT_REVOKED' };
  const chain = verification(root);
  const now = Date.now();
  const first = alone();
  expect(chain.verify(first, now)).toMatchObject({ why: expect.stringContaining('no path') });
  expect(chain.verify(whole, now)).toHaveProperty('path');
  expect(chain.verify(first, now)).toMatchObject({
    path: [{ der }, { der: middle.der }, { der: root.der }],
  });
  expect(chain.verify(alone(), now)).toHaveProperty('path');
  expect(chain.verify(new ClientCertificate(der, revoked), now)).toEqual({
    code: 'not_cleared_by_source',
    why: revoked.verifyError,
  });
  // Another process has not seen them.
  expect(verification(root).verify(alone(), now)).toMatchObject({ why: expect.anything() });
  expect(chain.verify(alone(), now + 11 * day)).toMatchObject({ why: expect.anything() });
});

it('of a certificate that is none, the reason is returned at any time', () => {
  const chain = verification(root);
  const none = new ClientCertificate(Buffer.from('3000', 'hex'));
  expect(chain.verify(none, Date.now())).toEqual({ code: 'unreadable', why: expect.any(String) });
  expect(chain.verify(none, 0)).toEqual({ code: 'unreadable', why: expect.any(String) });
});

it('a path holds from the last start to the first end of its certificates', async () => {
  const later = await authority('CN=Later', root, { from: 5, to: 20 });
  const { der } = await client('CN=client', later, { from: 3, to: 10 });
  const chain = verification(root);
  const certificate = () => new ClientCertificate(der, { intermediates: [later.der] });
  const now = Date.now();
  expect(chain.verify(certificate(), now + 6 * day)).toHaveProperty('path');
  const early = chain.verify(certificate(), now + 4 * day);
  expect(early).toMatchObject({ why: expect.stringMatching(/above it: it is not valid yet$/) });
  expect(chain.verify(certificate(), now + 6 * day)).toHaveProperty('path');
  expect(chain.verify(certificate(), now + 10 * day + 60_000)).toEqual({
    code: 'expired',
    why: 'it has expired',
  });
});

it('what a client sends besides is no part of the refusal of others: the same certificate may come with its path', async () => {
  const middle = await authority('CN=Middle', root);
  const { der } = await client('CN=client', middle);
  const chain = verification(root);
  const now = Date.now();
  const sending = (...intermediates: Uint8Array[]) =>
    chain.verify(new ClientCertificate(der, { intermediates }), now);
  expect(sending(stranger.der)).toMatchObject({ why: expect.stringContaining('no path') });
  expect(sending()).toMatchObject({ why: expect.stringContaining('no path') });
  const { length } = looks.mock.calls;
  expect(sending(stranger.der)).toMatchObject({ why: expect.stringContaining('no path') });
  // Only its key was made: the path was not looked for again.
  expect(looks.mock.calls.length - length).toBe(1);
  expect(sending(Buffer.from('no certificate'), middle.der)).toHaveProperty('path');
});

it('configured intermediates complete a path, are waited for, and count again when they change', async () => {
  const middle = await authority('CN=Middle', root);
  const { der } = await client('CN=client', middle);
  let given = [stranger.cert];
  const intermediates = new AuthoritySource(
    () => given,
    'intermediates',
    () => undefined,
  );
  const anchors = new AuthoritySource([root.cert], 'authorities', () => undefined);
  const chain = new ChainVerification(anchors, intermediates);
  const now = Date.now();
  await chain.prepare(now);
  expect(chain.prepare(now)).toBeUndefined();
  const certificate = new ClientCertificate(der);
  expect(chain.verify(certificate, now)).toMatchObject({ why: expect.stringContaining('no path') });
  given = [middle.cert];
  await chain.prepare(now + 61_000);
  expect(chain.verify(certificate, now + 61_000)).toHaveProperty('path');
  expect(chain.verify(new ClientCertificate(der), now + 61_000)).toHaveProperty('path');
});

it('both sources are waited for, if both have to be read', async () => {
  const source = (name: string) =>
    new AuthoritySource(
      () => root.cert,
      name,
      () => undefined,
    );
  const [anchors, intermediates] = [source('authorities'), source('intermediates')];
  const chain = new ChainVerification(anchors, intermediates);
  await chain.prepare(Date.now());
  expect([anchors.current().size, intermediates.current().size]).toEqual([1, 1]);
});

it('as many outcomes are kept as the limit says', async () => {
  const anchors = new AuthoritySource([root.cert], 'authorities', () => undefined);
  const chain = new ChainVerification(anchors, undefined, 1);
  const [one, other] = await Promise.all([client('CN=one', root), client('CN=other', root)]);
  const now = Date.now();
  const first = chain.verify(new ClientCertificate(one.der), now);
  expect(chain.verify(new ClientCertificate(one.der), now)).toBe(first);
  chain.verify(new ClientCertificate(other.der), now);
  expect(chain.verify(new ClientCertificate(one.der), now)).not.toBe(first);
});

it.each<[string, number, boolean]>([
  ['one authority do not remove the outcomes of another one', 1, false],
  ['many authorities below one trust anchor do not remove the outcomes below another one', 6, true],
])('the clients of %s', async (_title, count, isOfOtherRoot) => {
  const otherRoot = await authority('CN=Other root', undefined, { to: 300 });
  const given = [root.cert, otherRoot.cert];
  const anchors = new AuthoritySource(given, 'authorities', () => undefined);
  const chain = new ChainVerification(anchors, undefined, 6);
  const good = await authority('CN=Good', root);
  const bad = await Promise.all(
    Array.from({ length: count }, (_, at) => authority(`CN=Bad ${at}`, isOfOtherRoot ? otherRoot : root)),
  );
  const goodClients = await Promise.all([client('CN=one', good), client('CN=two', good)]);
  const now = Date.now();
  for (const { der } of goodClients) {
    const sent = new ClientCertificate(der, { intermediates: [good.der] });
    expect(chain.verify(sent, now)).toHaveProperty('path');
  }
  for (let number = 0; number < 9; number += 1) {
    const issuer = bad[number % count] as Node;
    const other = await client(`CN=client ${number}`, issuer);
    const sent = new ClientCertificate(other.der, { intermediates: [issuer.der] });
    expect(chain.verify(sent, now)).toHaveProperty('path');
  }
  // A resumed session has lost the intermediates.
  for (const { der } of goodClients) {
    expect(chain.verify(new ClientCertificate(der), now)).toHaveProperty('path');
  }
});

it('the names of what came with a certificate are part of what its path may cost', async () => {
  const large = Array.from({ length: 36 }, (_, at) => `OU=${at}`).join(', ');
  const sent = await Promise.all(Array.from({ length: 10 }, () => authority(large)));
  const middle = await authority('CN=Middle', root);
  const { der } = await client('CN=client', middle);
  const outcomeWith = (...nodes: readonly Node[]) =>
    verification(root).verify(
      new ClientCertificate(der, { intermediates: nodes.map((one) => one.der) }),
      Date.now(),
    );
  expect(outcomeWith(middle, ...sent.slice(0, 9))).toEqual({
    code: 'too_much_work',
    why: 'the names of the certificates that came with it cost too much to read',
  });
  expect(outcomeWith(middle, ...sent.slice(0, 3))).toHaveProperty('path');
});

it('an authority may have any number of name constraints if it is configured', async () => {
  const bases = Array.from({ length: 500 }, (_, at) => sequence(der(0xa4, commonName(`${at}`))));
  const constraints = sequence(der(0xa1, ...bases)).toString('hex');
  const extensions = [rawExtension('2.5.29.30', constraints)];
  const middle = await authority('CN=Middle', root, { extensions });
  const { der: leaf } = await client('CN=client', middle);
  const source = (given: string) => new AuthoritySource(given, 'authorities', () => undefined);
  const sent = new ClientCertificate(leaf, { intermediates: [middle.der] });
  expect(verification(root).verify(sent, Date.now())).toMatchObject({ code: 'too_much_work' });
  expect(verification(middle).verify(sent, Date.now())).toHaveProperty('path');
  const configured = new ChainVerification(source(root.cert), source(middle.cert));
  expect(configured.verify(sent, Date.now())).toHaveProperty('path');
});
