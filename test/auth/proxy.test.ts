import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { TrustedProxy } from '../../src/auth/proxy.js';
import { configSchema } from '../../src/config/schema.js';
import { type Answer, startUsers, type Users } from './users/gateway.js';

const CONFIG = '/_node/_local/_config';
const SECRET = 'what only the proxy knows';

let it: Users;
beforeAll(async () => {
  it = await startUsers({
    auth: { handlers: ['proxy', 'cookie', 'default'] },
    proxy: { secret: SECRET },
  });
});
afterAll(() => it.stop());

/** Bytes as they stand in a header. */
const inHeader = (text: string): string => Buffer.from(text).toString('latin1');
const tokenOf = (name: string, hash = 'sha256'): string =>
  createHmac(hash, SECRET).update(name).digest('hex');

/** What a proxy sends for somebody. */
const headersOf = (name: string, roles?: string, token = tokenOf(name)): Record<string, string> => ({
  'x-auth-couchdb-username': inHeader(name),
  'x-auth-couchdb-token': inHeader(token),
  ...(roles !== undefined && { 'x-auth-couchdb-roles': inHeader(roles) }),
});
const ask = (headers: Record<string, string>, as: string | null = null): Promise<Answer> =>
  it.ask('GET', '/_session', { as, headers });
const userOf = ({ body }: Answer): unknown => (body as { userCtx: unknown }).userCtx;
const NOBODY = { name: null, roles: [] };

describe('a proxy that knows the secret', () => {
  test('says who asks, and with which roles', async () => {
    const answer = await ask(headersOf('foo', ' users , blogger,,'));
    expect(answer.body).toEqual({
      ok: true,
      userCtx: { name: 'foo', roles: ['users', 'blogger'] },
      info: { authentication_handlers: ['proxy', 'cookie', 'default'], authenticated: 'proxy' },
    });
    expect(answer.headers['set-cookie']).toBeUndefined();
  });

  test('may give no roles, and names of all languages', async () => {
    expect(userOf(await ask(headersOf('foo')))).toEqual({ name: 'foo', roles: [] });
    expect(userOf(await ask(headersOf('Jörg 東', 'rôle')))).toEqual({ name: 'Jörg 東', roles: ['rôle'] });
  });

  test('may take the older hash, but none that nobody configured', async () => {
    expect(userOf(await ask(headersOf('foo', undefined, tokenOf('foo', 'sha1'))))).toMatchObject({
      name: 'foo',
    });
    for (const hash of ['md5', 'sha512'])
      expect(userOf(await ask(headersOf('foo', undefined, tokenOf('foo', hash))))).toEqual(NOBODY);
  });

  test('makes admins', async () => {
    const status = async (roles: string): Promise<number> =>
      (await it.ask('GET', CONFIG, { as: null, headers: headersOf('foo', roles) })).status;
    expect([await status('_admin'), await status('admin')]).toEqual([200, 401]);
  });

  test('counts for more than what comes after it', async () => {
    expect(userOf(await ask(headersOf('foo'), 'admin:secret'))).toEqual({ name: 'foo', roles: [] });
  });

  test('is told of a name or roles that are not UTF-8', async () => {
    const name = Buffer.from([0x66, 0xff]);
    const token = createHmac('sha256', SECRET).update(name).digest('hex');
    const headers = { ...headersOf('', '', token), 'x-auth-couchdb-username': name.toString('latin1') };
    expect(await ask(headers)).toMatchObject({
      status: 400,
      body: { reason: 'X-Auth-CouchDB-UserName is not UTF-8' },
    });
    expect((await ask({ ...headersOf('foo'), 'x-auth-couchdb-roles': '\xff' })).status).toBe(400);
  });
});

describe('whoever does not know the secret', () => {
  test.each<[string, Record<string, string>]>([
    ['without a token', { 'x-auth-couchdb-username': 'foo', 'x-auth-couchdb-roles': '_admin' }],
    ['with an empty one', headersOf('foo', '_admin', '')],
    ['with a wrong one', headersOf('foo', '_admin', '00')],
    ['with one as long as the right one', headersOf('foo', '_admin', 'a'.repeat(64))],
    ['with one of another name', headersOf('foo', '_admin', tokenOf('bar'))],
    ['with the right one in other letters', headersOf('foo', '_admin', tokenOf('foo').toUpperCase())],
    [
      'with one under no secret',
      headersOf('foo', '_admin', createHmac('sha256', '').update('foo').digest('hex')),
    ],
    ['with one for no name', headersOf('', '_admin')],
    ['with a token that is not ASCII', headersOf('foo', '_admin', 'é'.repeat(32))],
  ])('is nobody %s', async (_how, headers) => {
    expect(userOf(await ask(headers))).toEqual(NOBODY);
    expect((await it.ask('GET', CONFIG, { as: null, headers })).status).toBe(401);
  });

  test('is who they are otherwise', async () => {
    expect(userOf(await ask(headersOf('foo', 'a', '00'), 'admin:secret'))).toMatchObject({ name: 'admin' });
  });

  test('is told to the log, without what was sent', () => {
    const warn = vi.fn();
    const { proxy: settings } = configSchema.parse({ proxy: { secret: SECRET } });
    const proxy = new TrustedProxy(() => settings, { warn });
    expect(proxy.authenticate(headersOf('foo', 'a', 'mistaken'), { address: '192.0.2.1' })).toBeUndefined();
    expect(warn.mock.calls).toEqual([
      [{ address: '192.0.2.1' }, 'the token of a proxy does not fit the name'],
    ]);
  });
});

test('pages of other origins change nothing by the log-in that a proxy knows', async () => {
  await it.ask('PUT', '/db');
  await it.ask('PUT', '/db/_security', { json: { members: { roles: ['team'] }, admins: {} } });
  const write = async (headers: Record<string, string>): Promise<number> =>
    (
      await it.ask('POST', '/db', {
        as: null,
        headers: { ...headersOf('foo', 'team'), ...headers },
        json: {},
      })
    ).status;
  expect(await write({})).toBe(201);
  expect(await write({ origin: 'https://evil.example' })).toBe(403);
  expect(await write({ origin: 'https://app.example', 'sec-fetch-site': 'same-origin' })).toBe(201);
});

describe('what the configuration says', () => {
  const set = (name: string, text: string): Promise<Answer> =>
    it.ask('PUT', `${CONFIG}/chttpd_auth/${name}`, { json: text });
  afterEach(async () => {
    for (const name of ['x_auth_username', 'x_auth_roles', 'x_auth_token', 'hash_algorithms'])
      await it.ask('DELETE', `${CONFIG}/chttpd_auth/${name}`);
  });

  test('of the names of the headers counts at once', async () => {
    await set('x_auth_username', 'X-Who');
    await set('x_auth_roles', 'X-Roles');
    await set('x_auth_token', 'X-Proof');
    const headers = { 'x-who': 'foo', 'x-roles': 'a', 'x-proof': tokenOf('foo') };
    expect(userOf(await ask(headers))).toEqual({ name: 'foo', roles: ['a'] });
    expect(userOf(await ask(headersOf('foo', 'a')))).toEqual(NOBODY);
    expect((await set('x_auth_token', 'X Proof')).status).toBe(400);
  });

  test('of hashes counts at once', async () => {
    const bySha512 = headersOf('foo', 'a', tokenOf('foo', 'sha512'));
    await set('hash_algorithms', 'sha512, sha384');
    expect(userOf(await ask(bySha512))).toMatchObject({ name: 'foo' });
    expect(userOf(await ask(headersOf('foo', 'a')))).toEqual(NOBODY);
    expect((await set('hash_algorithms', 'md5')).status).toBe(400);
  });

  test('never lets the headers count without a secret', async () => {
    const answer = await set('proxy_use_secret', 'false');
    expect(answer).toMatchObject({ status: 403 });
    expect(userOf(await ask(headersOf('foo', '_admin', '')))).toEqual(NOBODY);
  });
});

test('the headers say nothing where that is not switched on', async () => {
  const closed = await startUsers({ proxy: { secret: SECRET } });
  try {
    const headers = headersOf('foo', '_admin');
    expect(userOf(await closed.ask('GET', '/_session', { as: null, headers }))).toEqual(NOBODY);
    expect((await closed.ask('GET', CONFIG, { as: null, headers })).status).toBe(401);
  } finally {
    await closed.stop();
  }
});
