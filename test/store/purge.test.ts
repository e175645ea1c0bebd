import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import * as layout from '../../src/store/layout.js';
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

type Db = Awaited<ReturnType<typeof openDatabase>>;

const purge = async (db: Db, requests: Record<string, string[]>): Promise<Record<string, unknown>> =>
  Object.fromEntries(await db.purge(new Map(Object.entries(requests))));

const purgesOf = async (db: Db): Promise<unknown[]> => {
  const found: unknown[] = [];
  for await (const page of db.purges()) found.push(...page);
  return found;
};

const leaf = (generation: number, letter: string): string => `${String(generation)}-${letter.repeat(32)}`;

describe('purging', () => {
  test('leaves nothing of a document', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const before = (await db.info()).sizes;
    const [made] = await put(db, { _id: 'a', v: 1 });
    await put(db, { _id: 'b', v: 2 });
    expect(await purge(db, { a: [revOf(made)] })).toEqual({ a: [revOf(made)] });
    expect(db.get('a')).toBeUndefined();
    expect((await listAll(db)).ids).toEqual(['b']);
    expect((await feedOf(db)).map(({ id }) => id)).toEqual(['b']);
    const info = await db.info();
    expect(info).toMatchObject({ docCount: 1, deletedCount: 0, purgeSeq: 1, updateSeq: 3 });
    await db.close();
    const again = await openDatabase(folder);
    expect(await again.info()).toMatchObject({ docCount: 1, purgeSeq: 1, updateSeq: 3 });
    // It may be made again as if it had never been.
    const [remade] = await put(again, { _id: 'a', v: 1 });
    expect(revOf(remade)).toBe(revOf(made));
    await purge(again, { a: [revOf(made)], b: [again.get('b')?.winner ?? ''] });
    expect((await again.info()).sizes.external).toBe(before.external);
  });

  test('reads the bodies that go before its commit: while that is put together nothing else runs', async () => {
    const db = await openDatabase(await newFolder());
    // Of a few documents the bodies are read at once.
    const revs = new Map<string, string[]>();
    for (const _id of ['a', 'b', 'c', 'd', 'e', 'f']) {
      let [result] = await put(db, { _id });
      for (let n = 0; n < 5; n++) [result] = await put(db, { _id, _rev: revOf(result), n });
      revs.set(_id, [revOf(result)]);
    }
    const read = vi.spyOn(ClassicLevel.prototype, 'getSync');
    onTestFinished(() => {
      read.mockRestore();
    });
    await purge(db, Object.fromEntries(revs));
    expect(read.mock.calls.filter(([key]) => String(key).startsWith(layout.bodies.start))).toEqual([]);
    expect(db.weight).toMatchObject({ active: 0 });
  });

  test('is not told by the rows that are remembered for feeds', async () => {
    const db = await openDatabase(await newFolder());
    const [made] = await put(db, { _id: 'a' });
    expect(db.events.recent(0)).toHaveLength(1);
    await purge(db, { a: [revOf(made)] });
    expect(db.events.recent(0)).toBeUndefined();
    expect(db.events.recent(db.updateSeq)).toEqual([]);
  });

  test('the winner shows the loser again, which wakes feeds', async () => {
    const db = await openDatabase(await newFolder());
    await replicate(db, {
      _id: 'a',
      _revisions: { start: 2, ids: ['b'.repeat(32), 'c'.repeat(32)] },
      v: 'b',
    });
    await replicate(db, {
      _id: 'a',
      _revisions: { start: 2, ids: ['a'.repeat(32), 'c'.repeat(32)] },
      v: 'a',
    });
    const before = db.updateSeq;
    const woken = new Promise<number>((resolve) => {
      db.events.subscribe({ onChanges: resolve, onClose: () => undefined });
    });
    expect(await purge(db, { a: [leaf(1, 'c'), leaf(2, 'b')] })).toEqual({ a: [leaf(2, 'b')] });
    expect(await woken).toBe(db.updateSeq);
    expect(db.get('a')).toMatchObject({ winner: leaf(2, 'a'), seq: before + 1 });
    expect(body(db, 'a', leaf(2, 'a'))).toMatchObject({ v: 'a' });
    expect(body(db, 'a', leaf(2, 'b'))).toBeUndefined();
    expect((await feedOf(db)).map(({ seq }) => seq)).toEqual([before + 1]);
  });

  test('what is not there is remembered as a request, and moves the sequence', async () => {
    const db = await openDatabase(await newFolder());
    expect(await purge(db, { a: [leaf(1, 'a')], b: [] })).toEqual({ a: [], b: [] });
    expect(await db.info()).toMatchObject({ purgeSeq: 2, updateSeq: 2, docCount: 0 });
    expect(await purgesOf(db)).toEqual([
      { id: 'a', revs: [leaf(1, 'a')] },
      { id: 'b', revs: [] },
    ]);
    expect(await purge(db, {})).toEqual({});
    expect(await db.info()).toMatchObject({ purgeSeq: 2, updateSeq: 2 });
  });

  test('requests beyond the limit are forgotten by a compaction, the oldest first', async () => {
    const db = await openDatabase(await newFolder());
    for (const id of ['a', 'b', 'c', 'd']) await purge(db, { [id]: [leaf(1, 'a')] });
    await db.setPurgedInfosLimit(3);
    expect(await purgesOf(db)).toHaveLength(4);
    await db.compact();
    expect(await purgesOf(db)).toMatchObject([{ id: 'b' }, { id: 'c' }, { id: 'd' }]);
  });

  test('is not seen before it is answered', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, OPTIONS);
    const [made] = await put(db, { _id: 'a' });
    const seen = purge(db, { a: [revOf(made)] });
    expect(db.get('a')).toBeDefined();
    await seen;
    expect(db.get('a')).toBeUndefined();
  });
});

test('whatever is written and purged, counts, listings and feed agree', async () => {
  const step = fc.record({
    id: fc.constantFrom('a', 'b', 'c'),
    kind: fc.constantFrom('write', 'write', 'delete', 'purge winner', 'purge all', 'compact'),
    letter: fc.constantFrom('1', '2', '3', '4'),
    deep: fc.integer({ min: 1, max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const folder = await newFolder();
      let db = await openDatabase(folder);
      for (const { id, kind, letter, deep } of steps) {
        const record = db.get(id);
        if (kind === 'write' || kind === 'delete') {
          const ids = Array.from({ length: deep }, (_, at) => (at === deep - 1 ? '0' : letter).repeat(32));
          await replicate(db, { _id: id, _revisions: { start: deep, ids }, _deleted: kind === 'delete' });
        } else if (kind === 'compact') {
          await db.compact();
        } else if (record !== undefined) {
          const leaves = record.leaves().map(({ rev }) => rev);
          const named = kind === 'purge all' ? leaves : leaves.slice(0, 1);
          expect((await purge(db, { [id]: named }))[id]).toHaveLength(named.length);
          expect(db.get(id)?.leaves().length ?? 0).toBe(leaves.length - named.length);
        }
      }
      for (const reopened of [false, true]) {
        if (reopened) {
          await db.close();
          db = await openDatabase(folder);
        }
        const records = ['a', 'b', 'c'].map((id) => db.get(id)).filter((record) => record !== undefined);
        const info = await db.info();
        expect(info.docCount).toBe(records.filter(({ deleted }) => !deleted).length);
        expect(info.deletedCount).toBe(records.filter(({ deleted }) => deleted).length);
        expect((await listAll(db)).ids).toEqual(
          records.filter(({ deleted }) => !deleted).map(({ id }) => id),
        );
        expect((await feedOf(db)).map(({ seq }) => seq)).toEqual(
          records.map(({ seq }) => seq).sort((one, other) => one - other),
        );
        for (const record of records) {
          for (const { rev } of record.leaves()) expect(body(db, record.id, rev)).toBeDefined();
        }
      }
      await db.close();
    }),
    { numRuns: 60 },
  );
});
