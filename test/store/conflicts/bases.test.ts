import { join } from 'node:path';
import type { ClassicLevel } from 'classic-level';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { BaseLimits } from '../../../src/store/conflicts/types.js';
import * as layout from '../../../src/store/layout.js';
import type { LevelDatabase } from '../../../src/store/level-database.js';
import { STATE } from '../../../src/store/state.js';
import { bytesOf, data, release, take, write } from '../../support/attachments.js';
import { PouchProcess } from '../../support/pouch.js';
import { body, newFolder, openDatabase, put, QUICK, replicate, revOf } from '../../support/store.js';
import { sizesOnDisk } from '../../support/sizes.js';
import { tamper, verified } from '../../support/verify.js';

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

/** Of a database that is closed: how many entries tell of groups of bodies, and how many of marks. */
const entriesIn = (kept: Kept): Promise<{ groups: number; marks: number }> =>
  tamper(kept.folder, async (level) => ({
    groups: (await keysIn(level, layout.bases)).length,
    marks: (await keysIn(level, layout.baseMarks)).length,
  }));

const keysIn = (level: ClassicLevel, { start, end }: layout.Sublevel): Promise<string[]> =>
  level.keys({ gte: start, lt: end }).all();

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, at) => `d${String(at).padStart(3, '0')}`);

/** Supersedes a revision of each of some documents in one commit. @returns those revisions, in their order */
async function supersede(db: LevelDatabase, ids: readonly string[], text = ''): Promise<string[]> {
  const first = await put(db, ...ids.map((_id) => ({ _id, text })));
  const revs = first.map(revOf);
  await put(db, ...ids.map((_id, at) => ({ _id, _rev: revs[at], text })));
  return revs;
}

/** Whether the superseded bodies are there. */
const areThere = (db: LevelDatabase, ids: readonly string[], revs: readonly string[]): boolean[] =>
  ids.map((id, at) => body(db, id, revs[at] ?? '') !== undefined);

/** A closed database has nothing wrong, and counts what it keeps. */
async function expectExact(kept: Kept): Promise<void> {
  expect(await verified(kept.folder)).toEqual([]);
  const { counted, recounted } = await sizesOnDisk(join(kept.folder, 'db'));
  expect(counted).toEqual(recounted);
}

describe('many bodies that one commit begins to keep', () => {
  test('share entries, and marks', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const ids = names(200);
    const revs = await supersede(db, ids);
    await db.compact();
    expect(db.bases.count).toBe(200);
    expect(areThere(db, ids, revs)).toEqual(ids.map(() => true));
    await db.close();
    expect(await entriesIn(kept)).toEqual({ groups: 4, marks: 2 });
    await expectExact(kept);
  });

  test('go bit by bit with what is written when they are too much, the oldest first', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const ids = names(100);
    const revs = await supersede(db, ids, 'x'.repeat(100));
    const each = db.bases.bytes / 100;
    kept.limits = { ...MUCH, maxBytes: 50.5 * each };
    const counts: number[] = [];
    for (const id of names(6)) {
      await put(db, { _id: `new ${id}` });
      counts.push(db.bases.count);
    }
    // A commit gives up 16.
    expect(counts).toEqual([84, 68, 52, 50, 50, 50]);
    await db.compact();
    expect(areThere(db, ids, revs)).toEqual(ids.map((_, at) => at >= 50));
    // Of the first entry some are left.
    kept.limits = { ...MUCH, maxBytes: 0.5 * each };
    await put(db, { _id: 'one more' });
    expect(db.bases.count).toBe(35);
    await db.close();
    expect(await entriesIn(kept)).toEqual({ groups: 1, marks: 1 });
    await expectExact(kept);
  });

  test('go in several commits when they are too old, and nothing of their account is left', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const now = Date.now();
    const clock = vi.spyOn(Date, 'now').mockReturnValue(now - 2 * MUCH.maxAge);
    const ids = names(250);
    await supersede(db, ids);
    clock.mockReturnValue(now);
    const young = names(3).map((id) => `young ${id}`);
    const revs = await supersede(db, young);
    const begin = vi.spyOn(db, 'begin');
    await db.bases.trim();
    expect(db.bases.count).toBe(3);
    expect(begin).toHaveBeenCalledTimes(3);
    await db.bases.trim();
    expect(begin).toHaveBeenCalledTimes(3);
    expect(await db.bases.due()).toBe(now + MUCH.maxAge);
    await db.compact();
    expect(areThere(db, young, revs)).toEqual([true, true, true]);
    kept.limits = undefined;
    await db.bases.trim();
    expect(db.bases).toMatchObject({ count: 0, bytes: 0 });
    await db.close();
    expect(await entriesIn(kept)).toEqual({ groups: 0, marks: 0 });
    await expectExact(kept);
  });

  test('go one by one where they are purged, and their entry with the last of them', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const ids = names(10);
    const revs = await supersede(db, ids);
    const purge = (some: readonly string[]): Promise<unknown> =>
      db.purge(new Map(some.map((id) => [id, [db.get(id)?.winner ?? '']])));
    const { bytes } = db.bases;
    await purge(ids.slice(2, 5));
    expect(db.bases).toMatchObject({ count: 7, bytes: (bytes / 10) * 7 });
    await db.compact();
    expect(areThere(db, ids, revs)).toEqual(ids.map((_, at) => at < 2 || at >= 5));
    // What was purged counts no more when the others go.
    kept.limits = { ...MUCH, maxBytes: 3.5 * (bytes / 10) };
    await put(db, { _id: 'new' });
    expect(db.bases.count).toBe(3);
    await purge(ids.slice(7));
    expect(db.bases).toMatchObject({ count: 0, bytes: 0 });
    expect(await db.bases.due()).toBeUndefined();
    await db.close();
    expect(await entriesIn(kept)).toEqual({ groups: 1, marks: 0 });
    await expectExact(kept);
    const now = Date.now();
    vi.spyOn(Date, 'now').mockReturnValue(now + 2 * MUCH.maxAge);
    const again = await kept.open();
    await again.compact();
    await again.close();
    expect(await entriesIn(kept)).toEqual({ groups: 0, marks: 0 });
    await expectExact(kept);
  });

  test('are there, superseded once more, purged and too much in one commit', async () => {
    const kept = await newKept();
    const db = await kept.open();
    const ids = names(5);
    await supersede(db, ids);
    const each = db.bases.bytes / 5;
    kept.limits = { ...MUCH, maxBytes: 2.5 * each };
    const winner = db.get('d004')?.winner ?? '';
    const begin = vi.spyOn(db, 'begin');
    await Promise.all([
      put(db, { _id: 'd003', _rev: db.get('d003')?.winner, text: '' }),
      put(db, { _id: 'd004', _rev: winner, text: '' }),
      db.transact({
        ids: ['d004'],
        weight: 0,
        run: (transaction) => {
          transaction.purge('d004', [transaction.record('d004')?.winner ?? ''], new Map());
        },
      }),
    ]);
    expect(begin).toHaveBeenCalledOnce();
    // Three were too much; The last document had one, and what came with it went with it.
    expect(db.get('d004')).toBeUndefined();
    expect(db.bases.count).toBe(5 - 3 + 1 - 1);
    await db.close();
    await expectExact(kept);
  });
});

describe('where the account of them is damaged, a count of everything gives an exact one', () => {
  const clear =
    (...parts: readonly layout.Sublevel[]) =>
    async (level: ClassicLevel): Promise<void> => {
      for (const { start, end } of parts) await level.clear({ gte: start, lt: end });
    };
  const all =
    (part: layout.Sublevel, text: string) =>
    async (level: ClassicLevel): Promise<void> => {
      for (const key of await keysIn(level, part)) await level.put(key, text);
    };
  const first = async (level: ClassicLevel, change: (bodies: unknown[]) => unknown[]): Promise<void> => {
    const [key = ''] = await keysIn(level, layout.bases);
    const { time, bodies } = JSON.parse((await level.get(key)) ?? '') as { time: number; bodies: unknown[] };
    await level.put(key, JSON.stringify({ time, bodies: change(bodies) }));
  };

  test.each<[string, (level: ClassicLevel) => Promise<void>, number]>([
    ['all marks are lost', clear(layout.baseMarks), 100],
    ['all marks are wrong', all(layout.baseMarks, 'ff'.repeat(16)), 100],
    ['marks cannot be read', all(layout.baseMarks, 'é'.repeat(32)), 100],
    ['a group is lost', async (level) => level.del((await keysIn(level, layout.bases))[0] ?? ''), 36],
    ['no group can be read', all(layout.bases, '{"seq":101,"time":1,"bytes":10}'), 0],
    ['groups are empty', all(layout.bases, '{"time":1,"bodies":[]}'), 0],
    ['everything is lost', clear(layout.baseMarks, layout.bases), 0],
    [
      'marks and groups are wrong',
      async (level) => {
        await all(layout.baseMarks, 'f0')(level);
        await first(level, () => [null]);
      },
      36,
    ],
    ['bodies stand twice in a group', (level) => first(level, (bodies) => [...bodies, ...bodies]), 100],
    [
      'a group has what is no base',
      (level) =>
        first(level, (bodies) => [
          [Number.MAX_SAFE_INTEGER, 1],
          [0, 1],
          [9999, 1],
          [150, 1],
          ...bodies.slice(1),
        ]),
      99,
    ],
    ['a sequence is none', (level) => first(level, (bodies) => [[2 ** 53, 1], ...bodies]), 36],
    ['a sequence is less than nothing', (level) => first(level, (bodies) => [[-5, 1], ...bodies]), 36],
  ])('%s', async (_, damage, count) => {
    const kept = await newKept();
    let db = await kept.open();
    const ids = names(100);
    await supersede(db, ids);
    await db.close();
    await tamper(kept.folder, async (level) => {
      await damage(level);
      await level.del(layout.meta.key(STATE));
    });
    db = await kept.open();
    expect(db.bases.count).toBe(count);
    await db.close();
    await expectExact(kept);
    db = await kept.open();
    await db.compact();
    // Whatever was too much is superseded as ever.
    await put(db, ...ids.map((id) => ({ _id: id, _rev: db.get(id)?.winner })));
    expect(db.bases.count).toBe(count + 100);
    await db.close();
    await expectExact(kept);
  });
});
