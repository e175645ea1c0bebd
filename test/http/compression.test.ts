import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Answer, startApp, type TestApp, USERS } from './app.js';

const MANY = 2000;

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
  await it.request('PUT', '/db');
  const docs = Array.from({ length: MANY }, (_, n) => ({ _id: `d${String(n)}`, text: 'Größe '.repeat(600) }));
  await it.request('POST', '/db/_bulk_docs', { json: { docs } });
  await it.request('PUT', '/db/short', { json: {} });
});
afterAll(() => it.stop());

const asking = (encoding: string, headers: Record<string, string> = {}) => ({
  headers: { 'accept-encoding': encoding, ...headers },
});

const unpack = { br: brotliDecompressSync, gzip: gunzipSync };

test.each([
  ['gzip', 'gzip'],
  ['br', 'br'],
  ['gzip, deflate, br', 'br'],
  ['br;q=0, gzip', 'gzip'],
  ['*', 'br'],
  ['gzip;q=0', undefined],
  ['identity, gzip;q=0.5', undefined],
  ['zstd', undefined],
  ['', undefined],
] as const)('to Accept-Encoding %j a listing is sent as %s', async (asked, coding) => {
  const path = '/db/_all_docs?include_docs=true&limit=100';
  const plain = await it.request('GET', path);
  expect(plain.headers['content-encoding']).toBeUndefined();
  expect(plain.headers.vary).toBeUndefined();
  const packed = await it.request('GET', path, asking(asked));
  expect(packed.headers['content-encoding']).toBe(coding);
  if (coding === undefined) {
    expect(packed.bytes.equals(plain.bytes)).toBe(true);
    return;
  }
  expect(packed.headers.vary).toBe('Accept-Encoding');
  expect(packed.bytes.length).toBeLessThan(plain.bytes.length / 5);
  expect(unpack[coding](packed.bytes).equals(plain.bytes)).toBe(true);
});

/** Answers that can be long, with the status of each. */
const LONG: [string, string, unknown, number][] = [
  ['GET', '/db/d1', undefined, 200],
  ['GET', '/db/_changes', undefined, 200],
  ['POST', '/db/_all_docs', { keys: Array.from({ length: 100 }, (_, n) => `d${String(n)}`) }, 200],
  ['POST', '/db/_bulk_get', { docs: Array.from({ length: 100 }, (_, n) => ({ id: `d${String(n)}` })) }, 200],
  ['POST', '/db/_bulk_docs', { docs: Array.from({ length: 100 }, () => ({})) }, 201],
  ['POST', '/db/_bulk_docs', { docs: Array.from({ length: 1500 }, () => ({})) }, 201],
];

test.each(LONG)('%s %s is compressed, whole or in pieces', async (method, path, json, status) => {
  const answer = await it.request(method, path, { ...asking('gzip'), json });
  expect([answer.status, answer.headers['content-encoding']]).toEqual([status, 'gzip']);
  expect(() => JSON.parse(gunzipSync(answer.bytes).toString()) as unknown).not.toThrow();
});

test('what is short, an error or an attachment is sent as it is', async () => {
  const text = 'x'.repeat(10_000);
  const { body } = await it.request('PUT', '/db/attached', { json: {} });
  const { rev } = body as { rev: string };
  const type = { 'content-type': 'application/json' };
  await it.request('PUT', `/db/attached/a?rev=${rev}`, { text: `"${text}"`, headers: type });
  const plain: [string, string][] = [
    ['GET', '/db/short'],
    ['GET', '/db'],
    ['GET', `/db/${text}`],
    ['GET', '/db/_all_docs?limit=5'],
    ['GET', '/db/attached/a?rev=1-x'],
    ['HEAD', '/db/d1'],
  ];
  for (const [method, path] of plain) {
    const answer = await it.request(method, path, asking('br, gzip'));
    expect(answer.headers['content-encoding'], path).toBeUndefined();
  }
  // Stored compressed, with the coding that it is stored in.
  const stored = await it.request('GET', '/db/attached/a', asking('br, gzip'));
  expect(stored.headers['content-encoding']).toBe('gzip');
  const mixed = await it.request('GET', '/db/d1?open_revs=all', {
    headers: { 'accept-encoding': 'gzip', accept: 'multipart/mixed' },
  });
  expect(mixed.headers['content-type']).toMatch(/^multipart/);
  expect(mixed.headers['content-encoding']).toBeUndefined();
});

test('a compressed document can be written back with its ETag, as a plain one can', async () => {
  const packed = await it.request('GET', '/db/d2', asking('gzip'));
  const etag = packed.headers.etag ?? '';
  expect([packed.headers['content-encoding'], packed.headers.vary]).toEqual(['gzip', 'Accept-Encoding']);
  expect(etag).toMatch(/^"1-[0-9a-f]{32}"$/);
  const again = await it.request('GET', '/db/d2', asking('gzip', { 'if-none-match': etag }));
  expect(again.status).toBe(304);
  const written = await it.request('PUT', '/db/d2', { json: {}, headers: { 'if-match': etag } });
  expect(written.status).toBe(201);
});

test.each(['longpoll', 'continuous', 'eventsource'])(
  'a %s feed is neither compressed nor late',
  async (feed) => {
    const socket = net.connect(it.port, '127.0.0.1').setEncoding('utf8');
    let text = '';
    socket.on('data', (data: string) => (text += data));
    socket.write(
      `GET /db/_changes?feed=${feed}&since=now&heartbeat=60000 HTTP/1.1\r\nHost: x\r\n` +
        `Accept-Encoding: gzip, br\r\nX-Test-User: ${USERS.admin?.name ?? ''}\r\n\r\n`,
    );
    await vi.waitFor(() => expect(text).toContain('\r\n\r\n'));
    const id = `news-for-${feed}`;
    await it.request('PUT', `/db/${id}`, { json: {} });
    await vi.waitFor(() => expect(text).toContain(id));
    expect(text).not.toMatch(/^content-encoding/im);
    socket.destroy();
  },
);

test('only so many are compressed at once, also where clients do not read, until they leave', async () => {
  const own = await startApp({ compression: { concurrency: 2 } });
  try {
    await own.request('PUT', '/db');
    // What does not get smaller, and more of it than fits into the buffers between us.
    for (let batch = 0; batch < 4; batch++) {
      const docs = Array.from({ length: 1000 }, () => ({ text: randomBytes(3000).toString('base64') }));
      await own.request('POST', '/db/_bulk_docs', { json: { docs } });
    }
    const coding = async (): Promise<string | undefined> => {
      const { headers } = await own.request('GET', '/db/_all_docs?include_docs=true&limit=10', asking('br'));
      return headers['content-encoding'];
    };
    expect(await coding()).toBe('br');
    const stuck = async (one: string): Promise<net.Socket> => {
      const socket = net.connect(own.port, '127.0.0.1').setEncoding('latin1');
      const lines = ['GET /db/_all_docs?include_docs=true HTTP/1.1', 'Host: x', `Accept-Encoding: ${one}`];
      socket.write(`${lines.join('\r\n')}\r\nX-Test-User: ${USERS.admin?.name ?? ''}\r\n\r\n`);
      // Its place is taken once its headers are there, before anybody else asks for one.
      const [head] = (await once(socket, 'data')) as [string];
      socket.pause();
      expect(head.toLowerCase()).toContain(`content-encoding: ${one}`);
      return socket;
    };
    const gone = await stuck('gzip');
    const slow = await stuck('br');
    expect(await coding()).toBeUndefined();
    gone.destroy();
    await vi.waitFor(async () => expect(await coding()).toBe('br'));
    let tail = '';
    slow.on('data', (text: string) => {
      tail = (tail + text).slice(-5);
      if (tail === '0\r\n\r\n') slow.destroy();
    });
    slow.resume();
    await once(slow, 'close');
    expect(tail).toBe('0\r\n\r\n');
    expect(own.errors).toEqual([]);
  } finally {
    await own.stop();
  }
});

test('it can be switched off', async () => {
  const own = await startApp({ compression: { enabled: false } });
  try {
    await own.request('PUT', '/db');
    await own.request('PUT', '/db/a', { json: { text: 'x'.repeat(10_000) } });
    const answer: Answer = await own.request('GET', '/db/a', asking('gzip'));
    expect(answer.headers['content-encoding']).toBeUndefined();
  } finally {
    await own.stop();
  }
});

test('how short is short can be set, also to more than is compressed at once', async () => {
  const own = await startApp({ compression: { minSize: 500_000 } });
  try {
    await own.request('PUT', '/db');
    const docs = Array.from({ length: 100 }, (_, n) => ({ _id: `d${String(n)}`, text: 'x'.repeat(9000) }));
    await own.request('POST', '/db/_bulk_docs', { json: { docs } });
    const list = (limit: number): Promise<Answer> =>
      own.request('GET', `/db/_all_docs?include_docs=true&limit=${String(limit)}`, asking('gzip'));
    const short = await list(40);
    expect(short.headers['content-encoding']).toBeUndefined();
    expect(short.bytes.length).toBeGreaterThan(360_000);
    const long = await list(100);
    expect(long.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(long.bytes).length).toBeGreaterThan(900_000);
  } finally {
    await own.stop();
  }
});
