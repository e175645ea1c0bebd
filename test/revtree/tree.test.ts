import fc from 'fast-check';
import { collectConflicts, collectLeaves, winningRev } from 'pouchdb-merge';
import { describe, expect, test } from 'vitest';
import { insert } from '../../src/revtree/insert.js';
import {
  find,
  generationOf,
  latestOf,
  leavesOf,
  pathTo,
  revAt,
  revsOf,
  type RevNode,
  type RevTree,
} from '../../src/revtree/tree.js';

/** One revision of a made-up history: its parent stands before it in the list, or it has none. */
interface Revision {
  readonly generation: number;
  readonly hash: string;
  readonly parent: number | undefined;
  readonly deleted: boolean;
}

/** A replicated revision: which one, and how many of its ancestors come with it. */
interface Arrival {
  readonly index: number;
  readonly known: number;
}

const histories = fc
  .array(
    fc.record({
      parent: fc.nat({ max: 30 }),
      root: fc.nat({ max: 9 }),
      deleted: fc.boolean(),
      hash: fc.nat(2),
    }),
    {
      minLength: 1,
      maxLength: 14,
    },
  )
  .map((steps) =>
    steps.reduce<Revision[]>((made, step, at) => {
      const parent = at === 0 || step.root === 0 ? undefined : step.parent % at;
      const generation = parent === undefined ? 1 : (made[parent]?.generation ?? 0) + 1;
      // Few different beginnings, so that siblings are ordered by more than their age.
      return [
        ...made,
        { generation, hash: `${'cab'[step.hash] ?? ''}${String(at)}`, parent, deleted: step.deleted },
      ];
    }, []),
  );

const arrivalsOf = (history: readonly Revision[]): fc.Arbitrary<Arrival[]> =>
  fc.array(fc.record({ index: fc.nat({ max: history.length - 1 }), known: fc.nat({ max: 14 }) }), {
    minLength: 1,
    maxLength: 20,
  });

const cases = histories.chain((history) => fc.tuple(fc.constant(history), arrivalsOf(history)));

const nameOf = (revision: Revision): string => `${String(revision.generation)}-${revision.hash}`;

/** The revision and as many of its ancestors as are known, newest first. */
function pathOf(history: readonly Revision[], { index, known }: Arrival): Revision[] {
  const path: Revision[] = [];
  for (
    let at: number | undefined = index;
    at !== undefined && path.length <= known;
    at = history[at]?.parent
  ) {
    const revision = history[at];
    if (revision !== undefined) path.push(revision);
  }
  return path;
}

/** What is to be expected: the revisions that were named, and which of them are known to be whose parent. */
class Model {
  readonly parents = new Map<string, string | undefined>();
  readonly deleted = new Set<string>();

  add(path: readonly Revision[]): void {
    path.forEach((revision, at) => {
      const parent = path[at + 1];
      const before = this.parents.get(nameOf(revision));
      this.parents.set(nameOf(revision), parent === undefined ? before : nameOf(parent));
    });
    const [newest] = path;
    if (newest?.deleted === true) this.deleted.add(nameOf(newest));
  }

  leaves(): string[] {
    const inner = new Set(this.parents.values());
    return [...this.parents.keys()].filter((rev) => !inner.has(rev)).sort((a, b) => this.order(a, b));
  }

  private order(a: string, b: string): number {
    if (this.deleted.has(a) !== this.deleted.has(b)) return this.deleted.has(a) ? 1 : -1;
    return generationOf(b) - generationOf(a) || (a.slice(a.indexOf('-')) < b.slice(b.indexOf('-')) ? 1 : -1);
  }

  /** Oldest first. */
  path(rev: string): string[] {
    const path: string[] = [];
    for (let at: string | undefined = rev; at !== undefined; at = this.parents.get(at)) path.unshift(at);
    return path;
  }
}

const add = (tree: RevTree, path: readonly Revision[], limit = 1000): ReturnType<typeof insert> =>
  insert(
    tree,
    path[0]?.generation ?? 0,
    path.map(({ hash }) => hash),
    path[0]?.deleted ?? false,
    limit,
  );

const RUNS = { numRuns: 2000 };

describe('a tree that replicated revisions were put into', () => {
  test('has the revisions, leaves, paths and winner of a plain model', () => {
    fc.assert(
      fc.property(cases, ([history, arrivals]) => {
        const model = new Model();
        let tree: RevTree = [];
        for (const arrival of arrivals) {
          const path = pathOf(history, arrival);
          model.add(path);
          tree = add(tree, path).tree;
          expect(revsOf(tree).sort()).toEqual([...model.parents.keys()].sort());
          expect(leavesOf(tree).map(revAt)).toEqual(model.leaves());
        }
        for (const rev of model.parents.keys()) {
          expect(pathTo(tree, rev)?.map(revAt)).toEqual(model.path(rev));
          expect(find(tree, rev)?.generation).toBe(generationOf(rev));
          const below = model.leaves().filter((leaf) => model.path(leaf).includes(rev));
          expect(latestOf(tree, rev).map(revAt)).toEqual(below);
        }
        expect(pathTo(tree, '99-none')).toBeUndefined();
        expect(find(tree, '1-none')).toBeUndefined();
        expect(latestOf(tree, '1-none')).toEqual([]);
      }),
      RUNS,
    );
  });

  test('has the same leaves and winner whatever the order of arrival (I2)', () => {
    const shuffled = cases.chain(([history, arrivals]) =>
      fc.tuple(
        fc.constant(history),
        fc.constant(arrivals),
        fc.shuffledSubarray(arrivals, { minLength: arrivals.length, maxLength: arrivals.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([history, one, other]) => {
        const build = (arrivals: readonly Arrival[]) =>
          arrivals.reduce<RevTree>((tree, arrival) => add(tree, pathOf(history, arrival)).tree, []);
        expect(leavesOf(build(other)).map(revAt)).toEqual(leavesOf(build(one)).map(revAt));
      }),
      RUNS,
    );
  });

  test('does not change when they come again', () => {
    fc.assert(
      fc.property(cases, ([history, arrivals]) => {
        const paths = arrivals.map((arrival) => pathOf(history, arrival));
        const tree = paths.reduce<RevTree>((built, path) => add(built, path).tree, []);
        const before = structuredClone(tree);
        const again = paths.reduce<RevTree>((built, path) => add(built, path).tree, tree);
        expect(again).toEqual(before);
      }),
      RUNS,
    );
  });
});

describe('a tree with a limit', () => {
  test('keeps what is near enough to a leaf, and names what falls off', () => {
    fc.assert(
      fc.property(histories, fc.integer({ min: 1, max: 4 }), (history, limit) => {
        const model = new Model();
        let tree: RevTree = [];
        history.forEach((_, index) => {
          const path = pathOf(history, { index, known: limit });
          model.add(pathOf(history, { index, known: 1000 }));
          const before = revsOf(tree);
          const { tree: after, stemmed } = add(tree, path, limit);
          tree = after;
          const now = new Set(revsOf(tree));
          expect(before.filter((rev) => !now.has(rev)).sort()).toEqual(
            stemmed.filter((rev) => before.includes(rev)).sort(),
          );
          expect(stemmed.filter((rev) => now.has(rev))).toEqual([]);
        });
        expect(leavesOf(tree).map(revAt)).toEqual(model.leaves());
        for (const leaf of model.leaves()) {
          const full = model.path(leaf);
          const path = pathTo(tree, leaf)?.map(revAt) ?? [];
          expect(path).toEqual(full.slice(-path.length));
          expect(path.length).toBeGreaterThanOrEqual(Math.min(full.length, limit));
        }
        for (const rev of revsOf(tree)) {
          const distances = latestOf(tree, rev).map((leaf) => leaf.generation - generationOf(rev));
          expect(Math.min(...distances)).toBeLessThan(limit);
        }
      }),
      RUNS,
    );
  });

  test('takes a longer path as if it were put in whole and then cut', () => {
    const limited = fc.tuple(cases, fc.integer({ min: 1, max: 4 }));
    fc.assert(
      fc.property(limited, ([[history, arrivals], limit]) => {
        let tree: RevTree = [];
        for (const arrival of arrivals) {
          const path = pathOf(history, arrival);
          const whole = add(tree, path, Infinity).tree;
          tree = add(tree, path, limit).tree;
          expect(tree).toEqual(add(whole, path.slice(0, 1), limit).tree);
        }
      }),
      RUNS,
    );
  });

  test('is not held up by a path of millions of revisions', () => {
    const hashes = Array.from({ length: 5_000_000 }, () => 'a');
    const { tree: old } = insert([], 3, ['a', 'a', 'a'], false, 1000);
    const begun = performance.now();
    const { tree } = insert(old, hashes.length, hashes, false, 1000);
    // Some 50 ms; a part for each revision would take more than ten seconds, and gigabytes.
    expect(performance.now() - begun).toBeLessThan(3000);
    expect(leavesOf(tree).map(revAt)).toEqual(['5000000-a']);
    expect(revsOf(tree)).toHaveLength(1000);
  });

  test('cuts a branch off where the history between it and the rest is too far from every leaf', () => {
    let { tree } = insert([], 2, ['b', 'a'], false, 2);
    for (const [at, hash] of ['c', 'd', 'e'].entries()) {
      const parents = ['a', 'c', 'd'];
      tree = insert(tree, 2 + at, [hash, parents[at] ?? ''], false, 2).tree;
    }
    expect(leavesOf(tree).map(revAt)).toEqual(['4-e', '2-b']);
    expect(pathTo(tree, '4-e')?.map(revAt)).toEqual(['3-d', '4-e']);
    expect(pathTo(tree, '2-b')?.map(revAt)).toEqual(['1-a', '2-b']);
    expect(find(tree, '2-c')).toBeUndefined();
  });
});

describe('a tree that PouchDB wrote', () => {
  const node = (hash: string, children: RevNode[], status: 'available' | 'missing' = 'missing'): RevNode => [
    hash,
    { status },
    children,
  ];

  test('is joined where stemming left a revision in several branches', () => {
    const tree: RevTree = [
      { pos: 1, ids: node('a', [node('b', [node('c', [], 'available')])]) },
      { pos: 2, ids: node('b', [node('d', [node('e', [], 'available')])], 'available') },
    ];
    const joined = insert(tree, 5, ['f', 'e'], false, 10).tree;
    expect(insert([...tree].reverse(), 5, ['f', 'e'], false, 10).tree).toEqual(joined);
    expect(revsOf(joined).sort()).toEqual(['1-a', '2-b', '3-c', '3-d', '4-e', '5-f']);
    expect(pathTo(joined, '5-f')?.map(revAt)).toEqual(['1-a', '2-b', '3-d', '4-e', '5-f']);
    expect(find(joined, '2-b')?.node[1].status).toBe('available');
  });

  test('has the winner and the leaves that PouchDB sees', () => {
    fc.assert(
      fc.property(cases, ([history, arrivals]) => {
        const tree = arrivals.reduce<RevTree>(
          (built, arrival) => add(built, pathOf(history, arrival)).tree,
          [],
        );
        const [winner, ...rest] = leavesOf(tree).map(revAt);
        expect(winningRev({ rev_tree: tree })).toBe(winner);
        expect(
          collectLeaves(tree)
            .map(({ rev }) => rev)
            .sort(),
        ).toEqual([winner, ...rest].sort());
        const living = leavesOf(tree).filter((leaf) => leaf.node[1].deleted !== true);
        expect(collectConflicts({ rev_tree: tree }).sort()).toEqual(
          living
            .map(revAt)
            .filter((rev) => rev !== winner)
            .sort(),
        );
      }),
      RUNS,
    );
  });
});

test('the first of two contradicting histories of a revision stays, and no revision without a body becomes a leaf', () => {
  const { tree } = insert(insert([], 3, ['c', 'b', 'a'], false, 10).tree, 3, ['c', 'x', 'y'], false, 10);
  expect(revsOf(tree)).toEqual(['1-a', '2-b', '3-c']);
});

test('the tree that went in stays as it was', () => {
  const { tree } = insert([], 2, ['b', 'a'], false, 2);
  const before = structuredClone(tree);
  insert(tree, 2, ['a2', 'a'], true, 2);
  insert(tree, 4, ['d', 'c', 'b'], false, 2);
  insert(tree, 1, ['a'], false, 2);
  expect(tree).toEqual(before);
});

test('a branch leaves the others as they are: a document may have a thousand', () => {
  const base = insert([], 1, ['a'], false, 10).tree;
  const one = insert(base, 3, ['c', 'b', 'a'], false, 10).tree;
  const two = insert(one, 4, ['e', 'd', 'c1', 'a'], true, 10).tree;
  const [first, second] = two[0]?.ids[2] ?? [];
  expect(first).toBe(one[0]?.ids[2][0]);
  expect(second).toEqual([
    'c1',
    { status: 'missing' },
    [['d', { status: 'missing' }, [['e', { status: 'available', deleted: true }, []]]]],
  ]);
});

test('a history beside others leaves them as they are, too', () => {
  const one = insert([], 3, ['c', 'b'], false, 10).tree;
  const two = insert(one, 2, ['x', 'w'], true, 10).tree;
  expect(two.map(({ pos, ids }) => `${String(pos)}-${ids[0]}`)).toEqual(['1-w', '2-b']);
  expect(two[1]).toBe(one[0]);
  const three = insert(two, 4, ['d', 'c', 'b'], false, 10).tree;
  expect(three[0]).toBe(two[0]);
  expect(leavesOf(three).map(revAt)).toEqual(['4-d', '2-x']);
});

test('a path needs a revision', () => {
  expect(() => insert([], 1, [], false, 10)).toThrow(RangeError);
});

test('a very long and a very wide history need no deep stack', () => {
  const hashes = Array.from({ length: 20_000 }, (_, at) => `h${String(at)}`);
  const { tree } = insert([], 20_000, hashes, false, 20_000);
  expect(pathTo(tree, '20000-h0')).toHaveLength(20_000);
  let wide: RevTree = [];
  for (let at = 0; at < 500; at++) wide = insert(wide, 2, [`w${String(at)}`, 'root'], false, 10).tree;
  expect(leavesOf(wide)).toHaveLength(500);
});
