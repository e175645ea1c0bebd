import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startApp, USERS, type TestApp } from './app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
  await it.request('PUT', '/db');
  const docs = Array.from({ length: 2000 }, (_, n) => ({ _id: `d${String(n)}`, pad: 'x'.repeat(4000) }));
  await it.request('POST', '/db/_bulk_docs', { json: { docs } });
});
afterAll(() => it.stop());

const head = `Host: x\r\nX-Test-User: ${USERS.admin?.name ?? ''}\r\n\r\n`;

/** How many listen to changes of the database. */
const listeners = (): Promise<number> => it.databases.use('db', (db) => db.events.size);

async function streams(): Promise<number> {
  const { body } = await it.request(
    'GET',
    '/_node/_local/_stats/couchdb/httpd/clients_requesting_changes/value',
  );
  return body as number;
}

test('a listing waits for a client that does not read, and others are served meanwhile', async () => {
  const socket = net.connect(it.port, '127.0.0.1').pause();
  socket.write(`GET /db/_all_docs?include_docs=true HTTP/1.1\r\n${head}`);
  await vi.waitFor(async () => expect(await streams()).toBe(1));
  // 8 MB do not fit into the buffers between us: were they all taken, the listing would have ended.
  await it.request('GET', '/db/d1');
  expect(await streams()).toBe(1);

  let size = 0;
  let tail = '';
  socket.on('data', (chunk: Buffer) => {
    size += chunk.length;
    tail = (tail + chunk.toString('latin1')).slice(-20);
    if (tail.endsWith('0\r\n\r\n')) socket.destroy();
  });
  socket.resume();
  await once(socket, 'close');
  expect(size).toBeGreaterThan(8_000_000);
  await vi.waitFor(async () => expect(await streams()).toBe(0));
});

test('a client that leaves in the middle of a listing frees it', async () => {
  const socket = net.connect(it.port, '127.0.0.1').pause();
  socket.write(`GET /db/_all_docs?include_docs=true HTTP/1.1\r\n${head}`);
  await vi.waitFor(async () => expect(await streams()).toBe(1));
  socket.destroy();
  await vi.waitFor(async () => expect(await streams()).toBe(0));
  // The snapshot and the iterator are given back too, or the database could not be deleted.
  expect(it.errors).toEqual([]);
});

test.each(['longpoll', 'continuous', 'eventsource'])(
  'a client that leaves a %s feed frees it',
  async (feed) => {
    const request = http.get({
      port: it.port,
      host: '127.0.0.1',
      path: `/db/_changes?feed=${feed}&since=now&heartbeat=60000`,
      headers: { 'x-test-user': 'admin' },
      agent: false,
    });
    // The head arrives although there is nothing to tell yet.
    await once(request, 'response');
    await vi.waitFor(async () => expect(await listeners()).toBe(1));
    request.on('error', () => undefined);
    request.destroy();
    await vi.waitFor(async () => expect(await listeners()).toBe(0));
    expect(await streams()).toBe(0);
  },
);

test('HEAD of a feed does not wait for changes', async () => {
  const answer = await it.request('HEAD', '/db/_changes?feed=continuous&since=now');
  expect(answer).toMatchObject({ status: 200, text: '' });
  expect(await listeners()).toBe(0);
});

test('a deleted database ends its feeds', async () => {
  await it.request('PUT', '/short');
  const feed = it.request('GET', '/short/_changes?feed=continuous&since=now&heartbeat=60000');
  await vi.waitFor(async () => expect(await streams()).toBe(1));
  await it.request('DELETE', '/short');
  expect((await feed).status).toBe(200);
});

test('closing ends the feeds', async () => {
  const own = await startApp();
  await own.request('PUT', '/db');
  const feeds = ['longpoll', 'continuous', 'eventsource'].map((feed) =>
    own.request('GET', `/db/_changes?feed=${feed}&since=now&heartbeat=60000`),
  );
  await vi.waitFor(() => own.databases.use('db', (db) => expect(db.events.size).toBe(3)));
  const stopped = own.stop();
  const [longpoll, continuous] = await Promise.all(feeds);
  expect(longpoll?.body).toMatchObject({ results: [] });
  expect(continuous?.text).toContain('"last_seq"');
  await stopped;
});

test('an upload that is cut off leaves nothing behind', async () => {
  const socket = net.connect(it.port, '127.0.0.1');
  socket.write(`PUT /db/cut HTTP/1.1\r\nContent-Length: 1000000\r\n${head}{"v":`);
  await once(socket, 'connect');
  socket.destroy();
  await vi.waitFor(async () => expect((await it.request('GET', '/db/cut')).status).toBe(404));
  expect(it.errors).toEqual([]);
});
