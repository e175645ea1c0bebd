import { afterEach, describe, expect, test, vi } from 'vitest';
import { resolveByHand } from '../../src/conflicts/by-hand.js';
import type { Considered } from '../../src/conflicts/considering.js';
import { type Entry, parseEntry } from '../../src/conflicts/entries.js';
import type { BodySource } from '../../src/conflicts/loaded.js';
import { builtIn } from '../../src/conflicts/functions/builtin.js';
import { preview } from '../../src/conflicts/preview.js';
import { MergeRule } from '../../src/conflicts/rules.js';
import { CageUnavailable } from '../../src/conflicts/sources/cage.js';
import { parseState } from '../../src/conflicts/states.js';
import { undo } from '../../src/conflicts/undo.js';
import { forbidden } from '../../src/errors.js';
import { readAttachments } from '../../src/store/attachments/members.js';
import type {
  BaseLimits,
  ResolveOptions,
  Resolved,
  ResolvingWrites,
} from '../../src/store/conflicts/types.js';
import { DatabaseView } from '../../src/store/database-view.js';
import type { Database } from '../../src/store/types/database.js';
import { bytesOf, data, release, take, write } from '../support/attachments.js';
import { builtIns } from '../support/merges.js';
import { body, newFolder, put, replicate } from '../support/store.js';
import { type Gateway, NAME, startGateway, sync } from './support/gateways.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const COUNTERS = { function: 'three-way', fields: { '/n': 'counter' } };
const WAIT = { timeout: 30_000 };

const use = <T>({ databases }: Gateway, work: (db: Database) => T | Promise<T>): Promise<T> =>
  databases.use(NAME, work);

const leaf = (id: string, hash: string, members: object = {}): object => ({
  _id: id,
  _revisions: { start: 2, ids: [hash, 'o'] },
  ...members,
});

/** Two clients edit a document at the same time. */
async function clash(db: Database, id = 'a', a: object = { n: 1 }, b: object = { n: 2 }): Promise<void> {
  await replicate(db, { _id: id, _rev: '1-o', n: 0 });
  await replicate(db, leaf(id, 'a', a), leaf(id, 'b', b));
}

const living = (db: Database, id = 'a'): readonly string[] =>
  (db.get(id)?.leaves() ?? []).flatMap(({ rev, deleted }) => (deleted ? [] : [rev]));

/** What its leaves say. */
const counts = (db: Database): unknown[] =>
  living(db)
    .map((rev) => body(db, 'a', rev)?.n)
    .sort();

const merged = (db: Database, id = 'a'): Promise<void> =>
  vi.waitFor(() => {
    expect(living(db, id)).toHaveLength(1);
  }, WAIT);

const noted = (db: Database, state: object, id = 'a'): Promise<void> =>
  vi.waitFor(() => {
    expect(parseState(db.conflicts.get(id)?.state)).toMatchObject(state);
  }, WAIT);

async function journalOf(db: Database): Promise<{ entry: Entry; leaves: Record<string, string> }[]> {
  const found: { entry: Entry; leaves: Record<string, string> }[] = [];
  for await (const page of db.journal.list({})) {
    for (const { number, text } of page) {
      const leaves: Record<string, string> = {};
      for await (const { rev, text: its } of db.journal.leaves(number)) leaves[rev] = its;
      found.push({ entry: parseEntry(text), leaves });
    }
  }
  return found;
}

/** Both have the same, and neither writes anything more. */
async function settle(one: Gateway, other: Gateway): Promise<void> {
  const seqs = (): Promise<number[]> =>
    Promise.all([one, other].map((gateway) => use(gateway, (db) => db.updateSeq)));
  for (let before = await seqs(); ;) {
    await sync(one, other, 'there');
    await sync(other, one, 'back');
    await vi.waitFor(async () => {
      for (const gateway of [one, other]) {
        expect(await use(gateway, ({ conflicts }) => conflicts.count - conflicts.noted)).toBe(0);
      }
    }, WAIT);
    const after = await seqs();
    if (after.every((seq, at) => seq === before[at])) return;
    before = after;
  }
}

/** So many milliseconds go by. */
function later(ms: number): void {
  const now = Date.now();
  vi.spyOn(Date, 'now').mockImplementation(() => now + ms);
}

const treeOf = (gateway: Gateway, id: string): Promise<string> =>
  use(gateway, (db) => JSON.stringify(db.get(id)?.leaves()));

test('documents with several leaves are merged many to a commit', async () => {
  const gateway = await startGateway(COUNTERS);
  const ids = Array.from({ length: 400 }, (_, n) => `d${String(n)}`);
  let commits = 0;
  await use(gateway, async (db) => {
    await replicate(db, ...ids.map((id) => ({ _id: id, _rev: '1-o', n: 0 })));
    const docs = ids.flatMap((id) => ['a', 'b', 'c'].map((hash) => leaf(id, hash, { n: 1 })));
    gateway.databases.onChange(() => commits++);
    await replicate(db, ...docs);
    for (const id of ids) await merged(db, id);
  });
  expect(commits).toBeLessThan(ids.length / 4);
});

test('what needs no function is done where the thread of functions cannot be had', async () => {
  const gateway = await startGateway('three-way');
  const asked = vi.spyOn(builtIns, 'consider').mockRejectedValue(new CageUnavailable('no thread'));
  await use(gateway, async (db) => {
    await clash(db, 'a', { a: 1 }, { b: 1 });
    await clash(db, 'same', { n: 1 }, { n: 1 });
    await merged(db, 'same');
    expect(living(db, 'a')).toHaveLength(2);
    expect(await preview(db, 'same', gateway.mergeFunctions.mergeIn(db, builtIn('three-way')))).toContain(
      '"none"',
    );
    asked.mockRestore();
    gateway.engine.reconfigure();
    await merged(db, 'a');
  });
});

test('a long document is read once, however often more of it is wanted', async () => {
  const gateway = await startGateway('three-way');
  const long = Object.fromEntries(
    Array.from({ length: 40_000 }, (_, n) => [`m${String(n)}`, 'x'.repeat(10)]),
  );
  const asked = vi.spyOn(builtIns, 'consider');
  await use(gateway, async (db) => {
    await replicate(db, { _id: 'a', _rev: '1-o', n: 0, ...long });
    // The base is an ancestor of both parents.
    const edits = ['a', 'b'].flatMap((hash) => [
      { _id: 'a', _revisions: { start: 2, ids: [`${hash}2`, 'o'] }, n: 0, ...long },
      { _id: 'a', _revisions: { start: 3, ids: [`${hash}3`, `${hash}2`, 'o'] }, n: 0, ...long, [hash]: 1 },
    ]);
    await replicate(db, ...edits);
    await merged(db, 'a');
    expect(body(db, 'a')).toMatchObject({ a: 1, b: 1 });
  });
  const given = asked.mock.calls.map(([, { bodies }]) => bodies);
  expect(given.length).toBeGreaterThan(1);
  for (const bodies of given)
    for (const one of bodies.values()) expect(one === undefined || typeof one === 'object').toBe(true);
});

describe('a journal', () => {
  const FULL = 'the journal is full of what may still be undone (journal.maxSize, journal.minAge)';
  const HOUR = 3_600_000;

  /** A journal that has no room behind its only entry, of the document `a`. */
  async function withFullJournal(): Promise<{ gateway: Gateway; journal: { maxBytes: number } }> {
    const journal = { minAge: HOUR, maxAge: 2 * HOUR, maxBytes: 1 };
    const gateway = await startGateway(COUNTERS, { journal });
    await use(gateway, async (db) => {
      await clash(db, 'a');
      await merged(db, 'a');
    });
    return { gateway, journal };
  }

  test('that is full of what is too young to go lets nothing be merged, until it has room', async () => {
    const { gateway, journal } = await withFullJournal();
    await use(gateway, async (db) => {
      await clash(db, 'b');
      await noted(db, { state: 'deferred', reason: FULL }, 'b');
      expect(living(db, 'b')).toEqual(['2-b', '2-a']);
      expect((await journalOf(db)).map(({ leaves }) => Object.keys(leaves))).toEqual([['2-a', '2-b']]);

      journal.maxBytes = 1 << 20;
      gateway.engine.reconfigure();
      await merged(db, 'b');
      expect(await db.journal.numbersOf('b')).toEqual([2]);
    });
  });

  test('that is full has no function asked', async () => {
    const { gateway } = await withFullJournal();
    await use(gateway, async (db) => {
      const asked = vi.spyOn(builtIns, 'consider');
      await clash(db, 'b');
      await noted(db, { noRoom: true }, 'b');
      const answers = await Promise.all(asked.mock.results.map(({ value }) => value as Promise<Considered>));
      expect(answers.at(-1)).toEqual({ kind: 'unasked' });
      expect(answers.filter(({ kind }) => kind === 'merged')).toEqual([]);
      // Nor is it waited for a thread.
      asked.mockRejectedValue(new CageUnavailable('no thread'));
      await clash(db, 'c');
      await noted(db, { noRoom: true }, 'c');
    });
  });

  test('lets go of what is old enough where it has no room', async () => {
    const { gateway } = await withFullJournal();
    await use(gateway, async (db) => {
      await clash(db, 'b');
      await noted(db, { noRoom: true }, 'b');
      later(HOUR + 1);
      gateway.engine.reconfigure();
      await merged(db, 'b');
      await vi.waitFor(async () => {
        expect(await db.journal.numbersOf('b')).toEqual([2]);
      }, WAIT);
      expect(await db.journal.numbersOf('a')).toEqual([]);
    });
  });

  test('is trimmed in time where nothing happens, also in a database that is closed', async () => {
    const gateway = await startGateway(COUNTERS, {
      journal: { minAge: HOUR, maxAge: 2 * HOUR, maxBytes: 1 << 20 },
      store: { maxOpen: 0, basesOf: () => ({ maxAge: HOUR, maxBytes: 1 << 20 }) },
      trimEvery: 5,
    });
    await use(gateway, async (db) => {
      await clash(db);
      await merged(db);
    });
    const counts = (): Promise<number[]> =>
      use(gateway, ({ journal, bases }) => [journal.count, bases.count > 0 ? 1 : 0]);
    // What is on the disk can be read a moment before it is counted.
    await vi.waitFor(async () => {
      expect(await counts()).toEqual([1, 1]);
    }, WAIT);
    const closed = (): Promise<void> =>
      vi.waitFor(() => {
        expect(gateway.databases.peek(NAME)).toBeUndefined();
      }, WAIT);
    await closed();
    let opened = 0;
    gateway.databases.onOpen(() => opened++);
    later(HOUR + 1);
    await vi.waitFor(() => {
      expect(opened).toBe(1);
    }, WAIT);
    await closed();
    expect(await counts()).toEqual([1, 0]);
    later(2 * HOUR + 1);
    await vi.waitFor(async () => {
      expect(await counts()).toEqual([0, 0]);
    }, WAIT);
  });
});

describe('a document that was merged again and again', () => {
  const NUMBERS = Array.from({ length: 30 }, (_, at) => String(at).padStart(26, '0'));

  /** Two clients edit what gateways made of it. @param made hashes of its revisions, the newest first */
  async function edited(made: readonly string[]): Promise<Gateway> {
    const gateway = await startGateway({ function: 'last-write-wins', field: '/at' });
    const ids = (hash: string): object => ({ start: made.length + 1, ids: [hash, ...made] });
    await use(gateway, (db) =>
      replicate(db, { _id: 'a', _revisions: ids('a'), at: 1 }, { _id: 'a', _revisions: ids('b'), at: 2 }),
    );
    return gateway;
  }

  test('and by nobody edited is put aside', async () => {
    const gateway = await edited(NUMBERS.map((number) => `c0a1e5${number}`));
    await use(gateway, async (db) => {
      await noted(db, { state: 'deferred', reason: 'it was merged again and again' });
      expect(living(db)).toEqual(['31-b', '31-a']);
    });
  });

  test('is merged where clients edit it as often', async () => {
    const made = NUMBERS.map((number, at) => (at % 2 === 0 ? `c0a1e5${number}` : `d0a1e5${number}`));
    const gateway = await edited(made);
    await use(gateway, async (db) => {
      await merged(db);
      expect(body(db, 'a')).toMatchObject({ at: 2 });
    });
  });
});

describe('a document whose base a compaction met', () => {
  /** One client edits it, it is compacted, then the other one's edit comes. */
  async function compactBetween(limits: BaseLimits): Promise<Gateway> {
    const gateway = await startGateway('three-way', { store: { basesOf: () => limits } });
    await use(gateway, async (db) => {
      await replicate(db, { _id: 'a', _rev: '1-o', x: 0, y: 0 });
      await replicate(db, leaf('a', 'a', { x: 1, y: 0 }));
      await db.compact();
      await replicate(db, leaf('a', 'b', { x: 0, y: 1 }));
    });
    return gateway;
  }

  test('is merged, for the body was kept', async () => {
    const gateway = await compactBetween({ maxAge: 3_600_000, maxBytes: 1 << 20 });
    await use(gateway, async (db) => {
      await merged(db);
      expect(body(db, 'a')).toMatchObject({ x: 1, y: 1 });
    });
  });

  test.each([
    ['old', { maxAge: -1, maxBytes: 1 << 20 }],
    ['much', { maxAge: 3_600_000, maxBytes: 0 }],
  ])('is deferred where that was too %s', async (_, limits) => {
    const gateway = await compactBetween(limits);
    await use(gateway, (db) => noted(db, { state: 'deferred', paths: ['/x', '/y'] }));
  });
});

describe('two gateways that merge at once', () => {
  test('make one merged revision, have what went in in their journals, and write nothing more', async () => {
    const [one, other] = [await startGateway(COUNTERS), await startGateway(COUNTERS)];
    const ids = ['a', 'b', 'c'];
    for (const gateway of [one, other]) {
      await use(gateway, async (db) => {
        for (const id of ids) await clash(db, id, { n: 1, x: 1.5 }, { n: 2, y: 'b' });
        for (const id of ids) await merged(db, id);
        expect(await journalOf(db)).toHaveLength(ids.length);
        const [first] = await journalOf(db);
        expect(first).toMatchObject({
          entry: { kind: 'merge', outcome: 'merge', leaves: [{ rev: '2-b' }, { rev: '2-a', base: '1-o' }] },
          leaves: {
            '2-a': '{"_id":"a","_rev":"2-a","n":1,"x":1.5}',
            '2-b': '{"_id":"a","_rev":"2-b","n":2,"y":"b"}',
          },
        });
      });
    }
    await settle(one, other);
    for (const id of ids) {
      expect(await treeOf(one, id)).toBe(await treeOf(other, id));
      expect(await use(one, (db) => body(db, id))).toMatchObject({ n: 3, x: 1.5, y: 'b' });
    }
  });

  test('merge an edit of a leaf that went in, and of the winner, so that counters stay exact', async () => {
    const [one, other] = [await startGateway(COUNTERS), await startGateway(COUNTERS)];
    await use(one, async (db) => {
      await clash(db);
      await merged(db);
    });
    await use(other, async (db) => {
      await clash(db);
      await merged(db);
      await replicate(db, { _id: 'a', _revisions: { start: 3, ids: ['e', 'a', 'o'] }, n: 11 });
    });
    await use(one, async (db) => {
      await put(db, { _id: 'a', _rev: living(db)[0], n: 103 });
    });
    await settle(one, other);
    expect(await treeOf(one, 'a')).toBe(await treeOf(other, 'a'));
    await use(one, (db) => {
      expect(living(db)).toHaveLength(1);
      expect(body(db, 'a')).toMatchObject({ n: 113 });
    });
  });

  test('leave alone what one of them undid, until one of its leaves is edited', async () => {
    const [one, other] = [await startGateway(COUNTERS), await startGateway(COUNTERS)];
    await use(one, async (db) => {
      await clash(db);
      await merged(db);
    });
    await settle(one, other);
    const { revs } = await use(one, (db) => undo(db, 1, 'ann'));
    await settle(one, other);
    for (const gateway of [one, other]) {
      await use(gateway, async (db) => {
        expect([...living(db)].sort()).toEqual([...revs].sort());
        expect(counts(db)).toEqual([1, 2]);
        await noted(db, { state: 'undone' });
      });
    }
    await use(one, async (db) => {
      expect((await journalOf(db))[1]?.entry).toMatchObject({ kind: 'undo', by: 'ann', entry: 1, revs });
      await expect(undo(db, 1, 'ann')).rejects.toMatchObject({ status: 409 });
      await expect(undo(db, 2, 'ann')).rejects.toMatchObject({ status: 400 });
      await expect(undo(db, 3, 'ann')).rejects.toMatchObject({ status: 404 });
    });
    await use(one, async (db) => {
      const [winner = ''] = living(db);
      await put(db, { _id: 'a', _rev: winner, n: Number(body(db, 'a')?.n) + 10 });
      await merged(db);
      expect(body(db, 'a')).toMatchObject({ n: 13 });
    });
    await settle(one, other);
    expect(await treeOf(one, 'a')).toBe(await treeOf(other, 'a'));
  });
});

test('attachments go into the merged document, replicate, and come back when it is undone', async () => {
  const [one, other] = [await startGateway('three-way'), await startGateway('keep')];
  await use(one, async (db) => {
    await replicate(db, { _id: 'a', _rev: '1-o', n: 0 });
    await replicate(db, leaf('a', 'b', { n: 1 }));
  });
  // The other one has the winner already: it is sent no attachment that seems to be older.
  await sync(one, other);
  await use(one, async (db) => {
    const taken = await take(db, bytesOf(3000, 4));
    await write(
      db,
      [{ id: 'a', revs: ['2-a', '1-o'], body: '"n":0', attachments: { f: data(taken, 1) } }],
      false,
    );
    await release(taken);
    await merged(db);
    expect(body(db, 'a')).toMatchObject({ n: 1, _attachments: { f: { length: 3000, revpos: 3 } } });
  });
  await sync(one, other);
  await use(other, async (db) => {
    await merged(db);
    await expectFile(db);
  });
  await use(one, async (db) => {
    await undo(db, 1, 'ann');
    const [, loser] = living(db);
    await expectFile(db, loser);
  });
});

async function expectFile(db: Database, rev?: string): Promise<void> {
  const record = db.get('a');
  const text = record && db.read(record, rev ?? record.winner);
  const attachment = readAttachments(text ?? '').get('f');
  const reader = db.openAttachments();
  const pieces: Buffer[] = [];
  for await (const piece of reader.read(attachment?.digest ?? '', { start: 0, end: 3000 }))
    pieces.push(piece);
  await reader.close();
  expect(Buffer.concat(pieces).equals(bytesOf(3000, 4))).toBe(true);
}

describe('a conflict that a rule cannot resolve', () => {
  test('is noted with the reason, and decided anew by another rule', async () => {
    let rule = MergeRule.of('three-way');
    const gateway = await startGateway(() => rule);
    await use(gateway, async (db) => {
      await clash(db);
      await noted(db, { state: 'deferred', paths: ['/n'] });
      rule = MergeRule.of(COUNTERS);
      gateway.engine.reconfigure();
      await merged(db);
      expect(body(db, 'a')).toMatchObject({ n: 3 });
    });
  });

  test('is noted where a merge function takes too long', async () => {
    const limits = { timeout: 0, patience: 60_000, maxDocumentSize: 8_000_000 };
    const gateway = await startGateway('three-way', { limits });
    await use(gateway, async (db) => {
      const long = Array.from({ length: 10_000 }, (_, n) => n);
      await clash(db, 'a', { n: 0, long }, { n: 0, long, other: 1 });
      await noted(db, { state: 'deferred', reason: 'the merge function failed: it took more than 0 ms' });
    });
  });

  test('is noted where the merged document may not be written, until other functions judge it', async () => {
    let refuses = true;
    class Refusing extends DatabaseView {
      override resolve(writes: ResolvingWrites, options?: ResolveOptions): Promise<Resolved> {
        const said = refuses ? forbidden('not so') : undefined;
        const judge = { judge: () => Promise.resolve(writes.edits.map(() => said)) };
        return this.inner.resolve(writes, { ...options, judge });
      }
    }
    const gateway = await startGateway(COUNTERS, { viewOf: (db) => new Refusing(db) });
    await use(gateway, async (db) => {
      await put(db, { _id: '_design/d', validate_doc_update: 'function () {}' });
      await clash(db);
      await noted(db, { state: 'deferred', reason: 'a may not be written: not so' });
      expect(db.journal.count).toBe(0);
      const look = vi.spyOn(db.conflicts, 'rows');
      await put(db, { _id: '_design/other', views: {} });
      expect(look).not.toHaveBeenCalled();
      refuses = false;
      await put(db, { _id: '_design/d', _rev: db.get('_design/d')?.winner, validate_doc_update: 'f' });
      await merged(db);
    });
  });

  test('waits for what may come, for a while', async () => {
    const limits = { timeout: 1000, patience: 100, maxDocumentSize: 8_000_000 };
    const gateway = await startGateway(COUNTERS, { limits });
    await use(gateway, async (db) => {
      await clash(db, 'a', { n: 1 });
      await merged(db);
      // Merged from something that is not here.
      const hash = `c0a1e5${'0'.repeat(26)}`;
      await replicate(db, { _id: 'b', _rev: '1-o', n: 0 }, leaf('b', 'a'), leaf('b', hash));
      await noted(
        db,
        { state: 'deferred', reason: `it is not known yet what was merged into 2-${hash}` },
        'b',
      );
    });
  });
});

describe('bodies of ancestors that are not here', () => {
  const content = { body: '"n":0', attachments: new Map() };

  /** Only leaves come by replication. */
  const arrive = (db: Database): Promise<unknown> =>
    replicate(db, leaf('a', 'a', { n: 1 }), leaf('a', 'b', { n: 2 }));

  test('are asked for elsewhere', async () => {
    const asked: unknown[] = [];
    const bodies: BodySource = {
      read: (...[database, id, revs]) => {
        asked.push([database, id, revs]);
        return Promise.resolve(new Map([['1-o', content]]));
      },
    };
    const gateway = await startGateway(COUNTERS, { bodies });
    await use(gateway, async (db) => {
      await arrive(db);
      await merged(db);
      expect(body(db, 'a')).toMatchObject({ n: 3 });
    });
    expect(asked).toEqual([[NAME, 'a', ['1-o']]]);
  });

  test('are waited for while nobody can be asked', async () => {
    // Longer than the test waits: they are asked again meanwhile.
    const limits = { timeout: 1000, patience: 60_000, maxDocumentSize: 8_000_000 };
    let isThere = false;
    const bodies: BodySource = {
      read: () => Promise.resolve(isThere ? new Map([['1-o', content]]) : undefined),
    };
    const gateway = await startGateway(COUNTERS, { bodies, limits });
    await use(gateway, async (db) => {
      await arrive(db);
      await noted(db, { state: 'waiting' });
      isThere = true;
      await merged(db);
      expect(body(db, 'a')).toMatchObject({ n: 3 });
    });
  });
});

test('leaves that say the same are one, but for counters', async () => {
  const [plain, counting] = [await startGateway('three-way'), await startGateway(COUNTERS)];
  for (const gateway of [plain, counting]) {
    await use(gateway, async (db) => {
      await clash(db, 'a', { n: 1 }, { n: 1.0 });
      await merged(db);
    });
  }
  expect(await use(plain, (db) => [living(db), body(db, 'a')?.n])).toEqual([['2-b'], 1]);
  expect(await use(plain, journalOf)).toMatchObject([
    {
      entry: { kind: 'tidy', tombstones: [{ leaf: '2-a', into: '2-b' }] },
      leaves: { '2-a': '{"_id":"a","_rev":"2-a","n":1}' },
    },
  ]);
  expect(await use(counting, (db) => body(db, 'a')?.n)).toBe(2);
});

test('only documents that fit a selector are merged, by the winner', async () => {
  const gateway = await startGateway([
    { selector: { type: 'count' }, ...COUNTERS },
    { selector: { type: 'note' }, function: 'last-write-wins', field: '/n' },
  ]);
  await use(gateway, async (db) => {
    await clash(db, 'kept');
    await clash(db, 'note', { n: 7 }, { n: 2, type: 'note' });
    await clash(db, 'count', { n: 1, type: 'count' }, { n: 2, type: 'count' });
    await merged(db, 'count');
    await merged(db, 'note');
    expect([body(db, 'count')?.n, body(db, 'note')?.n]).toEqual([3, 7]);
    await noted(db, { state: 'kept' }, 'kept');
    expect(living(db, 'kept')).toEqual(['2-b', '2-a']);
  });
});

test('what was in conflict before is merged once the database is opened', async () => {
  const folder = await newFolder();
  const first = await startGateway('keep', { folder });
  await use(first, (db) => clash(db));
  await first.engine.close();
  await first.databases.close();
  const second = await startGateway(COUNTERS, { folder });
  expect(second.databases.peek(NAME)).toBeUndefined();
  await use(second, (db) => merged(db));
});

describe('a conflict is resolved by hand', () => {
  test('with a leaf or a body, by whom the journal says, and can be undone', async () => {
    const gateway = await startGateway('keep');
    await use(gateway, async (db) => {
      await clash(db);
      await clash(db, 'b');
      const chosen = { kind: 'pick', rev: '2-a' } as const;
      const { rev, entry } = await resolveByHand(db, { id: 'a', chosen, leaves: ['2-a', '2-b'], by: 'ann' });
      expect([living(db), body(db, 'a')?.n]).toEqual([[rev], 1]);
      const bodyText = '"n":12345678901234567890';
      const given = { kind: 'merge', deleted: false, body: bodyText, attachments: new Map() } as const;
      await resolveByHand(db, { id: 'b', chosen: given, by: 'bob' });
      expect(db.read(db.get('b') ?? fail(), living(db, 'b')[0] ?? '')).toContain('"n":12345678901234567890');
      const [first, second] = await journalOf(db);
      expect(first?.entry).toMatchObject({ by: 'ann', outcome: 'pick', merged: rev });
      expect(second?.entry).toMatchObject({ by: 'bob', outcome: 'merge' });
      await undo(db, entry, 'ann');
      expect(counts(db)).toEqual([1, 2]);
    });
  });

  test.each([
    [400, 'names no leaf', { chosen: { kind: 'pick', rev: '2-x' } }],
    [409, 'saw other leaves', { leaves: ['2-a'] }],
    [404, 'means a document that is not here', { id: 'x' }],
    [409, 'means one that is in no conflict', { id: 'c' }],
  ] as const)('not (%i) by whom %s', async (status, _, other) => {
    const gateway = await startGateway('keep');
    await use(gateway, async (db) => {
      await clash(db);
      await put(db, { _id: 'c' });
      const good = { id: 'a', chosen: { kind: 'delete' }, by: 'ann' } as const;
      await expect(resolveByHand(db, { ...good, ...other })).rejects.toMatchObject({ status });
      expect([living(db), db.journal.count]).toEqual([['2-b', '2-a'], 0]);
    });
  });
});

function fail(): never {
  throw new Error('it is not there');
}
