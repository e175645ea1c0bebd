import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, startUsers, type Users } from '../auth/users/gateway.js';

/** What CouchDB answers stands in the recordings; here is what they cannot show. */

let data: string;
let it: Users;
beforeAll(async () => {
  data = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  it = await startUsers({}, data);
});
afterAll(async () => {
  await it.stop();
  await rm(data, { recursive: true, force: true });
});

const get = async (url: string): Promise<unknown> => (await it.ask('GET', url)).body;
const post = (url: string, json: object): Promise<Answer> => it.ask('POST', url, { json });

async function make(name: string, docs: readonly object[]): Promise<void> {
  expect((await it.ask('PUT', `/${name}?partitioned=true`)).status).toBe(201);
  expect((await post(`/${name}/_bulk_docs`, { docs })).status).toBe(201);
}

interface Counts {
  readonly doc_count: number;
  readonly doc_del_count: number;
  readonly sizes: { readonly external: number; readonly active: number };
}

test('what is counted in partitions adds up to what is counted in the database', async () => {
  const attachment = {
    content_type: 'text/plain',
    data: Buffer.from('text '.repeat(500)).toString('base64'),
  };
  await make('counted', [
    ...Array.from({ length: 700 }, (_, n) => ({ _id: `${'ab'.charAt(n % 2)}:${String(n)}`, n })),
    { _id: 'a;:x', n: 'behind the first partition' },
    { _id: 'c:att', _attachments: { one: attachment } },
  ]);
  const rev = `2-${'f'.repeat(32)}`;
  await post('/counted/_bulk_docs', {
    new_edits: false,
    docs: [
      { _id: 'a:0', _rev: rev, more: 'a conflict' },
      { _id: 'b:1', _rev: rev },
      { _id: 'c:gone', _rev: rev, _deleted: true },
    ],
  });
  await post('/counted/_purge', { 'b:1': [rev] });
  const whole = (await get('/counted')) as Counts;
  const parts = (await Promise.all(
    ['a', 'a;', 'b', 'c'].map((name) => get(`/counted/_partition/${name}`)),
  )) as Counts[];
  const sum = (of: (counts: Counts) => number): number => parts.reduce((all, part) => all + of(part), 0);
  expect(parts.map((part) => [part.doc_count, part.doc_del_count])).toEqual([
    [350, 0],
    [1, 0],
    [350, 0],
    [1, 1],
  ]);
  expect(sum((part) => part.doc_count)).toBe(whole.doc_count);
  expect(sum((part) => part.doc_del_count)).toBe(whole.doc_del_count);
  expect(sum((part) => part.sizes.external)).toBe(whole.sizes.external);
  expect(sum((part) => part.sizes.active)).toBe(whole.sizes.active);
});

describe('a partitioned database', () => {
  const rows = (): Promise<unknown> => get('/kept/_partition/p/_design/v/_view/n');

  test('is one after a compaction and a start, with the rows of its views', async () => {
    await make('kept', [
      { _id: 'p:1', n: 2 },
      { _id: 'p:2', n: 1 },
      { _id: 'q:1', n: 0 },
      { _id: '_design/v', views: { n: { map: 'function (doc) { emit(doc.n); }' } } },
    ]);
    const before = await rows();
    expect(before).toMatchObject({ total_rows: 3, rows: [{ id: 'p:2' }, { id: 'p:1' }] });
    expect((await post('/kept/_compact', {})).status).toBe(202);
    await it.stop();
    it = await startUsers({}, data);
    expect(await get('/kept')).toMatchObject({ props: { partitioned: true } });
    expect(await rows()).toEqual(before);
    expect(await it.ask('PUT', '/kept/plain', { json: {} })).toMatchObject({
      status: 400,
      body: { error: 'illegal_docid' },
    });
  });

  test('has in each partition the rows of what changes there', async () => {
    const { _rev } = (await get('/kept/p:1')) as { _rev: string };
    await it.ask('PUT', '/kept/p:1', { json: { _rev, n: -1 } });
    const { _rev: second } = (await get('/kept/p:2')) as { _rev: string };
    await it.ask('DELETE', `/kept/p:2?rev=${second}`);
    await it.ask('PUT', '/kept/q:2', { json: { n: -2 } });
    expect(await rows()).toMatchObject({ total_rows: 3, rows: [{ id: 'p:1', key: -1 }] });
  });

  test('has its design documents in none, also where a view is to have them', async () => {
    const views = { all: { map: 'function (doc) { emit(doc._id); }', reduce: '_count' } };
    await it.ask('PUT', '/kept/_design/d', { json: { views, options: { include_design: true } } });
    expect(await get('/kept/_partition/p/_design/d/_view/all')).toEqual({ rows: [{ key: null, value: 1 }] });
    expect(await get('/kept/_partition/q/_design/d/_view/all?group=true')).toEqual({
      rows: [
        { key: 'q:1', value: 1 },
        { key: 'q:2', value: 1 },
      ],
    });
  });

  test('reduces in a partition by functions and by several keys, where CouchDB fails', async () => {
    const reduce = 'function (keys, values) { return values.length + ":" + keys[0][0]; }';
    const views = { f: { map: 'function (doc) { emit(doc.n, 1); }', reduce } };
    await it.ask('PUT', '/kept/_design/f', { json: { views } });
    const path = '/kept/_partition/q/_design/f/_view/f';
    expect(await get(`${path}?group=true&keys=[0,-2]`)).toMatchObject({ rows: [{ key: 0 }, { key: -2 }] });
  });

  test.each([
    ['GET', '_all_docs?keys=["p:1","plain"]', undefined],
    ['POST', '_all_docs', { keys: ['plain'] }],
    ['POST', '_partition/p/_all_docs', { keys: ['p:1', 'plain'] }],
    ['POST', '_all_docs/queries', { queries: [{ keys: ['p:1', 'plain'] }] }],
  ])('does not look for ids without a partition: %s %s %j', async (method, path, json) => {
    const answer = await it.ask(method, `/kept/${path}`, json && { json });
    expect(answer).toMatchObject({ status: 400, body: { error: 'illegal_docid' } });
  });

  test.each([
    ['a', 'illegal_docid'],
    [':a', 'illegal_partition'],
    ['a:', 'illegal_docid'],
    ['a:_b', 'illegal_docid'],
  ])('takes no document %s from any client', async (id, error) => {
    const name = encodeURIComponent(id);
    const ways: readonly Promise<Answer>[] = [
      it.ask('PUT', `/kept/${name}`, { json: {} }),
      it.ask('PUT', `/kept/${name}?batch=ok`, { json: {} }),
      it.ask('PUT', `/kept/${name}/att`, { text: 'x', headers: { 'content-type': 'text/plain' } }),
      it.ask('COPY', '/kept/p:1', { headers: { destination: name } }),
      post('/kept', { _id: id }),
      post('/kept/_bulk_docs', { docs: [{ _id: 'p:3' }, { _id: '_local/x' }, { _id: id }] }),
      post('/kept/_bulk_docs', { new_edits: false, docs: [{ _id: id, _rev: '1-a' }] }),
    ];
    for (const answer of await Promise.all(ways))
      expect(answer).toMatchObject({ status: 400, body: { error } });
    for (const none of ['p:3', '_local/x'])
      expect(await get(`/kept/${none}`)).toMatchObject({ error: 'not_found' });
  });

  test('can be the target of a replication, which leaves out what has no place in it', async () => {
    await it.ask('PUT', '/plain');
    const docs = [{ _id: 'a:1' }, { _id: 'plain' }, { _id: 'b:1' }, { _id: '_design/d' }];
    await post('/plain/_bulk_docs', { docs });
    const asked = {
      source: 'plain',
      target: 'replicated',
      create_target: true,
      create_target_params: { partitioned: true },
    };
    expect(await post('/_replicate', asked)).toMatchObject({
      status: 200,
      body: { ok: true, history: [{ docs_written: 3, doc_write_failures: 1 }] },
    });
    expect(await get('/replicated')).toMatchObject({ props: { partitioned: true }, doc_count: 3 });
    expect(await get('/replicated/_partition/b')).toMatchObject({ doc_count: 1 });
  });
});

test('a rewrite leads into a partition, with what a function put in the place of the body', async () => {
  const rewrites = `function (req) {
    return { path: '../../_partition/p/_find', method: 'POST', body: '{"selector":{"n":-1},"fields":["_id"]}',
      headers: { 'content-type': 'application/json' } };
  }`;
  await it.ask('PUT', '/kept/_design/r', { json: { rewrites } });
  expect(await get('/kept/_design/r/_rewrite/x')).toMatchObject({ docs: [{ _id: 'p:1' }] });
});
