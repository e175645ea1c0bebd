import http from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Sandbox } from '../../src/design/types.js';
import { startApp, type TestApp } from './app.js';

/** A feed as it comes in. */
interface Listener {
  readonly lines: string[];
  readonly ended: Promise<void>;
  readonly request: http.ClientRequest;
}

/** Waits until something holds; the ceiling is the test's. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const listen = (app: TestApp, query: string): Promise<Listener> =>
  new Promise((resolve, reject) => {
    const lines: string[] = [];
    const options = {
      port: app.port,
      path: `/db/_changes?${query}`,
      headers: { 'x-test-user': 'admin' },
      agent: false,
    };
    const request = http.get(options, (response) => {
      response.setEncoding('utf8');
      response.on('data', (text: string) => lines.push(...text.split('\n').slice(0, -1)));
      const ended = new Promise<void>((end) => response.on('close', end));
      response.on('error', () => undefined);
      resolve({ lines, ended, request });
    });
    request.on('error', reject);
  });

const idsOf = ({ lines }: Listener): string[] =>
  lines
    .filter((line) => line.includes('"id":'))
    .map((line) => (JSON.parse(line.replace(/^data: |,$/g, '')) as { id: string }).id);

const design = (value: number) => ({
  filters: { f: `function (doc) { return doc.x === ${value}; }` },
  views: { v: { map: `function (doc) { if (doc.x === ${value}) { emit(null, 1); } }` } },
});

describe('feeds that a function filters', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
    await app.request('PUT', '/db');
  });
  afterAll(() => app.stop());

  const writeDesign = async (value: object | undefined): Promise<void> => {
    const found = (await app.request('GET', '/db/_design/live')).body as { _rev?: string };
    const rev = found._rev === undefined ? '' : `?rev=${found._rev}`;
    const { status } =
      value === undefined
        ? await app.request('DELETE', `/db/_design/live${rev}`)
        : await app.request('PUT', `/db/_design/live${rev}`, { json: value });
    expect([200, 201]).toContain(status);
  };
  const write = async (id: string, x: number): Promise<void> => {
    expect((await app.request('PUT', `/db/${id}`, { json: { x } })).status).toBe(201);
  };

  test.each([
    ['changed', design(2)],
    ['deleted', undefined],
  ] as const)(
    'keep the function that they began with when its design document is %s',
    async (what, after) => {
      await writeDesign(design(1));
      const feeds = await Promise.all(
        [
          'feed=continuous&filter=live/f',
          'feed=eventsource&filter=live/f',
          'feed=continuous&filter=_view&view=live/v',
          'feed=longpoll&filter=live/f',
        ].map((query) => listen(app, `since=now&heartbeat=60000&${query}`)),
      );
      const continuous = feeds.slice(0, 3);
      await write(`${what}-no`, 2);
      await write(`${what}-1`, 1);
      for (const feed of feeds) await until(() => idsOf(feed).length === 1);
      await writeDesign(after);
      await write(`${what}-2`, 2);
      await write(`${what}-3`, 1);
      for (const feed of continuous) {
        await until(() => idsOf(feed).length === 2);
        expect(idsOf(feed)).toEqual([`${what}-1`, `${what}-3`]);
      }
      await feeds[3]?.ended;
      for (const { request } of feeds) request.destroy();
      if (after !== undefined) {
        const { body } = await app.request('GET', `/db/_changes?filter=live/f`);
        expect(JSON.stringify(body)).toContain(`${what}-2`);
        await writeDesign(undefined);
      }
    },
  );

  test('end with an error where the function fails, be it before the answer has begun or after', async () => {
    await write('fails', 1);
    await writeDesign({
      filters: { f: 'function (doc) { if (doc._id === "fails") { throw "x"; } return true; }' },
    });
    expect((await app.request('GET', '/db/_changes?filter=live/f')).status).toBe(500);
    const feed = await listen(app, 'feed=continuous&filter=live/f&heartbeat=60000');
    await feed.ended;
    expect(feed.lines.join('')).not.toContain('last_seq');
    await writeDesign(undefined);
  });
});

/** A cage in which functions take as long as the test wants. */
class SlowCage {
  calls = 0;
  #release: (() => void)[] = [];
  readonly sandbox: Sandbox = {
    design: () => ({
      validate: () => Promise.reject(new Error('not asked for')),
      filter: (_name, documents) => {
        this.calls++;
        return new Promise((resolve) => this.#release.push(() => resolve(documents.map(() => false))));
      },
      filterByView: () => Promise.reject(new Error('not asked for')),
      map: () => Promise.reject(new Error('not asked for')),
      reduce: () => Promise.reject(new Error('not asked for')),
      update: () => Promise.reject(new Error('not asked for')),
      show: () => Promise.reject(new Error('not asked for')),
      rewrite: () => Promise.reject(new Error('not asked for')),
      list: () => {
        throw new Error('not asked for');
      },
    }),
    merges: () => () => ({
      merge: () => Promise.reject(new Error('not asked for')),
      close: () => undefined,
    }),
    compileViews: () => Promise.resolve(),
    reset: () => undefined,
    close: () => Promise.resolve(),
  };

  /** The oldest call that waits comes back. */
  release(): void {
    this.#release.shift()?.();
  }
}

test('a filter function is sent so much and no more', async () => {
  const app = await startApp();
  await app.request('PUT', '/db');
  await app.request('PUT', '/db/_design/live', { json: design(1) });
  const post = (length: number) =>
    app.request('POST', '/db/_changes?filter=live/f', {
      text: '{}'.padEnd(length),
      headers: { 'content-type': 'application/json' },
    });
  expect((await post(1024 * 1024)).status).toBe(200);
  expect(await post(1024 * 1024 + 1)).toMatchObject({ status: 413, body: { error: 'too_large' } });
  await app.stop();
});

describe('feeds whose function takes long', () => {
  const cage = new SlowCage();
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({}, { sandbox: cage.sandbox });
    await app.request('PUT', '/db');
    await app.request('PUT', '/db/_design/live', { json: design(1) });
    const docs = Array.from({ length: 300 }, (_, n) => ({ _id: String(n), x: 2 }));
    await app.request('POST', '/db/_bulk_docs', { json: { docs } });
  });
  afterAll(async () => {
    await app.stop();
  });

  test.each(['normal', 'longpoll', 'continuous', 'eventsource'])(
    'a %s feed shows signs of life while a function judges and when all rows are kept back',
    async (kind) => {
      const before = cage.calls;
      const feed = await listen(app, `feed=${kind}&filter=live/f&heartbeat=20`);
      const beats = (): number =>
        feed.lines.filter((line) => line === '' || line === 'event: heartbeat').length;
      await until(() => beats() > 5);
      // It waits for the first answer, and asks for nothing more meanwhile.
      expect(cage.calls).toBe(before + 1);
      cage.release();
      await until(() => cage.calls === before + 2);
      feed.request.destroy();
      await feed.ended;
      cage.release();
    },
  );

  test('a feed whose client left lets go of everything, and asks for nothing more', async () => {
    const before = cage.calls;
    const feed = await listen(app, 'feed=continuous&filter=live/f&heartbeat=20');
    await until(() => cage.calls === before + 1);
    feed.request.destroy();
    await feed.ended;
    await until(() => app.databases.peek('db')?.events.size === 0);
    cage.release();
    // Others are served, and the database can be deleted though the function never came back.
    expect((await app.request('GET', '/db/1')).status).toBe(200);
    expect(cage.calls).toBe(before + 1);
    const last = await listen(app, 'feed=continuous&filter=live/f&heartbeat=20');
    await until(() => cage.calls === before + 2);
    last.request.destroy();
    await last.ended;
    expect((await app.request('DELETE', '/db')).status).toBe(200);
    expect(app.errors).toEqual([]);
  });
});
