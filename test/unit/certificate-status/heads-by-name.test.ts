// Names of issuers are parsed once, and forgotten with the last list of their issuer.
import { expect, it, vi } from 'vitest';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { type CrlHead, readCrlHead } from '../../../packages/core/src/certificate-status/crl.js';
import { HeadsByName } from '../../../packages/core/src/certificate-status/heads-by-name.js';
import { commonName } from '../../support/written-der.js';
import { writeAuthority, writeList } from '../../support/written-status.js';

const headOf = (name: string): CrlHead => {
  const head = readCrlHead(writeList(writeAuthority({ name: commonName(name) })));
  if ('why' in head) {
    throw new Error(head.why);
  }
  return head;
};

it('forgets the names of lists that are no longer there, also if no issuer is looked up', async () => {
  const [first, second] = [headOf('first'), headOf('second')];
  const { Name } = await x509.load();
  const parse = vi.spyOn(Name.prototype, 'toJSON');
  try {
    const byName = new HeadsByName([first]);
    const parsedFor = (heads: readonly CrlHead[]): number => {
      parse.mockClear();
      byName.namesOf(heads);
      return parse.mock.calls.length;
    };
    expect(parsedFor([first])).toBe(1);
    byName.replace([first, second]);
    expect(parsedFor([first])).toBe(0);
    byName.replace([second]);
    byName.replace([first]);
    expect(parsedFor([first])).toBe(1);
  } finally {
    parse.mockRestore();
  }
});
