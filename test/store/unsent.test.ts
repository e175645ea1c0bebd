import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { unsent } from '../../src/store/layout.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import type { Database } from '../../src/store/types/database.js';
import type { DocumentEdit, EditResult, Origin } from '../../src/store/types/edits.js';
import { data, take, write } from '../support/attachments.js';
import { feedOf, newFolder, openDatabase, parsed, put, QUICK, replicate, revOf } from '../support/store.js';
import { PouchProcess } from '../support/pouch.js';
import { verified } from '../support/verify.js';

/** The sequences of all rows that wait. */
async function waiting(db: Database, since = 0, pageSize = 1000): Promise<number[]> {
  const seqs: number[] = [];
  for await (const page of db.unsent.rows({ since, pageSize })) seqs.push(...page.map(({ seq }) => seq));
  return seqs;
}

/** The ids of all documents that wait, oldest row first. */
async function idsThatWait(db: Database): Promise<string[]> {
  const seqs = new Set(await waiting(db));
  return (await feedOf(db)).filter(({ seq }) => seqs.has(seq)).map(({ id }) => id);
}

/** Replicated writes, as a pull makes them. */
const pull = (db: Database, ...documents: object[]): Promise<EditResult[]> =>
  db.write(
    documents.map((document) => parsed(document, false)),
    { newEdits: false, origin: 'upstream' },
  );

async function tracked(): Promise<LevelDatabase> {
  const db = await openDatabase(await newFolder());
  await db.trackUnsent(true);
  return db;
}

/** How many entries the index of what waits has. */
async function count(db: LevelDatabase): Promise<number> {
  const level = Reflect.get(db, 'level') as ClassicLevel;
  return (await level.keys({ gte: unsent.start, lt: unsent.end }).all()).length;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('what waits for the upstream', () => {
  test('is nothing where no account is kept', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, { _id: 'a' });
    expect(db.unsent).toMatchObject({ isTracked: false, count: 0 });
    expect(await waiting(db)).toEqual([]);
    expect(await db.unsent.oldest()).toBeUndefined();
  });

  test('are all documents that were there when it began', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, { _id: 'a' }, { _id: 'b' }, { _id: 'c' });
    await db.trackUnsent(true);
    expect(db.unsent.count).toBe(3);
    await db.unsent.sentThrough(2);
    expect(await idsThatWait(db)).toEqual(['c']);
  });

  test('is what was written here, not what was pulled', async () => {
    const db = await tracked();
    await pull(db, { _id: 'a', _rev: '1-a' }, { _id: '_design/d', _rev: '1-a', views: {} });
    expect(db.unsent.count).toBe(0);
    await put(db, { _id: 'b' }, { _id: '_design/e' });
    expect(await idsThatWait(db)).toEqual(['_design/e', 'b']);
  });

  test('are those leaves that were written here and have not gone, as far as that is known', async () => {
    const db = await tracked();
    const leaves = async (...ids: string[]): Promise<Record<string, string[]>> => {
      const records = (await db.getMany(ids)).filter((record) => record !== undefined);
      const found = await db.unsent.leaves(records);
      return Object.fromEntries([...found].map(([id, revs]) => [id, [...revs].sort()]));
    };
    await pull(db, { _id: 'a', _rev: '1-a' }, { _id: 'a', _rev: '1-c' }, { _id: 'b', _rev: '1-a' });
    await replicate(db, { _id: 'a', _rev: '1-b' });
    expect(await leaves('a', 'b', 'none')).toEqual({ a: ['1-b'] });
    await db.unsent.voidAll();
    expect(await leaves('a', 'b')).toEqual({ a: ['1-b'] });
    // Nobody knows what of it waited.
    await replicate(db, { _id: 'b', _rev: '1-b' });
    expect(await leaves('a', 'b')).toEqual({ a: ['1-b'], b: ['1-a', '1-b'] });
    const before = (await db.getMany(['a'])).filter((record) => record !== undefined);
    await db.unsent.sentThrough(db.updateSeq);
    expect(await leaves('a', 'b')).toEqual({});
    await put(db, { _id: 'a', _rev: '1-c', n: 2 });
    expect((await db.unsent.leaves(before)).get('a')).toEqual(new Set(['1-a', '1-b', '1-c']));
    // Rows that were written together have one entry.
    await replicate(db, ...Array.from({ length: 40 }, (_, at) => ({ _id: `n${at + 10}`, _rev: '1-a' })));
    await db.unsent.sentThrough(db.updateSeq - 20);
    expect(await leaves('n10', 'n29', 'n30', 'n49')).toEqual({ n30: ['1-a'], n49: ['1-a'] });
    await db.trackUnsent(false);
    expect(await leaves('n49')).toEqual({});
  });

  test('is a document that was edited here after it was pulled', async () => {
    const db = await tracked();
    await pull(db, { _id: 'a', _rev: '1-a' }, { _id: 'b', _rev: '1-a' });
    await put(db, { _id: 'a', _rev: '1-a', n: 2 });
    expect(await idsThatWait(db)).toEqual(['a']);
  });

  test('is a document that waited, whatever is pulled into it', async () => {
    const db = await tracked();
    await put(db, { _id: 'a' });
    await pull(db, { _id: 'a', _rev: '5-a' });
    expect(await idsThatWait(db)).toEqual(['a']);
    await db.unsent.sentThrough(db.updateSeq);
    await pull(db, { _id: 'a', _rev: '6-a' });
    expect(db.unsent.count).toBe(0);
  });

  test('is what one commit brings from both sides, whichever comes first', async () => {
    const db = await tracked();
    const edit = (id: string, rev: string): DocumentEdit => parsed({ _id: id, _rev: rev }, false);
    await Promise.all([
      db.write([edit('a', '1-a'), edit('c', '1-a')], { newEdits: false, origin: 'upstream' }),
      db.write([edit('a', '1-b'), edit('b', '1-b')], { newEdits: false, origin: 'local' }),
      db.write([edit('b', '1-a')], { newEdits: false, origin: 'upstream' }),
    ]);
    expect(await idsThatWait(db)).toEqual(['a', 'b']);
  });

  test('is nothing that was there already, whoever sends it again', async () => {
    const db = await tracked();
    await pull(db, { _id: 'a', _rev: '1-a' });
    await db.write([parsed({ _id: 'a', _rev: '1-a' }, false)], { newEdits: false });
    expect(db.unsent.count).toBe(0);
  });

  test('are documents with attachments too', async () => {
    const db = await tracked();
    const taken = await take(db, Buffer.from('bytes'));
    await write(db, [{ id: 'a', attachments: { f: data(taken) } }]);
    expect(await idsThatWait(db)).toEqual(['a']);
  });

  test('is no document that was purged, and nothing that a purge leaves of one that was sent', async () => {
    const db = await tracked();
    await put(db, { _id: 'a' }, { _id: 'b' });
    await pull(db, { _id: 'c', _rev: '1-a' }, { _id: 'c', _rev: '1-b' });
    await db.purge(new Map([['a', [db.get('a')?.winner ?? '']]]));
    await db.purge(new Map([['c', ['1-b']]]));
    expect(await idsThatWait(db)).toEqual(['b']);
    expect(db.unsent.count).toBe(1);
  });

  test('is everything once nobody knows what the upstream has', async () => {
    const db = await tracked();
    await pull(db, { _id: 'a', _rev: '1-a' }, { _id: 'b', _rev: '1-a' });
    await put(db, { _id: 'c' });
    await db.unsent.sentThrough(db.updateSeq);
    await db.unsent.voidAll();
    expect(await idsThatWait(db)).toEqual(['a', 'b', 'c']);
    await pull(db, { _id: 'a', _rev: '2-a' });
    expect(await idsThatWait(db)).toEqual(['b', 'c', 'a']);
  });

  test('is counted once where it waits for two reasons', async () => {
    const db = await tracked();
    await put(db, { _id: 'a' }, { _id: 'b' }, { _id: 'c' });
    await db.unsent.voidAll();
    await db.unsent.sentThrough(1);
    expect(db.unsent.count).toBe(2);
    await db.unsent.sentThrough(3);
    expect(db.unsent.count).toBe(0);
  });

  test('is read in pages, from a sequence on', async () => {
    const db = await tracked();
    await put(db, { _id: 'a' }, { _id: 'b' }, { _id: 'c' });
    await db.unsent.voidAll();
    await put(db, { _id: 'd' }, { _id: 'e' });
    expect(await waiting(db, 1, 1)).toEqual([2, 3, 4, 5]);
    expect(await waiting(db, 4, 2)).toEqual([5]);
  });

  test('is nothing any more once the account ended, and everything when it begins again', async () => {
    const db = await tracked();
    await put(db, { _id: 'a' });
    await db.trackUnsent(false);
    expect(db.unsent).toMatchObject({ isTracked: false, count: 0 });
    await put(db, { _id: 'b' });
    await db.trackUnsent(true);
    expect(await idsThatWait(db)).toEqual(['a', 'b']);
  });

  test('is as old as the document that has waited longest, however often it was written since', async () => {
    const db = await tracked();
    const clock = vi.spyOn(Date, 'now').mockReturnValue(1000);
    const [first] = await put(db, { _id: 'a' });
    clock.mockReturnValue(2000);
    await put(db, { _id: 'b' });
    clock.mockReturnValue(3000);
    await put(db, { _id: 'a', _rev: revOf(first), n: 2 });
    expect(await db.unsent.oldest()).toEqual({ time: 1000, seq: 1 });
    await db.unsent.sentThrough(2);
    expect(await db.unsent.oldest()).toEqual({ time: 1000, seq: 1 });
    await db.unsent.voidAll();
    expect(await db.unsent.oldest()).toEqual({ time: 1000, seq: 0 });
    await db.unsent.sentThrough(db.updateSeq);
    expect(await db.unsent.oldest()).toBeUndefined();
  });

  test('is in blocks where much is written at once, each row of which comes and goes for itself', async () => {
    const db = await tracked();
    const ids = Array.from({ length: 100 }, (_, n) => `d${String(n).padStart(2, '0')}`);
    const first = await put(db, ...ids.map((_id) => ({ _id })));
    expect(await count(db)).toBeLessThan(30);
    // Sequence 21 is in the middle of a block.
    await put(db, { _id: 'd20', _rev: revOf(first[20]), n: 2 });
    expect(db.unsent.count).toBe(100);
    await db.unsent.sentThrough(24);
    expect(db.unsent.count).toBe(77);
    expect(await waiting(db)).toEqual([...Array.from({ length: 76 }, (_, n) => n + 25), 101]);
    expect(await db.unsent.oldest()).toMatchObject({ seq: 21 });
    const second = ids.slice(30).map((_id, at) => ({ _id, _rev: revOf(first[at + 30]), n: 2 }));
    await put(db, ...second);
    expect(db.unsent.count).toBe(77);
    expect(await count(db)).toBeLessThan(30);
    await db.unsent.sentThrough(db.updateSeq);
    expect(await count(db)).toBe(0);
    expect(db.unsent.count).toBe(0);
  });

  test('is as old as it is where a part of a block was sent', async () => {
    const db = await tracked();
    await put(db, ...Array.from({ length: 40 }, (_, n) => ({ _id: String(n) })));
    await db.unsent.sentThrough(20);
    expect(await db.unsent.oldest()).toMatchObject({ seq: 21 });
  });

  test('waits through more documents than one commit lets go of', async () => {
    const db = await tracked();
    await put(db, ...Array.from({ length: 2500 }, (_, n) => ({ _id: String(n) })));
    await db.unsent.sentThrough(2400);
    expect(db.unsent.count).toBe(100);
    expect((await waiting(db))[0]).toBe(2401);
    await db.unsent.sentThrough(Infinity);
    expect(db.unsent.count).toBe(0);
  });
});

describe('after another program wrote to a database', () => {
  test('what that wrote waits, and nothing else that did not', async () => {
    const folder = await newFolder();
    const during = async <T>(work: (db: LevelDatabase) => T | Promise<T>): Promise<T> => {
      const db = await LevelDatabase.open('db', join(folder, 'db'), join(folder, 'db.copy'), QUICK);
      try {
        return await work(db);
      } finally {
        await db.close();
      }
    };
    await during(async (db) => {
      await db.trackUnsent(true);
      await pull(db, { _id: 'pulled', _rev: '1-a' }, { _id: 'edited', _rev: '1-a' });
      await put(db, { _id: 'here' }, { _id: 'here and there' });
      await put(db, ...Array.from({ length: 60 }, (_, n) => ({ _id: `block ${String(n + 10)}` })));
    });
    const pouch = new PouchProcess();
    try {
      const path = join(folder, 'db');
      await pouch.open(path);
      await pouch.put(path, { _id: 'edited', _rev: '1-a' });
      for (const _id of ['here and there', 'block 30'])
        await pouch.bulkDocs(path, [{ _id, _rev: '5-a' }], { new_edits: false });
      await pouch.put(path, { _id: 'there' });
      await pouch.close(path);
    } finally {
      await pouch.stop();
    }
    const blocks = Array.from({ length: 60 }, (_, n) => `block ${String(n + 10)}`);
    const still = blocks.filter((id) => id !== 'block 30');
    const waits = ['here', ...still, 'edited', 'here and there', 'block 30', 'there'];
    expect(await during(idsThatWait)).toEqual(waits);
    expect(await during((db) => db.unsent.count)).toBe(64);
    expect(await verified(folder)).toEqual([]);
  });
});

const IDS = ['a', 'b', '_design/c', '語'];
const origin = fc.constantFrom<Origin>('local', 'upstream');

const one = fc.record({
  id: fc.constantFrom(...IDS),
  /** Which of the known revisions it goes on from; a new one where it is too high. */
  parent: fc.nat(4),
  /** Known already, or with more of its ancestors. */
  again: fc.nat(5).map((n) => n === 0),
  deleted: fc.nat(4).map((n) => n === 0),
});

const batch = fc.record({ origin, edits: fc.array(one, { minLength: 1, maxLength: 3 }) });

/** Blocks of sequences are written as a whole by these alone. */
const many = fc.record({ many: origin, from: fc.nat(60), count: fc.integer({ min: 10, max: 60 }) });

const step = fc.oneof(
  { weight: 4, arbitrary: many },
  /** What is written at once is one group commit. */
  { weight: 8, arbitrary: fc.record({ write: fc.array(batch, { minLength: 1, maxLength: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ purge: fc.constantFrom(...IDS) }) },
  { weight: 3, arbitrary: fc.record({ sent: fc.double({ min: 0, max: 1.2, noNaN: true }) }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('void' as const, 'reopen' as const, 'compact' as const, 'track' as const),
  },
);

type Edit = typeof one extends fc.Arbitrary<infer T> ? T : never;
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A document as a plain list of its revisions. */
interface Known {
  seq: number;
  waits: boolean;
  /** The first sequence that it had since it waits; undefined until it is known. */
  since: number | undefined;
  /** Revision → whether it came without its parent. */
  readonly revs: Map<string, 'root' | 'whole'>;
}

class Model {
  readonly documents = new Map<string, Known>();
  isTracked = false;
  #number = 0;

  /** Makes an edit, and notes what comes of it. */
  draft(by: Origin, { id, parent, again, deleted }: Edit): DocumentEdit {
    const known: Known = this.documents.get(id) ?? {
      seq: 0,
      waits: false,
      since: undefined,
      revs: new Map(),
    };
    this.documents.set(id, known);
    const base = [...known.revs.keys()][parent];
    const isAgain = again && base !== undefined;
    const start = base === undefined ? 3 : Number.parseInt(base, 10) + (isAgain ? 0 : 1);
    const rev = isAgain ? base : `${String(start)}-${String(++this.#number)}`;
    const [, own = ''] = rev.split('-');
    const isRoot = known.revs.get(rev) === 'root';
    if (!known.revs.has(rev) || isRoot) {
      known.revs.set(rev, base === undefined ? 'root' : 'whole');
      known.waits = this.isTracked && (known.waits || by === 'local');
    }
    const ancestor = isAgain ? (isRoot ? `p${own}` : undefined) : base?.slice(base.indexOf('-') + 1);
    const ids = ancestor === undefined ? [own] : [own, ancestor];
    return parsed({ _id: id, _rev: rev, _revisions: { start, ids }, _deleted: deleted }, false);
  }

  /** All wait, or none. */
  setAll(waits: boolean): void {
    for (const known of this.documents.values()) {
      known.waits = waits;
      known.since = 0;
    }
  }

  sent(through: number): void {
    for (const known of this.documents.values()) if (known.seq <= through) known.waits = false;
  }

  purged(db: Database, id: string): void {
    const left = db.get(id);
    const known = this.documents.get(id);
    if (left === undefined) this.documents.delete(id);
    else for (const rev of known?.revs.keys() ?? []) if (!left.has(rev)) known?.revs.delete(rev);
  }

  async check(db: Database): Promise<void> {
    for (const [id, known] of this.documents) {
      known.seq = db.get(id)?.seq ?? NaN;
      known.since = known.waits ? (known.since ?? known.seq) : undefined;
    }
    const expected = [...this.documents.values()].filter(({ waits }) => waits).map(({ seq }) => seq);
    expect(await waiting(db)).toEqual(expected.sort((a, b) => a - b));
    expect(db.unsent.count).toBe(expected.length);
    const oldest = await db.unsent.oldest();
    expect(oldest !== undefined).toBe(expected.length > 0);
    const since = [...this.documents.values()].flatMap((known) => known.since ?? []);
    // Nothing that waits is taken for something newer.
    if (oldest !== undefined) expect(oldest.seq).toBeLessThanOrEqual(Math.min(...since));
  }
}

async function perform(db: Database, model: Model, todo: Exclude<Step, 'reopen'>): Promise<void> {
  if (todo === 'compact') await db.compact();
  else if (todo === 'void') {
    await db.unsent.voidAll();
    model.setAll(model.isTracked);
  } else if (todo === 'track') {
    model.isTracked = !model.isTracked;
    await db.trackUnsent(model.isTracked);
    model.setAll(model.isTracked);
  } else if ('sent' in todo) {
    const through = Math.round(todo.sent * db.updateSeq);
    await db.unsent.sentThrough(through);
    model.sent(through);
  } else if ('many' in todo) {
    const { many: by, from, count } = todo;
    const edit = { parent: 0, again: false, deleted: false };
    const edits = Array.from({ length: count }, (_, at) =>
      model.draft(by, { ...edit, id: `d${String(from + at)}` }),
    );
    await db.write(edits, { newEdits: false, origin: by });
  } else if ('purge' in todo) {
    const leaf = db.get(todo.purge)?.leaves().at(-1)?.rev;
    if (leaf === undefined) return;
    await db.purge(new Map([[todo.purge, [leaf]]]));
    model.purged(db, todo.purge);
  } else {
    const writes = todo.write.map(({ origin: by, edits }) => ({
      edits: edits.map((edit) => model.draft(by, edit)),
      options: { newEdits: false, origin: by },
    }));
    await Promise.all(writes.map(({ edits, options }) => db.write(edits, options)));
  }
}

test('whatever is written, pulled, sent and purged, exactly those wait that the upstream has not got', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30, size: 'max' }), async (steps) => {
      const folder = await newFolder();
      const open = (): Promise<LevelDatabase> =>
        LevelDatabase.open('db', join(folder, 'db'), join(folder, 'db.copy'), QUICK);
      const model = new Model();
      let db = await open();
      try {
        for (const todo of steps) {
          if (todo === 'reopen') {
            await db.close();
            db = await open();
          } else await perform(db, model, todo);
          await model.check(db);
        }
      } finally {
        await db.close();
      }
      expect(await verified(folder)).toEqual([]);
      await rm(folder, { recursive: true });
    }),
    { numRuns: 30 },
  );
});
