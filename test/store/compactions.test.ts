import { expect, onTestFinished, test, vi } from 'vitest';
import { createLogger } from '../../src/observe/log.js';
import { Tasks, type ShownTask } from '../../src/observe/tasks.js';
import { type CompactionOptions, Compactions } from '../../src/store/compactions.js';
import type { Background, Databases } from '../../src/store/databases.js';
import type { Database } from '../../src/store/types/database.js';
import { msUntilOpen } from '../../src/store/window.js';
import { attach, bytesOf } from '../support/attachments.js';
import { body, IDLE, newFolder, openDatabases, put, QUICK } from '../support/store.js';

/** What happens in the background, with what it logs. */
function background(options: Partial<CompactionOptions>): Background & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const log = createLogger({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line) as Line) });
  const compaction = { ...IDLE.compaction, automatic: true, minSize: 10_000, ...options };
  return { compaction, tasks: new Tasks(), log, lines };
}

interface Line {
  readonly msg: string;
  readonly database: string;
  readonly gained?: number;
}

const said = (lines: readonly Line[], msg: string): string[] =>
  lines.filter((line) => line.msg === msg).map(({ database }) => database);

const begun = (lines: readonly Line[]): string[] => said(lines, 'a compaction begins');
const ended = (lines: readonly Line[]): string[] => said(lines, 'a compaction has ended');

/** Writes one document again and again. */
async function overwrite(db: Database, times: number, length = 2000): Promise<void> {
  for (let n = 0; n < times; n++) {
    const rev = db.get('a')?.winner;
    await put(db, { _id: 'a', n, text: 'x'.repeat(length), ...(rev !== undefined && { _rev: rev }) });
  }
}

const bodies = (databases: Databases, name: string): Promise<number> =>
  databases.use(
    name,
    (db) => (db.get('a') as { bodySeqs?: Map<string, number> } | undefined)?.bodySeqs?.size ?? 0,
  );

test('a database is compacted by itself when it stores too many times what is active', async () => {
  const { lines, ...rest } = background({});
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  await databases.create('db');
  await databases.use('db', (db) => overwrite(db, 1, 9000));
  await databases.use('db', (db) => overwrite(db, 20));
  await vi.waitFor(() => expect(ended(lines)).toEqual(['db']), 30_000);
  expect(await bodies(databases, 'db')).toBe(1);
  expect(lines.find(({ msg }) => msg === 'a compaction has ended')?.gained).toBeTypeOf('number');
  // It is not worth it again.
  await databases.use('db', (db) => put(db, { _id: 'b' }));
  expect(begun(lines)).toEqual(['db']);
});

test.each([
  ['it is small', { minSize: 1_000_000 }],
  ['a compaction would drop little', { minRatio: 1000, minSlack: 1_000_000 }],
  ['nobody wants it', { automatic: false }],
  ['it is not the time', closedNow()],
] as const)('it is left alone where %s', async (_why, options) => {
  const { lines, ...rest } = background(options);
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  await databases.create('db');
  await databases.use('db', (db) => overwrite(db, 20));
  await databases.use('db', (db) => put(db, { _id: 'b' }));
  expect(lines).toEqual([]);
  expect(await bodies(databases, 'db')).toBe(20);
});

/** A window that is closed for the next hours. */
function closedNow(): { from: string; to: string } {
  const hour = new Date().getUTCHours();
  const at = (later: number): string => `${String((hour + later) % 24)}:00`;
  return { from: at(12), to: at(13) };
}

test('it is, whatever the ratio, where a compaction would drop much', async () => {
  const { lines, ...rest } = background({ minRatio: 1000, minSlack: 20_000 });
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  await databases.create('db');
  await databases.use('db', (db) => overwrite(db, 20));
  await vi.waitFor(() => expect(ended(lines)).toEqual(['db']), 30_000);
});

test('what was purged, or only attached to old revisions, is worth a compaction as well', async () => {
  const { lines, ...rest } = background({ minSize: 50_000 });
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  for (const name of ['purged', 'attached']) await databases.create(name);
  await databases.use('purged', async (db) => {
    await attach(db, 'a', { f: bytesOf(100_000) });
    await db.purge(new Map([['a', [db.get('a')?.winner ?? '']]]));
  });
  await databases.use('attached', async (db) => {
    await attach(db, 'a', { f: bytesOf(100_000) });
    await put(db, { _id: 'a', _rev: db.get('a')?.winner ?? '' });
  });
  await vi.waitFor(() => expect(ended(lines).sort()).toEqual(['attached', 'purged']), 30_000);
});

test('it is left alone for a while after a compaction', async () => {
  const { lines, ...rest } = background({ staleness: 60 });
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  await databases.create('db');
  await databases.use('db', (db) => overwrite(db, 20));
  await vi.waitFor(() => expect(ended(lines)).toEqual(['db']), 30_000);
  await databases.use('db', (db) => overwrite(db, 20));
  await databases.use('db', () => undefined);
  expect(begun(lines)).toEqual(['db']);
  // Not when somebody asks for it.
  await databases.compact('db');
  expect(ended(lines)).toEqual(['db', 'db']);
});

test('it stays due while it is closed, and when the server starts again', async () => {
  const root = await newFolder();
  const first = await openDatabases(root);
  await first.create('db');
  await first.use('db', (db) => overwrite(db, 20));
  await first.close();
  const { lines, ...rest } = background({});
  const again = await openDatabases(root, QUICK, rest);
  expect(lines).toEqual([]);
  await again.use('db', (db) => body(db, 'a'));
  await vi.waitFor(() => expect(ended(lines)).toEqual(['db']), 30_000);
});

test('only so many run at once, and the one with most to give back is next', async () => {
  const { compaction: options, tasks, log } = background({ concurrency: 2 });
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const use = (name: string): Promise<void> => {
    begun.push(name);
    return new Promise((resolve) => ends.push(resolve));
  };
  const compactions = new Compactions({ options, tasks, log, use });
  for (const [name, stored] of Object.entries({ a: 50_000, b: 30_000, c: 40_000, d: 60_000, e: 20_000 }))
    compactions.consider(name, { stored, active: 1000 });
  expect(begun).toEqual(['a', 'b']);
  for (const next of ['d', 'c', 'e']) {
    ends.shift()?.();
    await vi.waitFor(() => expect(begun.at(-1)).toBe(next), 30_000);
  }
  expect(begun).toHaveLength(5);
  const closed = compactions.close();
  for (const end of ends) end();
  await closed;
});

test('one that nobody uses is opened for it', async () => {
  const { lines, ...rest } = background({});
  const databases = await openDatabases(await newFolder(), { ...QUICK, maxOpen: 1 }, rest);
  const names = ['one', 'two', 'three'];
  for (const name of names) await databases.create(name);
  await Promise.all(names.map((name) => databases.use(name, (db) => overwrite(db, 20))));
  await vi.waitFor(() => expect(ended(lines).sort()).toEqual([...names].sort()), 30_000);
});

test('one that runs shows as a task, and ends when the databases are closed', async () => {
  const { lines, ...rest } = background({ automatic: false });
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  await databases.create('db');
  const ids = Array.from({ length: 3000 }, (_, n) => `d${String(n)}`);
  await databases.use('db', async (db) => {
    await put(db, ...ids.map((_id) => ({ _id })));
    await put(db, ...ids.map((_id) => ({ _id, _rev: db.get(_id)?.winner ?? '' })));
  });
  const seen: ShownTask[] = [];
  const compaction = databases.compact('db');
  const joined = databases.compact('db');
  await vi.waitFor(() => {
    seen.push(...rest.tasks.list());
    expect(seen.length).toBeGreaterThan(0);
  }, 30_000);
  const [task] = seen;
  expect(task).toMatchObject({
    type: 'database_compaction',
    database: 'db',
    phase: 'document_copy',
    pid: '<0.1.0>',
    started_on: expect.any(Number) as number,
    updated_on: expect.any(Number) as number,
  });
  expect(rest.tasks.list()).toHaveLength(1);
  await databases.close();
  await Promise.all([compaction, joined]);
  expect(rest.tasks.list()).toEqual([]);
  expect(said(lines, 'a compaction was stopped')).toEqual(['db']);
});

test('one of a database that is deleted meanwhile, or is not there, harms nobody', async () => {
  const { lines, ...rest } = background({});
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  await databases.create('db');
  await databases.use('db', (db) => overwrite(db, 20));
  await databases.delete('db');
  await expect(databases.compact('db')).rejects.toMatchObject({ status: 404 });
  await databases.create('db');
  await databases.use('db', (db) => overwrite(db, 20));
  await vi.waitFor(() => expect(ended(lines).length).toBeGreaterThan(0), 30_000);
  expect(said(lines, 'a compaction failed')).toEqual([]);
});

test('the window of a day may lie around midnight', () => {
  const at = (time: string): Date => new Date(`2026-03-01T${time}:30.000Z`);
  const minutes = (from: string, to: string, time: string): number =>
    msUntilOpen({ from, to }, at(time)) / 60_000;
  expect(minutes('00:00', '24:00', '13:00')).toBe(0);
  expect(minutes('02:30', '04:30', '02:30')).toBe(0);
  expect(minutes('02:30', '04:30', '04:30')).toBe(22 * 60 - 0.5);
  expect(minutes('02:30', '04:30', '01:00')).toBe(90 - 0.5);
  expect(minutes('23:30', '3:52', '03:30')).toBe(0);
  expect(minutes('23:30', '3:29', '03:29')).toBe(20 * 60 + 1 - 0.5);
});

test('begins when its window opens', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: new Date('2026-03-01T01:59:00Z') });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const { lines, ...rest } = background({ from: '02:00', to: '03:00' });
  const databases = await openDatabases(await newFolder(), QUICK, rest);
  await databases.create('db');
  await databases.use('db', (db) => overwrite(db, 20));
  expect(lines).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect(begun(lines)).toEqual(['db']);
  await databases.compact('db');
  expect(ended(lines)).toEqual(['db']);
});
