import { describe, expect, it } from 'vitest';
import { RequestRefused, refusalCodes } from '../../packages/core/src/errors.js';
import { refusalAnswer } from '../../packages/core/src/response/challenge.js';
import { challengeOf } from '../support/refusals.js';

const answerTo = (code: (typeof refusalCodes)[number]) =>
  refusalAnswer(new RequestRefused(code, { detail: 'for the operator alone', scope: 'a b' }), {
    realm: 'my api',
    errorBody: undefined,
    resourceMetadata: undefined,
  });

describe.each(refusalCodes)('%s', (code) => {
  it('R94: is not to be stored', () => {
    expect(answerTo(code).headers['Cache-Control']).toBe('no-store');
  });

  it('R86 R88 R89: has one challenge of permitted characters, each parameter once, and a 503 none', async () => {
    const { status, headers } = answerTo(code);
    const header = headers['WWW-Authenticate'];
    if (status === 429 || status === 503 || code === 'certificate_refused') {
      expect(header).toBeUndefined();
      return;
    }
    expect(await challengeOf(header ?? '')).toMatchObject({ realm: 'my api' });
    const names = [...(header ?? '').matchAll(/(\w+)="/g)].map(([, name]) => name);
    expect(names).toEqual([...new Set(names)]);
    for (const [, value] of (header ?? '').matchAll(/="([^"]*)"/g)) {
      expect(value).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/);
    }
  });

  it('R90: tells the client nothing of what the operator is told', () => {
    expect(JSON.stringify(answerTo(code))).not.toContain('operator');
  });
});
