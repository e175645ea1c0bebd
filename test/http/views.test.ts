import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';

interface Row {
  readonly id?: string;
  readonly key: unknown;
  readonly value?: unknown;
  readonly doc?: Readonly<Record<string, unknown>> | null;
  readonly error?: string;
}

interface Table {
  readonly total_rows?: number;
  readonly offset?: number;
  readonly update_seq?: string;
  readonly rows: readonly Row[];
}

let it: TestApp;
let names = 0;
let db: string;

beforeAll(async () => {
  it = await startApp();
});
beforeEach(async () => {
  db = `views-${String(++names)}`;
  await it.request('PUT', `/${db}`);
});
afterAll(() => it.stop());

const write = (docs: readonly object[]) => it.request('POST', `/${db}/_bulk_docs`, { json: { docs } });

const define = (name: string, views: Readonly<Record<string, { map: string; reduce?: string }>>) =>
  it.request('PUT', `/${db}/_design/${name}`, { json: { views } });

async function rowsOf(path: string): Promise<Table> {
  const answer = await it.request('GET', `/${db}/_design/${path}`);
  expect(answer.status).toBe(200);
  return answer.body as Table;
}

const numbered = (count: number, more: object = {}): object[] =>
  Array.from({ length: count }, (_, n) => ({ _id: `d${String(n).padStart(5, '0')}`, n, ...more }));

const BY_N = 'function (doc) { emit(doc.n, doc.n % 3); }';

describe('a view', () => {
  test('with more rows than a chunk holds comes whole, with documents and what is attached to them', async () => {
    const _attachments = { 'a.bin': { content_type: 'application/octet-stream', data: 'AAEC' } };
    await write(numbered(1500, { pad: 'x'.repeat(100), _attachments }));
    await define('d', { v: { map: BY_N } });
    const { rows, total_rows: total } = await rowsOf(
      'd/_view/v?include_docs=true&attachments=true&descending=true',
    );
    expect(total).toBe(1500);
    expect(rows.map(({ key }) => key)).toEqual(Array.from({ length: 1500 }, (_, at) => 1499 - at));
    for (const { id, doc } of rows) {
      expect(doc).toMatchObject({ _id: id, _attachments: { 'a.bin': { data: 'AAEC' } } });
    }
  });

  test('has the rows of one document with equal keys in the order of their values', async () => {
    // As Erlang's terms: numbers, atoms, objects, arrays, strings.
    const values = [
      -1,
      1.5,
      10,
      false,
      null,
      true,
      {},
      { a: 1, c: 2 },
      { a: 2 },
      { b: 1 },
      [],
      [1],
      [1, 0],
      '',
      'B',
      'a',
      'é',
    ];
    await write([
      { _id: 'one', values: values.toReversed() },
      { _id: 'two', values: values.toReversed() },
    ]);
    const map = 'function (doc) { doc.values.forEach(function (value) { emit([1], value); }); }';
    await define('d', { v: { map } });
    const { rows } = await rowsOf('d/_view/v');
    expect(rows.map(({ id, value }) => [id, value])).toEqual(
      ['one', 'two'].flatMap((id) => values.map((value) => [id, value])),
    );
  });

  test('has its keys in the order of Erlang where its own options say so', async () => {
    const map =
      'function (doc) { [null, "a", "B", 2, true, {}, []].forEach(function (key) { emit(key); }); }';
    const views = { raw: { map, options: { collation: 'raw' } }, other: { map } };
    const options = { collation: 'raw' };
    await it.request('PUT', `/${db}/_design/d`, { json: { views, options } });
    await write([{ _id: 'one' }]);
    const keysOf = async (query: string): Promise<unknown[]> =>
      (await rowsOf(`d/_view/${query}`)).rows.map(({ key }) => key);
    expect(await keysOf('raw')).toEqual([2, null, true, {}, [], 'B', 'a']);
    expect(await keysOf('raw?startkey="B"&endkey="a"')).toEqual(['B', 'a']);
    expect(await keysOf('other')).toEqual([null, true, 2, 'a', 'B', [], {}]);
  });

  test('is found by keys, however many', async () => {
    await write(numbered(300));
    await define('d', { v: { map: BY_N, reduce: '_count' } });
    const keys = Array.from({ length: 1000 }, (_, at) => (at * 7) % 400);
    const found = keys.filter((key) => key < 300);
    const path = `/${db}/_design/d/_view/v`;
    const rows = await it.request('POST', `${path}?reduce=false`, { json: { keys } });
    expect((rows.body as Table).rows.map(({ key }) => key)).toEqual(found);
    const groups = await it.request('POST', `${path}?group=true`, { json: { keys } });
    expect((groups.body as Table).rows).toEqual(found.map((key) => ({ key, value: 1 })));
  });

  test('is as it was with update=false, and caught up by lazy', async () => {
    await write(numbered(3));
    await define('d', { v: { map: BY_N } });
    const count = async (update: string): Promise<number> =>
      (await rowsOf(`d/_view/v?${update}`)).rows.length;
    expect(await count('update=false')).toBe(0);
    expect(await count('stale=ok')).toBe(0);
    expect(await count('update=true')).toBe(3);
    await write([{ _id: 'more', n: 9 }]);
    expect(await count('update=false')).toBe(3);
    expect(await count('update=lazy')).toBe(3);
    await expect.poll(() => count('update=false'), { timeout: 30_000 }).toBe(4);
  });

  test('says of which sequence it is', async () => {
    await write(numbered(2));
    await define('d', { v: { map: BY_N, reduce: '_count' } });
    const { update_seq: seq } = (await it.request('GET', `/${db}`)).body as Table;
    expect(seq).toMatch(/^3-/);
    expect((await rowsOf('d/_view/v?update_seq=true')).update_seq).toBe(seq);
    expect((await rowsOf('d/_view/v?update_seq=true&reduce=false')).update_seq).toBe(seq);
  });

  test('keeps its rows where one of its values cannot be reduced', async () => {
    await write([
      { _id: 'a', v: 'text' },
      { _id: 'b', v: 2 },
    ]);
    const map = 'function (doc) { emit(doc._id, doc.v); }';
    await define('d', { stats: { map, reduce: '_stats' }, sum: { map, reduce: '_sum' }, other: { map } });
    const stats = `/${db}/_design/d/_view/stats`;
    const failed = await it.request('GET', stats);
    expect(failed).toMatchObject({ status: 400, body: { error: 'invalid_value' } });
    expect((await it.request('GET', `${stats}?key="b"`)).body).toMatchObject({
      rows: [{ value: { sum: 2 } }],
    });
    expect((await rowsOf('d/_view/stats?reduce=false')).rows).toHaveLength(2);
    expect((await rowsOf('d/_view/sum')).rows).toMatchObject([{ value: { error: 'builtin_reduce_error' } }]);
    expect((await rowsOf('d/_view/other')).rows).toHaveLength(2);
  });

  test('is found by HEAD, without its rows', async () => {
    await define('d', { v: { map: BY_N } });
    const head = await it.request('HEAD', `/${db}/_design/d/_view/v`);
    expect(head).toMatchObject({ status: 200, text: '' });
    expect((await it.request('HEAD', `/${db}/_design/d/_view/none`)).status).toBe(404);
    expect((await it.request('HEAD', `/${db}/_design/d/_view/v?limit=x`)).status).toBe(400);
  });
});

test('reductions that do not shrink are refused group by group, unless the configuration allows them', async () => {
  const docs = numbered(3);
  const reduce = 'function (k, v, again) { return again ? v[0] : Array(v[0] === 1 ? 6001 : 2).join("x"); }';
  const views = { v: { map: BY_N, reduce } };
  await write(docs);
  await define('d', views);
  const { rows } = await rowsOf('d/_view/v?group=true');
  expect(rows).toEqual([
    { key: 0, value: 'x' },
    {
      key: null,
      error: 'reduce_overflow_error',
      reason: expect.stringContaining('output size: 6004') as string,
    },
    { key: 2, value: 'x' },
  ]);
  const lenient = await startApp({ functions: { reduceLimit: false } });
  try {
    await lenient.request('PUT', '/db');
    await lenient.request('POST', '/db/_bulk_docs', { json: { docs } });
    await lenient.request('PUT', '/db/_design/d', { json: { views } });
    const answer = await lenient.request('GET', '/db/_design/d/_view/v?group=true');
    expect((answer.body as Table).rows.map(({ value }) => String(value).length)).toEqual([1, 6000, 1]);
  } finally {
    await lenient.stop();
  }
});

test('views of _users show nothing to those who may not see its design documents', async () => {
  const views = { v: { map: 'function (doc) { emit(doc.name, doc); }' } };
  await it.request('PUT', '/_users');
  await it.request('PUT', '/_users/_design/d', { json: { views } });
  await it.request('PUT', '/_users/org.couchdb.user:ann', {
    json: { name: 'ann', type: 'user', roles: [], password: 'secret' },
  });
  const path = '/_users/_design/d/_view/v';
  expect(((await it.request('GET', path)).body as Table).rows).not.toHaveLength(0);
  for (const as of ['member', 'stranger', null]) {
    for (const asked of [path, `${path}?update=false`, '/_users/_design/d/_info']) {
      expect([401, 403]).toContain((await it.request('GET', asked, { as })).status);
    }
    const queries = await it.request('POST', `${path}/queries`, { as, json: { queries: [{}] } });
    expect([401, 403]).toContain(queries.status);
  }
});
