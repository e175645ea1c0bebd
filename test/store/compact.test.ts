import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  body,
  feedOf,
  listAll,
  newFolder,
  openDatabase,
  OPTIONS,
  put,
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
  expect((await db.info()).sizes.external).toBeLessThan(external);
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
  expect(reads).not.toHaveBeenCalled();
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
