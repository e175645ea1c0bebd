import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp({
    limits: {
      maxHttpRequestSize: 100_000,
      maxDocumentSize: 20_000,
      maxDocumentIdLength: 20,
      maxAttachmentSize: 30_000,
      maxUriLength: 2000,
      maxHeaderSize: 70_000,
      uuidsMaxCount: 5,
      maxDbNumberForDbsInfoReq: 2,
      purgeMaxDocumentIdNumber: 3,
      purgeMaxRevisionsNumber: 4,
    },
  });
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

const JSON_TYPE = { 'content-type': 'application/json' };

/** What CouchDB answers where something is beyond a limit. */
const error = (status: number, error: string, reason: string): object => ({
  status,
  body: { error, reason },
});

describe('up to the limit, and one beyond', () => {
  const TOO_LARGE = error(413, 'too_large', 'the request entity is too large');

  test('bytes of a request', async () => {
    const text = (length: number): string => '{"docs":[]}'.padEnd(length);
    const post = (length: number) =>
      it.request('POST', '/db/_bulk_docs', { text: text(length), headers: JSON_TYPE });
    expect((await post(100_000)).status).toBe(201);
    expect(await post(100_001)).toMatchObject(TOO_LARGE);
  });

  test('bytes of a document', async () => {
    // What counts is the body without the members of CouchDB, but with its braces.
    const put = (id: string, length: number) =>
      it.request('PUT', `/db/${id}`, { json: { _id: id, v: 'x'.repeat(length - 8) } });
    expect((await put('fits', 20_000)).status).toBe(201);
    expect(await put('is-not', 20_001)).toMatchObject(error(413, 'document_too_large', 'is-not'));
  });

  test('bytes and fields that a function is sent', async () => {
    const shows = { s: 'function (doc, req) { return String(req.body.length) }' };
    await it.request('PUT', '/db/_design/sent', { json: { shows } });
    const post = (text: string, type: string) =>
      it.request('POST', '/db/_design/sent/_show/s', { text, headers: { 'content-type': type } });
    expect((await post('x'.repeat(20_000), 'text/plain')).text).toBe('20000');
    expect(await post('x'.repeat(20_001), 'text/plain')).toMatchObject(TOO_LARGE);
    const form = 'application/x-www-form-urlencoded';
    expect((await post(`${'a&'.repeat(9_999)}b`, form)).text).toBe('19999');
    expect(await post('a&'.repeat(10_000), form)).toMatchObject(TOO_LARGE);
    await it.request('DELETE', '/db/_design/sent');
  });

  test('bytes of an id', async () => {
    const refused = error(400, 'illegal_docid', 'Document id is too long');
    const [fits, tooLong] = ['ä'.repeat(10), 'ä'.repeat(11)];
    const path = (id: string): string => `/db/${encodeURIComponent(id)}`;
    expect((await it.request('PUT', path(fits), { json: {} })).status).toBe(201);
    expect(await it.request('PUT', path(tooLong), { json: {} })).toMatchObject(refused);
    expect(await it.request('POST', '/db', { json: { _id: tooLong } })).toMatchObject(refused);
    expect(await it.request('POST', '/db/_bulk_docs', { json: { docs: [{ _id: tooLong }] } })).toMatchObject(
      refused,
    );
    expect(await it.request('PUT', `${path(tooLong)}/file`, { text: 'x' })).toMatchObject(refused);
    const headers = { destination: encodeURIComponent(tooLong) };
    expect(await it.request('COPY', path(fits), { headers })).toMatchObject(refused);
    expect(await it.request('POST', '/db/_bulk_get', { json: { docs: [{ id: tooLong }] } })).toMatchObject({
      status: 200,
      body: { results: [{ docs: [{ error: { error: 'illegal_docid' } }] }] },
    });
  });

  test('bytes of an attachment', async () => {
    const put = (id: string, length: number) =>
      it.request('PUT', `/db/${id}/file`, {
        text: Buffer.alloc(length),
        headers: { 'content-type': 'image/x' },
      });
    expect((await put('with-file', 30_000)).status).toBe(201);
    expect(await put('without', 30_001)).toMatchObject(error(413, 'attachment_too_large', 'file'));
  });

  test('bytes of a URL, wherever it leads', async () => {
    const refused = error(414, 'too_long', 'the request uri is too long');
    const get = (path: string, length: number) => it.request('GET', path.padEnd(length, 'x'));
    expect((await get('/?', 2000)).status).toBe(200);
    for (const path of ['/?', '/db/', '/no/where/', '/%zz', '/_up?']) {
      expect(await get(path, 2001)).toMatchObject(refused);
    }
  });

  test('bytes of the headers', async () => {
    const answer = await it.raw(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(70_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 [^]*"too_long"/);
  });

  test('documents and revisions of a purge', async () => {
    const revs = (count: number): string[] => Array.from({ length: count }, (_, n) => `1-${String(n)}`);
    const purge = (json: object) => it.request('POST', '/db/_purge', { json });
    expect((await purge({ a: revs(1), b: revs(1), c: revs(2) })).status).toBe(201);
    expect(await purge({ a: revs(1), b: revs(1), c: revs(1), d: revs(1) })).toMatchObject(
      error(400, 'bad_request', 'Exceeded maximum number of documents.'),
    );
    expect(await purge({ a: revs(2), b: revs(3) })).toMatchObject(
      error(400, 'bad_request', 'Exceeded maximum number of revisions.'),
    );
  });

  test('ids of _uuids and databases of _dbs_info', async () => {
    expect((await it.request('GET', '/_uuids?count=5')).status).toBe(200);
    expect(await it.request('GET', '/_uuids?count=6')).toMatchObject(
      error(400, 'bad_request', 'count parameter too large'),
    );
    const info = (...keys: string[]) => it.request('POST', '/_dbs_info', { json: { keys } });
    expect((await info('db', 'none')).status).toBe(200);
    expect(await info('a', 'b', 'c')).toMatchObject(error(400, 'bad_request', 'too_many_keys'));
  });
});

describe('bodies', () => {
  test('that are too large are refused whether or not they say so', async () => {
    const text = `{"v":"${'x'.repeat(200_000)}"}`;
    const refused = { status: 413, body: { error: 'too_large', reason: 'the request entity is too large' } };
    expect(await it.request('PUT', '/db/big', { text })).toMatchObject(refused);
    const chunked = { 'transfer-encoding': 'chunked' };
    expect(await it.request('PUT', '/db/big', { text, headers: chunked })).toMatchObject(refused);
    expect((await it.request('GET', '/db/big')).status).toBe(404);
  });

  test('that unpack to too much are refused without being unpacked', async () => {
    const text = gzipSync(Buffer.alloc(50_000_000, 0x20));
    expect(text.length).toBeLessThan(100_000);
    const headers = { ...JSON_TYPE, 'content-encoding': 'gzip' };
    expect(await it.request('PUT', '/db/bomb', { text, headers })).toMatchObject({ status: 413 });
  });

  test('that are documents have a smaller limit of their own', async () => {
    const json = { v: 'x'.repeat(30_000) };
    expect(await it.request('PUT', '/db/a', { json })).toMatchObject({
      status: 413,
      body: { error: 'document_too_large' },
    });
    const docs = [{ _id: 'small' }, { _id: 'large', ...json }];
    expect(await it.request('POST', '/db/_bulk_docs', { json: { docs } })).toMatchObject({
      status: 413,
      body: { error: 'document_too_large', reason: 'large' },
    });
    expect((await it.request('GET', '/db/small')).status).toBe(404);
  });

  test('of a login are small', async () => {
    const text = `name=a&password=${'x'.repeat(70_000)}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await it.request('POST', '/_session', { as: null, text, headers })).status).toBe(413);
  });
});

test('long headers cost no more than their length', async () => {
  const quotes = `${'"'.repeat(60_000)}x`;
  for (const name of ['if-match', 'if-none-match', 'accept', 'destination']) {
    const answer = await it.request(name === 'destination' ? 'COPY' : 'DELETE', '/db/none', {
      headers: { [name]: quotes },
    });
    expect([400, 404]).toContain(answer.status);
  }
}, 5000);

test('ids grow and do not repeat', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 50; n++) {
    const { body } = await it.request('GET', '/_uuids?count=5');
    ids.push(...(body as { uuids: string[] }).uuids);
  }
  expect(new Set(ids).size).toBe(250);
  expect(ids.every((id) => /^[0-9a-f]{32}$/.test(id))).toBe(true);
});
