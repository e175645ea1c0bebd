import { ClassicLevel } from 'classic-level';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createLogger } from '../../src/observe/log.js';
import { Databases } from '../../src/store/databases.js';
import { GLOBAL_CHANGES } from '../../src/store/global-changes.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import { feedOf, IDLE, newFolder, openDatabases, OPTIONS, put } from '../support/store.js';

afterEach(() => {
  vi.restoreAllMocks();
});

type ChainedBatch = ReturnType<ClassicLevel['batch']>;

type Write = (options?: { sync?: boolean | undefined }) => Promise<void>;

const after =
  (moment: Promise<void>, write: Write): Write =>
  async (options) => {
    await moment;
    await write(options);
  };

const CEILING = { timeout: 30_000 };

/** The ids of the events, in the order of the feed. */
const eventsOf = (databases: Databases): Promise<string[]> =>
  databases.use(GLOBAL_CHANGES, async (db) => (await feedOf(db)).map(({ id }) => id));

const marksOf = (databases: Databases): Promise<string[]> =>
  databases.use(GLOBAL_CHANGES, async (db) => {
    const ids: string[] = [];
    for await (const page of db.listLocal({})) ids.push(...page.map(({ id }) => id));
    return ids;
  });

const write = (databases: Databases, name: string, document: object = {}): Promise<unknown> =>
  databases.use(name, (db) => put(db, document));

const told = (databases: Databases, events: readonly string[]): Promise<void> =>
  vi.waitFor(async () => expect(await eventsOf(databases)).toEqual(events), CEILING);

/** Databases with their events, which are not closed: what a crash leaves behind is a copy of the folder. */
async function recording(root: string): Promise<Databases> {
  const databases = await openDatabases(root);
  await databases.create(GLOBAL_CHANGES);
  return databases;
}

async function afterCrash(root: string): Promise<Databases> {
  const copy = join(await newFolder(), 'copy');
  await cp(root, copy, { recursive: true });
  return openDatabases(copy);
}

describe('the events of databases', () => {
  test('are told in the order in which they happened', async () => {
    const databases = await recording(await newFolder());
    await databases.create('a');
    await databases.create('b');
    expect(await eventsOf(databases)).toEqual(['created:a', 'created:b']);
    await write(databases, 'b', { _id: 'x' });
    await told(databases, ['created:a', 'created:b', 'updated:b']);
    await databases.delete('b');
    expect(await eventsOf(databases)).toEqual(['created:a', 'created:b', 'updated:b', 'deleted:b']);
    await databases.create('b');
    await write(databases, 'a', { _id: 'x' });
    await told(databases, ['created:a', 'updated:b', 'deleted:b', 'created:b', 'updated:a']);
  });

  test('are not kept before somebody makes the database for them, nor after it is gone', async () => {
    const databases = await openDatabases(await newFolder());
    await databases.create('old');
    await write(databases, 'old', { _id: 'x' });
    await databases.create(GLOBAL_CHANGES);
    expect(await eventsOf(databases)).toEqual([]);
    await write(databases, 'old', { _id: 'y' });
    await told(databases, ['updated:old']);
    await databases.delete(GLOBAL_CHANGES);
    await write(databases, 'old', { _id: 'z' });
    await databases.create(GLOBAL_CHANGES);
    expect([await eventsOf(databases), await marksOf(databases)]).toEqual([[], []]);
    // The marks went with the old one.
    await write(databases, 'old', { _id: 'zz' });
    expect(await marksOf(databases)).toEqual(['_local/changing:old']);
  });

  test('tell of documents and of purges, not of local documents, settings and compactions', async () => {
    const databases = await openDatabases(await newFolder());
    for (const name of ['silent', 'written', 'purged']) await databases.create(name);
    await databases.create(GLOBAL_CHANGES);
    await databases.use('silent', async (db) => {
      await db.putLocal('_local/x', undefined, '');
      await db.setSecurity('{}');
      await db.setRevsLimit(5);
      await db.compact();
    });
    await databases.use('purged', (db) => db.purge(new Map([['x', ['1-a']]])));
    await told(databases, ['updated:purged']);
    await write(databases, 'written', { _id: 'x' });
    await told(databases, ['updated:purged', 'updated:written']);
  });

  test('share few batches, and leave no old revisions behind', async () => {
    const databases = await recording(await newFolder());
    await databases.create('a');
    const started = performance.now();
    for (let at = 0; at < 200; at++) await write(databases, 'a', { _id: String(at) });
    const intervals = Math.ceil((performance.now() - started) / 500);
    const last = await databases.use('a', (db) => db.token(db.updateSeq));
    await vi.waitFor(async () => {
      await databases.use(GLOBAL_CHANGES, async (db) => {
        const record = db.get('updated:a');
        expect(record?.revsInfo(record.winner)).toHaveLength(1);
        // The first is told at once; then no more than one in each interval.
        expect(Number.parseInt(record?.winner ?? '', 10)).toBeLessThanOrEqual(intervals + 2);
        expect(await db.info()).toMatchObject({
          docCount: 2,
          sizes: { external: expect.any(Number) as number },
        });
      });
    }, CEILING);
    expect(Number.parseInt(last, 10)).toBe(200);
  });

  test('come after what they tell of is on disk', async () => {
    const databases = await openDatabases(await newFolder(), OPTIONS);
    await databases.create('a');
    await databases.create(GLOBAL_CHANGES);
    await write(databases, 'a', { _id: 'first' });
    await told(databases, ['updated:a']);
    const before = await databases.use(GLOBAL_CHANGES, (db) => db.updateSeq);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const batch = Reflect.get(ClassicLevel.prototype, 'batch') as (this: ClassicLevel) => ChainedBatch;
    vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementationOnce(function (this: ClassicLevel) {
      const made = batch.call(this);
      made.write = after(held, made.write.bind(made));
      return made;
    } as never);
    const writing = write(databases, 'a', { _id: 'second' });
    // Another database's event passes by; it would take this one along.
    await databases.create('b');
    expect(await eventsOf(databases)).toEqual(['updated:a', 'created:b']);
    release();
    await writing;
    await told(databases, ['created:b', 'updated:a']);
    expect(await databases.use(GLOBAL_CHANGES, (db) => db.updateSeq)).toBe(before + 2);
  });

  test('that cannot be written are reported, keep nobody from writing, and are told in the end', async () => {
    const root = await newFolder();
    const reported: string[] = [];
    const log = createLogger({ level: 'error' }, { write: (line: string) => void reported.push(line) });
    const databases = await Databases.open(root, OPTIONS, { ...IDLE, log });
    await databases.create(GLOBAL_CHANGES);
    const failure = new Error('no space left on device');
    for (const method of ['write', 'putLocal'] as const) {
      const original = Reflect.get(LevelDatabase.prototype, method) as (...args: unknown[]) => unknown;
      vi.spyOn(LevelDatabase.prototype, method).mockImplementation(function (
        this: LevelDatabase,
        ...args: unknown[]
      ) {
        return this.name === GLOBAL_CHANGES ? Promise.reject(failure) : original.apply(this, args);
      } as never);
    }
    expect(await databases.create('a')).toBe(true);
    await write(databases, 'a', { _id: 'x' });
    expect(reported).not.toEqual([]);
    for (const line of reported) expect(line).toContain(failure.message);
    vi.restoreAllMocks();
    await databases.close();
    expect(await eventsOf(await openDatabases(root))).toEqual(['created:a', 'updated:a']);
  });
});

describe('after a crash', () => {
  test('databases that had changed are told of once more, and only those', async () => {
    const root = await newFolder();
    const databases = await openDatabases(root);
    for (const name of ['written', 'read']) await databases.create(name);
    await databases.create(GLOBAL_CHANGES);
    await write(databases, 'written', { _id: 'x' });
    await databases.create('made');
    await databases.use('read', (db) => db.info());
    await told(databases, ['updated:written', 'created:made']);
    const again = await afterCrash(root);
    expect(await eventsOf(again)).toEqual(['created:made', 'updated:made', 'updated:written']);
    expect(await marksOf(again)).toEqual([]);
  });

  test('no write that was acknowledged goes untold', async () => {
    const root = await newFolder();
    const databases = await recording(root);
    await databases.create('a');
    // The first event is written at once, those of the next half second are not.
    await write(databases, 'a', { _id: 'x' });
    await told(databases, ['created:a', 'updated:a']);
    const before = await databases.use(GLOBAL_CHANGES, (db) => db.updateSeq);
    await write(databases, 'a', { _id: 'y' });
    const again = await afterCrash(root);
    const events = await again.use(GLOBAL_CHANGES, (db) => feedOf(db, before));
    expect(events.map(({ id }) => id)).toEqual(['updated:a']);
  });

  test.each([
    // It may be older than the events.
    { there: true, told: [] as const, expected: ['updated:a'] },
    { there: true, told: ['created'] as const, expected: ['created:a', 'updated:a'] },
    { there: true, told: ['created', 'deleted'] as const, expected: ['deleted:a', 'created:a'] },
    { there: false, told: ['created'] as const, expected: ['created:a', 'deleted:a'] },
    { there: false, told: ['created', 'deleted'] as const, expected: ['created:a', 'deleted:a'] },
    // It may never have been: that does no harm.
    { there: false, told: [] as const, expected: ['deleted:a'] },
  ])('a database that is there: $there, and told of: $told', async ({ there, told: before, expected }) => {
    const root = await newFolder();
    const databases = await Databases.open(root, OPTIONS, IDLE);
    if (there) await databases.create('a');
    await databases.create(GLOBAL_CHANGES);
    await databases.use(GLOBAL_CHANGES, async (db) => {
      await put(db, ...before.map((event) => ({ _id: `${event}:a` })));
      await db.putLocal('_local/changing:a', undefined, '');
    });
    await databases.close();
    const again = await openDatabases(root);
    expect(await eventsOf(again)).toEqual(expected);
  });
});

test('a clean end leaves nothing to be told again', async () => {
  const root = await newFolder();
  const databases = await Databases.open(root, OPTIONS, IDLE);
  await databases.create(GLOBAL_CHANGES);
  await databases.create('a');
  await databases.create('b');
  await databases.delete('b');
  await write(databases, 'a', { _id: 'x' });
  await write(databases, 'a', { _id: 'y' });
  await databases.close();
  const again = await openDatabases(root);
  expect(await marksOf(again)).toEqual([]);
  expect(await eventsOf(again)).toEqual(['created:a', 'created:b', 'deleted:b', 'updated:a']);
  expect(await again.use(GLOBAL_CHANGES, (db) => db.updateSeq)).toBeLessThanOrEqual(5);
});

test('an admin who changes or removes events does not stop them', async () => {
  const databases = await recording(await newFolder());
  await databases.create('a');
  await databases.use(GLOBAL_CHANGES, async (db) => {
    const record = db.get('created:a');
    await put(db, { _id: 'created:a', _rev: record?.winner ?? '', _deleted: true });
  });
  await databases.delete('a');
  await databases.create('a');
  expect(await eventsOf(databases)).toEqual(['deleted:a', 'created:a']);
});

test('their database can be deleted and made while it is being closed, though events are due', async () => {
  const databases = await openDatabases(await newFolder(), { ...OPTIONS, maxOpen: 1 });
  await databases.create(GLOBAL_CHANGES);
  await databases.create('a');
  let goOn = (): void => undefined;
  const moment = new Promise<void>((resolve) => (goOn = resolve));
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called below with its own object
  const { close } = ClassicLevel.prototype;
  vi.spyOn(ClassicLevel.prototype, 'close').mockImplementation(async function (this: ClassicLevel) {
    if (this.location.endsWith(GLOBAL_CHANGES)) await moment;
    return close.call(this);
  });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await write(databases, 'a', { _id: 'x' });
  // Somebody has used another one since: theirs is closed.
  await write(databases, 'a', { _id: 'y' });
  const [deleted, made] = [databases.delete(GLOBAL_CHANGES), databases.create(GLOBAL_CHANGES)];
  vi.runOnlyPendingTimers();
  vi.useRealTimers();
  goOn();
  expect(await Promise.all([deleted, made])).toEqual([true, true]);
});

test('one line says that they cannot be written, not one for each write', async () => {
  const lines: string[] = [];
  const log = createLogger({ level: 'error' }, { write: (line) => void lines.push(line) });
  const databases = await openDatabases(await newFolder(), OPTIONS, { ...IDLE, log });
  await databases.create(GLOBAL_CHANGES);
  await databases.create('a');
  vi.spyOn(LevelDatabase.prototype, 'putLocal').mockRejectedValue(new Error('no room'));
  for (const name of ['b', 'c', 'd']) await databases.create(name);
  expect(lines).toHaveLength(1);
});

test('their database is not there where it could not be set up, and can be made', async () => {
  const databases = await openDatabases(await newFolder());
  vi.spyOn(LevelDatabase.prototype, 'setRevsLimit').mockRejectedValueOnce(new Error('no room'));
  await expect(databases.create(GLOBAL_CHANGES)).rejects.toThrow('no room');
  expect(databases.exists(GLOBAL_CHANGES)).toBe(false);
  expect(await databases.create(GLOBAL_CHANGES)).toBe(true);
});
