import { describe, expect, test } from 'vitest';
import type { LevelDatabase } from '../../src/store/level-database.js';
import {
  body,
  feedOf,
  newFolder,
  openDatabase,
  outcome,
  parsed,
  put,
  replicate,
  revOf,
} from '../support/store.js';

const newDatabase = async (): Promise<LevelDatabase> => openDatabase(await newFolder());

const hash = (digit: string): string => digit.repeat(32);

/** Bytes of the bodies of these generations, whose hashes are their number again and again. */
/** Writes one document and returns what it was answered. */
const one = async (database: LevelDatabase, document: object): Promise<string> => {
  const [result] = await put(database, document);
  return result === undefined ? 'nothing' : outcome(result);
};

describe('interactive edits', () => {
  test('go on from the winner, and are refused from anywhere else', async () => {
    const db = await newDatabase();
    const first = await one(db, { _id: 'a', v: 1 });
    expect(first).toMatch(/^1-[0-9a-f]{32}$/);
    expect(await one(db, { _id: 'a', v: 2 })).toBe('conflict');
    const second = await one(db, { _id: 'a', _rev: first, v: 2 });
    expect(second).toMatch(/^2-[0-9a-f]{32}$/);
    expect(await one(db, { _id: 'a', _rev: first, v: 3 })).toBe('conflict');
    expect(await one(db, { _id: 'a', _rev: first, v: 2 })).toBe('conflict');
    expect(await one(db, { _id: 'a', _rev: `2-${hash('a')}`, v: 3 })).toBe('conflict');
    expect(await one(db, { _id: 'a', _rev: `3-${second.slice(2)}`, v: 3 })).toBe('conflict');
    expect(db.updateSeq).toBe(2);
    expect(body(db, 'a')).toEqual({ _id: 'a', _rev: second, v: 2 });
    expect(body(db, 'a', first)).toEqual({ _id: 'a', _rev: first, v: 1 });
  });

  test('with a revision make a document that is not there, as CouchDB has it', async () => {
    const db = await newDatabase();
    const rev = await one(db, { _id: 'b', _rev: `1-${hash('9')}`, v: 1 });
    expect(rev).toMatch(/^2-/);
    expect(db.get('b')?.revisions(rev)).toEqual({ start: 2, ids: [rev.slice(2), hash('9')] });
    expect(db.get('b')?.revsInfo(rev)).toEqual([
      { rev, status: 'available' },
      { rev: `1-${hash('9')}`, status: 'missing' },
    ]);
  });

  test('of equal parents and bodies have equal revisions everywhere, of others have not', async () => {
    const [db, other] = [await newDatabase(), await newDatabase()];
    const rev = await one(db, { _id: 'a', v: 1 });
    expect(await one(other, { _id: 'a', v: 1 })).toBe(rev);
    expect(await one(db, { _id: 'b', v: 2 })).not.toBe(rev);
    expect(await one(db, { _id: 'c', _deleted: true, v: 1 })).not.toBe(rev);
  });

  test('delete, keep the body of the deletion, and make again on top of it', async () => {
    const db = await newDatabase();
    const first = await one(db, { _id: 'a', v: 1 });
    expect(await one(db, { _id: 'a', _deleted: true })).toBe('conflict');
    const gone = await one(db, { _id: 'a', _rev: first, _deleted: true, why: 'test' });
    expect(db.get('a')).toMatchObject({ deleted: true, winner: gone });
    expect(body(db, 'a')).toEqual({ _id: 'a', _rev: gone, _deleted: true, why: 'test' });
    expect(await db.info()).toMatchObject({ docCount: 0, deletedCount: 1, updateSeq: 2 });
    expect(await one(db, { _id: 'a', _deleted: true })).toBe('conflict');
    expect(await one(db, { _id: 'a', _rev: gone, v: 2 })).toBe('conflict');
    expect(await one(db, { _id: 'a', _rev: first, v: 2 })).toBe('conflict');
    const again = await one(db, { _id: 'a', v: 1 });
    expect(again).toMatch(/^3-/);
    expect(db.get('a')?.revisions(again)?.ids).toEqual([again, gone, first].map((rev) => rev.slice(2)));
    expect(await db.info()).toMatchObject({ docCount: 1, deletedCount: 0, updateSeq: 3 });
  });

  test('a document may begin deleted', async () => {
    const db = await newDatabase();
    expect(await one(db, { _id: 'a', _deleted: true })).toMatch(/^1-/);
    expect(await db.info()).toMatchObject({ docCount: 0, deletedCount: 1 });
  });

  test('may go on from any living leaf, and delete a conflict', async () => {
    const db = await newDatabase();
    await replicate(
      db,
      { _id: 'a', _rev: `1-${hash('a')}`, v: 'a' },
      { _id: 'a', _rev: `1-${hash('b')}`, v: 'b' },
    );
    const longer = await one(db, { _id: 'a', _rev: `1-${hash('a')}`, v: 'a2' });
    expect(
      db
        .get('a')
        ?.leaves()
        .map(({ rev }) => rev),
    ).toEqual([longer, `1-${hash('b')}`]);
    const gone = await one(db, { _id: 'a', _rev: `1-${hash('b')}`, _deleted: true });
    expect(db.get('a')?.leaves()).toEqual([
      { rev: longer, deleted: false },
      { rev: gone, deleted: true },
    ]);
    // A deleted leaf of a living document may be gone on from, as in CouchDB.
    expect(await one(db, { _id: 'a', _rev: gone, v: 'b3' })).toMatch(/^3-/);
    expect(await db.info()).toMatchObject({ docCount: 1, deletedCount: 0 });
  });
});

describe('replicated edits (I2)', () => {
  test("keep their revisions; the winner is CouchDB's", async () => {
    const db = await newDatabase();
    const results = await replicate(
      db,
      { _id: 'a', _rev: `2-${hash('B')}`, _revisions: { start: 2, ids: [hash('B'), hash('A')] }, v: 'b' },
      { _id: 'a', _rev: `2-${hash('c')}`, _revisions: { start: 2, ids: [hash('c'), hash('a')] }, v: 'c' },
      { _id: 'a', _revisions: { start: 3, ids: [hash('d'), hash('0'), hash('a')] }, _deleted: true },
    );
    expect(results.map(outcome)).toEqual([`2-${hash('b')}`, `2-${hash('c')}`, `3-${hash('d')}`]);
    expect(db.get('a')?.leaves()).toEqual([
      { rev: `2-${hash('c')}`, deleted: false },
      { rev: `2-${hash('b')}`, deleted: false },
      { rev: `3-${hash('d')}`, deleted: true },
    ]);
    expect(db.get('a')?.latest(`1-${hash('a')}`)).toHaveLength(3);
    expect(db.get('a')?.possibleAncestors(3)).toEqual([`2-${hash('c')}`, `2-${hash('b')}`]);
    expect(await db.info()).toMatchObject({ docCount: 1, deletedCount: 0, updateSeq: 3 });
    expect(await feedOf(db)).toMatchObject([{ seq: 3, id: 'a' }]);
  });

  test('change nothing when they come again, not even with another body', async () => {
    const db = await newDatabase();
    const document = { _id: 'a', _revisions: { start: 2, ids: [hash('b'), hash('a')] }, v: 1 };
    await replicate(db, document);
    const [again] = await replicate(db, { ...document, v: 'other' });
    expect(revOf(again)).toBe(`2-${hash('b')}`);
    await replicate(db, { _id: 'a', _rev: `2-${hash('B')}` });
    expect(db.updateSeq).toBe(1);
    expect(body(db, 'a')).toMatchObject({ v: 1 });
  });

  test('that bring more ancestors join what stood apart, and leave the body as it is', async () => {
    const db = await newDatabase();
    const ids = [hash('c'), hash('b'), hash('a')];
    await replicate(db, { _id: 'a', _rev: `3-${hash('c')}`, v: 'c' });
    await replicate(db, { _id: 'a', _revisions: { start: 2, ids: ids.slice(1) }, v: 'b' });
    expect(db.get('a')?.leaves()).toHaveLength(2);
    await replicate(db, { _id: 'a', _revisions: { start: 3, ids }, v: 'other' });
    expect(db.get('a')?.leaves()).toEqual([{ rev: `3-${hash('c')}`, deleted: false }]);
    expect(db.get('a')?.revisions(`3-${hash('c')}`)?.ids).toEqual(ids);
    expect(body(db, 'a')).toMatchObject({ v: 'c' });
    expect(body(db, 'a', `2-${hash('b')}`)).toMatchObject({ v: 'b' });
    expect(await feedOf(db)).toMatchObject([{ seq: 3, id: 'a', revs: [`3-${hash('c')}`] }]);
    await replicate(db, { _id: 'a', _revisions: { start: 3, ids }, v: 'other' });
    expect(db.updateSeq).toBe(3);
  });

  test('that bring more ancestors do so within one batch too', async () => {
    const db = await newDatabase();
    await replicate(
      db,
      { _id: 'a', _rev: `3-${hash('c')}`, v: 'c' },
      { _id: 'a', _revisions: { start: 3, ids: [hash('c'), hash('b')] }, v: 'other' },
    );
    expect(body(db, 'a')).toMatchObject({ v: 'c' });
    expect(db.get('a')?.revisions(`3-${hash('c')}`)?.ids).toHaveLength(2);
    expect((await db.info()).sizes.external).toBe(JSON.stringify(body(db, 'a')).length);
  });

  test('give an inner revision the body that was missing', async () => {
    const db = await newDatabase();
    await replicate(db, { _id: 'a', _revisions: { start: 2, ids: [hash('b'), hash('a')] }, v: 2 });
    expect(body(db, 'a', `1-${hash('a')}`)).toBeUndefined();
    await replicate(db, { _id: 'a', _rev: `1-${hash('a')}`, v: 1 });
    expect(body(db, 'a', `1-${hash('a')}`)).toMatchObject({ v: 1 });
    expect(db.get('a')?.winner).toBe(`2-${hash('b')}`);
    expect(db.get('a')?.revsInfo(`2-${hash('b')}`)).toEqual([
      { rev: `2-${hash('b')}`, status: 'available' },
      { rev: `1-${hash('a')}`, status: 'available' },
    ]);
  });

  test('may be called anything, and pollute nothing (I13)', async () => {
    const db = await newDatabase();
    const names = ['__proto__', 'constructor', 'toString', '', 'a"b', '}]'];
    for (const name of names) {
      await replicate(db, { _id: 'a', _rev: `1-${name}`, v: name });
      await replicate(db, { _id: `id${name}`, _revisions: { start: 2, ids: ['__proto__', name] }, v: name });
    }
    for (const name of names) {
      expect(body(db, 'a', `1-${name}`)).toMatchObject({ v: name });
      expect(db.get(`id${name}`)?.revisions('2-__proto__')).toEqual({ start: 2, ids: ['__proto__', name] });
    }
    expect(
      db
        .get('a')
        ?.leaves()
        .map(({ rev }) => rev)
        .sort(),
    ).toEqual(names.map((name) => `1-${name}`).sort());
    expect({}).not.toHaveProperty('v');
    expect(body(db, 'a', '1-hasOwnProperty')).toBeUndefined();
  });
});

describe('a batch', () => {
  test('takes duplicates of an id in order', async () => {
    const db = await newDatabase();
    const [first, second, third] = await put(db, { _id: 'a', v: 1 }, { _id: 'a', v: 2 }, { _id: 'b', v: 1 });
    expect([first, second, third].map((result) => result?.ok)).toEqual([true, false, true]);
    const next = await put(db, { _id: 'a', _rev: revOf(first), _deleted: true }, { _id: 'a', v: 3 });
    expect(next.map((result) => result.ok)).toEqual([true, true]);
    expect(body(db, 'a')).toMatchObject({ v: 3, _rev: expect.stringMatching(/^3-/) as string });
    expect(await db.info()).toMatchObject({ docCount: 2, deletedCount: 0, updateSeq: 4 });
    expect(await feedOf(db)).toMatchObject([
      { seq: 2, id: 'b' },
      { seq: 4, id: 'a' },
    ]);
  });

  test('that changes nothing writes nothing', async () => {
    const db = await newDatabase();
    const [result] = await put(db, { _id: 'a' });
    await put(db, { _id: 'a' });
    await replicate(db, { _id: 'a', _rev: revOf(result) });
    await db.write([], { newEdits: true });
    expect(db.updateSeq).toBe(1);
  });
});

describe('the limit of revisions', () => {
  test('stems the tree, and the bodies of what fell off go', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    await db.setRevsLimit(3);
    const revs: string[] = [];
    for (let v = 0; v < 6; v++) {
      const [result] = await put(db, { _id: 'a', v, ...(revs.length > 0 ? { _rev: revs.at(-1) } : {}) });
      revs.push(revOf(result));
    }
    const record = db.get('a');
    expect(record?.revisions(revs[5] ?? '')?.ids).toEqual(
      revs
        .slice(3)
        .reverse()
        .map((rev) => rev.slice(2)),
    );
    expect(record?.has(revs[2] ?? '')).toBe(false);
    expect([...(record?.bodySeqs.values() ?? [])].sort()).toEqual([4, 5, 6]);
    const { length } = JSON.stringify(body(db, 'a'));
    expect((await db.info()).sizes.external).toBe(length);
    await db.close();
    const again = await openDatabase(folder);
    expect(again.revsLimit).toBe(3);
    expect((await again.info()).sizes.external).toBe(length);
  });

  test('counts within one batch too, and a lower one takes effect with the next write', async () => {
    const db = await newDatabase();
    const path = (generation: number): string[] =>
      Array.from({ length: generation }, (_, at) => hash(String(generation - at)));
    const documents = [1, 2, 3, 4].map((start) => ({
      _id: 'a',
      _revisions: { start, ids: path(start) },
      v: start,
    }));
    await replicate(db, ...documents);
    expect(body(db, 'a', `1-${hash('1')}`)).toMatchObject({ v: 1 });
    await db.setRevsLimit(2);
    // Too old to be kept, and known: nothing happens.
    await replicate(db, documents[0] ?? {});
    expect(db.updateSeq).toBe(4);
    await replicate(
      db,
      { _id: 'a', _revisions: { start: 5, ids: path(5) }, v: 5 },
      { _id: 'a', _revisions: { start: 6, ids: path(6) }, v: 6 },
    );
    expect(db.get('a')?.revisions(`6-${hash('6')}`)?.ids).toEqual([hash('6'), hash('5')]);
    expect([...(db.get('a')?.bodySeqs.values() ?? [])]).toEqual([5, 6]);
    const rest = [7, 8, 9].map((start) => ({ _id: 'a', _revisions: { start, ids: path(start) }, v: start }));
    await replicate(db, ...rest);
    expect([...(db.get('a')?.bodySeqs.values() ?? [])]).toEqual([8, 9]);
    // Longer than what is kept: known all the same.
    await replicate(db, { _id: 'a', _revisions: { start: 9, ids: path(9) }, v: 9 });
    expect(db.updateSeq).toBe(9);
  });

  test('a body that was missing and is too old by now is not taken', async () => {
    const db = await newDatabase();
    await replicate(db, { _id: 'a', _revisions: { start: 3, ids: [hash('c'), hash('b'), hash('a')] } });
    await db.setRevsLimit(1);
    await replicate(db, { _id: 'a', _rev: `1-${hash('a')}`, v: 'late' });
    expect(db.updateSeq).toBe(1);
    expect(db.get('a')?.leaves()).toHaveLength(1);
  });
});

describe('local documents', () => {
  test('count their revisions, never conflict and stand in no feed', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    expect(await db.putLocal('_local/a', undefined, '"v":1.0')).toBe('0-1');
    expect(await db.putLocal('_local/a', '0-1', '"v":2')).toBe('0-2');
    expect(await db.putLocal('_local/a', '0-7', '')).toBe('0-8');
    expect(db.getLocal('_local/a')).toEqual({
      id: '_local/a',
      rev: '0-8',
      text: '{"_id":"_local/a","_rev":"0-8"}',
    });
    expect(db.getLocal('_local/b')).toBeUndefined();
    expect(await db.deleteLocal('_local/b')).toBe(false);
    await db.putLocal('_local/\u0000😀', undefined, '"v":1.0');
    await db.close();
    const again = await openDatabase(folder);
    expect(again.getLocal('_local/\u0000😀')?.text).toBe('{"_id":"_local/\\u0000😀","_rev":"0-1","v":1.0}');
    expect(await again.deleteLocal('_local/a')).toBe(true);
    expect(again.getLocal('_local/a')).toBeUndefined();
    expect(await again.info()).toMatchObject({ docCount: 0, deletedCount: 0, updateSeq: 0 });
    expect(await feedOf(again)).toEqual([]);
  });
});

describe('settings', () => {
  test('outlive the process', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    expect(JSON.parse(db.security)).toEqual({
      members: { roles: ['_admin'] },
      admins: { roles: ['_admin'] },
    });
    expect([db.revsLimit, db.purgedInfosLimit]).toEqual([1000, 1000]);
    await Promise.all([db.setSecurity('{"x":1.0}'), db.setRevsLimit(7), db.setPurgedInfosLimit(8)]);
    await db.ensureFullCommit();
    await db.close();
    const again = await openDatabase(folder);
    expect([again.security, again.revsLimit, again.purgedInfosLimit]).toEqual(['{"x":1.0}', 7, 8]);
  });
});

describe('design documents with validation functions', () => {
  test('are known by their ids as long as they live', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const [result] = await put(
      db,
      { _id: '_design/a', validate_doc_update: 'function () {}' },
      { _id: '_design/b', note: '"validate_doc_update"', views: { validate_doc_update: {} } },
      { _id: 'c', validate_doc_update: 'function () {}' },
    );
    expect(db.rules.validators).toEqual(['_design/a']);
    await db.close();
    const again = await openDatabase(folder);
    expect(again.rules.validators).toEqual(['_design/a']);
    await again.write(
      [parsed({ _id: '_design/a', _rev: revOf(result), _deleted: true, validate_doc_update: 'x' })],
      {
        newEdits: true,
      },
    );
    expect(again.rules.validators).toEqual([]);
  });
});
