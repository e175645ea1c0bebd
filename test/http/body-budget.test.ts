import net from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BodyBudget } from '../../src/http/body-budget.js';
import { until } from '../system/support/wait.js';
import { startApp, type TestApp } from './app.js';

const KiB = 1024;
const MiB = 1024 * KiB;

const never = (): void => {
  throw new Error('nothing was to be resumed');
};

describe('a budget', () => {
  test('lets small bodies pass, however many', () => {
    const budget = new BodyBudget(1);
    for (let n = 0; n < 1000; n += 1) expect(budget.open().take(64 * KiB, never)).toBe(true);
  });

  test('stops all but the oldest where it is used up, and goes on in their order', () => {
    const budget = new BodyBudget(MiB);
    const resumed: string[] = [];
    const take = (name: string, share: ReturnType<BodyBudget['open']>, bytes: number): boolean =>
      share.take(bytes, () => resumed.push(name));
    const [a, b, c] = [budget.open(), budget.open(), budget.open()];
    expect(take('a', a, 600 * KiB)).toBe(true);
    expect(take('b', b, 600 * KiB)).toBe(false);
    expect(take('a', a, 600 * KiB)).toBe(true);
    expect(take('c', c, 100 * KiB)).toBe(false);
    expect(resumed).toEqual([]);
    a.giveBack();
    a.giveBack();
    expect(resumed).toEqual(['b', 'c']);
    expect(take('c', c, 500 * KiB)).toBe(false);
    expect(take('b', b, MiB)).toBe(true);
    b.giveBack();
    expect(resumed).toEqual(['b', 'c', 'c']);
    c.giveBack();
    expect(take('d', budget.open(), MiB)).toBe(true);
  });

  test('lets the next go on when one needs little any more, however old that is', () => {
    const budget = new BodyBudget(MiB);
    const resumed: string[] = [];
    const [a, b, c] = [budget.open(), budget.open(), budget.open()];
    expect(a.take(900 * KiB, never)).toBe(true);
    expect(b.take(900 * KiB, () => resumed.push('b'))).toBe(false);
    expect(c.take(900 * KiB, () => resumed.push('c'))).toBe(false);
    a.drop(100 * KiB);
    expect(resumed).toEqual(['b']);
    expect(b.take(900 * KiB, never)).toBe(true);
    // What it still needs it has to wait for behind the others.
    expect(a.take(100 * KiB, () => resumed.push('a'))).toBe(false);
    b.giveBack();
    expect(resumed).toEqual(['b', 'c']);
    c.giveBack();
    a.giveBack();
    expect(budget.open().take(MiB, never)).toBe(true);
  });

  test('forgets those that gave up while they waited', () => {
    const budget = new BodyBudget(MiB);
    const [a, b] = [budget.open(), budget.open()];
    expect(a.take(2 * MiB, never)).toBe(true);
    expect(b.take(2 * MiB, never)).toBe(false);
    b.giveBack();
    a.giveBack();
    expect(budget.open().take(MiB, never)).toBe(true);
  });
});

describe('bodies that are sent at once', () => {
  let it: TestApp;
  beforeAll(async () => {
    it = await startApp({ limits: { maxBodyMemory: MiB, maxHttpRequestSize: 4 * MiB } });
    await it.request('PUT', '/db');
  });
  afterAll(() => it.stop());

  const json = (id: string, size: number): string => `{"_id":"${id}","v":"${'x'.repeat(size)}"}`;

  test('are all taken in the end, though there is room for one', async () => {
    const sizes = [2 * MiB, 3 * MiB, 200 * KiB, 3 * MiB, 900 * KiB, 2 * MiB];
    const answers = await Promise.all(
      sizes.map((size, n) =>
        it.request('PUT', `/db/at-once-${String(n)}`, { text: json(`at-once-${String(n)}`, size) }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(sizes.map(() => 201));
  });

  test('count as long as they unpack to', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        it.request('PUT', `/db/packed-${String(n)}`, {
          text: gzipSync(json(`packed-${String(n)}`, 3 * MiB)),
          headers,
        }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
  });

  test('stop for one that stalls, but small ones do not, and none outlives its client', async () => {
    const half = `PUT /db/stalls HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\nContent-Length: 4000000\r\n\r\n`;
    const stalled = net.connect(it.port, '127.0.0.1');
    await new Promise((resolve) => stalled.write(half + 'x'.repeat(2 * MiB), resolve));
    const putSmall = async (): Promise<void> => {
      for (let n = 0; n < 20; n += 1) {
        const { status } = await it.request('POST', '/db', { json: {} });
        expect(status).toBe(201);
      }
    };
    // The server reads while it answers these: afterwards the one that stalls is the oldest.
    await putSmall();
    let done = false;
    const waiting = it
      .request('PUT', '/db/waits', { text: json('waits', 3 * MiB) })
      .finally(() => (done = true));
    await putSmall();
    expect(done).toBe(false);
    stalled.destroy();
    await until('the one that waited is answered', () => done);
    expect((await waiting).status).toBe(201);
  });

  test('that are attachments and unpack to much wait before they do', async () => {
    const stalled = net.connect(it.port, '127.0.0.1');
    const half = `PUT /db/stalls HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\nContent-Length: 4000000\r\n\r\n`;
    await new Promise((resolve) => stalled.write(half + 'x'.repeat(2 * MiB), resolve));
    const { arrayBuffers: before } = process.memoryUsage();
    const text = gzipSync(Buffer.alloc(3 * MiB));
    const headers = { 'content-type': 'image/x', 'content-encoding': 'gzip' };
    let done = 0;
    const waiting = Array.from({ length: 40 }, (_, n) =>
      it.request('PUT', `/db/unpacks-${String(n)}/file`, { text, headers }).finally(() => (done += 1)),
    );
    // Meanwhile they go as far as they may.
    for (let n = 0; n < 100; n++) await it.request('POST', '/db', { json: {} });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * MiB);
    expect(done).toBe(0);
    stalled.destroy();
    await until('all are answered', () => done === waiting.length);
    expect(new Set((await Promise.all(waiting)).map(({ status }) => status))).toEqual(new Set([201]));
  });
});
