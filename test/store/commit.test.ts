import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CouchError } from '../../src/errors.js';
import * as layout from '../../src/store/layout.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import { STATE } from '../../src/store/state.js';
import { Writer, type WriterHost, type WriteTask } from '../../src/store/writer.js';
import {
  body,
  feedOf,
  listAll,
  newFolder,
  openDatabase,
  OPTIONS,
  outcome,
  put,
  replicate,
  revOf,
} from '../support/store.js';

afterEach(() => {
  vi.restoreAllMocks();
});

type ChainedBatch = ReturnType<ClassicLevel['batch']>;
type Write = (options?: { sync?: boolean | undefined }) => Promise<void>;

/** Replaces `write` of every chained batch of LevelDB by what `intercept` makes of it. */
function interceptWrites(intercept: (write: Write) => Write): void {
  const batch = Reflect.get(ClassicLevel.prototype, 'batch') as (
    this: ClassicLevel,
    ...args: unknown[]
  ) => ChainedBatch;
  vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (
    this: ClassicLevel,
    ...args: unknown[]
  ) {
    const made = batch.apply(this, args);
    if (args.length === 0) {
      made.write = intercept(made.write.bind(made));
    }
    return made;
  } as never);
}

const failing = async (attempt: Promise<unknown>): Promise<CouchError> => {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CouchError)) throw new Error('no CouchError', { cause: error });
  return error;
};

describe('group commit (I1)', () => {
  test('many writes share few batches, each of them synced', async () => {
    const db = await openDatabase(await newFolder(), OPTIONS);
    const synced: (boolean | undefined)[] = [];
    interceptWrites((write) => (options) => {
      synced.push(options?.sync);
      return write(options);
    });
    const writes = Array.from({ length: 200 }, (_, at) => put(db, { _id: `d${String(at)}` }));
    const locals = Array.from({ length: 50 }, (_, at) => db.putLocal(`_local/${String(at)}`, undefined, ''));
    await Promise.all([...writes, ...locals, db.setSecurity('{}')]);
    expect(db.updateSeq).toBe(200);
    expect(synced.length).toBeLessThanOrEqual(3);
    expect(new Set(synced)).toEqual(new Set([true]));
  });

  test('nothing shows before the sync has returned', async () => {
    const db = await openDatabase(await newFolder(), OPTIONS);
    await put(db, { _id: 'old' });
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    let entered: () => void = () => undefined;
    const atGate = new Promise<void>((resolve) => (entered = resolve));
    interceptWrites((write) => async (options) => {
      entered();
      await gate;
      await write(options);
    });
    const heard: number[] = [];
    db.events.subscribe({ onChanges: (seq) => heard.push(seq), onClose: () => undefined });
    const write = put(db, { _id: 'new' });
    await atGate;
    expect(db.get('new')).toBeUndefined();
    expect(db.updateSeq).toBe(1);
    expect(await db.pending(0)).toBe(1);
    expect((await listAll(db)).total).toBe(1);
    expect(db.events.recent(1)).toEqual([]);
    expect(heard).toEqual([]);
    release();
    await write;
    expect(db.updateSeq).toBe(2);
    await vi.waitFor(() => {
      expect(heard).toEqual([2]);
    });
  });

  test('a very large group is cut, and the order of writes stays', async () => {
    const db = await openDatabase(await newFolder());
    let batches = 0;
    interceptWrites((write) => (options) => {
      batches++;
      return write(options);
    });
    const pad = 'x'.repeat(1024 * 1024);
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, at) =>
        put(db, { _id: 'a', ...(at === 0 ? {} : { _rev: '1-none' }), pad }),
      ),
    );
    expect(results.flat().map((result) => result.ok)).toEqual([
      true,
      ...Array.from({ length: 11 }, () => false),
    ]);
    await Promise.all(Array.from({ length: 12 }, (_, at) => put(db, { _id: `b${String(at)}`, pad })));
    expect(batches).toBeGreaterThan(3);
    const feed = await feedOf(db);
    expect(feed.slice(1).map(({ id }) => id)).toEqual(
      Array.from({ length: 12 }, (_, at) => `b${String(at)}`),
    );
  });
});

describe('one large request', () => {
  test('is cut, so that others need not wait for all of it; its documents are taken in the order of their ids', async () => {
    const db = await openDatabase(await newFolder());
    let batches = 0;
    interceptWrites((write) => (options) => {
      batches++;
      return write(options);
    });
    const many = Array.from({ length: 6000 }, (_, at) => ({ _id: `d${String(at)}`, pad: 'x'.repeat(500) }));
    const results = await put(db, ...many, { _id: 'd0' });
    expect(batches).toBeGreaterThan(4);
    expect(results.slice(0, -1).every(({ ok }) => ok)).toBe(true);
    expect(results.at(-1)).toMatchObject({ ok: false, error: { status: 409 } });
    expect((await feedOf(db)).map(({ id }) => id)).toEqual(many.map(({ _id }) => _id).sort());
    expect(await put(db)).toEqual([]);
  });

  test('is cut by the length of histories too', async () => {
    const db = await openDatabase(await newFolder());
    let batches = 0;
    interceptWrites((write) => (options) => {
      batches++;
      return write(options);
    });
    const ids = Array.from({ length: 1000 }, (_, at) => at.toString(16).padStart(32, '0'));
    const many = Array.from({ length: 60 }, (_, at) => ({
      _id: `d${String(at)}`,
      _revisions: { start: 1000, ids },
    }));
    expect((await replicate(db, ...many)).every(({ ok }) => ok)).toBe(true);
    expect(batches).toBeGreaterThan(2);
  });
});

describe('a record', () => {
  test('answers many questions about its revisions without a walk for each', async () => {
    const db = await openDatabase(await newFolder());
    const ids = Array.from({ length: 1000 }, (_, at) => at.toString(16).padStart(32, '0'));
    await replicate(db, { _id: 'a', _revisions: { start: 1000, ids } });
    const record = db.get('a');
    const asked = Array.from({ length: 500_000 }, (_, at) => `${String(at)}-${ids[1000 - at] ?? 'x'}`);
    const begun = performance.now();
    expect(asked.filter((rev) => record?.has(rev) === true)).toEqual(asked.slice(1, 1001));
    // Some 100 ms; walks would take ten seconds.
    expect(performance.now() - begun).toBeLessThan(3000);
  });
});

describe('a writer', () => {
  const host = (commits: string[][]): WriterHost & { names: string[] } => ({
    names: [],
    ready: () => Promise.resolve(),
    begin() {
      const names: string[] = [];
      this.names = names;
      const done = (): Promise<void> => Promise.resolve();
      return { load: done, measure: done, abandon: done, empty: false } as never;
    },
    commit() {
      commits.push(this.names);
      return Promise.resolve();
    },
    recover: () => Promise.resolve(),
  });

  test('fails the task that throws, whatever it had put, and only that', async () => {
    const commits: string[][] = [];
    const own = host(commits);
    const writer = new Writer(own);
    const task = (name: string): WriteTask => ({
      ids: [],
      weight: 0,
      run: () => {
        own.names.push(name);
        if (name === 'bad') throw new RangeError('bad');
      },
    });
    const results = await Promise.allSettled(['a', 'bad', 'b'].map((name) => writer.submit(task(name))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(commits).toEqual([['a', 'b']]);
    await writer.drain();
  });

  test('lets others have their turns while a commit is put together', async () => {
    let isElsewhere = false;
    setImmediate(() => (isElsewhere = true));
    const end = performance.now() + 30_000;
    await new Writer(host([])).submit({
      ids: [],
      weight: 0,
      *run() {
        while (!isElsewhere && performance.now() < end) yield;
      },
    });
    expect(isElsewhere).toBe(true);
    expect(performance.now()).toBeLessThan(end);
  });
});

describe('a batch that fails', () => {
  /** The next write fails; before it reaches LevelDB, or after it did and only the sync failed. */
  const failNext = (when: 'before' | 'after'): { failed: boolean } => {
    const state = { failed: false };
    interceptWrites((write) => async (options) => {
      if (state.failed) return write(options);
      state.failed = true;
      if (when === 'after') await write(options);
      throw new Error('fsync: input/output error');
    });
    return state;
  };

  const prepared = async (): Promise<{ db: LevelDatabase; folder: string; rev: string }> => {
    const folder = await newFolder();
    const db = await openDatabase(folder, OPTIONS);
    const [result] = await put(db, { _id: 'old', v: 1 });
    return { db, folder, rev: revOf(result) };
  };

  test('answers 500 to all who wait, and nothing of it is stored', async () => {
    const { db, folder, rev } = await prepared();
    const fault = failNext('before');
    const writes = [
      put(db, { _id: 'old', _rev: rev, _deleted: true }),
      put(db, { _id: 'new' }, { _id: 'other' }),
      db.putLocal('_local/x', undefined, ''),
      db.setRevsLimit(5),
    ];
    for (const write of writes) {
      expect(await failing(write)).toMatchObject({ status: 500, error: 'internal_server_error' });
    }
    expect(fault.failed).toBe(true);
    expect(
      outcome((await put(db, { _id: 'later' }))[0] ?? { ok: false, error: new CouchError(0, '', '') }),
    ).toMatch(/^1-/);
    const check = async (database: LevelDatabase): Promise<void> => {
      expect(await database.info()).toMatchObject({ docCount: 2, deletedCount: 0, updateSeq: 2 });
      expect(await feedOf(database)).toMatchObject([
        { seq: 1, id: 'old' },
        { seq: 2, id: 'later' },
      ]);
      expect(body(database, 'old')).toMatchObject({ v: 1 });
      expect(database.get('new')).toBeUndefined();
      expect(database.getLocal('_local/x')).toBeUndefined();
      expect(database.revsLimit).toBe(1000);
      expect(await database.pending(0)).toBe(2);
    };
    await check(db);
    await db.close();
    await check(await openDatabase(folder));
  });

  test('whose sync failed is looked at again: whatever LevelDB has of it is whole', async () => {
    const { db, folder } = await prepared();
    failNext('after');
    expect(await failing(put(db, { _id: 'a' }, { _id: 'b' }))).toMatchObject({ status: 500 });
    await put(db, { _id: 'later' });
    const check = async (database: LevelDatabase): Promise<void> => {
      expect(await database.info()).toMatchObject({ docCount: 4, updateSeq: 4 });
      expect((await feedOf(database)).map(({ id }) => id)).toEqual(['old', 'a', 'b', 'later']);
      expect((await listAll(database)).ids).toEqual(['a', 'b', 'later', 'old']);
    };
    await check(db);
    await db.close();
    await check(await openDatabase(folder));
  });

  test('in the first write of a run begins that run again with the next', async () => {
    const { db, folder } = await prepared();
    const before = db.token(1);
    await db.close();
    const again = await openDatabase(folder);
    failNext('before');
    await failing(put(again, { _id: 'a' }));
    await put(again, { _id: 'b' });
    const [, row] = await feedOf(again);
    expect(again.parseToken(before)).toBe(1);
    expect(again.parseToken(row?.token ?? '')).toBe(2);
    expect(row?.token.split('-')[1]).not.toBe(before.split('-')[1]);
    const { instanceStartTime } = await again.info();
    await again.close();
    expect((await (await openDatabase(folder)).info()).instanceStartTime).toBe(instanceStartTime);
  });

  test('in the first write of a run leaves a database that knows itself', async () => {
    const { db, folder } = await prepared();
    const { instanceStartTime } = await db.info();
    await db.close();
    const again = await openDatabase(folder);
    failNext('before');
    await failing(put(again, { _id: 'a' }));
    await again.close();
    expect((await (await openDatabase(folder)).info()).instanceStartTime).toBe(instanceStartTime);
  });

  test('ends the feeds, since what they showed may be gone', async () => {
    const { db } = await prepared();
    let closed = 0;
    db.events.subscribe({ onChanges: () => undefined, onClose: () => closed++ });
    failNext('before');
    await failing(put(db, { _id: 'a' }));
    await put(db, { _id: 'b' });
    expect(closed).toBe(1);
    expect(db.events.size).toBe(0);
  });
});

test('closing while writes are under way loses nothing that was acknowledged', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder, OPTIONS);
  const acknowledged: string[] = [];
  const writes = Array.from({ length: 300 }, async (_, at) => {
    const id = `d${String(at).padStart(3, '0')}`;
    if (at % 3 > 0) await new Promise((resolve) => setImmediate(resolve));
    await put(db, { _id: id });
    acknowledged.push(id);
  });
  await Promise.race(writes);
  await db.close();
  const results = await Promise.allSettled(writes);
  for (const result of results) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ status: 503 });
  }
  const again = await openDatabase(folder);
  expect((await listAll(again)).ids).toEqual(acknowledged.sort());
  expect(acknowledged.length).toBeGreaterThan(0);
});

test('an index that was built without syncs is on the disk before anything says that it is good', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder);
  await put(db, ...Array.from({ length: 100 }, (_, at) => ({ _id: String(at) })));
  await db.close();
  const raw = new ClassicLevel(join(folder, 'db'));
  await raw.del(layout.meta.key(STATE));
  await raw.close();
  const logs: number[] = [];
  const batch = Reflect.get(ClassicLevel.prototype, 'batch') as (
    this: ClassicLevel,
    ...args: unknown[]
  ) => never;
  vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (
    this: ClassicLevel,
    ...args: unknown[]
  ) {
    const [puts = []] = args as [{ key: string }[]?];
    if (puts.some(({ key }) => key === layout.meta.key(STATE)))
      for (const name of readdirSync(this.location).filter((one) => one.endsWith('.log')))
        logs.push(statSync(join(this.location, name)).size);
    return batch.call(this, ...args);
  });
  await openDatabase(folder);
  expect(logs).toEqual([0]);
});
