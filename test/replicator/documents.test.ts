import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { createLogger } from '../../src/observe/log.js';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';

/** Stands in every password, and nowhere else. */
const SECRET = 'kLm93xQ';
const OWNED = 'own/_replicator';

let server: Users;
const lines: string[] = [];

beforeAll(async () => {
  const log = createLogger({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  server = await startUsers({ log: { level: 'info', requests: true } }, undefined, { log });
  for (const name of ['jan', 'bo', 'kim', 'chief']) await server.put(name, { password: SECRET });
  for (const database of ['source', 'target', 'own%2F_replicator']) await server.ask('PUT', `/${database}`);
  const json = { admins: { names: ['chief'] }, members: { names: ['jan', 'bo', 'kim'] } };
  await server.ask('PUT', '/own%2F_replicator/_security', { json });
  for (const database of ['source', 'target'])
    await server.ask('PUT', `/${database}/_security`, { json: { members: { names: ['jan'] } } });
  await server.ask('PUT', '/source/a', { json: { n: 1 } });
});
afterAll(() => server.stop());

const jan = `jan:${SECRET}`;
const bo = `bo:${SECRET}`;
/** Has no documents. */
const kim = `kim:${SECRET}`;
const chief = `chief:${SECRET}`;

let count = 0;
let id: string;
beforeEach(() => {
  id = `doc${++count}`;
});

const path = (more = ''): string => `/own%2F_replicator/${id}${more}`;
const urlOf = (database: string, credentials?: string): string =>
  server.gateway.url.replace('://', credentials === undefined ? '://' : `://${credentials}@`) +
  `/${database}`;

/** A replication of its own that goes on, with credentials in every place. */
const secretive = (): Record<string, unknown> => ({
  source: urlOf('source', jan),
  target: {
    url: urlOf('target', `x:${SECRET}`),
    auth: { basic: { username: 'jan', password: SECRET } },
    headers: { 'X-Token': SECRET },
  },
  continuous: true,
  doc_ids: [id],
});

const put = (as: string, json: unknown) => server.ask('PUT', path(), { as, json });
const read = async (as = 'admin:secret') =>
  (await server.ask('GET', path(), { as })).body as Record<string, unknown>;
const shown = async (database = OWNED) => {
  const { body } = await server.ask('GET', `/_scheduler/docs/${encodeURIComponent(database)}/${id}`);
  return body as Record<string, unknown>;
};
const stateIs = (state: string) =>
  until(`${id} is ${state}`, async () => {
    const found = await shown();
    return found.state === state && found;
  });

describe('a document of a replicator database', () => {
  it('belongs to who writes it', async () => {
    expect(await put(jan, secretive())).toMatchObject({ status: 201 });
    expect(await read()).toMatchObject({ owner: 'jan', source: urlOf('source', jan) });
  });

  it.each(['bo', null, 'admin'])('cannot be said by others to be of %s', async (owner) => {
    const { status, body } = await put(jan, { ...secretive(), owner });
    if (owner === null) expect(await read()).toMatchObject({ owner: 'jan' });
    else
      expect({ status, body }).toMatchObject({
        status: 403,
        body: { error: 'forbidden', reason: "Can't update replication documents from other users." },
      });
  });

  it('can be said by admins to be of others, but of server admins by those alone', async () => {
    expect((await put(chief, { ...secretive(), owner: 'jan' })).status).toBe(201);
    id += 'b';
    expect((await put(chief, { ...secretive(), owner: 'admin' })).status).toBe(403);
    expect((await put('admin:secret', { ...secretive(), owner: 'jan' })).status).toBe(201);
  });

  it('can be changed and deleted by its owner and admins alone', async () => {
    const made = await put(jan, secretive());
    let { rev } = made.body as { rev: string };
    for (const change of [{}, { owner: 'bo' }, { owner: 'jan' }, { _deleted: true }])
      expect((await put(bo, { ...secretive(), ...change, _rev: rev })).status).toBe(403);
    expect((await server.ask('DELETE', path(`?rev=${rev}`), { as: bo })).status).toBe(403);
    const replicated = { ...secretive(), _id: id, _rev: `9-${'f'.repeat(32)}`, owner: 'bo' };
    const bulk = await server.ask('POST', '/own%2F_replicator/_bulk_docs', {
      as: bo,
      json: { docs: [replicated, { ...replicated, _id: `${id}-new` }], new_edits: false },
    });
    // Each is judged for itself; the second one is nobody else's.
    expect(bulk.body).toEqual([expect.objectContaining({ id, error: 'forbidden' })]);
    for (const as of [jan, chief, 'admin:secret']) {
      const { status, body } = await put(as, { ...secretive(), owner: 'jan', _rev: rev });
      expect(status).toBe(201);
      ({ rev } = body as { rev: string });
    }
    expect((await server.ask('DELETE', path(`?rev=${rev}`), { as: jan })).status).toBe(200);
  });

  it('is refused where it makes no replication, with all others of its request', async () => {
    const docs = [secretive(), { source: 'source', target: 'target' }].map((doc, at) => ({
      ...doc,
      _id: `${id}-${at}`,
    }));
    const { status, body } = await server.ask('POST', '/own%2F_replicator/_bulk_docs', {
      as: jan,
      json: { docs },
    });
    expect({ status, body }).toEqual({
      status: 403,
      body: { error: 'forbidden', reason: 'local_endpoints_not_supported' },
    });
    expect((await server.ask('GET', path('-0'))).status).toBe(404);
  });

  it('may be anything once it says that it failed, and then does nothing', async () => {
    expect((await put(jan, { source: 5, _replication_state: 'failed' })).status).toBe(201);
    expect(await stateIs('failed')).toMatchObject({ source: null, info: null });
  });

  it('may name other servers only where its owner is a server admin', async () => {
    const elsewhere = { source: 'http://couch.example:5984/x', target: urlOf('target', jan) };
    const reason = expect.stringContaining('http://couch.example:5984. An admin of the server') as unknown;
    for (const as of [jan, chief])
      expect(await put(as, elsewhere)).toMatchObject({ status: 403, body: { error: 'forbidden', reason } });
    expect(await put('admin:secret', { ...elsewhere, owner: 'jan' })).toMatchObject({ status: 403 });
    expect(await put('admin:secret', { ...elsewhere, source: 'http://169.254.169.254/x' })).toMatchObject({
      status: 403,
    });
    expect(await put('admin:secret', elsewhere)).toMatchObject({ status: 201 });
  });

  it('cannot be written by anybody who is not logged in', async () => {
    await server.ask('PUT', '/open%2F_replicator');
    await server.ask('PUT', '/open%2F_replicator/_security', { json: {} });
    const { status } = await server.ask('PUT', `/open%2F_replicator/${id}`, { as: null, json: secretive() });
    expect(status).toBe(401);
    await server.ask('PUT', `/open%2F_replicator/${id}`, { as: jan, json: secretive() });
    const { body } = await server.ask('GET', `/open%2F_replicator/${id}`, { as: null });
    expect(JSON.stringify(body)).not.toContain(SECRET);
    await server.ask('DELETE', '/open%2F_replicator');
  });
});

describe('what a document says', () => {
  it('is carried out, until it is changed or deleted', async () => {
    await put(jan, secretive());
    await stateIs('running');
    const { _rev } = await read();
    const { id: former } = await shown();
    // What does not change the replication does not touch it.
    await put(jan, { ...secretive(), doc_ids: ['a'], _rev });
    const changed = await until('it is another', async () => {
      const found = await shown();
      return found.state === 'running' && found.id !== former && found;
    });
    expect((await server.ask('GET', `/_scheduler/jobs/${encodeURIComponent(String(former))}`)).status).toBe(
      404,
    );
    const { _rev: rev } = await read();
    await server.ask('DELETE', path(`?rev=${String(rev)}`), { as: jan });
    const job = `/_scheduler/jobs/${encodeURIComponent(String(changed.id))}`;
    await until('it does not run', async () => (await server.ask('GET', job)).status === 404);
    expect(await shown()).toMatchObject({ error: 'not_found' });
  });

  it('is carried out once: who asks for the same is told', async () => {
    await put(jan, { ...secretive(), doc_ids: ['once'] });
    await stateIs('running');
    const first = id;
    id = `${id}-again`;
    await put(jan, { ...secretive(), doc_ids: ['once'] });
    const { info } = await stateIs('failed');
    expect(info).toEqual({
      error: expect.stringMatching(
        new RegExp(
          `^Replication .* specified by document .${id}. already started, triggered by document .${first}.`,
        ),
      ) as unknown,
    });
    expect(await read()).toMatchObject({
      _replication_state: 'failed',
      _replication_state_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as unknown,
    });
  });

  it('is carried out with the rights of the credentials that it names', async () => {
    await put(bo, { source: urlOf('source', bo), target: urlOf('target', jan) });
    expect(await stateIs('crashing')).toMatchObject({
      error_count: 1,
      info: { error: `forbidden: ${urlOf('source')}/` },
    });
    id += 'b';
    await put(jan, { source: urlOf('source'), target: urlOf('target', jan) });
    expect(await stateIs('crashing')).toMatchObject({
      info: { error: `unauthorized: unauthorized to access or create database ${urlOf('source')}/` },
    });
  });

  it('is done again where the state is taken away', async () => {
    await put(jan, { source: urlOf('source', jan), target: urlOf('target', jan) });
    await stateIs('completed');
    const { _rev } = await read();
    await put(jan, { source: urlOf('source', jan), target: urlOf('target', jan), _rev });
    await until('it is completed again', async () => String((await read())._rev).startsWith('4-'));
    expect(await read()).toMatchObject({ _replication_state: 'completed', owner: 'jan' });
  });

  it('loses the states that servers of old wrote', async () => {
    await put(jan, {
      ...secretive(),
      doc_ids: ['old'],
      _replication_state: 'triggered',
      _replication_id: 'x',
    });
    await stateIs('running');
    await until('it has no state', async () => !('_replication_state' in (await read())));
    expect(await read()).not.toHaveProperty('_replication_id');
  });

  it('ends with its database', async () => {
    await server.ask('PUT', '/short%2F_replicator');
    await server.ask('PUT', `/short%2F_replicator/${id}`, { json: { ...secretive(), doc_ids: ['short'] } });
    const isRunning = async () => (await shown('short/_replicator')).state === 'running';
    await until('it runs', isRunning);
    await server.ask('DELETE', '/short%2F_replicator');
    await until('no job is left', async () => {
      const { body } = await server.ask('GET', '/_scheduler/jobs?limit=1000');
      return !JSON.stringify(body).includes('short/_replicator');
    });
    await server.ask('PUT', '/short%2F_replicator');
    await server.ask('PUT', `/short%2F_replicator/${id}`, { json: { ...secretive(), doc_ids: ['short'] } });
    await until('it runs again', isRunning);
    await server.ask('DELETE', '/short%2F_replicator');
  });
});

test('credentials are shown to nobody but the owner and admins, and stand in no log', async () => {
  await put(jan, secretive());
  await stateIs('running');
  for (const [name, source] of [
    ['crash', urlOf('nowhere', jan)],
    ['away', `http://x:${SECRET}@127.0.0.1:1/x`],
  ] as const)
    await server.ask('PUT', `/_replicator/${id}-${name}`, {
      json: { source, target: urlOf('target', jan), retries_per_request: 0 },
    });
  await until('both crash', async () => {
    const { body } = await server.ask('GET', '/_scheduler/docs?states=crashing');
    return (body as { docs: unknown[] }).docs.length >= 2;
  });
  await server.ask('POST', '/_replicate', {
    json: { source: urlOf('nowhere', jan), target: urlOf('target', jan) },
  });
  await server.ask('POST', '/_replicate', { json: { ...secretive(), doc_ids: ['transient'] } });

  const { _rev } = await read();
  const keys = JSON.stringify([id]);
  const asOthers: [string, string, unknown?][] = [
    ['GET', path()],
    ['GET', path(`?rev=${String(_rev)}&revs=true`)],
    ['GET', path('?open_revs=all')],
    ['GET', path(`?open_revs=["${String(_rev)}"]`)],
    ['GET', '/own%2F_replicator/_all_docs?include_docs=true'],
    ['GET', `/own%2F_replicator/_all_docs?include_docs=true&keys=${keys}`],
    ['GET', '/own%2F_replicator/_changes?include_docs=true'],
    ['GET', '/own%2F_replicator/_changes?include_docs=true&style=all_docs&attachments=true'],
    ['POST', '/own%2F_replicator/_changes?include_docs=true&filter=_doc_ids', { doc_ids: [id] }],
    ['POST', '/own%2F_replicator/_bulk_get?revs=true', { docs: [{ id, rev: _rev }] }],
    ['POST', '/own%2F_replicator/_all_docs/queries', { queries: [{ include_docs: true }] }],
  ];
  for (const [method, url, json] of asOthers) {
    const { status, body } = await server.ask(method, url, { as: kim, ...(json !== undefined && { json }) });
    expect(status, url).toBe(200);
    expect(JSON.stringify(body), url).toContain(id);
    expect(JSON.stringify(body), url).not.toContain(SECRET);
  }
  const bySecret = { doc_ids: undefined, selector: { source: { $beginsWith: urlOf('source', jan) } } };
  const { body: found } = await server.ask('POST', '/own%2F_replicator/_changes?filter=_selector', {
    as: kim,
    json: bySecret,
  });
  expect((found as { results: unknown[] }).results).toEqual([]);

  for (const url of [
    '/_active_tasks',
    '/_scheduler/jobs?limit=1000',
    '/_scheduler/docs',
    '/_scheduler/docs/own%2F_replicator',
    '/_node/_local/_config',
    '/_node/_local/_stats',
  ]) {
    const { status, body } = await server.ask('GET', url);
    expect(status, url).toBe(200);
    expect(JSON.stringify(body), url).not.toContain(SECRET);
  }
  for (const as of [jan, chief, 'admin:secret']) expect(JSON.stringify(await read(as))).toContain(SECRET);
  expect(lines.length).toBeGreaterThan(50);
  const log = lines.join('\n');
  expect(log).toContain('a replication failed');
  expect(log).not.toContain(SECRET);
  expect(log).not.toContain(Buffer.from(jan).toString('base64').slice(0, -4));
});

describe('a URL that is none, or of an unknown scheme', () => {
  const misspelt = [
    `htpp://jan:${SECRET}@host.example/db`,
    `ftp://jan:${SECRET}@host.example/db`,
    `http:/jan:${SECRET}@host.example/db`,
    ` https://jan:${SECRET}@host.example/db`,
    `https//jan:${SECRET}@host.example/db`,
    `jan:${SECRET}@host.example/db`,
    `${SECRET}@host.example/db`,
    `htpp:host.example/db?password=${SECRET}`,
    `htpp%3A%2F%2Fjan%3A${SECRET}%40host.example`,
  ];
  const invalid = { error: 'invalid_replication', reason: 'endpoint has an invalid url' };

  it.each(misspelt)('is no name of a database, and told to nobody: %j', async (url) => {
    for (const given of [url, { url }])
      for (const sides of [
        { source: 'source', target: given },
        { source: given, target: 'target' },
      ])
        for (const more of [{}, { create_target: true }, { continuous: true }, { cancel: true }]) {
          const { status, body } = await server.ask('POST', '/_replicate', { json: { ...sides, ...more } });
          expect({ status, body }).toEqual({ status: 400, body: invalid });
        }
  });

  it.each(misspelt)('makes no document, and is not shown of one that failed: %j', async (url) => {
    for (const source of [url, { url }]) {
      const json = { source, target: urlOf('target', jan) };
      const { status, body } = await server.ask('PUT', path(), { as: jan, json });
      expect(status).toBe(403);
      expect(JSON.stringify(body)).not.toContain(SECRET);
    }
    const failed = { source: url, target: { url }, _replication_state: 'failed' };
    expect((await put(jan, failed)).status).toBe(201);
    expect(await shown()).toMatchObject({ source: null, target: null, state: 'failed' });
    expect(JSON.stringify(await read(kim))).not.toContain(SECRET);
  });

  it('stands in no log, no task and no job', async () => {
    for (const url of ['/_active_tasks', '/_scheduler/jobs?limit=1000', '/_scheduler/docs'])
      expect(JSON.stringify((await server.ask('GET', url)).body), url).not.toContain(SECRET);
    expect(lines.join('\n')).not.toContain(SECRET);
  });
});

test('credentials cannot be found by their index, nor stand in a bookmark', async () => {
  await put(jan, secretive());
  const index = { index: { fields: ['source'] }, ddoc: 'sources', name: 'x' };
  expect((await server.ask('POST', '/own%2F_replicator/_index', { json: index })).status).toBe(200);
  const find = async (as: string, selector: object) => {
    const json = { selector, fields: ['source'], use_index: 'sources', execution_stats: true };
    return (await server.ask('POST', '/own%2F_replicator/_find', { as, json })).body as {
      docs: readonly { source: string }[];
      bookmark: string;
      execution_stats: { total_keys_examined: number };
    };
  };
  const own = urlOf('source', jan);
  expect((await find(chief, { source: { $gte: own } })).docs.map(({ source }) => source)).toContain(own);
  const shownToAll = await find(kim, { source: { $gt: '' } });
  expect(shownToAll.docs.map(({ source }) => source)).toContain(urlOf('source'));
  expect(
    JSON.stringify(shownToAll.docs) + Buffer.from(shownToAll.bookmark, 'base64').toString(),
  ).not.toContain(SECRET);
  const counts = await Promise.all(
    [own, `${own}~`].map(async (source) => (await find(kim, { source: { $gte: source } })).execution_stats),
  );
  expect(counts[0]?.total_keys_examined).toBe(counts[1]?.total_keys_examined);
});
