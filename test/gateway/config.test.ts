import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';

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

test('the names of all databases are for everybody where that is wanted', async () => {
  const asked = async (): Promise<number[]> => {
    const keys = { keys: ['_users'] };
    const answers = [
      await it.ask('GET', '/_all_dbs', { as: null }),
      await it.ask('GET', '/_dbs_info', { as: null }),
      await it.ask('POST', '/_dbs_info', { as: null, json: keys }),
    ];
    return answers.map(({ status }) => status);
  };
  expect(await asked()).toEqual([401, 401, 401]);
  await set('/chttpd/admin_only_all_dbs', 'false');
  expect(await asked()).toEqual([200, 200, 200]);
  await set('/chttpd/admin_only_all_dbs', 'true');
  expect(await asked()).toEqual([401, 401, 401]);
});

test('browsers are asked for a password where that is wanted, unless a program asks for something else', async () => {
  const challenge = async (headers: Record<string, string> = {}): Promise<unknown> =>
    (await it.ask('GET', '/_all_dbs', { as: null, headers })).headers['www-authenticate'];
  expect(await challenge()).toBeUndefined();
  await set('/httpd/WWW-Authenticate', 'Basic realm="couchdb"');
  expect(await challenge()).toBe('Basic realm="couchdb"');
  expect(await challenge({ accept: 'text/html' })).toBe('Basic realm="couchdb"');
  expect(await challenge({ 'x-couchdb-www-authenticate': 'Mine' })).toBe('Mine');
  expect((await it.ask('PUT', `${CONFIG}/chttpd/WWW-Authenticate`, { json: 'Größe' })).status).toBe(400);
});

test('a URL may be as long as is said, from then on', async () => {
  const long = `/?${'a'.repeat(200)}`;
  expect((await it.ask('GET', long)).status).toBe(200);
  await set('/chttpd/max_uri_length', '100');
  expect((await it.ask('GET', long)).status).toBe(414);
});

test('databases are compacted by themselves by the rules that were set', async () => {
  await set('/smoosh.ratio_dbs/min_size', '0');
  await it.ask('PUT', '/db');
  const revs: string[] = [];
  for (let n = 0; n < 10; n++) {
    const json = { text: 'x'.repeat(1000), ...(n > 0 && { _rev: revs.at(-1) }) };
    const { body } = await it.ask('PUT', '/db/doc', { json });
    revs.push((body as { rev: string }).rev);
  }
  // A compaction keeps the newest body alone.
  await until('the oldest body is gone', async () => {
    const { status } = await it.ask('GET', `/db/doc?rev=${String(revs[0])}`);
    return status === 404;
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
