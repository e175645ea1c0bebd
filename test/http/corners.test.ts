import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startApp, type Answer, type TestApp } from './app.js';

let it: TestApp;
let made = 0;
let db: string;
beforeAll(async () => {
  it = await startApp();
});
beforeEach(async () => {
  made++;
  db = `/db${String(made)}`;
  await it.request('PUT', db);
});
afterAll(() => it.stop());

const get = (path: string): Promise<Answer> => it.request('GET', `${db}/${path}`);
const put = (path: string, json: unknown): Promise<Answer> => it.request('PUT', `${db}/${path}`, { json });
const post = (path: string, json: unknown): Promise<Answer> => it.request('POST', `${db}/${path}`, { json });
const json = (value: unknown): string => encodeURIComponent(JSON.stringify(value));
const rev = (generation: number, digit: string): string => `${String(generation)}-${digit.repeat(32)}`;

/** A document with leaves 3-a, 2-e (deleted) and 10-b, which have nothing in common. */
async function conflicting(): Promise<void> {
  const docs = [
    { _id: 'doc', _rev: rev(3, 'a') },
    { _id: 'doc', _rev: rev(2, 'e'), _deleted: true },
    { _id: 'doc', _rev: rev(10, 'b') },
  ];
  await post('_bulk_docs', { docs, new_edits: false });
}

describe('revisions come by generation, then by hash', () => {
  beforeEach(conflicting);

  test('from open_revs, each once and the missing last', async () => {
    const all = (await get('doc?open_revs=all')).body as { ok: { _rev: string } }[];
    expect(all.map(({ ok }) => ok._rev)).toEqual([rev(2, 'e'), rev(3, 'a'), rev(10, 'b')]);
    const asked = [rev(10, 'b'), rev(1, 'f'), rev(3, 'a'), rev(3, 'a')];
    expect((await get(`doc?open_revs=${json(asked)}`)).body).toEqual([
      { ok: { _id: 'doc', _rev: rev(3, 'a') } },
      { ok: { _id: 'doc', _rev: rev(10, 'b') } },
      { missing: rev(1, 'f') },
    ]);
  });

  test('but from _bulk_get as they stand in the tree, the branch with the highest root first', async () => {
    const { body } = await post('_bulk_get', { docs: [{ id: 'doc' }] });
    const [{ docs } = { docs: [] }] = (body as { results: { docs: { ok: { _rev: string } }[] }[] }).results;
    expect(docs.map(({ ok }) => ok._rev)).toEqual([rev(10, 'b'), rev(3, 'a'), rev(2, 'e')]);
  });

  test('from _revs_diff', async () => {
    const { body } = await post('_revs_diff', { doc: [rev(11, 'a'), rev(4, 'c'), rev(4, 'b'), rev(3, 'a')] });
    expect(body).toMatchObject({ doc: { missing: [rev(4, 'b'), rev(4, 'c'), rev(11, 'a')] } });
  });
});

describe('a revision of a document that never was', () => {
  test('is a conflict where nothing was ever written', async () => {
    expect((await put('a', { _rev: rev(1, 'a') })).status).toBe(409);
    const { body } = await post('_bulk_docs', { docs: [{ _id: 'a', _rev: rev(1, 'a') }, { _id: 'b' }] });
    expect(body).toMatchObject([{ id: 'a', error: 'conflict' }, { ok: true }]);
    expect((await put('a', { _rev: rev(1, 'a') })).body).toMatchObject({ ok: true });
  });

  test('is a conflict for design documents, and for what is written with them', async () => {
    await put('first', {});
    expect((await put('_design/x', { _rev: rev(1, 'a') })).status).toBe(409);
    const docs = [{ _id: '_design/x' }, { _id: 'a', _rev: rev(1, 'a') }];
    expect((await post('_bulk_docs', { docs })).body).toMatchObject([{ ok: true }, { error: 'conflict' }]);
    expect((await post('_bulk_docs', { docs: [docs[1]], new_edits: false })).body).toEqual([]);
  });

  test('is a conflict for documents with attachments, for what is written with them, and for copies', async () => {
    const _attachments = { note: { data: 'YQ==' } };
    const attached = { _id: 'a', _rev: rev(1, 'a'), _attachments };
    await put('source', { _attachments });
    expect((await put('a', attached)).status).toBe(409);
    const docs = [{ _id: 'b', _attachments }, { _id: 'c', _rev: rev(1, 'c') }, attached];
    const refused = { error: 'conflict' };
    expect((await post('_bulk_docs', { docs })).body).toMatchObject([{ ok: true }, refused, refused]);
    const headers = { destination: `a?rev=${rev(1, 'a')}` };
    expect((await it.request('COPY', `${db}/source`, { headers })).status).toBe(409);
    expect((await put('a', { ...attached, _attachments: {} })).body).toMatchObject({ ok: true });
  });

  test('with stubs lacks these first', async () => {
    const stubbed = { _id: 'a', _rev: rev(1, 'a'), _attachments: { note: { stub: true } } };
    expect((await put('a', stubbed)).status).toBe(412);
    expect((await post('_bulk_docs', { docs: [{ _id: 'b' }, stubbed] })).status).toBe(412);
    expect((await get('b')).status).toBe(404);
    expect((await put('_design/a', { ...stubbed, _id: '_design/a' })).status).toBe(412);
  });
});

describe('a history', () => {
  test('is shown as far as _revs_limit goes, even where more of it is known', async () => {
    const ids = ['5', '4', '3', '2', '1'].map((digit) => digit.repeat(32));
    const fork = ['9'.repeat(32), ...ids.slice(2)];
    const [_rev, other] = [`8-${ids[0] ?? ''}`, `7-${fork[0] ?? ''}`];
    await put('long?new_edits=false', { _rev, _revisions: { start: 8, ids } });
    await put('forked?new_edits=false', { _rev, _revisions: { start: 8, ids } });
    await put('forked?new_edits=false', { _rev: other, _revisions: { start: 7, ids: fork } });
    await it.request('PUT', `${db}/_revs_limit`, { json: 2 });
    const shown = { _rev, _revisions: { start: 8, ids: ids.slice(0, 2) } };
    const beside = { _rev: other, _revisions: { start: 7, ids: fork.slice(0, 2) } };
    for (const id of ['long', 'forked']) expect((await get(`${id}?revs=true`)).body).toMatchObject(shown);
    expect((await get(`forked?revs=true&rev=${other}`)).body).toMatchObject(beside);
    expect((await get('forked?revs=true&open_revs=all')).body).toMatchObject([{ ok: beside }, { ok: shown }]);
    expect((await post('_bulk_get?revs=true', { docs: [{ id: 'forked', rev: other }] })).body).toMatchObject({
      results: [{ docs: [{ ok: beside }] }],
    });
    const { _revs_info } = (await get('long?revs_info=true')).body as { _revs_info: unknown };
    expect(_revs_info).toHaveLength(5);
  });
});

test.each(['_revs_limit', '_purged_infos_limit'])(
  '%s is a whole number that is written as one',
  async (name) => {
    const set = async (text: string): Promise<number> =>
      (await it.request('PUT', `${db}/${name}`, { text })).status;
    for (const text of ['1e3', '7.0', '1E3', '70e-1', '0', '-1', '"5"', 'null', '[7]', '7x'])
      expect([text, await set(text)]).toEqual([text, 400]);
    expect(await set(' 7\n')).toBe(200);
    expect((await get(name)).body).toBe(7);
  },
);

test('_local_docs has no sequence', async () => {
  await it.request('PUT', `${db}/_local/l`, { json: {} });
  expect((await get('_local_docs?update_seq=true')).body).toMatchObject({
    update_seq: null,
    rows: [{ id: '_local/l' }],
  });
});

test.each(['_revs_diff', '_missing_revs'])('%s says of broken JSON that it is that', async (path) => {
  for (const [text, reason] of [
    ['{"a":1,', 'invalid UTF-8 JSON'],
    ['{"a":[1],"b":}', 'invalid UTF-8 JSON'],
    ['{"a":{"b":}}', 'invalid UTF-8 JSON'],
    ['{"a":1}x', 'invalid UTF-8 JSON'],
    ['[1', 'invalid UTF-8 JSON'],
    ['{"a":1}', 'Invalid list of revisions'],
    ['{"a":[1]}', 'Invalid rev format'],
    ['[1]', 'Request body must be a JSON object'],
  ] as const) {
    const headers = { 'content-type': 'application/json' };
    const { status, body } = await it.request('POST', `${db}/${path}`, { text, headers });
    expect([text, status, body]).toEqual([text, 400, { error: 'bad_request', reason }]);
  }
});

describe('_bulk_docs', () => {
  test('cannot be atomic', async () => {
    const docs = [{ _id: 'a' }, { _id: 'b', _rev: rev(1, 'b') }];
    const answer = await post('_bulk_docs', { all_or_nothing: true, docs });
    expect(answer.status).toBe(417);
    expect(answer.body).toMatchObject([
      { id: 'a', rev: '0-', error: 'not_implemented' },
      { id: 'b', rev: rev(1, 'b'), error: 'not_implemented' },
    ]);
    expect((await get('a')).status).toBe(404);
    expect((await post('_bulk_docs', { all_or_nothing: true, docs: [] })).status).toBe(201);
    expect((await post('_bulk_docs', { all_or_nothing: false, docs })).status).toBe(201);
  });

  test('tells of a local document with a bad revision in its row', async () => {
    const docs = [{ _id: '_local/a', _rev: '1-a' }, { _id: '_local/b' }, { _id: 'c' }];
    const { status, body } = await post('_bulk_docs', { docs });
    expect(status).toBe(201);
    expect(body).toMatchObject([
      { id: '_local/a', reason: 'Invalid rev format' },
      { ok: true, rev: '0-1' },
      { ok: true, id: 'c' },
    ]);
  });
});

describe('_bulk_get', () => {
  test('fails as a whole for an id that is no text', async () => {
    for (const id of [5, null, {}]) expect((await post('_bulk_get', { docs: [{ id }] })).status).toBe(400);
  });

  test('tells which revision is wrong', async () => {
    const docs = [
      { id: 'a', rev: 'x', atts_since: 'y' },
      { id: 'a', rev: '1-a', atts_since: 'y' },
      { id: 'a', rev: '1-a', atts_since: ['1-b', 'z'] },
    ];
    const { results } = (await post('_bulk_get', { docs })).body as {
      results: { docs: { error: { rev: unknown } }[] }[];
    };
    expect(results.map((row) => row.docs[0]?.error.rev)).toEqual(['x', 'y', 'z']);
  });
});

describe('local documents', () => {
  test('have no revisions to be asked for by name', async () => {
    await put('_local/a', { v: 1 });
    expect((await get('_local/a?rev=0-1')).status).toBe(404);
    expect((await get('_local/a?rev=0-1&latest=true')).body).toMatchObject({ v: 1 });
    expect((await get('_local/a?open_revs=all')).status).toBe(404);
    expect((await get('_local/a?open_revs=%5B%220-1%22%5D')).body).toEqual([{ missing: '0-1' }]);
    const headers = { destination: 'b' };
    expect((await it.request('COPY', `${db}/_local/a?rev=0-1`, { headers })).status).toBe(404);
  });

  test('may be sent back with the history that was asked for', async () => {
    await put('_local/a', { v: 1 });
    const { body } = await get('_local/a?revs=true');
    expect(body).toMatchObject({ _revisions: { start: 0, ids: ['1'] } });
    expect((await put('_local/a', { ...(body as object), v: 2 })).body).toMatchObject({ rev: '0-2' });
    expect((await get('_local/a')).body).toEqual({ _id: '_local/a', _rev: '0-2', v: 2 });
  });

  test.each(['GET', 'PUT', 'DELETE', 'COPY'])('without a name cannot be had by %s', async (method) => {
    const answer = await it.request(method, `${db}/_local%2F`, { json: {}, headers: { destination: 'x' } });
    expect(answer).toMatchObject({ status: 400, body: { error: 'bad_request' } });
  });
});

test('the copy of a deleted revision is made, deleted', async () => {
  await conflicting();
  const headers = { destination: 'copy' };
  const answer = await it.request('COPY', `${db}/doc?rev=${rev(2, 'e')}`, { headers });
  expect(answer.status).toBe(201);
  expect((await get('copy')).body).toMatchObject({ reason: 'deleted' });
  const local = await it.request('COPY', `${db}/doc`, { headers: { destination: '_local/x' } });
  expect(local.headers.etag).toBe('"0-1"');
});

describe('listings', () => {
  test('take only numbers for counts in a body', async () => {
    await put('a', {});
    for (const body of [{ limit: '1' }, { skip: '1' }, { group_level: '0' }]) {
      expect(await post('_all_docs', body)).toMatchObject({
        status: 400,
        body: { error: 'query_parse_error' },
      });
    }
    expect((await post('_all_docs', { limit: 1, descending: 'true' })).status).toBe(200);
  });

  test('of databases do not take keys', async () => {
    expect((await it.request('GET', '/_all_dbs?keys=["db1","db2"]')).status).toBe(400);
    expect((await it.request('GET', '/_all_dbs?keys=["db1"]')).body).toEqual(['db1']);
  });
});

describe('_changes', () => {
  test.each(['1-abc', '3-x', '5', '', '[1,"x"]', '0-', '2-0123456789abcdeg'])(
    'since=%s is no sequence',
    async (since) => {
      const path = `_changes?since=${encodeURIComponent(since)}`;
      expect(await get(path)).toMatchObject({ status: 400, body: { error: 'bad_request' } });
      expect((await get(`${path}&descending=true`)).status).toBe(200);
    },
  );

  test.each(['5-g1AAAACReJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9____', '"7-0123456789ab"'])(
    'since=%s is of another database',
    async (since) => {
      await put('a', {});
      const { body } = await get(`_changes?since=${encodeURIComponent(since)}`);
      expect(body).toMatchObject({ results: [{ id: 'a' }] });
    },
  );

  test('the last of since and last-event-id counts', async () => {
    await put('a', {});
    expect((await get('_changes?last-event-id=now&since=0')).body).toMatchObject({ results: [{ id: 'a' }] });
    expect((await get('_changes?since=0&last-event-id=now')).body).toMatchObject({ results: [] });
  });

  test('other parameters are judged before the filter, and slashes are none', async () => {
    expect((await get('_changes?filter=no/ne&limit=x')).status).toBe(400);
    expect((await get('_changes?filter=no/ne&since=x')).status).toBe(404);
    expect((await get('_changes?filter=%2F')).status).toBe(200);
  });
});

describe('a selector as a filter', () => {
  test.each([
    [{ $gt: 1 }],
    [{ n: { $in: 1 } }],
    [{ n: { $nin: 'x' } }],
    [{ n: { $exists: 1 } }],
    [{ n: { $type: 1 } }],
    [{ n: { $mod: [1] } }],
    [{ n: { $size: -1 } }],
    [{ n: { $all: 1 } }],
    [{ n: { $elemMatch: 1 } }],
    [{ n: { $beginsWith: 1 } }],
    [{ 'a..b': 1 }],
    [{ n: { $where: 'x' } }],
  ])('%j is refused', async (selector) => {
    const answer = await post('_changes?filter=_selector', { selector });
    expect(answer).toMatchObject({ status: 400, body: { error: 'bad_request' } });
  });
});

describe('below /_gateway', () => {
  test('a path that there is not is told as such, and not as a database that is missing', async () => {
    const nothing = {
      status: 404,
      body: { error: 'not_found', reason: 'There is nothing at this path below /_gateway.' },
    };
    const paths = ['', '/nope', `/databases${db}/nope`, `/databases${db}/journal/1/nope`];
    for (const path of paths) expect(await it.request('GET', `/_gateway${path}`)).toMatchObject(nothing);
    expect(await it.request('PUT', '/_gateway')).toMatchObject(nothing);
    expect((await it.request('GET', '/_gateway/databases/missing/conflicts')).body).toMatchObject({
      reason: 'Database does not exist.',
    });
  });
});
