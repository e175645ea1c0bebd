import { once } from 'node:events';
import http from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';
import { bytesOf, digestOf } from '../support/attachments.js';

const MIB = 1024 * 1024;

/** More than sockets take in for readers that do not read. */
const PLAIN = bytesOf(10 * MIB, 1);
const CHUNKED = bytesOf(10 * MIB + 1, 2);

let it: TestApp;
beforeAll(async () => {
  it = await startApp({ store: { chunkAbove: PLAIN.length } });
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

/** A response that has begun, and is not read. */
async function begin(
  method: string,
  path: string,
  accept: string,
  body?: string,
): Promise<http.IncomingMessage> {
  const headers = { accept, 'x-test-user': 'admin', 'content-type': 'application/json' };
  const request = http.request({ host: '127.0.0.1', port: it.port, method, path, headers, agent: false });
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  expect(response.statusCode).toBe(200);
  return response;
}

const RESPONSES: readonly (readonly [method: string, path: string, accept: string, body?: string])[] = [
  ['GET', '/db/doc/plain', '*/*'],
  ['GET', '/db/doc/chunked', '*/*'],
  ['GET', '/db/doc?attachments=true', 'multipart/related'],
  ['GET', '/db/doc?attachments=true', 'application/json'],
  ['GET', '/db/doc?open_revs=all', 'multipart/mixed'],
  ['GET', '/db/doc?open_revs=all&attachments=true', 'application/json'],
  ['POST', '/db/_bulk_get?attachments=true', 'application/json', '{"docs":[{"id":"doc"}]}'],
  ['POST', '/db/_bulk_get', 'multipart/mixed', '{"docs":[{"id":"doc"}]}'],
];

test('what is purged while it is read comes to its end, and is gone then', async () => {
  const put = await it.request('PUT', '/db/doc/plain', { text: PLAIN });
  const { rev } = put.body as { rev: string };
  const next = await it.request('PUT', `/db/doc/chunked?rev=${rev}`, { text: CHUNKED });
  const responses = await Promise.all(RESPONSES.map((one) => begin(...one)));
  // One reader leaves.
  (await begin('GET', '/db/doc/plain', '*/*')).destroy();
  await it.request('POST', '/db/_compact', { json: {} });
  const purged = await it.request('POST', '/db/_purge', {
    json: { doc: [(next.body as { rev: string }).rev] },
  });
  expect(purged.status).toBe(201);
  expect((await it.request('GET', '/db/doc/plain')).status).toBe(404);
  const info = (await it.request('GET', '/db')).body as { sizes: { external: number } };
  expect(info.sizes.external).toBe(0);
  for (const [at, response] of responses.entries()) {
    const [, path, accept] = RESPONSES[at] ?? [];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const all = Buffer.concat(chunks);
    if (path === '/db/doc/plain' || path === '/db/doc/chunked') {
      expect(digestOf(all)).toBe(digestOf(path === '/db/doc/plain' ? PLAIN : CHUNKED));
      continue;
    }
    for (const bytes of [PLAIN, CHUNKED]) {
      const sent = accept === 'application/json' ? Buffer.from(bytes.toString('base64')) : bytes;
      expect(all.includes(sent), `${String(path)} ${String(accept)}`).toBe(true);
    }
  }
  expect(it.errors).toEqual([]);
});
