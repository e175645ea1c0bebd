import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp({
    limits: { maxRequestSize: 100_000, maxDocumentSize: 20_000, maxUuidCount: 5, maxDbsInfoKeys: 2 },
  });
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

const JSON_TYPE = { 'content-type': 'application/json' };

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

test('counts have limits', async () => {
  expect((await it.request('GET', '/_uuids?count=5')).status).toBe(200);
  expect((await it.request('GET', '/_uuids?count=6')).body).toMatchObject({
    reason: 'count parameter too large',
  });
  expect((await it.request('POST', '/_dbs_info', { json: { keys: ['a', 'b', 'c'] } })).body).toMatchObject({
    reason: 'too_many_keys',
  });
});

test('ids grow and do not repeat', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 50; n++) {
    const { body } = await it.request('GET', '/_uuids?count=5');
    ids.push(...(body as { uuids: string[] }).uuids);
  }
  expect(new Set(ids).size).toBe(250);
  expect(ids.every((id) => /^[0-9a-f]{32}$/.test(id))).toBe(true);
});
