import { createHmac, type KeyObject, randomUUID, sign } from 'node:crypto';
import { createSignalReceiver, type SharedSignalsOptions, type SignalReceiver } from '@mtls-bound/core';
import { vi } from 'vitest';
import { audience } from './audience.js';
import { generateP256 } from './key-pairs.js';

/** A transmitter of Shared Signals behind the option `http.fetch`: no socket, and a test holds every answer. */
export class PretendTransmitter {
  readonly issuer = 'https://transmitter.example.com';
  readonly key = generateP256();
  /** The URLs that the receiver asked for. */
  readonly asked: string[] = [];
  /** Members of the configuration. */
  configuration: object = { issuer: this.issuer, jwks_uri: `${this.issuer}/jwks` };
  readonly revoke = vi.fn(async (_revocation: object): Promise<void> => undefined);

  readonly fetch = async (url: unknown): Promise<Response> => {
    this.asked.push(String(url));
    const jwk = { ...this.key.publicKey.export({ format: 'jwk' }), kid: 'es' };
    return Response.json(String(url).endsWith('/jwks') ? { keys: [jwk] } : this.configuration);
  };

  /** How often the keys were asked for. */
  get keyFetches(): number {
    return this.asked.filter((url) => url.endsWith('/jwks')).length;
  }

  receiver(more: Partial<SharedSignalsOptions> = {}, issuers = [this.issuer]): SignalReceiver {
    return createSignalReceiver(
      { issuers, revoke: this.revoke },
      { transmitter: this.issuer, audience, http: { fetch: this.fetch as typeof fetch }, ...more },
    );
  }

  /** The claims of a good Security Event Token, with changes. */
  claims(changes: object = {}): object {
    return {
      iss: this.issuer,
      aud: audience,
      jti: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      sub_id: { format: 'opaque', id: 'user-1' },
      events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': {} },
      ...changes,
    };
  }

  /** Signs texts as they are, which need be neither objects nor JSON. */
  signed(payload: string, header: object | string = {}, key: KeyObject = this.key.privateKey): string {
    const head =
      typeof header === 'string'
        ? header
        : JSON.stringify({ alg: 'ES256', kid: 'es', typ: 'secevent+jwt', ...header });
    const input = `${encoded(head)}.${encoded(payload)}`;
    const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
    return `${input}.${signature.toString('base64url')}`;
  }

  /** A Security Event Token, with changes. */
  set(changes: object = {}, header: object = {}, key?: KeyObject): string {
    return this.signed(JSON.stringify(this.claims(changes)), header, key);
  }

  /** A Security Event Token that the public key signs as if it were a shared secret. */
  setByPublicKey(): string {
    const input = `${encoded('{"alg":"HS256","kid":"es","typ":"secevent+jwt"}')}.${encoded(JSON.stringify(this.claims()))}`;
    const secret = this.key.publicKey.export({ type: 'spki', format: 'pem' });
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  }
}

export const encoded = (text: string): string => Buffer.from(text).toString('base64url');

/** A push request as Node hands it on, whose body a parser has read. */
export const pushRequest = (changes: object = {}) =>
  ({
    method: 'POST',
    headers: { 'content-type': 'application/secevent+jwt' },
    rawHeaders: ['Content-Type', 'application/secevent+jwt'],
    httpVersionMajor: 1,
    ...changes,
  }) as never;
