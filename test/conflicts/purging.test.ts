import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from 'vitest';
import { resolveByHand } from '../../src/conflicts/by-hand.js';
import { createLogger } from '../../src/observe/log.js';
import { basesOf } from '../../src/conflicts/bases.js';
import { explain } from '../../src/conflicts/explain.js';
import { liveLeaves, readTree } from '../../src/conflicts/graph.js';
import { purgeHere, type PurgeLeaves, type PurgeOutcome, Purging } from '../../src/conflicts/purging.js';
import { isTombstone, tombstoneRev } from '../../src/conflicts/revisions.js';
import { parseState } from '../../src/conflicts/states.js';
import { undo } from '../../src/conflicts/undo.js';
import type { Database } from '../../src/store/types/database.js';
import { body, newFolder, replicate } from '../support/store.js';
import { type Gateway, type GatewayOptions, NAME, startGateway, sync } from './support/gateways.js';

let looks: MockInstance<Purging['purge']>;
beforeEach(() => {
  looks = vi.spyOn(Purging.prototype, 'purge');
});
afterEach(() => {
  vi.restoreAllMocks();
});

const COUNTERS = { function: 'three-way', fields: { '/n': 'counter' } };
const WAIT = { timeout: 30_000 };
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Branches go after a day. */
const AFTER_A_DAY = { branches: { maxAge: DAY }, trimEvery: 5 };

const LONG = { minAge: DAY, maxAge: 9 * DAY, maxBytes: 1 << 30 };

const start = (options: GatewayOptions = {}): Promise<Gateway> =>
  startGateway(COUNTERS, { ...AFTER_A_DAY, ...options });

const use = <T>({ databases }: Gateway, work: (db: Database) => T | Promise<T>): Promise<T> =>
  databases.use(NAME, work);

/** A client's edit, with what it was made from. @param line hashes, the newest first */
const edit = (line: readonly string[], n: number, more: object = {}): object => ({
  _id: 'a',
  _revisions: { start: line.length, ids: line },
  n,
  ...more,
});

/** So many clients edit a document at the same time, each of which counts one more. */
async function clash(db: Database, names = 'ab', id = 'a'): Promise<void> {
  await replicate(db, { _id: id, _rev: '1-o', n: 0 });
  await replicate(db, ...Array.from(names, (name) => ({ ...edit([name, 'o'], 1), _id: id })));
}

const leaves = (db: Database, id = 'a'): readonly string[] =>
  (db.get(id)?.leaves() ?? []).map(({ rev }) => rev);

const living = (db: Database, id = 'a'): readonly string[] =>
  (db.get(id)?.leaves() ?? []).flatMap(({ rev, deleted }) => (deleted ? [] : [rev]));

const eventually = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, WAIT);

/** @param count of leaves that went in */
const merged = (gateway: Gateway, count = 2, id = 'a'): Promise<void> =>
  eventually(() =>
    use(gateway, (db) => {
      expect([living(db, id).length, leaves(db, id).length]).toEqual([1, count]);
    }),
  );

const purged = (gateway: Gateway, id = 'a'): Promise<void> =>
  eventually(() =>
    use(gateway, (db) => {
      expect(leaves(db, id)).toEqual(living(db, id));
    }),
  );

const noted = (db: Database, state: object): Promise<void> =>
  eventually(() => {
    expect(parseState(db.conflicts.get('a')?.state)).toMatchObject(state);
  });

/** What the leaves are compared with. */
function basesIn(db: Database): (string | undefined)[] {
  const graph = readTree(db.get('a')?.tree ?? []);
  explain(graph);
  return [basesOf(graph, liveLeaves(graph)).all?.rev];
}

const count = (db: Database): unknown => body(db, 'a', living(db)[0])?.n;

/** So many milliseconds have gone by since the test began. */
function later(ms: number): void {
  const now = performance.timeOrigin + performance.now();
  vi.spyOn(Date, 'now').mockImplementation(() =>
    Math.floor(now + ms + (performance.timeOrigin + performance.now() - now)),
  );
}

/** A whole look at what is to be purged of a database, by whoever looks at it anyway. */
async function looked(db: Database): Promise<void> {
  const { calls, contexts } = looks.mock;
  const purging = await vi.waitFor(() => {
    const found: unknown = contexts[calls.findIndex(([one]) => one === db)];
    if (found instanceof Purging) return found;
    throw new Error('nobody has looked at it yet');
  }, WAIT);
  await purging.purge(db, new AbortController().signal);
}

/** A merged document whose branches are gone. */
async function started(names = 'ab', options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await start(options);
  await use(gateway, (db) => clash(db, names));
  await merged(gateway, names.length);
  later(DAY + HOUR);
  await purged(gateway);
  return gateway;
}

describe('branches of merged leaves', () => {
  test('go once they are old enough, with all that led to them alone', async () => {
    const gateway = await start();
    await use(gateway, (db) => clash(db, 'abc'));
    await merged(gateway, 3);
    later(DAY - HOUR);
    await use(gateway, looked);
    await merged(gateway, 3);
    later(DAY + HOUR);
    await purged(gateway);
    await use(gateway, async (db) => {
      expect([db.get('a')?.has('2-c'), db.get('a')?.has('2-b'), count(db)]).toEqual([true, false, 3]);
      const rows: string[] = [];
      for await (const page of db.changes({ since: 0 })) rows.push(...page.map(({ text }) => text));
      expect(rows).toHaveLength(1);
      expect(rows[0]).not.toContain('c105ed');
    });
    expect(gateway.engine.purged(NAME)).toEqual({ branches: 2, refused: null });
  });

  test('stay where nobody says otherwise', async () => {
    const gateway = await start({ branches: { maxAge: undefined } });
    await use(gateway, (db) => clash(db));
    await merged(gateway);
    later(DAY + HOUR);
    await use(gateway, looked);
    await merged(gateway);
  });

  test('stay while the document is in conflict, though they are old enough, and go some time after', async () => {
    const gateway = await start();
    await use(gateway, (db) => clash(db));
    await merged(gateway);
    await use(gateway, async (db) => {
      const [into = ''] = living(db);
      const { ids = [] } = db.get('a')?.revisions(into) ?? {};
      // Nobody knows what went into the one that another gateway made.
      const unknown = `c0a1e5${'0'.repeat(26)}`;
      await replicate(db, edit([unknown, 'x', 'o'], 7));
      await noted(db, { state: 'waiting' });
      later(DAY + HOUR);
      await looked(db);
      expect([living(db).length, leaves(db).length]).toEqual([2, 3]);
      await replicate(db, edit(['e', ...ids], 8));
      await replicate(db, { ...edit(['f', unknown, 'x', 'o'], 0), _deleted: true });
      await looked(db);
      expect([living(db).length, leaves(db).length]).toEqual([1, 3]);
      later(DAY + 3 * HOUR);
      await eventually(() => {
        expect(leaves(db)).toEqual(['4-e', '4-f']);
      });
    });
  });

  test('stay below what an undo brought back', async () => {
    const gateway = await start();
    await use(gateway, (db) => clash(db));
    await merged(gateway);
    await use(gateway, async (db) => {
      await undo(db, (await db.journal.numbersOf('a'))[0] ?? 0, null);
      const [winner = '', other = ''] = living(db);
      const { start: at = 0, ids = [] } = db.get('a')?.revisions(other) ?? {};
      await replicate(db, { _id: 'a', _revisions: { start: at + 1, ids: ['d', ...ids] }, _deleted: true });
      later(DAY + HOUR);
      await looked(db);
      expect(leaves(db)).toEqual([winner, `${String(at + 1)}-d`].sort());
    });
  });

  test('that a client deleted stay, and so do those of equal leaves', async () => {
    const gateway = await start();
    await use(gateway, async (db) => {
      await replicate(db, { _id: 'a', _rev: '1-o', n: 0 }, { _id: 'a', _rev: '1-d', _deleted: true });
      await replicate(db, edit(['a', 'o'], 1), edit(['b', 'o'], 2), edit(['c', 'o'], 2, { x: 1 }));
    });
    await merged(gateway, 4);
    const equal = await startGateway({ function: 'last-write-wins', field: '/n' }, AFTER_A_DAY);
    await use(equal, (db) => clash(db));
    await merged(equal);
    later(DAY + HOUR);
    await eventually(() =>
      use(gateway, (db) => {
        expect(leaves(db).slice(1)).toEqual(['1-d']);
      }),
    );
    await use(equal, looked);
    expect(await use(equal, (db) => leaves(db).map(isTombstone))).toEqual([false, true]);
  });

  test('stay where the merged revision is not known any more', async () => {
    const gateway = await start();
    await use(gateway, async (db) => {
      await clash(db);
      await merged(gateway);
      const { start: at = 0, ids = [] } = db.get('a')?.revisions(living(db)[0] ?? '') ?? {};
      await db.setRevsLimit(1);
      await replicate(db, { _id: 'a', _revisions: { start: at + 1, ids: ['e', ...ids] }, n: 5 });
      expect(db.get('a')?.has(`${String(at)}-${ids[0] ?? ''}`)).toBe(false);
      later(DAY + HOUR);
      await looked(db);
      expect(leaves(db)).toHaveLength(2);
    });
  });

  test('that end with the winner of a deleted document stay', async () => {
    const gateway = await startGateway(() => undefined, AFTER_A_DAY);
    await use(gateway, async (db) => {
      await clash(db, 'abc');
      await resolveByHand(db, { id: 'a', chosen: { kind: 'delete' }, by: null });
      expect(db.get('a')?.winner).toMatch(/^3-c105ed/);
      later(DAY + HOUR);
      await eventually(() => {
        expect(leaves(db)).toHaveLength(2);
      });
      expect(leaves(db).map(isTombstone)).toEqual([true, false]);
      expect(db.get('a')?.deleted).toBe(true);
    });
  });

  test('are purged once by whoever merged them: nobody writes any more then', async () => {
    const gateway = await started();
    const seq = await use(gateway, (db) => db.updateSeq);
    await use(gateway, looked);
    expect(await use(gateway, (db) => [db.updateSeq, db.purgeSeq])).toEqual([seq, 1]);
  });

  test('stay where the journal lets go of them first', async () => {
    const journal = { minAge: HOUR, maxAge: 2 * DAY, maxBytes: 1 };
    const gateway = await start({ journal });
    await use(gateway, (db) => clash(db));
    await merged(gateway);
    later(2 * HOUR);
    await eventually(() =>
      use(gateway, (db) => {
        expect(db.journal.count).toBe(0);
      }),
    );
    later(DAY + HOUR);
    await use(gateway, looked);
    await merged(gateway);
  });

  test('go a hundred documents at a time', async () => {
    const sizes: number[] = [];
    const purge: PurgeLeaves = async (db, requests) => {
      sizes.push(requests.size);
      return { kind: 'purged', purged: await db.purge(requests), waiting: [] };
    };
    const gateway = await start({ purge });
    const ids = Array.from({ length: 250 }, (_, at) => `d${String(at)}`);
    await use(gateway, async (db) => {
      for (const id of ids) await clash(db, 'ab', id);
    });
    for (const id of ids) await merged(gateway, 2, id);
    later(DAY + HOUR);
    for (const id of ids) await purged(gateway, id);
    expect(sizes).toEqual([100, 100, 50]);
  });
});

describe('once its branches are gone, a merge', () => {
  test('cannot be undone, and that is said', async () => {
    const gateway = await started();
    await use(gateway, async (db) => {
      const [entry = 0] = await db.journal.numbersOf('a');
      await expect(undo(db, entry, null)).rejects.toMatchObject({
        status: 409,
        reason: 'What went into the merge was purged since.',
      });
    });
  });

  test('of two leaves proves that the one that comes again went in', async () => {
    const gateway = await started();
    await use(gateway, async (db) => {
      const [into = ''] = living(db);
      await replicate(db, edit(['a', 'o'], 1));
      await merged(gateway);
      expect([living(db), count(db)]).toEqual([[into], 2]);
      expect(leaves(db)[1]).toBe(tombstoneRev('input', '2-a', into));
    });
  });

  test('of two leaves is compared with what was made from one of them, whose body is gone with it', async () => {
    const gateway = await started();
    await use(gateway, async (db) => {
      await replicate(db, edit(['e', 'a', 'o'], 11));
      await noted(db, { state: 'deferred', paths: ['/n'] });
      expect(basesIn(db)).toEqual(['2-a']);
      expect(living(db).map((rev) => body(db, 'a', rev)?.n)).toEqual([11, 2]);
    });
  });

  test('of three waits where one of them comes alone, and is put aside: nothing is lost', async () => {
    const limits = { timeout: 5000, patience: 2 * HOUR, maxDocumentSize: 8_000_000 };
    const gateway = await started('abc', { limits });
    await use(gateway, async (db) => {
      await replicate(db, edit(['a', 'o'], 1));
      await noted(db, { state: 'waiting' });
      later(DAY + 4 * HOUR);
      gateway.engine.reconfigure();
      await noted(db, { state: 'deferred' });
      expect(living(db)).toHaveLength(2);
      expect(living(db).map((rev) => body(db, 'a', rev)?.n)).toEqual([3, 1]);
      // With the other one it is proven.
      await replicate(db, edit(['b', 'o'], 1));
      await merged(gateway, 3);
      expect(count(db)).toBe(3);
    });
  });

  test('is not merged with what was made before it', async () => {
    const gateway = await started();
    await use(gateway, async (db) => {
      await replicate(db, edit(['x', 'o'], 10));
      await noted(db, { state: 'waiting' });
      expect(living(db).map((rev) => body(db, 'a', rev)?.n)).toEqual([2, 10]);
    });
  });

  test('is merged with what was made of it', async () => {
    const gateway = await started();
    await use(gateway, async (db) => {
      const [into = ''] = living(db);
      const { ids = [] } = db.get('a')?.revisions(into) ?? {};
      await replicate(db, edit(['y', ...ids], 3), edit(['z', ...ids], 12));
      await eventually(() => {
        expect(count(db)).toBe(13);
      });
    });
  });

  test('stays as it is where a client still has the tombstones: they come back, and go when it starts anew', async () => {
    const options = { folder: await newFolder(), journal: LONG };
    const gateway = await start(options);
    const replica = await startGateway(() => undefined);
    await use(gateway, (db) => clash(db));
    await merged(gateway);
    await sync(gateway, replica, 'there');
    later(DAY + HOUR);
    await purged(gateway);
    await sync(replica, gateway, 'back');
    await merged(gateway);
    later(3 * DAY);
    await use(gateway, looked);
    await use(gateway, (db) => {
      expect([living(db).length, leaves(db).length, count(db), db.purgeSeq]).toEqual([1, 2, 2, 1]);
    });
    expect(await use(gateway, ({ conflicts }) => conflicts.count)).toBe(0);
    await gateway.engine.close();
    await gateway.databases.close();
    await purged(await start(options));
  });
});

describe('where others have the database too', () => {
  /** Answers what a test says. */
  function asked(outcome: (ids: readonly string[]) => PurgeOutcome | Error): {
    purge: PurgeLeaves;
    ids: string[][];
  } {
    const ids: string[][] = [];
    const purge: PurgeLeaves = async (db, requests) => {
      const named = [...requests.keys()];
      ids.push(named);
      const answer = outcome(named);
      if (answer instanceof Error) throw answer;
      if (answer.kind !== 'purged') return answer;
      const going = new Map([...requests].filter(([id]) => !answer.waiting.includes(id)));
      return { ...answer, purged: await db.purge(going) };
    };
    return { purge, ids };
  }

  async function due(purge: PurgeLeaves, names: string, options: GatewayOptions = {}): Promise<Gateway> {
    const gateway = await start({ purge, ...options });
    for (const id of names) {
      await use(gateway, (db) => clash(db, 'ab', id));
      await merged(gateway, 2, id);
    }
    later(DAY + HOUR);
    return gateway;
  }

  test('it is tried again until they are there', async () => {
    let isThere = false;
    const { purge, ids } = asked(() =>
      isThere ? { kind: 'purged', purged: new Map(), waiting: [] } : { kind: 'later' },
    );
    const gateway = await due(purge, 'a');
    await eventually(() => {
      expect(ids.length).toBeGreaterThan(2);
    });
    await merged(gateway);
    isThere = true;
    await purged(gateway);
  });

  test('limits that change while somebody is asked count at once', async () => {
    let calls = 0;
    let answer = (): void => undefined;
    const purge: PurgeLeaves = async (db, requests, signal) => {
      if (++calls > 1) return purgeHere(db, requests, signal);
      await new Promise<void>((resolve) => (answer = resolve));
      return { kind: 'later' };
    };
    const branches: { maxAge: number | undefined } = { maxAge: undefined };
    const gateway = await start({ purge, branches, journal: LONG, trimEvery: HOUR });
    await use(gateway, (db) => clash(db));
    await merged(gateway);
    later(2 * DAY);
    for (const maxAge of [DAY, DAY + HOUR]) {
      branches.maxAge = maxAge;
      gateway.engine.reconfigure();
      await eventually(() => {
        expect(calls).toBe(1);
      });
    }
    answer();
    await purged(gateway);
  });

  test('who refuses it is asked again a day later, and it is shown meanwhile', async () => {
    let answer: PurgeOutcome = { kind: 'refused', reason: 'no admin' };
    const { purge, ids } = asked(() => answer);
    const lines: string[] = [];
    const log = createLogger({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const gateway = await due(purge, 'a', {
      log,
      journal: LONG,
    });
    await eventually(() => {
      expect(gateway.engine.purged(NAME)).toEqual({ branches: 0, refused: 'no admin' });
    });
    expect(gateway.engine.purgedInAll()).toEqual({ branches: 0, refused: 1 });
    await use(gateway, looked);
    expect(ids).toEqual([['a']]);
    await merged(gateway);
    later(2 * DAY + 2 * HOUR);
    await eventually(() => {
      expect(ids).toHaveLength(2);
    });
    expect(lines).toEqual([expect.stringContaining('no admin')]);
    answer = { kind: 'purged', purged: new Map(), waiting: [] };
    later(3 * DAY + 4 * HOUR);
    await purged(gateway);
    expect(gateway.engine.purged(NAME)).toEqual({ branches: 1, refused: null });
  });

  test('what has not gone there is looked at again an hour later, and holds nothing else up', async () => {
    let waiting: readonly string[] = ['a'];
    const { purge, ids } = asked(() => ({ kind: 'purged', purged: new Map(), waiting }));
    const gateway = await due(purge, 'ab');
    await purged(gateway, 'b');
    await use(gateway, looked);
    expect(ids).toEqual([['a', 'b']]);
    waiting = [];
    later(DAY + 3 * HOUR);
    await purged(gateway);
    expect(ids.slice(1)).toEqual([['a']]);
  });

  test('what fails is tried again an hour later', async () => {
    let fails = true;
    const { purge, ids } = asked(() =>
      fails ? new Error('broken') : { kind: 'purged', purged: new Map(), waiting: [] },
    );
    const gateway = await due(purge, 'a');
    await eventually(() => {
      expect(ids).toHaveLength(1);
    });
    await use(gateway, looked);
    expect(ids).toHaveLength(1);
    fails = false;
    later(DAY + 3 * HOUR);
    await purged(gateway);
  });
});
