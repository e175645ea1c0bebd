import { expect, test } from 'vitest';
import { addressOf } from '../../src/http/address.js';

const PROXIES = [
  '127.0.0.1',
  '::1',
  '::ffff:127.0.0.1',
  '10.1.2.3',
  '172.16.0.9',
  '192.168.1.1',
  '100.64.0.1',
  'fd00::1',
];
const OTHERS = ['192.0.2.1', '::ffff:192.0.2.1', '172.32.0.1', '2001:db8::1', '11.0.0.1'];

test.each(PROXIES)('%s is believed when it says for whom it asks', (peer) => {
  expect(addressOf(peer, '198.51.100.7')).toBe('198.51.100.7');
  expect(addressOf(peer, '203.0.113.9, 198.51.100.7')).toBe('198.51.100.7');
  expect(addressOf(peer, '2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2');
});

test.each([...OTHERS, ''])('%j is not', (peer) => {
  expect(addressOf(peer, '198.51.100.7')).toBe(addressOf(peer, undefined));
});

test.each(['', ',', 'unknown', '198.51.100', '198.51.100.7,', 'a'.repeat(10_000)])(
  '%j says nothing',
  (header) => {
    expect(addressOf('127.0.0.1', header)).toBe('127.0.0.1');
  },
);
