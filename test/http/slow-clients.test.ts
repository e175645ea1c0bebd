import net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { inParallel, until } from '../system/support/wait.js';
import { startApp, type TestApp } from './app.js';
import { Wire } from './wire.js';

const MiB = 1024 * 1024;

/** Milliseconds; far longer than a client that gets on needs for one step of the tests. */
const PATIENCE = 1000;

let it: TestApp;
let wires: Wire[] = [];
beforeAll(async () => {
  it = await startApp({
    limits: { progressTimeout: PATIENCE, minTransferRate: 1000, maxBodyMemory: 8 * MiB },
  });
  await it.request('PUT', '/db');
  const docs = Array.from({ length: 3000 }, (_, n) => ({ _id: `d${String(n)}`, pad: 'x'.repeat(4000) }));
  await it.request('POST', '/db/_bulk_docs', { json: { docs } });
  await it.request('PUT', '/db/large', { json: { pad: 'y'.repeat(7 * MiB) } });
  await it.request('PUT', '/db/attached/file', {
    text: Buffer.alloc(24 * MiB, 'z'),
    headers: { 'content-type': 'image/x' },
  });
});
afterEach(() => {
  for (const wire of wires) wire.cut();
  wires = [];
});
afterAll(() => it.stop());

async function open(): Promise<Wire> {
  const wire = await Wire.open(it.port);
  wires.push(wire);
  return wire;
}

const head = (line: string, ...headers: string[]): string =>
  `${[`${line} HTTP/1.1`, 'Host: x', 'X-Test-User: admin', ...headers].join('\r\n')}\r\n\r\n`;

/** What chunks there are in the database, and whatever else is nobody's. */
const leftovers = (): Promise<number> =>
  it.databases.use('db', async (db) => (await db.info()).sizes.external);

/** That others are served. */
async function othersAreServed(): Promise<void> {
  const path = `/db/other-${String(performance.now())}`;
  expect((await it.request('PUT', path, { json: {} })).status).toBe(201);
  expect((await it.request('GET', path)).status).toBe(200);
}

const JSON_TYPE = 'Content-Type: application/json';

/** Lines and headers of requests with bodies. */
const UPLOADS: readonly (readonly [string, ...string[]])[] = [
  ['PUT /db/slow', JSON_TYPE],
  ['POST /db/_bulk_docs', JSON_TYPE],
  ['PUT /db/slow', JSON_TYPE, 'Content-Encoding: gzip'],
  ['PUT /db/slow/file', 'Content-Type: image/x'],
  ['PUT /db/slow', 'Content-Type: multipart/related; boundary=B'],
  ['POST /_session', JSON_TYPE],
];

describe('bodies that stand still', () => {
  test('are given up', async () => {
    await inParallel(UPLOADS, UPLOADS.length, async ([line, ...headers]) => {
      const wire = await open();
      await wire.send(`${head(line, ...headers, 'Content-Length: 1000')}{`);
      const { status, head: top, body } = await wire.answer();
      expect(status).toBe(408);
      expect(top).toMatch(/\r\nConnection: close(\r\n|$)/i);
      expect(JSON.parse(body)).toEqual({ error: 'timeout', reason: 'the request did not arrive in time' });
      await until('the connection is closed', () => wire.closed);
    });
    expect((await it.request('GET', '/db/slow')).status).toBe(404);
  });

  test('are given up too where they only seem to move', async () => {
    const wire = await open();
    await wire.send(head('PUT /db/slow/file', 'Content-Length: 100000'));
    const drip = setInterval(() => void wire.send('x'), 50);
    expect((await wire.answer()).status).toBe(408);
    clearInterval(drip);
  });

  test('that nobody wants are not waited for without end', async () => {
    await inParallel(['PUT /none/doc', 'GET /_up', 'PUT /db/_nope'], 3, async (line) => {
      const wire = await open();
      await wire.send(`${head(line, 'Content-Length: 1000')}{`);
      await wire.answer();
      await until('the connection is closed', () => wire.closed);
    });
  });

  test('keep nobody from writing, however many there are, and leave nothing behind', async () => {
    const before = await leftovers();
    const slow = await inParallel(Array.from({ length: 60 }), 20, async (_, n) => {
      const [line = '', ...headers] = UPLOADS[n % UPLOADS.length] ?? [];
      const wire = await open();
      await wire.send(head(line, ...headers, `Content-Length: ${String(6 * MiB)}`));
      await wire.send(Buffer.alloc(n % 6 === 3 ? 5 * MiB : 100_000, '{'));
      return wire;
    });
    await othersAreServed();
    // Half of them vanish, the others are given up.
    for (const wire of slow.slice(0, 30)) wire.cut();
    await until('all are given up', () => slow.every(({ closed }) => closed));
    await othersAreServed();
    expect(await leftovers()).toBeLessThan(before + MiB);
    // Nothing of the memory for bodies is held any more: one that needs nearly all of it is taken.
    const text = JSON.stringify({ pad: 'x'.repeat(7 * MiB) });
    expect((await it.request('PUT', '/db/needs-room', { text })).status).toBe(201);
    expect(it.errors).toEqual([]);
  });
});

describe('bodies that move', () => {
  test('may take longer than a client may stand still', async () => {
    const wire = await open();
    const pieces = 8;
    await wire.send(head('PUT /db/moving/file', `Content-Length: ${String(pieces * 100_000)}`));
    for (let n = 0; n < pieces; n++) {
      await wire.send(Buffer.alloc(100_000, 'm'));
      await new Promise((resolve) => setTimeout(resolve, PATIENCE / 3));
    }
    expect((await wire.answer()).status).toBe(201);
  });

  test('are not blamed for what they wait for themselves', async () => {
    // One client holds the memory for bodies, as long as it gets on; the other waits for it.
    const first = await open();
    const size = 7.5 * MiB;
    await first.send(
      head('PUT /db/first', 'Content-Type: application/json', `Content-Length: ${String(size)}`),
    );
    let sent = size - 8 * 100_000;
    await first.send(`{"pad":"${'x'.repeat(sent - 8)}`);
    const waiting = it.request('PUT', '/db/second', { json: { pad: 'x'.repeat(4 * MiB) } });
    for (; sent < size - 100_000; sent += 100_000) {
      await first.send('x'.repeat(100_000));
      await new Promise((resolve) => setTimeout(resolve, PATIENCE / 3));
    }
    await first.send(`${'x'.repeat(size - sent - 2)}"}`);
    expect((await first.answer()).status).toBe(201);
    expect((await waiting).status).toBe(201);
  });

  test('give memory back once they are on the disk', async () => {
    const own = await startApp({ limits: { maxBodyMemory: 8 * MiB } });
    try {
      await own.request('PUT', '/db');
      // Half of the memory for bodies would be taken by each of these until they are answered.
      const many = await inParallel(Array.from({ length: 6 }), 6, async (_, n) => {
        const wire = await Wire.open(own.port);
        wires.push(wire);
        await wire.send(head(`PUT /db/chunked-${String(n)}/file`, `Content-Length: ${String(6 * MiB)}`));
        await wire.send(Buffer.alloc(5 * MiB, 'c'));
        return wire;
      });
      expect((await own.request('PUT', '/db/beside', { json: { pad: 'x'.repeat(MiB) } })).status).toBe(201);
      expect(many.every(({ closed, rest }) => !closed && rest === '')).toBe(true);
    } finally {
      for (const wire of wires) wire.cut();
      await own.stop();
    }
  });
});

const READS: readonly string[] = [
  '/db/large',
  '/db/attached/file',
  '/db/attached/file?range',
  '/db/_all_docs?include_docs=true',
  '/db/_changes?include_docs=true',
  '/db/_changes?include_docs=true&feed=continuous&heartbeat=10',
];

const reading = (path: string): string =>
  head(`GET ${path}`, ...(path.endsWith('range') ? ['Range: bytes=1-'] : []));

describe('answers that nobody reads', () => {
  test('are cut off; many at once keep nobody from being served, and leave nothing behind', async () => {
    await inParallel(Array.from({ length: 60 }), 20, async (_, n) => {
      const wire = (await open()).pause();
      await wire.send(reading(READS[n % READS.length] ?? ''));
    });
    await othersAreServed();
    await until('the server gives up', async () => (await connections()) === 0);
    await until('no feed listens any more', () =>
      it.databases.use('db', (db) => Promise.resolve(db.events.size === 0)),
    );
    expect(it.errors).toEqual([]);
  });

  test('that were asked for ahead are cut off, too', async () => {
    const wire = (await open()).pause();
    await wire.send(head('GET /db/large').repeat(20));
    await until('the server gives up', async () => (await connections()) === 0);
  });
});

test('an answer that is read slowly, but read, comes whole', async () => {
  const wire = await open();
  await wire.send(head('GET /db/large'));
  const reading = wire.answer();
  for (let n = 0; n < 8; n++) {
    wire.pause();
    await new Promise((resolve) => setTimeout(resolve, PATIENCE / 3));
    wire.resume();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { status, body } = await reading;
  expect(status).toBe(200);
  expect((JSON.parse(body) as { pad: string }).pad).toHaveLength(7 * MiB);
});

test('an answer is not cut off because the kernel has room for much of it, and is slow to say that it has again', async () => {
  const socket = net.connect({ port: it.port, host: '127.0.0.1' });
  socket.write(reading('/db/attached/file'));
  let size = 0;
  const begun = performance.now();
  for await (const bytes of socket as AsyncIterable<Buffer>) {
    size += bytes.length;
    // Some hundred times as fast as it has to be, for longer than what is not seen to move may take.
    if (performance.now() < begun + 5 * PATIENCE) await new Promise((resolve) => setTimeout(resolve, 150));
    if (size > 24 * MiB) break;
  }
  expect(size).toBeGreaterThan(24 * MiB);
});

/** Connections that the server has open. */
function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    it.app.server.getConnections((error, open) => {
      if (error === null) resolve(open);
      else reject(error);
    });
  });
}
