import { createRequire } from 'node:module';
import PouchDB from 'pouchdb-node';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../http/app.js';

/** What the plugin adds to a database; it has no types of its own. */
interface Finder {
  createIndex(index: object): Promise<{ result: string; id: string; name: string }>;
  getIndexes(): Promise<{ indexes: { ddoc: string | null; name: string; type: string }[] }>;
  deleteIndex(index: object): Promise<{ ok: boolean }>;
  find(query: object): Promise<{ docs: Record<string, unknown>[]; bookmark?: string; warning?: string }>;
  explain(query: object): Promise<{ index: { name: string }; range?: object }>;
  bulkDocs(docs: object[]): Promise<unknown>;
}

PouchDB.plugin(createRequire(import.meta.url)('pouchdb-find') as never);

let it: TestApp;
let db: Finder;
let count = 0;

beforeAll(async () => {
  it = await startApp();
});
afterAll(() => it.stop());

beforeEach(async () => {
  const { fetch: send } = PouchDB as unknown as { fetch: typeof fetch };
  const url = `http://127.0.0.1:${String(it.port)}/pouch${String(++count)}`;
  db = new PouchDB(url, {
    fetch: (to: string, options: { headers: Headers }) => {
      options.headers.set('x-test-user', 'admin');
      return send(to, options);
    },
  } as never) as unknown as Finder;
  const towns = ['Oslo', 'Bergen', 'Tromsø'];
  await db.bulkDocs(Array.from({ length: 60 }, (_, n) => ({ _id: `p${String(n)}`, n, town: towns[n % 3] })));
});

describe('pouchdb-find', () => {
  test('makes, lists and removes indexes', async () => {
    const index = { index: { fields: ['town', { n: 'asc' }], ddoc: 'd', name: 'x' } };
    expect(await db.createIndex(index)).toMatchObject({ result: 'created' });
    expect(await db.createIndex(index)).toMatchObject({ result: 'exists', id: '_design/d', name: 'x' });
    const { indexes } = await db.getIndexes();
    expect(indexes).toMatchObject([{ name: '_all_docs' }, { ddoc: '_design/d', name: 'x', type: 'json' }]);
    expect((await db.explain({ selector: { town: 'Oslo', n: { $gt: 5 } } })).index.name).toBe('x');
    expect(await db.deleteIndex({ ddoc: '_design/d', name: 'x' })).toMatchObject({ ok: true });
    expect((await db.getIndexes()).indexes).toHaveLength(1);
  });

  test('finds in order, and page by page with bookmarks', async () => {
    await db.createIndex({ index: { fields: ['town', 'n'] } });
    const query = {
      selector: { town: 'Oslo', n: { $gte: 10 } },
      sort: [{ town: 'desc' }, { n: 'desc' }],
      fields: ['n'],
      limit: 7,
    };
    const found: unknown[] = [];
    for (let bookmark: string | undefined; ;) {
      const page = await db.find({ ...query, ...(bookmark !== undefined && { bookmark }) });
      if (page.docs.length === 0) break;
      found.push(...page.docs.map(({ n }) => n));
      ({ bookmark } = page);
    }
    expect(found).toEqual(Array.from({ length: 60 }, (_, n) => 59 - n).filter((n) => n % 3 === 0 && n >= 10));
  });

  test('is told of what has no index', async () => {
    expect((await db.find({ selector: { town: 'Oslo' } })).warning).toContain('No matching index found');
    await expect(db.find({ selector: { n: { $gt: 0 } }, sort: ['n'] })).rejects.toMatchObject({
      error: 'no_usable_index',
      status: 400,
    });
    await expect(db.find({ selector: { n: { $regex: '(' } } })).rejects.toMatchObject({ error: 'bad_arg' });
  });
});
