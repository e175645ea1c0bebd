import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { collate } from '../../src/store/collate.js';
import type { Database } from '../../src/store/types/database.js';
import { slices } from '../../src/views/tree/read.js';
import type { UpdateMode } from '../../src/views/types.js';
import { startApp, type TestApp } from '../http/app.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

const HOUR = 3_600_000;

let count = 0;

async function newDatabase(): Promise<string> {
  const name = `db${String(++count)}`;
  await app.request('PUT', `/${name}`);
  return name;
}

const VIEWS = {
  values: {
    map: 'function (doc) { (doc.values || []).forEach(function (value, n) { emit(value, n); }); }',
    reduce: '_count',
  },
  conflicts: { map: 'function (doc) { if (doc._conflicts) emit(doc._conflicts.length, doc._rev); }' },
  js: {
    map: 'function (doc) { if (doc.values) emit(doc._id, doc.values.length); }',
    reduce: 'function (keys, values) { return sum(values); }',
  },
};

async function design(db: string, views: object = VIEWS, options?: object): Promise<void> {
  const { status } = await app.request('PUT', `/${db}/_design/d`, { json: { views, options } });
  expect(status).toBe(201);
}

interface Shown {
  readonly id: string;
  readonly key: unknown;
  readonly value: unknown;
}

/** All rows of a view, and what the whole of it is reduced to. */
function read(db: string, view: string, update: UpdateMode = 'true') {
  return app.databases.use(db, async (open) => {
    const snapshot = await app.views.open(open, '_design/d', view, update);
    try {
      const rows: Shown[] = [];
      for await (const { leaf, from, to } of slices(snapshot.nodes, snapshot.root, 0, Infinity)) {
        for (let at = from; at < to; at++) {
          const { key, id, value } = leaf.row(at);
          rows.push({ id, key: JSON.parse(key), value: JSON.parse(value) });
        }
      }
      return { rows, reduced: snapshot.root?.reductions[0], updateSeq: snapshot.updateSeq };
    } finally {
      await snapshot.close();
    }
  });
}

const keys = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(null, 'a', 'A', 'b\u0000', 'b', [], ['x', 1], { a: 1 }),
);

/** What happens to one of a few documents. */
const steps = fc.array(
  fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd', 'é', '_design/other'),
    values: fc.option(fc.array(keys, { maxLength: 4 }), { nil: undefined }),
    query: fc.boolean(),
  }),
  { maxLength: 14 },
);

describe('the index of a view', () => {
  test('has what the documents emit, however they change', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (changes) => {
        const db = await newDatabase();
        await design(db);
        const documents = new Map<string, { rev: string; values: readonly unknown[] }>();
        for (const { id, values, query } of changes) {
          const rev = documents.get(id)?.rev;
          const path = `/${db}/${encodeURI(id)}`;
          if (values !== undefined) {
            const { body } = await app.request('PUT', path, { json: { _rev: rev, values } });
            documents.set(id, { rev: (body as { rev: string }).rev, values });
          } else if (rev !== undefined) {
            await app.request('DELETE', `${path}?rev=${rev}`);
            documents.delete(id);
          }
          if (query) await read(db, 'values');
        }
        const living = [...documents].filter(([id]) => !id.startsWith('_'));
        const expected = living
          .flatMap(([id, { values }]) => values.map((key, value) => ({ id, key, value })))
          .sort((a, b) => collate(a.key, b.key) || (a.id < b.id ? -1 : a.id > b.id ? 1 : a.value - b.value));
        const { rows, reduced } = await read(db, 'values');
        expect(rows).toEqual(expected);
        expect(reduced ?? '0').toBe(String(expected.length));
        const total = living.reduce((sum, [, { values }]) => sum + values.length, 0);
        expect((await read(db, 'js')).reduced ?? '0').toBe(String(total));
      }),
      { numRuns: 25 },
    );
  });

  test('follows purges and conflicts', async () => {
    const db = await newDatabase();
    await design(db);
    const docs = ['1-aa', '1-bb', '1-cc'].map((_rev) => ({ _id: 'doc', _rev, values: [_rev] }));
    await app.request('POST', `/${db}/_bulk_docs`, { json: { docs, new_edits: false } });
    expect((await read(db, 'values')).rows).toEqual([{ id: 'doc', key: '1-cc', value: 0 }]);
    expect((await read(db, 'conflicts')).rows).toEqual([{ id: 'doc', key: 2, value: '1-cc' }]);
    await app.request('POST', `/${db}/_purge`, { json: { doc: ['1-cc'] } });
    expect((await read(db, 'values')).rows).toEqual([{ id: 'doc', key: '1-bb', value: 0 }]);
    await app.request('POST', `/${db}/_purge`, { json: { doc: ['1-aa', '1-bb'] } });
    expect((await read(db, 'values')).rows).toEqual([]);
  });

  test('is made anew where it does not know all purges since', async () => {
    const db = await newDatabase();
    await design(db);
    await app.request('PUT', `/${db}/_purged_infos_limit`, { text: '1' });
    for (const id of ['a', 'b', 'c']) await app.request('PUT', `/${db}/${id}`, { json: { values: [id] } });
    expect((await read(db, 'values')).rows).toHaveLength(3);
    for (const id of ['a', 'b']) {
      const { body } = await app.request('GET', `/${db}/${id}`);
      await app.request('POST', `/${db}/_purge`, { json: { [id]: [(body as { _rev: string })._rev] } });
    }
    await app.databases.compact(db);
    expect((await read(db, 'values')).rows).toEqual([{ id: 'c', key: 'c', value: 0 }]);
  });

  test('is taken as it is where that is wanted, or updated behind the answer', async () => {
    const db = await newDatabase();
    await design(db);
    await app.request('PUT', `/${db}/a`, { json: { values: [1] } });
    expect(await read(db, 'values', 'false')).toMatchObject({ rows: [], updateSeq: 0 });
    expect((await read(db, 'values', 'lazy')).rows.length).toBeLessThanOrEqual(1);
    await expect
      .poll(async () => (await read(db, 'values', 'false')).rows, { timeout: 30_000 })
      .toHaveLength(1);
  });

  test('goes when no design document wants it', async () => {
    const db = await newDatabase();
    const indexes = () => app.databases.use(db, (open) => open.indexes.list());
    await design(db);
    await app.request('PUT', `/${db}/a`, { json: { values: [1] } });
    await read(db, 'values');
    const [first] = await indexes();
    const { body } = await app.request('GET', `/${db}/_design/d`);
    const { _rev } = body as { _rev: string };
    await app.request('PUT', `/${db}/_design/d`, { json: { _rev, views: { values: VIEWS.js } } });
    expect((await read(db, 'values')).rows).toEqual([{ id: 'a', key: 'a', value: 1 }]);
    expect(await indexes()).toHaveLength(2);
    await app.databases.use(db, (open) => app.views.cleanup(open));
    const left = await indexes();
    expect(left).toHaveLength(1);
    expect(left).not.toContain(first);
    expect((await read(db, 'values', 'false')).rows).toHaveLength(1);
  });

  test('goes by itself an hour after its design document did', async () => {
    const db = await newDatabase();
    const indexes = () => app.databases.use(db, (open) => open.indexes.list());
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      await design(db);
      await app.request('PUT', `/${db}/a`, { json: { values: [1] } });
      await read(db, 'values');
      // What is wanted stays.
      await vi.advanceTimersByTimeAsync(HOUR);
      expect(await indexes()).toHaveLength(1);
      const { body } = await app.request('GET', `/${db}/_design/d`);
      await app.request('DELETE', `/${db}/_design/d?rev=${(body as { _rev: string })._rev}`);
      await vi.advanceTimersByTimeAsync(HOUR - 1);
      expect(await indexes()).toHaveLength(1);
      await vi.advanceTimersByTimeAsync(1);
    } finally {
      vi.useRealTimers();
    }
    await expect.poll(indexes, { timeout: 30_000 }).toEqual([]);
  });

  test('takes many documents in steps, and tells of itself meanwhile', async () => {
    const db = await newDatabase();
    await design(db);
    const docs = Array.from({ length: 9000 }, (_, n) => ({
      _id: `d${String(n)}`,
      values: [n % 100, 'x'.repeat(n % 50)],
    }));
    await app.request('POST', `/${db}/_bulk_docs`, { json: { docs } });
    const reading = read(db, 'values');
    const task = () => app.request('GET', '/_active_tasks').then(({ body }) => body as object[]);
    await expect
      .poll(task, { interval: 5, timeout: 30_000 })
      .toMatchObject([{ type: 'indexer', database: db, design_document: '_design/d' }]);
    const info = await app.databases.use(db, (open) => app.views.info(open, '_design/d'));
    expect(info).toMatchObject({ updaterRunning: true, waitingClients: 1 });
    const { rows, reduced } = await reading;
    expect(rows).toHaveLength(18_000);
    expect(reduced).toBe('18000');
    expect(await task()).toEqual([]);
    expect(await app.databases.use(db, (open) => app.views.info(open, '_design/d'))).toMatchObject({
      pending: 0,
    });
  });

  describe('that is being removed', () => {
    /** A database with the index of so many documents. */
    async function indexed(length: number): Promise<{ db: string; index: string }> {
      const db = await newDatabase();
      const docs = Array.from({ length }, (_, n) => ({ _id: `d${String(n)}`, values: [n] }));
      await app.request('POST', `/${db}/_bulk_docs`, { json: { docs } });
      await design(db);
      await read(db, 'values');
      const [index = ''] = await app.databases.use(db, (open) => open.indexes.list());
      return { db, index };
    }

    /** Whether some of its keys are there: the last of all, and the first and the last of its documents. */
    async function stored(open: Database, index: string): Promise<readonly boolean[]> {
      const reader = open.indexes.open();
      const keys = [`${index}/state`, `${index}/d/d0`, `${index}/d/d999`];
      const texts = await reader.read(keys).finally(() => reader.close());
      return texts.map((text) => text !== undefined);
    }

    test('is none as soon as anything of it is gone', async () => {
      // More than are removed at a time.
      const { db, index } = await indexed(2000);
      await app.databases.use(db, async (open) => {
        const removal = { isOver: false };
        const removed = open.indexes.remove(index).then(() => (removal.isOver = true));
        const moments: (readonly boolean[])[] = [];
        while (!removal.isOver) moments.push(await stored(open, index));
        await removed;
        const cut = moments.filter((moment) => moment.includes(false));
        expect(cut.length).toBeGreaterThan(0);
        for (const [hasState] of cut) expect(hasState).toBe(false);
      });
    });

    test('is taken away although a design document goes meanwhile', async () => {
      const { db, index } = await indexed(3);
      const { body } = await app.request('GET', `/${db}/_design/d`);
      await app.databases.use(db, async (open) => {
        // Deleted once it was listed.
        const list: Database['list'] = async (range) => {
          const listed = await open.list(range);
          await app.request('DELETE', `/${db}/_design/d?rev=${(body as { _rev: string })._rev}`);
          return listed;
        };
        await app.views.cleanup(Object.create(open, { list: { value: list } }) as Database);
        expect(await stored(open, index)).not.toContain(true);
      });
    });

    test('is built anew only once all of it is gone', async () => {
      const { db } = await indexed(3);
      const { body } = await app.request('GET', `/${db}/_design/d`);
      await app.request('DELETE', `/${db}/_design/d?rev=${(body as { _rev: string })._rev}`);
      await app.databases.use(db, async (open) => {
        let begin: () => void = () => undefined;
        let release: () => void = () => undefined;
        const begun = new Promise<void>((resolve) => (begin = resolve));
        const held = new Promise<void>((resolve) => (release = resolve));
        const remove = async (name: string): Promise<void> => {
          begin();
          await held;
          await open.indexes.remove(name);
        };
        const indexes = { list: () => open.indexes.list(), remove };
        const removed = app.views.cleanup(Object.create(open, { indexes: { value: indexes } }) as Database);
        await begun;
        await design(db);
        const reading = read(db, 'values');
        const waiting = () => app.views.info(open, '_design/d').then(({ waitingClients }) => waitingClients);
        const order = Promise.race([reading.then(() => 'read'), removed.then(() => 'removed')]);
        await expect.poll(() => Promise.race([waiting(), order])).toBe(1);
        release();
        expect(await order).toBe('removed');
        expect((await reading).rows).toHaveLength(3);
      });
    });
  });
});
