import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type Answer, type TestApp } from './app.js';

type Json = Record<string, unknown>;

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
});
afterAll(() => it.stop());

let count = 0;

/** A new database with these documents. */
async function database(...docs: Json[]): Promise<string> {
  const db = `db${String(++count)}`;
  await it.request('PUT', `/${db}`);
  expect((await it.request('POST', `/${db}/_bulk_docs`, { json: { docs } })).status).toBe(201);
  return db;
}

const post = (db: string, path: string, json: object): Promise<Answer> =>
  it.request('POST', `/${db}/${path}`, { json });

async function index(db: string, fields: unknown[], ddoc: string, more: object = {}): Promise<void> {
  const answer = await post(db, '_index', { index: { fields, ...more }, ddoc, name: ddoc });
  expect(answer).toMatchObject({ status: 200, body: { result: 'created' } });
}

async function found(db: string, selector: object, more: object = {}): Promise<unknown> {
  const { status, body } = await post(db, '_find', { selector, fields: ['_id'], limit: 1000, ...more });
  expect([status, body]).toEqual([200, body]);
  return (body as { docs: { _id: string }[] }).docs.map(({ _id }) => _id);
}

async function stats(db: string, query: object): Promise<unknown> {
  const { body } = await post(db, '_find', { execution_stats: true, ...query });
  const { execution_stats: told } = body as { execution_stats: Json };
  return { ...told, execution_time_ms: 0 };
}

const numbers = (length: number): Json[] =>
  Array.from({ length }, (_, n) => ({
    _id: `i${String(n).padStart(4, '0')}`,
    n,
    even: n % 2 === 0,
    big: 'x'.repeat(50),
  }));

test('numbers are shown as they are stored, from documents and from an index', async () => {
  const db = await database();
  const text = '{"_id":"a","n":12345678901234567890,"f":100.0,"o":{"n":9007199254740993}}';
  await it.request('PUT', `/${db}/a`, { text });
  const shown = async (fields: string[]): Promise<string> =>
    (await post(db, '_find', { selector: { n: { $gt: 0 } }, fields })).text;
  expect(await shown(['f', 'o', 'n'])).toContain(
    '{"f":100.0,"o":{"n":9007199254740993},"n":12345678901234567890}',
  );
  await index(db, ['n', 'f'], 'covering');
  const query = { selector: { n: { $gt: 0 }, f: { $gt: 0 } }, fields: ['n', 'f'] };
  const answer = await post(db, '_find', { ...query, execution_stats: true });
  expect(answer.text).toContain('{"n":12345678901234567890,"f":100.0}');
  expect(answer.body).toMatchObject({ execution_stats: { total_docs_examined: 0 } });
  const feed = await it.request('POST', `/${db}/_changes?filter=_selector&include_docs=true`, {
    json: { selector: { n: { $gt: 0 } }, fields: ['n'] },
  });
  expect(feed.text).toContain('"doc":{"n":12345678901234567890}');
});

describe('the planner', () => {
  const chosen = async (db: string, query: object): Promise<unknown> => {
    const { status, body } = await post(db, '_explain', query);
    if (status !== 200) return (body as Json).error;
    const { index: used } = body as { index: { name: string } | null };
    return used?.name ?? null;
  };

  test('takes the index with most of the selector, then the smallest, then the first by name', async () => {
    const db = await database(...numbers(3));
    await index(db, ['b'], 'b');
    await index(db, ['a'], 'a');
    await index(db, ['a', 'b'], 'ab');
    await index(db, ['a'], 'another');
    await index(db, ['b', 'd'], '0bd');
    expect(await chosen(db, { selector: { a: 1 } })).toBe('a');
    expect(await chosen(db, { selector: { a: 1, b: 2 } })).toBe('ab');
    expect(await chosen(db, { selector: { b: 1, c: 2 } })).toBe('b');
    expect(await chosen(db, { selector: { b: 1, d: { $regex: 'x' } } })).toBe('b');
    expect(await chosen(db, { selector: { c: 1 } })).toBe('_all_docs');
    expect(await chosen(db, { selector: { $or: [{ a: 1 }, { b: 1 }] } })).toBe('_all_docs');
    expect(await chosen(db, { selector: { $or: [{ a: 1 }, { a: 2 }] } })).toBe('a');
    expect(await chosen(db, { selector: { a: { $exists: false } } })).toBe('_all_docs');
    expect(await chosen(db, { selector: { c: 1, $or: [] } })).toBe('_all_docs');
    expect(await chosen(db, { selector: { a: 1 }, sort: ['b'] })).toBe('ab');
    expect(await chosen(db, { selector: { a: { $gt: 1 } }, sort: ['b'] })).toBe('b');
    expect(await chosen(db, { selector: { c: 1 }, sort: ['c'] })).toBe(null);
    expect(await chosen(db, { selector: { a: 1 }, use_index: 'another' })).toBe('another');
    expect(await chosen(db, { selector: { a: 1 }, use_index: 'b', allow_fallback: false })).toBe(
      'invalid_index',
    );
  });

  test('that fits is needed where there may be no fallback', async () => {
    const db = await database();
    await index(db, ['n'], 'i');
    const asked = async (path: string, query: Json): Promise<unknown> => {
      const { status, body } = await post(db, path, { allow_fallback: false, ...query });
      return status === 200 ? status : (body as Json).error;
    };
    for (const [query, run, explained] of [
      [{ selector: { x: 1 } }, 'invalid_index', 'invalid_index'],
      [{ selector: { x: 1 }, use_index: '_all_docs' }, 'invalid_index', 'invalid_index'],
      [{ selector: { x: 1 }, sort: ['x'] }, 'no_usable_index', 'invalid_index'],
      [{ selector: { x: 1 }, sort: ['x'], use_index: 'i' }, 'no_usable_index', 'invalid_index'],
      [{ selector: { x: 1 }, sort: ['x'], use_index: '_all_docs' }, 'no_usable_index', 'invalid_index'],
      [{ selector: { $or: [] } }, 200, 200],
      [{ selector: { $or: [] }, use_index: 'i' }, 200, 200],
      [{ selector: { $or: [] }, sort: ['x'] }, 'no_usable_index', 'invalid_index'],
      [{ selector: { x: 1, $or: [] } }, 'invalid_index', 'invalid_index'],
    ] as const) {
      expect([query, await asked('_find', query)]).toEqual([query, run]);
      expect([query, await asked('_explain', query)]).toEqual([query, explained]);
    }
  });

  test('says of each other index why it was not taken', async () => {
    const db = await database();
    await index(db, ['n'], 'i');
    await index(db, ['n', 'even'], 'j');
    await index(db, ['n'], 'k', { partial_filter_selector: { even: true } });
    await index(db, ['n'], 'm');
    const { body } = await post(db, '_explain', { selector: { n: { $gt: 3 } }, fields: ['n'] });
    const told = (body as { index_candidates: { index: Json; analysis: Json }[] }).index_candidates;
    expect(told.map(({ index: { name }, analysis }) => [name, analysis])).toEqual([
      ['m', { usable: true, reasons: [{ name: 'alphabetically_comes_after' }], ranking: 1, covering: true }],
      ['k', { usable: false, reasons: [{ name: 'is_partial' }], ranking: 4, covering: true }],
      ['j', { usable: false, reasons: [{ name: 'field_mismatch' }], ranking: 3, covering: true }],
      ['_all_docs', { usable: true, reasons: [{ name: 'unfavored_type' }], ranking: 2, covering: null }],
    ]);
    const asked = await post(db, '_explain', { selector: { even: 1 }, use_index: 'k' });
    const { index_candidates: others } = asked.body as {
      index_candidates: { index: Json; analysis: Json }[];
    };
    expect(others.map(({ index: { name }, analysis: { reasons } }) => [name, reasons])).toEqual([
      ['m', [{ name: 'field_mismatch' }]],
      ['k', [{ name: 'is_partial' }]],
      ['j', [{ name: 'field_mismatch' }]],
      ['i', [{ name: 'field_mismatch' }]],
    ]);
    expect(body).toMatchObject({
      covering: true,
      mrargs: { include_docs: false, start_key: [3], end_key: ['<MAX>'], conflicts: 'undefined' },
      selector_hints: [{ type: 'json', indexable_fields: ['n'], unindexable_fields: [] }],
    });
  });
});

describe('an index', () => {
  test('with a filter has just what fits it, and is used where it is asked for', async () => {
    const db = await database(...numbers(8));
    await index(db, ['n'], 'k', { partial_filter_selector: { even: true, n: { $ne: 4 } } });
    expect(await found(db, { n: { $gt: 1 } })).toHaveLength(6);
    expect(await found(db, { n: { $gt: 1 } }, { use_index: 'k' })).toEqual(['i0002', 'i0006']);
  });

  test('that has all that is asked for answers without documents', async () => {
    const db = await database(...numbers(30));
    await index(db, ['n', 'even'], 'i');
    const query = { selector: { n: { $gte: 27 }, even: false }, fields: ['_id', 'n'] };
    expect(await found(db, query.selector, { fields: ['_id', 'n'] })).toEqual(['i0027', 'i0029']);
    const told = {
      total_keys_examined: 3,
      total_quorum_docs_examined: 0,
      results_returned: 2,
      execution_time_ms: 0,
    };
    expect(await stats(db, query)).toEqual({ ...told, total_docs_examined: 0 });
    expect(await stats(db, { ...query, fields: [] })).toEqual({ ...told, total_docs_examined: 3 });
    expect(await stats(db, { ...query, fields: [], r: 2 })).toEqual({
      ...told,
      total_docs_examined: 0,
      total_quorum_docs_examined: 3,
    });
  });

  test('keeps its columns in their order, whatever they are called', async () => {
    const db = await database({ _id: 'x', b: 1, 1: 2 }, { _id: 'y', b: 2, 1: 1 });
    await index(db, ['b', '1'], 'i');
    const { body } = await it.request('GET', `/${db}/_index`);
    expect(body).toMatchObject({ indexes: [{}, { def: { fields: [{ b: 'asc' }, { 1: 'asc' }] } }] });
    expect(await found(db, { b: { $gt: 0 }, 1: { $gt: 0 } }, { sort: ['b', '1'] })).toEqual(['x', 'y']);
  });

  test('lives in a document that others may use, and goes with its last', async () => {
    const db = await database();
    const file = { content_type: 'text/plain', data: 'aGVsbG8=' };
    await it.request('PUT', `/${db}/_design/d`, {
      json: { language: 'query', own: 5, _attachments: { file } },
    });
    const made = await Promise.all(
      ['a', 'b', 'c', 'd', 'e'].map((name) =>
        post(db, '_index', { index: { fields: [name] }, ddoc: 'd', name }),
      ),
    );
    expect(made.map(({ body }) => (body as Json).result)).toEqual(Array(5).fill('created'));
    const { body } = await it.request('GET', `/${db}/_design/d`);
    expect(body).toMatchObject({ own: 5, _attachments: { file: { stub: true } }, views: { a: {}, e: {} } });
    expect((await post(db, '_index/_bulk_delete', { docids: ['d'] })).body).toEqual({
      success: [{ id: '_design/d', ok: true }],
      fail: [],
    });
    expect((await it.request('GET', `/${db}/_design/d`)).body).not.toHaveProperty('views');
    await index(db, ['a'], 'alone');
    expect((await it.request('DELETE', `/${db}/_index/_design%2Falone/json/alone`)).status).toBe(200);
    expect((await it.request('GET', `/${db}/_design/alone`)).status).toBe(404);
    await index(db, ['a'], 'foo/bar');
    expect((await it.request('DELETE', `/${db}/_index/_design/foo%2Fbar/json/foo%2Fbar`)).status).toBe(200);
  });

  test('is made and removed by database admins alone', async () => {
    const db = await database();
    await index(db, ['a'], 'i');
    await it.request('PUT', `/${db}/_security`, {
      json: { admins: { names: ['dbadmin'] }, members: { names: ['member'] } },
    });
    const body = { index: { fields: ['b'] }, ddoc: 'i', name: 'b' };
    const as = (user: string): Promise<number[]> =>
      Promise.all([
        it.request('POST', `/${db}/_index`, { json: body, as: user }),
        it.request('DELETE', `/${db}/_index/i/json/i`, { as: user }),
        it.request('POST', `/${db}/_index/_bulk_delete`, { json: { docids: ['i'] }, as: user }),
      ]).then((answers) => answers.map(({ status }) => status));
    expect((await as('member')).slice(0, 2)).toEqual([403, 403]);
    expect((await it.request('GET', `/${db}/_index`, { as: 'member' })).body).toMatchObject({
      total_rows: 2,
    });
    expect((await it.request('POST', `/${db}/_index`, { json: body, as: 'dbadmin' })).status).toBe(200);
  });

  test.each<[object, string]>([
    [{ index: [] }, 'invalid_index'],
    [{ index: { fields: ['a'], foo: 1 } }, 'invalid_key'],
    [{ index: { fields: ['a'] }, foo: 1 }, 'invalid_key'],
    [{ index: { fields: [['a']] } }, 'invalid_sort_field'],
    [{ index: { fields: ['a..b'] } }, 'invalid_field_name'],
    [{ index: { fields: ['a'] }, name: '' }, 'invalid_empty_string'],
    [{ index: { fields: ['a'] }, w: 0 }, 'invalid_pos_integer'],
    [{ index: { fields: ['a'] }, ddoc: 5 }, 'invalid_string'],
    [{ index: { fields: ['a'] }, partitioned: 'x' }, 'invalid_partitioned_value'],
    [{ index: { fields: ['a'] }, partitioned: true }, 'invalid_design_doc'],
    [{ index: { fields: ['a'], partial_filter_selector: 5 } }, 'invalid_selector_json'],
    [{ index: { fields: ['a'], partial_filter_selector: { a: { $regex: '(' } } } }, 'bad_arg'],
    [{ index: { fields: Array.from({ length: 101 }, (_, n) => `f${String(n)}`) } }, 'invalid_index'],
    [{ index: { fields: ['a'] }, ddoc: 'js' }, 'invalid_ddoc_lang'],
  ])('%j is refused', async (body, error) => {
    const db = await database({ _id: '_design/js', views: {} });
    expect(await post(db, '_index', body)).toMatchObject({ status: 400, body: { error } });
  });
});

describe('a query', () => {
  test('tells conflicts and attachments of its documents', async () => {
    const db = await database({
      _id: 'a',
      _attachments: { f: { content_type: 'text/plain', data: 'aGk=' } },
      n: 1,
    });
    await post(db, '_bulk_docs', { new_edits: false, docs: [{ _id: 'a', _rev: '1-0', n: 0 }] });
    await index(db, ['n'], 'i');
    for (const selector of [{ n: 1 }, { _conflicts: ['1-0'] }, { '_attachments.f.stub': true }]) {
      const { body } = await post(db, '_find', { selector, conflicts: true });
      expect(body).toMatchObject({
        docs: [{ _conflicts: ['1-0'], _attachments: { f: { stub: true, length: 2 } } }],
      });
    }
  });

  test('never finds design documents, nor what was deleted', async () => {
    const db = await database({ _id: 'a' }, { _id: 'b', _deleted: true });
    await index(db, ['n'], 'i');
    expect(await found(db, {})).toEqual(['a']);
    expect(await found(db, { _id: { $gt: '_' } })).toEqual(['a']);
  });

  test('finds nothing at once where nothing can fit', async () => {
    const db = await database(...numbers(5));
    for (const selector of [{ $and: [] }, { n: { $gt: 5, $lt: 3 } }, { _id: { $eq: 'x', $gt: 'y' } }]) {
      const { body } = await post(db, '_find', { selector, execution_stats: true });
      expect(body).toMatchObject({ docs: [], bookmark: 'nil', execution_stats: { total_keys_examined: 0 } });
    }
  });

  test('compares ids as the database has them', async () => {
    const db = await database(...['a', 'B', 'c', 'a\u{1f600}', 'a\ue000'].map((_id) => ({ _id })));
    expect(await found(db, { _id: { $gt: 'B' } })).toEqual(['a', 'a\ue000', 'a\u{1f600}', 'c']);
    expect(await found(db, { _id: { $beginsWith: 'a' } }, { sort: [{ _id: 'desc' }] })).toEqual([
      'a\u{1f600}',
      'a\ue000',
      'a',
    ]);
    expect(await found(db, { _id: { $gte: 'B', $lt: 'b' } }, { limit: 2 })).toEqual(['B', 'a']);
    await index(db, ['_id'], 'i');
    expect(await found(db, { _id: { $gt: 'B', $lt: 'b' } }, { use_index: 'i' })).toEqual([
      'a',
      'a\u{1f600}',
      'a\ue000',
    ]);
  });

  test('sees an index as it was where that will do', async () => {
    const db = await database({ _id: 'a', n: 1 });
    await index(db, ['n'], 'i');
    const query = { selector: { n: 1 }, sort: ['n'] };
    expect(await found(db, query.selector, { sort: ['n'] })).toEqual(['a']);
    await post(db, '_bulk_docs', { docs: [{ _id: 'b', n: 1 }] });
    expect(await found(db, { n: 1 }, { update: false })).toEqual(['a']);
    expect(await found(db, { n: 1 }, { stale: 'ok' })).toEqual(['a']);
    expect(await found(db, { n: 1 })).toEqual(['a', 'b']);
  });

  test.each<[object, string]>([
    [{ foo: 1 }, 'invalid_key'],
    [{ limit: 1.5 }, 'invalid_non_neg_integer'],
    [{ skip: 1e30 }, 'invalid_non_neg_integer'],
    [{ sort: [{ a: 'asc', b: 'asc' }] }, 'invalid_sort_field'],
    [{ sort: null }, 'invalid_sort_json'],
    [{ fields: null }, 'invalid_fields'],
    [{ fields: ['a..b'] }, 'invalid_field_name'],
    [{ use_index: 'a/b/c/d' }, 'invalid_index_name'],
    [{ bookmark: 5 }, 'invalid_bookmark'],
    [{ bookmark: 'WzFd' }, 'invalid_bookmark'],
    [{ r: '1' }, 'invalid_pos_integer'],
    [{ stale: 'x' }, 'invalid_ok_or_false_value'],
    [{ update: 'lazy' }, 'invalid_boolean'],
    [{ partition: 'p' }, 'query_parse_error'],
    [{ partition: 5 }, 'illegal_partition'],
    [{ selector: { a: { $mod: [0, 0] } } }, 'bad_arg'],
    [{ selector: { a: { $where: '' } } }, 'not_supported'],
    [{ selector: { a: { $text: 'x' } } }, 'bad_field'],
    [{ selector: { $gt: 1 } }, 'invalid_selector'],
    [{ selector: { a: { $regex: 'x'.repeat(501) } } }, 'bad_request'],
    [{ selector: { a: 'x'.repeat(100_000) } }, 'bad_request'],
  ])('with %.80j is refused', async (options, error) => {
    const db = await database();
    const answer = await post(db, '_find', { selector: { n: 1 }, ...options });
    expect(answer).toMatchObject({ status: 400, body: { error } });
  });

  test('for text is refused as an index for it is', async () => {
    const db = await database();
    const refusal = { status: 503, body: { error: 'required index service unavailable', reason: 'text' } };
    expect(await post(db, '_find', { selector: { $text: 'x' } })).toMatchObject(refusal);
    expect(await post(db, '_index', { index: {}, type: 'text' })).toMatchObject(refusal);
  });
});

describe('a regular expression', () => {
  const one = async (text: string, pattern: string): Promise<boolean> => {
    const db = await database({ _id: 'a', text });
    return ((await found(db, { text: { $regex: pattern } })) as string[]).length > 0;
  };

  test('that would run for ever elsewhere takes no time', async () => {
    expect(await one(`${'a'.repeat(100_000)}!`, '^(a+)+$')).toBe(false);
    expect(await one('a'.repeat(100_000), '^(a|aa)+$')).toBe(true);
  });

  test('finds nothing where to look would be too much work, as in CouchDB', async () => {
    expect(await one('a'.repeat(10_000), '(?:a{1,30}){30}')).toBe(false);
    expect(await one('a'.repeat(1000), '(?:a{1,30}){30}')).toBe(true);
  });

  test('takes characters for what they are', async () => {
    expect(await one('ø', '^.$')).toBe(true);
    expect(await one('ø', '(*UTF8)^[ø]$')).toBe(true);
    expect(await one('Ø', '(?i)^ø$')).toBe(true);
  });

  test.each(['(?=a)', '(a)\\1', 'a++', '(?>a)', '(?<!a)b'])(
    '%s is refused with what is meant',
    async (pattern) => {
      const db = await database();
      const { status, body } = await post(db, '_find', { selector: { a: { $regex: pattern } } });
      expect(status).toBe(400);
      expect(body).toMatchObject({ error: 'bad_arg', reason: expect.stringContaining('RE2') as string });
    },
  );

  test('filters a feed, too', async () => {
    const db = await database({ _id: 'a', t: 'Bergen' }, { _id: 'b', t: 'Oslo' });
    const { body } = await post(db, '_changes?filter=_selector', { selector: { t: { $regex: '^B' } } });
    expect(body).toMatchObject({ results: [{ id: 'a' }] });
  });
});
