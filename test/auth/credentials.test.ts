import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Admins, type Account, type Accounts } from '../../src/auth/accounts.js';
import { Credentials } from '../../src/auth/credentials.js';
import * as password from '../../src/auth/password.js';

vi.mock(import('../../src/auth/password.js'), { spy: true });

const verify = vi.mocked(password.verifyPassword);
const bytes = (text: string): Buffer => Buffer.from(text);

/** Accounts that can be changed. */
class Changing implements Accounts {
  current: Accounts;
  constructor(admins: Record<string, string>) {
    this.current = new Admins(Object.entries(admins));
  }
  find(name: string): Account | undefined {
    return this.current.find(name);
  }
  decoy(name: string): password.PasswordHash {
    return this.current.decoy(name);
  }
}

const hashed = (clear: string): Promise<string> => password.hashPassword(clear, 1);

beforeEach(() => {
  verify.mockClear();
});

describe('a hash is paid', () => {
  test('once for a name and password that fit', async () => {
    const credentials = new Credentials(new Changing({ bob: await hashed('apple') }));
    for (let i = 0; i < 5; i++)
      expect((await credentials.check('bob', bytes('apple')))?.user.name).toBe('bob');
    expect(verify).toHaveBeenCalledTimes(1);
  });

  test('once for requests at the same moment', async () => {
    const credentials = new Credentials(new Changing({ bob: await hashed('apple') }));
    const found = await Promise.all(
      Array.from({ length: 6 }, () => credentials.check('bob', bytes('apple'))),
    );
    expect(found.map((account) => account?.user.name)).toEqual(Array(6).fill('bob'));
    expect(verify).toHaveBeenCalledTimes(1);
  });

  test('every time for a wrong password and for an unknown name, at the same cost', async () => {
    const credentials = new Credentials(new Changing({ bob: await password.hashPassword('apple', 3) }));
    await credentials.check('bob', bytes('apple'));
    verify.mockClear();
    for (let i = 0; i < 2; i++) {
      expect(await credentials.check('bob', bytes('pear'))).toBeUndefined();
      expect(await credentials.check('alice', bytes('apple'))).toBeUndefined();
    }
    const costs = verify.mock.calls.map(
      ([, hash]) => typeof hash === 'object' && [hash.scheme, hash.iterations],
    );
    expect(costs).toEqual(Array(4).fill(['sha256', 3]));
  });

  test('again when the least recently used had to go', async () => {
    const names = ['a', 'b', 'c'];
    const admins = await Promise.all(names.map(async (name) => [name, await hashed('pw')] as const));
    const credentials = new Credentials(new Changing(Object.fromEntries(admins)), 2);
    for (const name of ['a', 'b', 'a', 'c']) await credentials.check(name, bytes('pw'));
    expect(verify).toHaveBeenCalledTimes(3);
    await credentials.check('a', bytes('pw'));
    expect(verify).toHaveBeenCalledTimes(3);
    await credentials.check('b', bytes('pw'));
    expect(verify).toHaveBeenCalledTimes(4);
  });
});

describe('a remembered password', () => {
  test('is forgotten when the stored hash changes or the account goes', async () => {
    const accounts = new Changing({ bob: await hashed('apple') });
    const credentials = new Credentials(accounts);
    expect(await credentials.check('bob', bytes('apple'))).toBeDefined();
    accounts.current = new Admins([['bob', await hashed('pear')]]);
    expect(await credentials.check('bob', bytes('apple'))).toBeUndefined();
    expect(await credentials.check('bob', bytes('pear'))).toBeDefined();
    accounts.current = new Admins([]);
    expect(await credentials.check('bob', bytes('pear'))).toBeUndefined();
  });

  test('does not count when it was changed while it was checked', async () => {
    const accounts = new Changing({ bob: await hashed('apple') });
    const next = new Admins([['bob', await hashed('pear')]]);
    const checked = new Credentials(accounts).check('bob', bytes('apple'));
    accounts.current = next;
    expect(await checked).toBeUndefined();
  });

  test('is not mistaken for another split of the same characters, even where accounts share a hash', async () => {
    const shared = await hashed('c');
    const credentials = new Credentials(new Changing({ ab: shared, a: shared }));
    expect(await credentials.check('ab', bytes('c'))).toBeDefined();
    expect(await credentials.check('a', bytes('bc'))).toBeUndefined();
  });
});

test('an unknown name costs what one of the admins costs, always the same one', async () => {
  const admins = new Admins([
    ['old', `-pbkdf2-${'0'.repeat(40)},salt,10`],
    ['new', await password.hashPassword('x', 99)],
  ]);
  const costs = new Set<number>();
  for (let i = 0; i < 50; i++) {
    const { iterations } = admins.decoy(`name${String(i)}`);
    expect(admins.decoy(`name${String(i)}`).iterations).toBe(iterations);
    costs.add(iterations);
  }
  expect(costs).toEqual(new Set([10, 99]));
  expect(new Admins([]).decoy('anyone').iterations).toBe(600_000);
});
