import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ConflictRow, ConflictsRange } from '../../../src/store/conflicts/types.js';
import { LevelDatabase } from '../../../src/store/level-database.js';
import type { Database } from '../../../src/store/types/database.js';
import { feedOf, newFolder, openDatabase, put, QUICK, replicate } from '../../support/store.js';
import { PouchProcess } from '../../support/pouch.js';
import { verified } from '../../support/verify.js';

/** All rows of the index. */
async function rowsOf(db: Database, range: Partial<ConflictsRange> = {}): Promise<ConflictRow[]> {
  const rows: ConflictRow[] = [];
  for await (const page of db.conflicts.rows({ since: 0, ...range })) rows.push(...page);
  return rows;
}

/** What a naive model says: every document is looked at. */
async function conflictsOf(db: Database): Promise<ConflictRow[]> {
  const rows: ConflictRow[] = [];
  for (const { seq, id } of await feedOf(db)) {
    const leaves =
      db
        .get(id)
        ?.leaves()
        .filter(({ deleted }) => !deleted).length ?? 0;
    if (leaves > 1) rows.push({ seq, id, leaves });
  }
  return rows;
}

async function expectExact(db: Database): Promise<void> {
  const wanted = await conflictsOf(db);
  expect(await rowsOf(db)).toEqual(wanted);
  expect(db.conflicts.count).toBe(wanted.length);
}

const leaf = (id: string, rev: string, more: object = {}): object => ({ _id: id, _rev: rev, ...more });

describe('the index of conflicts', () => {
  test('has documents with several leaves that are not deleted, in the order of their last changes', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, { _id: 'plain' });
    await replicate(
      db,
      leaf('b', '1-a'),
      leaf('b', '1-b'),
      leaf('b', '1-c'),
      leaf('a', '1-a'),
      leaf('a', '1-b'),
    );
    await replicate(db, leaf('c', '1-a'), leaf('c', '1-b', { _deleted: true }));
    expect((await rowsOf(db)).map(({ id, leaves }) => [id, leaves])).toEqual([
      ['a', 2],
      ['b', 3],
    ]);
    expect(db.conflicts.get('b')).toEqual({ seq: db.get('b')?.seq, id: 'b', leaves: 3 });
    expect([db.conflicts.get('c'), db.conflicts.get('plain'), db.conflicts.get('none')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    await expectExact(db);
  });

  test('is read from a place on, in both directions, and no further than is wanted', async () => {
    const db = await openDatabase(await newFolder());
    for (const id of ['a', 'b', 'c', 'd']) await replicate(db, leaf(id, '1-a'), leaf(id, '1-b'));
    const ids = async (range: Partial<ConflictsRange>): Promise<string> =>
      (await rowsOf(db, range)).map(({ id }) => id).join('');
    const second = db.get('b')?.seq ?? 0;
    expect(await ids({ since: second })).toBe('cd');
    expect(await ids({ until: second })).toBe('ab');
    expect(await ids({ descending: true, limit: 3 })).toBe('dcb');
    expect(await ids({ since: second, limit: 1 })).toBe('c');
    expect(await ids({ limit: 0 })).toBe('');
  });

  test('keeps what is noted of a conflict until the document changes', async () => {
    const db = await openDatabase(await newFolder());
    await replicate(
      db,
      leaf('a', '1-a'),
      leaf('a', '1-b'),
      leaf('b', '1-a'),
      leaf('b', '1-b'),
      leaf('c', '1-a'),
    );
    const [a, b, c] = ['a', 'b', 'c'].map((id) => ({ id, seq: db.get(id)?.seq ?? 0 }));
    if (a === undefined || b === undefined || c === undefined) throw new Error('no documents');
    const state = '{"state":"deferred","n":12345678901234567890}';
    expect(await db.conflicts.note(a, state)).toBe(true);
    expect(await db.conflicts.note(b, state)).toBe(true);
    expect(await db.conflicts.note(c, state)).toBe(false);
    expect(await db.conflicts.note({ ...a, seq: 1 }, state)).toBe(false);
    expect(await db.conflicts.note({ id: 'none', seq: 1 }, state)).toBe(false);
    expect(db.conflicts.noted).toBe(2);
    expect(db.conflicts.get('a')?.state).toBe(state);
    const seq = db.updateSeq;
    expect(await db.conflicts.note(b, undefined)).toBe(true);
    expect(db.conflicts.get('b')).toEqual({ ...b, leaves: 2 });
    expect([db.conflicts.noted, db.updateSeq]).toEqual([1, seq]);
    await replicate(db, leaf('a', '1-c', { _deleted: true }));
    expect(db.conflicts.get('a')?.state).toBeUndefined();
    expect([db.conflicts.noted, db.conflicts.count]).toEqual([0, 2]);
  });

  test('takes no note of a document that is written in the same commit', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    await replicate(db, leaf('a', '1-a'), leaf('a', '1-b'));
    const seq = db.updateSeq;
    await Promise.all([db.conflicts.note({ id: 'a', seq }, '1'), replicate(db, leaf('a', '1-c'))]);
    expect(db.conflicts.noted).toBe(0);
    await db.close();
    expect(await verified(folder)).toEqual([]);
  });

  test('is made anew after PouchDB wrote', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    await replicate(db, leaf('a', '1-a'), leaf('a', '1-b'), leaf('b', '1-a'), leaf('b', '1-b'));
    await db.conflicts.note({ id: 'a', seq: db.get('a')?.seq ?? 0 }, '{}');
    await db.close();
    const pouch = new PouchProcess();
    try {
      const dir = join(folder, 'db');
      await pouch.open(dir);
      await pouch.bulkDocs(dir, [{ _id: 'a', _rev: '1-b', _deleted: true }]);
      await pouch.bulkDocs(dir, [leaf('c', '1-a'), leaf('c', '1-b')], { new_edits: false });
      await pouch.close(dir);
    } finally {
      await pouch.stop();
    }
    const again = await openDatabase(folder);
    expect((await rowsOf(again)).map(({ id }) => id)).toEqual(['b', 'c']);
    expect([again.conflicts.count, again.conflicts.noted]).toEqual([2, 0]);
    await expectExact(again);
  });
});

const IDS = ['a', 'b@', '語"'];

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('edit' as const),
      id: fc.constantFrom(...IDS),
      /** Which revision it goes on from; none where it is too high. */
      parent: fc.nat(5),
      deleted: fc.nat(3).map((n) => n === 0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('purge' as const), id: fc.constantFrom(...IDS), at: fc.nat(3) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('note' as const), id: fc.constantFrom(...IDS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function perform(db: Database, one: Exclude<Step, { kind: 'reopen' }>, number: number): Promise<void> {
  if (one.kind === 'compact') return db.compact();
  const record = db.get(one.id);
  const leaves = record?.leaves() ?? [];
  if (one.kind === 'note') {
    await db.conflicts.note({ id: one.id, seq: record?.seq ?? 0 }, String(number));
  } else if (one.kind === 'purge') {
    await db.purge(new Map([[one.id, [leaves[one.at]?.rev ?? '1-x']]]));
  } else {
    const { start, ids } = record?.revisions(leaves[one.parent]?.rev ?? '') ?? { start: 0, ids: [] };
    const revisions = { start: start + 1, ids: [String(number).padStart(32, '0'), ...ids] };
    await replicate(db, { _id: one.id, _revisions: revisions, _deleted: one.deleted, n: number });
  }
}

test('conflicts are counted exactly, whatever is written, purged, compacted, stemmed and opened again', async () => {
  const root = await newFolder();
  let runs = 0;
  let seen = 0;
  const check = async (steps: readonly Step[]): Promise<void> => {
    const folder = join(root, String(runs++));
    const open = (): Promise<LevelDatabase> =>
      LevelDatabase.open('db', join(folder, 'db'), join(folder, 'db.copy'), QUICK);
    let db = await open();
    try {
      await db.setRevsLimit(3);
      for (const [number, one] of steps.entries()) {
        if (one.kind === 'reopen') {
          await db.close();
          db = await open();
        } else {
          await perform(db, one, number);
        }
        const rows = await rowsOf(db);
        expect(rows.map(({ seq, id, leaves }) => ({ seq, id, leaves }))).toEqual(await conflictsOf(db));
        expect(db.conflicts.count).toBe(rows.length);
        expect(db.conflicts.noted).toBe(rows.filter(({ state }) => state !== undefined).length);
        seen += rows.length;
      }
    } finally {
      await db.close();
    }
    expect(await verified(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30, size: 'max' }), check), {
    numRuns: 20,
  });
  expect(seen).toBeGreaterThan(20);
});
