import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { compareIds } from '../../src/store/order.js';
import { collate } from '../../src/store/collate.js';
import { type GroupLevel, readReductions, type ReduceQuery } from '../../src/views/reductions.js';
import { reopened } from '../../src/views/reopened.js';
import { readRows, type RowQuery } from '../../src/views/rows.js';
import { comparePlaces, parsed } from '../../src/views/tree/order.js';
import type { Change, Row } from '../../src/views/tree/types.js';
import type { ViewReducer } from '../../src/views/types.js';
import { MemoryView } from './memory-view.js';

/** Which rows went in, in order: so rows that are missing, doubled or out of order are seen. */
const list: ViewReducer = {
  reduce: (runs) => Promise.resolve(runs.map((rows) => JSON.stringify(rows.map(placeText)))),
  rereduce: (runs) =>
    Promise.resolve(
      runs.map((parts) => JSON.stringify(parts.flatMap((part) => JSON.parse(part) as string[]))),
    ),
  show: (reduction) => reduction,
};

const placeText = ({ key, id, nth }: Row): string => `${key} ${id} ${String(nth)}`;

const ORDER = { collate, isPartitioned: false };

// ---- what is asked --------------------------------------------------------------------------------------------

const keys: fc.Arbitrary<unknown> = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.constantFrom(null, 'a', 'A', 'b', {}),
  fc.tuple(fc.constantFrom('x', 'y'), fc.integer({ min: 0, max: 2 }), fc.constantFrom('p', 'q')),
  fc.tuple(fc.constantFrom('x', 'y')),
);
const ids = fc.constantFrom('a', 'b', 'd\ud83d\ude00', 'd\ue000', 'e');

const rowArrays = (minLength: number): fc.Arbitrary<Row[]> =>
  fc.uniqueArray(
    fc.record({
      key: keys.map((key) => JSON.stringify(key)),
      id: ids,
      nth: fc.nat(1),
      // Long ones, so that few rows make several nodes and pages.
      value: fc.constantFrom(0, 3000, 9000).map((length) => JSON.stringify('-'.repeat(length))),
    }),
    {
      minLength,
      maxLength: 50,
      selector: (row) => row,
      comparator: (a, b) => isAt(a, b),
    },
  );

const rows = rowArrays(0);

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined });

const range = {
  startKey: maybe(keys),
  endKey: maybe(keys),
  startDocid: maybe(ids),
  endDocid: maybe(ids),
  inclusiveEnd: fc.boolean(),
  descending: fc.boolean(),
  partition: fc.constant(undefined),
  skip: fc.oneof(fc.constant(0), fc.nat(12)),
  limit: fc.oneof(fc.constant(Infinity), fc.nat(12)),
};

const withKeys = <T extends { startKey: unknown; endKey: unknown }>(
  queries: fc.Arbitrary<T>,
): fc.Arbitrary<T & { keys: unknown[] | undefined }> =>
  fc
    .tuple(queries, maybe(fc.array(keys, { maxLength: 5 })))
    .map(([query, keys]) =>
      keys === undefined ? { ...query, keys } : { ...query, keys, startKey: undefined, endKey: undefined },
    );

const rowQueries: fc.Arbitrary<RowQuery> = withKeys(fc.record(range));
const reduceQueries: fc.Arbitrary<ReduceQuery> = withKeys(
  fc.record({ ...range, groupLevel: fc.constantFrom<GroupLevel>(0, 1, 2, 'exact') }),
);

// ---- what is expected -----------------------------------------------------------------------------------------

const sorted = (all: readonly Row[]): Row[] =>
  [...all].sort((a, b) => comparePlaces(ORDER, parsed(a), parsed(b)));

/** Whether a row lies behind the start of a range or before its end, in the order of reading. */
function isWithin(row: Row, query: RowQuery | ReduceQuery, startKey: unknown, endKey: unknown): boolean {
  const { startDocid, endDocid, inclusiveEnd, descending } = query;
  const sign = descending ? -1 : 1;
  const compare = (key: unknown, docid: string | undefined): number =>
    sign * (collate(parsed(row).key, key) || (docid === undefined ? 0 : compareIds(row.id, docid)));
  if (startKey !== undefined && compare(startKey, startDocid) < 0) return false;
  if (endKey === undefined) return true;
  const order = compare(endKey, endDocid);
  return inclusiveEnd ? order <= 0 : order < 0;
}

const inOrder = (all: readonly Row[], descending: boolean): Row[] =>
  descending ? sorted(all).reverse() : sorted(all);

function expectedRows(all: readonly Row[], query: RowQuery): Row[] {
  const ordered = inOrder(all, query.descending);
  const wanted =
    query.keys === undefined ? undefined : query.descending ? query.keys.toReversed() : query.keys;
  const found =
    wanted?.flatMap((key) => ordered.filter((row) => isWithin(row, query, key, key))) ??
    ordered.filter((row) => isWithin(row, query, query.startKey, query.endKey));
  return found.slice(query.skip, query.skip + query.limit);
}

const groupOf = (row: Row, level: GroupLevel): unknown => {
  const { key } = parsed(row);
  if (level === 0) return null;
  return level === 'exact' || !Array.isArray(key) ? key : key.slice(0, level);
};

function expectedGroups(all: readonly Row[], query: ReduceQuery): unknown[] {
  const parts = query.keys?.map((key) => [key, key] as const) ?? [[query.startKey, query.endKey] as const];
  const found = parts.flatMap(([start, end]) => {
    const inside = inOrder(all, query.descending).filter((row) => isWithin(row, query, start, end));
    const runs: Row[][] = [];
    for (const row of inside) {
      const run = runs.at(-1);
      const isSame =
        run?.[0] !== undefined &&
        collate(groupOf(run[0], query.groupLevel), groupOf(row, query.groupLevel)) === 0;
      if (isSame) run.push(row);
      else runs.push([row]);
    }
    return runs.map((run) => {
      const [first] = run;
      return {
        key: first === undefined ? null : groupOf(first, query.groupLevel),
        value: sorted(run).map(placeText),
      };
    });
  });
  return found.slice(query.skip, query.skip + query.limit);
}

async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = [];
  for await (const page of pages) found.push(...page);
  return found;
}

const isAt = (a: Row, b: Row): boolean => comparePlaces(ORDER, parsed(a), parsed(b)) === 0;

const rowOf = ({ id, key, value }: Row): object => ({ id: JSON.stringify(id), key, value });

async function viewOf(
  all: readonly Change[],
  reducer?: ViewReducer,
  isPartitioned = false,
): Promise<MemoryView> {
  const view = new MemoryView(reducer, isPartitioned);
  await view.change(all);
  return view;
}

const EVERYTHING: RowQuery = {
  startKey: undefined,
  endKey: undefined,
  startDocid: undefined,
  endDocid: undefined,
  inclusiveEnd: true,
  descending: false,
  partition: undefined,
  keys: undefined,
  skip: 0,
  limit: Infinity,
};

afterEach(() => {
  vi.useRealTimers();
});

// ---- tests ----------------------------------------------------------------------------------------------------

describe('rows of a view', () => {
  test('are those that a sorted list has, whatever is asked', async () => {
    await fc.assert(
      fc.asyncProperty(rows, rowQueries, async (stored, query) => {
        const view = await viewOf(stored);
        const found = await readRows(view.snapshot, query);
        expect(found.total).toBe(stored.length);
        expect(await all(found.pages)).toEqual(expectedRows(stored, query).map(rowOf));
        expect(view.open).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  test('are counted from the first one in the order of the answer', async () => {
    await fc.assert(
      fc.asyncProperty(rows, rowQueries, async (stored, query) => {
        const view = await viewOf(stored);
        const found = await readRows(view.snapshot, query);
        const [first] = expectedRows(stored, query);
        // With a skip among several keys the first row may be another key's than the count began with.
        if (first !== undefined && (query.keys === undefined || query.skip === 0)) {
          expect(found.offset).toBe(inOrder(stored, query.descending).indexOf(first));
        }
        if (query.keys === undefined) {
          const behindStart = { ...query, endKey: undefined, skip: 0, limit: Infinity };
          const before = stored.length - expectedRows(stored, behindStart).length;
          expect(found.offset).toBe(Math.min(stored.length, before + query.skip));
        }
        expect(found.offset).toBeLessThanOrEqual(stored.length);
        await all(found.pages);
      }),
      { numRuns: 200 },
    );
  });

  test('go on behind the last one in a new moment where they are read slowly', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    await fc.assert(
      fc.asyncProperty(rowArrays(30), rows, rowQueries, async (before, after, asked) => {
        const query = { ...asked, keys: undefined, skip: 0, limit: Infinity };
        const view = await viewOf(before);
        const { pages } = await readRows(view.snapshot, query);
        const reading = pages[Symbol.asyncIterator]();
        const first = await reading.next();
        const page = first.done === true ? [] : first.value;
        await vi.advanceTimersByTimeAsync(61_000);
        expect(view.open).toBe(0);
        const kept = before.filter((row, at) => at % 2 === 0 && !after.some((other) => isAt(row, other)));
        await view.change(
          before.map((row) => ({ ...row, value: kept.includes(row) ? row.value : undefined })),
        );
        await view.change(after);
        const rest = await all({ [Symbol.asyncIterator]: () => reading });
        const old = expectedRows(before, query);
        expect(page).toEqual(old.slice(0, page.length).map(rowOf));
        expect(view.open).toBe(0);
        // Where it came to the end within a page there is no more to read.
        if (page.length === old.length) return;
        const last = old[page.length - 1];
        const sign = query.descending ? -1 : 1;
        const wanted =
          last === undefined
            ? []
            : expectedRows([...kept, ...after], query).filter(
                (row) => sign * comparePlaces(ORDER, parsed(row), parsed(last)) > 0,
              );
        expect(rest).toEqual(wanted.map(rowOf));
      }),
      { numRuns: 100 },
    );
  });

  test('are not read where they are skipped', async () => {
    const many = Array.from({ length: 20_000 }, (_, at) => ({
      key: String(at),
      id: 'a',
      nth: 0,
      value: 'null',
    }));
    const view = await viewOf(many);
    view.reads = 0;
    const found = await readRows(view.snapshot, { ...EVERYTHING, startKey: 100, skip: 15_000, limit: 3 });
    expect((await all(found.pages)).map(({ key }) => key)).toEqual(['15100', '15101', '15102']);
    expect(found.offset).toBe(15_100);
    expect(view.reads).toBeLessThan(15);
  });

  test('let go of the view where nobody reads on', async () => {
    const view = await viewOf([{ key: '1', id: 'a', nth: 0, value: '1' }]);
    const found = await readRows(view.snapshot, EVERYTHING);
    expect(view.open).toBe(1);
    await found.pages[Symbol.asyncIterator]().return?.();
    expect(view.open).toBe(0);
  });
});

test.each([
  ['is older', { updateSeq: 6 }],
  ['has another function', { map: '"other"', updateSeq: 9 }],
])('a slow reader does not go on in a view that %s', async (_what, changes) => {
  const view = await viewOf([{ key: '1', id: 'a', nth: 0, value: '1' }]);
  const asked: boolean[] = [];
  const open = reopened((isFirst) => {
    asked.push(isFirst);
    return view.snapshot();
  });
  await (await open()).close();
  view.updateSeq = 8;
  await (await open()).close();
  Object.assign(view, changes);
  await expect(open()).rejects.toMatchObject({
    status: 503,
    reason: 'The view was changed while it was read.',
  });
  expect(asked).toEqual([true, false, false]);
  expect(view.open).toBe(0);
});

// ---- partitions -----------------------------------------------------------------------------------------------

const PARTITIONS = ['p', 'P', 'pp', 'q', 'p\u0000'];
const partitions = fc.constantFrom(...PARTITIONS);

/** Rows of documents in several partitions. */
const spread = rowArrays(0).chain((all) =>
  fc
    .array(partitions, { minLength: all.length, maxLength: all.length })
    .map((names) => all.map((row, at) => ({ ...row, id: `${names[at] ?? ''}:${row.id}` }))),
);

/** The query as one of a partition. */
function inPartition<T extends RowQuery | ReduceQuery>(query: T, partition: string): T {
  const named = (docid: string | undefined): string | undefined => docid && `${partition}:${docid}`;
  return { ...query, partition, startDocid: named(query.startDocid), endDocid: named(query.endDocid) };
}

const ofPartition = (all: readonly Row[], partition: string): Row[] =>
  all.filter(({ id }) => id.startsWith(`${partition}:`));

describe('a view with partitions', () => {
  test('answers in each what a view of all rows would, were there no others', async () => {
    await fc.assert(
      fc.asyncProperty(spread, rowQueries, partitions, async (stored, asked, partition) => {
        const view = await viewOf(stored, undefined, true);
        const kept = stored.filter((_row, at) => at % 3 !== 0);
        await view.change(
          stored.map((row) => ({ ...row, value: kept.includes(row) ? row.value : undefined })),
        );
        const query = inPartition(asked, partition);
        const found = await readRows(view.snapshot, query);
        const own = ofPartition(kept, partition);
        expect(found.total).toBe(kept.length);
        expect(await all(found.pages)).toEqual(expectedRows(own, query).map(rowOf));
        const { total, pages } = await readRows((await viewOf(own)).snapshot, {
          ...query,
          partition: undefined,
        });
        expect(total).toBe(own.length);
        expect(await all(pages)).toEqual(expectedRows(own, query).map(rowOf));
      }),
      { numRuns: 200 },
    );
  });

  test('reduces the rows of one alone', async () => {
    await fc.assert(
      fc.asyncProperty(spread, reduceQueries, partitions, async (stored, asked, partition) => {
        const view = await viewOf(stored, list, true);
        const query = inPartition(asked, partition);
        const { pages } = await readReductions(view.snapshot, query);
        const texts = await all(pages);
        expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual(
          expectedGroups(ofPartition(stored, partition), query),
        );
      }),
      { numRuns: 200 },
    );
  });

  test('has groups of its own where the rows of another one before them have the same key', async () => {
    // Two rows fill a node.
    const stored = ['p', 'q'].flatMap((partition) =>
      ['1', '2'].map((key) => ({ key, id: `${partition}:${key}`, nth: 0, value: `"${'-'.repeat(2000)}"` })),
    );
    const view = await viewOf(stored, list, true);
    const query: ReduceQuery = { ...EVERYTHING, partition: 'q', groupLevel: 'exact' };
    const texts = await all((await readReductions(view.snapshot, query)).pages);
    expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual(
      expectedGroups(ofPartition(stored, 'q'), query),
    );
  });

  test('goes on in the same one where it is read slowly', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const stored = PARTITIONS.flatMap((partition) =>
      Array.from({ length: 250 }, (_, at) => ({
        key: String(at),
        id: `${partition}:${String(at)}`,
        nth: 0,
        value: 'null',
      })),
    );
    const view = await viewOf(stored, list, true);
    for (const descending of [false, true]) {
      const query = { ...EVERYTHING, descending, partition: 'pp' };
      const found: object[] = [];
      for await (const page of (await readRows(view.snapshot, query)).pages) {
        found.push(...page);
        await vi.advanceTimersByTimeAsync(61_000);
      }
      expect(found).toEqual(expectedRows(ofPartition(stored, 'pp'), query).map(rowOf));
      const groups: string[] = [];
      for await (const page of (await readReductions(view.snapshot, { ...query, groupLevel: 'exact' }))
        .pages) {
        groups.push(...page);
        await vi.advanceTimersByTimeAsync(61_000);
      }
      expect(groups).toHaveLength(250);
    }
  });

  test('reads a path or two, however many rows the others have', async () => {
    const stored = Array.from({ length: 20_000 }, (_, at) => ({
      key: String(at),
      id: `${at % 1000 === 0 ? 'p' : 'q'}:${String(at)}`,
      nth: 0,
      value: '1',
    }));
    const view = await viewOf(stored, undefined, true);
    view.reads = 0;
    const { pages, offset } = await readRows(view.snapshot, {
      ...EVERYTHING,
      partition: 'p',
      startKey: 5000,
    });
    expect((await all(pages)).map(({ key }) => Number(key) / 1000)).toEqual(
      Array.from({ length: 15 }, (_, at) => at + 5),
    );
    expect(offset).toBe(5);
    expect(view.reads).toBeLessThan(20);
  });
});

describe('reductions of a view', () => {
  test('are of the rows that a sorted list has in each group', async () => {
    await fc.assert(
      fc.asyncProperty(rows, reduceQueries, async (stored, query) => {
        const view = await viewOf(stored, list);
        const found = await readReductions(view.snapshot, query);
        const texts = await all(found.pages);
        expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual(expectedGroups(stored, query));
        expect(view.open).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  test('go on behind the last group in a new moment where they are read slowly', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const stored = Array.from({ length: 500 }, (_, at) => ({
      key: JSON.stringify([Math.floor(at / 2), at]),
      id: 'a',
      nth: 0,
      value: 'null',
    }));
    for (const descending of [false, true]) {
      const view = await viewOf(stored, list);
      const query = { ...EVERYTHING, descending, groupLevel: 1, skip: 3 };
      const { pages } = await readReductions(view.snapshot, query);
      const texts: string[] = [];
      for await (const page of pages) {
        texts.push(...page);
        await vi.advanceTimersByTimeAsync(61_000);
        expect(view.open).toBe(0);
      }
      expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual(expectedGroups(stored, query));
    }
  });

  test('of a range take a path or two, however many rows it has', async () => {
    const view = await viewOf(
      Array.from({ length: 20_000 }, (_, at) => ({ key: String(at), id: 'a', nth: 0, value: '1' })),
      {
        reduce: (runs) => Promise.resolve(runs.map(({ length }) => String(length))),
        rereduce: (runs) =>
          Promise.resolve(runs.map((parts) => String(parts.reduce((sum, part) => sum + Number(part), 0)))),
        show: (reduction) => reduction,
      },
    );
    view.reads = 0;
    const query = { ...EVERYTHING, startKey: 10, endKey: 19_000, groupLevel: 0 };
    const found = await readReductions(view.snapshot, query);
    expect(await all(found.pages)).toEqual(['{"key":null,"value":18991}']);
    expect(view.reads).toBeLessThan(20);
  });
});
