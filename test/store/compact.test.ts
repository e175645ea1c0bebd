import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { CompactionProgress } from '../../src/store/compact.js';
import * as layout from '../../src/store/layout.js';
import { attach, bytesOf } from '../support/attachments.js';
import {
  body,
  feedOf,
  listAll,
  newFolder,
  openDatabase,
  OPTIONS,
  put,
  QUICK,
  replicate,
  revOf,
} from '../support/store.js';

const hash = (character: string): string => character.repeat(32);

/** A document with `count` revisions, oldest first. */
async function edited(
  db: Awaited<ReturnType<typeof openDatabase>>,
  id: string,
  count: number,
): Promise<string[]> {
  const revs: string[] = [];
  for (let v = 1; v <= count; v++) {
    const _rev = revs.at(-1);
    const [result] = await put(db, { _id: id, ...(_rev !== undefined && { _rev }), v });
    revs.push(revOf(result));
  }
  return revs;
}

test('drops the bodies of revisions that are no leaves, and nothing else', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder);
  const [first = '', second = '', third = ''] = await edited(db, 'a', 3);
  await replicate(db, { _id: 'a', _rev: `2-${hash('f')}`, v: 'conflict' });
  await edited(db, 'b', 1);
  const feed = await feedOf(db);
  const { external } = (await db.info()).sizes;

  await db.compact();

  expect(body(db, 'a', first)).toBeUndefined();
  expect(body(db, 'a', second)).toBeUndefined();
  expect(body(db, 'a', third)).toMatchObject({ v: 3 });
  expect(body(db, 'a', `2-${hash('f')}`)).toMatchObject({ v: 'conflict' });
  expect(
    db
      .get('a')
      ?.revsInfo(third)
      .map(({ status }) => status),
  ).toEqual(['available', 'missing', 'missing']);
  expect(db.get('a')?.has(first)).toBe(true);
  expect(await feedOf(db)).toEqual(feed);
  expect((await db.info()).sizes.external).toBe(external);
  expect((await db.info()).compactRunning).toBe(false);

  await db.close();
  const again = await openDatabase(folder);
  expect(await feedOf(again)).toEqual(feed);
  expect(body(again, 'a', first)).toBeUndefined();
  expect((await listAll(again, { bodies: true })).texts.every((text) => text !== undefined)).toBe(true);
});

test('keeps the body at a document’s last change, which PouchDB’s feed needs', async () => {
  const db = await openDatabase(await newFolder());
  const history = (start: number, ...ids: string[]): object => ({
    _revisions: { start, ids: ids.map(hash) },
  });
  await replicate(db, { _id: 'a', _rev: `2-${hash('b')}`, ...history(2, 'b', 'a') });
  await replicate(db, { _id: 'a', _rev: `1-${hash('a')}`, ...history(1, 'a'), v: 'late' });
  await db.compact();
  expect(body(db, 'a', `1-${hash('a')}`)).toMatchObject({ v: 'late' });
  await replicate(db, { _id: 'a', _rev: `3-${hash('c')}`, ...history(3, 'c', 'b', 'a') });
  await db.compact();
  expect(body(db, 'a', `1-${hash('a')}`)).toBeUndefined();
});

test('loses nothing that is written meanwhile, and calls that come meanwhile join', async () => {
  const db = await openDatabase(await newFolder());
  const ids = Array.from({ length: 600 }, (_, n) => `d${String(n).padStart(3, '0')}`);
  await put(db, ...ids.map((_id) => ({ _id, v: 1 })));
  const edit = (v: number): Promise<unknown> =>
    put(db, ...ids.map((_id) => ({ _id, _rev: db.get(_id)?.winner ?? '', v })));
  await edit(2);
  const compaction = db.compact();
  expect(db.compact()).toBe(compaction);
  expect((await db.info()).compactRunning).toBe(true);
  await Promise.all([compaction, edit(3)]);
  expect(ids.map((id) => body(db, id)?.v)).toEqual(ids.map(() => 3));
  expect(await db.pending(0)).toBe(ids.length);
  await db.compact();
  expect(ids.map((id) => body(db, id)?.v)).toEqual(ids.map(() => 3));
});

test('holds nobody up: no body is read while a commit is put together, and the sizes stay exact', async () => {
  const db = await openDatabase(await newFolder());
  const pad = 'é'.repeat(100);
  await put(db, ...Array.from({ length: 30 }, (_, at) => ({ _id: `d${String(at)}`, pad })));
  const { external } = (await db.info()).sizes;
  for (let round = 0; round < 80; round++) {
    const docs = Array.from({ length: 30 }, (_, at) => `d${String(at)}`);
    await put(db, ...docs.map((_id) => ({ _id, _rev: db.get(_id)?.winner ?? '', pad })));
  }
  const reads = vi.spyOn(ClassicLevel.prototype, 'getSync');
  onTestFinished(() => {
    reads.mockRestore();
  });
  await db.compact();
  // A few records may be.
  expect(reads.mock.calls.filter(([key]) => String(key).startsWith(layout.bodies.start))).toEqual([]);
  // The revisions of the last round have one more digit.
  expect((await db.info()).sizes.external).toBe(external + 30);
});

test('stops when the database is closed', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder, OPTIONS);
  for (let round = 0; round < 2; round++) {
    const docs = Array.from({ length: 1000 }, (_, n) => ({ _id: `d${String(n)}`, round }));
    await put(
      db,
      ...docs.map((doc) => ({ ...doc, ...(round > 0 && { _rev: db.get(doc._id)?.winner ?? '' }) })),
    );
  }
  const compaction = db.compact();
  await db.close();
  await expect(compaction).resolves.toBeUndefined();
  const again = await openDatabase(folder);
  expect((await listAll(again, { bodies: true })).texts.filter((text) => text === undefined)).toEqual([]);
});

test('after any history, every leaf has its body and the feed is the same', async () => {
  const revision = fc.record({
    id: fc.constantFrom('a', 'b'),
    generation: fc.integer({ min: 1, max: 4 }),
    branch: fc.constantFrom('a', 'b', 'c'),
    deleted: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(revision, { maxLength: 12 }), fc.nat(12), async (revisions, when) => {
      const db = await openDatabase(await newFolder());
      for (const [at, { id, generation, branch, deleted }] of revisions.entries()) {
        if (at === when) await db.compact();
        const ids = Array.from({ length: generation }, (_, n) => hash(n === generation - 1 ? '0' : branch));
        await replicate(db, {
          _id: id,
          _rev: `${String(generation)}-${ids[0] ?? ''}`,
          _revisions: { start: generation, ids },
          _deleted: deleted,
        });
      }
      const feed = await feedOf(db);
      await db.compact();
      expect(await feedOf(db)).toEqual(feed);
      for (const { id, revs } of feed)
        for (const rev of revs) expect(body(db, id, rev)).toMatchObject({ _rev: rev });
      await db.close();
    }),
    { numRuns: 100 },
  );
});

test('a history as long as a high _revs_limit allows is stored, read and compacted', async () => {
  const db = await openDatabase(await newFolder());
  await db.setRevsLimit(20_000);
  const ids = Array.from({ length: 12_000 }, (_, n) => n.toString(16).padStart(32, '0'));
  await replicate(db, { _id: 'long', _rev: `12000-${ids[0] ?? ''}`, _revisions: { start: 12_000, ids } });
  const [result] = await put(db, { _id: 'long', _rev: `12000-${ids[0] ?? ''}`, v: 'next' });
  const rev = revOf(result);
  expect(db.get('long')?.revisions(rev)?.ids).toHaveLength(12_001);
  await db.compact();
  expect(body(db, 'long')).toMatchObject({ _rev: rev, v: 'next' });
});

describe('a compaction', () => {
  test('stems histories that are longer than a lowered _revs_limit, and only those', async () => {
    const db = await openDatabase(await newFolder());
    const revs = await edited(db, 'a', 6);
    const path = ['d', 'c', 'b'].map(hash);
    await replicate(db, { _id: 'b', _revisions: { start: 4, ids: path } });
    await db.setRevsLimit(3);
    const [feed, winner = ''] = [await feedOf(db), revs.at(-1)];
    expect(db.get('a')?.revisions(winner)?.ids).toHaveLength(6);
    await db.compact();
    expect(db.get('a')?.revisions(winner)?.ids).toHaveLength(3);
    expect(db.get('a')?.has(revs[2] ?? '')).toBe(false);
    expect(db.get('a')?.has(revs[3] ?? '')).toBe(true);
    expect(db.get('b')?.revisions(`4-${hash('d')}`)?.ids).toEqual(path);
    expect(await feedOf(db)).toEqual(feed);
    expect(body(db, 'a')).toMatchObject({ v: 6 });
  });

  test('leaves a history alone whose last written revision would be stemmed: its body has to stay', async () => {
    const db = await openDatabase(await newFolder());
    const ids = ['d', 'c', 'b', 'a'].map(hash);
    await replicate(db, { _id: 'a', _revisions: { start: 4, ids } });
    await replicate(db, { _id: 'a', _rev: `1-${hash('a')}`, v: 'late' });
    await db.setRevsLimit(2);
    await db.compact();
    expect(body(db, 'a', `1-${hash('a')}`)).toMatchObject({ v: 'late' });
    await put(db, { _id: 'a', _rev: `4-${hash('d')}` });
    await db.compact();
    expect(db.get('a')?.revisions(db.get('a')?.winner ?? '')?.ids).toHaveLength(2);
  });

  /** Bytes that do not shrink when they are compressed. */
  const noise = (length: number, seed: number): string => bytesOf(length, seed).toString('base64');

  test.each([
    ['bodies of old revisions', { chunkAbove: 4 << 20 }],
    ['plain attachments', { chunkAbove: 4 << 20 }],
    ['chunked attachments', { chunkAbove: 10_000 }],
    ['purged documents', { chunkAbove: 10_000 }],
  ] as const)('gives the space of %s back', async (kind, { chunkAbove }) => {
    const folder = await newFolder();
    const db = await openDatabase(folder, { ...QUICK, chunkAbove });
    await put(db, { _id: 'kept', text: noise(200_000, 9) });
    for (let n = 0; n < 10; n++) {
      const rev = db.get('a')?.winner;
      if (kind === 'bodies of old revisions')
        await put(db, { _id: 'a', text: noise(400_000, n), ...(rev !== undefined && { _rev: rev }) });
      else await attach(db, 'a', { f: bytesOf(500_000, n) }, rev);
    }
    const file = async (): Promise<number> => (await db.info()).sizes.file;
    if (kind === 'purged documents') await db.purge(new Map([['a', [db.get('a')?.winner ?? '']]]));
    else await put(db, { _id: 'a', _rev: db.get('a')?.winner ?? '' });
    expect(await file()).toBeGreaterThan(3_000_000);
    await db.compact();
    expect(await file()).toBeLessThan(600_000);
    expect(body(db, 'kept')).toMatchObject({ text: noise(200_000, 9) });
  });

  test('reaches every part of the key space', () => {
    const parts = Object.values(layout).filter((part) => typeof part === 'object' && 'start' in part);
    expect(new Set(layout.ALL)).toEqual(new Set(parts));
  });

  test('leaves the threads of Node to others, however many databases are compacted', async () => {
    const databases = await Promise.all([1, 2, 3].map(async () => openDatabase(await newFolder())));
    const compactRange = Reflect.get(ClassicLevel.prototype, 'compactRange') as (
      this: ClassicLevel,
      ...args: unknown[]
    ) => Promise<void>;
    let [running, most] = [0, 0];
    const range = vi.spyOn(ClassicLevel.prototype, 'compactRange').mockImplementation(async function (
      this: ClassicLevel,
      ...args: unknown[]
    ) {
      most = Math.max(most, ++running);
      await compactRange.call(this, ...args);
      running--;
    });
    onTestFinished(() => {
      range.mockRestore();
    });
    await Promise.all(databases.map((db) => db.compact()));
    expect(range).toHaveBeenCalledTimes(databases.length * layout.ALL.length);
    expect(most).toBe(1);
  });

  test('tells how far it is', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, ...Array.from({ length: 500 }, (_, n) => ({ _id: `d${String(n)}` })));
    const told: CompactionProgress[] = [];
    await db.compact((progress) => told.push(progress));
    const documents = told.filter(({ phase }) => phase === 'document_copy');
    expect(documents.map(({ done, total }) => [done, total])).toEqual([
      [200, 500],
      [400, 500],
      [500, 500],
    ]);
    const files = told.slice(documents.length);
    expect(new Set(files.map(({ phase }) => phase))).toEqual(new Set(['file_compaction']));
    expect(files.every(({ done }, at) => done === at)).toBe(true);
  });
});
