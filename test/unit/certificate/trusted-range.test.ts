// Which addresses and ranges `trust` takes: those that every reader reads in the same way, and that are not everybody.

import { nginx, proxyHeader } from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import {
  createRangeTest,
  explainUnusableRanges,
} from '../../../packages/core/src/trusted-proxy/trusted-range.js';
import { mismatch } from '../../support/mismatch.js';

const unreadable = (entry: number) =>
  `an entry ${entry} that is neither an address nor a CIDR in its usual form`;
const zoned = (entry: number) => `a zone (%) in entry ${entry}, which would not be compared`;
const localhost = "'localhost', which is no address; write 'loopback' for peers on this machine";
const everybody = 'ranges that cover every address';

it.each<[string[], string | undefined]>([
  [['127.0.0.1'], undefined],
  [['10.0.0.0/8', '192.168.0.0/16'], undefined],
  [['loopback', 'linklocal', 'uniquelocal'], undefined],
  [['::1', '2001:db8::/32', '::ffff:10.0.0.0/104'], undefined],
  [['fd00::/8'], undefined],
  [['0.0.0.0/1'], undefined],
  [['127.000.000.010'], unreadable(1)],
  [['010.0.0.5'], unreadable(1)],
  [['10.0.0.5', '0177.0.0.1'], unreadable(2)],
  [['2130706433'], unreadable(1)],
  [['0x7f.0.0.1'], unreadable(1)],
  [['127.1'], unreadable(1)],
  [['010.0.0.0/8'], unreadable(1)],
  [['10.0.0.0/255.0.0.0'], unreadable(1)],
  [['10.0.0.0/33'], unreadable(1)],
  [['10.0.0.0/'], unreadable(1)],
  [['10.0.0.0/-1'], unreadable(1)],
  [['10.0.0.0/ 8'], unreadable(1)],
  [['/8'], unreadable(1)],
  [['proxy.example.com'], unreadable(1)],
  [['localhost'], localhost],
  [['loopback', 'LOCALHOST'], localhost],
  [['localhost.example.com'], unreadable(1)],
  [['::10.0.0.5'], unreadable(1)],
  [['::10.0.0.0/104'], unreadable(1)],
  [['fe80::5%eth0'], zoned(1)],
  [['10.0.0.5', 'fe80::%eth0/64'], zoned(2)],
  [['fe80::5%25eth0'], zoned(1)],
  [['fe80::5'], undefined],
  [['0.0.0.0/0'], everybody],
  [['::/0'], everybody],
  [['::/1'], everybody],
  [['2000::/3'], everybody],
  [['::ffff:0:0/96'], everybody],
  [['::ffff:0.0.0.0/96'], everybody],
  [['0.0.0.0/1', '128.0.0.0/1'], everybody],
  [['128.0.0.0/1', '64.0.0.0/2', '0.0.0.0/2'], everybody],
  [['::ffff:0:0/97', '128.0.0.0/1'], everybody],
  [['2000::/4', '3000::/4', 'loopback'], everybody],
  [['::/2'], everybody],
])('%j', (ranges, expected) => {
  expect(explainUnusableRanges(ranges)).toBe(expected);
});

it.each<[string, string]>([
  ['fe80::5%eth0', zoned(1)],
  ['::10.0.0.5', unreadable(1)],
])('%s is refused at start-up, and the error names the option', (range, fault) => {
  expect(() => proxyHeader(nginx(), { trust: range })).toThrow(
    mismatch('proxyHeader().trust', fault, 'a CIDR, an address'),
  );
});

it('a range of everybody is refused at start-up, and the error names the option', () => {
  expect(() => proxyHeader(nginx(), { trust: ['::ffff:0:0/96'] })).toThrow(
    mismatch('proxyHeader().trust', everybody, 'a CIDR, an address'),
  );
});

describe('an address is in a range as Express reads it', () => {
  it.each<[string, string, boolean]>([
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '::ffff:10.0.0.1', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['loopback', '::1', true],
    ['fe80::5', 'fe80::5', true],
    ['fe80::5', 'fe80::5%eth0', true],
    ['fe80::5', 'fe80::5%eth1', true],
    ['fe80::5', 'fe80::6%eth0', false],
    ['linklocal', 'fe80::6%eth0', true],
  ])('%s and %s: %s', (range, address, isIn) => {
    expect(createRangeTest([range])(address)).toBe(isIn);
  });
});
