import { afterEach, describe, expect, test, vi } from 'vitest';
import { fitsTotp, parseTotp } from '../../src/auth/totp.js';

afterEach(() => {
  vi.useRealTimers();
});

const at = (seconds: number): void => {
  vi.useFakeTimers({ toFake: ['Date'], now: seconds * 1000 });
};

/** The keys of RFC 6238 are digits, as many as the function has bytes. */
const KEYS = {
  sha: 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ',
  sha256: 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA====',
  sha512:
    'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA=',
};

test.each<[keyof typeof KEYS, number, string]>([
  ['sha', 59, '94287082'],
  ['sha', 1111111109, '07081804'],
  ['sha', 20000000000, '65353130'],
  ['sha256', 59, '46119246'],
  ['sha256', 1234567890, '91819424'],
  ['sha512', 59, '90693936'],
  ['sha512', 2000000000, '38618901'],
])('codes are those of RFC 6238: %s at %d', (algorithm, time, code) => {
  const totp = parseTotp({ key: KEYS[algorithm], algorithm, length: 8 });
  at(time);
  expect(fitsTotp(totp, code)).toBe(true);
  expect(fitsTotp(totp, code.slice(2))).toBe(false);
  at(time + 30);
  expect(fitsTotp(totp, code)).toBe(true);
  at(time - 30);
  expect(fitsTotp(totp, code)).toBe(true);
  at(time + 90);
  expect(fitsTotp(totp, code)).toBe(false);
});

test('a code has six digits of SHA-1 when nothing else is said', () => {
  at(1111111109);
  expect(fitsTotp(parseTotp({ key: KEYS.sha }), '081804')).toBe(true);
});

test('a key that is far too long fits no code', () => {
  expect(parseTotp({ key: 'A'.repeat(1024) })).toBeDefined();
  expect(parseTotp({ key: 'A'.repeat(1025) })).toBeUndefined();
});

describe('what cannot be read fits no code', () => {
  test.each([
    [null],
    ['key'],
    [{}],
    [{ key: '' }],
    [{ key: 1 }],
    [{ key: 'not base 32' }],
    [{ key: KEYS.sha, algorithm: 'md5' }],
    [{ key: KEYS.sha, algorithm: 'constructor' }],
    [{ key: KEYS.sha, length: 0 }],
    [{ key: KEYS.sha, length: 6.5 }],
    [{ key: KEYS.sha, length: '6' }],
  ])('%j', (value) => {
    expect(parseTotp(value)).toBeUndefined();
    for (const code of ['', '0', '000000']) expect(fitsTotp(undefined, code)).toBe(false);
  });
});
