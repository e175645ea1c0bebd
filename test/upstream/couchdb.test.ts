import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';
import { linkOf } from './pair.js';

/** A CouchDB with the name and password of an admin, `http://admin:secret@127.0.0.1:5984`. */
const { COUCHDB_URL } = process.env;

describe.skipIf(COUCHDB_URL === undefined)('a CouchDB behind the gateway (needs COUCHDB_URL)', () => {
  const { origin, username, password } = new URL(COUCHDB_URL ?? 'http://nobody:nothing@127.0.0.1');
  const as = `${username}:${password}`;
  const db = `causeway-${randomBytes(6).toString('hex')}`;
  let it: Users;

  beforeAll(async () => {
    it = await startUsers({
      admins: { [username]: password },
      upstream: { url: origin, username, password },
      databases: [{ match: '*', mode: 'proxy' }],
    });
    const ask = it.ask.bind(it);
    it.ask = (method, url, asking) => ask(method, url, { as, ...asking });
    await until('the upstream to be seen', async () => (await linkOf(it)).state === 'online');
  });
  afterAll(async () => {
    await it.ask('DELETE', `/${db}`);
    await it.stop();
  });

  test('answers through it as it does by itself (needs COUCHDB_URL)', async () => {
    expect((await it.ask('PUT', `/${db}`)).status).toBe(201);
    const made = await it.ask('PUT', `/${db}/a%20b`, { json: { n: 1 } });
    expect([made.status, made.headers.location]).toEqual([201, `http://127.0.0.1:${it.port}/${db}/a%20b`]);
    const headers = { 'content-type': 'text/plain' };
    const { rev } = made.body as { rev: string };
    await it.ask('PUT', `/${db}/a%20b/note?rev=${rev}`, { text: 'hello', headers });
    expect((await it.ask('GET', `/${db}/a%20b/note`)).body).toBe('hello');
    expect((await it.ask('GET', `/_all_dbs`)).body).toContain(db);
    expect((await it.ask('POST', '/_dbs_info', { json: { keys: [db] } })).body).toMatchObject([
      { info: { db_name: db, doc_count: 1 } },
    ]);
    expect((await it.ask('GET', `/${db}`, { as: null })).status).toBe(401);
  });

  test('I5: takes sequences of this server for 0, and its own for what they are (needs COUCHDB_URL)', async () => {
    const ours = await it.ask('GET', `/${db}/_changes?since=5-0123456789ab`);
    const { results, last_seq: last } = ours.body as { results: unknown[]; last_seq: string };
    expect([ours.status, results.length]).toEqual([200, 1]);
    expect((await it.ask('GET', `/${db}/_changes?since=${last}`)).body).toMatchObject({ results: [] });
  });
});
