import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Turns } from '../../src/json/turns.js';
import { collate } from '../../src/store/collate.js';
import { readNode, Inner, type Leaf } from '../../src/views/tree/node.js';
import { comparePlaces, parsed, type Parsed } from '../../src/views/tree/order.js';
import { groups, type Portion, rank, slices } from '../../src/views/tree/read.js';
import type { Change, NodeWriter, Reducer, Root, Row } from '../../src/views/tree/types.js';
import { changeTree, type TreeRules } from '../../src/views/tree/update.js';

/** Nodes in memory; reads what is not there fails. */
class Nodes implements NodeWriter {
  readonly texts = new Map<number, string>();
  reads = 0;
  #last = 0;

  next(): number {
    return ++this.#last;
  }

  read(nodes: readonly number[]): Promise<readonly (Leaf | Inner)[]> {
    this.reads += nodes.length;
    return Promise.resolve(
      nodes.map((node) => {
        const text = this.texts.get(node);
        if (text === undefined) throw new Error(`there is no node ${String(node)}`);
        return readNode(text);
      }),
    );
  }

  put(node: number, text: string): void {
    expect(this.texts.has(node)).toBe(false);
    this.texts.set(node, text);
  }

  delete(node: number): void {
    this.texts.delete(node);
  }
}

/** What each row says of itself, in order: so rows that are missing, doubled or out of order are seen. */
const list: Reducer = {
  reduce: (runs) =>
    Promise.resolve(runs.map((rows) => JSON.stringify(rows.map(({ value }) => value.slice(0, 8))))),
  rereduce: (runs) =>
    Promise.resolve(
      runs.map((parts) => JSON.stringify(parts.flatMap((part) => JSON.parse(part) as string[]))),
    ),
};

const rules: TreeRules = { collate, isPartitioned: false, reducers: [list] };

const keys: fc.Arbitrary<unknown> = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.constantFrom(null, true, 'a', 'A', 'ä', 'b\u0000', 'b', {}, { a: 1 }, '😀', 'z\ue000'),
  fc.tuple(fc.constantFrom('x', 'y', 'z'), fc.integer({ min: 0, max: 5 })),
);

const changes: fc.Arbitrary<Change[]> = fc.uniqueArray(
  fc.record({
    key: keys.map((key) => JSON.stringify(key)),
    id: fc.constantFrom('a', 'b', 'c"\\', 'd\ud83d\ude00', 'd\ue000', 'e'),
    nth: fc.nat(1),
    // Some long ones, so that few rows make several nodes.
    value: fc.option(
      fc
        .tuple(fc.nat(9999), fc.constantFrom(0, 0, 10, 900, 5000))
        .map(([n, pad]) => JSON.stringify(`${n}${'-'.repeat(pad)}`)),
      { nil: undefined, freq: 3 },
    ),
  }),
  {
    maxLength: 60,
    selector: (change) => change,
    comparator: (a, b) => comparePlaces(rules, parsed(a), parsed(b)) === 0,
  },
);

/** The rows as a plain sorted list. */
function model(rows: readonly Row[], batch: readonly Change[]): Row[] {
  const same = (a: Change, b: Change): boolean => comparePlaces(rules, parsed(a), parsed(b)) === 0;
  const kept = rows.filter((row) => !batch.some((change) => same(row, change)));
  const put = batch.flatMap((change) =>
    change.value === undefined ? [] : [{ ...change, value: change.value }],
  );
  return [...kept, ...put].sort((a, b) => comparePlaces(rules, parsed(a), parsed(b)));
}

async function rowsOf(
  store: Nodes,
  root: Root,
  from: number,
  to: number,
  descending = false,
): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const slice of slices(store, root, from, to, descending)) {
    const numbers = Array.from({ length: slice.to - slice.from }, (_, at) => slice.from + at);
    for (const at of descending ? numbers.reverse() : numbers) rows.push(slice.leaf.row(at));
  }
  return rows;
}

async function reductionOf(portions: readonly Portion[]): Promise<string> {
  const parts: string[] = [];
  for (const portion of portions) {
    if (portion.kind === 'reduced') parts.push(portion.reduction);
    else parts.push(...(await list.reduce([portion.rows])));
  }
  const [whole = ''] = await list.rereduce([parts]);
  return whole;
}

/** Every node that is kept is below the root, once; what parents know of their children is so. */
async function check(store: Nodes, root: Root): Promise<void> {
  const seen = new Set<number>();
  const visit = async (ref: Exclude<Root, undefined>): Promise<void> => {
    expect(seen.has(ref.node)).toBe(false);
    seen.add(ref.node);
    const node = readNode(store.texts.get(ref.node) ?? '');
    expect(node.place(node.length - 1)).toEqual(ref.last);
    if (node instanceof Inner) {
      expect(node.children.reduce((sum, { rows }) => sum + rows, 0)).toBe(ref.rows);
      expect(node.children.reduce((sum, { size }) => sum + size, 0)).toBe(ref.size);
      for (const child of node.children) await visit(child);
    } else {
      expect(node.length).toBe(ref.rows);
    }
  };
  if (root !== undefined) await visit(root);
  expect([...store.texts.keys()].sort()).toEqual([...seen].sort());
}

const byFirst = ({ key }: Parsed): unknown => (Array.isArray(key) ? [key[0]] : key);
const GROUPINGS: readonly ((a: Parsed, b: Parsed) => boolean)[] = [
  () => true,
  (a, b) => collate(a.key, b.key) === 0,
  (a, b) => collate(byFirst(a), byFirst(b)) === 0,
];

describe('a tree of rows', () => {
  test('holds what a sorted list would, whatever is changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(changes, { maxLength: 8 }), async (batches) => {
        const store = new Nodes();
        let root: Root;
        let rows: Row[] = [];
        for (const batch of batches) {
          root = await changeTree(root, batch, store, rules, new Turns());
          rows = model(rows, batch);
          expect(await rowsOf(store, root, 0, Infinity)).toEqual(rows);
          await check(store, root);
          expect(root?.reductions ?? []).toEqual(rows.length === 0 ? [] : await list.reduce([rows]));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('knows how many rows stand before a place, and gives any stretch of them both ways', async () => {
    await fc.assert(
      fc.asyncProperty(changes, changes, keys, fc.nat(60), fc.nat(60), async (first, second, key, a, b) => {
        const store = new Nodes();
        const turns = new Turns();
        const begun = await changeTree(undefined, first, store, rules, turns);
        const root = await changeTree(begun, second, store, rules, turns);
        const rows = model(model([], first), second);
        const before = rows.filter((row) => collate(parsed(row).key, key) < 0).length;
        expect(await rank(store, root, (place) => collate(place.key, key) < 0)).toBe(before);
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        expect(await rowsOf(store, root, from, to)).toEqual(rows.slice(from, to));
        expect(await rowsOf(store, root, from, to, true)).toEqual(rows.slice(from, to).reverse());
      }),
      { numRuns: 150 },
    );
  });

  test('reduces groups of a stretch of rows from what it keeps', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(changes, { minLength: 1, maxLength: 4 }),
        fc.nat(100),
        fc.nat(100),
        fc.constantFrom(...GROUPINGS),
        fc.boolean(),
        async (batches, a, b, sameGroup, descending) => {
          const store = new Nodes();
          let root: Root;
          let rows: Row[] = [];
          for (const batch of batches) {
            root = await changeTree(root, batch, store, rules, new Turns());
            rows = model(rows, batch);
          }
          const range = { from: Math.min(a, b), to: Math.min(rows.length, Math.max(a, b)), descending };
          const wanted: Row[][] = [];
          for (const row of rows.slice(range.from, range.to)) {
            const run = wanted.at(-1);
            if (run?.[0] !== undefined && sameGroup(parsed(run[0]), parsed(row))) run.push(row);
            else wanted.push([row]);
          }
          if (descending) wanted.reverse();
          const found: string[] = [];
          for await (const { portions } of groups(store, root, range, 0, sameGroup)) {
            found.push(await reductionOf(portions));
          }
          expect(found).toEqual(await list.reduce(wanted));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('reads a path or two for a count or a reduction, however many rows there are', async () => {
    const store = new Nodes();
    const count: Reducer = {
      reduce: (runs) => Promise.resolve(runs.map(({ length }) => String(length))),
      rereduce: (runs) =>
        Promise.resolve(runs.map((parts) => String(parts.reduce((sum, part) => sum + Number(part), 0)))),
    };
    let root: Root;
    for (let from = 0; from < 20_000; from += 5000) {
      const batch = Array.from({ length: 5000 }, (_, at) => ({
        key: String(((from + at) * 7919) % 20_000),
        id: `doc${String(from + at)}`,
        nth: 0,
        value: 'null',
      }));
      root = await changeTree(root, batch, store, { ...rules, reducers: [count] }, new Turns());
    }
    store.reads = 0;
    expect(await rank(store, root, ({ key }) => (key as number) < 14_321)).toBe(14_321);
    expect(store.reads).toBeLessThan(6);
    store.reads = 0;
    const found: Portion[] = [];
    for await (const { portions } of groups(
      store,
      root,
      { from: 123, to: 18_765, descending: false },
      0,
      () => true,
    )) {
      found.push(...portions);
    }
    const sum = found.reduce(
      (n, part) => n + (part.kind === 'rows' ? part.rows.length : Number(part.reduction)),
      0,
    );
    expect(sum).toBe(18_765 - 123);
    expect(store.reads).toBeLessThan(12);
  });
});
