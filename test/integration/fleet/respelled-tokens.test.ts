// An authorization server may take several texts for the same token. A revocation of the token holds for each of them.
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createTestKit } from '@mtls-bound/core/testing';
import * as expressMtls from 'express-mtls';
import { CompactEncrypt, compactDecrypt } from 'jose';
import * as koaMtls from 'koa-mtls';
import { describe, expect, it, vi } from 'vitest';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const keys = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const secret = randomBytes(32);

/** Texts of the part that decode to the same bytes. */
function spellingsOf(part: string): string[] {
  const bytes = Buffer.from(part, 'base64url');
  return [...alphabet]
    .map((last) => part.slice(0, -1) + last)
    .filter((other) => other !== part && Buffer.from(other, 'base64url').equals(bytes));
}

/** The token with other texts of one part, for each of its parts. */
function othersOf(token: string): string[] {
  const parts = token.split('.');
  return parts.flatMap((part, i) => spellingsOf(part).map((other) => parts.with(i, other).join('.')));
}

const macOf = (key: string) =>
  createHmac('sha256', secret).update(Buffer.from(key, 'base64url')).digest('base64url');

/** A handle whose server signs the decoded key, and looks the token up by the signature. */
function handle(): { token: string; others: string[]; isKnown: (text: string) => Promise<boolean> } {
  const key = randomBytes(32).toString('base64url');
  const token = `${key}.${macOf(key)}`;
  return {
    token,
    others: spellingsOf(key).map((other) => `${other}.${macOf(key)}`),
    isKnown: async (text) => {
      const [first = '', signature] = text.split('.');
      return signature === macOf(key) && signature === macOf(first);
    },
  };
}

/** An encrypted token, which its server decrypts. */
async function encrypted(): ReturnType<typeof opaque> {
  const token = await new CompactEncrypt(Buffer.from('{}'))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })
    .encrypt(keys.publicKey);
  return {
    token,
    others: [...othersOf(token).filter((other) => other.split('.')[0] === token.split('.')[0]), `${token}==`],
    isKnown: async (text) =>
      compactDecrypt(text.replaceAll('=', ''), keys.privateKey).then(
        () => true,
        () => false,
      ),
  };
}

async function opaque(): Promise<ReturnType<typeof handle>> {
  return handle();
}

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

describe.each([
  ['express-mtls', expressMtls],
  ['koa-mtls', koaMtls],
])('%s', (_name, { mtlsBound }) => {
  it.each([
    ['a handle with a signature of its decoded key', opaque],
    ['an encrypted token', encrypted],
  ])('refuses each text of %s once it is revoked, and its open streams end', async (_title, make) => {
    const { token, others, isKnown } = await make();
    const server = pretendServer(async (text) =>
      (await isKnown(text)) ? boundClaims(kit.certificate) : { active: false },
    );
    const { resourceServer } = mtlsBound(optionsOver(server, kit.certificate));
    const streaming = [token, ...others].map((text) => requestWith(text));
    const granted = await Promise.all(streaming.map((req) => resourceServer.authorize(req)));
    const signals = granted.map((authorization) => authorization?.signal);
    expect(others.length).toBeGreaterThan(2);
    await resourceServer.revoke({ token });
    expect(signals.map((signal) => signal?.aborted)).toEqual(signals.map(() => true));
    for (const text of [token, ...others]) {
      expect(await outcomeOf(() => resourceServer.authorize(requestWith(text)))).toBe('token_inactive');
    }
    await resourceServer.close();
  });

  it('refuses a revoked token with dots after it, and asks the server about each other text', async () => {
    const { token } = handle();
    const server = pretendServer(() => boundClaims(kit.certificate));
    const { resourceServer } = mtlsBound(optionsOver(server, kit.certificate));
    const outcomeFor = (text: string) => outcomeOf(() => resourceServer.authorize(requestWith(text)));
    await resourceServer.revoke({ token });
    for (const text of [token, `${token}.`, `${token}...`, `${token}.=`]) {
      expect(await outcomeFor(text)).toBe('token_inactive');
    }
    const before = server.asked.length;
    const others = [`${token}.xyz`, `x.${token}`, `.${token}`, token.toUpperCase()];
    for (const text of others) {
      expect(await outcomeFor(text)).toBe('admitted');
    }
    expect(server.asked.slice(before)).toEqual(others);
    await resourceServer.close();
  });

  it('refuses each text of a handle that is not cached, and whose revocation named another text', async () => {
    const { token, others, isKnown } = handle();
    const server = pretendServer(async (text) =>
      (await isKnown(text)) ? boundClaims(kit.certificate) : { active: false },
    );
    const { resourceServer } = mtlsBound(optionsOver(server, kit.certificate));
    await resourceServer.revoke({ token: others[0] ?? '' });
    for (const text of [token, ...others]) {
      expect(await outcomeOf(() => resourceServer.authorize(requestWith(text)))).toBe('token_inactive');
    }
    const good = handle();
    const other = pretendServer(() => boundClaims(kit.certificate));
    const { resourceServer: second } = mtlsBound(optionsOver(other, kit.certificate));
    await second.revoke({ token });
    expect(await outcomeOf(() => second.authorize(requestWith(good.token)))).toBe('admitted');
    await Promise.all([resourceServer.close(), second.close()]);
  });
});
