/** What stands in a text in place of what is not shown. */
export const notShown = '(not shown)';

/** Texts that are shorter are no secrets, and would be found in ordinary words. */
const SHORTEST = 8;

/** Members of options whose texts are secrets. */
const secretMembers = /secret|password|token|key|value|pfx/i;

/** Members of members of options, at most. */
const MAX_DEPTH = 6;

const jwt = /\beyJ[\w-]{5,}\.[\w-]*\.[\w-]*(?:\.[\w-]*\.[\w-]*)?/g;
const credentials = /(\b(?:bearer|basic)\s+)[\w\-.~+/]{8,}=*/gi;
const pem = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
const userInfo = /(\w:\/\/)[^\s/@]+@/g;

/**
 * Takes secrets out of what the doctor writes: those of its options, and what looks like one.
 */
export class Mask {
  readonly #secrets = new Set<string>();

  /** What must not be shown from now on, in whichever form it is written. */
  hide(secret: string | undefined): void {
    if (secret === undefined || secret.length < SHORTEST) {
      return;
    }
    const forms = [
      secret,
      JSON.stringify(secret).slice(1, -1),
      encodeURIComponent(Buffer.from(secret).toString()),
    ];
    for (const form of forms) {
      this.#secrets.add(form);
    }
  }

  /** Hides the texts of options that are secrets. */
  hideSecretsOf(options: unknown, depth = 0): void {
    if (typeof options !== 'object' || options === null || depth > MAX_DEPTH) {
      return;
    }
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(options))) {
      if (typeof value === 'string' && (secretMembers.test(name) || Array.isArray(options))) {
        this.hide(value);
      }
      this.hideSecretsOf(value, depth + 1);
    }
  }

  of(text: string): string {
    // The longest first: a secret may be a part of another.
    const known = [...this.#secrets].sort((one, other) => other.length - one.length);
    return known
      .reduce((left, secret) => left.replaceAll(secret, notShown), text)
      .replace(pem, notShown)
      .replace(jwt, notShown)
      .replace(credentials, `$1${notShown}`)
      .replace(userInfo, '$1');
  }
}
