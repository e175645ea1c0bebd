import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { BaseLimits } from '../../../src/store/conflicts/types.js';
import type { LevelDatabase } from '../../../src/store/level-database.js';
import { bytesOf, data, release, take, write } from '../../support/attachments.js';
import { PouchProcess } from '../../support/pouch.js';
import { body, newFolder, openDatabase, put, QUICK, replicate, revOf } from '../../support/store.js';
import { verified } from '../../support/verify.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const MUCH: BaseLimits = { maxAge: 3_600_000, maxBytes: 1 << 20 };

/** A database whose limits a test changes. */
class Kept {
  limits: BaseLimits | undefined = MUCH;

  constructor(readonly folder: string) {}

  open(): Promise<LevelDatabase> {
    return openDatabase(this.folder, { ...QUICK, basesOf: () => this.limits });
  }
}

const newKept = async (): Promise<Kept> => new Kept(await newFolder());

/** Writes several revisions of a document, one after the other. @returns them */
async function edit(db: LevelDatabase, id: string, values: readonly unknown[]): Promise<string[]> {
  const revs: string[] = [];
  for (const value of values) {
    const [result] = await put(db, { _id: id, value, ...(revs.length > 0 && { _rev: revs.at(-1) }) });
    revs.push(revOf(result));
  }
  return revs;
}

/** The values of those revisions whose bodies are there. */
const valuesOf = (db: LevelDatabase, id: string, revs: readonly string[]): unknown[] =>
  revs.map((rev) => body(db, id, rev)?.value);

describe('bodies of revisions that are no leaves any more', () => {
  test('stay where a compaction comes, and answer as any available revision does', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const revs = await edit(db, 'a', [1, 2, 3]);
    await replicate(db, { _id: 'a', _revisions: { start: 3, ids: ['b', revs[1]?.slice(2)] }, value: 4 });
    await db.compact();
    expect(valuesOf(db, 'a', revs)).toEqual([1, 2, 3]);
    expect(db.get('a')?.revsInfo(revs[2] ?? '')).toEqual(
      revs.toReversed().map((rev) => ({ rev, status: 'available' })),
    );
    expect(db.bases.count).toBe(2);
    await db.close();
    expect(await verified(kept.folder)).toEqual([]);
  });

  test('go with a compaction where nobody asked to keep them', async () => {
    const kept = await newKept();
    kept.limits = undefined;
    const db = await kept.open();
    const revs = await edit(db, 'a', [1, 2]);
    kept.limits = MUCH;
    await db.compact();
    expect(valuesOf(db, 'a', revs)).toEqual([undefined, 2]);
  });

  test('stay where it comes in the commit that supersedes them', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const [first = ''] = await edit(db, 'a', [1]);
    await db.transact({
      ids: ['a'],
      weight: 0,
      run: (transaction) => {
        for (const [at, ids] of [
          ['b', first.slice(2)],
          ['c', 'b', first.slice(2)],
        ].entries()) {
          const revisions = { start: at + 2, ids };
          transaction.edit({ id: 'a', revisions, deleted: false, body: `"value":${String(at + 2)}` }, false);
        }
        transaction.compact('a', new Map());
      },
    });
    expect(valuesOf(db, 'a', [first, '2-b', '3-c'])).toEqual([1, 2, 3]);
    expect(db.bases.count).toBe(2);
  });

  test('go when they are too much, the oldest first', async () => {
    const kept = await newKept();
    kept.limits = { maxAge: 3_600_000, maxBytes: 3000 };
    const db = await kept.open();
    const text = 'x'.repeat(1000);
    const [old = ''] = await edit(db, 'old', [text]);
    const revs = await edit(
      db,
      'a',
      [1, 2, 3, 4].map(() => text),
    );
    // It was written before all others, and is the last that was superseded.
    await put(db, { _id: 'old', _rev: old });
    await put(db, { _id: 'c' });
    expect(db.bases.bytes).toBeLessThan(4000);
    await db.compact();
    expect(db.bases.bytes).toBeLessThan(3000);
    expect(valuesOf(db, 'a', revs)).toEqual([undefined, undefined, text, text]);
    expect(body(db, 'old', old)?.value).toBe(text);
    await db.close();
    expect(await verified(kept.folder)).toEqual([]);
  });

  test('go when they are too old', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const now = Date.now();
    const clock = vi.spyOn(Date, 'now').mockReturnValue(now - 2 * MUCH.maxAge);
    const revs = await edit(db, 'a', [1, 2]);
    clock.mockReturnValue(now);
    await put(db, { _id: 'a', _rev: revs[1], value: 3 });
    await db.compact();
    expect(valuesOf(db, 'a', revs)).toEqual([undefined, 2]);
  });

  test('go with the next compaction, and what they had attached with them, when there is no reason any more', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const taken = await take(db, bytesOf(5000));
    await write(db, [{ id: 'a', attachments: { f: data(taken) } }]);
    await release(taken);
    const first = db.get('a')?.winner ?? '';
    await put(db, { _id: 'a', _rev: first });
    await db.compact();
    const active = async (): Promise<number> => (await db.info()).sizes.active;
    expect(db.bases.bytes).toBeGreaterThan(5000);
    expect(await active()).toBeGreaterThan(5000);
    kept.limits = undefined;
    await db.compact();
    expect(await active()).toBeLessThan(5000);
    expect(db.bases).toMatchObject({ count: 0, bytes: 0 });
    await db.close();
    expect(await verified(kept.folder)).toEqual([]);
  });

  test('stay what they are where nobody says how long, as in a program that embeds a database', async () => {
    const kept = await newKept();
    let db = await kept.open();
    const revs = await edit(db, 'a', [1, 2]);
    await db.close();
    db = await openDatabase(kept.folder);
    await db.compact();
    expect(valuesOf(db, 'a', revs)).toEqual([1, 2]);
  });

  test('go with a purge of their leaf', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const revs = await edit(db, 'a', [1, 2, 3]);
    await db.purge(new Map([['a', [revs[2] ?? '']]]));
    expect(db.bases).toMatchObject({ count: 0, bytes: 0 });
    await db.close();
    expect(await verified(kept.folder)).toEqual([]);
  });

  test('are forgotten where PouchDB dropped them', async () => {
    const kept = await newKept();
    const dir = join(kept.folder, 'db');
    let db = await kept.open();
    const revs = await edit(db, 'a', [1, 2]);
    await edit(db, 'b', [1, 2]);
    await db.close();
    const pouch = new PouchProcess();
    try {
      await pouch.open(dir);
      await pouch.compact(dir);
      await pouch.bulkDocs(dir, [{ _id: 'a', _rev: revs[1], value: 3 }]);
      await pouch.close(dir);
    } finally {
      await pouch.stop();
    }
    db = await kept.open();
    expect(db.bases.count).toBe(0);
    await put(db, { _id: 'a', _rev: db.get('a')?.winner, value: 4 });
    await db.compact();
    expect(valuesOf(db, 'a', revs)).toEqual([undefined, undefined]);
    expect(db.bases.count).toBe(1);
    await db.close();
    expect(await verified(kept.folder)).toEqual([]);
  });
});
