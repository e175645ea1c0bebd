import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type Answer, type TestApp } from './app.js';

const COUNT = 1500;

let it: TestApp;
let revs: string[];
beforeAll(async () => {
  it = await startApp();
  await it.request('PUT', '/db');
  const docs = Array.from({ length: COUNT }, (_, n) => ({ _id: idOf(n), n, pad: 'x'.repeat(100) }));
  const { body } = await it.request('POST', '/db/_bulk_docs', { json: { docs } });
  revs = (body as { rev: string }[]).map((row) => row.rev);
  for (const name of ['a', 'b', 'c']) await it.request('PUT', `/db/_design/${name}`, { json: {} });
  for (const name of ['a', 'b', 'c']) await it.request('PUT', `/db/_local/${name}`, { json: { name } });
});
afterAll(() => it.stop());

const idOf = (n: number): string => `d${String(n).padStart(5, '0')}`;
const get = (url: string): Promise<Answer> => it.request('GET', url);
const postText = (url: string, text: string): Promise<Answer> =>
  it.request('POST', url, { text, headers: { 'content-type': 'application/json' } });
const post = (url: string, json: unknown): Promise<Answer> => it.request('POST', url, { json });

interface Listing {
  total_rows: number | null;
  offset: number | null;
  rows: { id?: string; key: unknown; error?: string; value?: { rev: string }; doc?: unknown }[];
}

const list = async (path: string): Promise<Listing> => (await get(`/db/${path}`)).body as Listing;
const ids = (listing: Listing): unknown[] => listing.rows.map((row) => row.id ?? row.error);

/** Ids and revisions as clients send them. Few are odd: one that is has the whole body read otherwise. */
function asked(): { id: fc.Arbitrary<string>; rev: fc.Arbitrary<string> } {
  const mostly = (usual: readonly string[], odd: readonly string[]): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...usual) },
      { weight: 1, arbitrary: fc.constantFrom(...odd) },
    );
  const generation = mostly(['1', '2'], ['01', '0', '1234567890123456']);
  const hash = mostly(['a'.repeat(32), '0123456789abcdef0123456789abcdef'], ['A'.repeat(32), 'x', '']);
  const known = Array.from({ length: 5 }, (_, n) => idOf(n));
  return {
    id: mostly([...known, '__proto__', '1', '', '_x', '":[', '\u007f\u2028\ud83d\ude00'], ['a"b', '\\']),
    rev: fc.oneof(
      fc.constantFrom(...revs.slice(0, 5)),
      fc.tuple(generation, hash).map((parts) => parts.join('-')),
    ),
  };
}

describe('listings', () => {
  test('of many chunks are one JSON text, in order', async () => {
    const all = await list('_all_docs?include_docs=true');
    expect(all.total_rows).toBe(COUNT + 3);
    expect(all.rows).toHaveLength(COUNT + 3);
    expect(ids(all)).toEqual(ids(all).toSorted());
    expect(all.rows[100]?.doc).toMatchObject({ _id: all.rows[100]?.id });
    const reversed = await list('_all_docs?descending=true');
    expect(ids(reversed)).toEqual(ids(all).toReversed());
  });

  test('of design documents do not leave them', async () => {
    expect(ids(await list('_design_docs'))).toEqual(['_design/a', '_design/b', '_design/c']);
    expect(ids(await list('_design_docs?descending=true&limit=1'))).toEqual(['_design/c']);
    expect(ids(await list('_design_docs?startkey=%22A%22&endkey=%22z%22'))).toHaveLength(3);
    expect(ids(await list('_design_docs?startkey=%22_design/b%22'))).toEqual(['_design/b', '_design/c']);
    expect(ids(await list('_design_docs?endkey=%22_design/b%22&inclusive_end=false'))).toEqual(['_design/a']);
    expect(ids(await list('_design_docs?descending=true&startkey=%22_design/b%22'))).toEqual([
      '_design/b',
      '_design/a',
    ]);
    expect(ids(await list('_design_docs?key=%22d00000%22'))).toEqual([]);
  });

  test('of local documents take the same parameters', async () => {
    expect(await list('_local_docs')).toMatchObject({ total_rows: null, offset: null });
    expect(ids(await list('_local_docs?startkey=%22_local/b%22&include_docs=true'))).toEqual([
      '_local/b',
      '_local/c',
    ]);
    expect(ids(await list('_local_docs?skip=1&limit=1'))).toEqual(['_local/b']);
    const { body } = await post('/db/_local_docs', { keys: ['_local/c', 'd00000', '_local/none'] });
    expect(ids(body as Listing)).toEqual(['_local/c', 'not_found']);
  });

  test('by keys of any kind', async () => {
    const keys = ['d00001', 5, null, { a: 1 }, 'none', '__proto__'];
    const { body } = await post('/db/_all_docs', { keys });
    const { rows } = body as Listing;
    expect(rows.map((row) => row.key)).toEqual(keys);
    expect(rows.map((row) => row.error)).toEqual([undefined, ...Array<string>(5).fill('not_found')]);
  });

  test('by more keys than are looked up at a time', async () => {
    const keys = Array.from({ length: COUNT }, (_, n) => idOf(COUNT - 1 - n));
    const { body } = await post('/db/_all_docs?include_docs=true&skip=3', { keys });
    expect(ids(body as Listing)).toEqual(keys.slice(3));
  });

  test('by a single key are rows with an error, in queries ranges', async () => {
    expect((await list('_all_docs?keys=%5B%22none%22%5D')).rows).toEqual([
      { key: 'none', error: 'not_found' },
    ]);
    const { body } = await post('/db/_all_docs/queries', {
      queries: [{ keys: ['none'] }, { keys: ['d00002'] }],
    });
    const { results } = body as { results: Listing[] };
    expect(results.map(ids)).toEqual([[], ['d00002']]);
    expect(results[0]?.offset).not.toBeNull();
  });

  test.each([
    '_all_docs?keys=[%22a%22,%22b%22]&startkey=%22a%22',
    '_all_docs?reduce=true',
    '_all_docs?group=true',
    '_all_docs?group_level=2',
    '_all_docs?stale=maybe',
    '_all_docs?stable=x',
    '_all_docs?partition=p',
  ])('%s is refused', async (path) => {
    expect(await get(`/db/${path}`)).toMatchObject({ status: 400, body: { error: 'query_parse_error' } });
  });

  test('name the sequence they were taken at', async () => {
    const { body } = await get('/db/_all_docs?limit=1&update_seq=true');
    expect((body as { update_seq: string }).update_seq).toMatch(/^[0-9]+-/);
    const keyed = await post('/db/_all_docs?update_seq=true', { keys: ['a', 'b'] });
    expect(keyed.body).toMatchObject({ update_seq: null });
  });
});

describe('_bulk_get', () => {
  test('answers in order, more than are read at a time and each for itself', async () => {
    const docs: unknown[] = Array.from({ length: COUNT }, (_, n) => ({ id: idOf(n), rev: revs[n] }));
    docs.splice(700, 0, { id: '' }, 5, { id: 'none' }, { id: 'd00001', rev: 'x' });
    const { body } = await post('/db/_bulk_get?revs=true', { docs });
    const { results } = body as { results: { id: unknown; docs: Record<string, unknown>[] }[] };
    expect(results).toHaveLength(COUNT + 4);
    expect(results[0]).toMatchObject({ id: 'd00000', docs: [{ ok: { n: 0, _revisions: { start: 1 } } }] });
    expect(results.slice(700, 704).map((row) => (row.docs[0]?.error as { error: string }).error)).toEqual([
      'illegal_docid',
      'bad_request',
      'not_found',
      'bad_request',
    ]);
    expect(results.at(-1)).toMatchObject({ id: idOf(COUNT - 1), docs: [{ ok: { n: COUNT - 1 } }] });
  });

  test('with latest follows a revision to its leaves', async () => {
    await it.request('PUT', `/db/d00003?rev=${revs[3] ?? ''}`, { json: { n: 'newer' } });
    const { body } = await post('/db/_bulk_get?latest=true', { docs: [{ id: 'd00003', rev: revs[3] }] });
    expect(body).toMatchObject({ results: [{ docs: [{ ok: { n: 'newer' } }] }] });
  });

  test('answers none with an empty multipart body', async () => {
    const answer = await it.request('POST', '/db/_bulk_get', {
      json: { docs: [] },
      headers: { accept: 'multipart/mixed' },
    });
    expect(answer).toMatchObject({ status: 200, text: '' });
  });
});

describe('_bulk_get, as replicators ask it,', () => {
  test('is answered as however else it may be asked', async () => {
    const { id, rev } = asked();
    const entries = fc.array(fc.record({ id, rev }), { minLength: 1, maxLength: 5 });
    const ask = (text: string): Promise<Answer> => postText('/db/_bulk_get?revs=true&latest=true', text);
    await fc.assert(
      fc.asyncProperty(entries, async (docs) => {
        const text = JSON.stringify({ docs });
        const [plain, spaced] = [await ask(text), await ask(text.replace('[', '[ '))];
        expect(plain.text).toBe(spaced.text);
        expect(plain.status).toBe(200);
      }),
      { numRuns: 200 },
    );
    const entry = `{"id":"a","rev":"1-${'a'.repeat(32)}"}`;
    for (const end of ['', ',', ']', ',]}', ']}}', `${entry}]}`]) {
      expect(await ask(`{"docs":[${entry}${end}`)).toMatchObject({ status: 400 });
    }
  });
});

describe('_bulk_docs', () => {
  test.each([true, false])(
    'with new_edits=%s writes in the order of ids, and answers in that of the request',
    async (newEdits) => {
      const db = `/order-${String(newEdits)}`;
      await it.request('PUT', db);
      const sent = ['z', 'a', '😀', 'm', '\ue000', '_design/x', 'B'];
      const docs = [
        ...sent.map((_id) => ({ _id, _rev: newEdits ? undefined : '1-a' })),
        { _id: 'a', _rev: '1-b' },
      ];
      const { body } = await post(`${db}/_bulk_docs`, { docs, new_edits: newEdits });
      expect((body as { id: string; error?: string }[]).map(({ id, error }) => error ?? id)).toEqual(
        newEdits ? [...sent, 'conflict'] : [],
      );
      const { results } = (await get(`${db}/_changes`)).body as { results: { id: string }[] };
      expect(results.map(({ id }) => id)).toEqual(['B', '_design/x', 'a', 'm', 'z', '\ue000', '😀']);
    },
  );

  test('knows new_edits wherever it stands, and the last of several', async () => {
    const send = (text: string) =>
      it.request('POST', '/db/_bulk_docs', { text, headers: { 'content-type': 'application/json' } });
    expect(await send('{"new_edits":false,"docs":[{"_id":"x1","_rev":"1-a"}]}')).toMatchObject({ body: [] });
    expect(await send('{"docs":[{"_id":"x2","_rev":"1-a"}],"new_edits":false}')).toMatchObject({ body: [] });
    expect((await send('{"new_edits":false,"docs":[{"_id":"x3"}],"new_edits":true}')).body).toMatchObject([
      { ok: true },
    ]);
    expect((await send('{"docs":[{"_id":"x4"},5],"docs":[{"_id":"x5"}]}')).body).toMatchObject([
      { id: 'x5' },
    ]);
    expect((await get('/db/x4')).status).toBe(404);
  });

  test('says of wrong JSON that it is that, even behind a wrong document', async () => {
    const text = '{"docs":[{"_id":5}]';
    const answer = await it.request('POST', '/db/_bulk_docs', {
      text,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.body).toMatchObject({ reason: 'invalid UTF-8 JSON' });
  });

  test('refuses single design documents that are none', async () => {
    const docs = [{ _id: '_design/x', views: 5 }, { _id: 'beside' }];
    expect((await post('/db/_bulk_docs', { docs })).body).toMatchObject([
      { id: '_design/x', error: 'invalid_design_doc' },
      { id: 'beside', ok: true },
    ]);
  });
});

describe('_revs_diff', () => {
  test('takes any id, and tells what is wrong with a body', async () => {
    const text = '{"__proto__":["1-a"],"d00001":["1-a"],"a":["2-b","1-a"]}';
    const answer = await it.request('POST', '/db/_revs_diff', {
      text,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.text).toContain('"__proto__":{"missing":["1-a"]}');
    expect(answer.text).toContain('"a":{"missing":["2-b","1-a"]}');
    for (const json of [{ a: 'x' }, { a: ['x'] }, { a: [5] }, { a: {} }]) {
      expect(await post('/db/_revs_diff', json)).toMatchObject({
        status: 400,
        body: { error: 'bad_request' },
      });
    }
  });

  test('reads bodies as replicators send them like any others', async () => {
    const { id, rev } = asked();
    // Ids may come again.
    const members = fc.array(fc.tuple(id, fc.array(rev, { minLength: 1, maxLength: 3 })), { maxLength: 4 });
    const ask = (text: string): Promise<Answer> => postText('/db/_revs_diff', text);
    await fc.assert(
      fc.asyncProperty(members, async (all) => {
        const body = (space: string): string =>
          `{${all.map(([name, list]) => `${JSON.stringify(name)}:${space}${JSON.stringify(list)}`).join(',')}}`;
        const [plain, spaced] = [await ask(body('')), await ask(body(' '))];
        expect({ status: plain.status, text: plain.text }).toEqual({
          status: spaced.status,
          text: spaced.text,
        });
      }),
      { numRuns: 300 },
    );
    // What is broken off is neither.
    for (const broken of ['{"a":["1-x"]', '{"a":["1-x"],', '{"a":["1-x"]}}', '{,}', '{"a":["1-x"],}', '']) {
      const text = broken.replace('1-x', `1-${'a'.repeat(32)}`);
      expect(await ask(text)).toMatchObject({ status: 400 });
    }
  });

  test('takes more revisions of one document than a call takes arguments', async () => {
    const many = Array.from({ length: 200_000 }, (_, n) => `${String(n + 2)}-x`);
    const { body } = await post('/db/_revs_diff', { d00000: many });
    expect(body).toEqual({ d00000: { missing: many, possible_ancestors: [revs[0]] } });
  });

  test('answers a thousand ids', async () => {
    const asked = Object.fromEntries(Array.from({ length: COUNT }, (_, n) => [idOf(n), [revs[n], '9-z']]));
    const { body } = await post('/db/_revs_diff', asked);
    expect(Object.keys(body as object)).toHaveLength(COUNT);
    expect((body as Record<string, unknown>).d00000).toEqual({
      missing: ['9-z'],
      possible_ancestors: [revs[0]],
    });
  });
});

describe('_changes', () => {
  test.each([
    ['limit=x', 'The limit parameter should be a non-negative integer'],
    ['timeout=x', 'The timeout parameter should be a non-negative integer'],
    ['heartbeat=0', 'The heartbeat value should be a positive integer (in milliseconds).'],
    ['seq_interval=x', 'invalid_seq_interval'],
    ['style=x', 'The style must be main_only or all_docs.'],
    ['feed=x', 'Supported `feed` types: normal, continuous, live, longpoll, eventsource'],
    ['filter=_doc_ids', '`doc_ids` filter parameter is not a list of doc ids.'],
    ['filter=_doc_ids&doc_ids=[', 'invalid UTF-8 JSON'],
    ['filter=_x', 'unknown builtin filter name'],
    ['filter=a/b/c', '`filter` must be of the form `designname/filtername`'],
    ['filter=_view&view=a', '`view` must be of the form `designname/viewname`'],
  ])('%s: %s', async (query, reason) => {
    expect(await get(`/db/_changes?${query}`)).toMatchObject({
      status: 400,
      body: { error: 'bad_request', reason },
    });
  });

  test('a limit below zero is none, and a timeout below zero is over at once', async () => {
    const all = (await get('/db/_changes')).body as { results: unknown[] };
    expect((await get('/db/_changes?limit=-1')).body).toMatchObject({ results: all.results });
    expect((await get('/db/_changes?feed=longpoll&since=now&timeout=-1')).body).toMatchObject({
      results: [],
    });
  });

  test('parameters count in any case, live is continuous, and unchanged databases answer 304', async () => {
    const live = await get('/db/_changes?FEED=live&Limit=2&timeout=10');
    expect(live.text.trim().split('\n')).toHaveLength(3);
    const { headers } = await get('/db/_changes?limit=1');
    const again = { headers: { 'if-none-match': headers.etag } };
    expect((await it.request('GET', '/db/_changes?limit=1', again)).status).toBe(304);
    await it.request('PUT', '/db/changed', { json: {} });
    expect((await it.request('GET', '/db/_changes?limit=1', again)).status).toBe(200);
  });

  test('a body without anything is no filter', async () => {
    const headers = { 'content-type': 'application/json' };
    expect((await it.request('POST', '/db/_changes?limit=1', { text: '', headers })).status).toBe(200);
    expect((await it.request('POST', '/db/_changes', { text: '[]', headers })).status).toBe(400);
  });
});
