import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import * as password from '../../../src/auth/password.js';
import { until } from '../../system/support/wait.js';
import { startUsers, type Users } from './gateway.js';

vi.mock(import('../../../src/auth/password.js'), { spy: true });
const verify = vi.mocked(password.verifyPassword);

let it: Users;
afterAll(() => it.stop());
beforeAll(async () => {
  it = await startUsers();
});

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex');
const derive = (clear: string, salt: string, iterations: number, bytes: number, digest: string): string =>
  pbkdf2Sync(clear, salt, iterations, bytes, digest).toString('hex');

/** Writes a document beside all rules, as another program could have. */
async function plant(name: string, members: object): Promise<void> {
  const json = { docs: [{ _id: `org.couchdb.user:${name}`, name, type: 'user', roles: [], ...members }] };
  const { body } = await it.ask('POST', '/_users/_bulk_docs', { json });
  expect(body).toMatchObject([{ ok: true }]);
}

describe('a change of a user document counts for the very next request', () => {
  test('of the password, and ends the sessions of the old one', async () => {
    await it.put('ann', { password: 'old' });
    const login = await it.ask('POST', '/_session', { as: null, json: { name: 'ann', password: 'old' } });
    const cookie = login.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    const session = async (): Promise<unknown> =>
      (await it.ask('GET', '/_session', { as: null, headers: { cookie } })).body;
    expect(await session()).toMatchObject({ userCtx: { name: 'ann' }, info: { authenticated: 'cookie' } });
    await it.put('ann', { password: 'new' });
    expect(await session()).toMatchObject({ userCtx: { name: null } });
    expect(await it.whoIs('ann:old')).toBe(401);
    expect(await it.whoIs('ann:new')).toEqual([]);
  });

  test('of the roles, without another hash', async () => {
    await it.put('bob', { password: 'x' });
    expect(await it.whoIs('bob:x')).toEqual([]);
    const { _id, ...known } = await it.read('bob');
    expect(_id).toBe('org.couchdb.user:bob');
    verify.mockClear();
    for (const roles of [['dev'], ['dev', 'ops'], []]) {
      await it.put('bob', { ...known, _rev: (await it.read('bob'))._rev, roles });
      expect(await it.whoIs('bob:x')).toEqual(roles);
    }
    expect(verify).not.toHaveBeenCalledWith(expect.anything(), expect.objectContaining({ salt: known.salt }));
  });

  test('that is replicated, purged or a deletion', async () => {
    await it.put('eve', { password: 'x', roles: ['dev'] });
    expect(await it.whoIs('eve:x')).toEqual(['dev']);
    const { _id, _rev, ...own } = await it.read('eve');
    const [, hash = ''] = String(_rev).split('-');
    const next = { _id, ...own, roles: ['ops'], _revisions: { start: 2, ids: ['f'.repeat(32), hash] } };
    await it.ask('POST', '/_users/_bulk_docs', { json: { docs: [next], new_edits: false } });
    expect(await it.whoIs('eve:x')).toEqual(['ops']);
    await it.ask('POST', '/_users/_purge', { json: { [String(_id)]: [`2-${'f'.repeat(32)}`] } });
    expect(await it.whoIs('eve:x')).toBe(401);
    const rev = await it.put('eve', { password: 'x' });
    expect(await it.whoIs('eve:x')).toEqual([]);
    await it.ask('DELETE', `${it.documentOf('eve')}?rev=${rev}`);
    expect(await it.whoIs('eve:x')).toBe(401);
  });

  test('that is in conflict: nobody logs in before it is resolved', async () => {
    await it.put('two', { password: 'x' });
    const { _id, _rev, ...own } = await it.read('two');
    const other = { _id, ...own, _rev: `1-${'0'.repeat(32)}` };
    await it.ask('POST', '/_users/_bulk_docs', { json: { docs: [other], new_edits: false } });
    const { status, body } = await it.ask('GET', '/_session', { as: 'two:x' });
    expect({ status, body }).toMatchObject({
      status: 401,
      body: { reason: expect.stringContaining('conflicts must be resolved') as string },
    });
    expect((await it.ask('GET', '/_session', { as: 'two:wrong' })).body).toMatchObject({
      reason: 'Name or password is incorrect.',
    });
    await it.ask('DELETE', `${it.documentOf('two')}?rev=1-${'0'.repeat(32)}`);
    expect(await it.whoIs('two:x')).toEqual([]);
    expect(_rev).toBeDefined();
  });

  test('and so does a deletion of the database, which can be made again', async () => {
    const other = await startUsers();
    try {
      await other.put('ann', { password: 'x' });
      expect(await other.whoIs('ann:x')).toEqual([]);
      expect((await other.ask('DELETE', '/_users')).status).toBe(200);
      expect(await other.whoIs('ann:x')).toBe(401);
      expect(await other.whoIs('admin:secret')).toEqual(['_admin']);
      expect((await other.ask('PUT', '/_users')).status).toBe(201);
      expect((await other.ask('GET', '/_users/_design/_auth')).status).toBe(200);
      expect(await other.whoIs('ann:x')).toBe(401);
      await other.put('ann', { password: 'y' });
      expect(await other.whoIs('ann:y')).toEqual([]);
    } finally {
      await other.stop();
    }
  });
});

describe('the database', () => {
  test('outlives a restart, which puts its design document right', async () => {
    const first = await startUsers();
    await first.put('ann', { password: 'x', roles: ['dev'] });
    const login = await first.ask('POST', '/_session', { as: null, json: { name: 'ann', password: 'x' } });
    const cookie = login.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    const { body: design } = await first.ask('GET', '/_users/_design/_auth');
    const json = { ...(design as object), validate_doc_update: 'function () {}', mine: 1 };
    expect((await first.ask('PUT', '/_users/_design/_auth', { json })).status).toBe(201);
    // Whatever it says, the rules hold.
    expect((await first.ask('PUT', first.documentOf('bad'), { json: {} })).status).toBe(403);
    await first.gateway.close();
    const second = await startUsers({}, first.folder);
    try {
      expect(await second.whoIs('ann:x')).toEqual(['dev']);
      const { body } = await second.ask('GET', '/_session', { as: null, headers: { cookie } });
      expect(body).toMatchObject({ userCtx: { name: 'ann', roles: ['dev'] } });
      const { validate_doc_update: rule } = design as Record<string, unknown>;
      const now = (await second.ask('GET', '/_users/_design/_auth')).body;
      expect(now).toMatchObject({
        validate_doc_update: rule,
        mine: 1,
        _rev: expect.stringMatching(/^3-/) as string,
      });
    } finally {
      await second.stop();
      await first.stop();
    }
  });

  test('is closed and opened like others when many are in use, and nobody is kept out', async () => {
    const few = await startUsers({ limits: { maxDbsOpen: 1 } });
    try {
      await few.put('ann', { password: 'x' });
      for (const name of ['a', 'b', 'c']) {
        expect((await few.ask('PUT', `/${name}`)).status).toBe(201);
        expect((await few.ask('GET', `/${name}`)).status).toBe(200);
        expect(await few.whoIs('ann:x')).toEqual([]);
      }
    } finally {
      await few.stop();
    }
  });
});

describe('hashes of other kinds', () => {
  const salt = 'salted';
  const kinds: [string, object][] = [
    ['simple', { password_scheme: 'simple', salt, password_sha: sha1(`apple${salt}`) }],
    ['of no scheme at all', { salt, password_sha: sha1(`apple${salt}`) }],
    [
      'pbkdf2 of CouchDB 1 and 2',
      { password_scheme: 'pbkdf2', salt, iterations: 10, derived_key: derive('apple', salt, 10, 20, 'sha1') },
    ],
    [
      'pbkdf2 with SHA-512',
      {
        password_scheme: 'pbkdf2',
        pbkdf2_prf: 'sha512',
        salt,
        iterations: 7,
        derived_key: derive('apple', salt, 7, 64, 'sha512'),
      },
    ],
    [
      'simple within pbkdf2',
      {
        password_scheme: 'simple+pbkdf2',
        pbkdf2_prf: 'sha256',
        salt,
        iterations: 5,
        derived_key: derive(sha1(`apple${salt}`), salt, 5, 32, 'sha256'),
      },
    ],
  ];

  test.each(kinds)('%s: fits, and is made anew at log-in with the same salt', async (kind, members) => {
    const name = `old ${kind}`;
    await plant(name, { ...members, more: 'stays', roles: ['dev'] });
    expect(await it.whoIs(`${name}:pear`)).toBe(401);
    const headers = { 'content-type': 'text/plain' };
    const { _rev } = await it.read(name);
    const attached = `${it.documentOf(name)}/a.txt?rev=${String(_rev)}`;
    expect((await it.ask('PUT', attached, { headers, text: 'attached' })).status).toBe(201);
    const form = { name, password: 'apple' };
    const login = await it.ask('POST', '/_session', { as: null, json: form });
    const cookie = login.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    await until('it is hashed anew', async () => (await it.read(name)).iterations === 2);
    expect(await it.read(name)).toMatchObject({
      password_scheme: 'pbkdf2',
      pbkdf2_prf: 'sha256',
      iterations: 2,
      salt,
      derived_key: derive('apple', salt, 2, 32, 'sha256'),
      more: 'stays',
      roles: ['dev'],
      _attachments: { 'a.txt': { stub: true } },
    });
    expect(await it.read(name)).not.toHaveProperty('password_sha');
    verify.mockClear();
    expect(await it.whoIs(`${name}:apple`)).toEqual(['dev']);
    expect(verify).not.toHaveBeenCalled();
    const { body } = await it.ask('GET', '/_session', { as: null, headers: { cookie } });
    expect(body).toMatchObject({ userCtx: { name } });
    expect((await it.read(name))._rev).toMatch(/^3-/);
  });

  test('are left alone where the configuration says so', async () => {
    const kept = await startUsers({ passwords: { iterations: 2, upgrade: false } });
    try {
      const json = { name: 'old', type: 'user', roles: [], salt, password_sha: sha1(`apple${salt}`) };
      await kept.ask('PUT', kept.documentOf('old'), { json });
      expect(await kept.whoIs('old:apple')).toEqual([]);
      expect(await kept.whoIs('old:apple')).toEqual([]);
      expect((await kept.read('old'))._rev).toMatch(/^1-/);
    } finally {
      await kept.stop();
    }
  });

  test.each([
    ['too many iterations', { iterations: 1e9 }, 403],
    ['too few iterations', { iterations: 0 }, 403],
    ['half an iteration', { iterations: 1.5 }, 401],
    ['a function that nobody knows', { iterations: 5, pbkdf2_prf: 'md5' }, 403],
    ['more salt than there ever is', { iterations: 5, salt: 'a'.repeat(1025) }, 403],
    ['a key that is too short', { iterations: 5, derived_key: 'abcd' }, 401],
    ['a key that is none', { iterations: 5, derived_key: 'z'.repeat(64) }, 401],
  ])('with %s let nobody in, at no cost', async (what, members, status) => {
    const base = { password_scheme: 'pbkdf2', pbkdf2_prf: 'sha256', salt, derived_key: 'a'.repeat(64) };
    await plant(what, { ...base, ...members });
    verify.mockClear();
    expect(await it.whoIs(`${what}:apple`)).toBe(status);
    const costs = verify.mock.calls.map(([, hash]) => (typeof hash === 'object' ? hash.iterations : 0));
    expect(Math.max(...costs)).toBe(2);
  });

  test('and documents without a password let nobody in', async () => {
    await plant('none', {});
    await plant('null', { password: null });
    for (const name of ['none', 'null']) {
      for (const clear of ['', 'null', 'undefined']) expect(await it.whoIs(`${name}:${clear}`)).toBe(401);
      const forged = Buffer.from(`${name}:${Math.floor(Date.now() / 1000).toString(16)}:`);
      const mac = createHmac('sha256', '').update(forged.subarray(0, -1)).digest();
      const cookie = `AuthSession=${Buffer.concat([forged, mac]).toString('base64url')}`;
      const { body } = await it.ask('GET', '/_session', { as: null, headers: { cookie } });
      expect(body).toMatchObject({ userCtx: { name: null } });
    }
  });
});

describe('names', () => {
  test('that look alike are different people', async () => {
    const [composed, decomposed] = ['Zo\u00eb', 'Zoe\u0308'];
    await it.put(composed, { password: 'one', roles: ['composed'] });
    expect(await it.whoIs(`${composed}:one`)).toEqual(['composed']);
    expect(await it.whoIs(`${decomposed}:one`)).toBe(401);
    await it.put(decomposed, { password: 'two', roles: ['decomposed'] });
    expect(await it.whoIs(`${decomposed}:two`)).toEqual(['decomposed']);
    expect(await it.whoIs(`${composed}:one`)).toEqual(['composed']);
    for (const name of ['ZO\u00cb', ` ${composed}`, `${composed} `, `${composed}\u200b`, `${composed}\0`])
      expect(await it.whoIs(`${name}:one`)).toBe(401);
  });

  test('are the whole of what follows the prefix', async () => {
    const json = { name: 'x', type: 'user', roles: [], password: 'x' };
    for (const id of ['org.couchdb.user:org.couchdb.user:x', 'ORG.COUCHDB.USER:x', 'org.couchdb.userx', 'x'])
      expect((await it.ask('PUT', `/_users/${id}`, { json })).status).toBe(403);
    expect((await it.ask('PUT', '/_users/org.couchdb.user:', { json: { ...json, name: '' } })).status).toBe(
      403,
    );
    expect(await it.whoIs(':x')).toBe(401);
  });

  test('of JavaScript’s own mean nothing', async () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
      expect(await it.whoIs(`${name}:x`)).toBe(401);
      await it.put(name, { password: 'x', roles: ['constructor'] });
      expect(await it.whoIs(`${name}:x`)).toEqual(['constructor']);
    }
    expect(await it.whoIs('__proto__:x')).toBe(401);
  });
});

describe('an admin', () => {
  test('is the configuration’s, whatever the user of that name', async () => {
    await plant('admin', { password: 'guessed', roles: ['dev', '_metrics'] });
    expect(await it.whoIs('admin:guessed')).toBe(401);
    expect(await it.whoIs('admin:secret')).toEqual(['_admin', 'dev', '_metrics']);
    const { _rev } = await it.read('admin');
    await it.ask('DELETE', `${it.documentOf('admin')}?rev=${String(_rev)}`);
    expect(await it.whoIs('admin:secret')).toEqual(['_admin']);
  });
});

test('a second factor is asked for', async () => {
  const key = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
  const codeAt = (seconds: number): string => {
    // "Hello!" and four bytes, twice, as Base32 has it.
    const bytes = Buffer.from('48656c6c6f21deadbeef48656c6c6f21deadbeef', 'hex');
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(Math.floor(seconds / 30)));
    const mac = createHmac('sha1', bytes).update(counter).digest();
    const at = (mac.at(-1) ?? 0) & 15;
    return String((mac.readUInt32BE(at) & 0x7fffffff) % 1e6).padStart(6, '0');
  };
  await it.put('careful', { password: 'x', totp: { key } });
  const login = async (more: object): Promise<number> => {
    const json = { name: 'careful', password: 'x', ...more };
    return (await it.ask('POST', '/_session', { as: null, json })).status;
  };
  const now = Date.now() / 1000;
  expect(await it.whoIs('careful:x')).toBe(401);
  expect(await login({})).toBe(401);
  expect(await login({ token: codeAt(now - 3600) })).toBe(401);
  expect(await login({ token: codeAt(now), password: 'y' })).toBe(401);
  expect(await login({ token: codeAt(now) })).toBe(200);
  await it.put('careless', { password: 'x', totp: { key: '!' } });
  expect(await it.whoIs('careless:x')).toBe(401);
});
