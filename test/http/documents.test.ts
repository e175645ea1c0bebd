import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type Answer, type TestApp } from './app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

const get = (url: string, headers: Record<string, string> = {}): Promise<Answer> =>
  it.request('GET', url, { headers });
const post = (url: string, json: unknown): Promise<Answer> => it.request('POST', url, { json });

/** A revision with 32 times the same digit. */
const rev = (generation: number, digit: string): string => `${String(generation)}-${digit.repeat(32)}`;

describe('reading', () => {
  beforeAll(async () => {
    const tree = (leaf: string, ...path: string[]) => ({
      _id: 'tree',
      _rev: leaf,
      _revisions: { start: path.length, ids: path.map((digit) => digit.repeat(32)) },
      leaf,
    });
    const docs = [
      tree(rev(3, 'a'), 'a', 'b', 'c'),
      tree(rev(3, 'd'), 'd', 'b', 'c'),
      { ...tree(rev(2, 'e'), 'e', 'c'), _deleted: true },
    ];
    await post('/db/_bulk_docs', { docs, new_edits: false });
    const { body } = await it.request('PUT', '/db/gone', { json: { v: 1 } });
    await it.request('DELETE', `/db/gone?rev=${(body as { rev: string }).rev}`);
  });

  test('a deleted document is shown to those who ask for it', async () => {
    expect(await get('/db/gone')).toMatchObject({ status: 404, body: { reason: 'deleted' } });
    expect(await get('/db/gone?deleted=true')).toMatchObject({ status: 200, body: { _deleted: true } });
    expect(await get('/db/gone?open_revs=all')).toMatchObject({ body: [{ ok: { _deleted: true } }] });
  });

  test('what can change without the revision takes the ETag away', async () => {
    expect((await get('/db/tree')).headers.etag).toBe(`"${rev(3, 'd')}"`);
    expect((await get('/db/tree?conflicts=true')).headers).not.toHaveProperty('etag');
    const numbered = await get('/db/tree?local_seq=true');
    expect(numbered.headers).not.toHaveProperty('etag');
    expect(numbered.body).toMatchObject({ _local_seq: expect.any(Number) as number });
  });

  test('open_revs with latest gives each leaf once', async () => {
    const asked = encodeURIComponent(JSON.stringify([rev(1, 'c'), rev(2, 'b'), rev(3, 'a'), rev(9, 'f')]));
    const { body } = await get(`/db/tree?open_revs=${asked}&latest=true`);
    const rows = body as { ok?: { _rev: string }; missing?: string }[];
    expect(rows.map((row) => row.ok?._rev ?? `missing ${row.missing ?? ''}`).toSorted()).toEqual([
      rev(2, 'e'),
      rev(3, 'a'),
      rev(3, 'd'),
      `missing ${rev(9, 'f')}`,
    ]);
  });

  test('no open_revs are as if the parameter had not been given', async () => {
    expect(await get('/db/tree?open_revs=%5B%5D')).toMatchObject({
      body: { _id: 'tree', leaf: rev(3, 'd') },
    });
  });

  test('revisions come as parts of a multipart body where that is asked for', async () => {
    const answer = await get('/db/tree?open_revs=all', { accept: 'multipart/mixed' });
    const [, boundary = ''] = /boundary="([^"]+)"/.exec(answer.headers['content-type'] ?? '') ?? [];
    const parts = answer.text.split(`--${boundary}`);
    expect(parts).toHaveLength(5);
    expect([parts[0], parts[4]]).toEqual(['', '--']);
    for (const part of parts.slice(1, 4)) {
      const [head = '', json = ''] = part.split('\r\n\r\n');
      expect(head).toBe('\r\nContent-Type: application/json');
      expect(JSON.parse(json)).toMatchObject({ _id: 'tree' });
    }
  });

  test('what is no attachment is not there', async () => {
    expect(await get('/db/none/file')).toMatchObject({ status: 404, body: { reason: 'missing' } });
    expect(await get('/db/gone/file')).toMatchObject({ status: 404, body: { reason: 'deleted' } });
    expect(await get('/db/tree/file')).toMatchObject({
      status: 404,
      body: { reason: 'Document is missing attachment' },
    });
  });
});

describe('local documents', () => {
  test('know their revision, their ETag and nothing of attachments', async () => {
    const put = await it.request('PUT', '/db/_local/a', { json: { v: 1 } });
    expect(put.body).toEqual({ ok: true, id: '_local/a', rev: '0-1' });
    const one = await get('/db/_local/a?revs=true');
    expect(one.body).toEqual({ _id: '_local/a', _rev: '0-1', v: 1, _revisions: { start: 0, ids: ['1'] } });
    expect((await get('/db/_local/a', { 'if-none-match': one.headers.etag ?? '' })).status).toBe(304);
    expect((await get('/db/_local/a/file')).body).toMatchObject({
      reason: '_local documents do not accept attachments.',
    });
    expect((await it.request('DELETE', '/db/_local/a?rev=foo')).status).toBe(400);
    expect((await it.request('PUT', '/db/_local/a', { json: { _deleted: true } })).body).toMatchObject({
      rev: '0-0',
    });
    expect((await get('/db/_local/a')).status).toBe(404);
    expect((await it.request('DELETE', '/db/_local/a')).status).toBe(404);
  });

  test('can be copied to and from', async () => {
    await it.request('PUT', '/db/_local/from', { json: { v: 'copied' } });
    const copy = (from: string, destination: string) =>
      it.request('COPY', from, { headers: { destination } });
    expect((await copy('/db/_local/from', 'plain')).status).toBe(201);
    expect((await get('/db/plain')).body).toMatchObject({ _id: 'plain', v: 'copied' });
    expect((await copy('/db/plain', '_local/to')).body).toMatchObject({ id: '_local/to', rev: '0-1' });
    expect((await get('/db/_local/to')).body).toEqual({ _id: '_local/to', _rev: '0-1', v: 'copied' });
  });
});

describe('COPY', () => {
  test.each([
    [{}, 400],
    [{ destination: 'http://host/db/x' }, 400],
    [{ destination: '_x' }, 400],
    [{ destination: '' }, 400],
    [{ destination: 'x?rev' }, 400],
    [{ destination: 'x?rev=1-a?rev=1-a' }, 400],
    [{ destination: 'x?rev=foo' }, 400],
    [{ destination: '%ff' }, 400],
    [{ destination: 'x', 'if-match': rev(1, 'f') }, 404],
  ])('with %j is answered %i', async (headers, status) => {
    await it.request('PUT', '/db/source', { json: { v: 1 } });
    expect((await it.request('COPY', '/db/source', { headers })).status).toBe(status);
  });

  test('keeps numbers and keys as they were written', async () => {
    const text = '{"big":12345678901234567890,"one":1.0,"o":{"__proto__":{"a":1}},"a/b":"\\u00e9"}';
    const headers = { 'content-type': 'application/json' };
    await it.request('PUT', '/db/exact', { text, headers });
    await it.request('COPY', '/db/exact', { headers: { destination: 'exact2' } });
    expect((await get('/db/exact2')).text).toContain(
      '"big":12345678901234567890,"one":1.0,"o":{"__proto__":{"a":1}}',
    );
  });
});

describe('forms', () => {
  test('need a referer of this server, then a type with a boundary', async () => {
    const form = (headers: Record<string, string>) =>
      it.request('POST', '/db/doc', { text: '', headers: { host: 'h', ...headers } });
    expect((await form({})).body).toMatchObject({ reason: 'Referer header required.' });
    expect((await form({ referer: 'http://other/' })).body).toMatchObject({
      reason: 'Referer header must match host.',
    });
    expect((await form({ referer: 'http://h/' })).status).toBe(415);
    expect((await form({ referer: 'http://h/', 'content-type': 'multipart/form-data' })).status).toBe(400);
  });
});

describe('batch=ok', () => {
  test('does not tell of conflicts, and nothing is logged for them', async () => {
    await it.request('PUT', '/db/batched', { json: { v: 1 } });
    const answer = await it.request('PUT', '/db/batched?batch=ok', { json: { v: 2 } });
    expect(answer).toMatchObject({ status: 202, body: { ok: true, id: 'batched' } });
    await it.request('PUT', '/db/after', { json: {} });
    expect((await get('/db/batched')).body).toMatchObject({ v: 1 });
    expect(it.errors).toEqual([]);
  });
});
