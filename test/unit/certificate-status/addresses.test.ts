import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isPermittedAddress } from '../../../packages/core/src/certificate-status/permitted-address.js';
import { createPermittedLookup } from '../../../packages/core/src/certificate-status/permitted-lookup.js';

describe('a URL of a certificate', () => {
  it.each([
    '127.0.0.1',
    '127.8.9.10',
    '0.0.0.0',
    '0.1.2.3',
    '169.254.169.254',
    '255.255.255.255',
    '224.0.0.1',
    '::1',
    '::',
    'fe80::1',
    'ff02::1',
    'fd00:ec2::254',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::127.0.0.1',
    '::ffff:0:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '2002:7f00:1::1',
    '100.100.100.200',
    '100.64.0.1',
    '100.127.255.254',
    '168.63.129.16',
    '192.0.0.192',
    'fd00:ec2::23',
    'fd20:ce::254',
    'fd00:42::42',
    'fd00:c1::a9fe:a9fe',
    'fd00:a9fe:a9fe::1',
    'fd00:100::100:200',
    'fec0::1',
    'feff:ffff::1',
    '::ffff:100.100.100.200',
    '::ffff:168.63.129.16',
    '64:ff9b::100.100.100.200',
    '64:ff9b::a83f:8110',
    '64:ff9b:1::169.254.169.254',
    '64:ff9b:1:a9fe:a9:fe00::',
    '64:ff9b:1:a9:fe:a9fe::',
    '64:ff9b:1:0:a9:fea9:fe00:0',
    '2002:6464:64c8::1',
    '2002:a83f:8110::1',
    '2001:0:102:304::5601:5601',
    '2001:0:a9fe:a9fe::fefe:fefe',
    'localhost',
    '127.1',
    '0x7f.0.0.1',
    '',
  ])('does not lead to %s', (address) => {
    expect(isPermittedAddress(address)).toBe(false);
  });

  it.each([
    '192.0.2.1',
    '10.0.0.1',
    '192.168.1.1',
    '8.8.8.8',
    '2606:4700::1111',
    'fd00::1',
    'fd00:42::43',
    'fd00:c1::1',
    'fd00:a9fe:a9fe::2',
    'fd00:100::100:201',
    '::ffff:8.8.8.8',
    '100.63.255.255',
    '100.128.0.1',
    '168.63.129.17',
    '64:ff9b::8.8.8.8',
    '64:ff9b:1::8.8.8.8',
    '2002:808:808::1',
  ])('may lead to %s', (address) => {
    expect(isPermittedAddress(address)).toBe(true);
  });
});

describe('the lookup of a connection', () => {
  const answers = (...addresses: string[]) =>
    createPermittedLookup((_host, _options, callback) =>
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      ),
    );
  const all = (...addresses: string[]) =>
    promisify(answers(...addresses) as never)('crl.example' as never, { all: true } as never);

  it('gives permitted addresses alone', async () => {
    expect(await all('169.254.169.254', '8.8.8.8', '::1')).toEqual([{ address: '8.8.8.8', family: 4 }]);
    const one = promisify(answers('127.0.0.1', '8.8.8.8') as never);
    expect(await one('crl.example' as never, {} as never)).toBe('8.8.8.8');
  });

  it('fails if there is none', async () => {
    await expect(all('169.254.169.254')).rejects.toMatchObject({
      message: expect.stringContaining('name its origin in origins'),
      reason: { code: 'origin_not_permitted' },
    });
    await expect(all()).rejects.toThrow('name its origin in origins');
  });

  it('fails if the name can not be resolved', async () => {
    const lookup = promisify(
      createPermittedLookup((_host, _options, callback) =>
        callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []),
      ) as never,
    );
    await expect(lookup('crl.example' as never, { all: true } as never)).rejects.toMatchObject({
      code: 'ENOTFOUND',
    });
  });
});
