import { ClassicLevel } from 'classic-level';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { compareIds } from '../../src/store/order.js';
import { ChangeCounts } from '../../src/store/change-counts.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import { feedOf, listAll, newFolder, ODD_IDS, openDatabase, put } from '../support/store.js';

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const utf8 = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

const nameOf = (at: number): string => `d${String(at).padStart(6, '0')}`;

async function filled(count: number): Promise<LevelDatabase> {
  const db = await openDatabase(await newFolder());
  for (let from = 0; from < count; from += 1000) {
    await put(
      db,
      ...Array.from({ length: Math.min(1000, count - from) }, (_, at) => ({ _id: nameOf(from + at) })),
    );
  }
  return db;
}

/** The snapshots that are open. */
function watchSnapshots(): ReadonlySet<object> {
  const open = new Set<object>();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const snapshot = Reflect.get(ClassicLevel.prototype, 'snapshot') as (
    this: ClassicLevel,
  ) => ReturnType<ClassicLevel['snapshot']>;
  vi.spyOn(ClassicLevel.prototype, 'snapshot').mockImplementation(function (this: ClassicLevel) {
    const made = snapshot.call(this);
    open.add(made);
    const close = made.close.bind(made);
    made.close = () => {
      open.delete(made);
      return close();
    };
    return made;
  });
  return open;
}

/** Lets more time pass than a moment is held on to, and waits until it is given up. */
async function passMinutes(open: ReadonlySet<object>): Promise<void> {
  vi.advanceTimersByTime(120_000);
  while (open.size > 0) await new Promise((resolve) => setImmediate(resolve));
}

test('ids have the order of their bytes', () => {
  const ids = [
    ...ODD_IDS,
    'ab',
    'b',
    '\ud7ff',
    '\ue000',
    '\ufffd',
    '\u{10000}',
    '\u{10ffff}',
    'a😀',
    'a\uffff',
  ];
  expect([...ids].sort(compareIds)).toEqual([...ids].sort(utf8));
  for (const id of ids) expect(compareIds(id, id)).toBe(0);
});

describe('a listing', () => {
  test('counts what comes before it, in any order of writes and however large the database', async () => {
    const db = await filled(6000);
    const offset = async (start: string, descending = false): Promise<number> =>
      (await listAll(db, { start, descending, limit: 1 })).offset;
    expect(await offset(nameOf(0))).toBe(0);
    expect(await offset(nameOf(4321))).toBe(4321);
    expect(await offset(`${nameOf(4321)}x`)).toBe(4322);
    expect(await offset('z')).toBe(6000);
    expect(await offset(nameOf(4321), true)).toBe(1678);
    expect(await offset('a', true)).toBe(6000);
    // Many new ones in one place: what was counted there must be counted anew.
    for (let round = 0; round < 6; round++) {
      await put(
        db,
        ...Array.from({ length: 1000 }, (_, at) => ({
          _id: `${nameOf(2000)}-${String(round)}-${String(at)}`,
        })),
      );
    }
    const starts = [nameOf(2001), nameOf(3000), `${nameOf(2000)}-3`, nameOf(100), nameOf(2001), nameOf(5999)];
    const wanted = [8001, 9000, 5001, 100, 8001, 11999];
    expect(await Promise.all(starts.map((start) => offset(start)))).toEqual(wanted);
    expect(await Promise.all(starts.map((start) => offset(start)))).toEqual(wanted);
    // Deleted ones no longer count.
    const gone = Array.from({ length: 500 }, (_, at) => nameOf(at * 2));
    await put(db, ...gone.map((_id) => ({ _id, _rev: db.get(_id)?.winner, _deleted: true })));
    expect(await offset(nameOf(1000))).toBe(500);
    expect(await offset(nameOf(3000))).toBe(8500);
    await put(db, ...gone.slice(0, 10).map((_id) => ({ _id })));
    expect(await offset(nameOf(3000))).toBe(8510);
    expect((await listAll(db, { limit: 1 })).total).toBe(11510);
  });

  test('counts right while others write', async () => {
    const db = await filled(6000);
    // The first one counts everything; what is written meanwhile must count too.
    const first = listAll(db, { start: nameOf(2500), limit: 1 });
    const count = { done: false };
    void first.finally(() => (count.done = true));
    let written = 0;
    do await put(db, { _id: `a${String(written++)}` }, { _id: `e${String(written)}` });
    while (!count.done);
    expect(written).toBeGreaterThan(3);
    expect((await first).offset).toBeGreaterThanOrEqual(2500);
    expect((await listAll(db, { start: nameOf(2500), limit: 1 })).offset).toBe(2500 + written);
    expect((await listAll(db, { start: 'e', limit: 1 })).offset).toBe(6000 + written);
    expect((await listAll(db, { start: 'd999999' })).ids).toHaveLength(written);
  });

  test('shows one moment, whatever is written while it is read', async () => {
    const db = await filled(1500);
    const { pages, total } = await db.list({ bodies: true });
    const rows: string[] = [];
    let changed = false;
    for await (const page of pages) {
      rows.push(
        ...page.map(({ id, text }) => `${id} ${String((JSON.parse(text ?? '') as { v?: number }).v)}`),
      );
      if (!changed) {
        changed = true;
        await put(
          db,
          ...[1200, 1400].map((at) => ({ _id: nameOf(at), _rev: db.get(nameOf(at))?.winner, v: 2 })),
          { _id: 'e' },
        );
      }
    }
    expect(total).toBe(1500);
    expect(rows).toEqual(Array.from({ length: 1500 }, (_, at) => `${nameOf(at)} undefined`));
  });

  test('reads a page at a time, and no more than is asked for', async () => {
    const db = await filled(3000);
    const { pages } = await db.list({});
    const sizes: number[] = [];
    for await (const page of pages) sizes.push(page.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(500);
    expect((await listAll(db, { skip: 2990 })).ids).toHaveLength(10);
    expect((await listAll(db, { limit: 0 })).ids).toEqual([]);
    const changePages: number[] = [];
    for await (const page of db.changes({ since: 0 })) changePages.push(page.length);
    expect(changePages).toEqual([1000, 1000, 1000]);
  });

  test('leaves nothing open when it is given up, before its first page or after', async () => {
    const db = await filled(1200);
    const closed = { snapshots: 0, made: 0 };
    const snapshot = Reflect.get(ClassicLevel.prototype, 'snapshot') as (
      this: ClassicLevel,
    ) => ReturnType<ClassicLevel['snapshot']>;
    vi.spyOn(ClassicLevel.prototype, 'snapshot').mockImplementation(function (this: ClassicLevel) {
      const made = snapshot.call(this);
      closed.made++;
      const close = made.close.bind(made);
      made.close = () => {
        closed.snapshots++;
        return close();
      };
      return made;
    });
    await (await db.list({})).pages[Symbol.asyncIterator]().return?.();
    for await (const page of (await db.list({})).pages) if (page.length > 0) break;
    await listAll(db, { start: 'z', end: 'a' });
    await listAll(db, { limit: 0 });
    await listAll(db, {});
    expect(closed.made).toBeGreaterThanOrEqual(5);
    expect(closed.snapshots).toBe(closed.made);
  });

  test('of a slow reader lets go of its moment, and goes on behind what was read', async () => {
    const db = await filled(1500);
    await put(db, { _id: '_local/x' });
    const open = watchSnapshots();
    for (const descending of [false, true]) {
      const ids: string[] = [];
      let pages = 0;
      for await (const page of (await db.list({ descending, skip: 10, limit: 1200, bodies: true })).pages) {
        for (const { id, text } of page) {
          ids.push(id);
          expect(text).toContain(`"${id}"`);
        }
        if (++pages % 5 !== 1) continue;
        expect(open.size).toBe(1);
        await passMinutes(open);
        // What comes behind is seen, what went is not.
        if (pages === 1 && !descending) {
          const gone = nameOf(1000);
          await put(
            db,
            { _id: `${nameOf(900)}-new` },
            { _id: gone, _rev: db.get(gone)?.winner, _deleted: true },
          );
        }
      }
      const all = (await listAll(db, { descending, skip: 10, limit: 1200 })).ids;
      expect(ids).toEqual(all);
      expect(ids).toContain(`${nameOf(900)}-new`);
    }
    expect(open.size).toBe(0);
  });

  test('of a slow reader who comes back before its first page begins where it would have', async () => {
    const db = await filled(600);
    const open = watchSnapshots();
    const { pages, offset } = await db.list({ skip: 100 });
    await passMinutes(open);
    const ids: string[] = [];
    for await (const page of pages) ids.push(...page.map(({ id }) => id));
    expect(offset).toBe(100);
    expect(ids).toEqual((await listAll(db, { skip: 100 })).ids);
  });

  test('counts the living in a range', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, { _id: '_design/a' }, { _id: '_design/b', _deleted: true }, { _id: 'x' });
    expect(await db.countRange('_design/', '_design0')).toBe(1);
    expect(await db.countRange('a', 'z')).toBe(1);
  });
});

describe('a slow reader of the feed', () => {
  test('pins nothing, and misses no document that is changed meanwhile', async () => {
    const db = await filled(1000);
    const open = watchSnapshots();
    const ids = new Set<string>();
    let pages = 0;
    for await (const page of db.changes({ since: 0, pageSize: 400 })) {
      for (const { text } of page) ids.add((JSON.parse(text) as { id: string }).id);
      if (++pages > 1) continue;
      await passMinutes(open);
      await put(db, { _id: nameOf(999), _rev: db.get(nameOf(999))?.winner, v: 2 });
    }
    expect(ids.size).toBe(1000);
    expect(open.size).toBe(0);
  });

  test('who goes backwards ends where the feed began', async () => {
    const db = await filled(1000);
    const open = watchSnapshots();
    const seqs: number[] = [];
    for await (const page of db.changes({ since: 100, descending: true, pageSize: 400 })) {
      seqs.push(...page.map(({ seq }) => seq));
      await passMinutes(open);
    }
    expect(seqs).toEqual(Array.from({ length: 900 }, (_, at) => 1000 - at));
  });
});

describe('pending', () => {
  test('is exact over many blocks of sequences, as they move', async () => {
    const folder = await newFolder();
    let db = await openDatabase(folder);
    for (let from = 0; from < 5; from++) {
      await put(db, ...Array.from({ length: 1000 }, (_, at) => ({ _id: nameOf(from * 1000 + at) })));
      const again = Array.from({ length: 100 }, (_, at) => nameOf((at * 37) % ((from + 1) * 1000)));
      await put(db, ...again.map((_id) => ({ _id, _rev: db.get(_id)?.winner })));
    }
    const check = async (): Promise<void> => {
      const seqs = (await feedOf(db)).map(({ seq }) => seq);
      expect(seqs).toHaveLength(5000);
      for (const since of [
        0,
        1,
        1022,
        1023,
        1024,
        1025,
        2047,
        2048,
        3000,
        5000,
        db.updateSeq - 1,
        db.updateSeq,
      ]) {
        expect(await db.pending(since)).toBe(seqs.filter((seq) => seq > since).length);
      }
    };
    await check();
    await db.close();
    db = await openDatabase(folder);
    await check();
  });

  test('adds up blocks', () => {
    const counts = new ChangeCounts();
    counts.add(3, 5);
    counts.add(0, 2);
    counts.add(3, -1);
    expect([counts.get(0), counts.get(1), counts.get(3), counts.get(9)]).toEqual([2, 0, 4, 0]);
    expect([counts.after(0), counts.after(2), counts.after(3)]).toEqual([4, 4, 0]);
  });
});
