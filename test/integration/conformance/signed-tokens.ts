import type { KeyObject } from 'node:crypto';
import { jwtAccessTokens, type ResourceServerOptions } from '@mtls-bound/core';
import { type JWTHeaderParameters, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { audience } from '../../support/audience.js';
import {
  answer,
  type FaultyServer,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { generateP256 } from '../../support/key-pairs.js';
import type { Pki } from '../../support/pki.js';

/** JWT access tokens of an authorization server of their own, good and bad. */
export interface SignedTokens {
  readonly options: ResourceServerOptions;
  token(claims?: JWTPayload, header?: Partial<JWTHeaderParameters>): Promise<string>;
  unsigned(): string;
  /** HS256 with the public key for a secret. */
  byPublicKey(): Promise<string>;
  withUnknownCrit(): Promise<string>;
  close(): Promise<void>;
}

export async function startSignedTokens(pki: Pki): Promise<SignedTokens> {
  const { privateKey, publicKey } = generateP256();
  const server: FaultyServer = await startFaultyServer(pki);
  server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
  server.introspection = answer(200, {
    keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig' }],
  });
  const claims = (changes: JWTPayload = {}): JWTPayload => {
    const { active, token_type, ...good } = goodClaims(server.issuer, pki.alice.thumbprint);
    return { ...good, jti: '1', ...changes };
  };
  const sign = (changes: JWTPayload, header: object, key: KeyObject | Uint8Array) =>
    new SignJWT(claims(changes))
      .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt', ...header })
      .sign(key as never);
  return {
    options: { issuer: server.issuer, audience, tokens: jwtAccessTokens() },
    token: (changes = {}, header = {}) => sign(changes, header, privateKey),
    unsigned: () => new UnsecuredJWT(claims()).encode(),
    byPublicKey: () =>
      sign({}, { alg: 'HS256' }, Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }))),
    async withUnknownCrit() {
      const [, payload, signature] = (await sign({}, {}, privateKey)).split('.');
      const header = { alg: 'ES256', kid: 'k', typ: 'at+jwt', crit: ['x'], x: 1 };
      return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.${signature}`;
    },
    close: () => server.close(),
  };
}
