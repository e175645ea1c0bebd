import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openFeed } from '../../src/changes/feed.js';
import { CouchError } from '../../src/errors.js';
import { Databases, type StoreOptions } from '../../src/store/databases.js';
import { Transaction } from '../../src/store/transaction.js';
import type { Database } from '../../src/store/types/database.js';
import type { AttachmentEdit, EditResult } from '../../src/store/types/edits.js';
import { WriteGate } from '../../src/store/write-gate.js';
import { Writer } from '../../src/store/writer.js';
import {
  attach,
  bytesOf,
  data,
  LIMITS,
  onDisk,
  pieces,
  problemsOf,
  readAll,
  write,
} from '../support/attachments.js';
import { Faults, type Operation } from '../support/faulty-level.js';
import {
  body,
  feedOf,
  IDLE,
  listAll,
  newFolder,
  openDatabase,
  put,
  QUICK,
  replicate,
  revOf,
} from '../support/store.js';
import { Random, testSeed } from '../system/support/random.js';

beforeEach(() => {
  // What failed is tried again after a while, which is over at once where the test says so.
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const laterOn = (): void => {
  vi.advanceTimersByTime(10_000);
};

async function setUp(options: Partial<StoreOptions> = {}): Promise<{
  faults: Faults;
  databases: Databases;
  folder: string;
}> {
  const faults = new Faults();
  const root = await newFolder();
  const databases = await Databases.open(root, { ...QUICK, newLevel: faults.newLevel, ...options }, IDLE);
  await databases.create('db');
  return { faults, databases, folder: root };
}

/** The status of what was answered, 200 for anything but an error. */
const statusOf = (attempt: Promise<unknown>): Promise<number> =>
  attempt.then(
    () => 200,
    (error: unknown) => (error instanceof CouchError ? error.status : 0),
  );

const once = (wanted: Operation): ((operation: Operation) => boolean) => {
  let isDone = false;
  return (operation) => {
    if (isDone || operation !== wanted) return false;
    isDone = true;
    return true;
  };
};

describe('a database whose write failed', () => {
  test('answers reads, and takes writes again at once where it can be opened', async () => {
    const { faults, databases } = await setUp();
    await databases.use('db', (db) => put(db, { _id: 'old' }));
    faults.strikes = once('write');
    expect(await statusOf(databases.use('db', (db) => put(db, { _id: 'a' })))).toBe(500);
    expect(await databases.use('db', (db) => body(db, 'old'))).toBeDefined();
    expect(await statusOf(databases.use('db', (db) => put(db, { _id: 'b' })))).toBe(200);
    await databases.close();
  });

  test('shows branches as they are on the disk, whoever looked at them while it failed', async () => {
    const { faults, databases } = await setUp();
    await databases.use('db', (db) => replicate(db, { _id: 'a', _rev: '1-a' }, { _id: 'a', _rev: '1-b' }));
    const look = (): Promise<readonly string[]> =>
      databases.use('db', (db) => Promise.resolve((db.get('a')?.leaves() ?? []).map(({ rev }) => rev)));
    const add = (_rev: string): Promise<number> =>
      statusOf(databases.use('db', (db) => replicate(db, { _id: 'a', _rev })));
    await look();
    for (const [at, operation] of (['write', 'sync'] as const).entries()) {
      faults.strikes = once(operation);
      const adding = add(`2-${operation}`);
      await look();
      expect(await adding).toBe(500);
      laterOn();
      const before = await look();
      expect(before).toContain('1-b');
      expect(await add(`1-${String(at)}`)).toBe(200);
      expect(await look()).toEqual([...before, `1-${String(at)}`].sort().reverse());
    }
    await databases.close();
  });

  test('and that cannot be opened again says so, and heals at a later request, be it only a read', async () => {
    const { faults, databases } = await setUp();
    await databases.use('db', (db) => put(db, { _id: 'old' }));
    faults.strikes = (operation) => operation === 'write' || operation === 'open';
    const [write, waiting] = [{ _id: 'a' }, { _id: 'b' }].map((doc) =>
      statusOf(databases.use('db', (db) => put(db, doc))),
    );
    expect([await write, await waiting]).toEqual([500, 500]);
    const read = (): Promise<unknown> => databases.use('db', (db) => body(db, 'old'));
    await expect(read()).rejects.toMatchObject({ status: 500, error: 'internal_server_error' });
    const opened = faults.counts.get('open');
    // Not at every request.
    await expect(read()).rejects.toMatchObject({ status: 500 });
    expect(faults.counts.get('open')).toBe(opened);
    faults.strikes = undefined;
    laterOn();
    expect(await read()).toMatchObject({ _id: 'old' });
    expect(await statusOf(databases.use('db', (db) => put(db, { _id: 'c' })))).toBe(200);
    await databases.close();
  });

  test('for want of room answers 507 and stays open for reads until there is some', async () => {
    const { faults, databases } = await setUp();
    await databases.use('db', (db) => put(db, { _id: 'old' }));
    faults.choose = () => 1;
    faults.strikes = (operation) => operation === 'write';
    for (const id of ['a', 'b']) {
      await expect(databases.use('db', (db) => put(db, { _id: id }))).rejects.toMatchObject({
        status: 507,
        error: 'insufficient_storage',
      });
    }
    expect(await databases.use('db', (db) => listAll(db))).toMatchObject({ ids: ['old'] });
    faults.strikes = undefined;
    laterOn();
    expect(await statusOf(databases.use('db', (db) => put(db, { _id: 'c' })))).toBe(200);
    expect(faults.writesAfterFailure).toBe(0);
    await databases.close();
  });

  test('while an attachment was taken in acknowledges nothing more before it was opened again', async () => {
    const { faults, databases } = await setUp({ chunkAbove: 1000 });
    faults.strikes = once('write');
    expect(await statusOf(databases.use('db', (db) => attach(db, 'a', { f: bytesOf(9000) })))).not.toBe(200);
    expect(await statusOf(databases.use('db', (db) => put(db, { _id: 'b' })))).toBe(200);
    expect(faults.writesAfterFailure).toBe(0);
    await databases.close();
  });

  test('while attachments waited to be stored keeps none of them for nobody', async () => {
    const { faults, databases, folder } = await setUp();
    await databases.use('db', async (db) => {
      const staging = db.stageAttachments();
      for (const seed of [1, 2]) await staging.take(pieces(bytesOf(600_000, seed)), LIMITS);
      faults.strikes = once('write');
      const failing = statusOf(put(db, { _id: 'a' }));
      // It has the first ones stored, in the next commit.
      await staging.take(pieces(bytesOf(1, 3)), LIMITS);
      expect(await failing).toBe(500);
      await staging.release();
    });
    await databases.close();
    expect(await onDisk(join(folder, 'databases', 'db'))).toMatchObject({ uploads: 0, binaries: [] });
  });

  test('heals although nothing but large attachments is sent', async () => {
    const { faults, databases } = await setUp({ chunkAbove: 1000 });
    const send = (): Promise<number> =>
      statusOf(databases.use('db', (db) => attach(db, 'a', { f: bytesOf(9000) })));
    faults.choose = () => 1;
    faults.strikes = once('write');
    // The second one has it opened again, and was begun before that.
    expect([await send(), await send(), await send()]).toEqual([507, 503, 200]);
    expect(faults.writesAfterFailure).toBe(0);
    await databases.close();
  });

  test('while chunks were removed acknowledges nothing more before it was opened again, and removes them then', async () => {
    const { faults, databases, folder } = await setUp({ chunkAbove: 1000 });
    await databases.use('db', async (db) => {
      const rev = revOf(await attach(db, 'a', { f: bytesOf(9000) }));
      let writes = 0;
      faults.strikes = (operation) => operation === 'write' && ++writes === 3;
      await put(db, { _id: 'a', _rev: rev, _deleted: true });
      await db.compact();
      await vi.waitFor(() => {
        expect(faults.counts.get('write')).toBe(1);
      });
      expect(await statusOf(put(db, { _id: 'b' }))).toBe(200);
    });
    expect(faults.writesAfterFailure).toBe(0);
    await databases.close();
    const entries = await onDisk(join(folder, 'databases', 'db'));
    expect(problemsOf(entries)).toEqual([]);
  });

  test('and that was opened anew does not tell those who were at work in it that it is gone', async () => {
    const { faults, databases } = await setUp();
    let goOn: () => void = () => undefined;
    const waiting = new Promise<void>((resolve) => (goOn = resolve));
    const slow = statusOf(
      databases.use('db', async (db) => {
        await waiting;
        await put(db, { _id: 'slow' });
      }),
    );
    faults.strikes = (operation) => operation === 'write' || operation === 'open';
    expect(await statusOf(databases.use('db', (db) => put(db, { _id: 'a' })))).toBe(500);
    await vi.waitFor(() => {
      expect(faults.counts.get('open')).toBe(1);
    });
    faults.strikes = undefined;
    laterOn();
    expect(await statusOf(databases.use('db', (db) => put(db, { _id: 'b' })))).toBe(200);
    goOn();
    expect(await slow).toBe(503);
    await databases.close();
  });
});

test('a body that cannot be read fails the edit that replaces it, and ends no feed', async () => {
  const { faults, databases } = await setUp();
  await databases.use('db', async (db) => {
    const [first] = await put(db, { _id: 'a' });
    const ended = vi.fn();
    db.events.subscribe({ onChanges: () => undefined, onClose: ended });
    let reads = 0;
    // The first one is that of the metadata.
    faults.strikes = (operation) => operation === 'read' && ++reads === 2;
    expect(await statusOf(put(db, { _id: 'a', _rev: revOf(first) }))).toBe(500);
    expect(faults.counts.get('read')).toBe(1);
    expect(await statusOf(put(db, { _id: 'b' }))).toBe(200);
    expect(ended).not.toHaveBeenCalled();
  });
  await databases.close();
});

test('a task that fails leaves nothing behind of those beside it, which are run twice', async () => {
  const { faults, databases, folder } = await setUp({ chunkAbove: 1000 });
  await databases.use('db', async (db) => {
    const staging = db.stageAttachments();
    const takeOne = (seed: number): Promise<unknown> => staging.take(pieces(bytesOf(900, seed)), LIMITS);
    await takeOne(1);
    await takeOne(2);
    let goOn: () => void = () => undefined;
    const gathered = new Promise<void>((resolve) => (goOn = resolve));
    const written = vi.spyOn(WriteGate.prototype, 'run').mockImplementationOnce(async (write) => {
      await gathered;
      await write();
    });
    const submitted = vi.spyOn(Writer.prototype, 'submit');
    vi.spyOn(Transaction.prototype, 'purge').mockImplementationOnce(() => {
      throw new Error('failed');
    });
    const first = put(db, { _id: 'a' });
    await vi.waitFor(() => {
      expect(written).toHaveBeenCalledTimes(1);
    });
    // Meanwhile two attachments wait to be moved to the disk, and a listing to count from a snapshot.
    const others = [first, takeOne(3), listAll(db, { start: 'a' })];
    await vi.waitFor(() => {
      expect(submitted).toHaveBeenCalledTimes(3);
    });
    const failing = db.purge(new Map([['a', ['1-a']]]));
    goOn();
    await expect(failing).rejects.toMatchObject({ status: 500 });
    await Promise.all(others);
    await staging.release();
    expect(faults.resources.size).toBe(0);
  });
  await databases.close();
  expect(problemsOf(await onDisk(join(folder, 'databases', 'db')))).toEqual([]);
});

test('a database that could not be made is not there, and can be made', async () => {
  const { faults, databases, folder } = await setUp();
  faults.strikes = once('write');
  expect(await statusOf(databases.create('other'))).toBeGreaterThanOrEqual(500);
  expect(databases.list()).toEqual(['db']);
  laterOn();
  await databases.close();
  const again = await Databases.open(folder, QUICK, IDLE);
  expect(again.list()).toEqual(['db']);
  expect(await again.create('other')).toBe(true);
  await again.close();
});

/** Older revisions are forgotten, their bodies with them. */
const REVS_LIMIT = 3;

const generation = (rev: string): number => Number.parseInt(rev, 10);

/** What clients of a database were told and have seen, which has to be true for good. */
class Witness {
  /** Id → revisions that were acknowledged or seen. */
  readonly #revs = new Map<string, Set<string>>();
  /** Local documents and the like → the value that was told or seen last, and later ones that may come to light. */
  readonly #values = new Map<string, readonly string[]>();
  /** Id → name → bytes. */
  readonly #attached = new Map<string, Map<string, Buffer>>();
  /** The feed's rows as a client keeps them: id → winner. */
  readonly followed = new Map<string, string>();

  note(id: string, rev: string): void {
    this.#revs.set(id, (this.#revs.get(id) ?? new Set()).add(rev));
  }

  noteAttached(id: string, name: string, bytes: Buffer): void {
    this.#attached.set(id, (this.#attached.get(id) ?? new Map<string, Buffer>()).set(name, bytes));
  }

  /** Takes the attachments of a document out, which are about to be dropped. @returns its id */
  takeAttached(): string | undefined {
    const [id] = this.#attached.keys();
    if (id !== undefined) this.#attached.delete(id);
    return id;
  }

  /** Runs a write of one value: without an answer it may be there or not. */
  async write(name: string, value: string, work: () => Promise<unknown>): Promise<void> {
    this.#values.set(name, [...(this.#values.get(name) ?? ['none']), value]);
    await work();
    this.#values.set(name, [value]);
  }

  #see(name: string, value: string): void {
    const possible = this.#values.get(name) ?? [];
    expect(possible).toContain(value);
    this.#values.set(name, possible.slice(possible.indexOf(value)));
  }

  /** Everything that was told or seen is there; what is there now counts as seen. */
  async check(db: Database): Promise<void> {
    for (const [id, revs] of this.#revs) {
      const record = db.get(id);
      const last = generation(record?.winner ?? '0');
      for (const rev of revs)
        if (generation(rev) > last - REVS_LIMIT) expect(record?.has(rev), `${id}@${rev}`).toBe(true);
    }
    const rows = await feedOf(db);
    for (const { id, revs } of rows) {
      const record = db.get(id);
      expect(record?.leaves().map(({ rev }) => rev)).toEqual(revs);
      for (const rev of revs) this.note(id, rev);
      expect(record && db.read(record, record.winner)).toBeDefined();
    }
    const living = rows.filter(({ deleted }) => !deleted).map(({ id }) => id);
    expect((await listAll(db as never)).ids).toEqual(living.sort());
    expect(await db.info()).toMatchObject({
      docCount: living.length,
      deletedCount: rows.length - living.length,
      updateSeq: db.updateSeq,
    });
    for (const name of this.#values.keys()) {
      if (name === 'security') this.#see(name, (JSON.parse(db.security) as { v?: string }).v ?? 'none');
      else this.#see(name, (JSON.parse(db.getLocal(name)?.text ?? '{"v":"none"}') as { v: string }).v);
    }
    for (const [id, attachments] of this.#attached) {
      const stored = await readAll(db, id);
      for (const [name, bytes] of attachments)
        expect(stored[name]?.equals(bytes), `attachment ${name} of ${id}`).toBe(true);
    }
  }

  /** Follows the feed, and goes on after whatever ends it from where it was. */
  async follow(databases: Databases, signal: AbortSignal): Promise<void> {
    let since = '0';
    while (!signal.aborted) {
      const reading = databases.use('db', async (db) => {
        const query = { ...CONTINUOUS, since: since === '0' ? 0 : db.parseToken(since) };
        for await (const chunk of openFeed(db, query, signal)) {
          for (const line of chunk.split('\n').filter((text) => text !== '')) {
            const row = JSON.parse(line) as {
              seq?: string;
              last_seq?: string;
              id: string;
              changes: { rev: string }[];
            };
            since = row.seq ?? row.last_seq ?? since;
            if (row.seq !== undefined) this.followed.set(row.id, row.changes[0]?.rev ?? '');
          }
        }
      });
      await reading.catch((error: unknown) => {
        if (!isFailure(error)) throw error;
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const CONTINUOUS = {
  feed: 'continuous',
  limit: Infinity,
  descending: false,
  style: 'main_only',
  includeDocs: false,
  conflicts: false,
  heartbeat: 1000,
  timeout: 1000,
} as const;

/** What a client may be answered when something failed; the last are told as a bare 500. */
const isFailure = (error: unknown): boolean =>
  error instanceof CouchError
    ? error.status >= 500
    : error instanceof Error && String((error as { code?: unknown }).code).startsWith('LEVEL_');

/** The revision of a write. @throws what it was answered instead */
function must(result: EditResult | undefined): string {
  if (result?.ok === false) throw result.error;
  return revOf(result);
}

/** Random work on one database. */
class Work {
  #count = 0;
  #isSecuring = false;
  refused = 0;
  done = 0;

  constructor(
    private readonly databases: Databases,
    private readonly random: Random,
    private readonly witness: Witness,
  ) {}

  /** A few things at once. */
  async step(): Promise<void> {
    await Promise.all(Array.from({ length: 1 + this.random.below(4) }, () => this.#attempt()));
  }

  async #attempt(): Promise<void> {
    const number = ++this.#count;
    const work = this.random.pick<(db: Database, number: number) => Promise<void>>([
      this.#create,
      this.#create,
      this.#edit,
      this.#edit,
      this.#attach,
      this.#attachMany,
      this.#drop,
      this.#local,
      this.#secure,
      this.#read,
      this.#compact,
    ]);
    try {
      await this.databases.use('db', (db) => work.call(this, db, number));
      this.done++;
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.refused++;
    }
  }

  async #create(db: Database, number: number): Promise<void> {
    const ids = [0, 1, 2].map((n) => `d${String(number)}-${String(n)}`);
    const results = await put(db, ...ids.map((_id) => ({ _id, v: number })));
    results.forEach((result, at) => {
      this.witness.note(ids[at] ?? '', must(result));
    });
  }

  async #edit(db: Database, number: number): Promise<void> {
    const _id = `shared${String(this.random.below(4))}`;
    const record = db.get(_id);
    const deleted = record !== undefined && !record.deleted && this.random.below(4) === 0;
    const _rev = record === undefined || record.deleted ? undefined : record.winner;
    const [result] = await put(db, { _id, _rev, v: number, ...(deleted ? { _deleted: true } : {}) });
    if (result?.ok === true) this.witness.note(_id, result.rev);
    else expect(result).toMatchObject({ error: { status: 409 } });
  }

  async #attach(db: Database, number: number): Promise<void> {
    const bytes = bytesOf(this.random.pick([10, 500, 5000, 200_000]), number);
    const id = `a${String(number)}`;
    this.witness.note(id, must(await attach(db, id, { f: bytes })));
    this.witness.noteAttached(id, 'f', bytes);
  }

  /** As one request brings them: all but the last are moved to the disk before the document is. */
  async #attachMany(db: Database, number: number): Promise<void> {
    const id = `m${String(number)}`;
    const all = [0, 1, 2, 3].map((at) => [`f${String(at)}`, bytesOf(900, number % 5)] as const);
    const staging = db.stageAttachments();
    try {
      const attachments = new Map<string, AttachmentEdit>();
      for (const [name, bytes] of all) attachments.set(name, data(await staging.take(pieces(bytes), LIMITS)));
      this.witness.note(id, must((await write(db, [{ id, attachments }]))[0]));
      for (const [name, bytes] of all) this.witness.noteAttached(id, name, bytes);
    } finally {
      await staging.release();
    }
  }

  async #drop(db: Database): Promise<void> {
    const _id = this.witness.takeAttached();
    if (_id === undefined) return;
    const _rev = db.get(_id)?.winner;
    this.witness.note(_id, must((await put(db, { _id, _rev, _deleted: true }))[0]));
  }

  async #local(db: Database, number: number): Promise<void> {
    const id = `_local/${String(number % 7)}-${String(number)}`;
    await this.witness.write(id, String(number), () => db.putLocal(id, undefined, `"v":"${String(number)}"`));
  }

  async #secure(db: Database, number: number): Promise<void> {
    // One at a time: which of two comes last is not told.
    if (this.#isSecuring) return;
    this.#isSecuring = true;
    await this.witness
      .write('security', String(number), () => db.setSecurity(`{"v":"${String(number)}"}`))
      .finally(() => {
        this.#isSecuring = false;
      });
  }

  async #read(db: Database): Promise<void> {
    const { total, ids } = await listAll(db, { bodies: true });
    expect(ids).toHaveLength(total);
    await db.pending(this.random.below(20));
  }

  async #compact(db: Database): Promise<void> {
    await db.compact();
  }
}

/** How often, in a thousand, each operation fails. */
const RATES: Readonly<Record<Operation, number>> = { write: 60, sync: 60, read: 10, iterate: 30, open: 200 };

test.each(Array.from({ length: 12 }, (_, at) => testSeed() + at))(
  'whatever fails, nothing acknowledged or seen is lost, and no feed misses a change (seed %i)',
  async (seed) => {
    const random = new Random(seed);
    const { faults, databases, folder } = await setUp({ chunkAbove: 1000 });
    faults.choose = (count) => random.below(count);
    await databases.use('db', (db) => db.setRevsLimit(REVS_LIMIT));
    const witness = new Witness();
    const work = new Work(databases, random, witness);
    const over = new AbortController();
    const following = witness.follow(databases, over.signal);
    for (let step = 0; step < 40; step++) {
      faults.strikes = (operation) => random.below(1000) < RATES[operation];
      await work.step();
      faults.strikes = undefined;
      if (random.below(2) === 0) laterOn();
      await databases
        .use('db', (db) => witness.check(db))
        .catch((error: unknown) => {
          // It could not be opened, and that is not tried again yet.
          if (!(error instanceof CouchError)) throw error;
        });
    }
    laterOn();
    await databases.use('db', (db) => put(db, { _id: 'last' }));
    const rows = await databases.use('db', async (db) => {
      await witness.check(db);
      return feedOf(db);
    });
    await vi.waitFor(() => {
      laterOn();
      expect([...witness.followed].sort()).toEqual(rows.map(({ id, revs: [rev] }) => [id, rev]).sort());
    });
    over.abort();
    await following;
    expect(faults.resources.size).toBe(0);
    await databases.close();
    expect(faults.writesAfterFailure).toBe(0);
    expect(work.refused).toBeGreaterThan(0);
    expect(work.done).toBeGreaterThan(0);
    const reopened = await openDatabase(join(folder, 'databases'));
    await witness.check(reopened);
    await reopened.close();
    // What a failure left behind in the last run is removed by now, too.
    expect(problemsOf(await onDisk(join(folder, 'databases', 'db')))).toEqual([]);
  },
);
