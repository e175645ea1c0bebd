import { afterAll, beforeAll, expect, test } from 'vitest';
import { PouchDB } from './support/pouch.js';
import { Restartable } from './support/restartable.js';

interface Rows {
  readonly total_rows?: number;
  readonly offset?: number;
  readonly rows: readonly {
    readonly id?: string;
    readonly key: unknown;
    readonly value: unknown;
    readonly doc?: Readonly<Record<string, unknown>>;
  }[];
}

/** The plugin of pouchdb-node; its types leave it out. */
type Querying = PouchDB & {
  query(view: string, options?: object): Promise<Rows>;
  viewCleanup(): Promise<unknown>;
};

let gateway: Restartable;
let remote: Querying;
let local: Querying;

const DESIGN = {
  _id: '_design/shop',
  views: {
    prices: {
      map: 'function (doc) { if (doc.price) { emit([doc.kind, doc.price], doc.price); } }',
      reduce: '_stats',
    },
    plain: { map: 'function (doc) { emit(doc.kind); emit(doc.price, { _id: "d0" }); }' },
    own: {
      map: 'function (doc) { emit(doc.kind, 1); }',
      reduce: 'function (keys, values, rereduce) { return rereduce ? sum(values) : values.length; }',
    },
  },
};

const KINDS = ['pear', 'plum', 'apple', 'fig'];

beforeAll(async () => {
  gateway = await Restartable.start();
  await gateway.couch.put('/shop');
  remote = new PouchDB(`${gateway.url}/shop`, { auth: gateway.auth }) as Querying;
  local = new PouchDB('shop-local', { adapter: 'memory' }) as Querying;
  const docs = Array.from({ length: 40 }, (_, n) => ({
    _id: `d${String(n)}`,
    kind: KINDS[n % 4],
    price: n % 7,
  }));
  await remote.bulkDocs([...docs, DESIGN]);
  await remote.replicate.to(local);
});
afterAll(async () => {
  await local.close();
  await remote.close();
  await gateway.remove();
});

test.each<[view: string, options: object]>([
  ['shop/prices', {}],
  ['shop/prices', { group: true }],
  ['shop/prices', { group_level: 1, descending: true, limit: 2 }],
  ['shop/prices', { keys: [['fig', 3], ['none'], ['pear', 1]], group: true }],
  ['shop/prices', { reduce: false, startkey: ['fig'], endkey: ['pear', {}], skip: 3, limit: 5 }],
  [
    'shop/prices',
    {
      reduce: false,
      keys: [
        ['fig', 3],
        ['pear', 1],
        ['fig', 3],
      ],
    },
  ],
  ['shop/plain', { key: 3, include_docs: true }],
  ['shop/plain', { startkey: 'b', endkey: 'z', inclusive_end: false, include_docs: true }],
  ['shop/plain', { descending: true, startkey: 5, endkey: 2 }],
  ['shop/own', {}],
  ['shop/own', { group: true }],
])('PouchDB gets from %s with %j what it works out itself', async (view, options) => {
  const { rows } = await remote.query(view, options);
  expect(rows).toEqual((await local.query(view, options)).rows);
  expect(rows).not.toHaveLength(0);
});

test('PouchDB is told what cannot be answered, and cleans up', async () => {
  await expect(remote.query('shop/none')).rejects.toMatchObject({
    status: 404,
    reason: 'missing_named_view',
  });
  await expect(remote.query('none/none')).rejects.toMatchObject({ status: 404, reason: 'missing' });
  await expect(remote.query('shop/plain', { group: true })).rejects.toMatchObject({ status: 400 });
  expect(await remote.viewCleanup()).toEqual({ ok: true });
  expect((await remote.query('shop/prices')).rows).toHaveLength(1);
});
