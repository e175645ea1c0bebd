import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { collate } from '../../src/store/collate.js';
import { compareIds } from '../../src/store/order.js';
import type { Database } from '../../src/store/types/database.js';
import { startApp, type TestApp } from '../http/app.js';
import { ask, type Found } from './ask.js';
import { naive } from './naive.js';

type Json = Readonly<Record<string, unknown>>;

const VALUES: readonly unknown[] = [
  ...[
    null,
    false,
    true,
    -1,
    0,
    1,
    1.5,
    2,
    10,
    '',
    'a',
    'A',
    'b',
    'B',
    'ä',
    'ab',
    'a\u0301',
    'é',
    'e\u0301',
    'z',
    'เก',
    'เ',
    '😀',
  ],
  ...[[], [1], [1, 2], ['a'], {}, { p: 1 }, { p: 'b' }, { p: null, q: 1 }, { q: { r: 1 } }],
];

const value = fc.constantFrom(...VALUES);
const text = fc.constantFrom(...VALUES.filter((one) => typeof one === 'string'));

const documents: fc.Arbitrary<readonly Json[]> = fc.uniqueArray(
  fc.record(
    {
      _id: fc.constantFrom(...'AaBbCcäéz9'.split('').flatMap((c) => [c, `${c}1`, `${c}😀`, `${c}\ue000`])),
      a: value,
      b: value,
      o: value,
    },
    { requiredKeys: ['_id'] },
  ),
  { minLength: 25, maxLength: 40, selector: ({ _id }) => _id },
);

const comparison = fc.constantFrom('$eq', '$ne', '$lt', '$lte', '$gt', '$gte');
const condition = fc.oneof(
  fc.tuple(comparison, value),
  fc.tuple(fc.constant('$exists'), fc.boolean()),
  fc.tuple(fc.constant('$beginsWith'), text),
);
const conditions = fc
  .array(condition, { minLength: 1, maxLength: 2 })
  .map((list) => Object.fromEntries(list));
const field = fc.constantFrom('a', 'a', 'b', 'b', 'o.p', '_id');
const fields = fc
  .array(fc.tuple(field, conditions), { minLength: 1, maxLength: 3 })
  .map((list): Json => Object.fromEntries(list));
const selector: fc.Arbitrary<Json> = fc.oneof(
  fields,
  fields,
  fc.record({ $or: fc.array(fields, { minLength: 1, maxLength: 2 }) }),
  fc
    .tuple(fields, fc.record({ $and: fc.array(fields, { minLength: 1, maxLength: 2 }) }))
    .map(([one, more]) => ({ ...one, ...more })),
  fc
    .tuple(fields, fc.record({ $or: fc.array(fields, { maxLength: 2 }) }))
    .map(([one, more]) => ({ ...one, ...more })),
);

const INDEXES = [['a'], ['a', 'b'], ['b', 'a'], ['a', '_id'], ['o.p'], ['_id', 'b']];

const SEED = 7;

let it: TestApp;
/** A database with indexes, and the same without. */
let indexed: Database;
let plain: Database;
let docs: readonly Json[];

beforeAll(async () => {
  it = await startApp();
  [docs = []] = fc.sample(documents, { seed: SEED, numRuns: 1 });
  for (const name of ['indexed', 'plain']) {
    await it.request('PUT', `/${name}`);
    expect((await it.request('POST', `/${name}/_bulk_docs`, { json: { docs } })).status).toBe(201);
  }
  for (const [at, columns] of INDEXES.entries()) {
    const json = { index: { fields: columns }, ddoc: `i${String(at)}`, name: 'x' };
    expect((await it.request('POST', '/indexed/_index', { json })).status).toBe(200);
  }
  [indexed, plain] = await Promise.all([opened('indexed'), opened('plain')]);
});
afterAll(async () => {
  close();
  await it.stop();
});

let close: () => void = () => undefined;
const isOver = new Promise<void>((resolve) => (close = resolve));

/** A database that stays open until the end. */
const opened = (name: string): Promise<Database> =>
  new Promise((resolve, reject) => {
    it.databases
      .use(name, (db) => {
        resolve(db);
        return isOver;
      })
      .catch(reject);
  });

const find = (db: Database, query: object): Promise<Found> => ask(db, it.views, { limit: 100, ...query });

const ids = ({ docs: found }: Pick<Found, 'docs'>): unknown[] => found.map(({ _id }) => _id);

describe('what is found', () => {
  test('is the same with and without an index, and what the selector says', async () => {
    await fc.assert(
      fc.asyncProperty(selector, async (one) => {
        const wanted = docs
          .filter((document) => naive(one, document))
          .map(({ _id }) => _id)
          .sort();
        expect(ids(await find(plain, { selector: one })).sort()).toEqual(wanted);
        for (const at of INDEXES.keys()) {
          const query = { selector: one, use_index: `i${String(at)}` };
          expect([at, ids(await find(indexed, query)).sort()]).toEqual([at, wanted]);
          const covered = await find(indexed, { ...query, fields: ['_id', 'a', 'b'] });
          expect([at, ids(covered).sort()]).toEqual([at, wanted]);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('comes in the order that was asked for, also page by page and backwards', async () => {
    await fc.assert(
      fc.asyncProperty(selector, fc.integer({ min: 1, max: 7 }), fc.nat(2), async (one, limit, at) => {
        const order = INDEXES[at] ?? [];
        const wanted = inOrder(
          docs.filter((document) => naive(one, document)),
          order,
        ).map(({ _id }) => _id);
        const query = {
          selector: one,
          use_index: `i${String(at)}`,
          sort: order.map((name) => ({ [name]: 'asc' })),
        };
        const back = { ...query, sort: order.map((name) => ({ [name]: 'desc' })), limit };
        expect(ids(await find(indexed, query))).toEqual(wanted);
        expect(await pages(indexed, { ...query, limit })).toEqual(wanted);
        expect(await pages(indexed, back)).toEqual(wanted.toReversed());
      }),
      { numRuns: 100 },
    );
  });
});

/** Those that an index on these fields has, in its order. */
function inOrder(found: readonly Json[], fields: readonly string[]): readonly Json[] {
  const key = (document: Json): readonly unknown[] => fields.map((name) => document[name]);
  return found
    .filter((document) => !key(document).includes(undefined))
    .sort((a, b) => collate(key(a), key(b)) || compareIds(a._id as string, b._id as string));
}

async function pages(db: Database, query: object): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let bookmark: string | undefined; ;) {
    const page = await find(db, { ...query, ...(bookmark !== undefined && { bookmark }) });
    if (page.docs.length === 0) return found;
    found.push(...ids(page));
    ({ bookmark } = page);
  }
}
