import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startUsers, type Asking, type Users } from './gateway.js';

const NOT_FOUND = { error: 'not_found', reason: 'missing' };
const NOT_LISTED = { error: 'unauthorized', reason: 'You are not a server admin.' };

let it: Users;
afterAll(() => it.stop());
beforeAll(async () => {
  it = await startUsers({ users: { securityEditable: true } });
  await it.put('ann', { password: 'apple', secretly: 'Ann’s' });
  await it.put('bob', { password: 'pear', roles: ['dev'] });
  await it.put('chief', { password: 'plum' });
});

const ANN: Asking = { as: 'ann:apple' };
const NOBODY: Asking = { as: null };
const CHIEF: Asking = { as: 'chief:plum' };

describe('_users', () => {
  test('is there from the start, for server admins, with CouchDB’s design document', async () => {
    const security = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
    expect((await it.ask('GET', '/_users/_security')).body).toEqual(security);
    expect((await it.ask('GET', '/_users/_design/_auth')).body).toMatchObject({
      _rev: expect.stringMatching(/^1-/) as string,
      language: 'javascript',
      validate_doc_update: expect.stringContaining('doc.type must be user') as string,
    });
    for (const [asking, status] of [
      [ANN, 403],
      [NOBODY, 401],
    ] as const) {
      expect((await it.ask('GET', '/_users', asking)).status).toBe(status);
      expect((await it.ask('GET', it.documentOf('ann'), asking)).status).toBe(status);
      expect((await it.ask('PUT', it.documentOf('dave'), { ...asking, json: {} })).status).toBe(status);
    }
  });

  test('keeps its security object unless the configuration says otherwise', async () => {
    const closed = await startUsers();
    try {
      await closed.put('ann', { password: 'apple' });
      const json = { admins: {}, members: {} };
      expect((await closed.ask('PUT', '/_users/_security', { json })).body).toEqual({
        error: 'forbidden',
        reason: "You can't edit the security object of the user database.",
      });
      expect((await closed.ask('PUT', '/_users/_security', { ...ANN, json })).body).toMatchObject({
        reason: 'You are not allowed to access this db.',
      });
    } finally {
      await closed.stop();
    }
  });
});

describe('once it is open to all', () => {
  beforeAll(() => it.openToAll({ names: ['chief'] }));

  test('whoever comes signs up, and nobody twice', async () => {
    const json = { name: 'new', type: 'user', roles: [], password: 'fresh' };
    expect((await it.ask('PUT', it.documentOf('new'), { ...NOBODY, json })).status).toBe(201);
    expect(await it.whoIs('new:fresh')).toEqual([]);
    expect((await it.ask('PUT', it.documentOf('new'), { ...NOBODY, json })).status).toBe(409);
    expect(await it.whoIs('new:fresh')).toEqual([]);
  });

  test('users read and change their own document, whichever way', async () => {
    const { _rev: rev } = (await it.ask('GET', it.documentOf('ann'), ANN)).body as { _rev: string };
    const own = it.documentOf('ann');
    for (const url of [
      own,
      `${own}?rev=${rev}`,
      `${own}?revs_info=true&conflicts=true`,
      `${own}?latest=true`,
    ])
      expect((await it.ask('GET', url, ANN)).body).toMatchObject({ name: 'ann', secretly: 'Ann’s' });
    expect((await it.ask('GET', `${own}?open_revs=all`, ANN)).body).toMatchObject([{ ok: { name: 'ann' } }]);
    const json = { _rev: rev, name: 'ann', type: 'user', roles: [], password: 'apple', colour: 'red' };
    expect((await it.ask('PUT', own, { ...ANN, json })).status).toBe(201);
    expect(await it.read('ann')).toMatchObject({ colour: 'red' });
    await it.put('ann', { password: 'apple', secretly: 'Ann’s' });
  });

  test('documents of others are not there, whichever way', async () => {
    const { _rev: rev } = (await it.read('bob')) as { _rev: string };
    const bob = it.documentOf('bob');
    const ways: [string, string, Asking?][] = [
      ['GET', bob],
      ['HEAD', bob],
      ['GET', `${bob}?rev=${rev}`],
      ['GET', `${bob}?latest=true&rev=${rev}`],
      ['GET', `${bob}?open_revs=all`],
      ['GET', `${bob}?revs_info=true`],
      ['GET', `${bob}/picture`],
      ['DELETE', `${bob}?rev=${rev}`],
      ['COPY', bob, { headers: { destination: 'org.couchdb.user:ann' } }],
    ];
    for (const asking of [ANN, NOBODY]) {
      for (const [method, url, more] of ways) {
        const answer = await it.ask(method, url, { ...asking, ...more });
        expect({ method, url, status: answer.status }).toEqual({ method, url, status: 404 });
      }
      const missing = await it.ask('GET', `${bob}?open_revs=["${rev}"]`, asking);
      expect(missing.body).toEqual([{ missing: rev }]);
      const ids = ['ann', 'bob', 'none'].map((name) => ({ id: `org.couchdb.user:${name}` }));
      const docs = [...ids, { id: '_design/_auth' }];
      const got = await it.ask('POST', '/_users/_bulk_get', { ...asking, json: { docs } });
      const seen = (got.body as { results: { docs: object[] }[] }).results.map(
        ({ docs: [one = {}] }) => Object.keys(one)[0],
      );
      expect(seen).toEqual([asking === ANN ? 'ok' : 'error', 'error', 'error', 'error']);
      const json = { 'org.couchdb.user:bob': ['9-abc'], 'org.couchdb.user:none': ['9-abc'] };
      const diff = await it.ask('POST', '/_users/_revs_diff', { ...asking, json });
      expect(diff.body).toEqual({
        'org.couchdb.user:bob': { missing: ['9-abc'] },
        'org.couchdb.user:none': { missing: ['9-abc'] },
      });
    }
  });

  test('lists and feeds are for server admins', async () => {
    for (const asking of [ANN, NOBODY, CHIEF]) {
      for (const url of ['_all_docs', '_all_docs?key="x"', '_design_docs', '_local_docs', '_changes']) {
        expect((await it.ask('GET', `/_users/${url}`, asking)).body).toEqual(NOT_LISTED);
        expect((await it.ask('POST', `/_users/${url}`, { ...asking, json: { keys: [] } })).body).toEqual(
          NOT_LISTED,
        );
      }
      const json = { queries: [{}] };
      expect((await it.ask('POST', '/_users/_all_docs/queries', { ...asking, json })).body).toEqual(
        NOT_LISTED,
      );
    }
    const { rows } = (await it.ask('GET', '/_users/_all_docs?include_docs=true')).body as { rows: object[] };
    expect(rows.length).toBeGreaterThan(3);
  });

  test('what was purged is told to those who see every document', async () => {
    const rev = await it.put('gone', { password: 'x' });
    await it.ask('POST', '/_users/_purge', { json: { 'org.couchdb.user:gone': [rev] } });
    const infos = { purged_infos: [{ id: 'org.couchdb.user:gone', revs: [rev] }] };
    for (const asking of [{}, CHIEF])
      expect((await it.ask('GET', '/_users/_purged_infos', asking)).body).toEqual(infos);
    for (const asking of [ANN, NOBODY])
      expect((await it.ask('GET', '/_users/_purged_infos', asking)).body).toEqual(NOT_LISTED);
  });

  test('its own admins read every document, and write none but their own', async () => {
    expect((await it.ask('GET', it.documentOf('bob'), CHIEF)).body).toMatchObject({ roles: ['dev'] });
    expect((await it.ask('GET', '/_users/_design/_auth', CHIEF)).status).toBe(200);
    const json = { name: 'bob', type: 'user', roles: [] };
    expect((await it.ask('PUT', it.documentOf('bob'), { ...CHIEF, json })).body).toEqual(NOT_FOUND);
    expect((await it.ask('PUT', '/_users/_design/mine', { ...CHIEF, json: {} })).body).toEqual(NOT_FOUND);
  });

  test('design documents are for admins', async () => {
    const reason = 'Only administrators can view design docs in the users database.';
    for (const asking of [ANN, NOBODY]) {
      for (const url of ['_design/_auth', '_design/none', '_design/_auth/_view/x', '_design/_auth/attached'])
        expect((await it.ask('GET', `/_users/${url}`, asking)).body).toEqual({ error: 'forbidden', reason });
    }
    const { _rev } = (await it.ask('GET', '/_users/_design/_auth')).body as { _rev: string };
    const json = { _rev, language: 'javascript', validate_doc_update: 'function () {}' };
    for (const url of ['_design/_auth', '_design%2F_auth', '_design/mine']) {
      expect((await it.ask('PUT', `/_users/${url}`, { ...ANN, json })).body).toEqual(NOT_FOUND);
      expect((await it.ask('PUT', `/_users/${url}`, { ...NOBODY, json })).body).toMatchObject({
        reason: 'You are not a db or server admin.',
      });
      expect((await it.ask('DELETE', `/_users/${url}?rev=${_rev}`, ANN)).status).not.toBe(200);
    }
    const docs = [{ _id: '_design/_auth', ...json }];
    for (const new_edits of [true, false]) {
      const batch = await it.ask('POST', '/_users/_bulk_docs', { ...NOBODY, json: { docs, new_edits } });
      expect(batch.body).toMatchObject([{ id: '_design/_auth', error: 'unauthorized' }]);
    }
    expect((await it.ask('GET', '/_users/_design/_auth')).body).toMatchObject({ _rev });
  });

  test('local documents are for admins', async () => {
    for (const asking of [ANN, NOBODY]) {
      expect((await it.ask('PUT', '/_users/_local/x', { ...asking, json: { n: 1 } })).body).toEqual(
        NOT_FOUND,
      );
      expect((await it.ask('GET', '/_users/_local/x', asking)).body).toEqual(NOT_FOUND);
    }
    expect((await it.ask('PUT', '/_users/_local/x', { json: { n: 1 } })).status).toBe(201);
    for (const asking of [ANN, NOBODY]) {
      expect((await it.ask('GET', '/_users/_local/x', asking)).body).toEqual(NOT_FOUND);
      expect((await it.ask('DELETE', '/_users/_local/x?rev=0-1', asking)).body).toEqual(NOT_FOUND);
    }
  });

  test('a batch with another user’s document in it is not there as a whole', async () => {
    const { _rev } = await it.read('ann');
    const docs = [
      { _id: 'org.couchdb.user:ann', _rev, name: 'ann', type: 'user', roles: [], password: 'apple', n: 1 },
      { _id: 'org.couchdb.user:bob', name: 'bob', type: 'user', roles: [] },
    ];
    const answer = await it.ask('POST', '/_users/_bulk_docs', { ...ANN, json: { docs } });
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 404, body: NOT_FOUND });
    expect(await it.read('ann')).toMatchObject({ _rev });
  });

  test('a batch of sign-ups is judged one by one', async () => {
    const user = (name: string, more = {}): object => ({
      _id: `org.couchdb.user:${name}`,
      name,
      type: 'user',
      roles: [],
      password: 'x',
      ...more,
    });
    const docs = [
      user('bob'),
      user('b1'),
      user('b2', { roles: ['boss'] }),
      { _id: 'plain' },
      user('b3', { password: 5 }),
    ];
    const answer = await it.ask('POST', '/_users/_bulk_docs', { ...NOBODY, json: { docs } });
    expect(answer.body).toMatchObject([
      { error: 'conflict' },
      { ok: true, id: 'org.couchdb.user:b1' },
      { error: 'forbidden', reason: 'Only _admin may set roles' },
      { error: 'forbidden', reason: 'doc.type must be user' },
      { error: 'forbidden', reason: 'The password must be a string.' },
    ]);
    expect(await it.whoIs('b1:x')).toEqual([]);
  });

  test('users attach files to their documents, which others do not get', async () => {
    const { _rev: rev } = (await it.read('ann')) as { _rev: string };
    const url = `${it.documentOf('ann')}/face.txt`;
    const headers = { 'content-type': 'text/plain' };
    const put = await it.ask('PUT', `${url}?rev=${rev}`, { ...ANN, headers, text: ':-)' });
    expect(put.status).toBe(201);
    expect((await it.ask('GET', url, ANN)).body).toBe(':-)');
    expect((await it.ask('GET', url, NOBODY)).body).toEqual(NOT_FOUND);
    const other = await it.ask('PUT', `${it.documentOf('bob')}/face.txt`, { ...ANN, headers, text: ':-(' });
    expect(other.status).toBe(404);
    // A password that changes leaves them.
    const { _attachments, _rev } = await it.read('ann');
    const json = { _rev, _attachments, name: 'ann', type: 'user', roles: [], password: 'apple' };
    expect((await it.ask('PUT', it.documentOf('ann'), { ...ANN, json })).status).toBe(201);
    expect((await it.ask('GET', url, ANN)).body).toBe(':-)');
  });

  test('users take themselves away, and nobody takes others away', async () => {
    const rev = await it.put('gone', { password: 'x', roles: ['dev'] });
    const gone = `${it.documentOf('gone')}?rev=${rev}`;
    for (const asking of [ANN, NOBODY]) expect((await it.ask('DELETE', gone, asking)).status).toBe(404);
    const json = { _rev: rev, _deleted: true, name: 'gone' };
    expect((await it.ask('PUT', it.documentOf('gone'), { ...NOBODY, json })).body).toMatchObject({
      reason: 'Only admins may delete other user docs.',
    });
    expect((await it.ask('DELETE', gone, { as: 'gone:x' })).status).toBe(200);
    expect(await it.whoIs('gone:x')).toBe(401);
    const again = { name: 'gone', type: 'user', password: 'x' };
    const put = (roles: string[]) =>
      it.ask('PUT', it.documentOf('gone'), { ...NOBODY, json: { ...again, roles } });
    expect((await put(['dev'])).body).toMatchObject({ reason: 'Only _admin may set roles' });
    expect((await put([])).status).toBe(201);
    expect(await it.whoIs('gone:x')).toEqual([]);
  });
});

describe('roles', () => {
  const user = (name: string): object => ({ name, type: 'user', password: 'x' });
  const text = (name: string, roles: string): string =>
    `{"name":"${name}","type":"user",${roles},"password":"x"}`;

  test.each([
    ['the last of two lists is an empty one', '"roles":["_admin"],"roles":[]', 201],
    ['the last of two lists has some', '"roles":[],"roles":["_admin"]', 403],
    ['one is written with escapes', '"roles":[],"\\u0072oles":["_admin"]', 403],
    ['they come by a prototype', '"__proto__":{"roles":["_admin"]},"roles":[]', 400],
    ['they come by a prototype only', '"__proto__":{"roles":[]}', 400],
    ['they come by a constructor', '"constructor":{"prototype":{"roles":["_admin"]}},"roles":[]', 201],
    ['they are a list in a list', '"roles":[["_admin"]]', 403],
    ['they pretend to be a list', '"roles":{"length":0}', 403],
  ])('are not smuggled in where %s', async (_what, roles, status) => {
    const name = `smuggler${String(Math.random()).slice(2)}`;
    const answer = await it.ask('PUT', it.documentOf(name), { ...NOBODY, text: text(name, roles) });
    expect(answer.status).toBe(status);
    expect(await it.whoIs(`${name}:x`)).toEqual(status === 201 ? [] : 401);
    expect(({} as { roles?: unknown }).roles).toBeUndefined();
  });

  test('are not taken over by a revision from elsewhere', async () => {
    const rev = await it.put('old', { ...user('old'), roles: ['boss'] });
    const { derived_key: key, salt } = await it.read('old');
    await it.put('old', { ...user('old'), roles: [] });
    const doc = { _id: 'org.couchdb.user:old', name: 'old', type: 'user', roles: ['boss'], salt };
    const hashed = {
      ...doc,
      password_scheme: 'pbkdf2',
      pbkdf2_prf: 'sha256',
      iterations: 2,
      derived_key: key,
    };
    const [, first = ''] = rev.split('-');
    const docs = [
      { ...hashed, _revisions: { start: 9, ids: ['a'.repeat(32), first] } },
      { ...hashed, _rev: `9-${'b'.repeat(32)}` },
    ];
    for (const as of ['old:x', null]) {
      for (const one of docs) {
        const json = { docs: [one], new_edits: false };
        const { body } = await it.ask('POST', '/_users/_bulk_docs', { as, json });
        expect(body).toMatchObject([{ error: 'forbidden' }]);
        const { _id, ...rest } = one;
        const put = await it.ask('PUT', `/_users/${_id}?new_edits=false`, { as, json: rest });
        expect(put.status).toBe(403);
      }
    }
    expect(await it.whoIs('old:x')).toEqual([]);
  });

  test('nor is an account, by a revision that nobody can compare', async () => {
    await it.put('victim', { password: 'mine' });
    const doc = { _id: 'org.couchdb.user:victim', _rev: `9-${'c'.repeat(32)}`, ...user('victim'), roles: [] };
    const json = { docs: [{ ...doc, password: 'theirs' }], new_edits: false };
    expect((await it.ask('POST', '/_users/_bulk_docs', { ...NOBODY, json })).body).toMatchObject([
      { error: 'forbidden', reason: 'You may only update your own user document.' },
    ]);
    expect(await it.whoIs('victim:theirs')).toBe(401);
    expect(await it.whoIs('victim:mine')).toEqual([]);
  });

  test('of two sign-ups at the same moment, from elsewhere or not, one makes the account', async () => {
    const sign = (n: number): Promise<{ status: number }> => {
      const json = {
        ...user('twin'),
        roles: [],
        password: `p${String(n)}`,
        _rev: `1-${String(n).repeat(32)}`,
      };
      return it.ask('PUT', `${it.documentOf('twin')}?new_edits=false`, { ...NOBODY, json });
    };
    const statuses = await Promise.all([1, 2, 3, 4].map(async (n) => (await sign(n)).status));
    expect(statuses.toSorted()).toEqual([201, 403, 403, 403]);
  });
});

describe('public members', () => {
  let open: Users;
  afterAll(() => open.stop());
  beforeAll(async () => {
    open = await startUsers({
      users: { securityEditable: true, publicFields: ['name', 'motto'], public: true },
    });
    await open.put('ann', { password: 'apple', motto: 'Hello', secretly: 'mine' });
    await open.openToAll();
  });

  test('are what others see of a document', async () => {
    const url = open.documentOf('ann');
    const shown = {
      _id: 'org.couchdb.user:ann',
      _rev: expect.any(String) as string,
      name: 'ann',
      motto: 'Hello',
    };
    expect((await open.ask('GET', url, NOBODY)).body).toEqual(shown);
    expect((await open.ask('GET', `${url}?open_revs=all`, NOBODY)).body).toEqual([{ ok: shown }]);
    expect((await open.ask('GET', url, ANN)).body).toMatchObject({ secretly: 'mine' });
  });

  test('are listed where the configuration says so, and attachments never', async () => {
    const { _rev: rev } = (await open.read('ann')) as { _rev: string };
    const file = `${open.documentOf('ann')}/face.txt`;
    await open.ask('PUT', `${file}?rev=${rev}`, { headers: { 'content-type': 'text/plain' }, text: ':-)' });
    expect((await open.ask('GET', file, NOBODY)).status).toBe(404);
    const { body } = await open.ask('GET', '/_users/_all_docs?include_docs=true', NOBODY);
    const { rows } = body as { rows: { id: string; doc: Record<string, unknown> }[] };
    expect(rows.map(({ id, doc }) => [id, Object.keys(doc)])).toEqual([
      ['_design/_auth', ['_id', '_rev']],
      ['org.couchdb.user:ann', ['_id', '_rev', 'name', 'motto']],
    ]);
    expect((await open.ask('GET', '/_users/_changes', NOBODY)).status).toBe(401);
  });

  test('are all that can be found, also where there is an index on others', async () => {
    const index = { index: { fields: ['secretly'] }, ddoc: 'i', name: 'x' };
    expect((await open.ask('POST', '/_users/_index', { json: index })).status).toBe(200);
    const found = async (options: object, more: object): Promise<unknown> => {
      const json = { selector: { secretly: 'mine' }, fields: ['secretly'], use_index: 'i', ...more };
      const { body } = await open.ask('POST', '/_users/_find', { ...options, json });
      return (body as { docs: unknown }).docs;
    };
    expect(await found({}, {})).toEqual([{ secretly: 'mine' }]);
    expect(await found(NOBODY, {})).toEqual([]);
    expect(await found(NOBODY, { selector: { motto: 'Hello' }, fields: ['secretly', 'motto'] })).toEqual([
      { motto: 'Hello' },
    ]);
  });
});

test('a password in clear is nowhere on the disk', async () => {
  await it.put('hidden', { password: 'correct-horse-battery' });
  await it.ask('PUT', it.documentOf('hidden2'), {
    json: { name: 'hidden2', type: 'user', roles: 'wrong', password: 'correct-horse-battery' },
  });
  const folder = path.join(it.folder, 'databases');
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const file of files.filter((one) => one.isFile())) {
    const bytes = await readFile(path.join(file.parentPath, file.name));
    expect(bytes.includes('correct-horse-battery')).toBe(false);
  }
});
