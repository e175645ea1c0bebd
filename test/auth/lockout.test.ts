import { afterEach, describe, expect, test, vi } from 'vitest';
import { Lockout, type LockoutSettings } from '../../src/auth/lockout.js';
import { startUsers, type Users } from './users/gateway.js';

const SETTINGS: LockoutSettings = { mode: 'enforce', threshold: 3, lifetime: 1000, maxObjects: 5 };
const HERE = '192.0.2.1';

afterEach(() => {
  vi.useRealTimers();
});

function lockout(settings: Partial<LockoutSettings> = {}): Lockout {
  return new Lockout(() => ({ ...SETTINGS, ...settings }));
}

const fail = (counted: Lockout, times: number, address = HERE, name = 'ann', salt = 's'): void => {
  for (let i = 0; i < times; i++) counted.failed(address, name, salt);
};

describe('failures', () => {
  test('lock a name out for the address that they came from, until the password is another one', () => {
    const counted = lockout();
    fail(counted, 2);
    expect(counted.reached(HERE, 'ann', 's')).toBe(false);
    fail(counted, 1);
    expect(counted.reached(HERE, 'ann', 's')).toBe(true);
    expect(counted.reached(HERE, 'bob', 's')).toBe(false);
    expect(counted.reached('192.0.2.2', 'ann', 's')).toBe(false);
    expect(counted.reached(HERE, 'ann', 'other')).toBe(false);
  });

  test('are not mistaken for those of another split of the same characters', () => {
    const counted = lockout();
    fail(counted, 3, '1', '2ann', 's');
    fail(counted, 3, '1', 'a', 'b:c');
    expect(counted.reached('12', 'ann', 's')).toBe(false);
    expect(counted.reached('1', 'a:b', 'c')).toBe(true);
  });

  test('are forgotten some time after the first', () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const counted = lockout();
    fail(counted, 2);
    vi.setSystemTime(Date.now() + 999);
    fail(counted, 1);
    expect(counted.reached(HERE, 'ann', 's')).toBe(true);
    vi.setSystemTime(Date.now() + 1);
    expect(counted.reached(HERE, 'ann', 's')).toBe(false);
    fail(counted, 2);
    expect(counted.reached(HERE, 'ann', 's')).toBe(false);
  });

  test('are counted for so many names only, the latest', () => {
    const counted = lockout();
    fail(counted, 3, HERE, 'first');
    for (let i = 0; i < 4; i++) fail(counted, 1, HERE, `other${String(i)}`);
    expect(counted.reached(HERE, 'first', 's')).toBe(true);
    fail(counted, 1, HERE, 'one more');
    expect(counted.reached(HERE, 'first', 's')).toBe(false);
  });

  test('are not counted when that is off', () => {
    const counted = lockout({ mode: 'off' });
    fail(counted, 9);
    expect(counted.reached(HERE, 'ann', 's')).toBe(false);
  });
});

describe('a server', () => {
  let it: Users;
  afterEach(() => it.stop());

  const LOCKED = {
    status: 403,
    body: {
      error: 'forbidden',
      reason: 'Account is temporarily locked due to multiple authentication failures',
    },
  };
  const statusOf = async (as: string, headers = {}): Promise<number> =>
    (await it.ask('GET', '/_session', { as, headers })).status;
  const login = (name: string, password: string) =>
    it.ask('POST', '/_session', { as: null, json: { name, password } });

  test('locks out users, admins and names that nobody has alike, by either way to log in', async () => {
    it = await startUsers();
    await it.put('ann', { password: 'apple' });
    const session = await login('ann', 'apple');
    const cookie = session.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    for (const name of ['ann', 'admin', 'nobody', '__proto__']) {
      for (let i = 0; i < 4; i++) expect(await statusOf(`${name}:wrong`)).toBe(401);
      expect((await login(name, 'wrong')).status).toBe(401);
      expect(await it.ask('GET', '/_session', { as: `${name}:wrong` })).toMatchObject(LOCKED);
      expect(await login(name, 'wrong')).toMatchObject(LOCKED);
    }
    // Also with the right password, though it is remembered; who has a session goes on.
    expect(await statusOf('ann:apple')).toBe(403);
    expect((await login('ann', 'apple')).status).toBe(403);
    expect((await it.ask('GET', '/_session', { as: null, headers: { cookie } })).body).toMatchObject({
      userCtx: { name: 'ann' },
    });
    // Elsewhere they are let in.
    const elsewhere = { 'x-forwarded-for': '198.51.100.7' };
    expect(await statusOf('ann:apple', elsewhere)).toBe(200);
    expect(await statusOf('admin:secret', elsewhere)).toBe(200);
    // A new password opens the account again.
    const { _rev } = (await it.ask('GET', it.documentOf('ann'), { as: 'admin:secret', headers: elsewhere }))
      .body as { _rev: string };
    const json = { _rev, name: 'ann', type: 'user', roles: [], password: 'pear' };
    await it.ask('PUT', it.documentOf('ann'), { headers: elsewhere, json });
    expect(await statusOf('ann:pear')).toBe(200);
  });

  test('are not more when they come at once', async () => {
    // None is answered before the last has come.
    it = await startUsers({ passwords: { iterations: 50_000 } });
    await it.put('ann', { password: 'apple' });
    const guesses = Array.from({ length: 30 }, (_, at) => statusOf(`ann:${String(at)}`));
    const answers = await Promise.all(guesses);
    expect(answers.filter((status) => status === 401)).toHaveLength(5);
    expect(answers.filter((status) => status === 403)).toHaveLength(25);
  });

  test('only says so, or not even that, when it is told to', async () => {
    for (const mode of ['warn', 'off'] as const) {
      it = await startUsers({ lockout: { mode, threshold: 1 } });
      for (let i = 0; i < 4; i++) expect(await statusOf('admin:wrong')).toBe(401);
      expect(await statusOf('admin:secret')).toBe(200);
      if (mode === 'warn') await it.stop();
    }
  });
});
