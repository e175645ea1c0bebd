import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { insert } from '../../src/revtree/insert.js';
import { purge } from '../../src/revtree/purge.js';
import { leavesOf, pathTo, revAt, revsOf, type RevTree } from '../../src/revtree/tree.js';

/** Trees of revisions with hashes `0`, `1`, …: each is the child of an earlier one, or a root. */
const trees = fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 15 }).map((parents) => {
  const paths: string[][] = [];
  let tree: RevTree = [];
  for (const [at, choice] of parents.entries()) {
    const parent = choice % (at + 1) === at ? [] : (paths[choice % (at + 1)] ?? []);
    const path = [String(at), ...parent];
    paths.push(path);
    ({ tree } = insert(tree, path.length, path, false, 1000));
  }
  return tree;
});

const revsIn = (tree: RevTree): string[] => leavesOf(tree).map(revAt);

const withChoice = trees.chain((tree) =>
  fc.record({
    tree: fc.constant(tree),
    named: fc.subarray(revsOf(tree)),
  }),
);

describe('a purged tree', () => {
  test('keeps just the other leaves, with all of their ancestors', () => {
    fc.assert(
      fc.property(withChoice, ({ tree, named }) => {
        const before = JSON.stringify(tree);
        const { tree: left, leaves, gone } = purge(tree, new Set(named));
        expect(JSON.stringify(tree)).toBe(before);
        const kept = revsIn(tree).filter((rev) => !named.includes(rev));
        expect(revsIn(left)).toEqual(kept);
        for (const rev of kept) {
          const path = (one: RevTree): string[] | undefined => pathTo(one, rev)?.map(revAt);
          expect(path(left)).toEqual(path(tree));
        }
        expect([...leaves].sort()).toEqual(
          revsIn(tree)
            .filter((rev) => named.includes(rev))
            .sort(),
        );
        // What went and what is left make up the whole.
        expect([...gone, ...revsOf(left)].sort()).toEqual(revsOf(tree).sort());
      }),
    );
  });

  test('is as the other branches alone would have made it', () => {
    fc.assert(
      fc.property(withChoice, ({ tree, named }) => {
        let expected: RevTree = [];
        for (const rev of revsIn(tree)) {
          if (named.includes(rev)) continue;
          const path = pathTo(tree, rev) ?? [];
          const hashes = path.map(({ node }) => node[0]).reverse();
          ({ tree: expected } = insert(expected, path.at(-1)?.generation ?? 0, hashes, false, 1000));
        }
        const { tree: left } = purge(tree, new Set(named));
        expect(revsOf(left).sort()).toEqual(revsOf(expected).sort());
        expect(revsIn(left)).toEqual(revsIn(expected));
      }),
    );
  });

  test('may be deeper than the stack', () => {
    const hashes = Array.from({ length: 50_000 }, (_, at) => String(at));
    const { tree } = insert([], hashes.length, hashes, false, hashes.length);
    expect(purge(tree, new Set([`${String(hashes.length)}-0`]))).toMatchObject({ tree: [] });
  });
});
