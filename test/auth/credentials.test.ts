import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Admins, type AccountOrNone, type Accounts } from '../../src/auth/accounts.js';
import { Credentials } from '../../src/auth/credentials.js';
import * as password from '../../src/auth/password.js';

vi.mock(import('../../src/auth/password.js'), { spy: true });

const verify = vi.mocked(password.verifyPassword);
const bytes = (text: string): Buffer => Buffer.from(text);

/** Accounts that can be changed, where a new password would be hashed with so many iterations. */
class Changing implements Accounts {
  readonly admins: Admins;
  constructor(
    admins: Readonly<Record<string, string>>,
    private readonly iterations = 1,
  ) {
    this.admins = new Admins(Object.entries(admins));
  }
  find(name: string): AccountOrNone {
    return this.admins.find(name);
  }
  decoy(): password.PasswordHash {
    return password.decoyOf({ prf: 'sha256', iterations: this.iterations });
  }
}

/** Checks as a request does. */
function checker(accounts: Changing, capacity?: number): (name: string, clear: string) => Promise<boolean> {
  const credentials = new Credentials(accounts, capacity);
  return (name, clear) => credentials.check(name, bytes(clear), accounts.find(name));
}

const hashed = (clear: string): Promise<string> => password.hashPassword(clear, 1);

/** What was paid, in iterations by function. */
const paid = (): unknown[] =>
  verify.mock.calls.map(([, hash]) => typeof hash === 'object' && [hash.scheme, hash.iterations]);

beforeEach(() => {
  verify.mockClear();
});

test('whoever tries many passwords does not keep others waiting', async () => {
  const accounts = new Changing({ bob: await password.hashPassword('apple', 20_000) }, 20_000);
  const credentials = new Credentials(accounts);
  const ended: string[] = [];
  const guesses = Array.from({ length: 40 }, async (_, n) => {
    await credentials.check('bob', bytes(`guess ${String(n)}`), accounts.find('bob'), {
      address: '192.0.2.1',
    });
    ended.push('guess');
  });
  const fits = credentials.check('bob', bytes('apple'), accounts.find('bob'), { address: '192.0.2.2' });
  expect(await fits).toBe(true);
  // Those that had begun, and those whose turn it was then.
  expect(ended.length).toBeLessThan(10);
  await Promise.all(guesses);
});

describe('a hash is paid', () => {
  test('once for a name and password that fit', async () => {
    const check = checker(new Changing({ bob: await hashed('apple') }));
    for (let i = 0; i < 5; i++) expect(await check('bob', 'apple')).toBe(true);
    expect(verify).toHaveBeenCalledTimes(1);
  });

  test('once for requests at the same moment', async () => {
    const check = checker(new Changing({ bob: await hashed('apple') }));
    const found = await Promise.all(Array.from({ length: 6 }, () => check('bob', 'apple')));
    expect(found).toEqual(Array(6).fill(true));
    expect(verify).toHaveBeenCalledTimes(1);
  });

  test('every time for a wrong password and for an unknown name, at the same cost', async () => {
    const check = checker(new Changing({ bob: await password.hashPassword('apple', 3) }, 3));
    await check('bob', 'apple');
    verify.mockClear();
    for (let i = 0; i < 2; i++) {
      expect(await check('bob', 'pear')).toBe(false);
      expect(await check('alice', 'apple')).toBe(false);
    }
    expect(paid()).toEqual(Array(4).fill(['sha256', 3]));
  });

  test.each([
    ['-pbkdf2-', `-pbkdf2-${'0'.repeat(40)},salt,10`, ['sha', 10], ['sha256', 90]],
    ['-hashed-', `-hashed-${'0'.repeat(40)},salt`, ['simple', 0], ['sha256', 100]],
  ])('as of a new password where an old one (%s) is wrong', async (_form, old, own, rest) => {
    const check = checker(new Changing({ bob: old }, 100));
    expect(await check('bob', 'pear')).toBe(false);
    expect(paid()).toEqual([own, rest]);
  });

  test('again when the least recently used had to go', async () => {
    const names = ['a', 'b', 'c'];
    const admins = await Promise.all(names.map(async (name) => [name, await hashed('pw')] as const));
    const check = checker(new Changing(Object.fromEntries(admins)), 2);
    for (const name of ['a', 'b', 'a', 'c']) await check(name, 'pw');
    expect(verify).toHaveBeenCalledTimes(3);
    await check('a', 'pw');
    expect(verify).toHaveBeenCalledTimes(3);
    await check('b', 'pw');
    expect(verify).toHaveBeenCalledTimes(4);
  });
});

describe('a remembered password', () => {
  test('is forgotten when the stored hash changes or the account goes', async () => {
    const accounts = new Changing({ bob: await hashed('apple') });
    const check = checker(accounts);
    expect(await check('bob', 'apple')).toBe(true);
    accounts.admins.replace([['bob', await hashed('pear')]]);
    expect(await check('bob', 'apple')).toBe(false);
    expect(await check('bob', 'pear')).toBe(true);
    accounts.admins.replace([]);
    expect(await check('bob', 'pear')).toBe(false);
  });

  test('does not count when it was changed while it was checked', async () => {
    const accounts = new Changing({ bob: await hashed('apple') });
    const next = await hashed('pear');
    const checked = checker(accounts)('bob', 'apple');
    accounts.admins.replace([['bob', next]]);
    expect(await checked).toBe(false);
  });

  test('is not mistaken for another split of the same characters, even where accounts share a hash', async () => {
    const shared = await hashed('c');
    const check = checker(new Changing({ ab: shared, a: shared }));
    expect(await check('ab', 'c')).toBe(true);
    expect(await check('a', 'bc')).toBe(false);
  });
});
