import { expect } from 'vitest';
import { PouchDB } from '../../src/pouchdb/pouchdb.js';
import type { OpenOptions, PouchDatabase } from '../../src/pouchdb/types.js';
import { answered } from '../support/answered.mjs';
import type { PouchProcess } from '../support/pouch.js';

/** A database that is asked through PouchDB's interface. */
export interface Asked {
  /** What it answers, or `{failed: …}`. */
  call(method: string, ...args: readonly unknown[]): Promise<unknown>;
  close(): Promise<void>;
}

/** Plain PouchDB over leveldown, in its own process. */
export async function plainDatabase(
  pouch: PouchProcess,
  dir: string,
  options: OpenOptions = {},
): Promise<Asked> {
  await pouch.open(dir, options);
  return {
    call: (method, ...args) => pouch.call(dir, method, args),
    close: () => pouch.close(dir),
  };
}

/** PouchDB over our store. */
export function ownDatabase(dir: string, options: OpenOptions = {}): Asked {
  const db = new PouchDB(dir, options);
  return {
    // Between processes nothing is null.
    call: async (method, ...args) => (await answered(() => callMethod(db, method, args))) ?? null,
    close: () => db.close(),
  };
}

function callMethod(db: PouchDatabase, method: string, args: readonly unknown[]): unknown {
  const { [method as keyof PouchDatabase]: found } = db as unknown as Record<string, unknown>;
  if (typeof found !== 'function') throw new TypeError(`PouchDB has no method ${method}`);
  return Reflect.apply(found, db, args);
}

/** Asks both the same. @returns what both answer */
export async function askBoth(
  [plain, own]: readonly [Asked, Asked],
  method: string,
  ...args: readonly unknown[]
): Promise<unknown> {
  const expected = await plain.call(method, ...structuredClone(args));
  const found = await own.call(method, ...structuredClone(args));
  expect({ method, args, answer: unordered(found) }).toEqual({ method, args, answer: unordered(expected) });
  return expected;
}

/** PouchDB names leaves of one generation in no particular order. */
function unordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unordered);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [
        name,
        LEAVES.has(name) && Array.isArray(member) ? sorted(member) : unordered(member),
      ]),
  );
}

const LEAVES = new Set(['_conflicts', 'changes', 'missing']);

const sorted = (values: readonly unknown[]): unknown[] =>
  values.map(unordered).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

/** A listing of leaves as a set. */
export const leavesOf = (answer: unknown): unknown => (Array.isArray(answer) ? sorted(answer) : answer);

const FLAGS = { revs: true, revs_info: true, conflicts: true, attachments: true };

/** Everything that can be asked of these documents, and how much of it was answered with something. */
export async function compareAll(
  both: readonly [Asked, Asked],
  ids: readonly string[],
  revs: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  for (const id of ids) {
    await askBoth(both, 'get', id);
    await askBoth(both, 'get', id, FLAGS);
    await askBoth(both, 'get', id, { attachments: true, binary: true });
    const known = revs.get(id) ?? [];
    for (const rev of known) {
      await askBoth(both, 'get', id, { rev, ...FLAGS });
    }
    const leaves = await compareLeaves(both, id, { open_revs: 'all', revs: true, attachments: true });
    // Of several that descend from a revision, PouchDB takes any.
    const latest = Array.isArray(leaves) && leaves.length === 1 ? known : [];
    for (const rev of latest) await askBoth(both, 'get', id, { rev, latest: true });
    await compareLeaves(both, id, { open_revs: [...known, '7-nowhere'], revs: true });
    for (const name of ['a', 'b.txt']) {
      await askBoth(both, 'getAttachment', id, name);
      for (const rev of known) await askBoth(both, 'getAttachment', id, name, { rev });
    }
    await askBoth(both, 'revsDiff', { [id]: [...known, '1-nowhere'] });
  }
  await askBoth(both, 'bulkGet', { docs: ids.map((id) => ({ id })), revs: true, attachments: true });
  for (const options of LISTINGS) await askBoth(both, 'allDocs', options);
  await askBoth(both, 'allDocs', { keys: [...ids, 'nobody', ids[0]], include_docs: true, conflicts: true });
  await askBoth(both, 'allDocs', { keys: [...ids].reverse(), skip: 1, limit: 2, descending: true });
  const [start = '', , end = ''] = ids;
  for (const descending of [false, true]) {
    const [startkey, endkey] = descending ? [end, start] : [start, end];
    await askBoth(both, 'allDocs', { startkey, endkey, descending });
    await askBoth(both, 'allDocs', { startkey, endkey, descending, inclusive_end: false, skip: 1 });
    await askBoth(both, 'allDocs', { startkey: endkey, endkey: startkey, descending });
    await askBoth(both, 'allDocs', { startkey, descending, limit: 1 });
    await askBoth(both, 'allDocs', { key: start, descending, include_docs: true });
  }
  for (const options of FEEDS) await askBoth(both, 'changes', options);
  await askBoth(both, 'changes', { doc_ids: [start, end, 'nobody'], include_docs: true });
  for (const id of LOCALS) await askBoth(both, 'get', id);
  await compareInfo(both);
}

async function compareLeaves(both: readonly [Asked, Asked], id: string, options: object): Promise<unknown> {
  const [expected, found] = await Promise.all(both.map((db) => db.call('get', id, options)));
  expect(leavesOf(found)).toEqual(leavesOf(expected));
  return expected;
}

/** But for what names the directory and the adapter. */
async function compareInfo(both: readonly [Asked, Asked]): Promise<void> {
  const [expected, found] = await Promise.all(both.map((db) => db.call('info')));
  const { doc_count, update_seq, auto_compaction } = expected as Record<string, unknown>;
  expect(found).toMatchObject({ doc_count, update_seq, auto_compaction });
}

export const LOCALS = ['_local/one', '_local/two'];

const LISTINGS: readonly object[] = [
  {},
  { include_docs: true, conflicts: true },
  { include_docs: true, attachments: true },
  { include_docs: true, attachments: true, binary: true, descending: true },
  { limit: 2, skip: 1, update_seq: true },
  { limit: 0 },
  { keys: [] },
];

const FEEDS: readonly object[] = [
  {},
  { style: 'all_docs', include_docs: true, conflicts: true },
  { descending: true, limit: 2 },
  { since: 3, limit: 3, include_docs: true, attachments: true },
  { include_docs: true, attachments: true, binary: true },
  { limit: 0 },
  { selector: { n: { $gt: 3 } } },
  { filter: 'filters/even', query_params: { by: 2 }, include_docs: true },
  { view: 'filters/odd', filter: '_view' },
  { since: 1000 },
];

/** What the feeds filter by. */
export const FILTERS = {
  _id: '_design/filters',
  filters: { even: 'function (doc, req) { return doc.n % req.query.by === 0; }' },
  views: { odd: { map: 'function (doc) { if (doc.n % 2 === 1) emit(doc._id); }' } },
};
