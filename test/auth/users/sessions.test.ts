import { afterEach, describe, expect, test } from 'vitest';
import { hashPassword } from '../../../src/auth/password.js';
import type { ConfigValues } from '../../../src/config/schema.js';
import { startUsers, type Users } from './gateway.js';

let it: Users;
afterEach(() => it.stop());

async function cookieOf(settings: ConfigValues): Promise<string> {
  it = await startUsers(settings);
  const json = { name: 'admin', password: 'secret' };
  const { headers } = await it.ask('POST', '/_session', { as: null, json });
  return headers['set-cookie']?.[0] ?? '';
}

describe('the cookie of a session', () => {
  test('says as little as CouchDB’s', async () => {
    const cookie = await cookieOf({});
    expect(cookie).toMatch(
      /^AuthSession=[\w-]+; Version=1; Expires=[^;]+ GMT; Max-Age=600; Path=\/; HttpOnly$/,
    );
  });

  test('is for TLS only where a proxy says that the client uses that', async () => {
    await cookieOf({ session: { sameSite: 'none' } });
    const given = async (headers: Record<string, string>) => {
      const json = { name: 'admin', password: 'secret' };
      const answer = await it.ask('POST', '/_session', { as: null, json, headers });
      return answer.headers['set-cookie']?.[0]?.replace(/.*Max-Age=600; /, '');
    };
    expect(await given({})).toBe('Path=/; HttpOnly; SameSite=None');
    for (const headers of [{ 'x-forwarded-proto': 'https' }, { 'x-forwarded-ssl': 'on' }])
      expect(await given(headers)).toBe('Secure; Path=/; HttpOnly; SameSite=None');
    expect(await given({ 'x-forwarded-proto': 'http' })).toBe('Path=/; HttpOnly; SameSite=None');
  });

  test('says what it is configured to say, also when it is taken back', async () => {
    const session = { timeout: 60, sameSite: 'strict', domain: 'example.org', persistent: false } as const;
    const cookie = await cookieOf({ session });
    const rest = 'Domain=example.org; Path=/; HttpOnly; SameSite=Strict';
    expect(cookie).toMatch(new RegExp(`^AuthSession=[\\w-]+; Version=1; ${rest}$`));
    const { headers } = await it.ask('DELETE', '/_session');
    expect(headers['set-cookie']?.[0]).toMatch(
      /^AuthSession=; Version=1; Expires=Thu, 01 Jan 1970 .*; Max-Age=0; /,
    );
    expect(headers['set-cookie']?.[0]).toMatch(new RegExp(`${rest}$`));
  });
});

describe('a server for known users only', () => {
  const asked = async (method: string, url: string): Promise<number> =>
    (await it.ask(method, url, { as: null, ...(method === 'POST' && { json: {} }) })).status;

  test('lets nobody in without a name, but to log in', async () => {
    it = await startUsers({ auth: { requireValidUser: true } });
    for (const [method, url] of [
      ['GET', '/'],
      ['GET', '/_up'],
      ['GET', '/_session'],
      ['DELETE', '/_session'],
      ['GET', '/_uuids'],
      ['GET', '/_utils/'],
      ['GET', '/none'],
      ['POST', '/none'],
      ['PATCH', '/_session'],
    ] as const) {
      expect({ method, url, status: await asked(method, url) }).toEqual({ method, url, status: 401 });
    }
    expect((await it.ask('GET', '/', { as: null })).body).toEqual({
      error: 'unauthorized',
      reason: 'Authentication required.',
    });
    expect(await asked('POST', '/_session')).toBe(400);
    expect((await it.ask('GET', '/')).status).toBe(200);
  });

  test('can say that it is up', async () => {
    it = await startUsers({ auth: { requireValidUserExceptForUp: true } });
    expect(await asked('GET', '/_up')).toBe(200);
    expect(await asked('GET', '/')).toBe(401);
  });
});

test('two servers with one secret and the same users and admins share their sessions', async () => {
  const admins = { root: await hashPassword('y', 1), admin: await hashPassword('secret', 1) };
  it = await startUsers({ admins });
  const other = await startUsers({ admins, secretFile: `${it.folder}/secret` });
  const stranger = await startUsers({ admins });
  try {
    await it.put('ann', { password: 'x' });
    const { _id, ...doc } = await it.read('ann');
    const docs = [{ _id, ...doc }];
    await other.ask('POST', '/_users/_bulk_docs', { json: { docs, new_edits: false } });
    for (const [name, password] of [
      ['ann', 'x'],
      ['root', 'y'],
    ] as const) {
      const { headers } = await it.ask('POST', '/_session', { as: null, json: { name, password } });
      const cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? '';
      const asked = { as: null, headers: { cookie } };
      expect((await other.ask('GET', '/_session', asked)).body).toMatchObject({ userCtx: { name } });
      expect((await stranger.ask('GET', '/_session', asked)).body).toMatchObject({ userCtx: { name: null } });
    }
  } finally {
    await other.stop();
    await stranger.stop();
  }
});
