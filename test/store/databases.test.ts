import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createLogger } from '../../src/observe/log.js';
import { Databases } from '../../src/store/databases.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import { folderOf, isDatabaseName, nameOf } from '../../src/store/names.js';
import type { Database } from '../../src/store/types/database.js';
import { IDLE, listAll, newFolder, openDatabases, OPTIONS, outcome, put, QUICK } from '../support/store.js';

afterEach(() => {
  vi.restoreAllMocks();
});

/** A promise and what settles it. */
function gate(): { passed: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

const writeOne = (databases: Databases, name: string, id: string): Promise<string> =>
  databases.use(name, async (db) => {
    const [result] = await put(db, { _id: id });
    return result === undefined ? '' : outcome(result);
  });

const idsOf = (databases: Databases, name: string): Promise<readonly string[]> =>
  databases.use(name, async (db) => (await listAll(db)).ids);

const status = (attempt: Promise<unknown>): Promise<number> =>
  attempt.then(
    () => 200,
    (error: unknown) => (error as { status?: number }).status ?? 500,
  );

/** Counts the databases that are open. */
const counted = () => {
  let now = 0;
  const original = LevelDatabase.open.bind(LevelDatabase);
  const opened = vi.spyOn(LevelDatabase, 'open').mockImplementation(async (...args) => {
    now++;
    const database = await original(...args);
    const close = database.close.bind(database);
    database.close = async () => {
      await close();
      now--;
    };
    return database;
  });
  return { open: () => now, opened };
};

describe('names', () => {
  const name = fc.oneof(
    fc.stringMatching(/^[a-z][a-z0-9_$()+/-]{0,12}$/),
    fc.constantFrom(
      '_users',
      '_replicator',
      '_global_changes',
      'a/b',
      'a+b',
      'a_b',
      'a2b',
      'con',
      'a$b',
      'a(b)',
    ),
  );

  test('map one to one to folders, on file systems that ignore case too', () => {
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 2, maxLength: 8 }), (names) => {
        const folders = names.map(folderOf);
        expect(new Set(folders.map((folder) => folder.toLowerCase())).size).toBe(names.length);
        expect(folders.map(nameOf)).toEqual(names);
        for (const folder of folders) expect(folder).toMatch(/^[^/\\:*?"<>|.]+$/);
      }),
      { numRuns: 2000 },
    );
  });

  test('are what CouchDB takes, and short enough for a folder', () => {
    for (const good of ['a', '_users', 'a0_$()+-/', 'a'.repeat(238)]) expect(isDatabaseName(good)).toBe(true);
    for (const bad of [
      '',
      'A',
      '0',
      '_x',
      'a.b',
      'a b',
      '../a',
      'a\n',
      'é',
      '-a',
      '/a',
      'a'.repeat(239),
      `a${'/'.repeat(100)}`,
    ]) {
      expect(isDatabaseName(bad)).toBe(false);
    }
  });

  test('are only read from folders that would be written so', () => {
    for (const folder of ['a%2fb', '%61', 'A', '.deleted-1', 'a b', '%', 'a%2Fb%'])
      expect(nameOf(folder)).toBeUndefined();
    expect(nameOf('a%2Fb')).toBe('a/b');
  });
});

describe('databases', () => {
  test('are made, listed, deleted, made again', async () => {
    const root = await newFolder();
    const databases = await openDatabases(root);
    expect(await databases.create('b/1')).toBe(true);
    expect(await databases.create('b/1')).toBe(false);
    expect(await databases.create('a')).toBe(true);
    expect(await databases.create('_users')).toBe(true);
    expect(databases.list()).toEqual(['_users', 'a', 'b/1']);
    expect([databases.exists('a'), databases.exists('c')]).toEqual([true, false]);
    await writeOne(databases, 'a', 'x');
    const start = await databases.use('a', async (db) => (await db.info()).instanceStartTime);
    const token = await databases.use('a', (db) => db.token(1));
    expect(await databases.delete('a')).toBe(true);
    expect(await databases.delete('a')).toBe(false);
    expect(await status(databases.use('a', () => undefined))).toBe(404);
    expect(databases.list()).toEqual(['_users', 'b/1']);
    expect(await databases.create('a')).toBe(true);
    await databases.use('a', async (db) => {
      expect((await db.info()).docCount).toBe(0);
      expect(Number((await db.info()).instanceStartTime)).toBeGreaterThan(Number(start));
      await put(db, { _id: 'y' });
      expect(db.parseToken(token)).toBe(0);
    });
    await databases.close();
    const again = await openDatabases(root);
    expect(again.list()).toEqual(['_users', 'a', 'b/1']);
    expect(await idsOf(again, 'a')).toEqual(['y']);
  });

  test('have folders that only their owner may read', async () => {
    const root = await newFolder();
    const databases = await openDatabases(root);
    await databases.create('a');
    for (const path of ['databases', 'databases/a', 'copies']) {
      expect((await stat(join(root, path))).mode & 0o777).toBe(0o700);
    }
    expect((await stat(join(root, 'copies', 'a'))).mode & 0o777).toBe(0o600);
  });

  test('of one name are never two, whoever makes and deletes them at once', async () => {
    const databases = await openDatabases(await newFolder());
    const made = await Promise.all(Array.from({ length: 10 }, () => databases.create('a')));
    expect(made.filter(Boolean)).toHaveLength(1);
    const deleted = await Promise.all(Array.from({ length: 10 }, () => databases.delete('a')));
    expect(deleted.filter(Boolean)).toHaveLength(1);
    const mixed = await Promise.all(
      Array.from({ length: 30 }, (_, at) => (at % 2 === 0 ? databases.create('a') : databases.delete('a'))),
    );
    expect(mixed.every(Boolean)).toBe(true);
    expect(databases.exists('a')).toBe(false);
  });

  test('do as a plain set does under any mix of requests', async () => {
    const root = await newFolder();
    const operation = fc.record({
      kind: fc.constantFrom('create', 'delete', 'use', 'use', 'write'),
      name: fc.constantFrom('a', 'b', 'c'),
    });
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 40 }), async (operations) => {
        const folder = join(root, String(runs++));
        await mkdir(folder);
        const databases = await Databases.open(folder, { ...QUICK, maxOpen: 1 }, IDLE);
        // All at once: each must succeed, or be refused for one of the reasons there are.
        const created = new Map<string, number>();
        const deleted = new Map<string, number>();
        const count = (counts: Map<string, number>, name: string, yes: boolean): void => {
          if (yes) counts.set(name, (counts.get(name) ?? 0) + 1);
        };
        const results = await Promise.all(
          operations.map(async ({ kind, name }, at) => {
            if (kind === 'create') count(created, name, await databases.create(name));
            else if (kind === 'delete') count(deleted, name, await databases.delete(name));
            else if (kind === 'use') return status(idsOf(databases, name));
            else return status(writeOne(databases, name, String(at)));
            return 200;
          }),
        );
        expect(results.every((each) => each === 200 || each === 404)).toBe(true);
        const there = ['a', 'b', 'c'].filter((name) => (created.get(name) ?? 0) > (deleted.get(name) ?? 0));
        expect(databases.list()).toEqual(there);
        await databases.close();
        const again = await Databases.open(folder, QUICK, IDLE);
        expect(again.list()).toEqual(there);
        for (const name of there) await idsOf(again, name);
        await again.close();
        expect((await readdir(join(folder, 'databases'))).sort()).toEqual(there);
      }),
      { numRuns: 40 },
    );
  });

  test('end their feeds and refuse their users with 404 when they are deleted', async () => {
    const databases = await openDatabases(await newFolder());
    await databases.create('a');
    await writeOne(databases, 'a', 'x');
    const { passed, open } = gate();
    let closed = 0;
    let inside: Database | undefined;
    const reading = databases.use('a', async (db) => {
      inside = db;
      db.events.subscribe({ onChanges: () => undefined, onClose: () => closed++ });
      await passed;
      return db.get('x');
    });
    const writing = databases.use('a', async (db) => {
      await passed;
      return put(db, { _id: 'y' });
    });
    await databases.delete('a');
    expect(closed).toBe(1);
    expect(inside?.events.size).toBe(0);
    open();
    expect(await status(reading)).toBe(404);
    expect(await status(writing)).toBe(404);
    // The name is free for another database meanwhile, and after.
    expect(await databases.create('a')).toBe(true);
    expect(await idsOf(databases, 'a')).toEqual([]);
  });

  test('that were deleted but not yet removed are cleared away at the next start', async () => {
    const root = await newFolder();
    const first = await openDatabases(root);
    await first.create('a');
    await first.close();
    const folder = join(root, 'databases');
    await mkdir(join(folder, '.deleted-0123'));
    await writeFile(join(folder, '.deleted-0123', 'CURRENT'), 'x');
    await mkdir(join(folder, 'NotOurs'));
    await writeFile(join(folder, 'file'), '');
    const again = await openDatabases(root);
    expect(again.list()).toEqual(['a']);
    expect((await readdir(folder)).sort()).toEqual(['NotOurs', 'a', 'file']);
  });

  test('whose making was cut short open by themselves', async () => {
    const root = await newFolder();
    await mkdir(join(root, 'databases', 'empty'), { recursive: true });
    const databases = await openDatabases(root);
    expect(databases.list()).toEqual(['empty']);
    expect(await writeOne(databases, 'empty', 'x')).toMatch(/^1-/);
  });

  test('whose files somebody took away begin anew, which the log says', async () => {
    const folder = await newFolder();
    const lines: string[] = [];
    const log = createLogger({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const open = (): Promise<Databases> => openDatabases(folder, OPTIONS, { ...IDLE, log });
    const first = await open();
    for (const name of ['emptied', 'whole', 'deleted', 'remade']) {
      await first.create(name);
      await writeOne(first, name, 'a');
    }
    await first.delete('deleted');
    await first.create('deleted');
    await first.close();
    const emptied = join(folder, 'databases', 'emptied');
    for (const file of await readdir(emptied)) await rm(join(emptied, file));
    await rm(join(folder, 'databases', 'remade'), { recursive: true });
    const second = await open();
    await second.create('remade');
    for (const name of ['whole', 'deleted', 'remade']) await idsOf(second, name);
    expect(lines).toEqual([]);
    expect(await idsOf(second, 'emptied')).toEqual([]);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { level: 'warn', database: 'emptied', msg: expect.stringMatching(/^the files .* are gone/) as string },
    ]);
    await second.close();
    const third = await open();
    await idsOf(third, 'emptied');
    expect(lines).toHaveLength(1);
    await third.close();
  });

  test('are gone with their files soon after they were deleted', async () => {
    const root = await newFolder();
    const databases = await openDatabases(root);
    await databases.create('a');
    await databases.delete('a');
    await databases.close();
    expect(await readdir(join(root, 'databases'))).toEqual([]);
    expect(await readdir(join(root, 'copies'))).toEqual([]);
  });

  test('that cannot be deleted are still there', async () => {
    const databases = await openDatabases(await newFolder());
    await databases.create('a');
    vi.spyOn(LevelDatabase.prototype, 'close').mockRejectedValueOnce(new Error('disk'));
    expect(await status(databases.delete('a'))).toBe(500);
    expect(databases.list()).toEqual(['a']);
  });

  test('that cannot be opened do not hold up what comes later', async () => {
    const root = await newFolder();
    const databases = await openDatabases(root);
    await databases.create('a');
    await writeOne(databases, 'a', 'x');
    await databases.close();
    const again = await openDatabases(root);
    const folder = join(root, 'copies', 'a');
    await rename(folder, `${folder}.kept`);
    await mkdir(folder);
    // The marker cannot be read: nothing may stay locked.
    expect(await status(idsOf(again, 'a'))).toBe(500);
    expect(await status(idsOf(again, 'a'))).toBe(500);
    await rm(folder, { recursive: true });
    await rename(`${folder}.kept`, folder);
    await vi.waitFor(async () => {
      expect(await idsOf(again, 'a')).toEqual(['x']);
    });
  });
});

describe('of many databases', () => {
  test('only so many stay open, those that were used last', async () => {
    const count = counted();
    const databases = await openDatabases(await newFolder(), { ...QUICK, maxOpen: 2 });
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const name of names) await databases.create(name);
    await vi.waitFor(() => {
      expect(count.open()).toBe(2);
    });
    const { opened } = count;
    opened.mockClear();
    await writeOne(databases, 'e', 'x');
    await writeOne(databases, 'f', 'x');
    expect(opened).toHaveBeenCalledTimes(0);
    await writeOne(databases, 'a', 'x');
    await writeOne(databases, 'f', 'y');
    expect(opened).toHaveBeenCalledTimes(1);
    await writeOne(databases, 'e', 'y');
    expect(opened).toHaveBeenCalledTimes(2);
  });

  test('those in use stay open, however many', async () => {
    const count = counted();
    const databases = await openDatabases(await newFolder(), { ...QUICK, maxOpen: 2 });
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) await databases.create(name);
    const { passed, open } = gate();
    const users = names.map((name) =>
      databases.use(name, async (db) => {
        await put(db, { _id: 'x' });
        await passed;
        return (await listAll(db)).ids;
      }),
    );
    await vi.waitFor(() => {
      expect(count.open()).toBe(5);
    });
    for (const name of names) await writeOne(databases, name, 'y');
    expect(count.open()).toBe(5);
    open();
    expect(await Promise.all(users)).toEqual(names.map(() => ['x', 'y']));
    await vi.waitFor(() => {
      expect(count.open()).toBe(2);
    });
  });

  test('many users at once find each open, and nothing is lost by closing', async () => {
    const root = await newFolder();
    const databases = await openDatabases(root, { ...QUICK, maxOpen: 2 });
    const names = ['a', 'b', 'c', 'd', 'e'];
    await Promise.all(names.map((name) => databases.create(name)));
    const writes = Array.from({ length: 200 }, (_, at) =>
      writeOne(databases, names[(at * 7) % 5] ?? '', String(at)),
    );
    for (const result of await Promise.all(writes)) expect(result).toMatch(/^1-/);
    for (const name of names) expect(await idsOf(databases, name)).toHaveLength(40);
  });
});

describe('closing all', () => {
  test('while writes are under way loses nothing that was acknowledged, and refuses the rest with 503', async () => {
    const root = await newFolder();
    const databases = await openDatabases(root, { ...OPTIONS, maxOpen: 1 });
    for (const name of ['a', 'b', 'c']) await databases.create(name);
    const acknowledged: string[] = [];
    const writes = Array.from({ length: 90 }, async (_, at) => {
      const name = ['a', 'b', 'c'][at % 3] ?? '';
      if (at > 30) await new Promise((resolve) => setImmediate(resolve));
      await writeOne(databases, name, String(at));
      acknowledged.push(`${name}${String(at)}`);
    });
    await Promise.race(writes);
    await databases.close();
    for (const result of await Promise.allSettled(writes)) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ status: 503 });
    }
    expect(await status(databases.create('d'))).toBe(503);
    expect(await status(idsOf(databases, 'a'))).toBe(503);
    const again = await openDatabases(root);
    const there = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => (await idsOf(again, name)).map((id) => name + id)),
    );
    expect(there.flat().sort()).toEqual(acknowledged.sort());
    expect(acknowledged.length).toBeGreaterThan(0);
  });

  test('waits for those that are just being closed for want of room', async () => {
    const root = await newFolder();
    const count = counted();
    // In each round the closing of all comes a moment later.
    for (let round = 0; round < 20; round++) {
      const databases = await Databases.open(root, { ...QUICK, maxOpen: 0 }, IDLE);
      await databases.create('a');
      const { passed, open } = gate();
      const { passed: entered, open: enter } = gate();
      const using = databases.use('a', () => {
        enter();
        return passed;
      });
      await entered;
      open();
      for (let turn = 0; turn < round; turn++) await Promise.resolve();
      await databases.close();
      expect(count.open()).toBe(0);
      // Nobody holds its lock any more.
      const again = await Databases.open(root, QUICK, IDLE);
      await idsOf(again, 'a');
      await again.close();
      await using;
    }
  });

  test('waits for the others where one fails to close, and says so', async () => {
    const { passed, open } = gate();
    const closed: string[] = [];
    const close: (this: LevelDatabase) => Promise<void> = Reflect.get(LevelDatabase.prototype, 'close');
    vi.spyOn(LevelDatabase.prototype, 'close').mockImplementation(async function (this: LevelDatabase) {
      if (this.name !== 'a') await passed;
      await close.call(this);
      closed.push(this.name);
      if (this.name !== 'a') return;
      setImmediate(open);
      throw new Error('the disk is gone');
    });
    const databases = await Databases.open(await newFolder(), QUICK, IDLE);
    for (const name of ['a', 'b', 'c']) await databases.create(name);
    await expect(databases.close()).rejects.toThrow('did not close cleanly');
    expect(closed.sort()).toEqual(['a', 'b', 'c']);
  });
});
