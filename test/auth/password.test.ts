import { createHash, pbkdf2Sync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { hashPassword, isHashed, parseHash, verifyPassword } from '../../src/auth/password.js';

const derive = (clear: string, salt: string, iterations: number, digest: string, bytes: number): string =>
  pbkdf2Sync(clear, salt, iterations, bytes, digest).toString('hex');

describe('hashPassword', () => {
  test('makes the form and the cost of CouchDB 3.5', async () => {
    const hashed = await hashPassword('grüße');
    const [, key, salt] = /^-pbkdf2:sha256-([0-9a-f]{64}),([0-9a-f]{32}),600000$/.exec(hashed) ?? [];
    expect(key).toBe(derive('grüße', String(salt), 600_000, 'sha256', 32));
  });

  test('never makes the same twice', async () => {
    expect(await hashPassword('a', 1)).not.toBe(await hashPassword('a', 1));
  });
});

describe('verifyPassword', () => {
  const salt = 'c0ffee';
  const forms = {
    'pbkdf2:sha256': `-pbkdf2:sha256-${derive('apple', salt, 7, 'sha256', 32)},${salt},7`,
    'pbkdf2:sha512': `-pbkdf2:sha512-${derive('apple', salt, 7, 'sha512', 64)},${salt},7`,
    'pbkdf2:sha': `-pbkdf2:sha-${derive('apple', salt, 7, 'sha1', 20)},${salt},7`,
    'pbkdf2 before 3.4': `-pbkdf2-${derive('apple', salt, 10, 'sha1', 20)},${salt},10`,
    'pbkdf2 in capitals': `-pbkdf2-${derive('apple', salt, 10, 'sha1', 20).toUpperCase()},${salt},10`,
    hashed: `-hashed-${createHash('sha1').update(`apple${salt}`).digest('hex')},${salt}`,
  };
  test.each(Object.entries(forms))('%s', async (_form, hashed) => {
    expect(isHashed(hashed)).toBe(true);
    expect(await verifyPassword('apple', hashed)).toBe(true);
    expect(await verifyPassword(Buffer.from('apple'), hashed)).toBe(true);
    expect(await verifyPassword('pear', hashed)).toBe(false);
    expect(await verifyPassword('', hashed)).toBe(false);
  });

  test('a password is not the text of its hash, and clear text fits nothing', async () => {
    expect(await verifyPassword(forms.hashed, forms.hashed)).toBe(false);
    expect(await verifyPassword('apple', 'apple')).toBe(false);
  });
});

describe('parseHash', () => {
  test.each([
    'apple',
    '',
    '-pbkdf2-,salt,10',
    '-pbkdf2:sha256-abcd,salt,10',
    `-pbkdf2:sha256-${'a'.repeat(64)},salt`,
    `-pbkdf2:sha256-${'a'.repeat(64)},salt,0`,
    `-pbkdf2:sha256-${'a'.repeat(64)},salt,99999999999`,
    `-pbkdf2:sha256-${'a'.repeat(64)},,10`,
    `-pbkdf2:md5-${'a'.repeat(32)},salt,10`,
    `-hashed-${'a'.repeat(40)}`,
    `-hashed-${'a'.repeat(39)},salt`,
  ])('refuses %j', (text) => {
    expect(parseHash(text)).toBeUndefined();
  });

  test('a mangled hash still counts as hashed, so that nobody can log in with its text', () => {
    expect(isHashed('-pbkdf2:sha256-abcd')).toBe(true);
    expect(isHashed('-pbkdf2:md5-abcd,salt,1')).toBe(true);
    expect(isHashed('-hashed-')).toBe(true);
    expect(isHashed('-pbkdf-2')).toBe(false);
  });
});

test('hashing leaves the event loop free', async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await hashPassword('apple');
  clearInterval(timer);
  expect(turns).toBeGreaterThan(0);
});
