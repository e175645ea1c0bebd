import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routeTable } from '../../src/http/app.js';
import { startApp, type TestApp } from './app.js';
import { pathOf } from './route-paths.js';

/** All that a client without a name may ask of a server; everything else needs a database that is public. */
const OPEN_TO_ANYONE = [
  'GET /',
  'GET /_up',
  'GET /_uuids',
  'GET /_session',
  'POST /_session',
  'DELETE /_session',
  'GET /_utils',
  'GET /_utils/*',
  'GET /favicon.ico',
  'GET /_gateway/live',
  'GET /_gateway/ready',
  // Only the methods that are not allowed there, so that they are told as such.
  '* /',
  '* /_up',
  '* /_uuids',
  '* /_session',
  '* /_active_tasks',
  '* /favicon.ico',
  '* /_gateway/live',
  '* /_gateway/ready',
];

/** A method of the route; one that no route allows stands for all that are not allowed. */
const sent = (method: string): string => (method === '*' ? 'PATCH' : method);

/** What may be sent to each route; the names are those of `app.ts`. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  anyone: ['nobody', 'stranger', 'metrics', 'member', 'dbadmin', 'admin'],
  authenticated: ['stranger', 'metrics', 'member', 'dbadmin', 'admin'],
  member: ['member', 'dbadmin', 'admin'],
  lister: ['member', 'dbadmin', 'admin'],
  databaseAdmin: ['dbadmin', 'admin'],
  maintainer: ['dbadmin', 'admin'],
  metrics: ['metrics', 'admin'],
  serverAdmin: ['admin'],
  databases: ['admin'],
};
const EVERYBODY = ALLOWED.anyone ?? [];

/** Where CouchDB judges the document and not only the path: who may write it is told once the rest is known to be right. */
const FINER: Readonly<Record<string, string>> = {
  'PUT /:db/_design/:name': 'databaseAdmin',
  'DELETE /:db/_design/:name': 'databaseAdmin',
};

const SECURITY = {
  admins: { names: ['dbadmin'], roles: [] },
  members: { names: ['member'], roles: [] },
};

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
});
afterAll(() => it.stop());

/** The request before may have deleted the database or changed who may use it. */
async function prepare(db: string, security: object): Promise<void> {
  if (!it.databases.exists(db)) await it.databases.create(db);
  const text = JSON.stringify(security);
  await it.databases.use(db, (open) => (open.security === text ? undefined : open.setSecurity(text)));
  await it.request('PUT', `/${db}/_design/some`, { json: {} });
}

/** 401 and 403 are refusals, whatever else may be wrong with the request. */
async function isRefused(name: string, method: string, url: string): Promise<boolean> {
  const as = name === 'nobody' ? null : name;
  const headers = { 'content-type': 'application/json', destination: 'other' };
  const { status } = await it.request(method, url, { as, headers, text: method === 'GET' ? '' : '{}' });
  return status === 401 || status === 403;
}

describe('every route', () => {
  test('has a right, and the anonymous ones are those in the list', () => {
    const routes = routeTable(it.app);
    expect(routes.length).toBeGreaterThan(150);
    const open = routes
      .filter(({ right }) => right === 'anyone')
      .map(({ method, path }) => `${method} ${path}`);
    expect(open.toSorted()).toEqual(OPEN_TO_ANYONE.toSorted());
  });

  test('answers those who have its right, and refuses all others', async () => {
    for (const { path, method, right } of routeTable(it.app)) {
      for (const name of EVERYBODY) {
        if (path.includes('/:db')) await prepare('private', SECURITY);
        const refused = await isRefused(name, sent(method), pathOf(path, 'private'));
        const needed = FINER[`${method} ${path}`] ?? right;
        expect({ path, method, name, refused }).toEqual({
          path,
          method,
          name,
          refused: !ALLOWED[needed]?.includes(name),
        });
      }
    }
  }, 120_000);

  test('of a public database is open to everybody as far as members go', async () => {
    for (const { path, method, right } of routeTable(it.app)) {
      if (!path.startsWith('/:db')) continue;
      await prepare('public', {});
      const refused = await isRefused('nobody', sent(method), pathOf(path, 'public'));
      const needed = FINER[`${method} ${path}`] ?? right;
      expect({ path, method, refused }).toEqual({
        path,
        method,
        refused: !['member', 'lister'].includes(needed),
      });
    }
  }, 60_000);
});

describe('_users', () => {
  /** Where a request can be answered at all, as the security object says; what belongs to the server stays closed. */
  const opened = { admins: { roles: ['chief'] }, members: {} };

  beforeAll(async () => {
    await it.databases.create('_users');
  });

  test('is closed to all but server admins as it is made, and its lists when it is opened, too', async () => {
    const listed = routeTable(it.app).filter(({ right }) => right === 'lister');
    expect(listed.length).toBeGreaterThan(10);
    for (const security of [undefined, opened]) {
      if (security !== undefined) {
        await it.databases.use('_users', (db) => db.setSecurity(JSON.stringify(security)));
      }
      for (const { path, method } of listed) {
        for (const name of EVERYBODY) {
          const refused = await isRefused(name, sent(method), pathOf(path, '_users'));
          expect({ path, method, name, refused }).toEqual({ path, method, name, refused: name !== 'admin' });
        }
      }
    }
  });

  test('shows nobody the document of another user, whatever is asked', async () => {
    await it.databases.use('_users', (db) => db.setSecurity('{}'));
    const id = 'org.couchdb.user:member';
    const secret = 'only for its owner';
    const json = { name: 'member', type: 'user', roles: [], password: 'x', secret };
    const { body: written } = await it.request('PUT', `/_users/${id}`, { json });
    const { rev } = written as { rev: string };
    const text = JSON.stringify({
      docs: [
        { id, _id: id },
        { id, rev },
      ],
      keys: [id],
      queries: [{ include_docs: true }],
      selector: { name: 'member' },
      doc_ids: [id],
      [id]: [rev],
    });
    const headers = { 'content-type': 'application/json', destination: 'org.couchdb.user:stranger' };
    const queries = ['', '?include_docs=true&conflicts=true', `?rev=${rev}`, '?open_revs=all&revs=true'];
    let owned = 0;
    for (const { path, method } of routeTable(it.app)) {
      if (!path.startsWith('/:db') || (path === '/:db' && method === 'DELETE')) continue;
      const url = pathOf(path.replace(':docid', id), '_users');
      for (const query of queries) {
        for (const as of [null, 'stranger', 'metrics']) {
          const asking = { as, headers, text: method === 'GET' ? '' : text };
          const answer = await it.request(sent(method), url + query, asking);
          expect({ method, url, query, as, shown: answer.text.includes(secret) }).toMatchObject({
            shown: false,
          });
        }
        const own = await it.request('GET', url + query, { as: 'member', headers });
        if (own.text.includes(secret)) owned++;
      }
    }
    expect(owned).toBeGreaterThan(2);
    expect((await it.request('GET', `/_users/${id}`)).body).toMatchObject({ _rev: rev, secret });
  }, 60_000);

  test('can be neither made nor deleted by its own admins', async () => {
    for (const method of ['PUT', 'DELETE']) {
      expect((await it.request(method, '/_users', { as: 'dbadmin' })).body).toMatchObject({
        reason: 'You are not a server admin.',
      });
    }
  });
});

describe('names', () => {
  test('that begin with an underscore are for server admins', async () => {
    for (const url of ['/_nope', '/_nope/_all_docs', '/_nope/doc', '/_dbs', '/_nodes/x']) {
      expect(await isRefused('nobody', 'GET', url)).toBe(true);
      expect(await isRefused('stranger', 'GET', url)).toBe(true);
      expect((await it.request('GET', url)).body).toMatchObject({ reason: 'Database does not exist.' });
    }
  });

  test('of databases that do not exist are told as such to everybody', async () => {
    for (const as of [null, 'stranger', 'admin']) {
      expect((await it.request('GET', '/nowhere/doc', { as })).status).toBe(404);
    }
  });
});

describe('design documents', () => {
  beforeAll(async () => {
    await it.request('PUT', '/rules');
    await it.request('PUT', '/rules/_security', { json: SECURITY });
  });

  test('are written by database admins only', async () => {
    const put = (as: string | null) => it.request('PUT', '/rules/_design/a', { as, json: { n: 1 } });
    expect((await put('member')).body).toEqual({
      error: 'forbidden',
      reason: 'You are not a db or server admin.',
    });
    expect((await put('stranger')).status).toBe(403);
    expect((await put(null)).status).toBe(401);
    expect((await put('dbadmin')).status).toBe(201);
  });

  test('can be neither deleted nor copied over by others', async () => {
    const { body } = await it.request('GET', '/rules/_design/a');
    const { _rev: rev } = body as { _rev: string };
    expect((await it.request('DELETE', `/rules/_design/a?rev=${rev}`, { as: 'member' })).status).toBe(403);
    await it.request('PUT', '/rules/plain', { json: {} });
    const headers = { destination: '_design/copy' };
    expect((await it.request('COPY', '/rules/plain', { as: 'member', headers })).status).toBe(403);
    expect((await it.request('POST', '/rules', { as: 'member', json: { _id: '_design/b' } })).status).toBe(
      403,
    );
  });

  test('are refused one by one in a batch', async () => {
    const docs = [{ _id: 'x' }, { _id: '_design/x' }, { _id: '_local/x' }, { _id: 'y' }];
    const answer = await it.request('POST', '/rules/_bulk_docs', { as: 'member', json: { docs } });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject([
      { ok: true, id: 'x' },
      { id: '_design/x', error: 'forbidden' },
      { ok: true, id: '_local/x', rev: '0-1' },
      { ok: true, id: 'y' },
    ]);
  });
});
