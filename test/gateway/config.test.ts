import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';

const CONFIG = '/_node/_local/_config';

let it: Users;
beforeEach(async () => {
  it = await startUsers();
});
afterEach(() => it.stop());

const set = async (at: string, text: string): Promise<void> => {
  expect((await it.ask('PUT', `${CONFIG}${at}`, { json: text })).status).toBe(200);
};
const cookieOf = async (name: string, password: string): Promise<string> => {
  const { headers } = await it.ask('POST', '/_session', { as: null, json: { name, password } });
  return headers['set-cookie']?.[0] ?? '';
};
const nameBy = async (cookie: string): Promise<unknown> => {
  const { body } = await it.ask('GET', '/_session', { as: null, headers: { cookie } });
  return (body as { userCtx: { name: unknown } }).userCtx.name;
};

describe('an admin that is set over HTTP', () => {
  test('gets in at once, by password and session, and no more once another password is set', async () => {
    await set('/admins/bo', 'pear');
    expect(await it.whoIs('bo:pear')).toEqual(['_admin']);
    const cookie = await cookieOf('bo', 'pear');
    expect(await nameBy(cookie)).toBe('bo');
    await set('/admins/bo', 'plum');
    expect([await it.whoIs('bo:pear'), await it.whoIs('bo:plum')]).toEqual([401, ['_admin']]);
    expect(await nameBy(cookie)).toBeNull();
  });

  test('is nobody once deleted', async () => {
    await set('/admins/bo', 'pear');
    const cookie = await cookieOf('bo', 'pear');
    await it.ask('DELETE', `${CONFIG}/admins/bo`, { as: 'bo:pear' });
    expect(await it.whoIs('bo:pear')).toBe(401);
    expect(await nameBy(cookie)).toBeNull();
  });

  test('cannot take the place of one whom the program gives', async () => {
    const { status, body } = await it.ask('PUT', `${CONFIG}/admins/admin`, { json: 'mine' });
    expect([status, body]).toEqual([
      403,
      {
        error: 'forbidden',
        reason:
          'admins/admin is given by the given configuration, which counts for more than what is set over HTTP.',
      },
    ]);
    expect(await it.whoIs('admin:secret')).toEqual(['_admin']);
  });
});

test('what is said of sessions counts for the next one', async () => {
  await set('/chttpd_auth/timeout', '77');
  await set('/chttpd_auth/same_site', 'Lax');
  expect(await cookieOf('admin', 'secret')).toMatch(/Max-Age=77;.*SameSite=Lax$/i);
  await set('/chttpd_auth/allow_persistent_cookies', 'false');
  expect(await cookieOf('admin', 'secret')).not.toMatch(/Max-Age/);
});

test('whoever has no name is refused where that is wanted, and can log in', async () => {
  await set('/chttpd/require_valid_user', 'true');
  expect((await it.ask('GET', '/_up', { as: null })).status).toBe(401);
  expect(await nameBy(await cookieOf('admin', 'secret'))).toBe('admin');
  await set('/chttpd/require_valid_user', 'false');
  expect((await it.ask('GET', '/_up', { as: null })).status).toBe(200);
});
